//! In which order pods come and go.

use super::*;

#[test]
fn pods_are_made_one_after_the_other() {
    let mut w = World::with_claims(&json!({}));
    w.settle();
    assert_eq!((w.pods(), w.names(&CLAIMS)), (vec!["web-0".to_owned()], vec!["www-web-0"]));
    let pod = w.object(&PODS, "web-0").clone();
    let revision = w.names(&REVISIONS)[0].to_owned();
    assert_eq!(
        pod["metadata"]["labels"],
        json!({"a": "b", "apps.kubernetes.io/pod-index": "0", "controller-revision-hash": revision,
            "statefulset.kubernetes.io/pod-name": "web-0"})
    );
    assert_eq!((&pod["spec"]["hostname"], &pod["spec"]["subdomain"]), (&json!("web-0"), &json!("svc")));
    let claim = json!({"name": "www", "persistentVolumeClaim": {"claimName": "www-web-0"}});
    assert_eq!(pod["spec"]["volumes"], json!([claim, {"name": "tmp", "emptyDir": {}}]));
    assert_eq!(pod["metadata"]["ownerReferences"][0]["kind"], "StatefulSet");
    assert_eq!(
        w.events,
        [
            "SuccessfulCreate Create Claim www-web-0 Pod web-0 in StatefulSet web success",
            "SuccessfulCreate Create Pod web-0 in StatefulSet web successful",
        ]
    );
    w.run("web-0");
    w.settle();
    assert_eq!(w.pods(), ["web-0", "web-1"]);
    w.settle();
    assert_eq!(w.pods(), ["web-0", "web-1"], "the last one is not ready");
    w.run("web-1");
    w.finish();
    assert_eq!(w.pods(), ["web-0", "web-1", "web-2"]);
    let counts = ["replicas", "readyReplicas", "availableReplicas", "currentReplicas", "updatedReplicas"];
    assert_eq!(counts.map(|f| w.status(f)), [3; 5]);
    assert_eq!(w.set["status"]["currentRevision"], revision);
    assert_eq!(w.set["status"]["observedGeneration"], w.set["metadata"]["generation"]);
    assert!(w.plan().is_empty());
}

#[test]
fn pods_go_in_the_opposite_order() {
    let mut w = World::new(&json!({}));
    w.finish();
    w.spec(&json!({"replicas": 1}));
    w.settle();
    assert_eq!(w.pods(), ["web-0", "web-1", "-web-2"]);
    w.stop("web-2");
    w.settle();
    assert_eq!(w.pods(), ["web-0", "-web-1"]);
    w.stop("web-1");
    w.settle();
    assert_eq!((w.pods(), w.status("replicas")), (vec!["web-0".to_owned()], 1));
    assert!(w.events.contains(&"SuccessfulDelete Delete Pod web-2 in StatefulSet web successful".to_owned()));
}

#[test]
fn parallel_pods_do_not_wait() {
    let mut w = World::with_claims(&json!({"podManagementPolicy": "Parallel", "replicas": 5}));
    w.settle();
    assert_eq!((w.pods().len(), w.names(&CLAIMS).len()), (5, 5));
    w.spec(&json!({"replicas": 2}));
    w.settle();
    assert_eq!(w.pods(), ["web-0", "web-1", "-web-2", "-web-3", "-web-4"]);
}

/// Which pods are not ready, what goes when one is wanted.
#[test]
fn pods_that_are_not_ready_hold_up_the_others() {
    for (broken, gone) in [
        (vec![], Some("web-2")),
        (vec!["web-2"], Some("web-2")),
        // The lower one has to come up first.
        (vec!["web-1", "web-2"], None),
        (vec!["web-1"], Some("web-2")),
        (vec!["web-0"], None),
    ] {
        let mut w = World::new(&json!({}));
        w.finish();
        for name in &broken {
            w.change(&PODS, name, &json!({"status": {"conditions": []}}));
        }
        w.spec(&json!({"replicas": 1}));
        w.settle();
        let going: Vec<String> = w.pods().into_iter().filter(|p| p.starts_with('-')).collect();
        assert_eq!(going.first().map(|p| &p[1..]), gone, "{broken:?}");
        assert!(going.len() <= 1);
    }
}

#[test]
fn pods_that_came_to_their_end_are_made_again() {
    for phase in ["Failed", "Succeeded"] {
        let mut w = World::with_claims(&json!({}));
        w.finish();
        let before = w.object(&PODS, "web-1")["metadata"]["uid"].clone();
        w.change(&PODS, "web-1", &json!({"status": {"phase": phase}}));
        w.settle();
        assert_eq!(w.pods(), ["web-0", "-web-1", "web-2"]);
        w.stop("web-1");
        w.finish();
        assert_eq!((w.pods().len(), w.names(&CLAIMS).len()), (3, 3));
        assert_ne!(w.object(&PODS, "web-1")["metadata"]["uid"], before);
    }
}

#[test]
fn numbers_begin_where_they_are_to() {
    let mut w = World::new(&json!({"ordinals": {"start": 5}, "replicas": 2}));
    w.finish();
    assert_eq!(w.pods(), ["web-5", "web-6"]);
    w.spec(&json!({"ordinals": {"start": 6}}));
    w.run("web-6");
    w.finish();
    assert_eq!(w.pods(), ["web-6", "web-7"]);
    assert_eq!(w.object(&PODS, "web-7")["metadata"]["labels"]["apps.kubernetes.io/pod-index"], "7");
}

