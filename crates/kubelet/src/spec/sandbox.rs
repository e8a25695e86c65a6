//! The CRI sandbox configuration of a pod.
// k8s: pkg/kubelet/kuberuntime/kuberuntime_sandbox.go generatePodSandboxConfig

use std::collections::BTreeMap;

use cri::v1;
use k8s_openapi::api::core::v1::{AppArmorProfile, Pod, SELinuxOptions, SeccompProfile};

use crate::config::Config;
use crate::spec::{PodExt, hosts};

// k8s: staging/src/k8s.io/kubelet/pkg/types/labels.go
pub const POD_NAME: &str = "io.kubernetes.pod.name";
pub const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
pub const POD_UID: &str = "io.kubernetes.pod.uid";
pub const CONTAINER_NAME: &str = "io.kubernetes.container.name";

/// The labels of a pod's sandbox and containers; upstream's, so that either agent can take over.
#[must_use]
pub fn pod_labels(pod: &Pod) -> std::collections::HashMap<String, String> {
    [(POD_NAME, pod.nm()), (POD_NAMESPACE, pod.ns()), (POD_UID, pod.uid())]
        .into_iter()
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect()
}

/// The sandbox configuration. `cgroup_parent` is in the cgroupfs form.
#[must_use]
pub fn config(
    pod: &Pod,
    node: &Config,
    dns: v1::DnsConfig,
    cgroup_parent: &str,
    attempt: u32,
) -> v1::PodSandboxConfig {
    let (hostname, domain) = hosts::names(pod, &node.cluster_domain);
    let fqdn = pod.sp().set_hostname_as_fqdn == Some(true) && !domain.is_empty();
    let hostname = match (pod.host_network(), fqdn) {
        (true, _) => String::new(),
        (false, true) => format!("{hostname}.{domain}"),
        (false, false) => hostname,
    };
    let mut labels = pod_labels(pod);
    for (k, v) in pod.metadata.labels.iter().flatten() {
        labels.entry(k.clone()).or_insert_with(|| v.clone());
    }
    let annotations: BTreeMap<String, String> = pod.metadata.annotations.clone().unwrap_or_default();
    v1::PodSandboxConfig {
        metadata: Some(v1::PodSandboxMetadata {
            name: pod.nm().to_owned(),
            uid: pod.uid().to_owned(),
            namespace: pod.ns().to_owned(),
            attempt,
        }),
        hostname,
        log_directory: node.pod_logs_dir(pod.ns(), pod.nm(), pod.uid()).to_string_lossy().into_owned(),
        dns_config: Some(dns),
        port_mappings: port_mappings(pod),
        labels,
        annotations: annotations.into_iter().collect(),
        linux: Some(v1::LinuxPodSandboxConfig {
            cgroup_parent: cgroup_parent.to_owned(),
            security_context: Some(security_context(pod)),
            sysctls: sysctls(pod),
            ..Default::default()
        }),
    }
}

fn port_mappings(pod: &Pod) -> Vec<v1::PortMapping> {
    if pod.host_network() {
        return Vec::new();
    }
    let spec = pod.sp();
    let sidecars = spec.init_containers.iter().flatten().filter(|c| crate::spec::is_sidecar(c));
    sidecars
        .chain(&spec.containers)
        .flat_map(|c| c.ports.iter().flatten())
        .filter(|p| p.host_port.unwrap_or(0) > 0)
        .map(|p| v1::PortMapping {
            protocol: match p.protocol.as_deref() {
                Some("UDP") => v1::Protocol::Udp,
                Some("SCTP") => v1::Protocol::Sctp,
                _ => v1::Protocol::Tcp,
            } as i32,
            container_port: p.container_port,
            host_port: p.host_port.unwrap_or(0),
            host_ip: p.host_ip.clone().unwrap_or_default(),
        })
        .collect()
}

fn sysctls(pod: &Pod) -> std::collections::HashMap<String, String> {
    let own = pod.sp().security_context.as_ref().and_then(|s| s.sysctls.as_ref());
    own.into_iter().flatten().map(|s| (s.name.replace('/', "."), s.value.clone())).collect()
}

/// Namespaces as the pod wants them; the same for the sandbox and its containers.
#[must_use]
pub fn namespaces(pod: &Pod) -> v1::NamespaceOption {
    let spec = pod.sp();
    let node_or = |host: Option<bool>, other: v1::NamespaceMode| {
        (if host == Some(true) { v1::NamespaceMode::Node } else { other }) as i32
    };
    let pid = if spec.share_process_namespace == Some(true) {
        v1::NamespaceMode::Pod
    } else {
        v1::NamespaceMode::Container
    };
    v1::NamespaceOption {
        network: node_or(spec.host_network, v1::NamespaceMode::Pod),
        pid: node_or(spec.host_pid, pid),
        ipc: node_or(spec.host_ipc, v1::NamespaceMode::Pod),
        ..Default::default()
    }
}

