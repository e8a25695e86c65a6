//! Addresses and ports of Services.

use serde_json::{Value as Json, json};

use crate::harness::World;

fn service(name: &str, spec: Json) -> Json {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec})
}

#[test]
fn addresses_are_given_out_kept_and_freed() {
    let w = World::with(|c| c.service_cidr = "10.9.0.0/28".into());
    assert_eq!(w.get("services", "default", "kubernetes").expect(200).at("/spec/clusterIP"), "10.9.0.1");
    let ports = json!([{"port": 80}]);
    let made = w.create("services", "default", &service("a", json!({"ports": ports}))).expect(201);
    let ip = made.at("/spec/clusterIP");
    assert!(ip.starts_with("10.9.0."), "{ip}");
    assert_eq!(made.json()["spec"]["clusterIPs"], json!([ip]));
    assert_eq!(made.json()["spec"]["ipFamilies"], json!(["IPv4"]));
    assert_eq!(made.at("/spec/ipFamilyPolicy"), "SingleStack");
    let taken = service("b", json!({"ports": ports, "clusterIP": ip}));
    let refused = w.create("services", "default", &taken).expect(422);
    assert!(refused.message().contains("provided IP is already allocated"), "{}", refused.message());
    let outside = service("b", json!({"ports": ports, "clusterIP": "192.0.2.1"}));
    assert!(
        w.create("services", "default", &outside).expect(422).message().contains("is not in the valid range")
    );
    let mut update = service("a", json!({"ports": [{"port": 81}]}));
    update["metadata"]["resourceVersion"] = made.at("/metadata/resourceVersion").into();
    assert_eq!(w.update("services", "default", "a", &update).expect(200).at("/spec/clusterIP"), ip);
    w.delete("services", "default", "a", &Json::Null).expect(200);
    w.create("services", "default", &taken).expect(201);
    let headless =
        w.create("services", "default", &service("h", json!({"clusterIP": "None", "ports": ports})));
    assert_eq!(headless.expect(201).json()["spec"]["clusterIPs"], json!(["None"]));
    for i in 0..12 {
        w.create("services", "default", &service(&format!("s{i}"), json!({"ports": ports}))).expect(201);
    }
    let full = w.create("services", "default", &service("last", json!({"ports": ports}))).expect(422);
    assert!(full.message().contains("range is full"), "{}", full.message());
}

#[test]
fn addresses_have_objects() {
    let w = World::with(|c| c.service_cidr = "10.9.0.0/28".into());
    let object = |ip: &str| w.get("networking.k8s.io/ipaddresses", "", ip);
    assert_eq!(object("10.9.0.1").expect(200).at("/spec/parentRef/name"), "kubernetes");
    let ports = json!([{"port": 80}]);
    let made = w.create("services", "default", &service("a", json!({"ports": ports}))).expect(201);
    let ip = made.at("/spec/clusterIP");
    let stored = object(&ip).expect(200).json();
    let labels = json!({"ipaddress.kubernetes.io/ip-family": "IPv4",
        "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"});
    assert_eq!(stored["metadata"]["labels"], labels);
    assert_eq!(
        stored["spec"]["parentRef"],
        json!({"resource": "services", "namespace": "default", "name": "a"})
    );
    // Both are of one transaction.
    assert_eq!(stored["metadata"]["resourceVersion"], made.at("/metadata/resourceVersion"));
    assert!(!stored["metadata"]["uid"].is_null() && !stored["metadata"]["creationTimestamp"].is_null());
    let mut table = w.request(meta::Verb::Get, "networking.k8s.io/ipaddresses", "", &ip);
    table.accept = "application/json;as=Table;v=v1;g=meta.k8s.io".into();
    let table = w.send(table).expect(200).json();
    assert_eq!(table["rows"][0]["cells"], json!([ip, "services/default/a"]));
    w.create("services", "default", &service("h", json!({"clusterIP": "None", "ports": ports}))).expect(201);
    assert_eq!(w.list("networking.k8s.io/ipaddresses", "", "").json()["items"].as_array().unwrap().len(), 2);
    // What a dry run does leaves none, and what it removes stays.
    let dry = crate::harness::parse_query("dryRun=All");
    let mut try_out = w.request(meta::Verb::Delete, "services", "default", "a");
    try_out.query = dry;
    w.send(try_out).expect(200);
    object(&ip).expect(200);
    let mut external = made.json();
    external["spec"] = json!({"type": "ExternalName", "externalName": "example.com"});
    w.update("services", "default", "a", &external).expect(200);
    object(&ip).expect(404);
    let back = service("a", json!({"type": "ClusterIP", "ports": ports, "clusterIP": ip}));
    w.update("services", "default", "a", &back).expect(200);
    object(&ip).expect(200);
    w.delete("services", "default", "a", &Json::Null).expect(200);
    object(&ip).expect(404);
}

