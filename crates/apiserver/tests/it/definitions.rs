//! Kinds that are defined while the server runs.

use meta::{Target, Verb};
use serde_json::{Value as Json, json};
use stdx::block_on;

use crate::harness::{Answer, JSON, World};

const CRDS: &str = "apiextensions.k8s.io/customresourcedefinitions";
const WIDGETS: &str = "example.com/widgets";
const MERGE: &str = "application/merge-patch+json";

fn definition() -> Json {
    json!({
        "kind": "CustomResourceDefinition", "apiVersion": "apiextensions.k8s.io/v1",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"], "categories": ["all"]},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "properties": {
                        "spec": {
                            "type": "object", "required": ["size"],
                            "properties": {
                                "size": {"type": "integer", "minimum": 1},
                                "color": {"type": "string", "default": "blue"},
                                "replicas": {"type": "integer"},
                                "extra": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                            },
                        },
                        "status": {"type": "object", "properties": {"replicas": {"type": "integer"}, "phase": {"type": "string"}}},
                    },
                }},
                "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}},
                "additionalPrinterColumns": [
                    {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
                    {"name": "Phase", "type": "string", "jsonPath": ".status.phase"},
                ],
                "selectableFields": [{"jsonPath": ".spec.color"}],
            }],
        },
    })
}

fn widget(name: &str, spec: &Json) -> Json {
    json!({"kind": "Widget", "apiVersion": "example.com/v1", "metadata": {"name": name}, "spec": spec})
}

fn settle(w: &World) -> bool {
    block_on(w.server.settle_definitions()).unwrap()
}

/// A server that serves widgets.
fn world() -> World {
    let w = World::new();
    w.create(CRDS, "", &definition()).expect(201);
    settle(&w);
    w
}

fn condition(w: &World, kind: &str) -> String {
    let crd = w.get(CRDS, "", "widgets.example.com").json();
    let all = crd["status"]["conditions"].as_array().cloned().unwrap_or_default();
    all.iter().find(|c| c["type"] == kind).map_or(String::new(), |c| {
        format!("{} {}", c["status"].as_str().unwrap(), c["reason"].as_str().unwrap())
    })
}

fn patch(w: &World, resource: &str, name: &str, form: &str, body: &Json) -> Answer {
    let namespace = if resource == CRDS { "" } else { "default" };
    let mut r = w.request(Verb::Patch, resource, namespace, name);
    r.content_type = form.to_owned();
    r.body = body.to_string().into();
    w.send(r)
}

#[test]
fn a_definition_is_established_and_served() {
    let w = World::new();
    w.list(WIDGETS, "default", "").expect(404);
    w.create(CRDS, "", &definition()).expect(201);
    settle(&w);
    assert_eq!(condition(&w, "NamesAccepted"), "True NoConflicts");
    assert_eq!(condition(&w, "Established"), "True InitialNamesAccepted");
    let crd = w.get(CRDS, "", "widgets.example.com");
    assert_eq!(crd.at("/status/acceptedNames/listKind"), "WidgetList");
    assert!(!settle(&w), "nothing is left to do");

    let resources = w.path("/apis/example.com/v1").expect(200).json();
    let names: Vec<&str> =
        resources["resources"].as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["widgets", "widgets/scale", "widgets/status"]);
    assert_eq!(resources["resources"][0]["shortNames"], json!(["wd"]));
    let made = w
        .create(WIDGETS, "default", &widget("a", &json!({"size": 3, "lost": 1, "extra": {"kept": {"b": 1}}})))
        .expect(201);
    assert_eq!(
        made.at("/spec"),
        json!({"color": "blue", "extra": {"kept": {"b": 1}}, "size": 3}).to_string()
    );
    assert_eq!(made.at("/metadata/generation"), "1");
    let list = w.list(WIDGETS, "default", "").expect(200).json();
    assert_eq!((&list["kind"], &list["apiVersion"]), (&json!("WidgetList"), &json!("example.com/v1")));
    assert_eq!(list["items"][0]["kind"], "Widget", "items say what they are");
    assert_eq!(list["items"][0]["metadata"]["name"], "a");
}

#[test]
fn what_the_schema_refuses() {
    let w = world();
    for (spec, want) in [
        (json!({}), "spec.size: Required value"),
        (
            json!({"size": 0}),
            "spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1",
        ),
        (
            json!({"size": "x"}),
            "spec.size: Invalid value: \"string\": spec.size in body must be of type integer: \"string\"",
        ),
    ] {
        let refused = w.create(WIDGETS, "default", &widget("a", &spec)).expect(422);
        assert_eq!(refused.message(), format!("Widget.example.com \"a\" is invalid: {want}"));
    }
    let mut r = w.request(Verb::Create, WIDGETS, "default", "");
    r.query = crate::harness::parse_query("fieldValidation=Strict");
    r.content_type = JSON.to_owned();
    r.body = r#"{"kind":"Widget","apiVersion":"example.com/v1","metadata":{"name":"a","labelz":{}},"spec":{"size":1,"size":2,"lost":1}}"#.into();
    let refused = w.send(r).expect(400);
    assert_eq!(
        refused.message(),
        "Widget in version \"v1\" cannot be handled as a Widget: strict decoding error: duplicate field \"spec.size\", unknown field \"metadata.labelz\", unknown field \"spec.lost\""
    );
    let mut r = w.request(Verb::Create, WIDGETS, "default", "");
    r.content_type = "application/vnd.kubernetes.protobuf".to_owned();
    assert_eq!(w.send(r).code, 415);
    let mut r = w.request(Verb::List, WIDGETS, "default", "");
    r.accept = "application/vnd.kubernetes.protobuf".to_owned();
    assert_eq!(w.send(r).code, 406);
}

