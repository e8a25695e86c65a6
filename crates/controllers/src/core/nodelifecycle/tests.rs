use super::*;
use crate::core::condition::Condition;
use reconcile::Op;

fn node(name: &str, ready: &str, taints: &str) -> Arc<Node> {
    let text = format!(
        r#"{{"metadata":{{"name":"{name}","uid":"{name}","resourceVersion":"5"}},"spec":{{"taints":{taints}}},
        "status":{{"conditions":[{{"type":"Ready","status":"{ready}","lastHeartbeatTime":"1970-01-01T00:01:40Z"}}]}}}}"#
    );
    Arc::new(serde_json::from_str(&text).unwrap())
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn controller() -> NodeLifecycle {
    NodeLifecycle::new(Duration::from_secs(40))
}

/// A decision by a controller that has not seen the node before.
fn first(state: &State, seconds: i64) -> Plan {
    controller().reconcile(state, &mut Seen::default(), at(seconds))
}

fn state(ready: &str, taints: &str) -> State {
    State {
        node: node("a", ready, taints),
        zone: Zone { nodes: 3, not_ready: 1, ..Zone::default() },
        some_ready: true,
        ..State::default()
    }
}

fn bodies(plan: &Plan) -> Vec<serde_json::Value> {
    plan.actions()
        .filter_map(|a| match &a.op {
            Op::Patch { body, .. } => serde_json::from_slice(body).ok(),
            _ => None,
        })
        .collect()
}

#[test]
fn a_silent_node_becomes_unknown_after_the_grace_period() {
    let (c, mut seen) = (controller(), Seen::default());
    for seconds in [100, 110, 120, 130, 140] {
        let plan = c.reconcile(&state("True", "[]"), &mut seen, at(seconds));
        assert!(plan.steps.is_empty(), "{seconds}");
        assert!(plan.requeue_at.is_some_and(|t| t <= at(seconds + 10)), "{seconds}");
    }
    let plan = c.reconcile(&state("True", "[]"), &mut seen, at(141));
    let body = &bodies(&plan)[0];
    assert_eq!(body["status"]["conditions"][0]["status"], "Unknown");
    assert_eq!(body["status"]["conditions"][0]["reason"], "NodeStatusUnknown");
    assert_eq!(body["status"]["conditions"][1]["reason"], "NodeStatusNeverUpdated");
    assert_eq!(plan.events[0].reason, "NodeNotReady");
}

/// What a node writes is compared with what it wrote before and with nothing else. Each row: what the node
/// wrote (lease, heartbeat) and when this process looked; the last look decides.
#[test]
fn only_silence_that_was_watched_counts() {
    type Look = (i64, Option<i64>, Option<i64>);
    let watched = |from: i64, to: i64, signs: (Option<i64>, Option<i64>)| -> Vec<Look> {
        (from..=to).step_by(5).map(|t| (t, signs.0, signs.1)).collect()
    };
    let renewing = |from: i64, to: i64, behind: i64| -> Vec<Look> {
        (from..=to).step_by(10).map(|t| (t, Some(t - behind), None)).collect()
    };
    let cases: Vec<(&str, Vec<Look>, bool)> = vec![
        ("a clock an hour behind", renewing(10_000, 10_200, 3600), false),
        ("a clock an hour ahead", renewing(10_000, 10_200, -3600), false),
        ("a clock an hour ahead that stopped", watched(10_000, 10_060, (Some(13_600), None)), true),
        (
            "only the heartbeat goes on",
            vec![(100, None, Some(1)), (120, None, Some(2)), (150, None, Some(3))],
            false,
        ),
        (
            "a clock set back",
            vec![(100, Some(100), None), (130, Some(50), None), (150, Some(50), None)],
            false,
        ),
        ("silent since before the first look", watched(10_000, 10_040, (Some(10), Some(10))), false),
        ("silent for longer", watched(10_000, 10_050, (Some(10), Some(10))), true),
        ("nobody looked for an hour", vec![(100, Some(1), None), (3700, Some(1), None)], false),
        (
            "this process's clock is set forward",
            vec![(100, Some(1), None), (105, Some(2), None), (9000, Some(2), None)],
            false,
        ),
        (
            "this process's clock is set back",
            [watched(9000, 9030, (Some(1), None)), watched(100, 110, (Some(1), None))].concat(),
            false,
        ),
        (
            "the heartbeat is lost from view",
            [watched(100, 140, (None, Some(1))), vec![(145, None, None)]].concat(),
            true,
        ),
    ];
    for (what, looks, silent) in cases {
        let mut seen = Seen::default();
        let mut last = Plan::default();
        for (now, renewed, beat) in looks {
            let signs = Signs { renewed: renewed.map(at), beat: beat.map(at) };
            last = controller().reconcile(&State { signs, ..state("True", "[]") }, &mut seen, at(now));
        }
        assert_eq!(!last.steps.is_empty(), silent, "{what}");
    }
}

