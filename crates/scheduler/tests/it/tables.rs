//! Cases after upstream's plugin tests, and preemption.

use std::sync::Arc;

use scheduler::{Budget, Decision, Engine, Pod, Preemption};
use serde_json::{Value, json};

use crate::{cpu, deleted, later, merge, node, now, pod, refused, run};

const ZONE: &str = "topology.kubernetes.io/zone";
const UNLIKED: &str = "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.";

/// Whether a pod with `spec` fits on the only node.
fn fits(node_more: Value, placed: &[Pod], more: Value) -> Result<(), String> {
    match run(&[node("n", node_more)], placed, &[pod("x", more)]).remove(0) {
        bound if bound == "n" => Ok(()),
        message => Err(message.split(" preemption: ").next().unwrap().to_owned()),
    }
}

// k8s: pkg/scheduler/framework/plugins/nodeaffinity/node_affinity_test.go TestNodeAffinity
#[test]
fn node_affinity() {
    let one = |r: Value| json!([{"matchExpressions": [r]}]);
    let named = "0/1 nodes are available: 1 node(s) didn't satisfy plugin(s) [NodeAffinity].";
    let cases = [
        (one(json!({"key": "foo", "operator": "In", "values": ["bar", "value2"]})), None),
        (one(json!({"key": "version", "operator": "Gt", "values": ["0204"]})), None),
        (one(json!({"key": "version", "operator": "Lt", "values": ["0204"]})), Some(UNLIKED)),
        (one(json!({"key": "mem-type", "operator": "NotIn", "values": ["DDR", "DDR2"]})), None),
        (one(json!({"key": "GPU", "operator": "Exists"})), Some(UNLIKED)),
        (one(json!({"key": "GPU", "operator": "DoesNotExist"})), None),
        (one(json!({"key": "foo", "operator": "In", "values": ["value1", "value2"]})), Some(UNLIKED)),
        (json!([]), Some(UNLIKED)),
        (json!([{}]), Some(UNLIKED)),
        (
            json!([{"matchExpressions": [{"key": "foo", "operator": "Exists"},
            {"key": "foo", "operator": "In", "values": ["bar"]}]}]),
            None,
        ),
        (
            json!([{"matchExpressions": [{"key": "foo", "operator": "Exists"},
            {"key": "foo", "operator": "NotIn", "values": ["bar"]}]}]),
            Some(UNLIKED),
        ),
        (
            json!([{"matchExpressions": [{"key": "foo", "operator": "In", "values": ["other"]}]},
            {"matchExpressions": [{"key": "version", "operator": "Exists"}]}]),
            None,
        ),
        (json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]}]), None),
        (
            json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["m"]}]}]),
            Some(named),
        ),
        (
            json!([{"matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["n"]}]}]),
            Some(UNLIKED),
        ),
        (
            json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["m"]}]},
            {"matchExpressions": [{"key": "foo", "operator": "In", "values": ["bar"]}]}]),
            None,
        ),
        (
            json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}],
            "matchExpressions": [{"key": "foo", "operator": "In", "values": ["other"]}]}]),
            Some(UNLIKED),
        ),
        (
            json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]},
            {"key": "metadata.name", "operator": "In", "values": ["m"]}]}]),
            Some("0/1 nodes are available: pod affinity terms conflict."),
        ),
    ];
    let labels = json!({"metadata": {"labels": {"foo": "bar", "version": "0206"}}});
    for (terms, want) in cases {
        let affinity = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
            {"nodeSelectorTerms": terms}}});
        let got = fits(labels.clone(), &[], json!({"spec": {"affinity": affinity}}));
        assert_eq!(got.err().as_deref(), want, "{affinity}");
    }
}

