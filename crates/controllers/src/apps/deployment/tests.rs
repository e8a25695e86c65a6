use super::*;
use reconcile::Op;

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

#[test]
fn scaling_during_a_rollout_is_proportional() {
    let d = deployment(15, "20%", "10%");
    let sets = [set("a", 5, 5), set("b", 8, 8)];
    let sizes = scale::proportional(&d, sets.iter().collect());
    let named: Vec<(&str, i32)> = sizes.iter().map(|(r, n)| (&*r.metadata.name, *n)).collect();
    assert_eq!(named, [("b", 11), ("a", 7)]);
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
    let plan = Deployments.reconcile(&State { d: Arc::new(d), ..State::default() }, Timestamp::UNIX_EPOCH);
    assert_eq!(plan.events[0].reason, "SelectingAll");
    assert!(plan.actions().all(|a| matches!(&a.op, Op::Patch { sub: "status", .. })));
}