#[test]
fn a_new_node_has_longer_and_one_of_an_old_name_is_new() {
    let (c, mut seen) = (controller(), Seen::default());
    let mut quiet = (*node("a", "True", "[]")).clone();
    quiet.status.conditions.clear();
    let quiet = |uid: &str| {
        let mut node = quiet.clone();
        node.metadata.uid = uid.into();
        State { node: Arc::new(node), ..state("True", "[]") }
    };
    for seconds in [100, 120, 140, 160] {
        assert!(c.reconcile(&quiet("a"), &mut seen, at(seconds)).steps.is_empty(), "{seconds}");
    }
    assert_eq!(c.reconcile(&quiet("a"), &mut seen, at(161)).steps.len(), 1);
    assert!(c.reconcile(&quiet("b"), &mut seen, at(162)).steps.is_empty());
}

#[test]
fn taints_follow_readiness() {
    let keys = |s: &State| -> Vec<String> {
        let plan = first(s, 120);
        let all = bodies(&plan);
        let Some(list) = all.last().and_then(|b| b["spec"]["taints"].as_array()) else { return Vec::new() };
        list.iter()
            .map(|t| format!("{}:{}", t["key"].as_str().unwrap(), t["effect"].as_str().unwrap()))
            .collect()
    };
    let not_ready = ["node.kubernetes.io/not-ready:NoSchedule", "node.kubernetes.io/not-ready:NoExecute"];
    assert_eq!(keys(&state("False", "[]")), not_ready);
    let foreign = r#"[{"key":"mine","effect":"NoSchedule"},{"key":"node.kubernetes.io/not-ready","effect":"NoExecute"}]"#;
    assert_eq!(keys(&state("True", foreign)), ["mine:NoSchedule"]);
    // Nobody is ready: no eviction.
    let all_down = State { some_ready: false, ..state("False", "[]") };
    assert_eq!(keys(&all_down), [not_ready[0]]);
    // Another node was tainted a moment ago, or is to be tainted before.
    let zone = |taints: &[i64], ahead| Zone {
        nodes: 3,
        not_ready: 2,
        taints: taints.iter().map(|t| at(*t)).collect(),
        ahead,
    };
    assert_eq!(keys(&State { zone: zone(&[115], 0), ..state("False", "[]") }), [not_ready[0]]);
    assert_eq!(keys(&State { zone: zone(&[], 1), ..state("False", "[]") }), [not_ready[0]]);
    // A clock that is an hour ahead holds nobody up, and hides no taint.
    assert_eq!(keys(&State { zone: zone(&[3720], 0), ..state("False", "[]") }), not_ready);
    assert_eq!(keys(&State { zone: zone(&[115, 3720], 0), ..state("False", "[]") }), [not_ready[0]]);
    // Pods that leave already go on leaving when the reason changes.
    let unreachable = r#"[{"key":"node.kubernetes.io/unreachable","effect":"NoExecute"}]"#;
    assert_eq!(keys(&State { zone: zone(&[115], 1), ..state("False", unreachable) }), not_ready);
}

/// Whether the plan makes the node's taints hold `NoExecute`; `None` when it leaves them.
fn empties(plan: &Plan) -> Option<bool> {
    let all = bodies(plan);
    let taints = all.iter().find(|b| b["spec"].get("taints").is_some())?["spec"]["taints"].clone();
    Some(taints.as_array().into_iter().flatten().any(|t| t["effect"] == "NoExecute"))
}