#[test]
fn a_pod_that_names_its_node_is_told_of_the_others_too() {
    let nodes = [node("a", json!({})), node("b", json!({})), node("c", json!({}))];
    let mut named = cpu("3");
    named["spec"]["affinity"] = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
        {"nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["b"]}]}]}}});
    let want = "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't satisfy plugin(s) [NodeAffinity]. \
        preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.";
    assert_eq!(run(&nodes, &[], &[pod("x", named)]), [want]);
}

// k8s: pkg/scheduler/framework/plugins/tainttoleration/taint_toleration_test.go TestTaintTolerationFilter
#[test]
fn tolerations() {
    let cases = [
        (
            ("k", "v", "NoSchedule"),
            json!({"key": "k", "operator": "Equal", "value": "v", "effect": "NoSchedule"}),
            true,
        ),
        (("k", "v", "NoSchedule"), json!({"key": "k", "value": "v"}), true),
        (("k", "v", "NoSchedule"), json!({"key": "k", "value": "w"}), false),
        (("k", "v", "NoSchedule"), json!({"key": "l", "operator": "Exists"}), false),
        (("k", "v", "NoSchedule"), json!({"operator": "Exists"}), true),
        (
            ("k", "v", "NoSchedule"),
            json!({"key": "k", "operator": "Exists", "effect": "PreferNoSchedule"}),
            false,
        ),
        (("k", "v", "NoExecute"), json!({"key": "l"}), false),
        (("k", "v", "PreferNoSchedule"), json!({"key": "l"}), true),
        (("k", "5", "NoSchedule"), json!({"key": "k", "operator": "Gt", "value": "4"}), true),
        (("k", "5", "NoSchedule"), json!({"key": "k", "operator": "Lt", "value": "4"}), false),
    ];
    for ((key, value, effect), toleration, want) in cases {
        let taints = json!({"spec": {"taints": [{"key": key, "value": value, "effect": effect}]}});
        let got = fits(taints, &[], json!({"spec": {"tolerations": [toleration]}}));
        let message = "0/1 nodes are available: 1 node(s) had untolerated taint(s).";
        assert_eq!(got, if want { Ok(()) } else { Err(message.to_owned()) }, "{toleration}");
    }
}

/// Address, protocol and number of host ports.
type Ports = &'static [(&'static str, &'static str, u16)];

// k8s: pkg/scheduler/framework/plugins/nodeports/node_ports_test.go TestNodePorts
#[test]
fn host_ports() {
    let ports = |list: Ports| {
        let of = |(ip, protocol, port): &(&str, &str, u16)| json!({"hostIP": ip, "protocol": protocol, "hostPort": port});
        json!({"spec": {"containers": [{"image": "a", "ports": list.iter().map(of).collect::<Vec<_>>()}]}})
    };
    let cases: [(Ports, Ports, bool); 8] = [
        (&[("", "UDP", 8080)], &[("", "UDP", 9090)], true),
        (&[("127.0.0.1", "UDP", 8080)], &[("127.0.0.1", "UDP", 8080)], false),
        (&[("127.0.0.1", "TCP", 8080)], &[("127.0.0.2", "TCP", 8080)], true),
        (&[("127.0.0.1", "TCP", 8080)], &[("127.0.0.1", "UDP", 8080)], true),
        (&[("127.0.0.1", "TCP", 8001), ("127.0.0.1", "UDP", 8080)], &[("127.0.0.1", "UDP", 8080)], false),
        (&[("0.0.0.0", "TCP", 8001)], &[("127.0.0.1", "TCP", 8001)], false),
        (&[("127.0.0.1", "TCP", 8001)], &[("", "", 8001)], false),
        (&[("0.0.0.0", "TCP", 8001)], &[("127.0.0.1", "UDP", 8001)], true),
    ];
    for (taken, wanted, want) in cases {
        let mut placed = ports(taken);
        placed["spec"]["nodeName"] = json!("n");
        let got = fits(json!({}), &[pod("p", placed)], ports(wanted));
        assert_eq!(got.is_ok(), want, "{taken:?} {wanted:?} {got:?}");
    }
}

// k8s: pkg/scheduler/framework/plugins/podtopologyspread/filtering_test.go TestSingleConstraint
#[test]
fn spread_constraints() {
    let labelled = |name: &str, on: &str, version: &str| {
        pod(name, json!({"metadata": {"labels": {"app": "a", "version": version}}, "spec": {"nodeName": on}}))
    };
    let nodes = |more: Value| {
        let zone = |name: &str, zone: &str, more: Value| {
            let mut n = json!({"metadata": {"labels": {ZONE: zone}}});
            merge(&mut n, more);
            node(name, n)
        };
        [zone("a", "z1", json!({})), zone("b", "z2", more)]
    };
    let tainted = json!({"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}});
    let disk = json!({"metadata": {"labels": {"disk": "no"}}});
    let not_disk = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms":
        [{"matchExpressions": [{"key": "disk", "operator": "DoesNotExist"}]}]}}});
    let skewed = "node(s) didn't match pod topology spread constraints";
    // One matching pod is on node a of zone z1; node b is in zone z2, or lacks what is said.
    let cases = [
        (json!({}), json!({}), json!({}), "b"),
        // With too few domains the least is taken for 0: then neither zone may have one more than 1.
        (json!({"minDomains": 3, "maxSkew": 1}), json!({}), json!({}), "b"),
        // Node b is tainted: it counts as an empty domain unless the policy says otherwise.
        (json!({}), tainted.clone(), json!({}), skewed),
        (json!({"nodeTaintsPolicy": "Honor"}), tainted, json!({}), "a"),
        // Node b is not for the pod: it counts only if the policy says so.
        (json!({}), disk.clone(), not_disk.clone(), "a"),
        (json!({"nodeAffinityPolicy": "Ignore"}), disk, not_disk, skewed),
        // The pod on a is of another version and does not count; then both will do and b is emptier.
        (json!({"matchLabelKeys": ["version"]}), json!({"spec": {"unschedulable": true}}), json!({}), "a"),
    ];
    for (more, node_b, affinity, want) in cases {
        let mut constraint = json!({"maxSkew": 1, "topologyKey": ZONE, "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app": "a"}}});
        merge(&mut constraint, more);
        let p = json!({"metadata": {"labels": {"app": "a", "version": "2"}},
            "spec": {"topologySpreadConstraints": [constraint], "affinity": affinity}});
        let got = run(&nodes(node_b), &[labelled("p", "a", "1")], &[pod("x", p)]).remove(0);
        assert!(got == want || (got.contains(want) && want.len() > 1), "{constraint}: {got}");
    }
    // With the two zones holding one pod each, three domains asked for, and skew 1, there is no room.
    let p = json!({"metadata": {"labels": {"app": "a"}}, "spec": {"topologySpreadConstraints": [{"maxSkew": 1,
        "topologyKey": ZONE, "whenUnsatisfiable": "DoNotSchedule", "minDomains": 3,
        "labelSelector": {"matchLabels": {"app": "a"}}}]}});
    let placed = [labelled("p", "a", "1"), labelled("q", "b", "1")];
    let got = run(&nodes(json!({})), &placed, &[pod("x", p)]).remove(0);
    assert!(got.starts_with(&format!("0/2 nodes are available: 2 {skewed}.")), "{got}");
}

