//! Command lines and configuration files as they are written for upstream's components. What has a flag here is
//! turned into that flag; what is only about the inside of upstream's programs is taken without effect, and said;
//! everything else is refused by the parser behind. A flag that asks for a behaviour is never in these tables.

use std::ffi::OsString;
use std::io::Read;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::COMPONENTS;

/// Longest configuration file that is read.
const CONFIG_LIMIT_BYTES: u64 = 1 << 20;

/// Flags of all components that have no effect here; a `!` marks those that take no value of their own.
const EVERYWHERE: &[&str] =
    &["kube-api-burst", "kube-api-content-type", "kube-api-qps", "log-flush-frequency"];

/// Of those with a secure port.
const SERVING: &[&str] = &[
    "authentication-kubeconfig",
    "authentication-token-webhook-cache-ttl",
    "authorization-kubeconfig",
    "authorization-webhook-cache-authorized-ttl",
    "authorization-webhook-cache-unauthorized-ttl",
    "cert-dir",
    "contention-profiling!",
    "http2-max-streams-per-connection",
    "profiling!",
    "requestheader-allowed-names",
    "requestheader-client-ca-file",
    "requestheader-extra-headers-prefix",
    "requestheader-group-headers",
    "requestheader-uid-headers",
    "requestheader-username-headers",
];

const CONTROLLERS: &[&str] = &[
    "cluster-name",
    "concurrent-cron-job-syncs",
    "concurrent-deployment-syncs",
    "concurrent-endpoint-syncs",
    "concurrent-gc-syncs",
    "concurrent-job-syncs",
    "concurrent-namespace-syncs",
    "concurrent-rc-syncs",
    "concurrent-replicaset-syncs",
    "concurrent-service-endpoint-syncs",
    "concurrent-serviceaccount-token-syncs",
    "concurrent-statefulset-syncs",
    "concurrent-ttl-after-finished-syncs",
    "endpoint-updates-batch-period",
    "endpointslice-updates-batch-period",
    "large-cluster-size-threshold",
    "max-endpoints-per-slice",
    "min-resync-period",
    "namespace-sync-period",
    "node-monitor-period",
    "service-cluster-ip-range",
];

const KUBELET: &[&str] = &[
    "cert-dir",
    "event-burst",
    "event-qps",
    "oom-score-adj",
    "pod-infra-container-image",
    "registry-burst",
    "registry-qps",
    "serialize-image-pulls!",
    "streaming-connection-idle-timeout",
    "volume-plugin-dir",
];

const PROXY: &[&str] = &[
    "config-sync-period",
    "conntrack-max-per-core",
    "conntrack-min",
    "conntrack-tcp-timeout-close-wait",
    "conntrack-tcp-timeout-established",
    "iptables-min-sync-period",
    "iptables-sync-period",
    "oom-score-adj",
    "profiling!",
];

fn tables(component: &str) -> [&'static [&'static str]; 3] {
    match component {
        "kube-scheduler" => [EVERYWHERE, SERVING, &[]],
        "kube-controller-manager" => [EVERYWHERE, SERVING, CONTROLLERS],
        "kubelet" => [EVERYWHERE, KUBELET, &[]],
        "kube-proxy" => [EVERYWHERE, PROXY, &[]],
        _ => [&[], &[], &[]],
    }
}

/// A field of a configuration file and the flag that says the same.
type Field = (&'static str, &'static str);

