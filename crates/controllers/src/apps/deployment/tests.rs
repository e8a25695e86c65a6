use super::*;
use reconcile::Op;
use serde_json::Value;

fn set(name: &str, replicas: i32, available: i32) -> Arc<ReplicaSet> {
    let text = json!({
        "metadata": {
            "name": name, "uid": name, "creationTimestamp": "2026-01-01T00:00:00Z",
            "annotations": {MAX_REPLICAS: "13"},
        },
        "spec": {"replicas": replicas},
        "status": {"replicas": replicas, "availableReplicas": available},
    });
    Arc::new(serde_json::from_str(&text.to_string()).unwrap())
}

fn deployment(replicas: i32, surge: &str, unavailable: &str) -> Deployment {
    let roll = json!({"maxSurge": surge, "maxUnavailable": unavailable});
    let spec = json!({"replicas": replicas, "strategy": {"type": "RollingUpdate", "rollingUpdate": roll}});
    serde_json::from_str(&json!({"metadata": {"name": "d", "uid": "d"}, "spec": spec}).to_string()).unwrap()
}

/// Replicas, available of the new set and of the old ones; the sizes that the old ones may shrink to.
#[test]
fn old_sets_shrink_as_far_as_availability_allows() {
    for (new, old, want) in [
        // The numbers of the example in upstream's source: 10 replicas, 3 surge, 2 unavailable.
        ((5, 0), vec![(8, 8)], vec![]),
        ((5, 5), vec![(8, 8)], vec![3]),
        ((0, 0), vec![(10, 10)], vec![8]),
        // What is not healthy goes first.
        ((0, 0), vec![(3, 0), (10, 8)], vec![0, 8]),
        // A set that has not shrunk yet is not counted twice.
        ((5, 5), vec![(5, 8)], vec![3]),
    ] {
        let d = deployment(10, "30%", "20%");
        let new = set("new", new.0, new.1);
        let old: Vec<_> = old.iter().enumerate().map(|(i, (r, a))| set(&format!("old{i}"), *r, *a)).collect();
        let sets = Sets { new: Some(&new), old: old.iter().collect() };
        let sizes: Vec<i32> = rollout::scale_downs(&d, &sets).into_iter().map(|(_, n)| n).collect();
        assert_eq!(sizes, want, "{new:?} {old:?}");
    }
}

/// A replica set that was told 5, 3 and 5 again shows five available pods until it is heard, two of which it
/// may be about to delete.
#[test]
fn nobody_shrinks_on_the_word_of_a_set_that_was_not_heard_since() {
    let mut d = deployment(10, "30%", "20%");
    d.spec.paused = true;
    for (heard, shrunk) in [(2, true), (1, false)] {
        let mut new = (*set("new", 10, 10)).clone();
        new.metadata.generation = 2;
        new.status.observed_generation = heard;
        new.metadata.annotations = new.metadata.annotations.with(DESIRED_REPLICAS, "10");
        let (new, old) = (Arc::new(new), set("old", 3, 3));
        let sets = Sets { new: Some(&new), old: vec![&old] };
        assert_eq!(!rollout::scale_downs(&d, &sets).is_empty(), shrunk, "rolling");
        let mut plan = Plan::default();
        scale::scale(&State { d: Arc::new(d.clone()), ..State::default() }, &sets, &mut plan);
        let to_nothing = |a: &Action| {
            matches!(&a.op, Op::Patch { name, body, .. }
            if name == "old" && String::from_utf8_lossy(body).contains("\"replicas\":0"))
        };
        assert_eq!(plan.actions().any(to_nothing), shrunk, "paused");
    }
}

#[test]
fn scaling_during_a_rollout_is_proportional() {
    let d = deployment(15, "20%", "10%");
    let sets = [set("a", 5, 5), set("b", 8, 8)];
    let sizes = scale::proportional(&d, sets.iter().collect());
    let named: Vec<(&str, i32)> = sizes.iter().map(|(r, n)| (&*r.metadata.name, *n)).collect();
    assert_eq!(named, [("b", 11), ("a", 7)]);
}

