//! Whether the node takes a pod that was bound to it.
// k8s: pkg/kubelet/lifecycle/predicate.go

pub(crate) mod asks;
pub(crate) mod node;

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

use asks::{Abilities, Asker};
use node::NodeView;

use crate::config::Config;
use crate::run::Machine;
use crate::spec::{PodExt, resources};
use crate::worker::task::Why;

/// How much of a resource pods ask for together.
fn used(pods: &[&Arc<Pod>], name: &str) -> i64 {
    pods.iter().map(|p| resources::pod_request(p.sp(), name)).fold(0, i64::saturating_add)
}

/// Whether it has come to its end.
pub(crate) fn over(pod: &Pod) -> bool {
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

/// What a decision is made on, beside the pod.
pub(crate) struct Place<'a> {
    pub config: &'a Config,
    pub machine: &'a Machine,
    pub node: &'a NodeView,
    pub abilities: &'a Abilities,
}

/// A pod's failure at admission; the event has the message without these first words.
fn rejected(reason: &str, message: impl std::fmt::Display) -> Why {
    Why::new(reason, format!("{REJECTED}{message}"))
}

const REJECTED: &str = "Pod was rejected: ";

/// The reason and the message of the event about a refusal.
pub(crate) fn event(why: &Why) -> (&str, &str) {
    (&why.reason, why.message.strip_prefix(REJECTED).unwrap_or(&why.message))
}

/// The event's reason for a refusal.
pub(crate) fn event_reason(reason: &str) -> &'static str {
    const KNOWN: [&str; 12] = [
        "AppArmor",
        "NodeAffinity",
        "NodePorts",
        "OutOfcpu",
        "OutOfephemeral-storage",
        "OutOfmemory",
        "OutOfpods",
        "PodOSNotSupported",
        "PodOSSelectorNodeLabelDoesNotMatch",
        "SupplementalGroupsPolicyNotSupported",
        "SysctlForbidden",
        "TaintToleration",
    ];
    // Other resources have names that nobody knows beforehand; the message and the pod's status have them.
    KNOWN.into_iter().find(|k| *k == reason).unwrap_or("OutOfResource")
}

/// Why the node refuses the pod; `None`: it takes it. `others`: the pods it has taken.
pub(crate) fn check(pod: &Pod, others: &[Arc<Pod>], place: &Place<'_>) -> Option<Why> {
    let asker = Asker { pod, container: None, handler: "", node: place.abilities };
    sysctls(pod, &place.config.allowed_unsafe_sysctls, place.machine.kernel)
        .or_else(|| asks::refused(asker))
        .or_else(|| predicates(pod, others, place))
}

/// What the scheduler has looked at, looked at again on what the node knows.
// k8s: pkg/kubelet/lifecycle/predicate.go generalFilter, pkg/scheduler/eventhandlers.go AdmissionCheck
fn predicates(pod: &Pod, others: &[Arc<Pod>], place: &Place<'_>) -> Option<Why> {
    let failed =
        |name: &str, message: &str| Some(rejected(name, format!("Predicate {name} failed: {message}")));
    let live: Vec<&Arc<Pod>> = others.iter().filter(|p| !over(p) && p.uid() != pod.uid()).collect();
    if let Some(why) = insufficient(pod, &live, place) {
        return Some(why);
    }
    if !place.node.matches(pod.sp()) {
        return failed("NodeAffinity", "node(s) didn't match Pod's node affinity/selector");
    }
    let ports = host_ports(pod);
    if !ports.is_empty() && live.iter().any(|p| ports_conflict(&ports, &host_ports(p))) {
        return failed("NodePorts", "node(s) didn't have free ports for the requested pod ports");
    }
    if place.node.expels(pod) {
        return failed("TaintToleration", "node(s) had taints that the pod didn't tolerate");
    }
    None
}

/// Whether a refusal may rest on an old copy of the Node: it is then read again before the pod fails.
pub(crate) fn depends_on_node(why: &Why) -> bool {
    matches!(why.reason.as_str(), "NodeAffinity" | "TaintToleration")
}