const KUBELET_FIELDS: &[Field] = &[
    ("/allowedUnsafeSysctls", "allowed-unsafe-sysctls"),
    ("/authentication/x509/clientCAFile", "client-ca-file"),
    ("/cgroupRoot", "cgroup-root"),
    ("/clusterDNS", "cluster-dns"),
    ("/clusterDomain", "cluster-domain"),
    ("/containerLogMaxFiles", "container-log-max-files"),
    ("/containerLogMaxSize", "container-log-max-size"),
    ("/containerRuntimeEndpoint", "container-runtime-endpoint"),
    ("/enforceNodeAllocatable", "enforce-node-allocatable"),
    ("/healthzBindAddress", "healthz-bind-address"),
    ("/healthzPort", "healthz-port"),
    ("/kubeReserved", "kube-reserved"),
    ("/maxPods", "max-pods"),
    ("/podPidsLimit", "pod-max-pids"),
    ("/port", "port"),
    ("/registerWithTaints", "register-with-taints"),
    ("/seccompDefault", "seccomp-default"),
    ("/staticPodPath", "pod-manifest-path"),
    ("/systemReserved", "system-reserved"),
    ("/tlsCertFile", "tls-cert-file"),
    ("/tlsPrivateKeyFile", "tls-private-key-file"),
];

/// Fields of a kubelet's configuration that are about the inside of upstream's program, or only about how often it
/// does what is done here too.
const KUBELET_INERT: &[&str] = &[
    "/authentication/webhook/cacheTTL",
    "/authorization/webhook",
    "/cgroupDriver",
    "/configMapAndSecretChangeDetectionStrategy",
    "/containerLogMaxWorkers",
    "/containerLogMonitorInterval",
    "/contentType",
    "/cpuManagerReconcilePeriod",
    "/enableContentionProfiling",
    "/enableProfilingHandler",
    "/enableSystemLogHandler",
    "/eventBurst",
    "/eventRecordQPS",
    "/evictionPressureTransitionPeriod",
    "/fileCheckFrequency",
    "/httpCheckFrequency",
    "/iptablesDropBit",
    "/iptablesMasqueradeBit",
    "/kubeAPIBurst",
    "/kubeAPIQPS",
    "/logging",
    "/makeIPTablesUtilChains",
    "/nodeLeaseDurationSeconds",
    "/nodeStatusMaxImages",
    "/nodeStatusReportFrequency",
    "/nodeStatusUpdateFrequency",
    "/registryBurst",
    "/registryPullQPS",
    "/rotateCertificates",
    "/runtimeRequestTimeout",
    "/serializeImagePulls",
    "/streamingConnectionIdleTimeout",
    "/syncFrequency",
    "/volumePluginDir",
    "/volumeStatsAggPeriod",
];

/// Fields that may only say what this node agent does anyway.
const KUBELET_AS_HERE: &[(&str, &str)] = &[
    ("/authentication/anonymous/enabled", "false"),
    ("/authentication/webhook/enabled", "true"),
    ("/authorization/mode", "Webhook"),
    ("/cgroupsPerQOS", "true"),
    ("/cpuCFSQuota", "true"),
    ("/cpuCFSQuotaPeriod", "100ms"),
    ("/cpuManagerPolicy", "none"),
    ("/enableControllerAttachDetach", "true"),
    ("/enableDebuggingHandlers", "true"),
    ("/enableServer", "true"),
    ("/evictionHard/imagefs.available", "15%"),
    ("/evictionHard/imagefs.inodesFree", "5%"),
    ("/evictionHard/memory.available", "100Mi"),
    ("/evictionHard/nodefs.available", "10%"),
    ("/evictionHard/nodefs.inodesFree", "5%"),
    ("/failCgroupV1", "false"),
    ("/failSwapOn", "false"),
    ("/hairpinMode", "hairpin-veth"),
    ("/memoryManagerPolicy", "None"),
    ("/protectKernelDefaults", "false"),
    ("/readOnlyPort", "0"),
    ("/registerNode", "true"),
    ("/serverTLSBootstrap", "false"),
    ("/topologyManagerPolicy", "none"),
    ("/topologyManagerScope", "container"),
];

const SCHEDULER_FIELDS: &[Field] = &[
    ("/clientConnection/kubeconfig", "kubeconfig"),
    ("/leaderElection/leaderElect", "leader-elect"),
    ("/leaderElection/leaseDuration", "leader-elect-lease-duration"),
    ("/leaderElection/renewDeadline", "leader-elect-renew-deadline"),
    ("/leaderElection/resourceLock", "leader-elect-resource-lock"),
    ("/leaderElection/resourceName", "leader-elect-resource-name"),
    ("/leaderElection/resourceNamespace", "leader-elect-resource-namespace"),
    ("/leaderElection/retryPeriod", "leader-elect-retry-period"),
];

