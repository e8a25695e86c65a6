//! Other shapes of answers: tables, metadata only, YAML, protobuf, pretty.

use meta::Verb;
use serde_json::{Value as Json, json};

use crate::harness::World;

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

fn world() -> World {
    let w = World::new();
    let object =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}});
    w.create("configmaps", "default", &object).expect(201);
    w
}

fn ask(w: &World, verb: Verb, name: &str, accept: &str, query: &str) -> crate::harness::Answer {
    let mut r = w.request(verb, "configmaps", "default", name);
    r.accept = accept.to_owned();
    r.query = crate::harness::parse_query(query);
    w.send(r)
}

#[test]
fn tables_of_one_and_many() {
    let w = world();
    for (verb, name) in [(Verb::Get, "a"), (Verb::List, "")] {
        let table = ask(&w, verb, name, TABLE, "").expect(200).json();
        assert_eq!(table["kind"], "Table");
        assert_eq!(table["columnDefinitions"][0]["name"], "Name");
        assert_eq!(table["rows"][0]["cells"][0], "a");
        assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
        assert_eq!(table["rows"][0]["object"]["metadata"]["name"], "a");
        let whole = ask(&w, verb, name, TABLE, "includeObject=Object").expect(200).json();
        assert_eq!(whole["rows"][0]["object"]["data"]["k"], "v");
        let none = ask(&w, verb, name, TABLE, "includeObject=None").expect(200).json();
        assert!(none["rows"][0].get("object").is_none());
        ask(&w, verb, name, TABLE, "includeObject=Some").expect(400);
    }
    let mut r = w.request(Verb::Watch, "configmaps", "default", "");
    r.accept = TABLE.into();
    let mut watch = crate::harness::Watch { response: w.raw(r) };
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b"}});
    w.create("configmaps", "default", &object).expect(201);
    let events = watch.now();
    assert_eq!(events[0]["object"]["rows"][0]["cells"][0], "a");
    assert!(!events[0]["object"]["columnDefinitions"].as_array().unwrap().is_empty());
    assert_eq!(events[1]["object"]["rows"][0]["cells"][0], "b");
    assert!(events[1]["object"]["columnDefinitions"].as_array().unwrap().is_empty());
}

#[test]
fn component_statuses_in_every_form() {
    let w = World::new();
    let ask = |verb, name: &str, accept: &str| {
        let mut r = w.request(verb, "componentstatuses", "", name);
        r.accept = accept.to_owned();
        w.send(r)
    };
    for (verb, name) in [(Verb::Get, "etcd-0"), (Verb::List, "")] {
        let table = ask(verb, name, TABLE).expect(200).json();
        assert_eq!(table["rows"][0]["cells"], json!(["etcd-0", "Healthy", "ok", ""]));
        let partial = ask(verb, name, "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1");
        let partial = partial.expect(200).json();
        assert!(partial["kind"].as_str().unwrap().starts_with("PartialObjectMetadata"), "{partial}");
        assert!(
            ask(verb, name, "application/vnd.kubernetes.protobuf").expect(200).body.starts_with(b"k8s\0")
        );
    }
    let list = ask(Verb::List, "", "").expect(200);
    assert_eq!(list.at("/items/0/conditions/0/type"), "Healthy");
    assert_eq!(list.warnings, ["v1 ComponentStatus is deprecated in v1.19+"]);
    let endpoints = w.list("endpoints", "default", "").warnings;
    assert_eq!(endpoints, ["v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"]);
    ask(Verb::Get, "none", "").expect(404);
    ask(Verb::Watch, "", "").expect(405);
}

#[test]
fn tables_have_no_protobuf() {
    let w = world();
    let accept = "application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1";
    for verb in [Verb::List, Verb::Watch] {
        ask(&w, verb, "", accept, "").expect(406);
    }
}

#[test]
fn metadata_only() {
    let w = world();
    let accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
    let one = ask(&w, Verb::Get, "a", accept, "").expect(200).json();
    assert_eq!((one["kind"].as_str(), one.get("data")), (Some("PartialObjectMetadata"), None));
    let accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    let all = ask(&w, Verb::List, "", accept, "").expect(200).json();
    assert_eq!(
        (all["kind"].as_str(), &all["items"][0]["metadata"]["name"]),
        (Some("PartialObjectMetadataList"), &json!("a"))
    );
}

#[test]
fn yaml_protobuf_and_pretty() {
    let w = world();
    let yaml = ask(&w, Verb::Get, "a", "application/yaml", "").expect(200);
    assert_eq!(yaml.content_type, "application/yaml");
    assert!(yaml.text().contains("kind: ConfigMap"), "{}", yaml.text());
    let proto = ask(&w, Verb::Get, "a", "application/vnd.kubernetes.protobuf", "").expect(200);
    assert!(proto.body.starts_with(b"k8s\0"));
    let mut r = w.request(Verb::Update, "configmaps", "default", "a");
    r.content_type = "application/vnd.kubernetes.protobuf".into();
    r.body = proto.body.clone();
    w.send(r).expect(200);
    let list = ask(&w, Verb::List, "", "application/vnd.kubernetes.protobuf", "").expect(200);
    assert!(list.body.starts_with(b"k8s\0"));
    let pretty = ask(&w, Verb::Get, "a", "application/json", "pretty=true").expect(200);
    assert!(pretty.text().contains("\n  \"kind\": \"ConfigMap\""), "{}", pretty.text());
    let mut r = w.request(Verb::Create, "configmaps", "default", "");
    r.content_type = "application/yaml".into();
    r.body = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: z\ndata:\n  a: \"1\"\n".into();
    assert_eq!(w.send(r).expect(201).json()["data"], json!({"a": "1"}));
}

