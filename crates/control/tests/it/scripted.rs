//! A server of one resource that can be told to refuse.

use std::collections::BTreeMap;
use std::sync::Mutex;

use bytes::Bytes;
use client::Client;
use meta::{Body, BoxFuture, Request, Response, Status, Target, Verb};
use serde_json::{Value, json};
use tokio::sync::mpsc;

#[derive(Default)]
struct Inner {
    revision: u64,
    objects: BTreeMap<String, Value>,
    log: Vec<(u64, &'static str, Value)>,
    watches: Vec<mpsc::UnboundedSender<Bytes>>,
    refusals: Vec<(Verb, usize, Status)>,
}

#[derive(Default)]
pub struct Scripted(Mutex<Inner>);

fn line(kind: &str, object: &Value) -> Bytes {
    Bytes::from(format!("{}\n", json!({"type": kind, "object": object})))
}

/// What the server says it serves.
fn discovery(path: &str) -> Value {
    let verbs = json!(["delete", "get", "list", "watch"]);
    match path {
        "/apis" => json!({"groups": [{"name": "example.com", "versions": [{"version": "v1"}]}]}),
        "/apis/example.com/v1" => {
            json!({"resources": [{"name": "things", "namespaced": false, "kind": "Thing", "verbs": verbs}]})
        }
        _ => json!({"resources": []}),
    }
}

impl Inner {
    fn commit(&mut self, kind: &'static str, name: &str, mut object: Value) -> Value {
        self.revision += 1;
        object["metadata"]["resourceVersion"] = self.revision.to_string().into();
        if kind == "DELETED" {
            self.objects.remove(name);
        } else {
            self.objects.insert(name.to_owned(), object.clone());
        }
        self.log.push((self.revision, kind, object.clone()));
        self.watches.retain(|w| w.send(line(kind, &object)).is_ok());
        object
    }

    fn answer(&mut self, r: &Request) -> Result<Body, Status> {
        if let Some(x) = self.refusals.iter_mut().find(|x| x.0 == r.verb && x.1 > 0) {
            x.1 -= 1;
            return Err(x.2.clone());
        }
        let (gvr, name) = match &r.target {
            Target::Resource { gvr, name, .. } => (gvr, name),
            Target::Path(path) => return Ok(Body::Full(Bytes::from(discovery(path).to_string()))),
        };
        let found = || self.objects.get(name).cloned().ok_or_else(|| Status::not_found(gvr, name));
        let object = match r.verb {
            Verb::Get => found()?,
            Verb::List => {
                let items: Vec<&Value> = self.objects.values().collect();
                json!({"metadata": {"resourceVersion": self.revision.to_string()}, "items": items})
            }
            Verb::Watch => {
                let since: u64 = r.query.get("resourceVersion").unwrap().parse().unwrap();
                let (out, events) = mpsc::unbounded_channel();
                for (_, kind, object) in self.log.iter().filter(|(rv, ..)| *rv > since) {
                    out.send(line(kind, object)).unwrap();
                }
                self.watches.push(out);
                let stream = futures_util::stream::unfold(events, |mut e| async move {
                    e.recv().await.map(|b| (Ok(b), e))
                });
                return Ok(Body::Stream(Box::pin(stream)));
            }
            Verb::Update => {
                let old = found()?;
                let new: Value = serde_json::from_slice(&r.body).unwrap();
                if new["metadata"]["resourceVersion"] != old["metadata"]["resourceVersion"] {
                    return Err(Status::stale(gvr, name));
                }
                self.commit("MODIFIED", name, new)
            }
            _ => return Err(Status::unknown_resource()),
        };
        Ok(Body::Full(Bytes::from(object.to_string())))
    }
}

impl Scripted {
    pub fn put(&self, name: &str, mut object: Value) {
        let mut inner = self.0.lock().unwrap();
        let old = inner.objects.get(name).cloned();
        object["metadata"] = json!({"name": name, "uid": name});
        if let Some(o) = &old {
            object["status"] = o["status"].clone();
        }
        inner.commit(if old.is_some() { "MODIFIED" } else { "ADDED" }, name, object);
    }

    pub fn remove(&self, name: &str) {
        let mut inner = self.0.lock().unwrap();
        let object = inner.objects.get(name).cloned().unwrap();
        inner.commit("DELETED", name, object);
    }

    pub fn object(&self, name: &str) -> Option<Value> {
        self.0.lock().unwrap().objects.get(name).cloned()
    }

    pub fn refuse(&self, verb: Verb, times: usize, status: Status) {
        self.0.lock().unwrap().refusals.push((verb, times, status));
    }

    pub fn break_watches(&self) {
        self.0.lock().unwrap().watches.clear();
    }
}

impl Client for Scripted {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, Status>> {
        Box::pin(async move {
            let body = self.0.lock().unwrap().answer(&request)?;
            Ok(Response { body, ..Response::json(200, Bytes::new()) })
        })
    }
}
