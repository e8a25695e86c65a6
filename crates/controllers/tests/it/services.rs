//! Endpoint slices and endpoints of services.

use meta::Gvr;
use serde_json::json;

use crate::cluster::{Cluster, DEPLOYMENTS, PODS, SERVICES, SLICES, deployment};

const CONTROLLERS: &[&str] =
    &["replicaset-controller", "deployment-controller", "endpointslice-controller", "endpoints-controller"];
const ENDPOINTS: Gvr = Gvr::new("", "v1", "endpoints");

fn service() -> serde_json::Value {
    json!({
        "kind": "Service", "apiVersion": "v1", "metadata": {"name": "web", "labels": {"team": "a"}},
        "spec": {
            "selector": {"app": "web"}, "clusterIP": "10.96.0.10", "ipFamilies": ["IPv4"],
            "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": "web"}],
        },
    })
}

#[test]
fn slices_and_endpoints_follow_the_pods() {
    let mut c = Cluster::new(5, CONTROLLERS);
    c.server.create(&SERVICES, "d", service()).unwrap();
    c.settle();
    let empty = c.server.list(&SLICES, "d");
    assert_eq!((empty.len(), &empty[0]["endpoints"]), (1, &json!([])));
    c.server.create(&DEPLOYMENTS, "d", deployment("web", 120, "a:1")).unwrap();
    c.settle();
    let slices = c.server.list(&SLICES, "d");
    let sizes: Vec<usize> = slices.iter().map(|s| s["endpoints"].as_array().unwrap().len()).collect();
    assert_eq!((sizes.iter().sum::<usize>(), sizes.len()), (120, 2), "{sizes:?}");
    let s = &slices[0];
    assert_eq!(s["ports"], json!([{"name": "http", "port": 80, "protocol": "TCP"}]));
    assert_eq!(s["metadata"]["labels"]["kubernetes.io/service-name"], "web");
    assert_eq!(s["metadata"]["labels"]["team"], "a");
    assert_eq!(
        s["endpoints"][0]["conditions"],
        json!({"ready": true, "serving": true, "terminating": false})
    );
    let e = c.get(&ENDPOINTS, "d", "web").unwrap();
    assert_eq!(e["subsets"][0]["addresses"].as_array().unwrap().len(), 120);
    assert_eq!(c.failures(), Vec::<String>::new());

    c.server.user_delete(&DEPLOYMENTS, "d", "web", "Background");
    for p in c.server.list(&PODS, "d") {
        c.server.user_delete(&PODS, "d", p["metadata"]["name"].as_str().unwrap(), "");
    }
}

/// When a service goes its endpoints go; endpoints that somebody wrote for no service stay, also over a restart.
#[test]
fn endpoints_go_with_their_service_only() {
    let by_hand = |name: &str| json!({"kind": "Endpoints", "apiVersion": "v1", "metadata": {"name": name}});
    let mut c = Cluster::new(1, CONTROLLERS);
    c.server.create(&SERVICES, "d", service()).unwrap();
    let plain = json!({"kind": "Service", "apiVersion": "v1", "metadata": {"name": "db"}, "spec": {}});
    c.server.create(&SERVICES, "d", plain).unwrap();
    c.server.create(&ENDPOINTS, "d", by_hand("db")).unwrap();
    c.server.create(&ENDPOINTS, "d", by_hand("alone")).unwrap();
    c.settle();
    let names = |c: &Cluster| -> Vec<String> {
        c.server
            .list(&ENDPOINTS, "d")
            .iter()
            .map(|e| e["metadata"]["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&c), ["alone", "db", "web"]);
    c.server.user_delete(&SERVICES, "d", "db", "");
    c.settle();
    assert_eq!(names(&c), ["alone", "web"]);
    c.server.user_delete(&SERVICES, "d", "web", "");
    c.restart();
    c.settle();
    assert_eq!(names(&c), ["alone"]);
}

#[test]
fn slices_converge_under_faults() {
    for seed in 1..20 {
        let mut c = Cluster::new(seed, CONTROLLERS);
        c.faults = true;
        c.server.create(&SERVICES, "d", service()).unwrap();
        c.server.create(&DEPLOYMENTS, "d", deployment("web", 4, "a:1")).unwrap();
        for _ in 0..2500 {
            c.step();
        }
        c.settle();
        let slices = c.server.list(&SLICES, "d");
        let total: usize = slices.iter().map(|s| s["endpoints"].as_array().unwrap().len()).sum();
        assert_eq!(total, 4, "seed {seed}: {slices:?}");
    }
}
