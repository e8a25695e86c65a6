//! As much of an API server as the controllers can tell: names, UIDs, revisions, preconditions, patches,
//! finalizers, graceful deletion of pods.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;
use meta::{Gvr, Status};
use reconcile::{Answer, Op, PatchKind, time};
use serde_json::{Value, json};

pub type Place = (Gvr, String, String);

#[derive(Clone)]
pub struct Event {
    pub revision: u64,
    pub gvr: Gvr,
    pub deleted: bool,
    pub object: Value,
}

#[derive(Default)]
pub struct Server {
    pub revision: u64,
    pub objects: BTreeMap<Place, Value>,
    pub log: Vec<Event>,
    pub now: Timestamp,
    /// Replaces objects whatever version they were read at: a mistake made on purpose.
    pub careless: bool,
}

fn merge(target: &mut Value, patch: &Value) {
    let Some(p) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (k, v) in p {
        if v.is_null() {
            target.as_object_mut().unwrap().remove(k);
        } else {
            merge(&mut target[k], v);
        }
    }
}

/// Strategic merge for the two lists that controllers patch by key.
fn strategic(target: &mut Value, patch: &Value) {
    let mut rest = patch.clone();
    for (path, key) in [("/metadata/ownerReferences", "uid"), ("/status/conditions", "type")] {
        let Some(Value::Array(items)) = rest.pointer_mut(path).map(Value::take) else { continue };
        let (parent, field) = path.rsplit_once('/').unwrap();
        rest.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(field);
        let parent = target.as_object_mut().unwrap().entry(&parent[1..]).or_insert(json!({}));
        if !parent[field].is_array() {
            parent[field] = json!([]);
        }
        let list = parent[field].as_array_mut().unwrap();
        for item in items {
            let at = list.iter().position(|x| x[key] == item[key]);
            match (at, item["$patch"].as_str()) {
                (Some(i), Some("delete")) => {
                    list.remove(i);
                }
                (None, Some("delete")) => {}
                (Some(i), _) => merge(&mut list[i], &item),
                (None, _) => list.push(item),
            }
        }
    }
    merge(target, &rest);
}

impl Server {
    fn commit(&mut self, place: &Place, mut object: Value) -> Value {
        self.revision += 1;
        object["metadata"]["resourceVersion"] = self.revision.to_string().into();
        let m = &object["metadata"];
        let finalizers = m["finalizers"].as_array().map_or(0, Vec::len);
        let done = !m["deletionTimestamp"].is_null() && finalizers == 0 && m["waits"].is_null();
        let event = |deleted, object: &Value| Event {
            revision: self.revision,
            gvr: place.0.clone(),
            deleted,
            object: object.clone(),
        };
        self.log.push(event(done, &object));
        if done {
            self.objects.remove(place);
        } else {
            self.objects.insert(place.clone(), object.clone());
        }
        object
    }

    pub fn create(&mut self, gvr: &Gvr, namespace: &str, mut object: Value) -> Result<Value, Status> {
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        assert!(!name.is_empty(), "this server makes up no names");
        let place = (gvr.clone(), namespace.to_owned(), name.clone());
        if self.objects.contains_key(&place) {
            return Err(Status::already_exists(gvr, &name));
        }
        let m = &mut object["metadata"];
        m["namespace"] = namespace.into();
        m["uid"] = format!("uid-{}", self.revision + 1).into();
        m["generation"] = 1.into();
        m["creationTimestamp"] = time::rfc3339(self.now).into();
        if gvr.resource == "pods" {
            object["status"] = json!({"phase": "Pending"});
        }
        Ok(self.commit(&place, object))
    }

    fn current(&self, place: &Place) -> Result<Value, Status> {
        self.objects.get(place).cloned().ok_or_else(|| Status::not_found(&place.0, &place.2))
    }

    fn check(place: &Place, have: &Value, wanted: &Value) -> Result<(), Status> {
        for field in ["uid", "resourceVersion"] {
            if !wanted[field].is_null() && wanted[field] != have["metadata"][field] {
                return Err(Status::stale(&place.0, &place.2));
            }
        }
        Ok(())
    }

    pub fn patch(
        &mut self,
        place: &Place,
        sub: &str,
        kind: PatchKind,
        patch: &Value,
    ) -> Result<Value, Status> {
        let old = self.current(place)?;
        Self::check(place, &old, &patch["metadata"])?;
        let mut new = old.clone();
        match kind {
            PatchKind::Strategic => strategic(&mut new, patch),
            _ => merge(&mut new, patch),
        }
        self.write(place, sub, &old, new)
    }

