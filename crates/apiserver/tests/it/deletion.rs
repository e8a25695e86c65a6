//! Finalizers, grace periods, propagation, preconditions, namespaces.

use serde_json::{Value as Json, json};

use crate::harness::World;

fn config_map(name: &str) -> Json {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
}

#[test]
fn finalizers_hold_an_object() {
    let w = World::new();
    let mut object = config_map("a");
    object["metadata"]["finalizers"] = json!(["example.com/x"]);
    w.create("configmaps", "default", &object).expect(201);
    let marked = w.delete("configmaps", "default", "a", &Json::Null).expect(200);
    assert_eq!(marked.at("/metadata/deletionTimestamp"), "2026-01-02T03:04:05Z");
    w.get("configmaps", "default", "a").expect(200);
    let again = json!({"metadata": {"finalizers": ["example.com/x", "example.com/y"]}});
    w.patch("configmaps", "default", "a", "merge", &again).expect(422);
    w.patch("configmaps", "default", "a", "merge", &json!({"metadata": {"finalizers": null}})).expect(200);
    w.get("configmaps", "default", "a").expect(404);
}

#[test]
fn propagation_sets_the_collectors_finalizers() {
    let w = World::new();
    for (policy, finalizer) in [("Orphan", "orphan"), ("Foreground", "foregroundDeletion")] {
        w.create("configmaps", "default", &config_map("a")).expect(201);
        let got = w.delete("configmaps", "default", "a", &json!({"propagationPolicy": policy})).expect(200);
        assert_eq!(got.json()["metadata"]["finalizers"], json!([finalizer]));
        w.delete("configmaps", "default", "a", &json!({"propagationPolicy": "Background"})).expect(200);
        w.get("configmaps", "default", "a").expect(404);
    }
    w.create("configmaps", "default", &config_map("a")).expect(201);
    w.delete("configmaps", "default", "a", &json!({"propagationPolicy": "Sideways"})).expect(422);
}

#[test]
fn preconditions_and_dry_run() {
    let w = World::new();
    let made = w.create("configmaps", "default", &config_map("a")).expect(201);
    let wrong = w.delete("configmaps", "default", "a", &json!({"preconditions": {"uid": "x"}})).expect(409);
    assert!(wrong.message().contains("Precondition failed: UID in precondition: x, UID in object meta: "));
    w.delete("configmaps", "default", "a", &json!({"preconditions": {"resourceVersion": "1"}})).expect(409);
    w.delete("configmaps", "default", "a", &json!({"dryRun": ["All"]})).expect(200);
    w.delete("configmaps", "default", "a", &json!({"dryRun": ["Some"]})).expect(422);
    let uid = made.at("/metadata/uid");
    w.delete("configmaps", "default", "a", &json!({"preconditions": {"uid": uid}})).expect(200);
    w.get("configmaps", "default", "a").expect(404);
}

#[test]
fn collections_go_by_selector() {
    let w = World::new();
    for name in ["a", "b", "c"] {
        let mut object = config_map(name);
        object["metadata"]["labels"] = json!({"n": name});
        w.create("configmaps", "default", &object).expect(201);
    }
    let mut r = w.request(meta::Verb::DeleteCollection, "configmaps", "default", "");
    r.query.push("labelSelector", "n in (a,b)");
    assert_eq!(w.send(r).expect(200).json()["items"].as_array().unwrap().len(), 2);
    assert_eq!(w.list("configmaps", "default", "").json()["items"].as_array().unwrap().len(), 1);
}

#[test]
fn namespaces_end_when_finalized() {
    let w = World::new();
    let ns = |name: &str| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    w.create("namespaces", "", &ns("x")).expect(201);
    w.create("configmaps", "x", &config_map("a")).expect(201);
    let ending = w.delete("namespaces", "", "x", &Json::Null).expect(200);
    assert_eq!(ending.at("/status/phase"), "Terminating");
    let refused = w.create("configmaps", "x", &config_map("b")).expect(403);
    assert_eq!(
        refused.message(),
        "configmaps \"b\" is forbidden: unable to create new content in namespace x because it is being terminated"
    );
    assert_eq!(refused.at("/details/causes/0/reason"), "NamespaceTerminating");
    let mut finalized = ending.json();
    finalized["spec"] = json!({});
    w.update("namespaces", "", "x/finalize", &finalized).expect(200);
    w.get("namespaces", "", "x").expect(404);
    let kept = w.delete("namespaces", "", "kube-system", &Json::Null).expect(403);
    assert!(kept.message().contains("this namespace may not be deleted"));
}

#[test]
fn old_events_are_removed() {
    let w = World::new();
    let event = |name: &str| {
        json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": name, "namespace": "default"},
            "involvedObject": {"kind": "Pod", "namespace": "default", "name": "p"}, "reason": "R", "type": "Normal"})
    };
    w.create("events", "default", &event("old")).expect(201);
    w.pass(1800);
    w.create("events", "default", &event("new")).expect(201);
    w.pass(1801);
    let now = sys::Clock::now(&*w.clock);
    assert_eq!(stdx::block_on(w.server.tick(now)), Ok(1));
    w.get("events", "default", "old").expect(404);
    w.get("events", "default", "new").expect(200);
}
