use std::any::TypeId;

use bytes::Bytes;
use meta::{Gvr, Status};
use reconcile::{Answer, Discovery, Engine, EngineConfig, Op, ResourceInfo};
use serde_json::{Value, json};

use super::types::BUDGETS;
use super::*;
use crate::testing::merge;

const NOW: &str = "2026-01-01T00:10:00Z";
const WIDGETS: Gvr = Gvr::new("example.com", "v1", "widgets");

fn put<P: Projection>(caches: &mut Caches, object: &Value) {
    caches.kind_mut::<P>().upsert(meta::json::of(object).unwrap());
}

fn pod(name: &str, patch: &Value) -> Value {
    let mut p = json!({
        "metadata": {"name": name, "namespace": "d", "uid": name, "resourceVersion": "9", "labels": {"a": "b"}},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    });
    merge(&mut p, patch);
    p
}

fn owned(name: &str, api_version: &str, kind: &str, owner: &str) -> Value {
    let reference =
        json!({"apiVersion": api_version, "kind": kind, "name": owner, "uid": owner, "controller": true});
    pod(name, &json!({"metadata": {"ownerReferences": [reference]}}))
}

fn budget(spec: &Value, status: &Value) -> Value {
    let mut b = json!({
        "metadata": {"name": "b", "namespace": "d", "uid": "b", "resourceVersion": "7", "generation": 3,
            "labels": {"kept": "yes"}},
        "spec": {"selector": {"matchLabels": {"a": "b"}}},
        "status": status,
    });
    merge(&mut b["spec"], spec);
    b
}

/// A namespace with owners of every kind that is known, and one kind with a scale that is not.
fn caches(budget: &Value, pods: &[Value]) -> Caches {
    let mut c = Caches::default();
    c.kind_mut::<Pod>();
    put::<Budget>(&mut c, budget);
    pods.iter().for_each(|p| put::<Pod>(&mut c, p));
    let of = |name: &str, replicas: i32| json!({"metadata": {"name": name, "namespace": "d", "uid": name}, "spec": {"replicas": replicas}});
    let mut below = of("web-1", 3);
    below["metadata"]["ownerReferences"] = json!([
        {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "web", "controller": true}]);
    put::<Deployment>(&mut c, &of("web", 10));
    put::<ReplicaSet>(&mut c, &below);
    put::<ReplicaSet>(&mut c, &of("rs", 4));
    put::<ReplicationController>(&mut c, &of("rc", 5));
    put::<StatefulSet>(&mut c, &of("ss", 6));
    let info =
        |gvr: Gvr, kind: &str| ResourceInfo { gvr, kind: kind.into(), namespaced: true, verbs: vec![] };
    let jobs = info(Gvr::new("batch", "v1", "jobs"), "Job");
    let scaled = [("example.com".to_owned(), "widgets".to_owned())];
    c.discovery = Discovery::new(vec![jobs, info(WIDGETS, "Widget")], vec![], vec![]).with_scales(scaled);
    c
}

fn decide(caches: &Caches, answers: &Answers, now: &str) -> Plan {
    let state = Disruption.observe(&Key::new("d", "b"), caches, answers).unwrap();
    Disruption.reconcile(&state, &mut Told::default(), now.parse().unwrap())
}

/// The object that a plan writes.
fn written(plan: &Plan) -> Option<Value> {
    let mut all = plan.actions();
    let first = all.next()?;
    assert!(all.next().is_none(), "{plan:?}");
    match &first.op {
        Op::Update { gvr, sub, body, .. } => {
            assert_eq!((gvr, *sub), (&BUDGETS, "status"));
            serde_json::from_slice(body).ok()
        }
        other => panic!("not a status: {other:?}"),
    }
}

fn reasons(plan: &Plan) -> Vec<&'static str> {
    plan.events.iter().map(|e| e.reason).collect()
}

