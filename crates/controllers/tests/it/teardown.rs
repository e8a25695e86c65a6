//! Deletion: cascading, foreground, orphaning, whole namespaces.

use meta::Gvr;
use serde_json::json;

use crate::cluster::{Cluster, DEPLOYMENTS, NAMESPACES, PODS, REPLICASETS, deployment};

const CONTROLLERS: &[&str] = &[
    "replicaset-controller",
    "deployment-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "serviceaccount-controller",
    "root-ca-certificate-publisher-controller",
];

fn counts(c: &Cluster) -> [usize; 3] {
    [DEPLOYMENTS, REPLICASETS, PODS].map(|g| c.server.list(&g, "d").len())
}

#[test]
fn policies() {
    for (policy, left) in [("Background", [0, 0, 0]), ("Foreground", [0, 0, 0]), ("Orphan", [0, 1, 2])] {
        let mut c = Cluster::new(7, CONTROLLERS);
        c.server.create(&DEPLOYMENTS, "d", deployment("web", 2, "a:1")).unwrap();
        c.settle();
        assert_eq!(counts(&c), [1, 1, 2]);
        c.server.user_delete(&DEPLOYMENTS, "d", "web", policy);
        c.settle();
        assert_eq!(counts(&c), left, "{policy}");
    }
}

#[test]
fn nothing_is_deleted_whose_owner_lives_and_all_else_is_under_faults() {
    for seed in 1..20 {
        let mut c = Cluster::new(seed, CONTROLLERS);
        c.faults = true;
        c.server.create(&DEPLOYMENTS, "d", deployment("web", 2, "a:1")).unwrap();
        c.server.create(&DEPLOYMENTS, "d", deployment("api", 2, "a:1")).unwrap();
        for _ in 0..1500 {
            c.step();
        }
        let policy = ["Background", "Foreground"][(seed % 2) as usize];
        c.server.user_delete(&DEPLOYMENTS, "d", "web", policy);
        for _ in 0..1500 {
            c.step();
        }
        c.settle();
        assert_eq!(counts(&c), [1, 1, 2], "seed {seed}");
    }
}

#[test]
fn a_namespace_goes_with_all_it_holds() {
    let widgets = Gvr::new("example.com", "v1", "widgets");
    let mut c = Cluster::new(9, CONTROLLERS);
    let ns = json!({"metadata": {"name": "d", "finalizers": ["hold"]}, "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"}});
    c.server.create(&NAMESPACES, "", ns).unwrap();
    c.server.create(&DEPLOYMENTS, "d", deployment("web", 2, "a:1")).unwrap();
    c.server
        .create(&widgets, "d", json!({"metadata": {"name": "w", "finalizers": ["example.com/wait"]}}))
        .unwrap();
    c.settle();
    assert!(c.get(&Gvr::new("", "v1", "serviceaccounts"), "d", "default").is_some());
    assert!(c.get(&Gvr::new("", "v1", "configmaps"), "d", "kube-root-ca.crt").is_some());
    c.server.user_delete(&NAMESPACES, "", "d", "");
    for _ in 0..30_000 {
        c.step();
    }
    let ns = c.get(&NAMESPACES, "", "d").expect("a finalizer holds it").clone();
    assert_eq!(ns["status"]["phase"], "Terminating");
    let remaining = &ns["status"]["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .find(|x| x["type"] == "NamespaceFinalizersRemaining")
        .unwrap()["message"];
    assert_eq!(
        remaining,
        "Some content in the namespace has finalizers remaining: example.com/wait in 1 resource instances"
    );
    let w = (widgets, "d".to_owned(), "w".to_owned());
    c.server.patch(&w, "", reconcile::PatchKind::Merge, &json!({"metadata": {"finalizers": null}})).unwrap();
    c.settle();
    assert_eq!(c.server.list(&NAMESPACES, "").len(), 0);
    let left: Vec<_> = c.server.objects.keys().filter(|(gvr, ..)| *gvr.resource != *"nodes").collect();
    assert!(left.is_empty(), "{left:?}");
}
