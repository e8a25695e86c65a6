use super::*;
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

fn state(ready: &str, taints: &str) -> State {
    State {
        node: node("a", ready, taints),
        heard: Some(at(100)),
        floor: at(0),
        zone: Zone { nodes: 3, not_ready: 1, last_taint: None },
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
    let c = NodeLifecycle::new(at(0));
    let plan = c.reconcile(&state("True", "[]"), &mut (), at(140));
    assert!(plan.steps.is_empty());
    assert!(plan.requeue_at.is_some());
    let plan = c.reconcile(&state("True", "[]"), &mut (), at(141));
    let body = &bodies(&plan)[0];
    assert_eq!(body["status"]["conditions"][0]["status"], "Unknown");
    assert_eq!(body["status"]["conditions"][0]["reason"], "NodeStatusUnknown");
    assert_eq!(body["status"]["conditions"][1]["reason"], "NodeStatusNeverUpdated");
    assert_eq!(plan.events[0].reason, "NodeNotReady");
}

#[test]
fn silence_before_the_start_does_not_count() {
    let c = NodeLifecycle::new(at(1000));
    let s = State { floor: at(1000), ..state("True", "[]") };
    assert!(c.reconcile(&s, &mut (), at(1039)).steps.is_empty());
    assert_eq!(c.reconcile(&s, &mut (), at(1041)).steps.len(), 1);
}

#[test]
fn taints_follow_readiness() {
    let c = NodeLifecycle::new(at(0));
    let keys = |s: &State| -> Vec<String> {
        let plan = c.reconcile(s, &mut (), at(120));
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
    // Another node was tainted a moment ago.
    let zone = Zone { nodes: 3, not_ready: 2, last_taint: Some(at(115)) };
    assert_eq!(keys(&State { zone, ..state("False", "[]") }), [not_ready[0]]);
}