const PROXY_FIELDS: &[Field] = &[
    ("/clientConnection/kubeconfig", "kubeconfig"),
    ("/clusterCIDR", "cluster-cidr"),
    ("/healthzBindAddress", "healthz-bind-address"),
    ("/hostnameOverride", "hostname-override"),
    ("/metricsBindAddress", "metrics-bind-address"),
    ("/mode", "proxy-mode"),
    ("/nodePortAddresses", "nodeport-addresses"),
];

/// Kind of the configuration file and what is read of it.
fn config_of(component: &str) -> Option<(&'static str, &'static [Field])> {
    match component {
        "kubelet" => Some(("KubeletConfiguration", KUBELET_FIELDS)),
        "kube-scheduler" => Some(("KubeSchedulerConfiguration", SCHEDULER_FIELDS)),
        "kube-proxy" => Some(("KubeProxyConfiguration", PROXY_FIELDS)),
        _ => None,
    }
}

/// A command line for the parser.
#[derive(Debug, Default, PartialEq)]
pub struct Prepared {
    pub args: Vec<OsString>,
    /// Flags and fields that were given and do nothing, as they were written.
    pub without_effect: Vec<String>,
}

/// Takes out what has no effect and puts the configuration file's fields in; flags on the line win over the file.
/// Only command lines of components are changed; the first argument is the program, the second the component.
///
/// # Errors
/// When the configuration file cannot be read or asks for what is not there.
pub fn prepare(args: Vec<OsString>) -> Result<Prepared> {
    let component =
        args.get(1).and_then(|a| a.to_str()).filter(|c| COMPONENTS.contains(c)).map(str::to_owned);
    let Some(component) = component else { return Ok(Prepared { args, ..Prepared::default() }) };
    let mut out = Prepared::default();
    let mut config = None;
    let mut given = Vec::new();
    let mut rest = args.into_iter();
    out.args.extend(rest.by_ref().take(2));
    while let Some(arg) = rest.next() {
        let Some(flag) = arg.to_str().and_then(|a| a.strip_prefix("--")) else {
            out.args.push(arg);
            continue;
        };
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name.replace('_', "-"), Some(value.to_owned())),
            None => (flag.replace('_', "-"), None),
        };
        if name == "config" && config_of(&component).is_some() {
            let next = || rest.next().and_then(|a| a.into_string().ok());
            config = Some(value.or_else(next).context("--config needs a file")?);
        } else if let Some(takes_value) = effectless(&component, &name) {
            if takes_value && value.is_none() {
                rest.next();
            }
            out.without_effect.push(format!("--{name}"));
        } else {
            given.push(name.clone());
            out.args.push(match value {
                Some(value) => format!("--{name}={value}").into(),
                None => format!("--{name}").into(),
            });
        }
    }
    if let Some(path) = config {
        read_config(&component, Path::new(&path), &given, &mut out)
            .with_context(|| format!("--config {path}"))?;
    }
    Ok(out)
}

/// Whether a flag has no effect, and then whether it takes a value of its own.
fn effectless(component: &str, name: &str) -> Option<bool> {
    tables(component).into_iter().flatten().find_map(|entry| match entry.strip_suffix('!') {
        Some(bare) => (bare == name).then_some(false),
        None => (*entry == name).then_some(true),
    })
}

