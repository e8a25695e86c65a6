//! Command lines and configuration files as they are written for upstream's components. What has a flag here is
//! turned into that flag; what is only about the inside of upstream's programs is taken without effect, and said;
//! everything else is refused by the parser behind. A flag that asks for a behaviour is never in these tables.

use std::ffi::OsString;
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
    "authentication-skip-lookup!",
    "authentication-token-webhook-cache-ttl",
    "authentication-tolerate-lookup-failure!",
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
    "concurrent-deployment-syncs",
    "concurrent-endpoint-syncs",
    "concurrent-gc-syncs",
    "concurrent-namespace-syncs",
    "concurrent-rc-syncs",
    "concurrent-replicaset-syncs",
    "concurrent-service-endpoint-syncs",
    "concurrent-serviceaccount-token-syncs",
    "configure-cloud-routes!",
    "enable-garbage-collector!",
    "endpoint-updates-batch-period",
    "endpointslice-updates-batch-period",
    "large-cluster-size-threshold",
    "max-endpoints-per-slice",
    "min-resync-period",
    "namespace-sync-period",
    "node-eviction-rate",
    "node-monitor-period",
    "node-startup-grace-period",
    "secondary-node-eviction-rate",
    "service-account-private-key-file",
    "service-cluster-ip-range",
    "unhealthy-zone-threshold",
];

const KUBELET: &[&str] = &[
    "cert-dir",
    "event-burst",
    "event-qps",
    "image-gc-high-threshold",
    "image-gc-low-threshold",
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
    ("/authentication/x509/clientCAFile", "client-ca-file"),
    ("/cgroupRoot", "cgroup-root"),
    ("/clusterDNS", "cluster-dns"),
    ("/clusterDomain", "cluster-domain"),
    ("/containerRuntimeEndpoint", "container-runtime-endpoint"),
    ("/healthzBindAddress", "healthz-bind-address"),
    ("/healthzPort", "healthz-port"),
    ("/maxPods", "max-pods"),
    ("/port", "port"),
    ("/registerWithTaints", "register-with-taints"),
    ("/staticPodPath", "pod-manifest-path"),
    ("/tlsCertFile", "tls-cert-file"),
    ("/tlsPrivateKeyFile", "tls-private-key-file"),
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
    if std::fs::metadata(path)?.len() > CONFIG_LIMIT_BYTES {
        bail!("longer than {CONFIG_LIMIT_BYTES} bytes");
    }
    let config: Value = serde_saphyr::from_str(&std::fs::read_to_string(path)?).context("not YAML")?;
    if config["kind"] != kind {
        bail!("its kind is {}, not {kind}", config["kind"]);
    }
    if component == "kube-scheduler" {
        only_the_default_profile(&config)?;
    }
    for (pointer, flag) in fields {
        let Some(text) = config.pointer(pointer).and_then(as_flag).filter(|t| !t.is_empty()) else {
            continue;
        };
        if !given.iter().any(|g| g == flag) {
            out.args.push(format!("--{flag}={text}").into());
        }
    }
    for (key, value) in config.as_object().into_iter().flatten() {
        let known = matches!(key.as_str(), "apiVersion" | "kind" | "profiles");
        let read = fields.iter().any(|(p, _)| p.split('/').nth(1) == Some(key));
        let empty = value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty);
        if !known && !read && !empty {
            out.without_effect.push(key.clone());
        }
    }
    Ok(())
}

/// The text of a flag for a scalar, a list of scalars or a list of taints; `None` for anything else.
fn as_flag(value: &Value) -> Option<String> {
    Some(match value {
        Value::String(s) => s.clone(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => n.to_string(),
        Value::Array(list) => list.iter().map(as_flag).collect::<Option<Vec<_>>>()?.join(","),
        Value::Object(o) => {
            let part = |name: &str| o.get(name).and_then(Value::as_str);
            format!("{}={}:{}", part("key")?, part("value").unwrap_or_default(), part("effect")?)
        }
        Value::Null => return None,
    })
}

fn only_the_default_profile(config: &Value) -> Result<()> {
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
        let dir = std::env::temp_dir().join(format!("corten-config-{}-{component}", std::process::id()));
        std::fs::write(&dir, text).unwrap();
        let got = prepare(args(&format!("corten {component} --config {} {line}", dir.display())));
        std::fs::remove_file(&dir).unwrap();
        got
    }

    #[test]
    fn configuration_files() {
        let kubelet = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nclusterDNS: [10.96.0.10]\n\
                       maxPods: 50\nevictionHard: {memory.available: 100Mi}\nauthentication:\n  x509: {clientCAFile: /ca}\n\
                       registerWithTaints:\n- {key: a, value: b, effect: NoSchedule}\nlogging: {}\n";
        let got = with_config("kubelet", kubelet, "--max-pods=10").unwrap();
        let want = "corten kubelet --max-pods=10 --client-ca-file=/ca --cluster-dns=10.96.0.10 \
                    --register-with-taints=a=b:NoSchedule";
        assert_eq!(got.args, args(want));
        assert_eq!(got.without_effect, ["evictionHard"]);

        let proxy = "kind: KubeProxyConfiguration\nmode: \"\"\nclusterCIDR: 10.1.0.0/16\nnodePortAddresses: null\n\
                     clientConnection: {kubeconfig: /k}\n";
        let got = with_config("kube-proxy", proxy, "").unwrap();
        assert_eq!(got.args, args("corten kube-proxy --kubeconfig=/k --cluster-cidr=10.1.0.0/16"));

        let scheduler = "kind: KubeSchedulerConfiguration\nprofiles:\n- {schedulerName: default-scheduler}\n";
        assert_eq!(with_config("kube-scheduler", scheduler, "").unwrap().args, args("corten kube-scheduler"));
        let scheduler = "kind: KubeSchedulerConfiguration\nprofiles:\n- {schedulerName: mine}\n";
        let refused = format!("{:#}", with_config("kube-scheduler", scheduler, "").unwrap_err());
        assert!(refused.contains("schedulerName of a profile is not supported"), "{refused}");
        let refused = format!("{:#}", with_config("kube-scheduler", "kind: Other", "").unwrap_err());
        assert!(refused.contains("its kind is \"Other\", not KubeSchedulerConfiguration"), "{refused}");
    }
}
