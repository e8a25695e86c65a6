use super::*;
use crate::core::pod::{PODS, deletion_order};
use meta::Status;
use reconcile::{Failure, Op};
use serde_json::{Value, json};

fn pod(name: &str, more: &Value) -> Arc<Pod> {
    let owner = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "rs", "controller": true}]);
    let mut v = json!({
        "metadata": {"name": name, "uid": name, "labels": {"a": "b"}, "ownerReferences": owner,
            "creationTimestamp": "2026-01-01T00:00:00Z", "annotations": {}},
        "spec": {"nodeName": "n"}, "status": {"phase": "Running", "conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:10Z"}]},
    });
    for (path, value) in more.as_object().unwrap() {
        *v.pointer_mut(path).unwrap() = value.clone();
    }
    Arc::new(serde_json::from_str(&v.to_string()).unwrap())
}

fn state(replicas: i32, pods: Vec<Arc<Pod>>) -> State {
    let text = json!({
        "metadata": {"name": "web", "namespace": "d", "uid": "rs", "generation": 1},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": []}}},
    });
    let rs = serde_json::from_str(&text.to_string()).unwrap();
    State { rs: Arc::new(rs), pods, ..State::default() }
}

fn now() -> Timestamp {
    "2026-01-02T00:00:00Z".parse().unwrap()
}

fn created(s: &State) -> Vec<String> {
    let plan = ReplicaSets.reconcile(s, &mut (), now());
    let names = plan.actions().filter_map(|a| match &a.op {
        Op::Create { name, .. } => Some(name.clone()),
        _ => None,
    });
    names.collect()
}

/// The first of each pair is deleted before the second.
#[test]
fn the_least_useful_pod_goes_first() {
    let plain = json!({});
    let not_ready = json!({"/status/conditions": []});
    let cheap = json!({"/metadata/annotations": {"controller.kubernetes.io/pod-deletion-cost": "-5"}});
    for (first, second) in [
        (json!({"/spec/nodeName": ""}), &plain),
        (json!({"/status/phase": "Pending"}), &plain),
        (not_ready, &plain),
        (cheap, &plain),
        (json!({"/status/conditions/0/lastTransitionTime": "2026-01-01T23:59:50Z"}), &plain),
        (json!({"/metadata/creationTimestamp": "2026-01-01T23:00:00Z"}), &plain),
    ] {
        let (a, b) = (pod("x", &first), pod("x", second));
        assert!(deletion_order((&a, 1), (&b, 1), 0, now()).is_lt(), "{first}");
        assert!(deletion_order((&b, 1), (&a, 1), 0, now()).is_gt(), "{first}");
    }
    let (a, b) = (pod("x", &plain), pod("y", &plain));
    assert!(deletion_order((&a, 3), (&b, 1), 0, now()).is_lt(), "more related pods on the node");
    let ready_at = "2026-01-01T23:59:55Z";
    let fresh = pod("z", &json!({"/status/conditions/0/lastTransitionTime": ready_at}));
    let order = |min_ready| deletion_order((&fresh, 1), (&a, 3), min_ready, now());
    assert!(order(0).is_gt(), "both are available: more related pods on the node");
    assert!(order(10).is_lt(), "not available yet");
}

#[test]
fn names_follow_from_the_state() {
    let first = created(&state(3, vec![]));
    assert_eq!(first.len(), 3);
    assert_eq!(first, created(&state(3, vec![])), "a repetition meets its own late write");
    let other = created(&state(3, vec![pod("web-1", &json!({}))]));
    assert!(other.len() == 2 && other.iter().all(|n| !first.contains(n)));
}

#[test]
fn a_create_of_unknown_outcome_is_repeated_under_its_name() {
    let lost = created(&state(1, vec![]));
    let op = |name: &str| Op::Create { gvr: PODS, namespace: "d".into(), name: name.into(), body: vec![] };
    let failed = |name: &str, status| Failure { op: op(name), status };
    let mut s = state(2, vec![pod("web-1", &json!({}))]);
    s.failures = vec![failed(&lost[0], Status::timeout("lost"))];
    assert_eq!(created(&s), lost);
    // A name that belongs to somebody else is not tried again.
    s.failures = vec![failed("web-x", Status::already_exists(&PODS, "web-x"))];
    assert!(!created(&s).contains(&"web-x".to_owned()));
}

#[test]
fn a_quota_shows_in_the_status() {
    let mut s = state(1, vec![]);
    let op = Op::Create { gvr: PODS, namespace: "d".into(), name: "web-1".into(), body: vec![] };
    s.failures = vec![Failure { op, status: Status::forbidden(&PODS, "web-1", "exceeded quota") }];
    let plan = ReplicaSets.reconcile(&s, &mut (), now());
    let last = plan.steps.last().unwrap();
    assert!(last.always);
    let Op::Patch { body, .. } = &last.actions[0].op else { panic!("{last:?}") };
    let body: Value = serde_json::from_slice(body).unwrap();
    assert_eq!(body["status"]["conditions"][0]["type"], "ReplicaFailure");
    assert_eq!(body["status"]["conditions"][0]["reason"], "FailedCreate");
}