fn read_config(component: &str, path: &Path, given: &[String], out: &mut Prepared) -> Result<()> {
    let Some((kind, fields)) = config_of(component) else { return Ok(()) };
    let mut text = String::new();
    std::fs::File::open(path)?.take(CONFIG_LIMIT_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > CONFIG_LIMIT_BYTES {
        bail!("longer than {CONFIG_LIMIT_BYTES} bytes");
    }
    let config: Value = serde_saphyr::from_str(&text).context("not YAML")?;
    if config["kind"] != kind {
        bail!("its kind is {}, not {kind}", config["kind"]);
    }
    if component == "kube-scheduler" {
        only_the_default_profile(&config)?;
    }
    for (pointer, flag) in fields {
        let Some(value) = config.pointer(pointer).filter(|v| !v.is_null()) else { continue };
        let text = as_flag(value).with_context(|| format!("{} cannot be {value}", field_name(pointer)))?;
        if !text.is_empty() && !given.iter().any(|g| g == flag) {
            out.args.push(format!("--{flag}={text}").into());
        }
    }
    if component == "kubelet" {
        return kubelet_fields(&config, "", out);
    }
    unread("", &config, fields, &mut out.without_effect);
    Ok(())
}

/// `/a/b` as `a.b`.
fn field_name(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace('/', ".")
}

/// The fields that say something and of which nothing is read, named as deep as the fields that are.
fn unread(at: &str, value: &Value, fields: &[Field], out: &mut Vec<String>) {
    for (key, value) in value.as_object().into_iter().flatten() {
        let pointer = format!("{at}/{key}");
        let known = matches!(pointer.as_str(), "/apiVersion" | "/kind" | "/profiles" | "/extenders");
        let empty = value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty);
        if known || empty || fields.iter().any(|(p, _)| *p == pointer) {
            continue;
        }
        let below = format!("{pointer}/");
        match fields.iter().any(|(p, _)| p.starts_with(&below)) {
            true => unread(&pointer, value, fields, out),
            false => out.push(field_name(&pointer)),
        }
    }
}

/// Looks at every field of a kubelet's configuration that no flag stands for: taken without effect, or refused by name
/// when it asks for what is not done here.
fn kubelet_fields(at: &Value, path: &str, out: &mut Prepared) -> Result<()> {
    for (key, value) in at.as_object().into_iter().flatten() {
        let path = format!("{path}/{key}");
        let name = field_name(&path);
        let is_flag = KUBELET_FIELDS.iter().any(|(p, _)| *p == path);
        if is_flag || matches!(path.as_str(), "/apiVersion" | "/kind") || is_unset(value) {
            continue;
        }
        if let Some((_, here)) = KUBELET_AS_HERE.iter().find(|(p, _)| *p == path) {
            if as_flag(value).as_deref() != Some(here) {
                bail!("{name}: {value} is not supported by this kubelet, only {here}");
            }
        } else if KUBELET_INERT.contains(&path.as_str()) {
            out.without_effect.push(name);
        } else if value.is_object() && is_above_known(&path) {
            kubelet_fields(value, &path, out)?;
        } else {
            bail!("{name} is not supported by this kubelet");
        }
    }
    Ok(())
}

