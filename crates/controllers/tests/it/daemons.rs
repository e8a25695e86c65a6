//! Daemon sets, with and without faults.

use std::collections::BTreeMap;

use meta::Gvr;
use reconcile::PatchKind;
use serde_json::{Value, json};

use crate::cluster::{Cluster, PINNED, PODS};
use crate::server::Place;

const DAEMON_SETS: Gvr = Gvr::new("apps", "v1", "daemonsets");
const REVISIONS: Gvr = Gvr::new("apps", "v1", "controllerrevisions");
const NODES: Gvr = Gvr::new("", "v1", "nodes");

fn web() -> Place {
    (DAEMON_SETS, "d".into(), "web".into())
}

fn cluster(seed: u64, surge: i64) -> Cluster {
    let mut c = Cluster::new(seed, &["daemonset-controller"]);
    for name in ["n2", "n3"] {
        c.server.create(&NODES, "", json!({"kind": "Node", "metadata": {"name": name}})).unwrap();
    }
    let strategy = json!({"maxUnavailable": 1 - surge, "maxSurge": surge});
    let ds = json!({
        "kind": "DaemonSet", "apiVersion": "apps/v1", "metadata": {"name": "web"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}}, "revisionHistoryLimit": 10,
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": strategy},
            "template": {"metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "c", "image": "a:1"}]}},
        },
    });
    c.server.create(&DAEMON_SETS, "d", ds).unwrap();
    c
}

fn set_image(c: &mut Cluster, image: &str) {
    let template = json!({"spec": {"containers": [{"name": "c", "image": image}]}});
    c.server.patch(&web(), "", PatchKind::Merge, &json!({"spec": {"template": template}})).unwrap();
}

/// Images of the pods of each node that are not being deleted, and how many of them are ready.
fn nodes(c: &Cluster) -> BTreeMap<String, (Vec<String>, usize)> {
    let mut out: BTreeMap<String, (Vec<String>, usize)> = BTreeMap::new();
    for p in c.server.list(&PODS, "d").iter().filter(|p| p["metadata"]["deletionTimestamp"].is_null()) {
        let node = out.entry(p.pointer(PINNED).and_then(Value::as_str).unwrap().to_owned()).or_default();
        node.0.push(p["spec"]["containers"][0]["image"].as_str().unwrap().to_owned());
        node.1 += usize::from(p["status"]["conditions"][0]["status"] == "True");
    }
    out
}

fn assert_complete(c: &Cluster, image: &str, seed: u64) {
    let want = (vec![image.to_owned()], 1);
    let all = nodes(c);
    assert!(all.len() == 3 && all.values().all(|n| *n == want), "seed {seed}: {all:?}");
    let ds = c.get(&DAEMON_SETS, "d", "web").unwrap();
    for field in ["desiredNumberScheduled", "numberAvailable", "updatedNumberScheduled"] {
        assert_eq!(ds["status"][field], 3, "seed {seed} {field}: {}", ds["status"]);
    }
    assert_eq!(ds["status"]["observedGeneration"], ds["metadata"]["generation"], "seed {seed}");
}

/// Never two pods on a node (or, with surge, three), never more nodes without a ready pod than allowed, always
/// converging, and one revision for each template.
#[test]
fn invariants_hold_under_faults() {
    for seed in 1..40 {
        let surge = seed % 2;
        let mut c = cluster(seed, i64::try_from(surge).unwrap());
        let (most, ready_min) = if surge == 1 { (2, 3) } else { (1, 2) };
        c.faults = true;
        for _ in 0..1500 {
            c.step();
            let all = nodes(&c);
            assert!(all.values().all(|n| n.0.len() <= 1), "seed {seed}: {all:?}");
        }
        c.settle();
        assert_complete(&c, "a:1", seed);
        c.faults = true;
        set_image(&mut c, "a:2");
        for _ in 0..3000 {
            c.step();
            let all = nodes(&c);
            assert!(all.values().all(|n| n.0.len() <= most), "seed {seed}: {all:?}");
            let ready = all.values().filter(|n| n.1 > 0).count();
            assert!(ready >= ready_min, "seed {seed}: {all:?}");
        }
        c.settle();
        assert_complete(&c, "a:2", seed);
        assert_eq!(c.server.list(&REVISIONS, "d").len(), 2, "seed {seed}");
    }
}

#[test]
fn nodes_come_and_change() {
    let mut c = cluster(7, 0);
    c.settle();
    assert_complete(&c, "a:1", 7);
    c.server.create(&NODES, "", json!({"kind": "Node", "metadata": {"name": "n4"}})).unwrap();
    let taint = json!({"spec": {"taints": [{"key": "x", "effect": "NoExecute"}]}});
    c.server.patch(&(NODES, String::new(), "n1".into()), "", PatchKind::Merge, &taint).unwrap();
    c.settle();
    let names: Vec<String> = nodes(&c).into_keys().collect();
    assert_eq!(names, ["n2", "n3", "n4"]);
    let ds = c.get(&DAEMON_SETS, "d", "web").unwrap();
    assert_eq!(
        (&ds["status"]["desiredNumberScheduled"], &ds["status"]["numberReady"]),
        (&json!(3), &json!(3))
    );
}
