//! Creating, reading, changing and deleting objects.

use serde_json::{Value as Json, json};

use crate::harness::World;

fn config_map(name: &str) -> Json {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "1"}})
}

#[test]
fn a_config_map_lives_and_dies() {
    let w = World::new();
    let made = w.create("configmaps", "default", &config_map("a")).expect(201);
    assert_eq!(made.at("/metadata/creationTimestamp"), "2026-01-02T03:04:05Z");
    assert_eq!(made.at("/metadata/namespace"), "default");
    assert!(!made.at("/metadata/uid").is_empty());
    let got = w.get("configmaps", "default", "a").expect(200);
    assert_eq!(got.body, made.body);
    assert!(
        got.text().starts_with(r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"resourceVersion":""#)
    );
    let again = w.create("configmaps", "default", &config_map("a")).expect(409);
    assert_eq!(again.message(), "configmaps \"a\" already exists");

    let mut object = got.json();
    object["data"]["a"] = "2".into();
    let updated = w.update("configmaps", "default", "a", &object).expect(200);
    assert_eq!(updated.at("/data/a"), "2");
    let stale = w.update("configmaps", "default", "a", &object).expect(409);
    assert_eq!(
        stale.message(),
        "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes to the latest version and try again"
    );
    let same = w.update("configmaps", "default", "a", &updated.json()).expect(200);
    assert_eq!(same.at("/metadata/resourceVersion"), updated.at("/metadata/resourceVersion"));

    let gone = w.delete("configmaps", "default", "a", &Json::Null).expect(200);
    assert_eq!(gone.at("/status"), "Success");
    let missing = w.get("configmaps", "default", "a").expect(404);
    assert_eq!(missing.message(), "configmaps \"a\" not found");
    let class = json!({"metadata": {"name": "s"}, "provisioner": "p"});
    w.create("storage.k8s.io/storageclasses", "", &class).expect(201);
    let gone = w.delete("storage.k8s.io/storageclasses", "", "s", &Json::Null).expect(200);
    assert_eq!(gone.at("/metadata/name"), "s");
}

#[test]
fn lists_in_pages_and_by_selectors() {
    let w = World::new();
    for name in ["a", "b", "c", "d"] {
        let mut object = config_map(name);
        object["metadata"]["labels"] = json!({"odd": if name == "a" || name == "c" { "yes" } else { "no" }});
        w.create("configmaps", "default", &object).expect(201);
    }
    let first = w.list("configmaps", "default", "limit=3").expect(200).json();
    assert_eq!(first["items"].as_array().unwrap().len(), 3);
    assert_eq!(first["metadata"]["remainingItemCount"], 1);
    assert_eq!(first["items"][0]["kind"], Json::Null);
    let token = first["metadata"]["continue"].as_str().unwrap();
    w.create("configmaps", "default", &config_map("e")).expect(201);
    let second = w.list("configmaps", "default", &format!("limit=3&continue={token}")).expect(200).json();
    assert_eq!(second["items"].as_array().unwrap().len(), 1);
    assert_eq!(second["items"][0]["metadata"]["name"], "d");
    assert_eq!(second["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
    let cases = [
        ("labelSelector=odd=yes", 2),
        ("labelSelector=odd!=yes", 3),
        ("fieldSelector=metadata.name=b", 1),
        ("fieldSelector=metadata.name!=b", 4),
        ("fieldSelector=metadata.namespace=other", 0),
    ];
    for (query, count) in cases {
        let got = w.list("configmaps", "default", query).expect(200).json();
        assert_eq!(got["items"].as_array().unwrap().len(), count, "{query}");
    }
}

#[test]
fn watches_follow_selectors() {
    let w = World::new();
    w.create("configmaps", "default", &config_map("a")).expect(201);
    let mut all = w.watch("configmaps", "default", "");
    assert_eq!(all.names(), ["ADDED a"]);
    let mut one = w.watch("configmaps", "", "fieldSelector=metadata.name=b");
    let b = w.create("configmaps", "default", &config_map("b")).expect(201);
    let mut object = b.json();
    object["data"]["a"] = "2".into();
    w.update("configmaps", "default", "b", &object).expect(200);
    w.delete("configmaps", "default", "b", &Json::Null).expect(200);
    assert_eq!(all.names(), ["ADDED b", "MODIFIED b", "DELETED b"]);
    assert_eq!(one.names(), ["ADDED b", "MODIFIED b", "DELETED b"]);
    let version = b.at("/metadata/resourceVersion");
    let mut late = w.watch("configmaps", "default", &format!("resourceVersion={version}"));
    assert_eq!(late.names(), ["MODIFIED b", "DELETED b"]);
    let mut initial = w.watch(
        "configmaps",
        "default",
        "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true",
    );
    let events = initial.now();
    assert_eq!(events.len(), 2);
    assert_eq!(events[1]["type"], "BOOKMARK");
    assert_eq!(events[1]["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
}

#[test]
fn patches_of_every_form() {
    let w = World::new();
    w.create("configmaps", "default", &config_map("a")).expect(201);
    let cases = [
        ("merge", json!({"data": {"b": "2"}}), json!({"a": "1", "b": "2"})),
        ("strategic-merge", json!({"data": {"a": null, "c": "3"}}), json!({"b": "2", "c": "3"})),
        ("json", json!([{"op": "replace", "path": "/data/c", "value": "4"}]), json!({"b": "2", "c": "4"})),
    ];
    for (form, patch, want) in cases {
        let got = w.patch("configmaps", "default", "a", form, &patch).expect(200);
        assert_eq!(got.json()["data"], want, "{form}");
    }
    let unchanged = w.patch("configmaps", "default", "a", "merge", &json!({})).expect(200);
    assert_eq!(
        unchanged.at("/metadata/resourceVersion"),
        w.get("configmaps", "default", "a").at("/metadata/resourceVersion")
    );
    let stale = json!({"metadata": {"resourceVersion": "1"}, "data": {"x": "y"}});
    w.patch("configmaps", "default", "a", "merge", &stale).expect(409);
    let rename = json!({"metadata": {"name": "b"}});
    w.patch("configmaps", "default", "a", "merge", &rename).expect(400);
    w.patch("configmaps", "default", "none", "merge", &json!({})).expect(404);
    let failed = json!([{"op": "test", "path": "/data/b", "value": "no"}]);
    w.patch("configmaps", "default", "a", "json", &failed).expect(422);
    let mut apply = w.request(meta::Verb::Patch, "configmaps", "default", "a");
    apply.content_type = "application/apply-patch+yaml".into();
    assert!(w.send(apply).expect(415).message().contains("server-side apply is not supported"));
}

#[test]
fn writers_at_the_same_time_lose_nothing() {
    let w = World::new();
    w.create("configmaps", "default", &config_map("a")).expect(201);
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let w = w.by("admin", &["system:masters"]);
            scope.spawn(move || {
                for i in 0..25 {
                    let patch = json!({"data": {format!("k{writer}-{i}"): "v"}});
                    // A writer that lost all its tries is told so and goes on.
                    while w.patch("configmaps", "default", "a", "merge", &patch).code == 409 {}
                }
            });
        }
    });
    let data = w.get("configmaps", "default", "a").json()["data"].clone();
    assert_eq!(data.as_object().unwrap().len(), 101);
}

#[test]
fn a_restarted_server_has_everything_and_changes_nothing() {
    use std::sync::Arc;
    let store = Arc::new(store::mem::MemStore::default());
    let first = World::with(|c| c.store = store.clone());
    first.create("configmaps", "default", &config_map("a")).expect(201);
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{"port": 1}]}});
    let ip = first.create("services", "default", &service).expect(201).at("/spec/clusterIP");
    let before = store::Store::revision(&*store);
    let second = World::with(|c| c.store = store.clone());
    assert_eq!(store::Store::revision(&*store), before, "a second start writes nothing");
    second.get("configmaps", "default", "a").expect(200);
    let mut taken = service.clone();
    taken["metadata"]["name"] = "t".into();
    taken["spec"]["clusterIP"] = ip.into();
    second.create("services", "default", &taken).expect(422);
    // Both see what the other writes.
    second.delete("configmaps", "default", "a", &Json::Null).expect(200);
    first.get("configmaps", "default", "a").expect(404);
}

