//! A set and what it has as a server keeps them; decisions are carried out on them.

use std::collections::BTreeMap;

use super::*;
use meta::{Gvr, Status};
use reconcile::{Action, Answer, Projection, Step};
use serde_json::{Value, json};

use crate::testing::merge;

mod claims;
mod history;
mod order;
mod update;

fn at(seconds: i64) -> Timestamp {
    let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    Timestamp::from_second(start.as_second() + seconds).unwrap()
}

#[derive(Clone)]
struct World {
    set: Value,
    /// By resource and name.
    objects: BTreeMap<(String, String), Value>,
    answers: Answers,
    events: Vec<String>,
    now: i64,
    revision: u64,
    /// Creates of these names are refused.
    refused: Vec<String>,
    /// Whether the last plan was to be tried again.
    retry: bool,
}

impl World {
    fn new(spec: &Value) -> Self {
        let set = json!({
            "metadata": {"name": "web", "namespace": "d", "uid": "set", "generation": 1, "resourceVersion": "1",
                "annotations": {"note": "n"}},
            "spec": {"replicas": 3, "selector": {"matchLabels": {"a": "b"}}, "serviceName": "svc",
                "podManagementPolicy": "OrderedReady", "revisionHistoryLimit": 10,
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0, "maxUnavailable": 1}},
                "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
                "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}],
                    "volumes": [{"name": "tmp", "emptyDir": {}}]}}},
            "status": {"replicas": 0},
        });
        let mut w = World {
            set,
            objects: BTreeMap::new(),
            answers: Answers::default(),
            events: vec![],
            now: 0,
            revision: 1,
            refused: vec![],
            retry: false,
        };
        w.spec(spec);
        w
    }

    /// With a claim of each pod.
    fn with_claims(spec: &Value) -> Self {
        let mut w = World::new(spec);
        w.spec(&json!({"volumeClaimTemplates": [{"metadata": {"name": "www", "labels": {"x": "y"}},
            "spec": {"accessModes": ["ReadWriteOnce"]}, "status": {"phase": "Pending"}}]}));
        w
    }

    fn spec(&mut self, spec: &Value) {
        merge(&mut self.set["spec"], spec);
        let generation = self.set["metadata"]["generation"].as_i64().unwrap() + 1;
        self.set["metadata"]["generation"] = generation.into();
        self.touch_set();
    }

    fn image(&mut self, image: &str) {
        self.spec(&json!({"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}));
    }

    fn touch_set(&mut self) {
        self.revision += 1;
        self.set["metadata"]["resourceVersion"] = self.revision.to_string().into();
    }

    fn caches(&self) -> Caches {
        fn read<P: Projection>(v: &Value) -> P {
            let mut p: P = meta::json::read(v.to_string().as_bytes()).unwrap();
            p.compact();
            p
        }
        let mut caches = Caches::default();
        caches.kind_mut::<StatefulSet>().upsert(read(&self.set));
        caches.kind_mut::<Pod>();
        caches.kind_mut::<Claim>();
        caches.kind_mut::<Revision>();
        for ((resource, _), v) in &self.objects {
            match &**resource {
                "pods" => drop(caches.kind_mut::<Pod>().upsert(read(v))),
                "persistentvolumeclaims" => drop(caches.kind_mut::<Claim>().upsert(read(v))),
                _ => drop(caches.kind_mut::<Revision>().upsert(read(v))),
            }
        }
        caches
    }

    fn plan(&self) -> Plan {
        let state = StatefulSets.observe(&Key::new("d", "web"), &self.caches(), &self.answers).unwrap();
        StatefulSets.reconcile(&state, &mut (), at(self.now))
    }

    /// Decides once and does it. Whether something was done.
    fn turn(&mut self) -> bool {
        let plan = self.plan();
        self.retry = plan.retry;
        self.events.extend(plan.events.iter().map(|e| format!("{} {}", e.reason, e.message)));
        let idle = plan.steps.is_empty();
        self.carry_out(plan.steps);
        !idle
    }

    /// Decides and does until there is nothing more to do now or something failed.
    fn settle(&mut self) {
        for _ in 0..100 {
            if !self.turn() || !self.answers.failures.is_empty() {
                return;
            }
        }
        panic!("does not come to rest: {:?}", self.plan());
    }

    fn carry_out(&mut self, steps: Vec<Step>) {
        self.answers = Answers::default();
        for step in steps {
            for action in step.actions {
                if self.answers.failures.is_empty() || step.always {
                    self.act(action);
                }
            }
        }
    }

    fn act(&mut self, action: Action) {
        let (told, error) = match self.apply(&action.op) {
            Ok(()) => (action.on_ok, String::new()),
            Err(status) => {
                let message = status.message.clone();
                self.answers.failures.push(Failure { op: action.op, status });
                (action.on_err, message)
            }
        };
        self.events.extend(told.map(|e| format!("{} {}", e.reason, e.message.replace("{error}", &error))));
    }

    fn apply(&mut self, op: &Op) -> Result<(), Status> {
        self.revision += 1;
        let place = (op.gvr().resource.to_string(), op.target().1.to_owned());
        match op {
            Op::Create { gvr, name, body, .. } => return self.create(gvr, name, body),
            Op::Get { .. } => {
                let answer = Answer::Object(self.set.to_string().into_bytes().into());
                self.answers.reads.push((op.clone(), Ok(answer)));
            }
            Op::Patch { gvr, body, .. } => {
                let mut body: Value = serde_json::from_slice(body).unwrap();
                let is_set = *gvr == STATEFULSETS;
                let object = if is_set { &mut self.set } else { self.objects.get_mut(&place).unwrap() };
                let wanted = body["metadata"].as_object_mut().and_then(|m| m.remove("resourceVersion"));
                if wanted.is_some_and(|v| v != object["metadata"]["resourceVersion"]) {
                    return Err(Status::conflict(gvr, &place.1, "changed"));
                }
                if body["metadata"]["ownerReferences"][0]["$patch"] == "delete" {
                    body["metadata"]["ownerReferences"] = json!([]);
                }
                merge(object, &body);
                object["metadata"]["resourceVersion"] = self.revision.to_string().into();
            }
            Op::Delete { uid, .. } => {
                let object = self.objects.get_mut(&place).unwrap();
                assert_eq!(uid.as_deref(), object["metadata"]["uid"].as_str(), "exactly this one");
                if place.0 == "pods" {
                    object["metadata"]["deletionTimestamp"] = at(self.now).to_string().into();
                } else {
                    self.objects.remove(&place);
                }
            }
            other => panic!("{other:?}"),
        }
        Ok(())
    }

    fn create(&mut self, gvr: &Gvr, name: &str, body: &[u8]) -> Result<(), Status> {
        if self.refused.iter().any(|r| r == name) {
            return Err(Status::forbidden(gvr, name, "exceeded quota"));
        }
        let place = (gvr.resource.to_string(), name.to_owned());
        if self.objects.contains_key(&place) {
            return Err(Status::already_exists(gvr, name));
        }
        let mut object: Value = serde_json::from_slice(body).unwrap();
        assert_eq!(object["metadata"]["name"], name);
        object["metadata"]["uid"] = format!("u{}", self.revision).into();
        object["metadata"]["resourceVersion"] = self.revision.to_string().into();
        object["metadata"]["creationTimestamp"] = at(self.now).to_string().into();
        if place.0 == "pods" {
            object["status"] = json!({"phase": "Pending"});
        }
        self.objects.insert(place, object);
        Ok(())
    }

    fn put(&mut self, gvr: &Gvr, object: &Value) {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        self.objects.insert((gvr.resource.to_string(), name), object.clone());
    }

    fn object(&self, gvr: &Gvr, name: &str) -> &Value {
        &self.objects[&(gvr.resource.to_string(), name.to_owned())]
    }

    fn change(&mut self, gvr: &Gvr, name: &str, change: &Value) {
        self.revision += 1;
        let object = self.objects.get_mut(&(gvr.resource.to_string(), name.to_owned())).unwrap();
        merge(object, change);
        object["metadata"]["resourceVersion"] = self.revision.to_string().into();
    }

    fn names(&self, gvr: &Gvr) -> Vec<&str> {
        self.objects.keys().filter(|(r, _)| *r == *gvr.resource).map(|(_, n)| &**n).collect()
    }

    /// Its pods; those that are on their way out with a minus.
    fn pods(&self) -> Vec<String> {
        let all = self.objects.iter().filter(|((r, _), _)| r == "pods");
        all.map(|((_, n), p)| {
            let going = !p["metadata"]["deletionTimestamp"].is_null();
            format!("{}{n}", if going { "-" } else { "" })
        })
        .collect()
    }

    /// A node runs the pod.
    fn run(&mut self, name: &str) {
        let ready =
            json!({"type": "Ready", "status": "True", "lastTransitionTime": at(self.now).to_string()});
        self.change(&PODS, name, &json!({"status": {"phase": "Running", "conditions": [ready]}}));
    }

    /// A node has ended the pod.
    fn stop(&mut self, name: &str) {
        let pod = self.objects.remove(&("pods".to_owned(), name.to_owned())).unwrap();
        assert!(!pod["metadata"]["deletionTimestamp"].is_null(), "{name} is not on its way out");
    }

    /// Lets nodes do what there is to do until all is as wanted.
    fn finish(&mut self) {
        for _ in 0..100 {
            self.settle();
            let before = self.revision;
            for name in self.pods() {
                match name.strip_prefix('-') {
                    Some(name) => {
                        self.stop(name);
                        self.revision += 1;
                    }
                    None if self.object(&PODS, &name)["status"]["phase"] == "Pending" => self.run(&name),
                    None => {}
                }
            }
            if self.revision == before {
                return;
            }
        }
        panic!("never ends: {:?}", self.pods());
    }

    fn status(&self, field: &str) -> i64 {
        self.set["status"][field].as_i64().unwrap_or(0)
    }

    fn revision_of(&self, pod: &str) -> &str {
        self.object(&PODS, pod)["metadata"]["labels"]["controller-revision-hash"].as_str().unwrap()
    }
}
