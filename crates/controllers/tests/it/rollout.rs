//! Deployments and their replica sets, with and without faults.

use reconcile::PatchKind;
use serde_json::json;

use crate::cluster::{Cluster, DEPLOYMENTS, PODS, REPLICASETS, deployment, live_pods};
use crate::server::Place;

const CONTROLLERS: &[&str] = &["replicaset-controller", "deployment-controller"];

fn web() -> Place {
    (DEPLOYMENTS, "d".into(), "web".into())
}

fn set_image(c: &mut Cluster, image: &str) {
    let ports = json!([{"name": "web", "containerPort": 80}]);
    let template = json!({"spec": {"containers": [{"name": "c", "image": image, "ports": ports}]}});
    c.server.patch(&web(), "", PatchKind::Merge, &json!({"spec": {"template": template}})).unwrap();
}

fn condition(c: &Cluster, kind: &str) -> (String, String) {
    let d = c.get(&DEPLOYMENTS, "d", "web").unwrap();
    let list = d["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let found = list.iter().find(|x| x["type"] == kind).cloned().unwrap_or_default();
    (found["status"].as_str().unwrap_or("").into(), found["reason"].as_str().unwrap_or("").into())
}

fn assert_complete(c: &Cluster, replicas: i64, seed: u64) {
    let d = c.get(&DEPLOYMENTS, "d", "web").unwrap();
    assert_eq!(live_pods(c), (replicas as usize, replicas as usize), "seed {seed}");
    for field in ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"] {
        assert_eq!(
            d["status"][field].as_i64().unwrap_or(0),
            replicas,
            "seed {seed} {field}: {}",
            d["status"]
        );
    }
    assert_eq!(d["status"]["observedGeneration"], d["metadata"]["generation"], "seed {seed}");
}