#[test]
fn numbers() {
    let ready = |n: usize| (0..n).map(|i| pod(&format!("p{i}"), &json!({}))).collect::<Vec<_>>();
    let of = |api: &str, kind: &str, owner: &str, n: usize| {
        (0..n).map(|i| owned(&format!("{owner}-{i}"), api, kind, owner)).collect::<Vec<_>>()
    };
    let mut mixed = of("apps/v1", "ReplicaSet", "rs", 4);
    mixed.extend(of("v1", "ReplicationController", "rc", 5));
    let going = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:09:00Z"}});
    let unready = json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}});
    let three = vec![pod("x", &json!({})), pod("y", &going), pod("z", &unready)];
    // The specification, the pods, then expected, desired healthy, healthy, allowed.
    let cases = [
        (json!({"minAvailable": 2}), ready(3), [3, 2, 3, 1]),
        (json!({"minAvailable": 2}), ready(2), [2, 2, 2, 0]),
        (json!({"minAvailable": 0}), vec![], [0, 0, 0, 0]),
        (json!({"minAvailable": 1}), three, [3, 1, 1, 0]),
        (json!({}), ready(2), [0, 0, 2, 0]),
        (json!({"minAvailable": "28%"}), of("apps/v1", "ReplicaSet", "web-1", 4), [10, 3, 4, 1]),
        (json!({"maxUnavailable": 1}), of("apps/v1", "ReplicaSet", "rs", 4), [4, 3, 4, 1]),
        (json!({"maxUnavailable": 9}), of("apps/v1", "ReplicaSet", "rs", 4), [4, 0, 4, 4]),
        (json!({"maxUnavailable": "30%"}), of("v1", "ReplicationController", "rc", 5), [5, 3, 5, 2]),
        (json!({"maxUnavailable": "10%"}), of("apps/v1", "StatefulSet", "ss", 6), [6, 5, 6, 1]),
        (json!({"maxUnavailable": 2}), mixed, [9, 7, 9, 2]),
        // Pods that nobody manages are healthy, but not expected.
        (json!({"maxUnavailable": 1}), ready(2), [0, 0, 2, 0]),
        (json!({"minAvailable": 1, "selector": null}), ready(3), [0, 1, 0, 0]),
        (json!({"minAvailable": 1, "selector": {"matchLabels": null}}), ready(3), [3, 1, 3, 2]),
    ];
    for (spec, pods, [expected, desired, healthy, allowed]) in cases {
        let plan = decide(&caches(&budget(&spec, &json!({})), &pods), &Answers::default(), NOW);
        let object = written(&plan).unwrap();
        let (word, reason) =
            if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
        let want = json!({
            "observedGeneration": 3, "expectedPods": expected, "desiredHealthy": desired,
            "currentHealthy": healthy, "disruptionsAllowed": allowed,
            "conditions": [{"type": "DisruptionAllowed", "status": word, "reason": reason, "message": "",
                "observedGeneration": 3, "lastTransitionTime": NOW}],
        });
        assert_eq!(object["status"], want, "{spec}");
        assert_eq!(object["metadata"]["labels"], json!({"kept": "yes"}), "{spec}");
        assert_eq!(object["metadata"]["resourceVersion"], "7", "{spec}");
        // What was written needs no other write.
        let again = caches(&budget(&spec, &want), &pods);
        assert!(decide(&again, &Answers::default(), "2026-01-01T00:20:00Z").steps.is_empty(), "{spec}");
        let selected =
            pods.len() * usize::from(!spec["selector"].is_null() || spec.get("selector").is_none());
        let unmanaged = spec["maxUnavailable"].is_number() && expected == 0;
        let told = match (selected, unmanaged) {
            (0, _) => vec!["NoPods"],
            (_, true) => vec!["UnmanagedPods"],
            _ => vec![],
        };
        assert_eq!(reasons(&plan), told, "{spec}");
    }
}