    fn write(&mut self, place: &Place, sub: &str, old: &Value, mut new: Value) -> Result<Value, Status> {
        if sub == "status" {
            let status = new["status"].take();
            new = old.clone();
            new["status"] = status;
        } else if !old["status"].is_null() {
            new["status"] = old["status"].clone();
        }
        for field in
            ["uid", "creationTimestamp", "deletionTimestamp", "waits", "resourceVersion", "generation"]
        {
            new["metadata"][field] = old["metadata"][field].clone();
        }
        if new == *old {
            return Ok(new);
        }
        if new["spec"] != old["spec"] {
            new["metadata"]["generation"] = (old["metadata"]["generation"].as_i64().unwrap_or(0) + 1).into();
        }
        Ok(self.commit(place, new))
    }

    fn delete(
        &mut self,
        place: &Place,
        preconditions: &Value,
        grace: Option<i64>,
        policy: &str,
    ) -> Result<Value, Status> {
        let mut object = self.current(place)?;
        Self::check(place, &object, preconditions)?;
        let m = &mut object["metadata"];
        let again = !m["deletionTimestamp"].is_null();
        let mut finalizers = m["finalizers"].as_array().cloned().unwrap_or_default();
        let add = match policy {
            "Foreground" => Some("foregroundDeletion"),
            "Orphan" => Some("orphan"),
            _ => None,
        };
        if let Some(f) = add
            && !finalizers.contains(&f.into())
        {
            finalizers.push(f.into());
        } else if again && (grace != Some(0) || m["waits"].is_null()) {
            return Ok(object);
        }
        m["finalizers"] = finalizers.into();
        m["deletionTimestamp"] = time::rfc3339(self.now).into();
        // A pod on a node stays until its kubelet has stopped it.
        let on_node =
            place.0.resource == "pods" && object["spec"]["nodeName"].is_string() && grace != Some(0);
        object["metadata"]["waits"] = if on_node { true.into() } else { Value::Null };
        Ok(self.commit(place, object))
    }

    /// The kubelet's last word on a pod.
    pub fn pod_stopped(&mut self, place: &Place) {
        let _ = self.delete(place, &Value::Null, Some(0), "");
    }

    pub fn user_delete(&mut self, gvr: &Gvr, namespace: &str, name: &str, policy: &str) {
        self.delete(&(gvr.clone(), namespace.into(), name.into()), &Value::Null, None, policy).unwrap();
    }

    pub fn place(op: &Op) -> Place {
        let (namespace, name) = op.target();
        (op.gvr().clone(), namespace.to_owned(), name.to_owned())
    }

    pub fn list(&self, gvr: &Gvr, namespace: &str) -> Vec<Value> {
        let all =
            self.objects.iter().filter(|((g, n, _), _)| g == gvr && (namespace.is_empty() || n == namespace));
        all.map(|(_, v)| v.clone()).collect()
    }

    pub fn execute(&mut self, op: &Op) -> Result<Answer, Status> {
        let place = Self::place(op);
        let parse = |b: &[u8]| serde_json::from_slice::<Value>(b).unwrap();
        let object = match op {
            Op::Create { gvr, namespace, body, .. } => self.create(gvr, namespace, parse(body))?,
            Op::Patch { sub, kind, body, .. } => self.patch(&place, sub, *kind, &parse(body))?,
            Op::Update { sub, body, .. } => {
                let (old, new) = (self.current(&place)?, parse(body));
                if !self.careless {
                    Self::check(&place, &old, &new["metadata"])?;
                }
                if *sub == "finalize" {
                    let mut kept = old.clone();
                    kept["spec"] = new["spec"].clone();
                    if kept["spec"]["finalizers"].as_array().is_none_or(Vec::is_empty) {
                        kept["metadata"]["finalizers"] = json!([]);
                    }
                    self.commit(&place, kept)
                } else {
                    self.write(&place, sub, &old, new)?
                }
            }
            Op::Delete { uid, resource_version, grace_period_seconds, propagation, .. } => {
                let rv = resource_version.map(|v| v.to_string());
                let preconditions = json!({"uid": uid, "resourceVersion": rv});
                self.delete(&place, &preconditions, *grace_period_seconds, propagation.unwrap_or(""))?
            }
            Op::DeleteCollection { gvr, namespace } => {
                for o in self.list(gvr, namespace) {
                    let name = o["metadata"]["name"].as_str().unwrap().to_owned();
                    self.delete(&(gvr.clone(), namespace.clone(), name), &Value::Null, None, "Background")?;
                }
                json!({"kind": "Status", "status": "Success"})
            }
            Op::Get { .. } => self.current(&place)?,
            Op::List { gvr, namespace, .. } => {
                let items = self.list(gvr, namespace).iter().map(|v| Bytes::from(v.to_string())).collect();
                return Ok(Answer::List { revision: self.revision, items, more: false });
            }
            Op::Revision { .. } => return Ok(Answer::Revision(self.revision)),
            Op::CreateSub { .. } | Op::Review { .. } | Op::Ask { .. } => {
                return Err(Status::unknown_resource());
            }
        };
        Ok(Answer::Object(Bytes::from(object.to_string())))
    }
}