#[test]
fn first_rollout_update_and_rollback() {
    let mut c = Cluster::new(1, CONTROLLERS);
    c.server.create(&DEPLOYMENTS, "d", deployment("web", 3, "a:1")).unwrap();
    c.settle();
    assert_complete(&c, 3, 1);
    assert_eq!(condition(&c, "Available"), ("True".into(), "MinimumReplicasAvailable".into()));
    assert_eq!(condition(&c, "Progressing"), ("True".into(), "NewReplicaSetAvailable".into()));
    let events = c.events();
    assert!(
        events
            .iter()
            .any(|e| e.starts_with("ScalingReplicaSet Scaled up replica set web-")
                && e.ends_with(" from 0 to 3")),
        "{events:?}"
    );
    assert_eq!(events.iter().filter(|e| e.starts_with("SuccessfulCreate Created pod: web-")).count(), 3);
    let first = c.server.list(&REPLICASETS, "d")[0].clone();
    assert_eq!(first["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "1");

    set_image(&mut c, "a:2");
    c.settle();
    assert_complete(&c, 3, 1);
    assert_eq!(c.server.list(&REPLICASETS, "d").len(), 2);
    let d = c.get(&DEPLOYMENTS, "d", "web").unwrap();
    assert_eq!(d["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "2");

    set_image(&mut c, "a:1");
    c.settle();
    assert_complete(&c, 3, 1);
    let name = first["metadata"]["name"].as_str().unwrap().to_owned();
    let back = c.get(&REPLICASETS, "d", &name).unwrap();
    assert_eq!(back["spec"]["replicas"], 3);
    assert_eq!(back["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "3");
    assert_eq!(back["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"], "1");
    // A replica set's status may be written between a decision and its patch.
    let failures: Vec<String> = c.failures().into_iter().filter(|f| !f.ends_with("(409 Conflict)")).collect();
    assert_eq!(failures, Vec::<String>::new());
}

#[test]
fn recreate_never_mixes_templates() {
    let mut c = Cluster::new(2, CONTROLLERS);
    let mut d = deployment("web", 3, "a:1");
    d["spec"]["strategy"] = json!({"type": "Recreate"});
    c.server.create(&DEPLOYMENTS, "d", d).unwrap();
    c.settle();
    set_image(&mut c, "a:2");
    for _ in 0..20_000 {
        c.step();
        let pods = c.server.list(&PODS, "d");
        let images: std::collections::BTreeSet<String> =
            pods.iter().map(|p| p["spec"]["containers"][0]["image"].to_string()).collect();
        assert!(images.len() <= 1, "{images:?}");
    }
    c.settle();
    assert_complete(&c, 3, 2);
}

#[test]
fn scaling_pausing_and_history() {
    let mut c = Cluster::new(3, CONTROLLERS);
    let mut d = deployment("web", 2, "a:0");
    d["spec"]["revisionHistoryLimit"] = 1.into();
    c.server.create(&DEPLOYMENTS, "d", d).unwrap();
    c.settle();
    for i in 1..4 {
        set_image(&mut c, &format!("a:{i}"));
        c.settle();
    }
    assert_eq!(c.server.list(&REPLICASETS, "d").len(), 2);
    c.server.patch(&web(), "", PatchKind::Merge, &json!({"spec": {"replicas": 5}})).unwrap();
    c.settle();
    assert_complete(&c, 5, 3);
    c.server.patch(&web(), "", PatchKind::Merge, &json!({"spec": {"paused": true}})).unwrap();
    set_image(&mut c, "a:9");
    c.settle();
    // None for the new template; of the old ones one beyond the history limit is gone.
    assert_eq!(c.server.list(&REPLICASETS, "d").len(), 1);
    assert_eq!(condition(&c, "Progressing").1, "DeploymentPaused");
    c.server.patch(&web(), "", PatchKind::Merge, &json!({"spec": {"paused": false}})).unwrap();
    c.settle();
    assert_complete(&c, 5, 3);
    c.server.patch(&web(), "", PatchKind::Merge, &json!({"spec": {"replicas": 0}})).unwrap();
    c.settle();
    assert_complete(&c, 0, 3);
}

#[test]
fn orphans_are_adopted_and_strays_released() {
    let mut c = Cluster::new(4, CONTROLLERS);
    let pod = json!({"metadata": {"name": "old", "labels": {"app": "web"}}, "spec": {}});
    c.server.create(&PODS, "d", pod).unwrap();
    let spec = deployment("web", 2, "a:1")["spec"].clone();
    c.server.create(&REPLICASETS, "d", json!({"metadata": {"name": "web"}, "spec": spec})).unwrap();
    c.settle();
    assert_eq!(live_pods(&c).0, 2);
    assert_eq!(c.get(&PODS, "d", "old").unwrap()["metadata"]["ownerReferences"][0]["name"], "web");
    let labels = json!({"metadata": {"labels": {"app": "other"}}});
    c.server.patch(&(PODS, "d".into(), "old".into()), "", PatchKind::Merge, &labels).unwrap();
    c.settle();
    assert_eq!(c.get(&PODS, "d", "old").unwrap()["metadata"]["ownerReferences"], json!([]));
    assert_eq!(live_pods(&c).0, 3);
}

/// Never more pods than wanted plus surge, never fewer ready than allowed, always converging.
#[test]
fn invariants_hold_under_faults() {
    for seed in 1..40 {
        let mut c = Cluster::new(seed, CONTROLLERS);
        c.faults = true;
        c.server.create(&DEPLOYMENTS, "d", deployment("web", 3, "a:1")).unwrap();
        for _ in 0..1500 {
            c.step();
            assert!(live_pods(&c).0 <= 3, "seed {seed}: {} pods", live_pods(&c).0);
        }
        c.settle();
        assert_complete(&c, 3, seed);
        c.faults = true;
        set_image(&mut c, "a:2");
        for _ in 0..3000 {
            c.step();
            let (live, ready) = live_pods(&c);
            assert!(live <= 4, "seed {seed}: {live} pods");
            assert!(ready >= 2, "seed {seed}: {ready} ready");
        }
        c.settle();
        assert_complete(&c, 3, seed);
    }
}
