//! The CRI configuration of one container.
// k8s: pkg/kubelet/kuberuntime/kuberuntime_container.go generateContainerConfig

use std::collections::HashMap;

use cri::v1;
use k8s_openapi::api::core::v1::{AppArmorProfile, Container, Pod, SecurityContext, VolumeMount};

use crate::config::Config;
use crate::error::{Error, Result};
use crate::spec::sandbox::{self, CONTAINER_NAME};
use crate::spec::{PodExt, expand, resources};

// k8s: pkg/kubelet/kuberuntime/labels.go
pub const HASH: &str = "io.kubernetes.container.hash";
pub const RESTART_COUNT: &str = "io.kubernetes.container.restartCount";
pub const MESSAGE_PATH: &str = "io.kubernetes.container.terminationMessagePath";
pub const MESSAGE_POLICY: &str = "io.kubernetes.container.terminationMessagePolicy";
pub const PRE_STOP: &str = "io.kubernetes.container.preStopHandler";
pub const GRACE_PERIOD: &str = "io.kubernetes.pod.terminationGracePeriod";

/// Where the termination message lies inside a container that does not say otherwise.
pub const DEFAULT_MESSAGE_PATH: &str = "/dev/termination-log";

/// Hides what the default procMount hides.
// k8s: pkg/securitycontext/util.go defaultMaskedPaths, defaultReadonlyPaths
const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];
const READONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Everything that goes into a container's configuration and was gathered before.
pub struct Inputs<'a> {
    pub pod: &'a Pod,
    pub container: &'a Container,
    /// Counts containers of this name in this pod; names the log file.
    pub restart_count: u32,
    /// What the image is run by.
    pub image_ref: &'a str,
    /// The user an image without `runAsUser` runs as, when the runtime told a number.
    pub image_uid: Option<i64>,
    pub image_username: &'a str,
    pub env: Vec<(String, String)>,
    pub mounts: Vec<v1::Mount>,
    pub memory_capacity_bytes: i64,
    pub own_oom_score: Option<i64>,
    /// Id of the container whose process namespace it joins.
    pub target: Option<&'a str>,
}

/// Whether the parts that cannot change in place have changed: name and image.
// k8s: pkg/kubelet/container/helpers.go HashContainer (the fields, not the bytes hashed)
#[must_use]
pub fn hash(container: &Container) -> String {
    let mut h: u32 = 0x811c_9dc5;
    for b in container.name.bytes().chain([0]).chain(container.image.iter().flat_map(|i| i.bytes())) {
        h = (h ^ u32::from(b)).wrapping_mul(0x0100_0193);
    }
    format!("{h:x}")
}

/// The configuration.
///
/// # Errors
/// [`Error::Config`] when the security context cannot be kept.
pub fn config(i: Inputs<'_>, node: &Config) -> Result<v1::ContainerConfig> {
    let c = i.container;
    verify_non_root(&i)?;
    let lookup = |n: &str| i.env.iter().find(|(k, _)| k == n).map(|(_, v)| v.clone());
    let words =
        |w: &Option<Vec<String>>| w.iter().flatten().map(|s| expand::expand(s, lookup)).collect::<Vec<_>>();
    let mut labels = sandbox::pod_labels(i.pod);
    labels.insert(CONTAINER_NAME.to_owned(), c.name.clone());
    let security_context = security_context(&i, node);
    Ok(v1::ContainerConfig {
        metadata: Some(v1::ContainerMetadata { name: c.name.clone(), attempt: i.restart_count }),
        image: Some(v1::ImageSpec {
            image: i.image_ref.to_owned(),
            user_specified_image: c.image.clone().unwrap_or_default(),
            ..Default::default()
        }),
        command: words(&c.command),
        args: words(&c.args),
        working_dir: c.working_dir.clone().unwrap_or_default(),
        envs: i.env.iter().map(|(k, v)| v1::KeyValue { key: k.clone(), value: v.clone() }).collect(),
        mounts: i.mounts,
        labels,
        annotations: annotations(i.pod, c, i.restart_count),
        log_path: format!("{}/{}.log", c.name, i.restart_count),
        stdin: c.stdin.unwrap_or(false),
        stdin_once: c.stdin_once.unwrap_or(false),
        tty: c.tty.unwrap_or(false),
        linux: Some(v1::LinuxContainerConfig {
            resources: Some(resources::container_resources(
                i.pod,
                c,
                i.memory_capacity_bytes,
                i.own_oom_score,
            )),
            security_context: Some(security_context),
        }),
        stop_signal: c
            .lifecycle
            .as_ref()
            .and_then(|l| l.stop_signal.as_deref())
            .and_then(v1::Signal::from_str_name)
            .unwrap_or(v1::Signal::RuntimeDefault) as i32,
        ..Default::default()
    })
}