#[test]
fn long_lists_are_streamed_whole() {
    let w = World::new();
    for i in 0..400 {
        let object =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("c{i:03}")}});
        w.create("configmaps", "default", &object).expect(201);
    }
    let all: Json = w.list("configmaps", "", "").expect(200).json();
    assert_eq!(all["items"].as_array().unwrap().len(), 400);
    let one: Json = w.list("configmaps", "", "fieldSelector=metadata.name=c007").expect(200).json();
    assert_eq!(one["items"].as_array().unwrap().len(), 1);
}

/// Frames of a protobuf watch: a length of four bytes, then a WatchEvent whose object has an envelope of its own.
#[test]
fn watches_in_protobuf() {
    let w = world();
    let mut r = w.request(Verb::Watch, "configmaps", "default", "");
    r.accept = "application/vnd.kubernetes.protobuf;stream=watch".into();
    r.query = crate::harness::parse_query("allowWatchBookmarks=true");
    let response = w.raw(r);
    assert_eq!(response.content_type, "application/vnd.kubernetes.protobuf;stream=watch");
    let frame = crate::harness::Watch { response }.bytes();
    let (length, event) = frame.split_at(4);
    assert_eq!(u32::from_be_bytes(length.try_into().unwrap()) as usize, event.len());
    assert!(event.starts_with(b"\x0a\x05ADDED\x12"), "{event:?}");
    let at = event.windows(4).position(|four| four == b"k8s\0").expect("an envelope");
    assert!(event[at + 4..].starts_with(b"\x0a\x0f\x0a\x02v1\x12\x09ConfigMap\x12"), "{event:?}");
}

/// The pieces of a list, and the largest one.
fn pieces(w: &World, accept: &str, query: &str) -> (Vec<u8>, usize) {
    use futures_util::StreamExt;
    let mut r = w.request(Verb::List, "configmaps", "default", "");
    r.accept = accept.to_owned();
    r.query = crate::harness::parse_query(query);
    let meta::Body::Stream(mut body) = w.raw(r).body else { panic!("{accept} {query}: not streamed") };
    stdx::block_on(async move {
        let (mut out, mut largest) = (Vec::new(), 0);
        while let Some(piece) = body.next().await {
            let piece = piece.expect("the stream does not fail");
            largest = piece.len().max(largest);
            out.extend_from_slice(&piece);
        }
        (out, largest)
    })
}

#[test]
fn large_lists_are_made_in_pieces_in_every_form() {
    const OBJECTS: usize = 700;
    const PIECE: usize = 64 << 10;
    let w = world();
    for n in 0..OBJECTS - 1 {
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": format!("n-{n:04}"), "labels": {"odd": (n % 2 == 1).to_string()}},
            "data": {"k": "v".repeat(n)},
        });
        w.create("configmaps", "default", &object).expect(201);
    }
    let whole = |query: &str| {
        let (bytes, largest) = pieces(&w, "application/json", query);
        assert!(largest < PIECE + 2000);
        serde_json::from_slice::<Json>(&bytes).unwrap()
    };
    let ty = schema::type_of("", "v1", "ConfigMapList").unwrap();
    let metadata_ty = schema::type_of("meta.k8s.io", "v1", "PartialObjectMetadataList").unwrap();
    let read = |bytes: &[u8], ty| {
        let value = schema::decode_protobuf(bytes, ty).unwrap();
        serde_json::from_slice::<Json>(&schema::encode_json(&value, ty)).unwrap()
    };
    let all = whole("");
    assert_eq!(all["items"].as_array().unwrap().len(), OBJECTS);
    for query in ["", "labelSelector=odd in (true)", "limit=600"] {
        let (bytes, largest) = pieces(&w, "application/vnd.kubernetes.protobuf", query);
        assert!(largest < PIECE + 2000, "{query}: {largest}");
        let list = read(&bytes, ty);
        let items = list["items"].as_array().unwrap();
        let want: Vec<&Json> = match query {
            "" => all["items"].as_array().unwrap().iter().collect(),
            "limit=600" => {
                assert_eq!(list["metadata"]["remainingItemCount"], OBJECTS - 600);
                assert!(!list["metadata"]["continue"].as_str().unwrap().is_empty());
                all["items"].as_array().unwrap().iter().take(600).collect()
            }
            _ => {
                let odd = |item: &&Json| item["metadata"]["labels"]["odd"] == "true";
                all["items"].as_array().unwrap().iter().filter(odd).collect()
            }
        };
        assert_eq!(items.iter().collect::<Vec<_>>(), want, "{query}");
        assert_eq!((&list["kind"], &list["apiVersion"]), (&json!("ConfigMapList"), &json!("v1")));
        assert_eq!(list["metadata"]["resourceVersion"], all["metadata"]["resourceVersion"]);
    }
    let form = "as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    let (bytes, largest) = pieces(&w, &format!("application/json;{form}"), "");
    assert!(largest < PIECE + 2000);
    let json: Json = serde_json::from_slice(&bytes).unwrap();
    let (bytes, _) = pieces(&w, &format!("application/vnd.kubernetes.protobuf;{form}"), "");
    let protobuf = read(&bytes, metadata_ty);
    for list in [&json, &protobuf] {
        assert_eq!(list["kind"], "PartialObjectMetadataList");
        let items = list["items"].as_array().unwrap();
        assert_eq!(items.len(), OBJECTS);
        for (item, want) in items.iter().zip(all["items"].as_array().unwrap()) {
            assert_eq!(item["metadata"], want["metadata"]);
            assert!(item.get("data").is_none());
        }
    }
}
