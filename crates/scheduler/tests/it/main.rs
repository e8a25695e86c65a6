//! The scheduler as tables: nodes and pods in, the decision out.
#![allow(clippy::unwrap_used, clippy::too_many_lines, reason = "a test fails by panicking; tables are long")]

mod random;
mod reference;
mod tables;

use std::sync::Arc;

use jiff::Timestamp;
use reconcile::Key;
use scheduler::{Decision, Engine, Node, Pod, Refusal};
use serde_json::{Value, json};

fn now() -> Timestamp {
    Timestamp::from_second(1_000_000).unwrap()
}

fn later(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + seconds).unwrap()
}

fn node(name: &str, more: Value) -> Arc<Node> {
    let mut n = json!({"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "status": {"allocatable": {"cpu": "2", "memory": "4Gi", "pods": "110"}}});
    merge(&mut n, more);
    Arc::new(serde_json::from_value(n).unwrap())
}

fn pod(name: &str, more: Value) -> Pod {
    let mut p = json!({"metadata": {"namespace": "d", "name": name, "uid": format!("u-{name}"),
            "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"schedulerName": "default-scheduler", "containers": [{"image": "a"}]}});
    merge(&mut p, more);
    serde_json::from_value(p).unwrap()
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(a), Value::Object(b)) => {
            for (k, v) in b {
                merge(a.entry(k).or_insert(Value::Null), v);
            }
        }
        (a, b) => *a = b,
    }
}

fn cpu(amount: &str) -> Value {
    json!({"spec": {"containers": [{"image": "a", "resources": {"requests": {"cpu": amount}}}]}})
}

/// The node each pod is bound to, or the message why not.
fn run(nodes: &[Arc<Node>], placed: &[Pod], pods: &[Pod]) -> Vec<String> {
    let mut engine = Engine::new("default-scheduler", 1);
    for n in nodes {
        engine.node_applied(n.clone(), now());
    }
    for p in placed.iter().chain(pods) {
        engine.pod_applied(p, now());
    }
    let mut out = Vec::new();
    while let Some(d) = engine.next(now()) {
        out.push(match d {
            Decision::Bind { node, uid, .. } => {
                engine.bound(&uid, true, now());
                node.to_string()
            }
            Decision::Unschedulable(r) => r.message,
        });
    }
    out
}

/// The pod of that name is gone.
fn deleted(engine: &mut Engine, name: &str) {
    engine.pod_deleted(&Key::new("d", name), &format!("u-{name}"), now());
}

/// The next decision, which must be that a pod fits nowhere.
fn refused(engine: &mut Engine, seconds: i64) -> Refusal {
    match engine.next(later(seconds)) {
        Some(Decision::Unschedulable(r)) => *r,
        other => panic!("a pod must not fit: {other:?}"),
    }
}

#[test]
fn why_a_pod_does_not_fit() {
    let no_victims =
        |n: usize| format!("0/1 nodes are available: {n} No preemption victims found for incoming pod.");
    let helpless = "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.";
    let tainted = json!({"spec": {"taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}]}});
    let full = pod(
        "full",
        json!({"spec": {"nodeName": "n", "containers": [{"image": "a", "resources":
        {"requests": {"cpu": "1500m"}}, "ports": [{"hostPort": 80}]}]}}),
    );
    let port =
        json!({"spec": {"containers": [{"image": "a", "ports": [{"hostPort": 80, "protocol": "TCP"}]}]}});
    let far = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"affinity": {"podAntiAffinity":
        {"requiredDuringSchedulingIgnoredDuringExecution": [{"labelSelector": {"matchLabels": {"a": "b"}},
        "topologyKey": "kubernetes.io/hostname"}]}}}});
    let mut near = far.clone();
    near["spec"]["affinity"] = json!({"podAffinity": far["spec"]["affinity"]["podAntiAffinity"]});
    near["metadata"]["labels"] = json!({"a": "c"});
    let mut placed_far = far.clone();
    placed_far["spec"]["nodeName"] = json!("n");
    let labelled = pod("l", json!({"metadata": {"labels": {"a": "b"}}, "spec": {"nodeName": "n"}}));
    let cases: Vec<(&str, Value, Vec<Pod>, Value, String)> = vec![
        (
            "cpu",
            json!({}),
            vec![full.clone()],
            cpu("1"),
            format!("0/1 nodes are available: 1 Insufficient cpu. preemption: {}", no_victims(1)),
        ),
        (
            "never",
            json!({}),
            vec![],
            cpu("3"),
            format!("0/1 nodes are available: 1 Insufficient cpu. {helpless}"),
        ),
        (
            "taint",
            tainted.clone(),
            vec![],
            json!({}),
            format!("0/1 nodes are available: 1 node(s) had untolerated taint(s). {helpless}"),
        ),
        (
            "tolerated",
            tainted,
            vec![],
            json!({"spec": {"tolerations": [{"key": "k", "operator": "Exists"}]}}),
            "n".into(),
        ),
        (
            "cordon",
            json!({"spec": {"unschedulable": true}}),
            vec![],
            json!({}),
            format!("0/1 nodes are available: 1 node(s) were unschedulable. {helpless}"),
        ),
        (
            "selector",
            json!({}),
            vec![],
            json!({"spec": {"nodeSelector": {"disk": "ssd"}}}),
            format!(
                "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. {helpless}"
            ),
        ),
        (
            "port",
            json!({}),
            vec![full],
            port,
            format!(
                "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports. preemption: {}",
                no_victims(1)
            ),
        ),
        (
            "anti",
            json!({}),
            vec![labelled],
            far.clone(),
            format!(
                "0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules. preemption: {}",
                no_victims(1)
            ),
        ),
        (
            "repelled",
            json!({}),
            vec![pod("p", placed_far)],
            json!({"metadata": {"labels": {"a": "b"}}}),
            format!(
                "0/1 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules. preemption: {}",
                no_victims(1)
            ),
        ),
        (
            "near",
            json!({}),
            vec![],
            near,
            format!("0/1 nodes are available: 1 node(s) didn't match pod affinity rules. {helpless}"),
        ),
        (
            "pods",
            json!({"status": {"allocatable": {"pods": "0"}}}),
            vec![],
            json!({}),
            format!("0/1 nodes are available: 1 Too many pods. preemption: {}", no_victims(1)),
        ),
    ];
    for (name, n, placed, p, want) in cases {
        assert_eq!(run(&[node("n", n)], &placed, &[pod("x", p)]), [want], "{name}");
    }
    assert_eq!(run(&[], &[], &[pod("x", json!({}))]), ["no nodes available to schedule pods"]);
}

#[test]
fn pods_of_one_owner_spread_and_the_emptier_node_wins() {
    let nodes = [node("a", json!({})), node("b", json!({})), node("c", json!({}))];
    let owned = |name: &str| {
        pod(
            name,
            json!({"metadata": {"ownerReferences":
        [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "r", "controller": true}]}}),
        )
    };
    let mut got = run(&nodes, &[], &[owned("1"), owned("2"), owned("3")]);
    got.sort();
    assert_eq!(got, ["a", "b", "c"]);
    let busy =
        pod("busy", json!({"spec": {"nodeName": "a", "containers": cpu("1500m")["spec"]["containers"]}}));
    assert_eq!(run(&nodes[..2], &[busy], &[pod("x", cpu("100m"))]), ["b"]);
}

#[test]
fn hard_topology_spread_holds() {
    let nodes = [node("a", json!({})), node("b", json!({}))];
    let spread = |name: &str| {
        pod(
            name,
            json!({"metadata": {"labels": {"a": "b"}}, "spec": {"topologySpreadConstraints":
        [{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule",
          "labelSelector": {"matchLabels": {"a": "b"}}}]}}),
        )
    };
    let pods: Vec<Pod> = (0..6).map(|i| spread(&i.to_string())).collect();
    let got = run(&nodes, &[], &pods);
    assert_eq!(got.iter().filter(|n| *n == "a").count(), 3, "{got:?}");
}

#[test]
fn preferred_node_affinity_and_soft_taints_decide() {
    let nodes = [
        node("a", json!({"metadata": {"labels": {"zone": "x"}}})),
        node("b", json!({"metadata": {"labels": {"zone": "y"}}})),
    ];
    let likes = json!({"spec": {"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution":
        [{"weight": 10, "preference": {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["y"]}]}}]}}}});
    assert_eq!(run(&nodes, &[], &[pod("x", likes)]), ["b"]);
    let soft = node("c", json!({"spec": {"taints": [{"key": "k", "effect": "PreferNoSchedule"}]}}));
    assert_eq!(run(&[soft, node("d", json!({}))], &[], &[pod("x", json!({}))]), ["d"]);
}

