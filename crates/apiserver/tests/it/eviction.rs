//! Evictions: what budgets refuse, what counts for none, what the pod and the budget are told.

use serde_json::{Value as Json, json};

use crate::harness::World;
use crate::pods::{account, bind, pod};

#[test]
fn eviction_respects_budgets() {
    let w = World::new();
    account(&w);
    w.create("pods", "default", &pod("p")).expect(201);
    bind(&w, "p", "n1").expect(201);
    let ready = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    w.patch("pods", "default", "p/status", "merge", &ready).expect(200);
    let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "b"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "p"}}}});
    w.create("policy/poddisruptionbudgets", "default", &budget).expect(201);
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}});
    let refused = w.post("pods", "default", "p/eviction", &eviction).expect(429);
    assert_eq!(refused.message(), "Cannot evict pod as it would violate the pod's disruption budget.");
    let status = json!({"status": {"observedGeneration": 1, "disruptionsAllowed": 1, "currentHealthy": 2, "desiredHealthy": 1, "expectedPods": 2}});
    w.patch("policy/poddisruptionbudgets", "default", "b/status", "merge", &status).expect(200);
    let allowed = || w.get("policy/poddisruptionbudgets", "default", "b").at("/status/disruptionsAllowed");
    for (preconditions, user, code) in [
        (json!({"uid": "other"}), "admin", 409),
        (json!({"resourceVersion": "1"}), "admin", 409),
        (json!({}), "system:node:n2", 403),
    ] {
        let mut refused = eviction.clone();
        refused["deleteOptions"] = json!({"preconditions": preconditions});
        let who = w.by(user, &[if code == 403 { "system:nodes" } else { "system:masters" }]);
        who.post("pods", "default", "p/eviction", &refused).expect(code);
        assert_eq!(allowed(), "1", "{refused}");
    }
    w.post("pods", "default", "p/eviction", &eviction).expect(201);
    assert_eq!(allowed(), "0");
    let spent = w.get("policy/poddisruptionbudgets", "default", "b");
    assert_eq!(spent.at("/status/disruptedPods/p"), "2026-01-02T03:04:05Z");
    assert_eq!(spent.at("/status/conditions/0/reason"), "InsufficientPods");
    let told = w.get("pods", "default", "p");
    assert!(!told.at("/metadata/deletionTimestamp").is_empty());
    assert_eq!(told.at("/status/conditions/1/type"), "DisruptionTarget");
    assert_eq!(told.at("/status/conditions/1/reason"), "EvictionByEvictionAPI");
    assert_eq!(told.at("/status/conditions/1/message"), "Eviction API: evicting");
    // Whoever names the version that is there is served: the condition is written in between.
    w.create("pods", "default", &pod("q")).expect(201);
    let mut named = eviction.clone();
    named["metadata"]["name"] = "q".into();
    let version = w.get("pods", "default", "q").at("/metadata/resourceVersion");
    named["deleteOptions"] = json!({"preconditions": {"resourceVersion": version}});
    w.post("pods", "default", "q/eviction", &named).expect(201);
    w.get("pods", "default", "q").expect(404);
}

const BUDGETS: &str = "policy/poddisruptionbudgets";

fn eviction(name: &str, options: &Json) -> Json {
    json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}, "deleteOptions": options})
}

/// A pod on a node, in this phase, ready or not.
fn running(w: &World, name: &str, phase: &str, ready: &str) {
    let mut object = pod(name);
    object["metadata"]["labels"] = json!({"app": "p"});
    w.create("pods", "default", &object).expect(201);
    bind(w, name, "n1").expect(201);
    let status = json!({"status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]}});
    w.patch("pods", "default", &format!("{name}/status"), "merge", &status).expect(200);
}

/// A budget with these numbers: allowed, healthy, desired.
fn budget(w: &World, name: &str, policy: Option<&str>, [allowed, healthy, desired]: [i32; 3]) {
    let object = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": name},
        "spec": {"minAvailable": desired, "selector": {"matchLabels": {"app": "p"}},
            "unhealthyPodEvictionPolicy": policy}});
    w.create(BUDGETS, "default", &object).expect(201);
    let status = json!({"status": {"observedGeneration": 1, "disruptionsAllowed": allowed,
        "currentHealthy": healthy, "desiredHealthy": desired, "expectedPods": 3}});
    w.patch(BUDGETS, "default", &format!("{name}/status"), "merge", &status).expect(200);
}