#[test]
fn pods_have_to_be_ready_for_long_enough() {
    let mut w = World::new(&json!({"minReadySeconds": 10, "replicas": 2}));
    w.settle();
    w.run("web-0");
    w.settle();
    assert_eq!((w.pods().len(), w.status("readyReplicas"), w.status("availableReplicas")), (1, 1, 0));
    assert_eq!(w.plan().requeue_at, Some(at(10)));
    w.now = 10;
    w.settle();
    assert_eq!((w.pods().len(), w.status("availableReplicas")), (2, 1));
}

#[test]
fn a_create_that_fails_is_told_and_tried_again() {
    let mut w = World::new(&json!({}));
    w.refused = vec!["web-0".to_owned()];
    w.settle();
    let told = "FailedCreate Create Pod web-0 in StatefulSet web failed error: ";
    assert!(w.events.iter().any(|e| e.starts_with(told) && e.ends_with("exceeded quota")), "{:?}", w.events);
    assert_eq!(w.status("observedGeneration"), 2, "the status is written all the same");
    w.refused.clear();
    w.finish();
    assert_eq!(w.pods().len(), 3);
}

#[test]
fn names_that_others_have_are_waited_for() {
    let mut w = World::new(&json!({"replicas": 1}));
    let other = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "uid": "old", "controller": true});
    w.put(
        &PODS,
        &json!({"metadata": {"name": "web-0", "namespace": "d", "uid": "x", "labels": {"a": "b"},
        "ownerReferences": [other]}, "status": {"phase": "Running"}}),
    );
    w.settle();
    assert!(w.retry && w.events.is_empty(), "{:?}", w.events);
    w.objects.remove(&("pods".to_owned(), "web-0".to_owned()));
    w.settle();
    assert!(!w.retry && w.pods() == ["web-0"]);
}

/// A decision made on old caches changes nothing that it should not.
#[test]
fn old_caches_do_no_harm() {
    let mut w = World::new(&json!({"replicas": 1}));
    w.turn();
    let old = w.clone();
    w.turn();
    // The pod is there already, and the status is newer.
    let late = old.plan();
    w.carry_out(late.steps);
    let reasons: Vec<&str> = w.answers.failures.iter().map(|f| f.status.reason.as_ref()).collect();
    assert_eq!(reasons, ["AlreadyExists", "Conflict"]);
    w.finish();
    assert_eq!(w.pods(), ["web-0"]);
}

#[test]
fn work_is_bounded_however_many_are_wanted() {
    for (policy, most) in [("OrderedReady", 1), ("Parallel", LIMIT)] {
        let mut w = World::new(&json!({"replicas": i32::MAX, "podManagementPolicy": policy}));
        w.turn();
        let plan = w.plan();
        let creates =
            plan.actions().filter(|a| matches!(&a.op, Op::Create { gvr, .. } if *gvr == PODS)).count();
        assert_eq!(creates, most);
    }
}

#[test]
fn pods_are_adopted_and_released() {
    let orphan = |name: &str, labels: Value| {
        json!({"metadata": {"name": name, "namespace": "d", "uid": name, "labels": labels},
            "status": {"phase": "Pending"}})
    };
    let mut w = World::new(&json!({"replicas": 1}));
    w.put(&PODS, &orphan("web-0", json!({"a": "b"})));
    w.put(&PODS, &orphan("db-0", json!({"a": "b"})));
    let ops: Vec<Op> = w.plan().steps.into_iter().flat_map(|s| s.actions).map(|a| a.op).collect();
    assert!(matches!(&ops[..], [Op::Get { gvr, .. }] if *gvr == STATEFULSETS), "{ops:?}");
    w.settle();
    let owner =
        |w: &World, name: &str| w.object(&PODS, name)["metadata"]["ownerReferences"][0]["uid"].clone();
    assert_eq!((owner(&w, "web-0"), owner(&w, "db-0")), (json!("set"), Value::Null));
    let labels = &w.object(&PODS, "web-0")["metadata"]["labels"];
    assert!(labels[POD_NAME].is_null(), "a pod that is not ready is left as it is");
    w.run("web-0");
    w.settle();
    assert_eq!(w.object(&PODS, "web-0")["metadata"]["labels"][POD_NAME], "web-0");
    assert!(w.events.iter().any(|e| e.starts_with("SuccessfulUpdate Update Pod web-0")), "{:?}", w.events);
    w.change(&PODS, "web-0", &json!({"metadata": {"labels": {"a": "c"}}}));
    w.turn();
    assert_eq!(owner(&w, "web-0"), Value::Null);
}

#[test]
fn a_set_on_its_way_out_only_counts() {
    let mut w = World::new(&json!({"replicas": 2}));
    w.finish();
    w.set["metadata"]["deletionTimestamp"] = at(0).to_string().into();
    w.change(&PODS, "web-1", &json!({"status": {"phase": "Failed"}}));
    w.spec(&json!({"replicas": 1}));
    w.settle();
    assert_eq!((w.pods(), w.status("readyReplicas")), (vec!["web-0".to_owned(), "web-1".to_owned()], 1));
}