fn annotations(pod: &Pod, c: &Container, restart_count: u32) -> HashMap<String, String> {
    let path = c.termination_message_path.as_deref().unwrap_or(DEFAULT_MESSAGE_PATH);
    let mut out: HashMap<String, String> = HashMap::new();
    let mut put = |k: &str, v: String| out.insert(k.to_owned(), v);
    put(HASH, hash(c));
    put(RESTART_COUNT, restart_count.to_string());
    put(MESSAGE_PATH, path.to_owned());
    put(MESSAGE_POLICY, c.termination_message_policy.clone().unwrap_or_else(|| "File".to_owned()));
    if let Some(s) = pod.sp().termination_grace_period_seconds {
        put(GRACE_PERIOD, s.to_string());
    }
    if let Some(handler) = c.lifecycle.as_ref().and_then(|l| l.pre_stop.as_ref())
        && let Ok(text) = serde_json::to_string(handler)
    {
        put(PRE_STOP, text);
    }
    out
}

fn pick<T>(
    own: Option<&SecurityContext>,
    f: impl Fn(&SecurityContext) -> Option<T>,
    pod: Option<T>,
) -> Option<T> {
    own.and_then(f).or(pod)
}

/// The AppArmor profile in force for a container.
#[must_use]
pub fn apparmor_profile<'a>(pod: &'a Pod, c: &'a Container) -> Option<&'a AppArmorProfile> {
    let own = c.security_context.as_ref().and_then(|s| s.app_armor_profile.as_ref());
    own.or(pod.sp().security_context.as_ref().and_then(|s| s.app_armor_profile.as_ref()))
}

/// Whether a mount is read-only with all below it. `supported`: the runtime can make it so.
///
/// # Errors
/// Why it cannot be what it must.
// k8s: pkg/kubelet/kubelet_pods.go resolveRecursiveReadOnly
pub fn is_wholly_read_only(m: &VolumeMount, supported: bool) -> Result<bool, String> {
    let mode = m.recursive_read_only.as_deref().unwrap_or("Disabled");
    if mode == "Disabled" {
        return Ok(false);
    }
    let no =
        |why: &str| Err(format!("volume \"{}\" requested recursive read-only mode, but it is {why}", m.name));
    if m.read_only != Some(true) {
        return no("not read-only");
    }
    match (m.mount_propagation.as_deref().unwrap_or("None"), mode) {
        ("None", "IfPossible") => Ok(supported),
        ("None", "Enabled") if supported => Ok(true),
        ("None", "Enabled") => no("not supported by the runtime"),
        ("None", other) => Err(format!("unknown recursive read-only mode \"{other}\"")),
        (propagation, _) => no(&format!("not compatible with propagation \"{propagation}\"")),
    }
}

fn verify_non_root(i: &Inputs<'_>) -> Result<()> {
    let own = i.container.security_context.as_ref();
    let pod = i.pod.sp().security_context.as_ref();
    if pick(own, |s| s.run_as_non_root, pod.and_then(|s| s.run_as_non_root)) != Some(true) {
        return Ok(());
    }
    let whom = format!("(pod: \"{}\", container: {})", i.pod.text(), i.container.name);
    match pick(own, |s| s.run_as_user, pod.and_then(|s| s.run_as_user)) {
        Some(0) => Err(Error::Config(format!("container's runAsUser breaks non-root policy {whom}"))),
        Some(_) => Ok(()),
        None if !i.image_username.is_empty() => Err(Error::Config(format!(
            "container has runAsNonRoot and image has non-numeric user ({}), cannot verify user is non-root {whom}",
            i.image_username
        ))),
        None if i.image_uid.unwrap_or(0) == 0 => {
            Err(Error::Config(format!("container has runAsNonRoot and image will run as root {whom}")))
        }
        None => Ok(()),
    }
}