/// The first resource there is too little of.
// k8s: pkg/scheduler/framework/plugins/noderesources/fit.go Fits
fn insufficient(pod: &Pod, live: &[&Arc<Pod>], place: &Place<'_>) -> Option<Why> {
    let most = i64::from(place.config.max_pods);
    let count = i64::try_from(live.len()).unwrap_or(i64::MAX);
    if count >= most {
        return Some(out_of("pods", 1, count, most));
    }
    let m = place.machine;
    let own = [
        ("cpu", m.allocatable_milli_cpu),
        ("memory", m.allocatable_memory_bytes),
        ("ephemeral-storage", m.allocatable_storage_bytes),
    ];
    let names = resources::requested(pod.sp());
    let others = names.iter().filter(|n| own.iter().all(|(have, _)| have != *n)).filter_map(|name| {
        match place.node.others.get(*name) {
            Some(have) => Some((*name, *have)),
            // Extended resources that no node names may be the cluster's own affair.
            None => (!resources::is_extended(name)).then_some((*name, 0)),
        }
    });
    own.into_iter().chain(others).find_map(|(name, have)| {
        let wanted = resources::pod_request(pod.sp(), name);
        let used = used(live, name);
        (wanted > 0 && used.saturating_add(wanted) > have).then(|| out_of(name, wanted, used, have))
    })
}

fn out_of(name: &str, wanted: i64, used: i64, have: i64) -> Why {
    let message = format!(
        "Node didn't have enough resource: {name}, requested: {wanted}, used: {used}, capacity: {have}"
    );
    rejected(&format!("OutOf{name}"), message)
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
        let used = used(&live, name);
        if used.saturating_add(wanted) > have {
            let message = format!(
                "Node didn't have enough resource: {name}, requested: {wanted}, used: {used}, capacity: {have}"
            );
            return Some(Why::new("Deferred", message));
        }
    }
    None
}

/// Sysctls of a pod's own namespaces that cannot harm others, and the kernel since which they are of the namespace.
// k8s: pkg/kubelet/sysctl/safe_sysctls.go, pkg/util/kernel/constants.go
const SAFE_SYSCTLS: [(&str, (u32, u32)); 14] = [
    ("kernel.shm_rmid_forced", (0, 0)),
    ("net.ipv4.ip_local_port_range", (0, 0)),
    ("net.ipv4.ip_local_reserved_ports", (3, 16)),
    ("net.ipv4.ip_unprivileged_port_start", (0, 0)),
    ("net.ipv4.ping_group_range", (0, 0)),
    ("net.ipv4.tcp_fin_timeout", (4, 6)),
    ("net.ipv4.tcp_keepalive_intvl", (4, 5)),
    ("net.ipv4.tcp_keepalive_probes", (4, 5)),
    ("net.ipv4.tcp_keepalive_time", (4, 5)),
    ("net.ipv4.tcp_notsent_lowat", (4, 6)),
    ("net.ipv4.tcp_rmem", (4, 15)),
    ("net.ipv4.tcp_slow_start_after_idle", (4, 15)),
    ("net.ipv4.tcp_syncookies", (0, 0)),
    ("net.ipv4.tcp_wmem", (4, 15)),
];