#[test]
fn priority_goes_first_and_may_preempt() {
    let nodes = [node("a", json!({}))];
    let low = pod(
        "low",
        json!({"spec": {"nodeName": "a", "priority": 1, "containers": cpu("2")["spec"]["containers"]}}),
    );
    let mut engine = Engine::new("default-scheduler", 1);
    engine.node_applied(nodes[0].clone(), now());
    engine.pod_applied(&low, now());
    let mut high = cpu("1");
    high["spec"]["priority"] = json!(100);
    engine.pod_applied(&pod("high", high), now());
    let p = refused(&mut engine, 0).preemption.expect("the low pod must be preempted");
    assert_eq!((&*p.node, p.victims.len(), &*p.victims[0].1), ("a", 1, "u-low"));
    // A pod of lower priority must not take the room that is being made.
    deleted(&mut engine, "low");
    engine.pod_applied(&pod("sneaky", cpu("2")), now());
    assert_eq!(&*refused(&mut engine, 0).uid, "u-sneaky");
    let Some(Decision::Bind { uid, .. }) = engine.next(later(20)) else {
        panic!("the high pod must be bound")
    };
    assert_eq!(&*uid, "u-high");
}

#[test]
fn a_pod_waits_for_its_victims_and_takes_no_others() {
    let placed = |name: &str, priority: i32, leaving: bool| {
        let mut p = cpu("1");
        merge(&mut p, json!({"spec": {"nodeName": "a", "priority": priority}}));
        if leaving {
            merge(&mut p, json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}));
        }
        pod(name, p)
    };
    let high = |cpus: &str| {
        let mut p = cpu(cpus);
        merge(&mut p, json!({"spec": {"priority": 100}}));
        pod("high", p)
    };
    let grown = || node("a", json!({"status": {"allocatable": {"memory": "8Gi"}}}));
    let tainted = || node("a", json!({"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}}));
    let waiting = "preemption: not eligible due to a terminating pod on the nominated node.";
    let helpless = "1 Preemption is not helpful for scheduling.";
    // Whether the victim leaves after the first decision, the node at the second, and the end of its message.
    let cases = [(true, grown(), waiting), (false, grown(), ""), (true, tainted(), helpless)];
    for (leaving, event, want) in cases {
        let mut engine = Engine::new("default-scheduler", 1);
        engine.node_applied(node("a", json!({})), now());
        engine.pod_applied(&placed("low1", 1, false), now());
        engine.pod_applied(&placed("low2", 2, false), now());
        engine.pod_applied(&high("1"), now());
        let p = refused(&mut engine, 0).preemption.expect("a pod must be preempted");
        assert_eq!(p.victims.iter().map(|v| &*v.1).collect::<Vec<_>>(), ["u-low1"]);
        engine.pod_applied(&placed("low1", 1, leaving), now());
        engine.node_applied(grown(), now());
        engine.node_applied(event, now());
        let Refusal { preemption, message, .. } = refused(&mut engine, 60);
        assert_eq!(preemption.is_some(), want.is_empty(), "{message}");
        assert!(message.ends_with(want), "{message}");
    }
    // A pod that leaves by itself needs nobody's help.
    let mut engine = Engine::new("default-scheduler", 1);
    engine.node_applied(node("a", json!({})), now());
    engine.pod_applied(&placed("low1", 1, true), now());
    engine.pod_applied(&high("2"), now());
    let p = refused(&mut engine, 0).preemption.expect("the node must be nominated");
    assert_eq!((&*p.node, p.victims.len()), ("a", 0));
}

#[test]
fn a_failed_bind_gives_the_room_back_and_is_retried_after_a_backoff() {
    let mut engine = Engine::new("default-scheduler", 1);
    engine.node_applied(node("a", json!({})), now());
    engine.pod_applied(&pod("x", cpu("2")), now());
    assert!(matches!(engine.next(now()), Some(Decision::Bind { .. })));
    engine.bound("u-x", false, now());
    assert!(engine.next(now()).is_none());
    assert_eq!(engine.next_wake(), Some(later(1)));
    assert!(matches!(engine.next(later(1)), Some(Decision::Bind { .. })));
}

#[test]
fn only_what_can_help_wakes_a_pod() {
    let mut engine = Engine::new("default-scheduler", 1);
    engine.node_applied(node("a", json!({})), now());
    engine.pod_applied(&pod("x", cpu("3")), now());
    refused(&mut engine, 0);
    engine.node_applied(node("a", json!({"metadata": {"labels": {"new": "label"}}})), now());
    assert!(engine.next(later(100)).is_none(), "a label cannot bring CPU");
    engine.node_applied(node("b", json!({"status": {"allocatable": {"cpu": "8"}}})), later(100));
    assert!(matches!(engine.next(later(102)), Some(Decision::Bind { node, .. }) if &*node == "b"));
}

#[test]
fn a_change_of_a_placed_pod_wakes_whom_it_may_help() {
    let repelled = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"affinity": {"podAntiAffinity":
        {"requiredDuringSchedulingIgnoredDuringExecution": [{"labelSelector": {"matchLabels": {"a": "b"}},
        "topologyKey": "kubernetes.io/hostname"}]}}}});
    let placed = |label: &str, cpus: &str, leaving: bool| {
        let mut p = cpu(cpus);
        merge(&mut p, json!({"metadata": {"labels": {"a": label}}, "spec": {"nodeName": "a"}}));
        if leaving {
            merge(&mut p, json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}));
        }
        pod("p", p)
    };
    // The pod that waits; how the placed one changes; whether the waiting one is tried again, and then fits.
    let cases = [
        (repelled.clone(), placed("c", "1", false), Some(true)),
        (repelled.clone(), placed("b", "1", true), Some(false)),
        (repelled, placed("b", "1", false), None),
        (cpu("2"), placed("c", "1", false), None),
        (cpu("1500m"), placed("b", "500m", false), Some(true)),
    ];
    for (waiting, change, want) in cases {
        let mut engine = Engine::new("default-scheduler", 1);
        engine.node_applied(node("a", json!({})), now());
        engine.pod_applied(&placed("b", "1", false), now());
        engine.pod_applied(&pod("x", waiting.clone()), now());
        refused(&mut engine, 0);
        engine.pod_applied(&change, now());
        let got = engine.next(later(60)).map(|d| matches!(d, Decision::Bind { .. }));
        assert_eq!(got, want, "{waiting}");
    }
}

