//! Pruning, defaults, and the type by which objects are read and written.
// k8s: apiextensions-apiserver pkg/apiserver/schema/pruning/algorithm_test.go, defaulting/*_test.go

use schema::{FieldValidation, Shape, Value};

use super::{compiled, value};

fn pruned(schema: &str, object: &str) -> (Value, Vec<String>) {
    let mut object = value(object);
    let dropped = compiled(schema).prune(&mut object);
    (object, dropped)
}

#[test]
fn pruning() {
    let table: &[(&str, &str, &str, &[&str])] = &[
        (
            "{type: object}",
            "{apiVersion: v1, kind: A, metadata: {name: x, unknown: 1}, spec: {a: 1}}",
            "{apiVersion: v1, kind: A, metadata: {name: x, unknown: 1}}",
            &["spec"],
        ),
        (
            "{type: object, properties: {a: {type: object, properties: {b: {type: string}}}}}",
            "{a: {b: x, c: 1, kind: y}, d: 2}",
            "{a: {b: x}}",
            &["a.c", "a.kind", "d"],
        ),
        (
            "{type: object, properties: {a: {type: array, items: {type: object, properties: {b: {type: string}}}}}}",
            "{a: [{b: x}, {c: 1}, 5]}",
            "{a: [{b: x}, {}, 5]}",
            &["a[1].c"],
        ),
        (
            "{type: object, x-kubernetes-preserve-unknown-fields: true, properties: {a: {type: object, properties: {b: {type: string}}}}}",
            "{a: {c: 1}, d: {e: 2}}",
            "{a: {}, d: {e: 2}}",
            &["a.c"],
        ),
        (
            "{type: object, properties: {a: {type: object, additionalProperties: {type: object, properties: {b: {type: string}}}}}}",
            "{a: {x: {b: y, c: 1}}}",
            "{a: {x: {b: y}}}",
            &["a.x.c"],
        ),
        (
            "{type: object, properties: {a: {type: object, additionalProperties: true}}}",
            "{a: {x: {b: y}, z: 1}}",
            "{a: {x: {}, z: 1}}",
            &["a.x.b"],
        ),
        (
            "{type: object, properties: {a: {type: object, x-kubernetes-preserve-unknown-fields: true}}}",
            "{a: {x: [{y: 1}]}}",
            "{a: {x: [{y: 1}]}}",
            &[],
        ),
        (
            "{type: object, properties: {a: {type: object, x-kubernetes-embedded-resource: true, properties: {spec: {type: object}}}}}",
            "{a: {apiVersion: v1, kind: A, metadata: {name: x, unknown: 1}, spec: {b: 1}, other: 2}}",
            "{a: {apiVersion: v1, kind: A, metadata: {name: x}, spec: {}}}",
            &["a.metadata.unknown", "a.other", "a.spec.b"],
        ),
    ];
    for (schema, object, wanted, dropped) in table {
        assert_eq!(
            pruned(schema, object),
            (value(wanted), dropped.iter().map(|s| (*s).to_owned()).collect()),
            "{object}"
        );
    }
}

#[test]
fn defaults() {
    let table: &[(&str, &str, &str)] = &[
        ("{a: {type: string, default: x}}", "{}", "{a: x}"),
        ("{a: {type: string, default: x}}", "{a: y}", "{a: y}"),
        ("{a: {type: string, default: x}}", "{a: null}", "{a: x}"),
        ("{a: {type: string, default: x, nullable: true}}", "{a: null}", "{a: null}"),
        ("{a: {type: string}}", "{a: null}", "{}"),
        ("{a: {type: string, nullable: true}}", "{a: null}", "{a: null}"),
        ("{a: {type: object, properties: {b: {type: string, default: x}}}}", "{}", "{}"),
        (
            "{a: {type: object, default: {}, properties: {b: {type: string, default: x}}}}",
            "{}",
            "{a: {b: x}}",
        ),
        (
            "{a: {type: array, items: {type: object, properties: {b: {type: string, default: x}}}}}",
            "{a: [{}, {b: y}, null]}",
            "{a: [{b: x}, {b: y}, null]}",
        ),
        ("{a: {type: array, items: {type: string, default: x}}}", "{a: [null]}", "{a: [x]}"),
        (
            "{a: {type: object, additionalProperties: {type: string, default: x}}}",
            "{a: {b: null}}",
            "{a: {b: x}}",
        ),
        (
            "{a: {type: object, additionalProperties: {type: object, properties: {b: {type: integer, default: 3}}}}}",
            "{a: {k: {}}}",
            "{a: {k: {b: 3}}}",
        ),
    ];
    for (properties, object, wanted) in table {
        let s = compiled(&format!("{{type: object, properties: {properties}}}"));
        let mut object = value(object);
        s.default(&mut object);
        assert_eq!(object, value(wanted), "{properties}");
    }
}

