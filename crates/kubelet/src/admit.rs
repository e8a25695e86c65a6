//! Whether the node takes a pod that was bound to it.
// k8s: pkg/kubelet/lifecycle/predicate.go

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

use crate::config::Config;
use crate::run::Machine;
use crate::spec::{PodExt, resources};
use crate::worker::task::Why;

fn over(pod: &Pod) -> bool {
    matches!(pod.status.as_ref().and_then(|s| s.phase.as_deref()), Some("Succeeded" | "Failed"))
}

fn host_ports(pod: &Pod) -> Vec<(i32, String, String)> {
    let host = pod.host_network();
    let all = resources::all_containers(pod.sp()).flat_map(|c| c.ports.iter().flatten());
    all.filter_map(|p| {
        let port = p.host_port.filter(|n| *n > 0).or(host.then_some(p.container_port))?;
        Some((
            port,
            p.protocol.clone().unwrap_or_else(|| "TCP".into()),
            p.host_ip.clone().unwrap_or_default(),
        ))
    })
    .collect()
}

fn ports_conflict(a: &[(i32, String, String)], b: &[(i32, String, String)]) -> bool {
    let any = |ip: &str| matches!(ip, "" | "0.0.0.0" | "::");
    a.iter().any(|x| b.iter().any(|y| x.0 == y.0 && x.1 == y.1 && (any(&x.2) || any(&y.2) || x.2 == y.2)))
}

/// Why the node refuses the pod; `None`: it takes it. `others`: the pods it has.
pub(crate) fn check(pod: &Pod, others: &[Arc<Pod>], node: &Config, machine: &Machine) -> Option<Why> {
    let live: Vec<&Arc<Pod>> = others.iter().filter(|p| !over(p) && p.uid() != pod.uid()).collect();
    let labels = BTreeMap::from([
        ("kubernetes.io/os", "linux".to_owned()),
        ("kubernetes.io/arch", crate::node::arch().to_owned()),
        ("kubernetes.io/hostname", node.hostname().to_owned()),
    ]);
    for (k, v) in pod.sp().node_selector.iter().flatten() {
        let known = labels.get(k.as_str()).cloned();
        if known.is_some_and(|have| have != *v) {
            let message = "Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector";
            return Some(Why::new("NodeAffinity", message));
        }
    }
    if let Some(why) = sysctls(pod, &node.allowed_unsafe_sysctls) {
        return Some(why);
    }
    if live.len() as u64 >= u64::from(node.max_pods) {
        return Some(out_of("pods", 1, live.len() as i64, i64::from(node.max_pods)));
    }
    for (name, have) in [("cpu", machine.allocatable_milli_cpu), ("memory", machine.allocatable_memory_bytes)]
    {
        let wanted = resources::pod_request(pod.sp(), name);
        let used: i64 = live.iter().map(|p| resources::pod_request(p.sp(), name)).sum();
        if wanted > 0 && used.saturating_add(wanted) > have {
            return Some(out_of(name, wanted, used, have));
        }
    }
    let ports = host_ports(pod);
    if !ports.is_empty() && live.iter().any(|p| ports_conflict(&ports, &host_ports(p))) {
        let message = "Pod was rejected: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports";
        return Some(Why::new("NodePorts", message));
    }
    None
}

fn out_of(name: &str, wanted: i64, used: i64, have: i64) -> Why {
    let message = format!(
        "Pod was rejected: Node didn't have enough resource: {name}, requested: {wanted}, used: {used}, capacity: {have}"
    );
    Why::new(&format!("OutOf{name}"), message)
}

/// Why a resize of a running pod must wait: the node never has so much (`Infeasible`), or not beside its other pods
/// (`Deferred`).
// k8s: pkg/kubelet/allocation/allocation_manager.go canResizePod
pub(crate) fn resize(pod: &Pod, others: &[Arc<Pod>], machine: &Machine) -> Option<Why> {
    let live: Vec<&Arc<Pod>> = others.iter().filter(|p| !over(p) && p.uid() != pod.uid()).collect();
    for (name, have) in [("memory", machine.allocatable_memory_bytes), ("cpu", machine.allocatable_milli_cpu)]
    {
        let wanted = resources::pod_request(pod.sp(), name);
        if wanted > have {
            let message =
                format!("Node didn't have enough capacity: {name}, requested: {wanted}, capacity: {have}");
            return Some(Why::new("Infeasible", message));
        }
        let used: i64 = live.iter().map(|p| resources::pod_request(p.sp(), name)).sum();
        if used.saturating_add(wanted) > have {
            let message = format!(
                "Node didn't have enough resource: {name}, requested: {wanted}, used: {used}, capacity: {have}"
            );
            return Some(Why::new("Deferred", message));
        }
    }
    None
}

/// Sysctls of a pod's own namespaces that cannot harm others.
// k8s: pkg/kubelet/sysctl/safe_sysctls.go
const SAFE_SYSCTLS: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
];

