use std::collections::BTreeMap;

use super::*;
use crate::shared::revision::REVISION_HASH;
use meta::Status;
use reconcile::{Answer, Failure, Op};
use serde_json::{Value, json};

use crate::testing::merge;

const START: &str = "2026-01-01T00:00:00Z";

/// A daemon set, its nodes, pods and revisions as a server has them; plans are carried out on it.
struct World {
    objects: BTreeMap<(String, String), Value>,
    answers: Answers,
    memory: Memory,
    events: Vec<&'static str>,
    now: i64,
    uids: u32,
    /// Creates of pods are refused from the time that so many were made.
    quota: usize,
    /// The largest numbers of pods of one decision.
    creates_max: usize,
}

impl World {
    fn new(nodes: &[&str], spec: &Value) -> Self {
        let ds = json!({
            "metadata": {"name": "web", "namespace": "d", "uid": "ds", "generation": 1,
                "annotations": {"deprecated.daemonset.template.generation": "1"}},
            "spec": {"selector": {"matchLabels": {"a": "b"}}, "revisionHistoryLimit": 10,
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}},
                "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "1"}]}}},
        });
        let mut w = World {
            objects: BTreeMap::new(),
            answers: Answers::default(),
            memory: Memory::default(),
            events: vec![],
            now: 0,
            uids: 0,
            quota: usize::MAX,
            creates_max: 0,
        };
        w.put("daemonsets", &ds);
        merge(&mut w.ds()["spec"], spec);
        nodes.iter().for_each(|n| w.node(n, &json!({})));
        w
    }

    fn at(&self) -> Timestamp {
        Timestamp::from_second(START.parse::<Timestamp>().unwrap().as_second() + self.now).unwrap()
    }

    fn put(&mut self, resource: &str, object: &Value) {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        self.objects.insert((resource.to_owned(), name), object.clone());
    }

    fn get(&mut self, resource: &str, name: &str) -> &mut Value {
        self.objects.get_mut(&(resource.to_owned(), name.to_owned())).unwrap()
    }

    fn ds(&mut self) -> &mut Value {
        self.get("daemonsets", "web")
    }

    fn all(&self, resource: &str) -> Vec<&Value> {
        self.objects.iter().filter(|((r, _), _)| r == resource).map(|(_, v)| v).collect()
    }

    fn node(&mut self, name: &str, more: &Value) {
        let mut node = json!({"metadata": {"name": name, "uid": name, "labels": {}}, "spec": {}});
        merge(&mut node, more);
        self.put("nodes", &node);
    }

    /// Another template.
    fn image(&mut self, image: &str) {
        let ds = self.ds();
        ds["spec"]["template"]["spec"]["containers"][0]["image"] = image.into();
        let next = ds["metadata"]["generation"].as_i64().unwrap() + 1;
        ds["metadata"]["generation"] = next.into();
        ds["metadata"]["annotations"]["deprecated.daemonset.template.generation"] = next.to_string().into();
    }

    fn caches(&self) -> Caches {
        let mut caches = Caches::default();
        fill::<DaemonSet>(&mut caches, &self.all("daemonsets"));
        fill::<Node>(&mut caches, &self.all("nodes"));
        fill::<Pod>(&mut caches, &self.all("pods"));
        fill::<Revision>(&mut caches, &self.all("controllerrevisions"));
        caches
    }

    fn plan(&mut self) -> Plan {
        let state = DaemonSets.observe(&Key::new("d", "web"), &self.caches(), &self.answers).unwrap();
        let now = self.at();
        DaemonSets.reconcile(&state, &mut self.memory, now)
    }

    /// One decision, carried out; whether there was anything to do.
    fn step(&mut self) -> bool {
        let plan = self.plan();
        self.events.extend(plan.events.iter().map(|e| e.reason));
        self.answers = Answers::default();
        let busy = !plan.steps.is_empty();
        let creates = plan.actions().filter(|a| matches!(&a.op, Op::Create { gvr, .. } if *gvr == PODS));
        self.creates_max = self.creates_max.max(creates.count());
        for step in plan.steps {
            if !self.answers.failures.is_empty() && !step.always {
                continue;
            }
            for action in step.actions {
                let before = self.answers.failures.len();
                self.apply(&action.op);
                let done = self.answers.failures.len() == before;
                let event = if done { action.on_ok } else { action.on_err };
                self.events.extend(event.map(|e| e.reason));
                if !done && step.slow_start {
                    break;
                }
            }
        }
        busy
    }

    /// Decides and does until there is nothing more to do now.
    fn settle(&mut self) {
        for _ in 0..100 {
            if !self.step() {
                return;
            }
        }
        panic!("does not come to rest: {:?}", self.objects);
    }

    fn apply(&mut self, op: &Op) {
        let (resource, name) = (op.gvr().resource.to_string(), op.target().1.to_owned());
        let key = (resource.clone(), name.clone());
        match op {
            Op::Create { gvr, body, .. } => {
                let mut object: Value = serde_json::from_slice(body).unwrap();
                let refused = if self.objects.contains_key(&key) {
                    Some(Status::already_exists(gvr, &name))
                } else if *gvr == PODS && self.all("pods").len() >= self.quota {
                    Some(Status::forbidden(gvr, &name, "exceeded quota"))
                } else {
                    None
                };
                if let Some(status) = refused {
                    self.answers.failures.push(Failure { op: op.clone(), status });
                    return;
                }
                self.uids += 1;
                object["metadata"]["uid"] = format!("u{}", self.uids).into();
                object["metadata"]["creationTimestamp"] = self.at().to_string().into();
                self.objects.insert(key, object);
            }
            Op::Patch { body, .. } => {
                let body: Value = serde_json::from_slice(body).unwrap();
                let object = self.get(&resource, &name);
                let mut patch = body;
                patch["metadata"].as_object_mut().unwrap().remove("resourceVersion");
                if patch.pointer("/metadata/ownerReferences/0/$patch").is_some() {
                    patch["metadata"]["ownerReferences"] = Value::Null;
                }
                merge(object, &patch);
            }
            Op::Delete { .. } => {
                self.objects.remove(&key);
            }
            Op::Get { .. } => {
                let bytes = self.get(&resource, &name).to_string().into_bytes();
                self.answers.reads.push((op.clone(), Ok(Answer::Object(bytes.into()))));
            }
            other => panic!("{other:?}"),
        }
    }

    /// Pods get onto their nodes and run; all become ready, or those of these nodes.
    fn run(&mut self, nodes: Option<&[&str]>) {
        let now = self.at().to_string();
        for ((r, _), p) in &mut self.objects {
            let node = p.pointer(PINNED).and_then(Value::as_str).unwrap_or_default().to_owned();
            if r != "pods" || nodes.is_some_and(|n| !n.contains(&node.as_str())) || p.get("status").is_some()
            {
                continue;
            }
            p["spec"]["nodeName"] = node.into();
            p["status"] = json!({"phase": "Running", "conditions": [
                {"type": "Ready", "status": "True", "lastTransitionTime": now}]});
        }
    }

    /// `node image` of each pod, sorted.
    fn pods(&self) -> Vec<String> {
        let text = |p: &Value, at: &str| p.pointer(at).and_then(Value::as_str).unwrap_or("?").to_owned();
        let one = |p: &&Value| format!("{} {}", text(p, PINNED), text(p, "/spec/containers/0/image"));
        let mut pods: Vec<String> = self.all("pods").iter().map(one).collect();
        pods.sort();
        pods
    }

    fn status(&self, field: &str) -> i64 {
        let ds = self.all("daemonsets")[0];
        ds.pointer(&format!("/status/{field}")).and_then(Value::as_i64).unwrap_or(0)
    }
}