/// Seven pods of ten that were allowed become eight of eight: the proportions take from both, and the larger set gets
/// what is left over.
#[test]
fn what_shrinks_is_scaled_first() {
    let d = Arc::new(deployment(5, "60%", "60%"));
    let told = |name, n, available| {
        let mut rs = (*set(name, n, available)).clone();
        let annotations = rs.metadata.annotations.with(DESIRED_REPLICAS, "7");
        rs.metadata.annotations = annotations.with(MAX_REPLICAS, "10");
        Arc::new(rs)
    };
    let (new, old) = (told("new", 3, 0), told("old", 4, 4));
    let sets = Sets { new: Some(&new), old: vec![&old] };
    let mut plan = Plan::default();
    scale::scale(&State { d, ..State::default() }, &sets, &mut plan);
    let sizes: Vec<(&str, Value)> = plan
        .actions()
        .filter_map(|a| match &a.op {
            Op::Patch { name, body, .. } => Some((&**name, serde_json::from_slice::<Value>(body).ok()?)),
            _ => None,
        })
        .map(|(name, body)| (name, body["spec"]["replicas"].clone()))
        .collect();
    assert_eq!(sizes, [("new", json!(2)), ("old", json!(6))]);
}

/// A replica set that was adopted carries the number of the deployment that it came from.
#[test]
fn what_an_adopted_set_was_told_is_put_right() {
    let adopted = |name, n, was: &str| {
        let mut rs = (*set(name, n, n)).clone();
        rs.metadata.annotations = rs.metadata.annotations.with(DESIRED_REPLICAS, was);
        Arc::new(rs)
    };
    let rolling = deployment(3, "1", "1");
    for (was, written) in [("5", true), ("3", false)] {
        let rs = adopted("a", 3, was);
        let sets = Sets { new: None, old: vec![&rs] };
        assert_eq!(scale::is_scaling(&rolling, &sets), written);
        let mut plan = Plan::default();
        scale::scale(&State { d: Arc::new(rolling.clone()), ..State::default() }, &sets, &mut plan);
        let told = |a: &Action| {
            matches!(&a.op, Op::Patch { body, .. }
            if String::from_utf8_lossy(body).contains("desired-replicas\":\"3\""))
        };
        assert_eq!(plan.actions().any(told), written, "told {was}");
    }
    // A recreation ends several of them, whatever they were told; it does not scale them.
    let mut recreate = rolling;
    recreate.spec.strategy.kind = "Recreate".into();
    let (a, b) = (adopted("a", 2, "5"), adopted("b", 4, "9"));
    let sets = Sets { new: None, old: vec![&a, &b] };
    assert!(!scale::is_scaling(&recreate, &sets));
    let mut plan = Plan::default();
    rollout::recreate(
        &State { d: Arc::new(recreate), ..State::default() },
        &sets,
        Timestamp::UNIX_EPOCH,
        &mut plan,
    );
    let ended = |name: &str| {
        plan.actions().any(|a| {
            matches!(&a.op, Op::Patch { name: n, body, .. }
        if n == name && String::from_utf8_lossy(body).contains("\"replicas\":0"))
        })
    };
    assert!(ended("a") && ended("b"));
}

#[test]
fn fenceposts() {
    for (n, surge, unavailable, want) in [
        (10, "25%", "25%", (3, 2)),
        (1, "25%", "25%", (1, 0)),
        (4, "0%", "10%", (0, 1)),
        (0, "25%", "25%", (0, 0)),
    ] {
        let d = deployment(n, surge, unavailable);
        assert_eq!((d.max_surge(), d.max_unavailable()), want, "{n} {surge} {unavailable}");
    }
}

#[test]
fn a_selector_is_required() {
    let mut d = deployment(1, "1", "1");
    d.metadata.generation = 2;
    let plan =
        Deployments.reconcile(&State { d: Arc::new(d), ..State::default() }, &mut (), Timestamp::UNIX_EPOCH);
    assert_eq!(plan.events[0].reason, "SelectingAll");
    assert!(plan.actions().all(|a| matches!(&a.op, Op::Patch { sub: "status", .. })));
}