#[test]
fn a_condition_keeps_the_time_of_its_change() {
    let before = |word: &str, reason: &str| {
        json!({"currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0, "disruptionsAllowed": 0,
            "conditions": [
                {"type": "Mine", "status": "True", "reason": "R", "message": "m", "lastTransitionTime": NOW},
                {"type": "DisruptionAllowed", "status": word, "reason": reason, "message": "old",
                    "lastTransitionTime": "2025-01-01T00:00:00Z"}]})
    };
    for (word, reason, since) in
        [("False", "SyncFailed", "2025-01-01T00:00:00Z"), ("True", "SufficientPods", NOW)]
    {
        let b = budget(&json!({"minAvailable": 1}), &before(word, reason));
        let object =
            written(&decide(&caches(&b, &[pod("p", &json!({}))]), &Answers::default(), NOW)).unwrap();
        let list = &object["status"]["conditions"];
        assert_eq!((&list[0]["type"], list.as_array().unwrap().len()), (&json!("Mine"), 2));
        assert_eq!(list[1]["lastTransitionTime"], since, "{word}");
        assert_eq!((&list[1]["reason"], &list[1]["message"]), (&json!("InsufficientPods"), &json!("")));
    }
}

#[test]
fn evicted_pods_count_as_gone_until_they_should_have_been() {
    let status = json!({"disruptedPods": {
        "late": "2026-01-01T00:08:00Z", "soon": "2026-01-01T00:09:30Z", "sooner": "2026-01-01T00:09:00Z",
        "going": "2026-01-01T00:09:30Z", "gone": "2026-01-01T00:09:30Z"}});
    let going = pod("going", &json!({"metadata": {"deletionTimestamp": "2026-01-01T00:09:40Z"}}));
    let mut pods: Vec<Value> = ["late", "soon", "sooner", "other"].map(|n| pod(n, &json!({}))).into();
    pods.push(going);
    let plan =
        decide(&caches(&budget(&json!({"minAvailable": 1}), &status), &pods), &Answers::default(), NOW);
    let object = written(&plan).unwrap();
    assert_eq!(
        object["status"]["disruptedPods"],
        json!({"soon": "2026-01-01T00:09:30Z", "sooner": "2026-01-01T00:09:00Z"})
    );
    assert_eq!(object["status"]["currentHealthy"], 2);
    assert_eq!(plan.requeue_at, Some("2026-01-01T00:11:00Z".parse().unwrap()));
    assert_eq!(reasons(&plan), ["NotDeleted"]);
    assert_eq!(plan.events[0].regarding.name, "late");
    assert!(plan.events[0].message.contains("PDB d/b "), "{}", plan.events[0].message);
    // What the caches may not have seen is not said to be gone.
    let mut c = caches(&budget(&json!({"minAvailable": 1}), &status), &pods);
    put::<Budget>(&mut c, &{
        let mut newer = budget(&json!({"minAvailable": 1}), &status);
        newer["metadata"]["resourceVersion"] = "10".into();
        newer
    });
    let object = written(&decide(&c, &Answers::default(), NOW)).unwrap();
    assert_eq!(object["status"]["disruptedPods"]["gone"], "2026-01-01T00:09:30Z");
    let later = decide(&c, &Answers::default(), "2026-01-01T00:11:30Z");
    assert!(written(&later).unwrap()["status"].get("disruptedPods").is_none(), "{later:?}");
    // A map that is empty goes.
    let mut none = caches(&budget(&json!({"minAvailable": 1}), &status), &[]);
    none.kind_mut::<Pod>().advance(7);
    let object = written(&decide(&none, &Answers::default(), NOW)).unwrap();
    assert!(object["status"].get("disruptedPods").is_none(), "{object}");
}