fn fill<P: reconcile::Projection>(caches: &mut Caches, objects: &[&Value]) {
    let cache = caches.kind_mut::<P>();
    for o in objects {
        cache.upsert(meta::json::read(o.to_string().as_bytes()).unwrap());
    }
}

const PINNED: &str = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms/0/matchFields/0/values/0";

#[test]
fn every_node_gets_one_pod() {
    let mut w = World::new(&["n1", "n2"], &json!({}));
    w.settle();
    assert_eq!(w.pods(), ["n1 1", "n2 1"]);
    w.run(None);
    w.settle();
    let fields = [
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "numberReady",
        "numberAvailable",
        "updatedNumberScheduled",
    ];
    assert_eq!(fields.map(|f| w.status(f)), [2; 5]);
    assert_eq!([w.status("observedGeneration"), w.status("numberUnavailable")], [1, 0]);
    let pod = w.all("pods")[0];
    let revision = w.all("controllerrevisions")[0];
    assert_eq!(pod["metadata"]["labels"][REVISION_HASH], revision["metadata"]["labels"][REVISION_HASH]);
    assert_eq!(pod["metadata"]["labels"][POD_GENERATION], "1");
    assert_eq!(pod["metadata"]["ownerReferences"][0]["kind"], "DaemonSet");
    assert_eq!(pod["spec"]["tolerations"].as_array().unwrap().len(), 6);
    assert_eq!(
        (&revision["revision"], &revision["data"]["spec"]["template"]["$patch"]),
        (&json!(1), &json!("replace"))
    );
    assert_eq!(w.events, ["SuccessfulCreate", "SuccessfulCreate"]);
    w.node("n3", &json!({}));
    w.settle();
    assert_eq!(w.pods(), ["n1 1", "n2 1", "n3 1"]);
}