/// A pod under this name, with this UID.
fn named(name: &str, uid: &str, more: Value) -> Pod {
    let mut p = json!({"metadata": {"uid": uid}});
    merge(&mut p, more);
    pod(name, p)
}

#[test]
fn a_pod_replaced_under_its_name_gives_back_all_that_was_kept_for_it() {
    let ask = |more: Value| {
        let mut p = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"image": "a",
            "resources": {"requests": {"cpu": "2"}}, "ports": [{"hostPort": 80}]}]}});
        merge(&mut p, more);
        p
    };
    let on_a = json!({"spec": {"nodeName": "a"}});
    let placed = |e: &mut Engine| e.pod_applied(&named("x", "u-1", ask(on_a.clone())), now());
    let assumed = |e: &mut Engine| {
        e.pod_applied(&named("x", "u-1", ask(json!({}))), now());
        assert!(matches!(e.next(now()), Some(Decision::Bind { .. })));
    };
    let waiting = |e: &mut Engine| {
        e.pod_applied(&named("x", "u-1", ask(json!({"spec": {"nodeSelector": {"no": "where"}}}))), now());
        refused(e, 0);
    };
    // A nomination takes the room of the node too.
    let nominated = |e: &mut Engine| {
        e.pod_applied(&on("low", "a", "2"), now());
        let high = json!({"spec": {"priority": 100}});
        e.pod_applied(&named("x", "u-1", ask(high)), now());
        assert!(refused(e, 0).preemption.is_some());
        deleted(e, "low");
    };
    let before: [&dyn Fn(&mut Engine); 4] = [&placed, &assumed, &waiting, &nominated];
    // What is there in its place: a pod elsewhere, one that has ended, one of another scheduler.
    let after = [
        json!({"spec": {"nodeName": "elsewhere"}}),
        json!({"spec": {"nodeName": "a"}, "status": {"phase": "Succeeded"}}),
        json!({"spec": {"schedulerName": "other"}}),
    ];
    for (number, before) in before.iter().enumerate() {
        for more in &after {
            let mut engine = Engine::new("default-scheduler", 1);
            engine.node_applied(node("a", json!({})), now());
            before(&mut engine);
            engine.pod_applied(&named("x", "u-2", more.clone()), now());
            // The report of the old pod's bind comes late.
            engine.bound("u-1", false, now());
            engine.pod_applied(&pod("y", ask(json!({}))), now());
            let next = engine.next(later(100));
            assert!(
                matches!(&next, Some(Decision::Bind { uid, node, .. }) if &**uid == "u-y" && &**node == "a"),
                "{number} {more}: {next:?}"
            );
            assert_eq!(engine.pending(), 1, "{number} {more}: only the pod whose bind is in flight");
        }
    }
}