/// Whether a value says no more than its absence; `0s` is how a file is written in which a duration is left open.
fn is_unset(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(s) => s.is_empty() || s == "0s",
        Value::Array(a) => a.is_empty(),
        Value::Object(o) => o.values().all(is_unset),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn is_above_known(path: &str) -> bool {
    let below = format!("{path}/");
    let fields = KUBELET_FIELDS.iter().chain(KUBELET_AS_HERE).map(|(p, _)| *p);
    fields.chain(KUBELET_INERT.iter().copied()).any(|p| p.starts_with(&below))
}

/// The text of a flag for a scalar, a list of scalars, a list of taints or a map of quantities; `None` for anything
/// else.
fn as_flag(value: &Value) -> Option<String> {
    Some(match value {
        Value::String(s) => s.clone(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => n.to_string(),
        Value::Array(list) => list.iter().map(as_flag).collect::<Option<Vec<_>>>()?.join(","),
        Value::Object(o) if !o.contains_key("effect") => {
            let pair = |(k, v): (&String, &Value)| v.as_str().map(|v| format!("{k}={v}"));
            o.iter().map(pair).collect::<Option<Vec<_>>>()?.join(",")
        }
        Value::Object(o) => {
            let part = |name: &str| o.get(name).and_then(Value::as_str);
            format!("{}={}:{}", part("key")?, part("value").unwrap_or_default(), part("effect")?)
        }
        Value::Null => return None,
    })
}

fn only_the_default_profile(config: &Value) -> Result<()> {
    if config["extenders"].as_array().is_some_and(|e| !e.is_empty()) {
        bail!("extenders are not there yet");
    }
    for profile in config["profiles"].as_array().into_iter().flatten() {
        for (key, value) in profile.as_object().into_iter().flatten() {
            if key != "schedulerName" || value != "default-scheduler" {
                bail!(
                    "profiles other than the default one are not there yet: {key} of a profile is not supported"
                );
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn flags_of_upstream() {
        let cases = [
            ("corten up --profiling", "corten up --profiling", ""),
            ("corten kube-scheduler --profiling --v=2", "corten kube-scheduler --v=2", "--profiling"),
            (
                "corten kube-controller-manager --authentication-kubeconfig a --leader_elect=true --cluster-name=k -v 4",
                "corten kube-controller-manager --leader-elect=true -v 4",
                "--authentication-kubeconfig --cluster-name",
            ),
            (
                "corten kube-proxy --oom-score-adj=-998 --cleanup",
                "corten kube-proxy --cleanup",
                "--oom-score-adj",
            ),
            // What asks for a behaviour is left to the parser, which refuses it.
            ("corten kubelet --cloud-provider=external", "corten kubelet --cloud-provider=external", ""),
        ];
        for (line, want, without) in cases {
            let got = prepare(args(line)).unwrap();
            assert_eq!(got.args, args(want), "{line}");
            assert_eq!(got.without_effect.join(" "), without, "{line}");
        }
    }

    fn with_config(component: &str, text: &str, line: &str) -> Result<Prepared> {
        static FILES: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let n = FILES.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("corten-config-{}-{component}-{n}", std::process::id()));
        std::fs::write(&dir, text).unwrap();
        let got = prepare(args(&format!("corten {component} --config {} {line}", dir.display())));
        std::fs::remove_file(&dir).unwrap();
        got
    }

    #[test]
    fn configuration_files() {
        let kubelet = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nclusterDNS: [10.96.0.10]\n\
                       maxPods: 50\nevictionHard: {memory.available: 100Mi}\nauthentication:\n  x509: {clientCAFile: /ca}\n\
                       registerWithTaints:\n- {key: a, value: b, effect: NoSchedule}\nlogging: {format: json}\n\
                       kubeReserved: {cpu: 200m, memory: 1Gi}\nenforceNodeAllocatable: [pods]\npodPidsLimit: 100\n\
                       seccompDefault: true\n";
        let got = with_config("kubelet", kubelet, "--max-pods=10").unwrap();
        let want = "corten kubelet --max-pods=10 --client-ca-file=/ca --cluster-dns=10.96.0.10 \
                    --enforce-node-allocatable=pods --kube-reserved=cpu=200m,memory=1Gi --pod-max-pids=100 \
                    --register-with-taints=a=b:NoSchedule --seccomp-default=true";
        assert_eq!(got.args, args(want));
        assert_eq!(got.without_effect, ["logging"]);
        let long = "#".repeat(2 << 20);
        for (text, want) in [
            ("kind: KubeletConfiguration\nmaxPods: {a: 1}\n", "maxPods cannot be {\"a\":1}"),
            (long.as_str(), "longer than 1048576 bytes"),
        ] {
            let refused = format!("{:#}", with_config("kubelet", text, "").unwrap_err());
            assert!(refused.contains(want), "{refused}");
        }

        let proxy = "kind: KubeProxyConfiguration\nmode: \"\"\nclusterCIDR: 10.1.0.0/16\nnodePortAddresses: null\n\
                     clientConnection: {kubeconfig: /k}\n";
        let got = with_config("kube-proxy", proxy, "").unwrap();
        assert_eq!(got.args, args("corten kube-proxy --kubeconfig=/k --cluster-cidr=10.1.0.0/16"));

        let scheduler = "kind: KubeSchedulerConfiguration\nprofiles:\n- {schedulerName: default-scheduler}\n";
        assert_eq!(with_config("kube-scheduler", scheduler, "").unwrap().args, args("corten kube-scheduler"));
        let scheduler = "kind: KubeSchedulerConfiguration\nprofiles:\n- {schedulerName: mine}\n";
        let refused = format!("{:#}", with_config("kube-scheduler", scheduler, "").unwrap_err());
        assert!(refused.contains("schedulerName of a profile is not supported"), "{refused}");
        let scheduler = "kind: KubeSchedulerConfiguration\nextenders: [{urlPrefix: x}]\n";
        let refused = format!("{:#}", with_config("kube-scheduler", scheduler, "").unwrap_err());
        assert!(refused.contains("extenders are not there yet"), "{refused}");
        let refused = format!("{:#}", with_config("kube-scheduler", "kind: Other", "").unwrap_err());
        assert!(refused.contains("its kind is \"Other\", not KubeSchedulerConfiguration"), "{refused}");
    }

    /// What a stock installer writes is taken; what asks for a behaviour that is not there is refused by its name.
    #[test]
    fn fields_of_a_kubelet_are_known_or_refused() {
        let stock = "kind: KubeletConfiguration\nauthentication:\n  anonymous: {enabled: false}\n  webhook: {cacheTTL: 0s, enabled: true}\n\
            authorization:\n  mode: Webhook\n  webhook: {cacheAuthorizedTTL: 0s, cacheUnauthorizedTTL: 0s}\n\
            cgroupDriver: systemd\ncontainerRuntimeEndpoint: \"\"\ncpuManagerReconcilePeriod: 0s\ncrashLoopBackOff: {}\n\
            evictionPressureTransitionPeriod: 0s\nfileCheckFrequency: 0s\nimageMaximumGCAge: 0s\nimageMinimumGCAge: 0s\n\
            logging: {flushFrequency: 0, options: {json: {infoBufferSize: \"0\"}}, verbosity: 0}\nmemorySwap: {}\n\
            rotateCertificates: true\nshutdownGracePeriod: 0s\nsyncFrequency: 0s\n";
        let got = with_config("kubelet", stock, "").unwrap();
        assert_eq!(got.args, args("corten kubelet"));
        assert_eq!(got.without_effect, ["cgroupDriver", "logging", "rotateCertificates"]);
        let cases = [
            ("featureGates: {A: true}", "featureGates is not supported by this kubelet"),
            ("evictionSoft: {memory.available: 1Gi}", "evictionSoft is not supported by this kubelet"),
            (
                "evictionHard: {memory.available: 1Gi}",
                "evictionHard.memory.available: \"1Gi\" is not supported by this kubelet, only 100Mi",
            ),
            (
                "evictionHard: {pid.available: 5%}",
                "evictionHard.pid.available is not supported by this kubelet",
            ),
            (
                "cpuManagerPolicy: static",
                "cpuManagerPolicy: \"static\" is not supported by this kubelet, only none",
            ),
            (
                "imageGCHighThresholdPercent: 80",
                "imageGCHighThresholdPercent is not supported by this kubelet",
            ),
            ("shutdownGracePeriod: 30s", "shutdownGracePeriod is not supported by this kubelet"),
            ("memorySwap: {swapBehavior: LimitedSwap}", "memorySwap is not supported by this kubelet"),
            (
                "authorization: {mode: AlwaysAllow}",
                "authorization.mode: \"AlwaysAllow\" is not supported by this kubelet, only Webhook",
            ),
        ];
        for (field, want) in cases {
            let text = format!("kind: KubeletConfiguration\n{field}\n");
            let refused = format!("{:#}", with_config("kubelet", &text, "").unwrap_err());
            assert!(refused.ends_with(want), "{field}: {refused}");
        }
    }
}
