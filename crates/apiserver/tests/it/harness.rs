//! A server in this process and short ways to ask it.

use std::sync::Arc;
use std::time::Duration;

use apiserver::{Config, NoTimer, Server};
use bytes::Bytes;
use futures_util::StreamExt;
use meta::{Body, Credentials, Gvr, Handler, Query, Request, Response, Target, User, Verb};
use serde_json::Value as Json;
use stdx::block_on;
use store::mem::MemStore;
use sys::{ManualClock, SeededEntropy};

pub const JSON: &str = "application/json";

pub struct World {
    pub server: Arc<Server>,
    pub clock: Arc<ManualClock>,
    pub user: User,
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    pub content_type: String,
    pub headers: Vec<(&'static str, String)>,
    pub warnings: Vec<String>,
    pub body: Bytes,
}

impl Answer {
    pub fn json(&self) -> Json {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The text at a JSON pointer, empty when absent.
    pub fn at(&self, pointer: &str) -> String {
        match self.json().pointer(pointer) {
            Some(Json::String(s)) => s.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        }
    }

    pub fn message(&self) -> String {
        self.at("/message")
    }

    #[track_caller]
    pub fn expect(self, code: u16) -> Self {
        assert_eq!(self.code, code, "{}", self.text());
        self
    }
}

pub async fn read(response: Response) -> Answer {
    let body = match response.body {
        Body::Full(b) => b,
        Body::Chunks(v) => v.concat().into(),
        Body::Stream(mut s) => {
            let mut out = Vec::new();
            while let Some(piece) = s.next().await {
                out.extend_from_slice(&piece.expect("the stream does not fail"));
            }
            out.into()
        }
        Body::Tunnel(t) => format!("{t:?}").into(),
    };
    Answer {
        code: response.code,
        content_type: response.content_type.into_owned(),
        headers: response.headers,
        warnings: response.warnings,
        body,
    }
}

/// `pods`, `apps/deployments`, `pods/x/status`: group before the plural only when it is not core.
pub fn gvr(resource: &str) -> Gvr {
    let (group, plural) = resource.split_once('/').unwrap_or(("", resource));
    let version = if group == "autoscaling" { "v2" } else { "v1" };
    Gvr { group: group.to_owned().into(), version: version.into(), resource: plural.to_owned().into() }
}

impl World {
    pub fn new() -> World {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut Config)) -> World {
        let clock = Arc::new(ManualClock::new("2026-01-02T03:04:05Z".parse().unwrap()));
        let store = Arc::new(MemStore::default());
        let mut config =
            Config::new(store, clock.clone(), Arc::new(SeededEntropy::new(7)), Arc::new(NoTimer));
        change(&mut config);
        let server = Server::new(config).unwrap();
        block_on(server.bootstrap()).unwrap();
        World { server, clock, user: User::new("admin", &["system:masters"]) }
    }

    pub fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// The same server asked by someone else.
    pub fn by(&self, name: &str, groups: &[&str]) -> World {
        World { server: self.server.clone(), clock: self.clock.clone(), user: User::new(name, groups) }
    }

    pub fn request(&self, verb: Verb, resource: &str, namespace: &str, name: &str) -> Request {
        let (name, subresource) = name.split_once('/').unwrap_or((name, ""));
        let target = Target::Resource {
            gvr: gvr(resource),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            subresource: subresource.to_owned(),
            subpath: String::new(),
        };
        let mut r = Request::new(verb, target);
        r.accept = JSON.to_owned();
        r.credentials = Credentials::Internal(self.user.clone());
        r
    }

    pub fn send(&self, request: Request) -> Answer {
        block_on(async { read(self.server.handle(request).await).await })
    }

    pub fn raw(&self, request: Request) -> Response {
        block_on(self.server.handle(request))
    }

    pub fn path(&self, path: &str) -> Answer {
        let mut r = Request::new(Verb::Get, Target::Path(path.to_owned()));
        r.credentials = Credentials::Internal(self.user.clone());
        self.send(r)
    }

    pub fn get(&self, resource: &str, namespace: &str, name: &str) -> Answer {
        self.send(self.request(Verb::Get, resource, namespace, name))
    }

    pub fn create(&self, resource: &str, namespace: &str, object: &Json) -> Answer {
        self.post(resource, namespace, "", object)
    }

    /// Creates through a subresource, named as `pod/binding`.
    pub fn post(&self, resource: &str, namespace: &str, name: &str, object: &Json) -> Answer {
        let mut r = self.request(Verb::Create, resource, namespace, name);
        r.content_type = JSON.to_owned();
        r.body = object.to_string().into();
        self.send(r)
    }

    pub fn update(&self, resource: &str, namespace: &str, name: &str, object: &Json) -> Answer {
        let mut r = self.request(Verb::Update, resource, namespace, name);
        r.content_type = JSON.to_owned();
        r.body = object.to_string().into();
        self.send(r)
    }

    pub fn patch(&self, resource: &str, namespace: &str, name: &str, form: &str, patch: &Json) -> Answer {
        let mut r = self.request(Verb::Patch, resource, namespace, name);
        r.content_type = format!("application/{form}-patch+json");
        r.body = patch.to_string().into();
        self.send(r)
    }

    pub fn delete(&self, resource: &str, namespace: &str, name: &str, options: &Json) -> Answer {
        let mut r = self.request(Verb::Delete, resource, namespace, name);
        if !options.is_null() {
            r.content_type = JSON.to_owned();
            r.body = options.to_string().into();
        }
        self.send(r)
    }

    pub fn list(&self, resource: &str, namespace: &str, query: &str) -> Answer {
        let mut r = self.request(Verb::List, resource, namespace, "");
        r.query = parse_query(query);
        self.send(r)
    }

    /// The events that are there now of a watch that goes on.
    pub fn watch(&self, resource: &str, namespace: &str, query: &str) -> Watch {
        let mut r = self.request(Verb::Watch, resource, namespace, "");
        r.query = parse_query(query);
        let response = self.raw(r);
        Watch { response }
    }
}

pub struct Watch {
    pub response: Response,
}

impl Watch {
    /// What is there now, as it comes.
    pub fn bytes(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        match &mut self.response.body {
            Body::Stream(s) => {
                let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
                while let std::task::Poll::Ready(Some(piece)) = s.poll_next_unpin(&mut cx) {
                    text.extend_from_slice(&piece.expect("the stream does not fail"));
                }
            }
            Body::Chunks(v) => text = v.concat(),
            Body::Full(b) => text = b.to_vec(),
            Body::Tunnel(_) => {}
        }
        text
    }

    /// Whole events that are there now.
    pub fn now(&mut self) -> Vec<Json> {
        let text = String::from_utf8(self.bytes()).expect("events are UTF-8");
        text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
    }

    /// Types and names of the events.
    pub fn names(&mut self) -> Vec<String> {
        let one = |e: &Json| format!("{} {}", text(&e["type"]), text(&e["object"]["metadata"]["name"]));
        self.now().iter().map(one).collect()
    }
}

pub fn text(v: &Json) -> &str {
    v.as_str().unwrap_or("")
}

pub fn parse_query(text: &str) -> Query {
    let pairs = text.split('&').filter(|p| !p.is_empty()).map(|p| p.split_once('=').unwrap_or((p, "")));
    Query(pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect())
}
