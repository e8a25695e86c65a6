//! Disruption budgets: with caches that lag, answers that are lost and restarts, no eviction is granted that leaves fewer
//! pods than the budget wants.

use std::time::Duration;

use meta::Gvr;
use reconcile::{Op, PatchKind, time};
use serde_json::{Value, json};

use crate::cluster::{Cluster, DEPLOYMENTS, PODS, deployment};
use crate::server::Place;

const CONTROLLERS: &[&str] = &["replicaset-controller", "deployment-controller", "disruption-controller"];
const BUDGETS: Gvr = Gvr::new("policy", "v1", "poddisruptionbudgets");
const WANTED: usize = 3;

/// A pod of that name and UID; names come again.
#[derive(Clone, Debug, PartialEq)]
struct Known(String, String);

/// The pods that are ready and that nobody has said will go.
fn staying(c: &Cluster, granted: &[Known]) -> Vec<Known> {
    let stays = |p: &Value| {
        p["metadata"]["deletionTimestamp"].is_null() && p["status"]["conditions"][0]["status"] == "True"
    };
    let text = |p: &Value, field: &str| p["metadata"][field].as_str().unwrap().to_owned();
    let all = c.server.list(&PODS, "d").into_iter().filter(stays);
    all.map(|p| Known(text(&p, "name"), text(&p, "uid"))).filter(|k| !granted.contains(k)).collect()
}

/// Has a pod evicted as the API server does: if the budget's status lets it go, it is put into that status. The delete
/// comes later. Says which pods stay where none should have been evicted.
fn evict(c: &mut Cluster, granted: &mut Vec<Known>) -> Result<(), String> {
    let budget = c.get(&BUDGETS, "d", "b").unwrap();
    let status = &budget["status"];
    let allowed = status["disruptionsAllowed"].as_i64().unwrap_or(0);
    if status["observedGeneration"] != budget["metadata"]["generation"] || allowed <= 0 {
        return Ok(());
    }
    let staying = staying(c, granted);
    if staying.len() <= WANTED {
        return Err(format!("{allowed} allowed, ready and staying: {staying:?}"));
    }
    let pod = staying[c.rng.below(staying.len() as u64) as usize].clone();
    let patch = json!({"status": {"disruptionsAllowed": allowed - 1,
        "disruptedPods": {&pod.0: time::rfc3339(c.server.now)}}});
    let place: Place = (BUDGETS, "d".to_owned(), "b".to_owned());
    c.server.patch(&place, "status", PatchKind::Merge, &patch).unwrap();
    granted.push(pod);
    Ok(())
}

fn delete(c: &mut Cluster, pod: &Known) {
    let op = Op::Delete {
        gvr: PODS,
        namespace: "d".to_owned(),
        name: pod.0.clone(),
        uid: Some(pod.1.as_str().into()),
        resource_version: None,
        grace_period_seconds: None,
        propagation: None,
    };
    // It may have gone by itself.
    let _ = c.server.execute(&op);
}

/// A run with evictions; says how many were granted.
fn run(seed: u64, careless: bool) -> Result<usize, String> {
    let mut c = Cluster::new(seed, CONTROLLERS);
    (c.faults, c.server.careless) = (true, careless);
    let spec =
        if seed.is_multiple_of(2) { json!({"minAvailable": 3}) } else { json!({"maxUnavailable": "25%"}) };
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
            0 => evict(&mut c, &mut granted)?,
            1 if deleted < granted.len() => {
                delete(&mut c, &granted[deleted]);
                deleted += 1;
            }
            _ => {}
        }
    }
    granted[deleted..].iter().for_each(|pod| delete(&mut c, pod));
    c.settle();
    // A pod that has the name of one that was evicted counts as that one for two minutes.
    c.server.now = time::after(c.server.now, Duration::from_secs(180));
    c.settle();
    let status = &c.get(&BUDGETS, "d", "b").unwrap()["status"];
    let numbers = ["expectedPods", "currentHealthy", "desiredHealthy", "disruptionsAllowed"];
    let numbers = numbers.map(|n| status[n].as_i64().unwrap_or(-1));
    if numbers != [4, 4, 3, 1] || !status["disruptedPods"].is_null() {
        return Err(format!("in the end: {status}"));
    }
    Ok(granted.len())
}

#[test]
fn no_eviction_goes_below_the_budget() {
    let granted: Vec<usize> =
        (1..30).map(|seed| run(seed, false).unwrap_or_else(|why| panic!("seed {seed}: {why}"))).collect();
    assert!(granted.iter().sum::<usize>() > 100, "{granted:?}");
    // The rule finds a status that is written over an eviction.
    let found = |seed| run(seed, true).is_err_and(|why| why.contains("allowed"));
    assert!((1..60).any(found), "no seed notices");
}