#[test]
fn who_counts_for_a_budget() {
    // The phase, whether it is ready, the budget's policy and numbers, the answer, what is allowed then.
    for (phase, ready, policy, numbers, code, left) in [
        ("Running", "True", None, [1, 3, 2], 201, 0),
        ("Running", "True", None, [0, 2, 2], 429, 0),
        ("Running", "False", None, [0, 2, 2], 201, 0),
        ("Running", "False", None, [0, 1, 2], 429, 0),
        ("Running", "False", None, [1, 3, 0], 201, 0),
        ("Running", "False", Some("IfHealthyBudget"), [0, 1, 2], 429, 0),
        ("Running", "False", Some("AlwaysAllow"), [0, 1, 2], 201, 0),
        ("Running", "True", Some("AlwaysAllow"), [0, 2, 2], 429, 0),
        ("Pending", "False", None, [0, 0, 2], 201, 0),
        ("Succeeded", "False", None, [0, 0, 2], 201, 0),
        ("Failed", "False", None, [1, 3, 2], 201, 1),
    ] {
        let w = World::new();
        account(&w);
        running(&w, "p", phase, ready);
        budget(&w, "b", policy, numbers);
        let case = format!("{phase} {ready} {policy:?} {numbers:?}");
        let answer = w.post("pods", "default", "p/eviction", &eviction("p", &json!({})));
        assert_eq!(answer.code, code, "{case}: {}", answer.text());
        if code == 429 {
            assert_eq!(answer.at("/details/causes/0/reason"), "DisruptionBudget", "{case}");
        }
        let left_over = w.get("pods", "default", "p");
        let gone = left_over.code == 404 || !left_over.at("/metadata/deletionTimestamp").is_empty();
        assert_eq!(gone, code == 201, "{case}");
        let after = w.get(BUDGETS, "default", "b");
        assert_eq!(after.at("/status/disruptionsAllowed"), left.to_string(), "{case}");
    }
}

#[test]
fn two_budgets_refuse() {
    let w = World::new();
    account(&w);
    running(&w, "p", "Running", "True");
    running(&w, "done", "Succeeded", "False");
    budget(&w, "b", None, [1, 3, 2]);
    budget(&w, "c", None, [1, 3, 2]);
    let refused = w.post("pods", "default", "p/eviction", &eviction("p", &json!({}))).expect(500);
    let why =
        "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
    assert_eq!(refused.message(), why);
    w.post("pods", "default", "done/eviction", &eviction("done", &json!({}))).expect(201);
}

#[test]
fn what_an_eviction_asks_for() {
    let w = World::new();
    account(&w);
    running(&w, "p", "Running", "True");
    budget(&w, "b", None, [1, 3, 2]);
    let unnamed = json!({"apiVersion": "policy/v1", "kind": "Eviction"});
    let refused = w.post("pods", "default", "p/eviction", &unnamed).expect(400);
    assert_eq!(refused.message(), "name in URL does not match name in Eviction object");
    w.post("pods", "default", "none/eviction", &eviction("none", &json!({}))).expect(404);
    let mut old = eviction("p", &json!({"dryRun": ["All"]}));
    old["apiVersion"] = "policy/v1beta1".into();
    w.post("pods", "default", "p/eviction", &old).expect(201);
    old["apiVersion"] = "policy/v2".into();
    w.post("pods", "default", "p/eviction", &old).expect(400);
    let before = (w.get("pods", "default", "p").json(), w.get(BUDGETS, "default", "b").json());
    w.post("pods", "default", "p/eviction", &eviction("p", &json!({"dryRun": ["All"]}))).expect(201);
    assert_eq!((w.get("pods", "default", "p").json(), w.get(BUDGETS, "default", "b").json()), before);
    w.post("pods", "default", "p/eviction", &eviction("p", &json!({"gracePeriodSeconds": 7}))).expect(201);
    let going = w.get("pods", "default", "p");
    assert_eq!(going.at("/metadata/deletionGracePeriodSeconds"), "7");
    // Nothing is allowed any more, and that is said of a dry run too.
    running(&w, "q", "Running", "True");
    let dry = eviction("q", &json!({"dryRun": ["All"]}));
    let refused = w.post("pods", "default", "q/eviction", &dry).expect(429);
    let why = "The disruption budget b does not allow evicting pods currently";
    assert_eq!(refused.at("/details/causes/0/message"), why);
}

#[test]
fn the_numbers_of_a_budget_are_never_negative() {
    let w = World::new();
    budget(&w, "b", None, [1, 3, 2]);
    for field in ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"] {
        let status = json!({"status": {field: -1}});
        let refused = w.patch(BUDGETS, "default", "b/status", "merge", &status).expect(422);
        assert_eq!(
            refused.message(),
            format!(
                "PodDisruptionBudget.policy \"b\" is invalid: status.{field}: Invalid value: -1: must be greater than or equal to 0"
            )
        );
    }
}