/// What a template and a node say, and whether a pod is made there and may stay.
#[test]
fn pods_belong_where_template_and_node_agree() {
    let taint = |key: &str, effect: &str| json!({"spec": {"taints": [{"key": key, "effect": effect}]}});
    let affinity = |operator: &str, values: Value| {
        json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
            {"nodeSelectorTerms": [{"matchExpressions": [{"key": "k", "operator": operator, "values": values}]}]}}}})
    };
    let labelled = json!({"metadata": {"labels": {"k": "5"}}});
    let plain = json!({});
    let network = taint("node.kubernetes.io/network-unavailable", "NoSchedule");
    let bears = json!({"tolerations": [{"key": "x", "operator": "Exists", "effect": "NoSchedule"}]});
    for (spec, node, run, stay) in [
        (plain.clone(), plain.clone(), true, true),
        (json!({"nodeName": "n"}), plain.clone(), true, true),
        (json!({"nodeName": "m"}), plain.clone(), false, false),
        (json!({"nodeSelector": {"k": "5"}}), labelled.clone(), true, true),
        (json!({"nodeSelector": {"k": "5"}}), plain.clone(), false, false),
        (affinity("In", json!(["5"])), labelled.clone(), true, true),
        (affinity("Gt", json!(["5"])), labelled.clone(), false, false),
        (affinity("Gt", json!(["4"])), labelled, true, true),
        (affinity("DoesNotExist", json!([])), plain.clone(), true, true),
        (plain.clone(), taint("x", "NoSchedule"), false, true),
        (bears, taint("x", "NoSchedule"), true, true),
        (plain.clone(), taint("x", "NoExecute"), false, false),
        (plain.clone(), taint("x", "PreferNoSchedule"), true, true),
        (plain.clone(), taint("node.kubernetes.io/unschedulable", "NoSchedule"), true, true),
        (plain.clone(), taint("node.kubernetes.io/unreachable", "NoExecute"), true, true),
        (plain.clone(), taint("node.kubernetes.io/not-ready", "NoSchedule"), false, true),
        (plain, network.clone(), false, true),
        (json!({"hostNetwork": true}), network, true, true),
    ] {
        let mut w = World::new(&[], &json!({"template": {"spec": spec}}));
        w.node("n", &node);
        let caches = w.caches();
        let (ds, n) = (caches.kind::<DaemonSet>().iter().next(), caches.kind::<Node>().iter().next());
        assert_eq!(ds.unwrap().placement.fit(n.unwrap()), Fit { run, stay }, "{spec} {node}");
    }
}

#[test]
fn a_toleration_with_an_end_loses_it() {
    let own = json!([{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute",
        "tolerationSeconds": 5}]);
    let mut w = World::new(&["n"], &json!({"template": {"spec": {"tolerations": own}}}));
    w.settle();
    let tolerations = w.all("pods")[0]["spec"]["tolerations"].as_array().unwrap().clone();
    assert_eq!(tolerations.len(), 6);
    assert!(tolerations[0].get("tolerationSeconds").is_none());
}