#[test]
fn owners_of_other_kinds_are_asked_for_their_scale() {
    let pods = [owned("p", "example.com/v1", "Widget", "w"), owned("q", "example.com/v1", "Widget", "w")];
    let c = caches(&budget(&json!({"maxUnavailable": 1}), &json!({})), &pods);
    let plan = decide(&c, &Answers::default(), NOW);
    let asked: Vec<&Op> = plan.actions().map(|a| &a.op).collect();
    let [op @ Op::Get { gvr, name, sub: "scale", .. }] = asked[..] else { panic!("{plan:?}") };
    assert_eq!((gvr, name.as_str(), plan.events.len()), (&WIDGETS, "w", 0));
    let scale = |uid: &str| {
        let text = json!({"metadata": {"name": "w", "uid": uid}, "spec": {"replicas": 3}}).to_string();
        Ok(Answer::Object(Bytes::from(text)))
    };
    let lost = "found no controllers for pod \"p\"";
    // The answer, why it cannot be told, whether it is tried again.
    for (answer, why, again) in [
        (scale("w"), None, false),
        (scale("another"), Some(lost), false),
        (Err(Status::not_found(&WIDGETS, "w")), Some(lost), false),
        (
            Err(Status::forbidden(&WIDGETS, "w", "no")),
            Some("widgets.example.com \"w\" is forbidden: no"),
            true,
        ),
    ] {
        let answers = Answers { reads: vec![(op.clone(), answer.clone())], ..Answers::default() };
        let plan = decide(&c, &answers, NOW);
        let object = written(&plan).unwrap();
        let condition = &object["status"]["conditions"][0];
        match why {
            None => assert_eq!(object["status"]["expectedPods"], 3),
            Some(why) => assert_eq!(
                (&condition["reason"], &condition["message"], reasons(&plan)),
                (&json!("SyncFailed"), &json!(why), vec!["CalculateExpectedPodCountFailed"])
            ),
        }
        assert_eq!(plan.retry, again, "{answer:?}");
    }
}

#[test]
fn what_cannot_be_told_allows_nothing() {
    let status = json!({"observedGeneration": 3, "expectedPods": 4, "desiredHealthy": 1, "currentHealthy": 4,
        "disruptionsAllowed": 3});
    for (owner, why) in [
        (("batch/v1", "Job"), "jobs.batch does not implement the scale subresource"),
        (("other.example/v1", "Thing"), "no matches for kind \"Thing\" in version \"other.example/v1\""),
    ] {
        let pods = [owned("p", owner.0, owner.1, "j")];
        let b = budget(&json!({"maxUnavailable": 1}), &status);
        let object = written(&decide(&caches(&b, &pods), &Answers::default(), NOW)).unwrap();
        let mut want = status.clone();
        want["disruptionsAllowed"] = 0.into();
        want["conditions"] = json!([{"type": "DisruptionAllowed", "status": "False", "reason": "SyncFailed",
            "message": why, "observedGeneration": 3, "lastTransitionTime": NOW}]);
        assert_eq!(object["status"], want);
        let again = budget(&json!({"maxUnavailable": 1}), &want);
        let later = decide(&caches(&again, &pods), &Answers::default(), "2026-01-01T00:20:00Z");
        assert!(later.steps.is_empty(), "{later:?}");
        // A number of pods needs no owner.
        let b = budget(&json!({"minAvailable": 1}), &status);
        let plan = decide(&caches(&b, &pods), &Answers::default(), NOW);
        assert_eq!(written(&plan).unwrap()["status"]["expectedPods"], 1);
    }
}

#[test]
fn a_pod_with_several_budgets_is_told_of_once() {
    let mut c = caches(&budget(&json!({"minAvailable": 1}), &json!({})), &[pod("p", &json!({}))]);
    let mut other = budget(&json!({"minAvailable": 1}), &json!({}));
    other["metadata"]["name"] = "c".into();
    put::<Budget>(&mut c, &other);
    let mut told = Told::default();
    let decide = |name: &str, told: &mut Told| {
        let state = Disruption.observe(&Key::new("d", name), &c, &Answers::default()).unwrap();
        reasons(&Disruption.reconcile(&state, told, NOW.parse().unwrap()))
    };
    assert_eq!(decide("b", &mut told), ["MultiplePodDisruptionBudgets"]);
    assert!(decide("b", &mut told).is_empty());
    assert!(decide("c", &mut Told::default()).is_empty());
}

