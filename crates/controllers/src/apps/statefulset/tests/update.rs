//! Which pods are replaced when the template changes.

use super::*;

fn updated(spec: &Value) -> World {
    let mut w = World::new(spec);
    w.finish();
    w.image("i:2");
    w.settle();
    w
}

fn images(w: &World) -> Vec<&str> {
    let pods = w.objects.iter().filter(|((r, _), _)| r == "pods");
    pods.map(|(_, p)| p["spec"]["containers"][0]["image"].as_str().unwrap()).collect()
}

#[test]
fn the_highest_number_goes_first() {
    let mut w = updated(&json!({}));
    assert_eq!(w.pods(), ["web-0", "web-1", "-web-2"]);
    let (current, update) = (&w.set["status"]["currentRevision"], &w.set["status"]["updateRevision"]);
    assert!(current != update && w.status("currentReplicas") == 2);
    w.stop("web-2");
    w.settle();
    assert_eq!((images(&w), w.pods().len()), (vec!["i:1", "i:1", "i:2"], 3), "the new one is not ready");
    assert_eq!((w.status("currentReplicas"), w.status("updatedReplicas")), (2, 1));
    w.run("web-2");
    w.settle();
    assert_eq!(w.pods(), ["web-0", "-web-1", "web-2"]);
    w.finish();
    assert_eq!(images(&w), ["i:2"; 3]);
    assert_eq!(w.set["status"]["currentRevision"], w.set["status"]["updateRevision"]);
    assert_eq!(w.status("currentReplicas"), 3);
}

#[test]
fn pods_below_the_partition_stay_as_they_were() {
    let mut w = updated(&json!({"updateStrategy": {"rollingUpdate": {"partition": 2}}}));
    w.finish();
    assert_eq!(images(&w), ["i:1", "i:1", "i:2"]);
    assert_eq!((w.status("currentReplicas"), w.status("updatedReplicas")), (2, 1));
    let before = w.revision_of("web-0").to_owned();
    // One that is lost is made again as it was.
    w.change(&PODS, "web-0", &json!({"metadata": {"deletionTimestamp": at(0).to_string()}}));
    w.finish();
    assert_eq!((images(&w), w.revision_of("web-0")), (vec!["i:1", "i:1", "i:2"], &*before));
    w.spec(&json!({"updateStrategy": {"rollingUpdate": {"partition": 0}}}));
    w.finish();
    assert_eq!(images(&w), ["i:2"; 3]);
}

/// Policy, what may be unavailable, pods that are not ready, what goes.
#[test]
fn as_many_go_as_may_be_unavailable() {
    for (policy, most, broken, gone) in [
        ("OrderedReady", json!(2), vec![], vec!["-web-2", "-web-3"]),
        ("OrderedReady", json!("60%"), vec![], vec!["-web-2", "-web-3"]),
        ("OrderedReady", json!("1%"), vec![], vec!["-web-3"]),
        // A set that waits for each pod does so in an update too.
        ("OrderedReady", json!(2), vec!["web-0"], vec![]),
        ("Parallel", json!(2), vec![], vec!["-web-2", "-web-3"]),
        ("Parallel", json!(2), vec!["web-0"], vec!["-web-0", "-web-3"]),
        ("Parallel", json!(1), vec!["web-0", "web-1"], vec!["-web-0", "-web-1"]),
    ] {
        let roll = json!({"rollingUpdate": {"maxUnavailable": most}});
        let mut w =
            World::new(&json!({"replicas": 4, "podManagementPolicy": policy, "updateStrategy": roll}));
        w.finish();
        for name in &broken {
            w.change(&PODS, name, &json!({"status": {"conditions": []}}));
        }
        w.image("i:2");
        w.settle();
        let going: Vec<String> = w.pods().into_iter().filter(|p| p.starts_with('-')).collect();
        assert_eq!(going, gone, "{policy} {most} {broken:?}");
    }
}

#[test]
fn a_broken_update_stays_until_somebody_deletes_its_pod() {
    let mut w = updated(&json!({}));
    w.stop("web-2");
    w.settle();
    // The new pod never gets ready, and the template is put right.
    w.image("i:3");
    w.settle();
    assert_eq!(images(&w), ["i:1", "i:1", "i:2"]);
    w.change(&PODS, "web-2", &json!({"metadata": {"deletionTimestamp": at(0).to_string()}}));
    w.finish();
    assert_eq!(images(&w), ["i:3"; 3]);
}

#[test]
fn on_delete_nothing_is_replaced() {
    let mut w = updated(&json!({"updateStrategy": {"type": "OnDelete", "rollingUpdate": null}}));
    assert_eq!((w.pods().len(), images(&w)), (3, vec!["i:1"; 3]));
    w.change(&PODS, "web-1", &json!({"metadata": {"deletionTimestamp": at(0).to_string()}}));
    w.finish();
    assert_eq!(images(&w), ["i:1", "i:2", "i:1"]);
}

#[test]
fn recreating_is_not_there_yet() {
    let mut w = World::new(&json!({"updateStrategy": {"type": "Recreate", "rollingUpdate": null}}));
    w.settle();
    let message =
        "statefulset d/web uses Recreate strategy but feature gate StatefulSetRecreateStrategy is disabled";
    assert_eq!(w.events, [format!("UnknownStrategy {message}")]);
    assert!(w.retry && w.pods().is_empty());
}
