//! A registry that is swapped under a running server.

use std::sync::Arc;

use kinds::{Kind, KindRef};
use meta::{Body, Gvr, Handler, Query, Request, Target, User, Verb};
use schema::HeldType;
use schema::table::Table;
use serde_json::{Value as Json, json};
use stdx::block_on;
use store::mem::MemStore;
use sys::{ManualClock, SeededEntropy};
use watchcache::ResourceSpec;

use super::{Config, Server};
use crate::registry::{Form, Registry, Resource, Served};
use crate::storage::NoTimer;

const TYPES: &str = "\
S example.com/v1.Widget -k
 kind string -o 0
 apiVersion string -o 0
 metadata @meta.k8s.io/v1.ObjectMeta -o 0
 size int64 -o 0
S meta.k8s.io/v1.ObjectMeta -
 name string -o 0
 namespace string -o 0
 uid string -o 0
 resourceVersion string -o 0
 generation int64 -o 0
 creationTimestamp time -oz 0
";

fn server() -> Arc<Server> {
    let clock = Arc::new(ManualClock::new("2026-01-02T03:04:05Z".parse().unwrap()));
    let store = Arc::new(MemStore::default());
    let config = Config::new(store, clock, Arc::new(SeededEntropy::new(7)), Arc::new(NoTimer));
    let server = Server::new(config).unwrap();
    block_on(server.bootstrap()).unwrap();
    server
}

fn ask(server: &Server, verb: Verb, target: Target, body: &Json) -> (u16, Json) {
    let mut request = Request::new(verb, target);
    request.credentials = meta::Credentials::Internal(User::new("admin", &["system:masters"]));
    request.query = Query::default();
    request.accept = "application/json".into();
    request.content_type = "application/json".into();
    request.body = if body.is_null() { bytes::Bytes::new() } else { body.to_string().into() };
    let response = block_on(server.handle(request));
    let body = match response.body {
        Body::Full(bytes) => bytes.to_vec(),
        Body::Chunks(chunks) => chunks.concat(),
        Body::Stream(_) | Body::Tunnel(_) => panic!("a whole body was expected"),
    };
    (response.code, serde_json::from_slice(&body).unwrap_or(Json::Null))
}

fn widgets(name: &str) -> Target {
    Target::Resource {
        gvr: Gvr::new("example.com", "v1", "widgets"),
        namespace: "default".into(),
        name: name.into(),
        subresource: String::new(),
        subpath: String::new(),
    }
}

/// What is served, and a kind that owns its types besides.
fn with_widgets(server: &Server) -> Registry {
    let kind = Arc::new(Kind::namespaced_kind("example.com", "v1", "Widget", "widgets", "widget"));
    let spec = ResourceSpec::scanned(kind.prefix(), &[]);
    let cache = block_on(server.state.cache.register(spec)).unwrap();
    let table = Arc::new(Table::load(TYPES).unwrap());
    let ty = HeldType::of(&table, "example.com/v1.Widget").unwrap();
    let kind = KindRef::Defined(kind);
    let form = Form::Table { ty: ty.clone(), stored_ty: ty };
    let resource = Resource::new(kind.clone(), form, cache);
    let more = Served { kind, resource: Some(Arc::new(resource)) };
    Registry::of(server.state.served().all().cloned().chain([more]))
}

#[test]
fn a_kind_is_served_from_the_swap_on_and_gone_with_the_next() {
    let server = server();
    let path = |p: &str| ask(&server, Verb::Get, Target::Path(p.into()), &Json::Null);
    let before = path("/openapi/v3").1;
    assert_eq!(ask(&server, Verb::List, widgets(""), &Json::Null).0, 404);
    assert_eq!(path("/apis/example.com/v1").0, 404);

    let builtin = server.state.served();
    server.state.serve(with_widgets(&server));
    let widget =
        json!({"kind": "Widget", "apiVersion": "example.com/v1", "metadata": {"name": "a"}, "size": 3});
    let (code, made) = ask(&server, Verb::Create, widgets(""), &widget);
    assert_eq!((code, &made["size"], &made["metadata"]["namespace"]), (201, &json!(3), &json!("default")));
    assert!(made["metadata"]["uid"].is_string(), "{made}");
    let (code, list) = ask(&server, Verb::List, widgets(""), &Json::Null);
    assert_eq!((code, &list["kind"], &list["items"][0]["size"]), (200, &json!("WidgetList"), &json!(3)));
    let (code, resources) = path("/apis/example.com/v1");
    assert_eq!((code, &resources["resources"][0]["name"]), (200, &json!("widgets")));
    let groups = path("/apis").1;
    let last = groups["groups"].as_array().unwrap().last().unwrap();
    assert_eq!(last["name"], "example.com", "a new group stands behind the built-in ones");
    assert_ne!(path("/openapi/v3").1, before);

    let all = builtin.all().cloned();
    server.state.serve(Registry::of(all));
    assert_eq!(ask(&server, Verb::Get, widgets("a"), &Json::Null).0, 404);
    assert_eq!(path("/apis/example.com/v1").0, 404);
    assert_eq!(path("/openapi/v3").1, before);
}
