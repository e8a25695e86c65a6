//! A small API server of ConfigMaps in one namespace, for the suite.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use meta::{Body, BoxFuture, Gvr, Handler, Request, Response, Status, Target, Verb};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::mpsc;

const GVR: Gvr = Gvr::new("", "v1", "configmaps");

#[derive(Default)]
pub struct ConfigMaps {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    revision: u64,
    objects: BTreeMap<String, Value>,
    watchers: Vec<mpsc::UnboundedSender<Bytes>>,
}

impl State {
    fn put(&mut self, kind: &str, mut object: Value) -> Value {
        self.revision += 1;
        object["metadata"]["resourceVersion"] = self.revision.to_string().into();
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        self.emit(kind, &object);
        self.objects.insert(name, object.clone());
        object
    }

    fn emit(&mut self, kind: &str, object: &Value) {
        let line = Bytes::from(format!("{}\n", json!({"type": kind, "object": object})));
        self.watchers.retain(|w| w.send(line.clone()).is_ok());
    }

    fn answer(&mut self, r: &Request) -> Result<Response, Status> {
        let Target::Resource { gvr, name, .. } = &r.target else { return Err(Status::unknown_resource()) };
        assert_eq!(*gvr, GVR);
        let there = self.objects.get(name).cloned();
        let ok = |v: Value| Ok(Response::json(200, v.to_string()));
        let there_or = || there.clone().ok_or(Status::not_found(&GVR, name));
        match r.verb {
            Verb::Get => ok(there_or()?),
            Verb::List => {
                let items: Vec<&Value> = self.objects.values().collect();
                let meta = json!({"resourceVersion": self.revision.to_string()});
                ok(json!({"kind": "ConfigMapList", "apiVersion": "v1", "metadata": meta, "items": items}))
            }
            Verb::Create => {
                let object = parse(&r.body)?;
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                if self.objects.contains_key(name) {
                    return Err(Status::already_exists(&GVR, name));
                }
                ok(self.put("ADDED", object))
            }
            Verb::Update => {
                let object = parse(&r.body)?;
                if object["metadata"]["resourceVersion"] != there_or()?["metadata"]["resourceVersion"] {
                    return Err(Status::stale(&GVR, name));
                }
                ok(self.put("MODIFIED", object))
            }
            Verb::Patch => {
                let mut object = there_or()?;
                for (k, v) in parse(&r.body)?["data"].as_object().into_iter().flatten() {
                    object["data"][k] = v.clone();
                }
                ok(self.put("MODIFIED", object))
            }
            Verb::Delete => {
                let object = there_or()?;
                self.objects.remove(name);
                self.emit("DELETED", &object);
                Ok(Response::json(200, Status::deleted(&GVR, name, "").to_json()))
            }
            Verb::Watch => {
                let (tx, rx) = mpsc::unbounded_channel();
                self.watchers.push(tx);
                let lines = stream::unfold(rx, |mut rx| async move { rx.recv().await.map(|b| (Ok(b), rx)) });
                Ok(Response::new(200, "application/json", Body::Stream(lines.boxed())))
            }
            _ => Err(Status::method_not_allowed()),
        }
    }
}

fn parse(body: &[u8]) -> Result<Value, Status> {
    serde_json::from_slice(body).map_err(|e| Status::bad_request(e.to_string()))
}

impl Handler for ConfigMaps {
    fn handle(&self, request: Request) -> BoxFuture<'_, Response> {
        let response = self.state.lock().answer(&request).unwrap_or_else(Response::from);
        Box::pin(async move { response })
    }
}