#[test]
fn a_zone_that_was_disrupted_and_recovered_is_emptied_of_what_stays_dead() {
    let unreachable = r#"[{"key":"node.kubernetes.io/unreachable","effect":"NoSchedule"}]"#;
    let zone = |not_ready| Zone { nodes: 5, not_ready, ..Zone::default() };
    let mut dead = (*node("a", "Unknown", unreachable)).clone();
    for kind in ["MemoryPressure", "DiskPressure", "PIDPressure"] {
        let ready = dead.status.conditions[0].clone();
        dead.status.conditions.push(Condition { kind: kind.into(), ..ready });
    }
    let dead = Arc::new(dead);
    let state = |not_ready| State { node: dead.clone(), zone: zone(not_ready), ..state("Unknown", "[]") };
    let (c, mut seen) = (controller(), Seen::default());
    let mut now = at(100);
    // Nothing but time passes, until long after the node has been given up.
    while now < at(400) {
        let plan = c.reconcile(&state(3), &mut seen, now);
        assert_eq!(empties(&plan), None, "{now}");
        let again = plan.requeue_at.expect("it looks again");
        assert!(again > now && again <= time::after(now, Duration::from_secs(10)), "{now}: {again}");
        now = again;
    }
    assert_eq!(empties(&c.reconcile(&state(1), &mut seen, now)), Some(true));
}

#[test]
fn while_no_node_at_all_is_ready_nobody_is_told_to_leave() {
    let both = r#"[{"key":"node.kubernetes.io/unreachable","effect":"NoSchedule"},
        {"key":"node.kubernetes.io/unreachable","effect":"NoExecute"}]"#;
    let (c, mut seen) = (controller(), Seen::default());
    let plan = c.reconcile(&state("Unknown", both), &mut seen, at(100));
    assert_eq!(empties(&plan), None);
    // Nobody tells that the other nodes changed.
    assert!(plan.requeue_at.is_some_and(|t| t <= at(110)));
    let all_down = |taints| State { some_ready: false, ..state("Unknown", taints) };
    assert_eq!(empties(&c.reconcile(&all_down(both), &mut seen, at(110))), Some(false));
    let only_schedule = r#"[{"key":"node.kubernetes.io/unreachable","effect":"NoSchedule"}]"#;
    assert!(c.reconcile(&all_down(only_schedule), &mut seen, at(120)).requeue_at.is_some());
    assert_eq!(empties(&c.reconcile(&state("Unknown", only_schedule), &mut seen, at(130))), Some(true));
}

/// When nobody could reach this process, the silence of each node says nothing.
#[test]
fn silence_counts_anew_when_the_first_node_is_ready_again() {
    let (c, mut seen) = (controller(), Seen::default());
    let none = State { some_ready: false, ..state("False", "[]") };
    for seconds in (100..=130).step_by(10) {
        c.reconcile(&none, &mut seen, at(seconds));
    }
    let unknown =
        |plan: &Plan| bodies(plan).iter().any(|b| b["status"]["conditions"][0]["status"] == "Unknown");
    let gone_at =
        (140..=300).step_by(10).find(|t| unknown(&c.reconcile(&state("False", "[]"), &mut seen, at(*t))));
    assert_eq!(gone_at, Some(190), "more than the grace period of 40 s after 140");
}

#[test]
fn labels_and_taints_are_one_patch_and_pods_do_not_wait_for_it() {
    let pod = r#"{"metadata":{"name":"p","namespace":"n","uid":"p"},"spec":{"nodeName":"a"},
        "status":{"conditions":[{"type":"Ready","status":"True"}]}}"#;
    let mut n = (*node("a", "Unknown", "[]")).clone();
    n.metadata.labels = [("kubernetes.io/os", "linux")].into_iter().collect();
    let ready_pods = vec![Arc::new(serde_json::from_str(pod).unwrap())];
    let plan = first(&State { node: Arc::new(n), ready_pods, ..state("Unknown", "[]") }, 100);
    let [of_node, of_pods] = &plan.steps[..] else { panic!("{plan:?}") };
    assert_eq!((of_node.actions.len(), of_pods.actions.len(), of_pods.always), (1, 1, true));
    let body = &bodies(&plan)[0];
    assert_eq!(body["metadata"]["resourceVersion"], "5");
    assert_eq!(body["metadata"]["labels"], json!({"beta.kubernetes.io/os": "linux"}));
    assert_eq!(empties(&plan), Some(true));
}