/// The first sysctl of the pod that may not be set.
// k8s: pkg/kubelet/sysctl/allowlist.go
fn sysctls(pod: &Pod, unsafe_ones: &[String]) -> Option<Why> {
    let spec = pod.sp();
    let all = spec.security_context.as_ref().and_then(|s| s.sysctls.as_ref());
    let problem = all.into_iter().flatten().find_map(|s| {
        let name = s.name.replace('/', ".");
        let below = |p: &String| p.strip_suffix('*').map_or(*p == name, |start| name.starts_with(start));
        if !SAFE_SYSCTLS.contains(&name.as_str()) && !unsafe_ones.iter().any(below) {
            Some(format!("\"{name}\" not allowlisted"))
        } else if name.starts_with("net.") && pod.host_network() {
            Some(format!("\"{name}\" not allowed with host net enabled"))
        } else if !name.starts_with("net.") && spec.host_ipc == Some(true) {
            Some(format!("\"{name}\" not allowed with host ipc enabled"))
        } else {
            None
        }
    })?;
    Some(Why::new("SysctlForbidden", format!("Pod was rejected: forbidden sysctl: {problem}")))
}

/// The event's reason for a refusal.
pub(crate) fn event_reason(reason: &str) -> &'static str {
    match reason {
        "OutOfpods" => "OutOfpods",
        "OutOfcpu" => "OutOfcpu",
        "OutOfmemory" => "OutOfmemory",
        "NodePorts" => "NodePorts",
        "SysctlForbidden" => "SysctlForbidden",
        _ => "NodeAffinity",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(uid: &str, spec: serde_json::Value) -> Arc<Pod> {
        Arc::new(serde_json::from_value(json!({"metadata": {"uid": uid}, "spec": spec})).unwrap())
    }

    #[test]
    fn resizes_wait_for_room() {
        let machine =
            Machine { allocatable_milli_cpu: 1000, allocatable_memory_bytes: 1 << 30, ..Machine::default() };
        let of = |cpu: &str| {
            pod("x", json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}))
        };
        let other =
            pod("o", json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": "600m"}}}]}));
        for (cpu, want) in [("400m", None), ("500m", Some("Deferred")), ("2", Some("Infeasible"))] {
            // The pod itself, as it was, does not count.
            let got = resize(&of(cpu), &[other.clone(), of("900m")], &machine);
            assert_eq!(got.as_ref().map(|w| w.reason.as_str()), want, "{cpu}");
        }
    }

    #[test]
    fn sysctls_are_safe_or_allowed() {
        let cases = [
            ("kernel.shm_rmid_forced", json!({}), ""),
            ("net/ipv4/tcp_syncookies", json!({}), ""),
            ("net.core.somaxconn", json!({}), "\"net.core.somaxconn\" not allowlisted"),
            ("kernel.msgmax", json!({}), ""),
            (
                "kernel.msgmax",
                json!({"hostIPC": true}),
                "\"kernel.msgmax\" not allowed with host ipc enabled",
            ),
            (
                "net.ipv4.tcp_rmem",
                json!({"hostNetwork": true}),
                "\"net.ipv4.tcp_rmem\" not allowed with host net enabled",
            ),
        ];
        for (name, mut spec, want) in cases {
            spec["containers"] = json!([]);
            spec["securityContext"] = json!({"sysctls": [{"name": name, "value": "1"}]});
            let got = sysctls(&pod("x", spec), &["kernel.msg*".to_owned()]);
            let message = got.map(|w| w.message).unwrap_or_default();
            assert!(message.ends_with(want) && message.is_empty() == want.is_empty(), "{name}: {message}");
        }
    }

    #[test]
    fn refusals() {
        let node = Config::new("n", "/r");
        let machine =
            Machine { allocatable_milli_cpu: 1000, allocatable_memory_bytes: 1 << 30, ..Machine::default() };
        let cpu = |m: &str| json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": m}}}]});
        let port =
            |p: i32| json!({"containers": [{"name": "c", "ports": [{"containerPort": 1, "hostPort": p}]}]});
        let have = [pod("a", cpu("600m")), pod("b", port(80))];
        let cases = [
            (cpu("400m"), None),
            (cpu("500m"), Some("OutOfcpu")),
            (port(80), Some("NodePorts")),
            (port(81), None),
            (
                json!({"containers": [], "nodeSelector": {"kubernetes.io/hostname": "m"}}),
                Some("NodeAffinity"),
            ),
            (json!({"containers": [], "nodeSelector": {"disk": "ssd"}}), None),
        ];
        for (spec, want) in cases {
            let got = check(&pod("x", spec.clone()), &have, &node, &machine);
            assert_eq!(got.as_ref().map(|w| w.reason.as_str()), want, "{spec}");
        }
    }
}