#[test]
fn the_kubernetes_service_leads_to_the_advertised_address() {
    let w = World::with(|c| c.advertise_address = [192, 0, 2, 9].into());
    let slice = w.get("discovery.k8s.io/endpointslices", "default", "kubernetes").expect(200).json();
    assert_eq!(slice["endpoints"][0]["addresses"], json!(["192.0.2.9"]));
    let endpoints = w.get("endpoints", "default", "kubernetes").expect(200).json();
    assert_eq!(endpoints["subsets"][0]["addresses"][0]["ip"], "192.0.2.9");
    assert_eq!(w.get("services", "default", "kubernetes").at("/spec/ports/0/targetPort"), "6443");
}

#[test]
fn an_expired_token_comes_with_one_to_go_on_with() {
    let w = World::with(|c| c.cache_limits.ring_changes = 4);
    for name in ["a", "b", "c", "d"] {
        w.create("configmaps", "default", &config_map(name)).expect(201);
    }
    let first = w.list("configmaps", "default", "limit=2").expect(200).at("/metadata/continue");
    w.delete("configmaps", "default", "c", &Json::Null).expect(200);
    for i in 0..8 {
        w.create("configmaps", "default", &config_map(&format!("x{i}"))).expect(201);
    }
    let go_on = || w.list("configmaps", "default", &format!("limit=2&continue={first}"));
    let second = go_on().expect(200).json();
    assert_eq!(
        second["items"][0]["metadata"]["name"], "c",
        "the ring does not reach back, and that does not matter"
    );
    w.pass(2);
    w.create("secrets", "default", &json!({"metadata": {"name": "other"}})).expect(201);
    w.pass(299);
    go_on().expect(200);
    w.pass(2);
    let expired = go_on().expect(410);
    assert_eq!(expired.at("/reason"), "Expired");
    assert!(expired.message().contains("use the continue token in this response"), "{}", expired.message());
    let token = expired.at("/metadata/continue");
    let rest = w.list("configmaps", "default", &format!("limit=2&continue={token}")).expect(200).json();
    assert_eq!(rest["items"][0]["metadata"]["name"], "d");
    assert_eq!(rest["items"][1]["metadata"]["name"], "x0");
    let more = rest["metadata"]["continue"].as_str().unwrap();
    let next = w.list("configmaps", "default", &format!("limit=2&continue={more}")).expect(200).json();
    assert_eq!(next["metadata"]["resourceVersion"], rest["metadata"]["resourceVersion"]);
}
