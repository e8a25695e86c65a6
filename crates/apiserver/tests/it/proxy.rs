//! nodes/proxy, pods/proxy and services/proxy: where requests are carried on to, and where never.

use meta::{Body, Target, Verb};
use serde_json::{Value as Json, json};

use crate::harness::{World, read};
use crate::pods;

/// Where a request to the proxy of `name` goes: `scheme://host:port` and whether as the kubelet's client, or the
/// refusal.
fn ask(w: &World, resource: &str, name: &str) -> Result<(String, bool), (u16, String)> {
    let namespace = if resource == "nodes" { "" } else { "default" };
    let mut r = w.request(Verb::Connect, resource, namespace, &format!("{name}/proxy"));
    let Target::Resource { subpath, .. } = &mut r.target else { unreachable!() };
    *subpath = "x/y".into();
    r.method = "GET".into();
    let response = w.raw(r);
    if let Body::Tunnel(t) = &response.body {
        assert_eq!(t.path_and_query, "/x/y");
        assert!(t.global_only, "{t:?}");
        return Ok((format!("{}://{}:{}", t.scheme, t.host, t.port), t.client_certificate));
    }
    let answer = stdx::block_on(read(response));
    Err((answer.code, answer.message()))
}

fn refused(code: u16, why: &str) -> Result<(String, bool), (u16, String)> {
    Err((code, why.to_owned()))
}

fn goes(to: &str, as_client: bool) -> Result<(String, bool), (u16, String)> {
    Ok((to.to_owned(), as_client))
}

fn pod(w: &World, name: &str, ip: &str) {
    let mut object = pods::pod(name);
    object["spec"]["containers"][0]["ports"] = json!([{"containerPort": 8080, "name": "web"}]);
    w.create("pods", "default", &object).expect(201);
    let status = json!({"status": {"podIP": ip, "podIPs": [{"ip": ip}]}});
    if !ip.is_empty() {
        w.patch("pods", "default", &format!("{name}/status"), "merge", &status).expect(200);
    }
}

#[test]
fn pods_are_asked_at_addresses_of_the_network_only() {
    let w = World::new();
    pods::account(&w);
    pod(&w, "good", "10.1.0.2");
    assert_eq!(ask(&w, "pods", "good"), goes("http://10.1.0.2:8080", false));
    assert_eq!(ask(&w, "pods", "https:good:web"), goes("https://10.1.0.2:8080", false));
    assert_eq!(ask(&w, "pods", "good:81"), goes("http://10.1.0.2:81", false));
    for (i, ip) in ["127.0.0.1", "169.254.169.254", "::1", "fe80::1", "224.0.0.1", ""].iter().enumerate() {
        let name = format!("bad{i}");
        pod(&w, &name, ip);
        assert_eq!(ask(&w, "pods", &name), refused(400, "address not allowed"), "{ip}");
    }
    assert_eq!(ask(&w, "pods", "a:b:c:d"), refused(400, "invalid pod request \"a:b:c:d\""));
}

#[test]
fn nodes_are_asked_at_addresses_of_the_network_only() {
    let w = World::new();
    let node = |name: &str, address: &str| {
        let object = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}});
        w.create("nodes", "", &object).expect(201);
        let status = json!({"status": {"addresses": [{"type": "InternalIP", "address": address}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}}}});
        w.patch("nodes", "", &format!("{name}/status"), "merge", &status).expect(200);
    };
    node("good", "192.0.2.7");
    assert_eq!(ask(&w, "nodes", "good"), goes("https://192.0.2.7:10250", true));
    assert_eq!(ask(&w, "nodes", "good:10250"), goes("https://192.0.2.7:10250", true));
    assert_eq!(ask(&w, "nodes", "good:9100"), goes("http://192.0.2.7:9100", false));
    for port in ["abc", "70000"] {
        let (code, why) = ask(&w, "nodes", &format!("good:{port}")).unwrap_err();
        assert_eq!(code, 400, "{why}");
    }
    for (i, ip) in ["127.0.0.1", "0.0.0.0", "169.254.169.254", "::ffff:127.0.0.1"].iter().enumerate() {
        let name = format!("bad{i}");
        node(&name, ip);
        assert_eq!(ask(&w, "nodes", &name), refused(400, "address not allowed"), "{ip}");
    }
    // What a name stands for is looked at when it is dialled.
    node("named", "localhost");
    assert_eq!(ask(&w, "nodes", "named"), goes("https://localhost:10250", true));
}

#[test]
fn services_are_asked_at_addresses_of_their_pods_only() {
    let w = World::new();
    pods::account(&w);
    pod(&w, "p", "10.1.0.2");
    pod(&w, "local", "127.0.0.1");
    let slice = |service: &str, endpoint: Json| {
        let spec = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": service},
            "spec": {"ports": [{"port": 80}]}});
        w.create("services", "default", &spec).expect(201);
        let slice = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": service, "labels": {"kubernetes.io/service-name": service}},
            "addressType": "IPv4", "endpoints": [endpoint], "ports": [{"name": "", "port": 8080}]});
        w.create("discovery.k8s.io/endpointslices", "default", &slice).expect(201);
    };
    let of = |ip: &str, namespace: &str, pod: &str| json!({"addresses": [ip], "targetRef": {"kind": "Pod", "namespace": namespace, "name": pod}});
    slice("good", of("10.1.0.2", "default", "p"));
    assert_eq!(ask(&w, "services", "good"), goes("http://10.1.0.2:8080", false));
    assert_eq!(ask(&w, "services", "https:good:80"), goes("https://10.1.0.2:8080", false));
    for (name, endpoint) in [
        ("nobodys", json!({"addresses": ["10.1.0.2"]})),
        ("other-address", of("10.1.0.3", "default", "p")),
        ("other-namespace", of("10.1.0.2", "kube-system", "p")),
        ("no-pod", of("10.1.0.2", "default", "q")),
    ] {
        slice(name, endpoint);
        let why = format!("no endpoints available for service \"{name}\"");
        assert_eq!(ask(&w, "services", name), refused(503, &why));
    }
    // A pod that says that it is the server: its address is no endpoint at all.
    let endpoint = of("127.0.0.1", "default", "local");
    let loopback = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": "local", "labels": {"kubernetes.io/service-name": "local"}},
        "addressType": "IPv4", "endpoints": [endpoint], "ports": [{"name": "", "port": 8080}]});
    w.create("discovery.k8s.io/endpointslices", "default", &loopback).expect(422);
}