#[test]
fn changes_patches_and_parts() {
    let w = world();
    let made =
        w.create(WIDGETS, "default", &widget("a", &json!({"size": 3, "replicas": 2}))).expect(201).json();
    let strategic = patch(&w, WIDGETS, "a", "application/strategic-merge-patch+json", &json!({}));
    assert_eq!(strategic.code, 415);
    let same = patch(&w, WIDGETS, "a", MERGE, &json!({"spec": {"size": 3}})).expect(200);
    assert_eq!(same.at("/metadata/resourceVersion"), made["metadata"]["resourceVersion"].as_str().unwrap());
    let changed =
        patch(&w, WIDGETS, "a", MERGE, &json!({"spec": {"size": 4}, "status": {"phase": "no"}})).expect(200);
    assert_eq!((changed.at("/metadata/generation"), changed.at("/status")), ("2".into(), String::new()));
    let told = patch(
        &w,
        WIDGETS,
        "a/status",
        MERGE,
        &json!({"spec": {"size": 9}, "status": {"phase": "Ready", "replicas": 1}}),
    )
    .expect(200);
    assert_eq!((told.at("/spec/size"), told.at("/status/phase")), ("4".into(), "Ready".into()));
    assert_eq!(told.at("/metadata/generation"), "2");
    let scale = w.get(WIDGETS, "default", "a/scale").expect(200);
    assert_eq!((scale.at("/spec/replicas"), scale.at("/status/replicas")), ("2".into(), "1".into()));
    patch(&w, WIDGETS, "a/scale", MERGE, &json!({"spec": {"replicas": 7}})).expect(200);
    assert_eq!(w.get(WIDGETS, "default", "a").at("/spec/replicas"), "7");
    let mut bare = w.get(WIDGETS, "default", "a").json();
    bare["metadata"]["resourceVersion"] = "".into();
    let refused = w.update(WIDGETS, "default", "a", &bare).expect(422);
    assert!(
        refused
            .message()
            .ends_with("metadata.resourceVersion: Invalid value: 0x0: must be specified for an update"),
        "{}",
        refused.message()
    );
}

