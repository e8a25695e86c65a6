//! The claims of pods, and whom they belong to.

use super::*;

fn policy(deleted: &str, scaled: &str) -> Value {
    json!({"persistentVolumeClaimRetentionPolicy": {"whenDeleted": deleted, "whenScaled": scaled}})
}

/// The kinds of its owners.
fn owners(w: &World, claim: &str) -> Vec<String> {
    let list =
        w.object(&CLAIMS, claim)["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
    list.iter().map(|o| o["kind"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn claims_are_made_of_their_template() {
    let mut w = World::with_claims(&json!({}));
    w.settle();
    let claim = w.object(&CLAIMS, "www-web-0");
    assert_eq!(claim["metadata"]["labels"], json!({"a": "b", "x": "y"}));
    assert_eq!(claim["spec"], json!({"accessModes": ["ReadWriteOnce"]}));
    assert!(claim["status"].is_null() && claim["kind"] == "PersistentVolumeClaim");
}

/// Policies, the owners of a claim while its pod is wanted, and when it is not.
#[test]
fn owners_follow_the_policy() {
    for (deleted, scaled, wanted, condemned) in [
        ("Retain", "Retain", vec![], vec![]),
        ("Delete", "Retain", vec!["StatefulSet"], vec!["StatefulSet"]),
        ("Retain", "Delete", vec![], vec!["Pod"]),
        ("Delete", "Delete", vec!["StatefulSet"], vec!["Pod"]),
    ] {
        for policy_from_the_start in [true, false] {
            let mut w = World::with_claims(&json!({"replicas": 2}));
            if policy_from_the_start {
                w.spec(&policy(deleted, scaled));
            }
            w.finish();
            w.spec(&policy(deleted, scaled));
            w.finish();
            assert_eq!(owners(&w, "www-web-1"), wanted, "{deleted} {scaled}");
            w.spec(&json!({"replicas": 1}));
            w.settle();
            assert_eq!(w.pods(), ["web-0", "-web-1"]);
            assert_eq!(owners(&w, "www-web-1"), condemned, "{deleted} {scaled}");
            assert_eq!(owners(&w, "www-web-0"), wanted, "{deleted} {scaled}");
        }
    }
}

#[test]
fn a_claim_knows_its_pod_before_that_goes() {
    let mut w = World::with_claims(&json!({"replicas": 2}));
    w.spec(&policy("Retain", "Delete"));
    w.finish();
    w.spec(&json!({"replicas": 1}));
    let plan = w.plan();
    let verbs: Vec<(&str, &str)> =
        plan.steps.iter().map(|s| (s.actions[0].op.verb(), &*s.actions[0].op.gvr().resource)).collect();
    assert_eq!(verbs[..2], [("patch", "persistentvolumeclaims"), ("delete", "pods")]);
    // And it stays when that cannot be said.
    let claims = w.clone();
    w.change(&CLAIMS, "www-web-1", &json!({"metadata": {"labels": {"new": "er"}}}));
    w.carry_out(claims.plan().steps);
    assert_eq!((w.answers.failures.len(), w.pods()), (1, vec!["web-0".to_owned(), "web-1".to_owned()]));
    assert!(w.events.iter().any(|e| e.starts_with("FailedUpdate Update Pod web-1")), "{:?}", w.events);
}

#[test]
fn a_new_pod_waits_for_the_claim_of_the_old_one() {
    let mut w = World::with_claims(&json!({"replicas": 2}));
    w.spec(&policy("Retain", "Delete"));
    w.finish();
    w.spec(&json!({"replicas": 1}));
    w.finish();
    w.spec(&json!({"replicas": 2}));
    w.settle();
    assert_eq!(w.pods(), ["web-0"]);
    // The garbage collector has taken it.
    w.objects.remove(&("persistentvolumeclaims".to_owned(), "www-web-1".to_owned()));
    w.finish();
    assert!(w.pods().len() == 2 && owners(&w, "www-web-1").is_empty());
}

#[test]
fn a_claim_on_its_way_out_is_not_used() {
    let mut w = World::with_claims(&json!({"replicas": 1}));
    w.put(
        &CLAIMS,
        &json!({"metadata": {"name": "www-web-0", "namespace": "d", "uid": "old",
        "deletionTimestamp": at(0).to_string()}}),
    );
    w.settle();
    let told =
        "FailedCreate Create Pod web-0 in StatefulSet web failed error: pvc www-web-0 is being deleted";
    assert!(w.retry && w.pods().is_empty());
    assert_eq!(w.events.first().map(String::as_str), Some(told));
}

#[test]
fn a_pod_that_waits_gets_a_claim_that_was_lost() {
    let mut w = World::with_claims(&json!({"replicas": 1}));
    w.settle();
    w.objects.remove(&("persistentvolumeclaims".to_owned(), "www-web-0".to_owned()));
    w.settle();
    assert_eq!(w.names(&CLAIMS), ["www-web-0"]);
    w.run("web-0");
    w.settle();
    w.objects.remove(&("persistentvolumeclaims".to_owned(), "www-web-0".to_owned()));
    w.settle();
    assert!(w.names(&CLAIMS).is_empty(), "one that runs has it");
}

#[test]
fn claims_that_others_manage_are_left_to_them() {
    let mut w = World::with_claims(&json!({"replicas": 1}));
    let other = json!({"apiVersion": "x/v1", "kind": "Backup", "name": "b", "uid": "b", "controller": true});
    w.spec(&policy("Delete", "Retain"));
    w.put(
        &CLAIMS,
        &json!({"metadata": {"name": "www-web-0", "namespace": "d", "uid": "c", "ownerReferences": [other]}}),
    );
    w.settle();
    assert_eq!(owners(&w, "www-web-0"), ["Backup"]);
    assert!(w.events.iter().any(|e| e.starts_with("ConflictingController ")), "{:?}", w.events);
}

/// Of five pods three may have claims.
#[test]
fn a_quota_of_claims_stops_no_pod_that_can_have_its_own() {
    let mut w = World::with_claims(&json!({"replicas": 5, "podManagementPolicy": "Parallel"}));
    w.refused = ["www-web-3", "www-web-4"].map(str::to_owned).to_vec();
    for _ in 0..8 {
        w.turn();
    }
    assert_eq!(w.pods(), ["web-0", "web-1", "web-2"]);
    let claim = "FailedCreate Create Claim www-web-3 for Pod web-3 in StatefulSet web failed error: ";
    let pod =
        "FailedCreate Create Pod web-3 in StatefulSet web failed error: failed to create PVC www-web-3: ";
    for told in [claim, pod] {
        assert!(
            w.events.iter().any(|e| e.starts_with(told) && e.ends_with("exceeded quota")),
            "{:?}",
            w.events
        );
    }
}

#[test]
fn a_change_of_a_claim_wakes_its_set() {
    let w = World::with_claims(&json!({}));
    let claim = |name: &str| {
        let text = json!({"metadata": {"name": name, "namespace": "d"}}).to_string();
        std::sync::Arc::new(meta::json::read::<Claim>(text.as_bytes()).unwrap())
    };
    for (name, woken) in [("www-web-0", true), ("www-web-01", false), ("www-db-0", false), ("web-0", false)] {
        let set: StatefulSet = meta::json::read(w.set.to_string().as_bytes()).unwrap();
        assert_eq!(set.pod_of_claim(&claim(name).metadata.name).is_some(), woken, "{name}");
        let mut sink = KeySink::default();
        claim_changed(&Delta { old: Some(claim(name)), new: None }, &w.caches(), &mut sink);
        assert_eq!(format!("{sink:?}").contains("web"), woken, "{name}");
    }
}