#[test]
fn an_address_with_an_object_is_taken_and_objects_come_back() {
    let w = World::with(|c| c.service_cidr = "10.9.0.0/28".into());
    let addresses = "networking.k8s.io/ipaddresses";
    let named = |ip: &str, labels: Json| {
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "IPAddress",
            "metadata": {"name": ip, "labels": labels},
            "spec": {"parentRef": {"resource": "services", "namespace": "default", "name": "gone"}}})
    };
    w.create(addresses, "", &named("10.9.0.5", json!({}))).expect(201);
    let spec = json!({"ports": [{"port": 80}], "clusterIP": "10.9.0.5"});
    let refused = w.create("services", "default", &service("a", spec)).expect(422);
    assert!(refused.message().contains("provided IP is already allocated"), "{}", refused.message());
    for i in 0..12 {
        let made =
            w.create("services", "default", &service(&format!("s{i}"), json!({"ports": [{"port": 80}]})));
        assert_ne!(made.expect(201).at("/spec/clusterIP"), "10.9.0.5");
    }
    let full =
        w.create("services", "default", &service("last", json!({"ports": [{"port": 80}]}))).expect(422);
    assert!(full.message().contains("range is full"), "{}", full.message());
    let ip = w.get("services", "default", "s0").at("/spec/clusterIP");
    w.delete(addresses, "", &ip, &Json::Null).expect(200);
    w.delete(addresses, "", "10.9.0.1", &Json::Null).expect(200);
    w.create(addresses, "", &named(&ip, json!({}))).expect(201);
    let ours = json!({"ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"});
    w.create(addresses, "", &named("10.8.0.1", ours)).expect(201);
    let tick = || {
        let now = sys::Clock::now(&*w.clock);
        stdx::block_on(w.server.tick(now)).unwrap();
    };
    tick();
    assert_eq!(w.get(addresses, "", &ip).expect(200).at("/spec/parentRef/name"), "s0");
    assert_eq!(w.get(addresses, "", "10.9.0.1").expect(200).at("/spec/parentRef/name"), "kubernetes");
    // Somebody else's object stays, and ours waits for its Service for a while.
    w.get(addresses, "", "10.9.0.5").expect(200);
    w.get(addresses, "", "10.8.0.1").expect(200);
    w.pass(61);
    tick();
    w.get(addresses, "", "10.8.0.1").expect(404);
    w.get(addresses, "", "10.9.0.5").expect(200);
    let other = w.get(addresses, "", &ip).json();
    let mut moved = other.clone();
    moved["spec"]["parentRef"]["name"] = "s1".into();
    assert!(w.update(addresses, "", &ip, &moved).expect(422).message().contains("field is immutable"));
}

#[test]
fn an_address_kept_by_finalizers_stays_taken() {
    let w = World::new();
    let (addresses, ports) = ("networking.k8s.io/ipaddresses", json!([{"port": 80}]));
    let made = w.create("services", "default", &service("a", json!({"ports": ports}))).expect(201);
    let ip = made.at("/spec/clusterIP");
    let mut kept = w.get(addresses, "", &ip).json();
    kept["metadata"]["finalizers"] = json!(["example.com/audit"]);
    w.update(addresses, "", &ip, &kept).expect(200);
    w.delete("services", "default", "a", &Json::Null).expect(200);
    let again = service("b", json!({"ports": ports, "clusterIP": ip}));
    w.create("services", "default", &again).expect(422);
    w.pass(61);
    stdx::block_on(w.server.tick(sys::Clock::now(&*w.clock))).unwrap();
    let mut marked = w.get(addresses, "", &ip).expect(200).json();
    assert!(marked["metadata"]["deletionTimestamp"].is_string());
    marked["metadata"]["finalizers"] = json!([]);
    w.update(addresses, "", &ip, &marked).expect(200);
    w.create("services", "default", &again).expect(201);
}

#[test]
fn services_of_an_older_store_get_objects_at_the_start() {
    let store = std::sync::Arc::new(store::mem::MemStore::default());
    let start = || {
        let store = store.clone();
        World::with(|c| c.store = store)
    };
    let w = start();
    let ip = w
        .create("services", "default", &service("a", json!({"ports": [{"port": 80}]})))
        .expect(201)
        .at("/spec/clusterIP");
    w.delete("networking.k8s.io/ipaddresses", "", &ip, &Json::Null).expect(200);
    drop(w);
    let again = start();
    let found = again.get("networking.k8s.io/ipaddresses", "", &ip).expect(200);
    assert_eq!(found.at("/spec/parentRef/name"), "a");
}

#[test]
fn node_ports_come_and_go_with_the_type() {
    let w = World::with(|c| c.node_ports = 30_000..=30_001);
    let spec = json!({"type": "NodePort", "ports": [{"name": "a", "port": 80}, {"name": "b", "port": 81}]});
    let made = w.create("services", "default", &service("a", spec)).expect(201).json();
    let ports: Vec<_> =
        made["spec"]["ports"].as_array().unwrap().iter().map(|p| p["nodePort"].as_u64()).collect();
    assert!(ports.contains(&Some(30_000)) && ports.contains(&Some(30_001)), "{ports:?}");
    let more = service("b", json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30_000}]}));
    assert!(
        w.create("services", "default", &more)
            .expect(422)
            .message()
            .contains("provided port is already allocated")
    );
    let wild = service("b", json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 80}]}));
    assert!(w.create("services", "default", &wild).expect(422).message().contains("30000-30001"));
    let mut plain = made.clone();
    plain["spec"]["type"] = "ClusterIP".into();
    let after = w.update("services", "default", "a", &plain).expect(200).json();
    assert!(after["spec"]["ports"][0]["nodePort"].is_null(), "{after}");
    w.create("services", "default", &more).expect(201);
}