#[test]
fn pods_leave_nodes_that_do_not_fit_any_more() {
    let mut w = World::new(&["n1", "n2"], &json!({}));
    w.settle();
    w.run(None);
    // One that may stay is counted, the other goes.
    w.node("n1", &json!({"spec": {"taints": [{"key": "x", "effect": "NoSchedule"}]}}));
    w.node("n2", &json!({"spec": {"taints": [{"key": "x", "effect": "NoExecute"}]}}));
    w.settle();
    assert_eq!(w.pods(), ["n1 1"]);
    assert_eq!([w.status("desiredNumberScheduled"), w.status("numberMisscheduled")], [0, 1]);
    // A pod that waits for a node that is gone is deleted; one that runs there is another controller's.
    let mut w = World::new(&["n1", "n2"], &json!({}));
    w.settle();
    w.run(Some(&["n1"]));
    w.objects.retain(|(r, _), _| r != "nodes");
    w.settle();
    assert_eq!(w.pods(), ["n1 1"]);
}

#[test]
fn an_update_goes_node_by_node() {
    let mut w = World::new(&["n1", "n2", "n3"], &json!({}));
    w.settle();
    w.run(None);
    w.settle();
    w.image("2");
    for done in ["n1 2,n2 1,n3 1", "n1 2,n2 2,n3 1", "n1 2,n2 2,n3 2"] {
        w.settle();
        assert_eq!(w.pods().join(","), done);
        assert_eq!(w.status("numberUnavailable"), 1);
        w.run(None);
    }
    w.settle();
    assert_eq!([w.status("updatedNumberScheduled"), w.status("numberUnavailable")], [3, 0]);
    let mut numbers: Vec<i64> =
        w.all("controllerrevisions").iter().map(|r| r["revision"].as_i64().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2]);
}

#[test]
fn unavailable_old_pods_are_replaced_at_once() {
    let mut w = World::new(&["n1", "n2", "n3"], &json!({}));
    w.settle();
    w.run(Some(&["n3"]));
    w.image("2");
    w.settle();
    assert_eq!(w.pods(), ["n1 2", "n2 2", "n3 1"], "the limit is used up by those that do not serve");
}

#[test]
fn with_on_delete_only_deleted_pods_change() {
    let mut w =
        World::new(&["n1", "n2"], &json!({"updateStrategy": {"type": "OnDelete", "rollingUpdate": null}}));
    w.settle();
    w.run(None);
    w.image("2");
    w.settle();
    assert_eq!(w.pods(), ["n1 1", "n2 1"]);
    assert_eq!(w.status("updatedNumberScheduled"), 0);
    w.objects.retain(|(r, _), p| r != "pods" || p.pointer(PINNED) != Some(&json!("n1")));
    w.settle();
    assert_eq!(w.pods(), ["n1 2", "n2 1"]);
}