#[test]
fn a_target_that_does_not_go_is_one_no_longer() {
    let since = "2026-01-01T00:08:00Z";
    let target = |status: &str, reason: &str| {
        json!({"status": {"conditions": [
            {"type": "DisruptionTarget", "status": status, "reason": reason, "lastTransitionTime": since}]}})
    };
    let mut going = target("True", "EvictionByEvictionAPI");
    going["metadata"] = json!({"deletionTimestamp": since});
    let mut failed = target("True", "EvictionByEvictionAPI");
    failed["status"]["phase"] = "Failed".into();
    for (patch, stale) in [
        (target("True", "EvictionByEvictionAPI"), true),
        (target("True", "PreemptionByScheduler"), true),
        (target("True", "TerminationByKubelet"), false),
        (target("False", "EvictionByEvictionAPI"), false),
        (going, false),
        (failed, false),
    ] {
        let c = caches(&budget(&json!({}), &json!({})), &[pod("p", &patch)]);
        let state = Disruption.observe(&Key::new("d", "pod/p"), &c, &Answers::default()).unwrap();
        let plan = |now: &str| Disruption.reconcile(&state, &mut Told::default(), now.parse().unwrap());
        let early = plan("2026-01-01T00:09:59Z");
        assert_eq!(early.requeue_at, stale.then(|| NOW.parse().unwrap()), "{patch}");
        assert!(early.steps.is_empty(), "{patch}");
        let late = plan(NOW);
        let body = late.actions().next().map(|a| match &a.op {
            Op::Patch { sub: "status", body, .. } => serde_json::from_slice::<Value>(body).unwrap(),
            other => panic!("{other:?}"),
        });
        let want = stale.then(|| {
            json!({"metadata": {"uid": "p", "resourceVersion": "9"}, "status": {"conditions": [{
                "type": "DisruptionTarget", "status": "False", "reason": null, "message": null,
                "lastProbeTime": null, "lastTransitionTime": NOW, "observedGeneration": null}]}})
        });
        assert_eq!(body, want, "{patch}");
    }
}

/// Whether a change wakes the budget.
fn wakes<P: Projection>(c: &mut Caches, object: &Value) -> bool {
    let mut engine = Engine::new(Disruption, EngineConfig::default());
    let mut empty = Caches::default();
    engine.interests().decls().iter().for_each(|d| empty.register(*d));
    engine.start(&empty);
    let cache = c.any_mut(TypeId::of::<P>()).unwrap();
    let change = cache.upsert_bytes(object.to_string().as_bytes()).unwrap().unwrap();
    engine.on_change(&change, c);
    engine.next(NOW.parse().unwrap(), c).is_some_and(|w| &*w.key.name == "b")
}

#[test]
fn a_budget_is_woken_by_its_pods_and_by_what_their_owners_want() {
    let spec = json!({"maxUnavailable": 1});
    let mut c = caches(&budget(&spec, &json!({})), &[]);
    let elsewhere = json!({"metadata": {"labels": {"a": "c"}}});
    assert!(wakes::<Pod>(&mut c, &pod("p", &json!({}))));
    assert!(wakes::<Pod>(&mut c, &pod("p", &elsewhere)), "it has lost a pod");
    assert!(!wakes::<Pod>(&mut c, &pod("p", &elsewhere)));
    let set = |replicas: i32, seen: i32| {
        json!({"metadata": {"name": "rs", "namespace": "d", "uid": "rs"}, "spec": {"replicas": replicas},
            "status": {"replicas": seen}})
    };
    assert!(!wakes::<ReplicaSet>(&mut c, &set(4, 4)));
    assert!(wakes::<ReplicaSet>(&mut c, &set(7, 4)));
    put::<Budget>(&mut c, &budget(&json!({"maxUnavailable": null, "minAvailable": 1}), &json!({})));
    assert!(!wakes::<ReplicaSet>(&mut c, &set(9, 4)), "it asks no owner");
}
