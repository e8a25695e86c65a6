//! An API server in memory, as much of one as a node agent speaks to. Patches are merged; lists with merge
//! keys are not understood beyond conditions.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use client::Client;
use meta::{Body, BoxFuture, Request, Response, Status, Target, Verb};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::broadcast;

type Key = (String, String, String);

pub struct Api {
    state: Mutex<State>,
    changes: broadcast::Sender<(String, Bytes)>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<Key, Value>,
    revision: u64,
}

impl Api {
    pub fn new() -> Arc<Self> {
        Arc::new(Api { state: Mutex::default(), changes: broadcast::channel(1024).0 })
    }

    pub fn put(&self, resource: &str, mut object: Value) {
        let mut s = self.state.lock();
        s.revision += 1;
        object["metadata"]["resourceVersion"] = s.revision.to_string().into();
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        let key =
            (resource.to_owned(), text(&object["metadata"]["namespace"]), text(&object["metadata"]["name"]));
        let event = if s.objects.contains_key(&key) { "MODIFIED" } else { "ADDED" };
        s.objects.insert(key, object.clone());
        self.tell(resource, event, &object);
    }

    pub fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        let key = (resource.to_owned(), namespace.to_owned(), name.to_owned());
        self.state.lock().objects.get(&key).cloned()
    }

    pub fn all(&self, resource: &str) -> Vec<Value> {
        let s = self.state.lock();
        s.objects.iter().filter(|(k, _)| k.0 == resource).map(|(_, v)| v.clone()).collect()
    }

    pub fn remove(&self, resource: &str, namespace: &str, name: &str) {
        let key = (resource.to_owned(), namespace.to_owned(), name.to_owned());
        let mut s = self.state.lock();
        s.revision += 1;
        if let Some(mut o) = s.objects.remove(&key) {
            o["metadata"]["resourceVersion"] = s.revision.to_string().into();
            self.tell(resource, "DELETED", &o);
        }
    }

    fn tell(&self, resource: &str, event: &str, object: &Value) {
        let line = format!("{}\n", json!({"type": event, "object": object}));
        let _ = self.changes.send((resource.to_owned(), line.into()));
    }

    fn answer(self: &Arc<Self>, r: Request) -> Result<Response, Status> {
        let Target::Resource { gvr, namespace, name, subresource, .. } = &r.target else {
            return Err(Status::unknown_resource());
        };
        let resource = gvr.resource.to_string();
        match r.verb {
            Verb::Get => match self.get(&resource, namespace, name) {
                Some(o) => Ok(Response::json(200, o.to_string())),
                None => Err(Status::not_found(gvr, name)),
            },
            Verb::List => {
                let revision = self.state.lock().revision.to_string();
                let items: Vec<Value> = self.all(&resource);
                let list = json!({"kind": "List", "apiVersion": "v1",
                    "metadata": {"resourceVersion": revision}, "items": items});
                Ok(Response::json(200, list.to_string()))
            }
            Verb::Watch => Ok(self.watch(&resource)),
            Verb::Create if subresource == "token" => {
                let expires = "2099-01-01T00:00:00Z";
                let a = json!({"kind": "TokenRequest", "status": {"token": "tok", "expirationTimestamp": expires}});
                Ok(Response::json(201, a.to_string()))
            }
            Verb::Create => {
                let mut o: Value =
                    serde_json::from_slice(&r.body).map_err(|e| Status::bad_request(e.to_string()))?;
                let text = o["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                if self.get(&resource, namespace, &text).is_some() {
                    return Err(Status::already_exists(gvr, &text));
                }
                if !namespace.is_empty() {
                    o["metadata"]["namespace"] = namespace.as_str().into();
                }
                o["metadata"]["uid"] = format!("uid-{text}").into();
                self.put(&resource, o.clone());
                Ok(Response::json(201, o.to_string()))
            }
            Verb::Update | Verb::Patch => {
                let Some(mut o) = self.get(&resource, namespace, name) else {
                    return Err(Status::not_found(gvr, name));
                };
                let p: Value =
                    serde_json::from_slice(&r.body).map_err(|e| Status::bad_request(e.to_string()))?;
                if r.verb == Verb::Update {
                    o = p
                } else {
                    merge(&mut o, p)
                }
                self.put(&resource, o.clone());
                Ok(Response::json(200, o.to_string()))
            }
            Verb::Delete => {
                self.remove(&resource, namespace, name);
                Ok(Response::json(200, "{\"kind\":\"Status\",\"status\":\"Success\"}"))
            }
            _ => Err(Status::unknown_resource()),
        }
    }

    fn watch(&self, resource: &str) -> Response {
        let resource = resource.to_owned();
        let receiver = self.changes.subscribe();
        let stream = futures_util::stream::unfold((receiver, resource), |(mut rx, resource)| async move {
            loop {
                match rx.recv().await {
                    Ok((r, line)) if r == resource => return Some((Ok(line), (rx, resource))),
                    Ok(_) => {}
                    Err(_) => return None,
                }
            }
        });
        Response::new(200, "application/json", Body::Stream(Box::pin(stream)))
    }
}

fn merge(into: &mut Value, patch: Value) {
    let Value::Object(p) = patch else {
        *into = patch;
        return;
    };
    for (k, v) in p {
        match v {
            Value::Null => {
                into.as_object_mut().map(|o| o.remove(&k));
            }
            Value::Object(_) if into.get(&k).is_some_and(Value::is_object) => merge(&mut into[&k], v),
            Value::Array(list) => into[&k] = list.into_iter().filter(|i| i.get("$patch").is_none()).collect(),
            v => into[&k] = v,
        }
    }
}

/// A client of it.
pub struct Direct(pub Arc<Api>);

impl Client for Direct {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, Status>> {
        Box::pin(async move { self.0.answer(request) })
    }
}
