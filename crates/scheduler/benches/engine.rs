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
        "spec": {"taints": if number % 10 == 9 { json!([{"key": "dedicated", "effect": "PreferNoSchedule"}]) } else { json!([]) }},
        "status": {"allocatable": {"cpu": "32", "memory": "256Gi", "ephemeral-storage": "1Ti", "pods": "110"}}});
    Arc::new(serde_json::from_value(node).expect("a node"))
}

/// A pod of one of ten applications, with what its form adds.
fn pod(number: usize, more: Value) -> Pod {
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

const HOST: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";

fn app(number: usize) -> Value {
    json!({"matchLabels": {"app": format!("a{}", number % 10)}})
}

/// A pod of group `group` with one required term about the pods of its group.
fn grouped(group: usize, kind: &str, key: &str) -> Value {
    let term = json!({"topologyKey": key, "labelSelector": {"matchLabels": {"group": group.to_string()}}});
    json!({"metadata": {"labels": {"group": group.to_string()}},
        "spec": {"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}})
}

/// A pod of the ReplicaSet of a number, with its hash.
fn owned(number: usize) -> Value {
    json!({"metadata": {"labels": {"app": "a", "pod-template-hash": number.to_string()},
        "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r",
            "uid": format!("owner-{number}"), "controller": true}]}})
}

fn spread(number: usize, key: &str, skew: usize) -> Value {
    json!({"spec": {"topologySpreadConstraints": [{"maxSkew": skew, "topologyKey": key,
        "whenUnsatisfiable": "DoNotSchedule", "labelSelector": app(number)}]}})
}

fn in_zone(how: &str) -> Value {
    let term = json!({"matchExpressions": [{"key": ZONE, "operator": "In", "values": ["z1", "z2"]}]});
    match how {
        "required" => json!({"spec": {"affinity": {"nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}}}),
        _ => json!({"spec": {"affinity": {"nodeAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 10, "preference": term}]}}}}),
    }
}

/// What a form adds to the pod of a number.
type Form = fn(usize) -> Value;

const FORMS: &[(&str, Form)] = &[
    ("plain", |_| json!({})),
    ("of one ReplicaSet", |_| owned(0)),
    ("of ReplicaSets of 10", |n| owned(n / 10)),
    ("of 1000 ReplicaSets in turn", |n| owned(n % 1000)),
    ("node selector", |_| json!({"spec": {"nodeSelector": {ZONE: "z1"}}})),
    ("required node affinity", |_| in_zone("required")),
    ("preferred node affinity", |_| in_zone("preferred")),
    ("tolerations", |_| json!({"spec": {"tolerations": [{"key": "dedicated", "operator": "Exists"}]}})),
    ("tainted nodes to avoid", |_| json!({"spec": {"tolerations": []}})),
    ("hard zone spread", |n| spread(n, ZONE, 5)),
    ("hard zone spread, groups of 10", |n| {
        let mut pod = owned(n / 10);
        let labels = json!({"pod-template-hash": (n / 10).to_string()});
        pod["spec"] = json!({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": ZONE,
            "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": labels}}]});
        pod
    }),
    ("hard zone spread, skew 1", |n| spread(n, ZONE, 1)),
    ("hard hostname spread", |n| spread(n, HOST, 1)),
    ("affinity on hostname, groups of 20", |n| grouped(n / 20, "podAffinity", HOST)),
    ("affinity on zone, groups of 1000", |n| grouped(n % 10, "podAffinity", ZONE)),
    ("anti-affinity on hostname, groups of 1000", |n| grouped(n % 10, "podAntiAffinity", HOST)),
    ("anti-affinity on hostname, groups of 5000", |n| grouped(n % 2, "podAntiAffinity", HOST)),
    ("anti-affinity on zone, groups of 3", |n| grouped(n / 3, "podAntiAffinity", ZONE)),
    ("preferred anti-affinity on zone", |n| {
        json!({"spec": {"affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution":
            [{"weight": 10, "podAffinityTerm": {"topologyKey": ZONE, "labelSelector": app(n)}}]}}}})
    }),
    ("of a StatefulSet, with anti-affinity on hostname", |n| {
        let mut pod = grouped(n / 1000, "podAntiAffinity", HOST);
        pod["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"] = format!("p-{n}").into();
        pod
    }),
    (
        "too large for any node",
        |_| json!({"spec": {"containers": [{"image": "a", "resources": {"requests": {"cpu": "64"}}}]}}),
    ),
    (
        "each with a request of its own",
        |n| json!({"spec": {"containers": [{"image": "a", "resources": {"requests": {"memory": format!("{n}Ki")}}}]}}),
    ),
];

/// CPU time of this process so far.
fn cpu() -> Duration {
    let t = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(t.tv_sec.unsigned_abs(), u32::try_from(t.tv_nsec).unwrap_or(0))
}

/// Time to take the pods in, and to decide all of them with their binds reported at once.
fn run(form: Form, fits: bool) -> (Duration, Duration) {
    let mut engine = Engine::new("default-scheduler", 1);
    for number in 0..NODES {
        engine.node_applied(node(number), now());
    }
    let pods: Vec<Pod> = (0..PODS).map(|number| pod(number, form(number))).collect();
    let began = cpu();
    for pod in &pods {
        engine.pod_applied(pod, now());
    }
    let taken = cpu() - began;
    let began = cpu();
    let mut decided = 0;
    while let Some(decision) = engine.next(now()) {
        match decision {
            Decision::Bind { uid, .. } if fits => engine.bound(&uid, true, now()),
            Decision::Unschedulable(_) if !fits => {}
            other => panic!("{other:?}"),
        }
        decided += 1;
    }
    assert_eq!(decided, PODS, "every pod is decided once");
    (taken, cpu() - began)
}

/// With arguments, only the forms whose name contains one of them.
fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    println!("{PODS} pods, {NODES} nodes");
    for (name, form) in FORMS {
        if !wanted.is_empty() && !wanted.iter().any(|w| name.contains(w.as_str())) {
            continue;
        }
        let (taken, decided) = run(*form, !name.starts_with("too "));
        let rate = PODS as f64 / decided.as_secs_f64();
        let each = taken.as_nanos() / PODS as u128;
        println!("{name}: {rate:.0} decisions/s; {each} ns to take a pod in");
    }
}