/// A seccomp profile; none given is unconfined, unless the node has a default.
// k8s: pkg/kubelet/kuberuntime/helpers.go getSeccompProfile
#[must_use]
pub fn seccomp(profile: Option<&SeccompProfile>, node: &Config) -> v1::SecurityProfile {
    use v1::security_profile::ProfileType;
    let root = &node.root_dir;
    let default = node.seccomp_default.then_some("RuntimeDefault");
    let (kind, file) = match profile.map(|p| p.type_.as_str()).or(default) {
        Some("RuntimeDefault") => (ProfileType::RuntimeDefault, String::new()),
        Some("Localhost") => {
            let name = profile.and_then(|p| p.localhost_profile.as_deref()).unwrap_or_default();
            (ProfileType::Localhost, root.join("seccomp").join(name).to_string_lossy().into_owned())
        }
        _ => (ProfileType::Unconfined, String::new()),
    };
    v1::SecurityProfile { profile_type: kind as i32, localhost_ref: file }
}

/// An AppArmor profile; the file's name is that of a profile the kernel has loaded.
#[must_use]
pub fn apparmor(profile: &AppArmorProfile) -> v1::SecurityProfile {
    use v1::security_profile::ProfileType;
    let kind = match profile.type_.as_str() {
        "RuntimeDefault" => ProfileType::RuntimeDefault,
        "Localhost" => ProfileType::Localhost,
        _ => ProfileType::Unconfined,
    };
    let name = profile.localhost_profile.clone().unwrap_or_default();
    v1::SecurityProfile { profile_type: kind as i32, localhost_ref: name }
}

/// SELinux labels; runtimes leave them out where the kernel has no SELinux.
#[must_use]
pub fn selinux(options: &SELinuxOptions) -> v1::SeLinuxOption {
    let text = |t: &Option<String>| t.clone().unwrap_or_default();
    v1::SeLinuxOption {
        user: text(&options.user),
        role: text(&options.role),
        r#type: text(&options.type_),
        level: text(&options.level),
    }
}

fn security_context(pod: &Pod) -> v1::LinuxSandboxSecurityContext {
    let sc = pod.sp().security_context.as_ref();
    let privileged = crate::spec::resources::all_containers(pod.sp())
        .any(|c| c.security_context.as_ref().and_then(|s| s.privileged) == Some(true));
    v1::LinuxSandboxSecurityContext {
        namespace_options: Some(namespaces(pod)),
        selinux_options: sc.and_then(|s| s.se_linux_options.as_ref()).map(selinux),
        run_as_user: sc.and_then(|s| s.run_as_user).map(|value| v1::Int64Value { value }),
        run_as_group: sc
            .filter(|s| s.run_as_user.is_some())
            .and_then(|s| s.run_as_group)
            .map(|value| v1::Int64Value { value }),
        supplemental_groups: groups(pod),
        privileged,
        seccomp: Some(v1::SecurityProfile {
            profile_type: v1::security_profile::ProfileType::RuntimeDefault as i32,
            localhost_ref: String::new(),
        }),
        ..Default::default()
    }
}

/// fsGroup and supplemental groups.
#[must_use]
pub fn groups(pod: &Pod) -> Vec<i64> {
    let Some(sc) = &pod.sp().security_context else { return Vec::new() };
    let mut out: Vec<i64> = sc.fs_group.into_iter().collect();
    out.extend(sc.supplemental_groups.iter().flatten());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sandbox_of_a_pod() {
        let pod: Pod = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {"app": "x"}},
            "spec": {"hostPID": true, "securityContext": {"fsGroup": 7, "sysctls": [
                {"name": "net/core/somaxconn", "value": "9"}]},
              "containers": [{"name": "c", "ports": [{"containerPort": 80, "hostPort": 8080}, {"containerPort": 1}]}]}
        }))
        .unwrap();
        let c = config(&pod, &Config::new("node", "/r"), v1::DnsConfig::default(), "/kubepods/podu", 2);
        assert_eq!(c.hostname, "p");
        assert_eq!(c.log_directory, "/var/log/pods/n_p_u");
        assert_eq!((c.labels[POD_UID].as_str(), c.labels["app"].as_str()), ("u", "x"));
        assert_eq!(c.port_mappings.len(), 1);
        let linux = c.linux.unwrap();
        assert_eq!(linux.sysctls["net.core.somaxconn"], "9");
        let sc = linux.security_context.unwrap();
        assert_eq!(sc.supplemental_groups, [7]);
        assert_eq!(sc.namespace_options.unwrap().pid, v1::NamespaceMode::Node as i32);
    }
}
