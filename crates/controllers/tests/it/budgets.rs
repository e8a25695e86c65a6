//! Disruption budgets: with caches that lag, answers that are lost and restarts, no eviction is granted that leaves fewer
//! pods than the budget wants.

use meta::Gvr;
use reconcile::{Op, PatchKind, time};
use serde_json::{Value, json};

use crate::cluster::{Cluster, DEPLOYMENTS, PODS, deployment};
use crate::server::Place;

const CONTROLLERS: &[&str] = &["replicaset-controller", "deployment-controller", "disruption-controller"];
const BUDGETS: Gvr = Gvr::new("policy", "v1", "poddisruptionbudgets");
const WANTED: usize = 3;

/// Names of the pods that are ready and that nobody has said will go.
fn staying(c: &Cluster, granted: &[String]) -> Vec<String> {
    let stays = |p: &Value| {
        p["metadata"]["deletionTimestamp"].is_null() && p["status"]["conditions"][0]["status"] == "True"
    };
    let all = c.server.list(&PODS, "d").into_iter().filter(stays);
    let names = all.map(|p| p["metadata"]["name"].as_str().unwrap().to_owned());
    names.filter(|n| !granted.contains(n)).collect()
}

/// Has a pod evicted as the API server does: if the budget's status lets it go, it is put into that status. The delete
/// comes later.
fn evict(c: &mut Cluster, granted: &mut Vec<String>, seed: u64) -> bool {
    let budget = c.get(&BUDGETS, "d", "b").unwrap();
    let status = &budget["status"];
    let allowed = status["disruptionsAllowed"].as_i64().unwrap_or(0);
    if status["observedGeneration"] != budget["metadata"]["generation"] || allowed <= 0 {
        return false;
    }
    let staying = staying(c, granted);
    assert!(staying.len() > WANTED, "seed {seed}: {allowed} allowed, ready and staying: {staying:?}");
    let name = staying[c.rng.below(staying.len() as u64) as usize].clone();
    let patch = json!({"status": {"disruptionsAllowed": allowed - 1,
        "disruptedPods": {&name: time::rfc3339(c.server.now)}}});
    let place: Place = (BUDGETS, "d".to_owned(), "b".to_owned());
    c.server.patch(&place, "status", PatchKind::Merge, &patch).unwrap();
    granted.push(name);
    true
}

fn delete(c: &mut Cluster, name: &str) {
    let op = Op::Delete {
        gvr: PODS,
        namespace: "d".to_owned(),
        name: name.to_owned(),
        uid: None,
        resource_version: None,
        grace_period_seconds: None,
        propagation: None,
    };
    // It may have gone by itself.
    let _ = c.server.execute(&op);
}

#[test]
fn no_eviction_goes_below_the_budget() {
    let mut evictions = 0;
    for seed in 1..30 {
        let mut c = Cluster::new(seed, CONTROLLERS);
        c.faults = true;
        let spec = if seed % 2 == 0 { json!({"minAvailable": 3}) } else { json!({"maxUnavailable": "25%"}) };
        let mut budget = json!({"kind": "PodDisruptionBudget", "apiVersion": "policy/v1",
            "metadata": {"name": "b"}, "spec": spec});
        budget["spec"]["selector"] = json!({"matchLabels": {"app": "web"}});
        c.server.create(&BUDGETS, "d", budget).unwrap();
        c.server.create(&DEPLOYMENTS, "d", deployment("web", 4, "a:1")).unwrap();
        let mut granted = Vec::new();
        let mut deleted = 0;
        for _ in 0..4000 {
            c.step();
            match c.rng.below(20) {
                0 => evictions += usize::from(evict(&mut c, &mut granted, seed)),
                1 if deleted < granted.len() => {
                    delete(&mut c, &granted[deleted]);
                    deleted += 1;
                }
                _ => {}
            }
        }
        granted[deleted..].iter().for_each(|name| delete(&mut c, name));
        c.settle();
        let status = &c.get(&BUDGETS, "d", "b").unwrap()["status"];
        let numbers = ["expectedPods", "currentHealthy", "desiredHealthy", "disruptionsAllowed"];
        assert_eq!(numbers.map(|n| status[n].as_i64().unwrap()), [4, 4, 3, 1], "seed {seed}: {status}");
        assert!(status["disruptedPods"].is_null(), "seed {seed}: {status}");
    }
    assert!(evictions > 100, "{evictions} evictions only");
}
