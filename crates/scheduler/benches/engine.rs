//! How many decisions the engine takes in a second of CPU time, alone: 5000 nodes, pods of several forms, no I/O.
//! Each form gets a cluster of its own. CPU time, so that a busy machine does not change the figures much.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};
use scheduler::{Decision, Engine, Node, Pod};
use serde_json::{Value, json};

const NODES: usize = 5000;
const PODS: usize = 10_000;

fn now() -> Timestamp {
    Timestamp::from_second(1_700_000_000).expect("a valid time")
}

fn node(number: usize) -> Arc<Node> {
    let name = format!("node-{number}");
    let node = json!({
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64", "topology.kubernetes.io/zone": format!("z{}", number % 3)}},
        "status": {"allocatable": {"cpu": "32", "memory": "256Gi", "ephemeral-storage": "1Ti", "pods": "110"}}});
    Arc::new(serde_json::from_value(node).expect("a node"))
}

fn pod(number: usize, more: &Value) -> Pod {
    let mut pod = json!({
        "metadata": {"namespace": "d", "name": format!("p-{number}"), "uid": format!("uid-{number}"),
            "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"app": format!("a{}", number % 10)}},
        "spec": {"schedulerName": "default-scheduler",
            "tolerations": [
                {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"},
                {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"}],
            "containers": [{"image": "registry.k8s.io/pause:3.10",
                "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}}}]}});
    for part in ["metadata", "spec"] {
        if let (Some(into), Some(from)) = (pod[part].as_object_mut(), more[part].as_object()) {
            into.extend(from.clone());
        }
    }
    serde_json::from_value(pod).expect("a pod")
}

/// CPU time of this process so far.
fn cpu() -> Duration {
    let t = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(t.tv_sec.unsigned_abs(), u32::try_from(t.tv_nsec).unwrap_or(0))
}

/// Time to take the pods in, and to decide all of them with their binds reported at once.
fn run(more: &Value) -> (Duration, Duration) {
    let mut engine = Engine::new("default-scheduler", 1);
    for number in 0..NODES {
        engine.node_applied(node(number), now());
    }
    let pods: Vec<Pod> = (0..PODS).map(|number| pod(number, more)).collect();
    let began = cpu();
    for pod in &pods {
        engine.pod_applied(pod, now());
    }
    let taken = cpu() - began;
    let began = cpu();
    let mut bound = 0;
    while let Some(decision) = engine.next(now()) {
        if let Decision::Bind { uid, .. } = decision {
            engine.bound(&uid, true, now());
            bound += 1;
        }
    }
    assert_eq!(bound, PODS, "every pod fits");
    (taken, cpu() - began)
}

fn main() {
    let owner = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "owner",
        "controller": true}]);
    let spread = json!([{"maxSkew": 5, "topologyKey": "topology.kubernetes.io/zone",
        "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "a1"}}}]);
    let forms = [
        ("plain", json!({})),
        ("of a ReplicaSet", json!({"metadata": {"ownerReferences": owner}})),
        ("node selector", json!({"spec": {"nodeSelector": {"topology.kubernetes.io/zone": "z1"}}})),
        ("hard zone spread", json!({"spec": {"topologySpreadConstraints": spread}})),
    ];
    println!("{PODS} pods, {NODES} nodes");
    for (name, more) in forms {
        let (taken, decided) = run(&more);
        let rate = PODS as f64 / decided.as_secs_f64();
        let each = taken.as_nanos() / PODS as u128;
        println!("{name}: {rate:.0} decisions/s; {each} ns to take a pod in");
    }
}
