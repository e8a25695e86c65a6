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