/// The first sysctl of the pod that may not be set.
// k8s: pkg/kubelet/sysctl/allowlist.go
fn sysctls(pod: &Pod, unsafe_ones: &[String], kernel: (u32, u32)) -> Option<Why> {
    let spec = pod.sp();
    let all = spec.security_context.as_ref().and_then(|s| s.sysctls.as_ref());
    let problem = all.into_iter().flatten().find_map(|s| {
        let name = s.name.replace('/', ".");
        let below = |p: &String| p.strip_suffix('*').map_or(*p == name, |start| name.starts_with(start));
        let safe = SAFE_SYSCTLS.iter().any(|(n, since)| *n == name && kernel >= *since);
        if !safe && !unsafe_ones.iter().any(below) {
            Some(format!("\"{name}\" not allowlisted"))
        } else if name.starts_with("net.") && pod.host_network() {
            Some(format!("\"{name}\" not allowed with host net enabled"))
        } else if !name.starts_with("net.") && spec.host_ipc == Some(true) {
            Some(format!("\"{name}\" not allowed with host ipc enabled"))
        } else {
            None
        }
    })?;
    Some(rejected("SysctlForbidden", format!("forbidden sysctl: {problem}")))
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
        // More than any number can say is more than there is.
        let huge = |uid: &str| {
            pod(uid, json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": "8E"}}}]}))
        };
        let got = resize(&of("400m"), &[huge("a"), huge("b")], &machine);
        assert_eq!(got.map(|w| w.reason).as_deref(), Some("Deferred"));
    }

    #[test]
    fn sysctls_are_safe_or_allowed() {
        let cases = [
            ("kernel.shm_rmid_forced", json!({}), ""),
            ("net/ipv4/tcp_syncookies", json!({}), ""),
            ("net.core.somaxconn", json!({}), "\"net.core.somaxconn\" not allowlisted"),
            ("net.ipv4.tcp_notsent_lowat", json!({}), ""),
            ("net.ipv4.tcp_slow_start_after_idle", json!({}), ""),
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
            let got = sysctls(&pod("x", spec), &["kernel.msg*".to_owned()], (4, 15));
            let message = got.map(|w| w.message).unwrap_or_default();
            assert!(message.ends_with(want) && message.is_empty() == want.is_empty(), "{name}: {message}");
        }
        let all = SAFE_SYSCTLS.map(|(name, _)| json!({"name": name, "value": "1"}));
        let all = pod("x", json!({"containers": [], "securityContext": {"sysctls": all}}));
        assert_eq!(sysctls(&all, &[], (4, 15)), None);
        assert_eq!(sysctls(&all, &[], (5, 0)), None);
        let old = sysctls(&all, &[], (4, 14)).map(|w| w.message).unwrap_or_default();
        assert!(old.ends_with("\"net.ipv4.tcp_rmem\" not allowlisted"), "{old}");
    }

    #[test]
    #[allow(clippy::too_many_lines, reason = "one table, a row a refusal")]
    fn refusals() {
        let config = Config { max_pods: 3, ..Config::new("n", "/r") };
        let machine = Machine {
            allocatable_milli_cpu: 1000,
            allocatable_memory_bytes: 1 << 30,
            allocatable_storage_bytes: 1 << 30,
            ..Machine::default()
        };
        let node = NodeView::of(&json!({
            "metadata": {"name": "n", "labels": {"kubernetes.io/hostname": "n"}},
            "spec": {"taints": [{"key": "out", "effect": "NoExecute"}]},
            "status": {"allocatable": {"example.com/gpu": "1"}}}))
        .unwrap();
        let abilities = Abilities::default();
        let place = Place { config: &config, machine: &machine, node: &node, abilities: &abilities };
        let stays = json!([{"key": "out", "operator": "Exists"}]);
        let asks = |resource: &str, amount: &str| {
            json!({"tolerations": stays, "containers": [
                {"name": "c", "resources": {"requests": {resource: amount}}}]})
        };
        let port = |p: i32| {
            json!({"tolerations": stays, "containers": [
                {"name": "c", "ports": [{"containerPort": 1, "hostPort": p}]}]})
        };
        let selects = |labels: serde_json::Value| json!({"tolerations": stays, "containers": [], "nodeSelector": labels});
        let have = [pod("a", asks("cpu", "600m")), pod("b", port(80))];
        let cases = [
            (asks("cpu", "400m"), ""),
            (
                asks("cpu", "500m"),
                "OutOfcpu: Node didn't have enough resource: cpu, requested: 500, used: 600, capacity: 1000",
            ),
            (
                asks("memory", "2Gi"),
                "OutOfmemory: Node didn't have enough resource: memory, requested: 2147483648, used: 0, capacity: 1073741824",
            ),
            (
                asks("ephemeral-storage", "2Gi"),
                "OutOfephemeral-storage: Node didn't have enough resource: ephemeral-storage, requested: 2147483648, used: 0, capacity: 1073741824",
            ),
            (
                asks("hugepages-2Mi", "2Mi"),
                "OutOfhugepages-2Mi: Node didn't have enough resource: hugepages-2Mi, requested: 2097152, used: 0, capacity: 0",
            ),
            (asks("example.com/gpu", "1"), ""),
            (
                asks("example.com/gpu", "2"),
                "OutOfexample.com/gpu: Node didn't have enough resource: example.com/gpu, requested: 2, used: 0, capacity: 1",
            ),
            (asks("example.com/unknown", "2"), ""),
            (
                port(80),
                "NodePorts: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
            ),
            (port(81), ""),
            (selects(json!({"kubernetes.io/hostname": "n"})), ""),
            (
                selects(json!({"disk": "ssd"})),
                "NodeAffinity: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
            ),
            (
                json!({"containers": []}),
                "TaintToleration: Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate",
            ),
            (
                json!({"containers": [], "os": {"name": "windows"}}),
                "PodOSNotSupported: Failed to admit pod as the OS field doesn't match node OS",
            ),
        ];
        for (spec, want) in cases {
            let got = check(&pod("x", spec.clone()), &have, &place);
            let message = |w: &Why| {
                let (reason, message) = event(w);
                assert_eq!(w.message, format!("Pod was rejected: {message}"));
                format!("{reason}: {message}")
            };
            assert_eq!(got.as_ref().map(message).unwrap_or_default(), want, "{spec}");
        }
        let more = [have.as_slice(), &[pod("d", port(82))]].concat();
        let full = check(&pod("x", port(83)), &more, &place).unwrap();
        assert_eq!(event(&full).0, "OutOfpods");
        let ended = json!({"metadata": {"uid": "d"}, "status": {"phase": "Failed"}});
        let more = [have.as_slice(), &[Arc::new(serde_json::from_value(ended).unwrap())]].concat();
        assert_eq!(check(&pod("x", port(83)), &more, &place), None, "what has ended takes no place");
    }
}