#[test]
fn pods_of_a_silent_node_are_told_not_ready() {
    let pod = r#"{"metadata":{"name":"p","namespace":"n","uid":"p"},"spec":{"nodeName":"a"},
        "status":{"conditions":[{"type":"Ready","status":"True"}]}}"#;
    let taints = r#"[{"key":"node.kubernetes.io/unreachable","effect":"NoSchedule"},
        {"key":"node.kubernetes.io/unreachable","effect":"NoExecute"}]"#;
    let ready_pods = vec![Arc::new(serde_json::from_str(pod).unwrap())];
    let (c, mut seen) = (controller(), Seen::default());
    let renewed = |t| State {
        ready_pods: ready_pods.clone(),
        signs: Signs { renewed: Some(at(t)), beat: None },
        ..state("Unknown", taints)
    };
    let plan = c.reconcile(&renewed(1), &mut seen, at(1));
    let event = plan.actions().next().and_then(|a| a.on_ok.clone()).unwrap();
    assert_eq!(
        (event.reason, &*event.message, &*event.regarding.kind),
        ("NodeNotReady", "Node is not ready", "Pod")
    );
    assert_eq!(bodies(&plan)[0]["status"]["conditions"][0]["status"], "False");
    // Its agent is back and tells of its pods; that of its node it tells a little later.
    for (now, sign, marks) in [(5, 5, 0), (20, 5, 0), (30, 5, 0), (40, 5, 0), (50, 5, 1)] {
        let plan = c.reconcile(&renewed(sign), &mut seen, at(now));
        assert_eq!(plan.actions().count(), marks, "{now}");
    }
}

#[test]
fn older_labels_follow_the_newer_ones() {
    for (labels, want) in [
        ("{}", None),
        (r#"{"kubernetes.io/os":"linux"}"#, Some(json!({"beta.kubernetes.io/os": "linux"}))),
        (
            r#"{"kubernetes.io/arch":"arm64","beta.kubernetes.io/arch":"amd64"}"#,
            Some(json!({"beta.kubernetes.io/arch": "arm64"})),
        ),
        (r#"{"kubernetes.io/os":"linux","beta.kubernetes.io/os":"linux"}"#, None),
    ] {
        let mut n = (*node("a", "True", "[]")).clone();
        n.metadata.labels = serde_json::from_str(labels).unwrap();
        let plan = first(&State { node: Arc::new(n), ..state("True", "[]") }, 1);
        assert_eq!(bodies(&plan).first().map(|b| b["metadata"]["labels"].clone()), want, "{labels}");
    }
}

fn cluster(nodes: usize, ready: &str) -> Caches {
    let mut caches = Caches::default();
    caches.kind_mut::<Lease>();
    for i in 0..nodes {
        let name = format!("n{i:05}");
        caches.kind_mut::<Node>().upsert((*node(&name, ready, "[]")).clone());
        for p in 0..3 {
            let text = format!(
                r#"{{"metadata":{{"name":"p{p}-{name}","namespace":"n"}},"spec":{{"nodeName":"{name}"}}}}"#
            );
            caches.kind_mut::<Pod>().upsert(serde_json::from_str(&text).unwrap());
        }
    }
    caches
}

/// As many objects are looked at among ten nodes as among a thousand.
#[cfg(debug_assertions)]
#[test]
fn a_decision_does_not_look_at_all_nodes_or_pods() {
    let looked = |nodes: usize, ready: &str| {
        let caches = cluster(nodes, ready);
        let before = caches.kind::<Node>().looked_at() + caches.kind::<Pod>().looked_at();
        let state = controller().observe(&Key::new("", "n00000"), &caches, &Answers::default()).unwrap();
        assert_eq!(state.some_ready, ready == "True");
        caches.kind::<Node>().looked_at() + caches.kind::<Pod>().looked_at() - before
    };
    for ready in ["True", "Unknown"] {
        assert_eq!(looked(10, ready), looked(1000, ready), "{ready}");
        assert!(looked(10, ready) < 8, "{ready}");
    }
}

#[test]
fn the_zone_is_counted_by_what_its_nodes_say() {
    let mut caches = cluster(5, "Unknown");
    for (name, taints) in [
        ("n00001", "[]"),
        (
            "n00002",
            r#"[{"key":"node.kubernetes.io/unreachable","effect":"NoExecute","timeAdded":"1970-01-01T00:00:50Z"}]"#,
        ),
    ] {
        caches.kind_mut::<Node>().upsert((*node(name, "Unknown", taints)).clone());
    }
    caches.kind_mut::<Node>().upsert((*node("n00003", "True", "[]")).clone());
    let mut excluded = (*node("n00000", "Unknown", "[]")).clone();
    excluded.metadata.labels = [("node.kubernetes.io/exclude-disruption", "")].into_iter().collect();
    caches.kind_mut::<Node>().upsert(excluded);
    let state = controller().observe(&Key::new("", "n00004"), &caches, &Answers::default()).unwrap();
    assert_eq!(state.zone, Zone { nodes: 4, not_ready: 3, taints: vec![at(50)], ahead: 2 });
    assert!(state.some_ready);
}