fn security_context(i: &Inputs<'_>, node: &Config) -> v1::LinuxContainerSecurityContext {
    let Inputs { pod, container: c, image_uid, image_username, target, .. } = *i;
    let mut namespaces = sandbox::namespaces(pod);
    if let Some(id) = target {
        namespaces.pid = v1::NamespaceMode::Target as i32;
        namespaces.target_id = id.to_owned();
    }
    let own = c.security_context.as_ref();
    let all = pod.sp().security_context.as_ref();
    // An image that names no user runs as root.
    // k8s: pkg/kubelet/kuberuntime/helpers.go getImageUser
    let image_uid = image_uid.or(image_username.is_empty().then_some(0));
    let user = pick(own, |s| s.run_as_user, all.and_then(|s| s.run_as_user)).or(image_uid);
    let group = pick(own, |s| s.run_as_group, all.and_then(|s| s.run_as_group));
    let privileged = own.and_then(|s| s.privileged).unwrap_or(false);
    let unmasked = own.and_then(|s| s.proc_mount.as_deref()) == Some("Unmasked");
    let paths = |list: &[&str]| {
        if privileged || unmasked { Vec::new() } else { list.iter().map(|s| (*s).to_owned()).collect() }
    };
    let capabilities = own.and_then(|s| s.capabilities.as_ref());
    let seccomp =
        own.and_then(|s| s.seccomp_profile.as_ref()).or(all.and_then(|s| s.seccomp_profile.as_ref()));
    let strict = all.and_then(|s| s.supplemental_groups_policy.as_deref()) == Some("Strict");
    v1::LinuxContainerSecurityContext {
        capabilities: capabilities.map(|k| v1::Capability {
            add_capabilities: k.add.clone().unwrap_or_default(),
            drop_capabilities: k.drop.clone().unwrap_or_default(),
            ..Default::default()
        }),
        privileged,
        namespace_options: Some(namespaces),
        run_as_user: user.map(|value| v1::Int64Value { value }),
        run_as_username: if user.is_none() { image_username.to_owned() } else { String::new() },
        run_as_group: group.map(|value| v1::Int64Value { value }),
        readonly_rootfs: own.and_then(|s| s.read_only_root_filesystem).unwrap_or(false),
        supplemental_groups: sandbox::groups(pod),
        supplemental_groups_policy: i32::from(strict),
        no_new_privs: own.and_then(|s| s.allow_privilege_escalation) == Some(false),
        masked_paths: paths(&MASKED),
        readonly_paths: paths(&READONLY),
        seccomp: Some(sandbox::seccomp(seccomp, node)),
        apparmor: apparmor_profile(pod, c).map(sandbox::apparmor),
        selinux_options: own
            .and_then(|s| s.se_linux_options.as_ref())
            .or(all.and_then(|s| s.se_linux_options.as_ref()))
            .map(sandbox::selinux),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn make(
        pod_sc: serde_json::Value,
        container: serde_json::Value,
        uid: Option<i64>,
    ) -> Result<v1::ContainerConfig> {
        of_image(pod_sc, container, uid, "")
    }

    fn of_image(
        pod_sc: serde_json::Value,
        container: serde_json::Value,
        uid: Option<i64>,
        username: &str,
    ) -> Result<v1::ContainerConfig> {
        let pod: Pod =
            serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "n", "uid": "u"},
            "spec": {"securityContext": pod_sc, "containers": [container]}}))
            .unwrap();
        let inputs = Inputs {
            pod: &pod,
            container: &pod.sp().containers[0],
            restart_count: 3,
            image_ref: "sha256:1",
            image_uid: uid,
            image_username: username,
            env: vec![("A".into(), "1".into())],
            mounts: vec![],
            memory_capacity_bytes: 1 << 30,
            own_oom_score: None,
            target: None,
        };
        config(inputs, &Config::new("node", "/r"))
    }

    #[test]
    fn config_of_a_container() {
        let c = make(
            json!({"runAsUser": 5}),
            json!({"name": "c", "image": "i", "command": ["sh", "$(A)"], "args": ["$(B)"],
                "securityContext": {"runAsGroup": 6, "capabilities": {"add": ["NET_ADMIN"]},
                    "allowPrivilegeEscalation": false, "seccompProfile": {"type": "RuntimeDefault"}}}),
            None,
        )
        .unwrap();
        assert_eq!((c.command.join(" "), c.args.join(" ")), ("sh 1".into(), "$(B)".into()));
        assert_eq!(c.log_path, "c/3.log");
        assert_eq!(c.annotations[RESTART_COUNT], "3");
        let sc = c.linux.unwrap().security_context.unwrap();
        assert_eq!((sc.run_as_user.unwrap().value, sc.run_as_group.unwrap().value), (5, 6));
        assert!(sc.no_new_privs);
        assert_eq!(sc.capabilities.unwrap().add_capabilities, ["NET_ADMIN"]);
    }

    /// Whoever the image runs as, the group that is asked for is given.
    #[test]
    fn a_group_is_given_with_every_user() {
        let cases = [
            (json!({}), None, "", (Some(0), "")),
            (json!({}), Some(7), "", (Some(7), "")),
            (json!({}), None, "nobody", (None, "nobody")),
            (json!({"runAsUser": 5}), None, "nobody", (Some(5), "")),
        ];
        for (mut sc, uid, username, want) in cases {
            let context = |sc: &serde_json::Value| {
                let c = of_image(sc.clone(), json!({"name": "c", "image": "i"}), uid, username).unwrap();
                c.linux.unwrap().security_context.unwrap()
            };
            assert_eq!(context(&sc).run_as_group, None, "{sc}");
            sc["runAsGroup"] = json!(6);
            let got = context(&sc);
            assert_eq!((got.run_as_user.map(|u| u.value), got.run_as_username.as_str()), want, "{sc}");
            assert_eq!(got.run_as_group.map(|g| g.value), Some(6), "{sc} {uid:?} {username:?}");
        }
    }

    #[test]
    fn an_apparmor_profile_is_never_left_out() {
        use v1::security_profile::ProfileType;
        let sc = json!({"appArmorProfile": {"type": "Localhost", "localhostProfile": "mine"}});
        let c = make(sc, json!({"name": "c", "image": "i"}), None).unwrap();
        let profile = c.linux.unwrap().security_context.unwrap().apparmor.unwrap();
        assert_eq!(
            (profile.profile_type, profile.localhost_ref.as_str()),
            (ProfileType::Localhost as i32, "mine")
        );
    }

    #[test]
    fn a_node_may_have_a_default_seccomp_profile() {
        use v1::security_profile::ProfileType;
        let profile = |kind: &str| serde_json::from_value(json!({"type": kind})).unwrap();
        let cases = [
            (None, false, ProfileType::Unconfined),
            (None, true, ProfileType::RuntimeDefault),
            (Some("Unconfined"), true, ProfileType::Unconfined),
            (Some("RuntimeDefault"), false, ProfileType::RuntimeDefault),
        ];
        for (given, seccomp_default, want) in cases {
            let node = Config { seccomp_default, ..Config::new("node", "/r") };
            let got = sandbox::seccomp(given.map(profile).as_ref(), &node);
            assert_eq!(got.profile_type, want as i32, "{given:?} {seccomp_default}");
        }
    }

    #[test]
    fn non_root_is_verified() {
        let cases = [
            (json!({}), None, "container has runAsNonRoot and image will run as root"),
            (json!({"runAsUser": 0}), None, "container's runAsUser breaks non-root policy"),
            (json!({"runAsUser": 1}), None, ""),
            (json!({}), Some(1000), ""),
        ];
        for (mut sc, uid, want) in cases {
            sc["runAsNonRoot"] = json!(true);
            let got = make(sc, json!({"name": "c", "image": "i"}), uid).err().map(|e| e.to_string());
            assert_eq!(got.is_some(), !want.is_empty(), "{got:?}");
            assert!(got.unwrap_or_default().starts_with(want));
        }
    }

    #[test]
    fn only_name_and_image_are_hashed() {
        let base = Container { name: "c".into(), image: Some("i".into()), ..Container::default() };
        let other = Container { tty: Some(true), ..base.clone() };
        assert_eq!(hash(&base), hash(&other));
        assert_ne!(hash(&base), hash(&Container { image: Some("j".into()), ..base.clone() }));
    }
}