#[test]
fn the_late_end_of_a_pod_leaves_its_successor_alone() {
    let mut engine = Engine::new("default-scheduler", 1);
    engine.node_applied(node("a", json!({})), now());
    let big = |uid: &str| {
        let mut p = cpu("2");
        merge(&mut p, json!({"spec": {"nodeName": "a"}}));
        named("x", uid, p)
    };
    engine.pod_applied(&big("u-1"), now());
    engine.pod_applied(&big("u-2"), now());
    engine.pod_deleted(&Key::new("d", "x"), "u-1", now());
    engine.pod_applied(&pod("y", cpu("1")), now());
    refused(&mut engine, 0);
    // And its own successor still finds it.
    engine.pod_applied(&named("x", "u-3", json!({"spec": {"schedulerName": "other"}})), now());
    assert!(matches!(engine.next(later(100)), Some(Decision::Bind { uid, .. }) if &*uid == "u-y"));
}

/// A weak pod that asks for so much CPU and is on the node.
fn on(name: &str, node: &str, cpus: &str) -> Pod {
    let mut p = cpu(cpus);
    merge(&mut p, json!({"spec": {"nodeName": node, "priority": 1}}));
    pod(name, p)
}

#[test]
fn gated_foreign_and_deleted_pods_are_left_alone() {
    let gated = pod("g", json!({"spec": {"schedulingGates": [{"name": "wait"}]}}));
    let foreign = pod("f", json!({"spec": {"schedulerName": "other"}}));
    let deleted = pod("d", json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}));
    assert!(run(&[node("a", json!({}))], &[], &[gated, foreign, deleted]).is_empty());
}

#[test]
fn the_same_seed_decides_the_same() {
    let nodes: Vec<_> = (0..20).map(|i| node(&format!("n{i}"), json!({}))).collect();
    let pods: Vec<_> = (0..50).map(|i| pod(&format!("p{i}"), cpu("100m"))).collect();
    assert_eq!(run(&nodes, &[], &pods), run(&nodes, &[], &pods));
}
