//! A server of a few objects, for tests.

use client::Client;
use meta::labels::Selector;
use meta::{BoxFuture, Request, Response, Status, Target, Verb};
use parking_lot::Mutex;
use serde_json::{Value, json};

/// Answers get, list (by labels and signer, in pages) and create.
#[derive(Default)]
pub struct Fake {
    /// Plural and object.
    pub objects: Mutex<Vec<(String, Value)>>,
    /// Verbs and plurals that were asked.
    pub asked: Mutex<Vec<String>>,
}

impl Fake {
    /// With these objects.
    pub fn of(objects: impl IntoIterator<Item = (&'static str, Value)>) -> Self {
        let objects = objects.into_iter().map(|(plural, o)| (plural.to_owned(), o)).collect();
        Fake { objects: Mutex::new(objects), asked: Mutex::default() }
    }

    fn answer(&self, r: &Request) -> Result<Value, Status> {
        let Target::Resource { gvr, name, .. } = &r.target else { return Err(Status::internal("a path")) };
        let plural = &*gvr.resource;
        self.asked.lock().push(format!("{:?} {plural}", r.verb));
        let mut objects = self.objects.lock();
        let here = objects.iter().filter(|(p, _)| p == plural).map(|(_, o)| o);
        match r.verb {
            Verb::Get => {
                let found = here.into_iter().find(|o| o["metadata"]["name"] == **name);
                found.cloned().ok_or_else(|| Status::not_found(gvr, name))
            }
            Verb::List => Ok(page(here.filter(|o| selected(o, r)).cloned().collect(), r)),
            Verb::Create => {
                let mut object: Value = serde_json::from_slice(&r.body).expect("a body is JSON");
                object["metadata"]["name"] = format!("req-{}", objects.len()).into();
                objects.push((plural.to_owned(), object.clone()));
                Ok(object)
            }
            _ => Err(Status::internal("not served")),
        }
    }
}

fn selected(o: &Value, r: &Request) -> bool {
    let labels = Selector::parse(r.query.get("labelSelector").unwrap_or("")).expect("a selector is valid");
    let signer = r.query.get("fieldSelector").and_then(|f| f.strip_prefix("spec.signerName="));
    labels.matches(|k| o["metadata"]["labels"][k].as_str())
        && signer.is_none_or(|s| o["spec"]["signerName"] == s)
}

fn page(all: Vec<Value>, r: &Request) -> Value {
    let number = |key: &str| r.query.get(key).and_then(|n| n.parse::<usize>().ok());
    let (start, limit) = (number("continue").unwrap_or(0), number("limit").unwrap_or(usize::MAX));
    let end = start.saturating_add(limit).min(all.len());
    let next = if end < all.len() { end.to_string() } else { String::new() };
    json!({"metadata": {"resourceVersion": "1", "continue": next}, "items": &all[start..end]})
}

impl Client for Fake {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, Status>> {
        let answer = self.answer(&request).map(|body| Response::json(200, body.to_string()));
        Box::pin(async move { answer })
    }
}