// k8s: pkg/scheduler/framework/plugins/interpodaffinity/filtering_test.go TestRequiredAffinitySingleNode
#[test]
fn terms_about_namespaces() {
    let anti = |namespace: &str, more: Value| {
        let mut term =
            json!({"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "a"}}});
        merge(&mut term, more);
        json!({"metadata": {"namespace": namespace, "labels": {"app": "a"}},
            "spec": {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}})
    };
    let team = |t: &str| json!({"namespaceSelector": {"matchLabels": {"team": t}}});
    let plain = |namespace: &str| json!({"metadata": {"namespace": namespace, "labels": {"app": "a"}}});
    // Namespace e is of team p. The placed pod is in e, the other one in d; each has terms or not.
    let cases = [
        (plain("e"), anti("d", json!({})), true),
        (plain("e"), anti("d", json!({"namespaces": ["e"]})), false),
        (plain("e"), anti("d", team("p")), false),
        (plain("e"), anti("d", team("q")), true),
        (plain("e"), anti("d", json!({"namespaceSelector": {}})), false),
        (plain("d"), anti("d", team("p")), true),
        (anti("e", team("p")), plain("d"), true),
        (anti("d", team("p")), plain("e"), false),
        (anti("e", json!({"namespaceSelector": {}})), plain("d"), false),
    ];
    for (mut placed, incoming, want) in cases {
        placed["spec"]["nodeName"] = json!("n");
        let mut engine = Engine::new("default-scheduler", 1);
        engine.node_applied(node("n", json!({})), now());
        engine.pod_applied(&pod("p", placed.clone()), now());
        // The labels come after the pods, and after a first decision without them.
        engine.pod_applied(&pod("first", incoming.clone()), now());
        engine.next(now());
        deleted(&mut engine, "first");
        engine.namespace_applied("e", &[("team", "p")].into_iter().collect());
        engine.pod_applied(&pod("x", incoming.clone()), now());
        let got = matches!(engine.next(now()), Some(Decision::Bind { .. }));
        assert_eq!(got, want, "{placed} {incoming}");
    }
}

/// A placed pod.
fn on(node: &str, name: &str, priority: i32, cpus: &str, started: u32) -> Pod {
    let mut p = cpu(cpus);
    let more = json!({"metadata": {"labels": {"app": name}}, "spec": {"nodeName": node, "priority": priority},
        "status": {"startTime": format!("2026-01-01T00:00:{started:02}Z")}});
    merge(&mut p, more);
    pod(name, p)
}

fn budget(app: &str, allowed: i32, more: Value) -> Arc<Budget> {
    let mut b = json!({"metadata": {"namespace": "d", "name": app}, "spec": {"selector": {"matchLabels": {"app": app}}},
        "status": {"disruptionsAllowed": allowed}});
    merge(&mut b, more);
    Arc::new(meta::json::of(b).unwrap())
}

fn preemptor(cpus: &str, more: Value) -> Pod {
    let mut p = cpu(cpus);
    merge(&mut p, json!({"spec": {"priority": 100}}));
    merge(&mut p, more);
    pod("high", p)
}

fn preempt(placed: &[Pod], budgets: &[Arc<Budget>], incoming: &Pod) -> (String, Option<Preemption>) {
    let mut engine = Engine::new("default-scheduler", 1);
    for name in ["a", "b"] {
        engine.node_applied(node(name, json!({})), now());
    }
    budgets.iter().for_each(|b| engine.budget_applied(b.clone()));
    placed.iter().for_each(|p| engine.pod_applied(p, now()));
    engine.pod_applied(incoming, now());
    let refusal = refused(&mut engine, 0);
    (refusal.message, refusal.preemption)
}

// k8s: pkg/scheduler/framework/plugins/defaultpreemption/default_preemption_test.go TestSelectBestCandidate
#[test]
fn the_cheapest_victims_go() {
    let none = Vec::new;
    // Nodes a and b have 2 CPUs each; the preemptor wants both.
    let cases: Vec<(&str, Vec<Pod>, Vec<Arc<Budget>>, &str, Vec<&str>)> = vec![
        (
            "lowest top priority",
            vec![on("a", "p", 10, "2", 1), on("b", "q", 5, "2", 1)],
            none(),
            "b",
            vec!["u-q"],
        ),
        (
            "lowest sum",
            vec![
                on("a", "p", 5, "1", 1),
                on("a", "q", 5, "1", 1),
                on("b", "r", 5, "1", 1),
                on("b", "s", 4, "1", 1),
            ],
            none(),
            "b",
            vec!["u-r", "u-s"],
        ),
        (
            "fewest, for every pod adds to the sum",
            vec![on("a", "p", -5, "1", 1), on("a", "q", -5, "1", 1), on("b", "r", -5, "2", 1)],
            none(),
            "b",
            vec!["u-r"],
        ),
        ("latest start", vec![on("a", "p", 5, "2", 1), on("b", "q", 5, "2", 2)], none(), "b", vec!["u-q"]),
        (
            "a budget counts more than priority",
            vec![on("a", "p", 10, "2", 1), on("b", "q", 5, "2", 1)],
            vec![budget("q", 0, json!({}))],
            "a",
            vec!["u-p"],
        ),
        (
            "a budget with something left does not count",
            vec![on("a", "p", 10, "2", 1), on("b", "q", 5, "2", 1)],
            vec![budget("q", 1, json!({}))],
            "b",
            vec!["u-q"],
        ),
        (
            "nor one that has granted it already",
            vec![on("a", "p", 10, "2", 1), on("b", "q", 5, "2", 1)],
            vec![budget("q", 0, json!({"status": {"disruptedPods": {"q": "2026-01-01T00:00:00Z"}}}))],
            "b",
            vec!["u-q"],
        ),
        (
            "nor one of another namespace, nor one that selects nothing",
            vec![on("a", "p", 10, "2", 1), on("b", "q", 5, "2", 1)],
            vec![
                budget("q", 0, json!({"metadata": {"namespace": "e"}})),
                budget("r", 0, json!({"spec": {"selector": {"matchLabels": null}}})),
            ],
            "b",
            vec!["u-q"],
        ),
    ];
    for (name, placed, budgets, node, victims) in cases {
        let (message, found) = preempt(&placed, &budgets, &preemptor("2", json!({})));
        let found = found.unwrap_or_else(|| panic!("{name}: {message}"));
        let got: Vec<&str> = found.victims.iter().map(|v| &*v.1).collect();
        assert_eq!((&*found.node, got), (node, victims), "{name}");
    }
}

#[test]
fn who_need_not_go_stays() {
    // One CPU is enough: the important stays, the budgeted stays, of two equal ones the longer running stays.
    let cases = [
        (vec![on("a", "p", 10, "1", 1), on("a", "q", 5, "1", 1)], vec![], "u-q"),
        (vec![on("a", "p", 10, "1", 1), on("a", "q", 5, "1", 1)], vec![budget("q", 0, json!({}))], "u-p"),
        (vec![on("a", "p", 5, "1", 1), on("a", "q", 5, "1", 2)], vec![], "u-q"),
    ];
    for (mut placed, budgets, want) in cases {
        placed.push(on("b", "full", 100, "2", 1));
        let (_, found) = preempt(&placed, &budgets, &preemptor("1", json!({})));
        let got: Vec<String> = found.unwrap().victims.iter().map(|v| v.1.to_string()).collect();
        assert_eq!(got, [want], "{budgets:?}");
    }
}

#[test]
fn why_preemption_does_not_help() {
    let far = json!({"metadata": {"labels": {"app": "p"}}, "spec": {"affinity": {"podAntiAffinity":
        {"requiredDuringSchedulingIgnoredDuringExecution": [{"labelSelector": {"matchLabels": {"app": "strong"}},
        "topologyKey": "kubernetes.io/hostname"}]}}}});
    let cases = [
        (
            vec![on("a", "strong", 100, "2", 1), on("b", "full", 100, "2", 1)],
            preemptor("1", json!({})),
            "0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: \
                2 No preemption victims found for incoming pod.",
        ),
        (
            vec![on("a", "weak", 1, "2", 1), on("b", "full", 1, "2", 1)],
            preemptor("1", json!({"spec": {"preemptionPolicy": "Never"}})),
            "0/2 nodes are available: 2 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never.",
        ),
        (
            // On a the weak pod could go, but the strong one keeps the pod away even so.
            vec![on("a", "strong", 100, "1", 1), on("a", "weak", 1, "1", 1), on("b", "full", 100, "2", 1)],
            preemptor("1", far),
            "0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: \
                1 No preemption victims found for incoming pod, 1 node(s) didn't match pod anti-affinity rules.",
        ),
        (
            vec![on("a", "weak", 1, "2", 1), on("b", "full", 1, "2", 1)],
            preemptor("3", json!({})),
            "0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: \
                2 Preemption is not helpful for scheduling.",
        ),
    ];
    for (placed, incoming, want) in cases {
        let (message, found) = preempt(&placed, &[], &incoming);
        assert_eq!((message.as_str(), found.is_some()), (want, false));
    }
}

#[test]
fn nominated_nodes() {
    let mut engine = Engine::new("default-scheduler", 1);
    engine.node_applied(node("a", json!({})), now());
    engine.pod_applied(&on("a", "low", 1, "2", 1), now());
    let waiting = |name: &str, priority: i32, more: Value| {
        let mut p = cpu("2");
        merge(&mut p, json!({"spec": {"priority": priority}}));
        merge(&mut p, more);
        pod(name, p)
    };
    engine.pod_applied(&waiting("middle", 50, json!({})), now());
    let first = refused(&mut engine, 0).preemption.unwrap();
    assert_eq!((first.victims.len(), first.displaced.len()), (1, 0));
    // A more important pod takes the nomination over.
    engine.pod_applied(&waiting("high", 100, json!({})), now());
    let second = refused(&mut engine, 0).preemption.unwrap();
    assert_eq!(second.displaced.iter().map(|d| &*d.1).collect::<Vec<_>>(), ["u-middle"]);
    deleted(&mut engine, "low");
    // The displaced pod does not get the room.
    let bound = [engine.next(later(60)), engine.next(later(60))];
    assert!(matches!(&bound[0], Some(Decision::Bind { uid, .. }) if &**uid == "u-high"), "{bound:?}");
    let Some(Decision::Unschedulable(r)) = &bound[1] else { panic!("{bound:?}") };
    assert_eq!((&*r.uid, r.preemption.is_some()), ("u-middle", false));
    // A nomination in the status that leads nowhere is cleared.
    let lost = waiting("lost", 100, json!({"status": {"nominatedNodeName": "a"}}));
    engine.pod_applied(&lost, later(60));
    let r = refused(&mut engine, 60);
    assert!(r.clear && r.preemption.is_none(), "{r:?}");
}

#[test]
fn pods_that_are_to_come_count_only_while_they_are_to_come() {
    let mut engine = Engine::new("default-scheduler", 1);
    for name in ["a", "b"] {
        engine.node_applied(node(name, json!({})), now());
    }
    engine.pod_applied(&on("a", "low", 1, "2", 1), now());
    engine.pod_applied(&on("b", "full", 200, "2", 1), now());
    let labels = json!({"metadata": {"labels": {"app": "x"}}});
    engine.pod_applied(&preemptor("1", labels.clone()), now());
    assert!(refused(&mut engine, 0).preemption.is_some());
    let alone = |name: &str| {
        let mut p = cpu("500m");
        merge(&mut p, labels.clone());
        merge(
            &mut p,
            json!({"spec": {"topologySpreadConstraints": [{"maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule",
            "topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "x"}}}]}}),
        );
        pod(name, p)
    };
    for name in ["1", "2"] {
        engine.pod_applied(&alone(name), now());
        refused(&mut engine, 0);
        deleted(&mut engine, name);
    }
    // There is room now, but a pod of the application is to come to the node.
    deleted(&mut engine, "low");
    engine.pod_applied(&alone("3"), now());
    let skewed = "1 node(s) didn't match pod topology spread constraints.";
    let message = refused(&mut engine, 0).message;
    assert!(message.contains(skewed), "{message}");
    deleted(&mut engine, "3");
    deleted(&mut engine, "high");
    engine.pod_applied(&alone("4"), now());
    assert!(matches!(engine.next(now()), Some(Decision::Bind { node, .. }) if &*node == "a"));
}