#[test]
fn with_surge_a_node_never_lacks_a_pod() {
    let strategy = json!({"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}});
    let mut w = World::new(&["n1", "n2"], &json!({"updateStrategy": strategy}));
    w.settle();
    w.run(None);
    w.settle();
    w.image("2");
    for done in ["n1 1,n1 2,n2 1", "n1 2,n2 1,n2 2", "n1 2,n2 2"] {
        w.settle();
        assert_eq!(w.pods().join(","), done);
        assert_eq!(w.status("numberUnavailable"), 0);
        w.run(None);
    }
    // An old pod that stops serving gives way to the new one, ready or not.
    w.image("3");
    w.settle();
    assert_eq!(w.pods(), ["n1 2", "n1 3", "n2 2"]);
    let old = w.objects.values_mut().find(|p| p.pointer("/spec/nodeName") == Some(&json!("n1"))).unwrap();
    old["status"]["conditions"] = json!([]);
    w.settle();
    assert_eq!(w.pods(), ["n1 3", "n2 2", "n2 3"], "which makes room for the next");
}

#[test]
fn failed_pods_go_with_growing_waits() {
    let mut w = World::new(&["n1"], &json!({}));
    w.settle();
    let mut replaced_at = vec![];
    for _ in 0..20 {
        let failed = |w: &World| w.all("pods").iter().any(|p| p["status"]["phase"] == "Failed");
        if !failed(&w) {
            replaced_at.push(w.now);
            let name = w.all("pods")[0]["metadata"]["name"].as_str().unwrap().to_owned();
            w.get("pods", &name)["status"] = json!({"phase": "Failed"});
        }
        w.settle();
        if failed(&w) {
            let again = w.plan().requeue_at.unwrap();
            assert!(again > w.at(), "waits");
            w.now = again.as_second() - START.parse::<Timestamp>().unwrap().as_second();
        }
        if replaced_at.len() == 5 {
            break;
        }
    }
    assert_eq!(replaced_at, [0, 0, 1, 3, 7]);
    assert!(w.events.contains(&"FailedDaemonPod"));
    // Another generation starts afresh.
    w.image("2");
    w.settle();
    assert_eq!(w.pods(), ["n1 2"]);
}

#[test]
fn succeeded_and_double_pods_go() {
    let mut w = World::new(&["n1"], &json!({}));
    w.settle();
    w.run(None);
    let mut double = w.all("pods")[0].clone();
    merge(
        &mut double,
        &json!({"metadata": {"name": "web-0", "uid": "younger",
        "creationTimestamp": "2026-01-01T00:01:00Z"}}),
    );
    w.put("pods", &double);
    w.settle();
    assert_eq!((w.pods().len(), w.objects.contains_key(&("pods".into(), "web-0".into()))), (1, false));
    let name = w.all("pods")[0]["metadata"]["name"].as_str().unwrap().to_owned();
    w.get("pods", &name)["status"]["phase"] = "Succeeded".into();
    w.settle();
    assert!(w.events.contains(&"SucceededDaemonPod"));
    assert!(w.all("pods").len() == 1 && !w.objects.contains_key(&("pods".into(), name)));
}

#[test]
fn a_rollback_takes_the_old_revision_again() {
    let mut w = World::new(&["n1"], &json!({}));
    for image in ["1", "2", "1"] {
        w.image(image);
        w.settle();
        w.run(None);
        w.settle();
    }
    let image = "/data/spec/template/spec/containers/0/image";
    let mut revisions: Vec<(i64, String)> = w
        .all("controllerrevisions")
        .iter()
        .map(|r| (r["revision"].as_i64().unwrap(), r.pointer(image).unwrap().as_str().unwrap().to_owned()))
        .collect();
    revisions.sort();
    assert_eq!(revisions, [(2, "2".to_owned()), (3, "1".to_owned())]);
    assert_eq!(w.pods(), ["n1 1"]);
}

#[test]
fn history_is_limited_and_what_pods_are_of_stays() {
    let mut w = World::new(&["n1"], &json!({"revisionHistoryLimit": 1}));
    w.settle();
    w.run(None);
    for image in ["2", "3", "4"] {
        w.image(image);
        w.settle();
        w.run(None);
        w.settle();
    }
    let numbers: Vec<i64> =
        w.all("controllerrevisions").iter().map(|r| r["revision"].as_i64().unwrap()).collect();
    assert_eq!(numbers.iter().copied().max(), Some(4));
    assert_eq!(numbers.len(), 2);
    // Without a rollout the pods hold on to their revision.
    let mut w =
        World::new(&["n1"], &json!({"revisionHistoryLimit": 0, "updateStrategy": {"type": "OnDelete"}}));
    w.settle();
    w.image("2");
    w.settle();
    assert_eq!(w.all("controllerrevisions").len(), 2);
}

#[test]
fn another_template_of_the_same_hash_is_set_apart() {
    let mut w = World::new(&["n1"], &json!({}));
    w.settle();
    let name = w.all("controllerrevisions")[0]["metadata"]["name"].as_str().unwrap().to_owned();
    w.get("controllerrevisions", &name)["data"]["spec"]["template"]["spec"]["containers"][0]["image"] =
        "x".into();
    w.settle();
    assert_eq!((w.status("collisionCount"), w.all("controllerrevisions").len()), (1, 2));
}

#[test]
fn equal_revisions_become_one() {
    let mut w = World::new(&["n1"], &json!({}));
    w.settle();
    w.run(None);
    w.settle();
    let mut other = w.all("controllerrevisions")[0].clone();
    merge(
        &mut other,
        &json!({"metadata": {"name": "web-x", "uid": "x", "labels": {REVISION_HASH: "x"}},
        "revision": 7}),
    );
    w.put("controllerrevisions", &other);
    let uid = w.all("pods")[0]["metadata"]["uid"].clone();
    w.settle();
    assert_eq!(w.all("controllerrevisions")[0]["metadata"]["name"], "web-x");
    assert_eq!(w.all("controllerrevisions").len(), 1);
    let pod = &w.all("pods")[0]["metadata"];
    assert_eq!((&pod["labels"][REVISION_HASH], &pod["uid"]), (&json!("x"), &uid));
}

#[test]
fn orphans_are_adopted_by_an_owner_that_still_lives() {
    let mut w = World::new(&["n1"], &json!({}));
    w.settle();
    for v in w.objects.values_mut() {
        v["metadata"].as_object_mut().unwrap().remove("ownerReferences");
    }
    let first: Vec<Op> = w.plan().actions().map(|a| a.op.clone()).collect();
    assert!(matches!(&first[..], [Op::Get { gvr, .. }] if *gvr == DAEMON_SETS), "{first:?}");
    w.settle();
    assert_eq!((w.pods().len(), w.all("controllerrevisions").len()), (1, 1));
    assert_eq!(w.all("pods")[0]["metadata"]["ownerReferences"][0]["uid"], "ds");
    assert_eq!(w.all("controllerrevisions")[0]["metadata"]["ownerReferences"][0]["uid"], "ds");
    // One that is going does not adopt.
    let name = w.all("pods")[0]["metadata"]["name"].as_str().unwrap().to_owned();
    w.get("pods", &name)["metadata"].as_object_mut().unwrap().remove("ownerReferences");
    w.step();
    let gone = json!({"metadata": {"name": "web", "namespace": "d", "uid": "another"}}).to_string();
    w.answers.reads[0].1 = Ok(Answer::Object(gone.into_bytes().into()));
    let plan = w.plan();
    assert!(plan.retry && plan.steps.is_empty(), "{plan:?}");
}

#[test]
fn pods_of_others_are_left_alone_and_strays_are_released() {
    let mut w = World::new(&["n1"], &json!({}));
    let foreign = json!({"metadata": {"name": "f", "namespace": "d", "uid": "f", "labels": {"a": "b"},
        "ownerReferences": [{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "o", "uid": "o", "controller": true}]},
        "spec": {"nodeName": "n1"}, "status": {"phase": "Running"}});
    w.put("pods", &foreign);
    w.settle();
    assert_eq!(w.all("pods").len(), 2, "another daemon set with the same selector has its own");
    let own =
        w.all("pods").iter().find(|p| p["metadata"]["name"] != "f").unwrap()["metadata"]["name"].clone();
    w.get("pods", own.as_str().unwrap())["metadata"]["labels"]["a"] = "c".into();
    w.settle();
    assert!(w.get("pods", own.as_str().unwrap())["metadata"].get("ownerReferences").is_none());
    assert_eq!(w.all("pods").len(), 3);
}

#[test]
fn a_create_whose_answer_was_lost_meets_itself() {
    let mut w = World::new(&["n1", "n2"], &json!({}));
    // The first decision makes the revision.
    w.step();
    let names = |p: &Plan| -> Vec<String> {
        let creates = p.actions().filter(|a| matches!(a.op, Op::Create { .. }));
        creates.map(|a| a.op.target().1.to_owned()).collect()
    };
    let first = names(&w.plan());
    assert_eq!((first.len(), &first), (2, &names(&w.plan())));
    // Another revision comes meanwhile: still the same names, so there cannot be two pods on a node.
    let mut other = World::new(&["n1", "n2"], &json!({}));
    other.image("2");
    other.step();
    assert_eq!(first, names(&other.plan()));
    // A name that somebody else has is not tried again.
    let taken = w.plan().actions().find(|a| matches!(a.op, Op::Create { .. })).unwrap().op.clone();
    let status = Status::already_exists(&PODS, &first[0]);
    w.answers.failures = vec![Failure { op: taken, status }];
    let next = names(&w.plan());
    assert!(!next.contains(&first[0]) && next.contains(&first[1]), "{next:?}");
}

#[test]
fn a_quota_stops_creating_and_the_status_is_true_all_the_same() {
    let names: Vec<String> = (0..300).map(|i| format!("n{i:03}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut w = World::new(&names, &json!({}));
    w.quota = 3;
    w.step();
    w.step();
    assert_eq!((w.creates_max, w.all("pods").len()), (BURST_REPLICAS, 3));
    assert_eq!([w.status("desiredNumberScheduled"), w.status("currentNumberScheduled")], [300, 0]);
    assert_eq!(w.events.iter().filter(|e| **e == "FailedCreate").count(), 1);
    w.quota = usize::MAX;
    w.settle();
    assert_eq!((w.all("pods").len(), w.status("currentNumberScheduled")), (300, 300));
}

#[test]
fn ready_pods_count_as_available_when_they_were_ready_for_long_enough() {
    let mut w = World::new(&["n1"], &json!({"minReadySeconds": 10}));
    w.settle();
    w.run(None);
    w.settle();
    assert_eq!([w.status("numberReady"), w.status("numberAvailable")], [1, 0]);
    let again = w.plan().requeue_at.unwrap();
    assert_eq!(again.as_second() - w.at().as_second(), 10);
    w.now = 10;
    w.settle();
    assert_eq!(w.status("numberAvailable"), 1);
}

#[test]
fn one_that_is_deleted_or_selects_everything_does_nothing() {
    let mut w = World::new(&["n1"], &json!({"selector": {"matchLabels": null}}));
    w.settle();
    assert_eq!((w.events.as_slice(), w.pods().len()), (&["SelectingAll"][..], 0));
    let mut w = World::new(&["n1"], &json!({}));
    w.ds()["metadata"]["deletionTimestamp"] = START.into();
    w.settle();
    assert!(w.pods().is_empty());
}

/// What happens to a node, and whether the daemon set is looked at again.
#[test]
fn nodes_wake_only_those_that_they_concern() {
    let node = |more: Value| -> std::sync::Arc<Node> {
        let mut v = json!({"metadata": {"name": "n1", "labels": {}}, "spec": {}});
        merge(&mut v, &more);
        std::sync::Arc::new(serde_json::from_value(v).unwrap())
    };
    let tainted = |effect: &str| node(json!({"spec": {"taints": [{"key": "x", "effect": effect}]}}));
    let plain = node(json!({}));
    let labelled = node(json!({"metadata": {"labels": {"x": "y"}}}));
    let heard = node(json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}}));
    let mut w = World::new(&["n1"], &json!({}));
    w.settle();
    w.run(None);
    let with_pod = w.caches();
    w.objects.retain(|(r, _), _| r != "pods");
    let without = w.caches();
    let mut of_another_node = World::new(&["n1"], &json!({"template": {"spec": {"nodeName": "m"}}}));
    of_another_node.settle();
    let elsewhere = of_another_node.caches();
    for (caches, old, new, wakes) in [
        (&with_pod, Some(&plain), Some(&heard), false),
        (&with_pod, Some(&plain), Some(&labelled), false),
        (&with_pod, Some(&plain), Some(&tainted("NoExecute")), true),
        (&with_pod, Some(&plain), Some(&tainted("NoSchedule")), true),
        (&with_pod, Some(&plain), None, true),
        (&without, None, Some(&plain), true),
        (&without, None, Some(&tainted("NoSchedule")), false),
        (&elsewhere, None, Some(&plain), false),
    ] {
        let mut sink = KeySink::default();
        node_changed(&Delta { old: old.cloned(), new: new.cloned() }, caches, &mut sink);
        let woken = format!("{sink:?}").contains("web");
        assert_eq!(woken, wakes, "{old:?} {new:?}");
    }
}
