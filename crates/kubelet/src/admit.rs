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

/// The event's reason for a refusal.
pub(crate) fn event_reason(reason: &str) -> &'static str {
    match reason {
        "OutOfpods" => "OutOfpods",
        "OutOfcpu" => "OutOfcpu",
        "OutOfmemory" => "OutOfmemory",
        "NodePorts" => "NodePorts",
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