#[test]
fn nothing_is_pruned_where_unknown_fields_are_preserved() {
    let raw = super::schema("{type: object, properties: {a: {type: string}}}");
    let (s, errors) = schema::structural::Structural::compile(&raw, true, &meta::Path::new("s"));
    assert_eq!(errors, []);
    let mut object = value("{a: null, b: {c: 1}}");
    assert_eq!(s.prune(&mut object), Vec::<String>::new());
    s.default(&mut object);
    assert_eq!(object, value("{a: null, b: {c: 1}}"));
}

const WIDGET: &str = "{type: object, properties: {spec: {type: object, required: [size], properties: {size: {type: integer}, tags: {type: array, x-kubernetes-list-type: set, items: {type: string}}, ports: {type: array, x-kubernetes-list-type: map, x-kubernetes-list-map-keys: [port], items: {type: object, required: [port], properties: {port: {type: integer}, name: {type: string, nullable: true}}}}, labels: {type: object, x-kubernetes-map-type: atomic, additionalProperties: {type: string}}}}}}";

#[test]
fn the_type_keeps_what_validation_judges() {
    let held = compiled(WIDGET).held("example.com", "v1", "Widget");
    let ty = held.get();
    assert_eq!((ty.full_name(), ty.is_kind(), ty.has_protobuf()), ("example.com/v1.Widget", true, false));
    let read = |text: &str| schema::decode_json(text.as_bytes(), ty, FieldValidation::Warn).unwrap();
    let text = r#"{"spec":{"tags":"x","size":"big","ports":[null,{"port":1,"name":null,"z":{"b":1,"a":2}}],"labels":[1]},"kind":"Widget","apiVersion":"example.com/v1","metadata":{"name":"a","labels":{"k":"v"}}}"#;
    let decoded = read(text);
    assert_eq!(decoded.warnings, Vec::<String>::new());
    let written = String::from_utf8(schema::encode_json(&decoded.value, ty)).unwrap();
    assert_eq!(
        written,
        r#"{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"a","creationTimestamp":null,"labels":{"k":"v"}},"spec":{"labels":[1],"ports":[null,{"name":null,"port":1,"z":{"a":2,"b":1}}],"size":"big","tags":"x"}}"#
            .replace("\"creationTimestamp\":null,", if written.contains("creationTimestamp") { "\"creationTimestamp\":null," } else { "" })
    );
    assert_eq!(read(&written).value, decoded.value);
    // Metadata is of its type.
    assert_eq!(read(r#"{"metadata":{"bug":1}}"#).warnings, ["unknown field \"metadata.bug\""]);
    let wrong = schema::decode_json(br#"{"metadata":{"labels":1}}"#, ty, FieldValidation::Warn).unwrap_err();
    assert!(wrong.to_string().contains("Go struct field"), "{wrong}");
    assert!(schema::decode_json(b"[]", ty, FieldValidation::Warn).is_err());
}

#[test]
fn the_type_knows_how_to_merge() {
    let held = compiled(WIDGET).held("example.com", "v1", "Widget");
    let spec = held.get().at(&["spec"]).unwrap();
    let of = |name: &str| spec.field(name).unwrap();
    assert_eq!(of("tags").list_type(), Some(schema::ListType::Set));
    assert_eq!(of("ports").list_type(), Some(schema::ListType::Map));
    assert_eq!(of("ports").list_keys(), ["port"]);
    assert!(matches!(of("ports").ty().shape(), Shape::List(e) if e.field("port").is_some() && e.is_open()));
    assert!(of("labels").is_atomic() && of("size").required());
    assert!(held.get().at(&["metadata", "labels"]).is_some());
}
