use reconcile::Op;

use super::*;

fn endpoints(more: &Value) -> Arc<Endpoints> {
    let mut v = json!({
        "metadata": {"name": "db", "namespace": "d", "uid": "e", "labels": {"l": "1"}},
        "subsets": [{"addresses": [{"ip": "10.0.0.2"}, {"ip": "10.0.0.1", "nodeName": "n"}],
            "notReadyAddresses": [{"ip": "10.0.0.3"}], "ports": [{"name": "p", "port": 5432, "protocol": "TCP"}]}],
    });
    for (path, value) in more.as_object().unwrap() {
        *v.pointer_mut(path).unwrap() = value.clone();
    }
    Arc::new(serde_json::from_value(v).unwrap())
}

fn plan(endpoints: Option<&Arc<Endpoints>>, slices: &[Arc<EndpointSlice>]) -> Vec<Op> {
    let state = State { endpoints: endpoints.cloned(), slices: slices.to_vec() };
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    EndpointSliceMirroring.reconcile(&state, &mut (), now).actions().map(|a| a.op.clone()).collect()
}

fn written(op: &Op) -> Value {
    match op {
        Op::Create { body, .. } | Op::Update { body, .. } => serde_json::from_slice(body).unwrap(),
        other => panic!("{other:?} writes nothing"),
    }
}

fn slice(op: &Op) -> Arc<EndpointSlice> {
    let mut v = written(op);
    v["metadata"]["uid"] = "s".into();
    Arc::new(serde_json::from_value(v).unwrap())
}

#[test]
fn one_slice_for_each_list_of_ports() {
    let e = endpoints(&json!({}));
    let ops = plan(Some(&e), &[]);
    let v = written(&ops[0]);
    assert_eq!(ops.len(), 1);
    assert_eq!(v["metadata"]["labels"], json!({"l": "1", SERVICE_NAME: "db", MANAGED_BY: MANAGER}));
    assert_eq!(v["metadata"]["ownerReferences"][0]["kind"], "Endpoints");
    assert_eq!(v["addressType"], "IPv4");
    assert_eq!(v["ports"], json!([{"name": "p", "port": 5432, "protocol": "TCP"}]));
    assert_eq!(
        v["endpoints"],
        json!([
            {"addresses": ["10.0.0.1"], "conditions": {"ready": true}, "nodeName": "n"},
            {"addresses": ["10.0.0.2"], "conditions": {"ready": true}},
            {"addresses": ["10.0.0.3"], "conditions": {"ready": false}},
        ])
    );
    let had = slice(&ops[0]);
    assert_eq!(plan(Some(&e), std::slice::from_ref(&had)), [], "what is right is left alone");
    assert!(
        matches!(&plan(None, std::slice::from_ref(&had))[..], [Op::Delete { name, .. }] if *name == *had.metadata.name)
    );
}

#[test]
fn changes_are_written_into_the_slice_that_is_there() {
    let had = slice(&plan(Some(&endpoints(&json!({}))), &[])[0]);
    for (path, value) in [
        ("/subsets/0/addresses", json!([{"ip": "10.0.0.9"}])),
        ("/subsets/0/ports/0/port", json!(5433)),
        ("/metadata/labels", json!({"l": "2"})),
    ] {
        let ops = plan(Some(&endpoints(&json!({ path: value }))), std::slice::from_ref(&had));
        assert!(
            matches!(&ops[..], [Op::Update { name, .. }] if *name == *had.metadata.name),
            "{path}: {ops:?}"
        );
    }
    let none = plan(Some(&endpoints(&json!({"/subsets": []}))), &[had]);
    assert!(matches!(&none[..], [Op::Delete { .. }]), "{none:?}");
}

#[test]
fn families_are_apart_and_what_is_no_address_is_said() {
    let mixed = json!([{"ip": "10.0.0.1"}, {"ip": "fd00::1"}, {"ip": "x"}]);
    let e = endpoints(&json!({"/subsets/0/addresses": mixed, "/subsets/0/notReadyAddresses": []}));
    let families: Vec<Value> =
        plan(Some(&e), &[]).iter().map(|o| written(o)["addressType"].clone()).collect();
    assert_eq!(families, [json!("IPv4"), json!("IPv6")]);
    let state = State { endpoints: Some(e), slices: vec![] };
    let plan = EndpointSliceMirroring.reconcile(&state, &mut (), Timestamp::UNIX_EPOCH);
    let events: Vec<&str> =
        plan.actions().filter_map(|a| a.on_ok.as_ref()).map(|e| e.message.as_str()).collect();
    assert_eq!(events, ["Skipped 1 invalid IP addresses when mirroring to EndpointSlices"]);
}

#[test]
fn who_is_mirrored() {
    let service = |selector: Value| json!({"metadata": {"name": "db", "namespace": "d", "resourceVersion": "1"}, "spec": {"selector": selector}});
    let plain = json!({"metadata": {"name": "db", "namespace": "d", "resourceVersion": "1"}});
    let marked = |at: &str, key: &str| {
        let mut v = plain.clone();
        v["metadata"][at] = json!({ key: "true" });
        v
    };
    for (what, endpoints, service, want) in [
        ("by hand", plain.clone(), Some(service(json!(null))), true),
        ("no service", plain.clone(), None, false),
        ("a selector", plain.clone(), Some(service(json!({"a": "b"}))), false),
        ("skipped", marked("labels", SKIP), Some(service(json!(null))), false),
        ("a lock", marked("annotations", LEADER), Some(service(json!(null))), false),
    ] {
        let mut caches = Caches::default();
        caches.kind_mut::<EndpointSlice>();
        caches.kind_mut::<Endpoints>().upsert(serde_json::from_value(endpoints).unwrap());
        let services = caches.kind_mut::<Service>();
        service.map(|s| services.upsert(meta::json::of(&s).unwrap()));
        let seen = EndpointSliceMirroring.observe(&Key::new("d", "db"), &caches, &Answers::default());
        assert_eq!(seen.unwrap().endpoints.is_some(), want, "{what}");
    }
}
