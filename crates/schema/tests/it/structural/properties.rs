//! What holds for any schema and any value.

use meta::Path;
use proptest::prelude::*;
use schema::structural::Structural;
use schema::{FieldValidation, Map, Value};

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "c", "metadata", "kind", "apiVersion"])
}

/// Values with few names, so that schemas meet them.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        (-1e3..1e3).prop_map(Value::Float),
        Just(Value::Float(1.0)),
        "[a-c]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
            prop::collection::btree_map(name(), inner, 0..4)
                .prop_map(|m| Value::Map(Map(m.into_iter().map(|(k, v)| (k.into(), v)).collect()))),
        ]
    })
}

fn map(entries: Vec<(&'static str, Value)>) -> Value {
    Value::Map(Map(entries.into_iter().map(|(k, v)| (k.into(), v)).collect()))
}

/// Any schema, often a structural one.
fn any_schema() -> impl Strategy<Value = Value> {
    let text = |s: &str| Value::from(s);
    let leaf = prop_oneof![
        Just(map(vec![("type", text("string"))])),
        Just(map(vec![
            ("type", text("integer")),
            ("minimum", Value::Float(2.0)),
            ("multipleOf", Value::Float(3.0))
        ])),
        Just(map(vec![("type", text("string")), ("nullable", true.into()), ("pattern", text("^a"))])),
        Just(map(vec![("x-kubernetes-int-or-string", true.into())])),
        Just(map(vec![("x-kubernetes-preserve-unknown-fields", true.into())])),
        Just(map(vec![("type", text("string")), ("default", text("a"))])),
        Just(map(vec![("type", text("number")), ("enum", vec![Value::Int(1)].into())])),
        Just(map(vec![
            ("type", text("object")),
            ("x-kubernetes-embedded-resource", true.into()),
            ("x-kubernetes-preserve-unknown-fields", true.into()),
        ])),
    ];
    leaf.prop_recursive(3, 24, 3, move |inner| {
        let list_type = prop::sample::select(vec!["atomic", "set", "map"]);
        prop_oneof![
            (inner.clone(), list_type).prop_map(move |(items, kind)| map(vec![
                ("type", text("array")),
                ("items", items),
                ("x-kubernetes-list-type", text(kind)),
                ("x-kubernetes-list-map-keys", vec![text("a")].into()),
            ])),
            inner.clone().prop_map(move |s| map(vec![("type", text("object")), ("additionalProperties", s)])),
            (prop::collection::btree_map(name(), inner.clone(), 0..4), any::<bool>()).prop_map(
                move |(p, open)| {
                    let mut out = vec![
                        ("type", text("object")),
                        ("properties", map(p.into_iter().collect())),
                        ("required", vec![text("a")].into()),
                    ];
                    if open {
                        out.push(("x-kubernetes-preserve-unknown-fields", true.into()));
                    }
                    map(out)
                }
            ),
            prop::collection::vec(inner.clone(), 1..3)
                .prop_map(move |l| map(vec![("type", text("object")), ("anyOf", Value::List(l))])),
            (inner, any_value()).prop_map(move |(mut s, default)| {
                s.set_at(&["default"], default);
                s
            }),
        ]
    })
}

fn compile(schema: &Value) -> Structural {
    let mut root = map(vec![("type", Value::from("object"))]);
    root.set_at(&["properties", "spec"], schema.clone());
    Structural::compile(&root, false, &Path::new("s")).0
}

fn object(spec: Value) -> Value {
    let mut out = map(vec![("apiVersion", Value::from("v1")), ("kind", Value::from("A"))]);
    out.set_at(&["spec"], spec);
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn once_is_enough(schema in any_schema(), spec in any_value()) {
        let s = compile(&schema);
        let mut once = object(spec);
        s.prune(&mut once);
        let mut twice = once.clone();
        prop_assert_eq!(s.prune(&mut twice), Vec::<String>::new());
        prop_assert_eq!(&once, &twice);
        let right = Structural::compile(&{
            let mut root = map(vec![("type", Value::from("object"))]);
            root.set_at(&["properties", "spec"], schema);
            root
        }, false, &Path::new("s")).1.is_empty();
        if right {
            s.default(&mut once);
            let mut twice = once.clone();
            s.default(&mut twice);
            prop_assert_eq!(&once, &twice);
        }
    }

    #[test]
    fn judging_never_panics(schema in any_schema(), old in any_value(), new in any_value()) {
        let s = compile(&schema);
        let (old, new) = (object(old), object(new));
        let alone = s.validate(&new, None);
        let beside = s.validate(&new, Some(&old));
        prop_assert!(beside.len() <= alone.len() || alone.is_empty(), "{beside:?} but {alone:?}");
        let held = s.held("example.com", "v1", "A");
        let bytes = schema::encode_json(&new, held.get());
        let read = schema::decode_json(&bytes, held.get(), FieldValidation::Ignore);
        // A whole number with a point is written without, as Go writes it.
        prop_assert_eq!(read.map(|d| schema::encode_json(&d.value, held.get())), Ok(bytes));
    }
}