#[test]
fn tables_and_selectors() {
    let w = world();
    w.create(WIDGETS, "default", &widget("a", &json!({"size": 3}))).expect(201);
    w.create(WIDGETS, "default", &widget("b", &json!({"size": 4, "color": "red"}))).expect(201);
    let mut r = w.request(Verb::List, WIDGETS, "default", "");
    r.accept = "application/json;as=Table;g=meta.k8s.io;v=v1".to_owned();
    let table = w.send(r).expect(200).json();
    let headings: Vec<&str> =
        table["columnDefinitions"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(headings, ["Name", "Size", "Phase"]);
    assert_eq!(table["rows"][1]["cells"], json!(["b", 4, null]));
    let red = w.list(WIDGETS, "default", "fieldSelector=spec.color=red").expect(200).json();
    assert_eq!(
        (red["items"].as_array().unwrap().len(), &red["items"][0]["metadata"]["name"]),
        (1, &json!("b"))
    );
    w.list(WIDGETS, "default", "fieldSelector=spec.size=3").expect(400);
}

#[test]
fn a_changed_schema_counts_for_what_is_stored() {
    let w = world();
    w.create(WIDGETS, "default", &widget("a", &json!({"size": 3, "replicas": 2}))).expect(201);
    let mut crd = w.get(CRDS, "", "widgets.example.com").json();
    let schema =
        &mut crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
    schema["weight"] = json!({"type": "integer", "default": 5});
    schema.as_object_mut().unwrap().remove("replicas");
    crd["spec"]["versions"][0]["subresources"] = json!({"status": {}});
    w.update(CRDS, "", "widgets.example.com", &crd).expect(200);
    settle(&w);
    let want = json!({"color": "blue", "size": 3, "weight": 5}).to_string();
    assert_eq!(w.get(WIDGETS, "default", "a").at("/spec"), want);
    assert_eq!(w.list(WIDGETS, "default", "").at("/items/0/spec"), want);
    w.get(WIDGETS, "default", "a/scale").expect(404);
}

#[test]
fn versions_show_the_same_object() {
    let w = World::new();
    let mut crd = definition();
    let mut second = crd["spec"]["versions"][0].clone();
    second["name"] = "v1beta1".into();
    second["storage"] = false.into();
    second["deprecated"] = true.into();
    crd["spec"]["versions"].as_array_mut().unwrap().push(second);
    w.create(CRDS, "", &crd).expect(201);
    settle(&w);
    let group = w.path("/apis/example.com").json();
    assert_eq!(group["preferredVersion"]["version"], "v1");
    let of = |verb: Verb, name: &str| {
        let mut r = w.request(verb, WIDGETS, "default", name);
        if let Target::Resource { gvr, .. } = &mut r.target {
            gvr.version = "v1beta1".into();
        }
        r
    };
    let mut create = of(Verb::Create, "");
    create.content_type = JSON.to_owned();
    let mut o = widget("a", &json!({"size": 3}));
    o["apiVersion"] = "example.com/v1beta1".into();
    create.body = o.to_string().into();
    let made = w.send(create).expect(201);
    assert_eq!(made.at("/apiVersion"), "example.com/v1beta1");
    assert_eq!(made.warnings, ["example.com/v1beta1 Widget is deprecated"]);
    assert_eq!(w.get(WIDGETS, "default", "a").at("/apiVersion"), "example.com/v1");
    assert_eq!(w.send(of(Verb::List, "")).at("/items/0/apiVersion"), "example.com/v1beta1");
}

#[test]
fn names_that_are_taken_are_not_served() {
    let w = world();
    let mut other = definition();
    other["metadata"]["name"] = "wd.example.com".into();
    other["spec"]["names"] = json!({"plural": "wd", "kind": "Wd"});
    w.create(CRDS, "", &other).expect(201);
    settle(&w);
    let told = w.get(CRDS, "", "wd.example.com").json();
    assert_eq!(told["status"]["conditions"][0]["reason"], "SingularConflict");
    assert_eq!(told["status"]["conditions"][1]["status"], "False");
    w.list("example.com/wd", "default", "").expect(404);
    w.list(WIDGETS, "default", "").expect(200);
}

#[test]
fn objects_go_before_their_definition() {
    let w = world();
    let mut held = widget("held", &json!({"size": 1}));
    held["metadata"]["finalizers"] = json!(["example.com/wait"]);
    w.create(WIDGETS, "default", &held).expect(201);
    w.create(WIDGETS, "default", &widget("free", &json!({"size": 1}))).expect(201);
    w.delete(CRDS, "", "widgets.example.com", &Json::Null).expect(200);
    assert_eq!(condition(&w, "Terminating"), "True InstanceDeletionPending");
    assert!(settle(&w));
    let refused = w.create(WIDGETS, "default", &widget("late", &json!({"size": 1}))).expect(405);
    assert_eq!(refused.message(), "create not allowed while custom resource definition is terminating");
    assert!(settle(&w), "one is kept by its finalizer");
    w.get(WIDGETS, "default", "free").expect(404);
    assert_eq!(condition(&w, "Terminating"), "True InstanceDeletionInProgress");
    patch(&w, WIDGETS, "held", MERGE, &json!({"metadata": {"finalizers": null}})).expect(200);
    while settle(&w) {}
    settle(&w);
    w.get(CRDS, "", "widgets.example.com").expect(404);
    settle(&w);
    assert_eq!(w.list(WIDGETS, "default", "").code, 404);
    w.create(CRDS, "", &definition()).expect(201);
    settle(&w);
    assert_eq!(w.list(WIDGETS, "default", "").at("/items"), "[]", "and nothing comes back");
}

#[test]
fn definitions_that_cannot_be() {
    let w = World::new();
    let mut crd = definition();
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["size"] =
        json!({"minimum": 1});
    let refused = w.create(CRDS, "", &crd).expect(422);
    let want = "spec.versions[0].schema.openAPIV3Schema.properties[spec].properties[size].type: Required value: must not be empty for specified object fields";
    assert!(refused.message().contains(want), "{}", refused.message());
    let mut crd = definition();
    crd["spec"]["group"] = "widgets.k8s.io".into();
    crd["metadata"]["name"] = "widgets.widgets.k8s.io".into();
    let refused = w.create(CRDS, "", &crd).expect(422);
    assert!(
        refused.message().contains("metadata.annotations[api-approved.kubernetes.io]: Required value"),
        "{}",
        refused.message()
    );
}

#[test]
fn what_is_not_done_yet_is_said() {
    let w = World::new();
    assert_eq!(w.create(CRDS, "", &definition()).expect(201).warnings, Vec::<String>::new());
    let mut crd = definition();
    crd["metadata"]["name"] = "gadgets.example.com".into();
    crd["spec"]["names"] = json!({"plural": "gadgets", "kind": "Gadget"});
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["x-kubernetes-validations"] =
        json!([{"rule": "self.size > 1"}]);
    let told = w.create(CRDS, "", &crd).expect(201).warnings;
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("x-kubernetes-validations are stored, but not evaluated"), "{told:?}");
}
