//! Kinds and the field table agree: every kind has a type, and nothing that defaulting, preparing or converting
//! puts into an object is unknown to it.

mod upstream;

use std::path::Path;

use kinds::{Context, Kind, Storage, all, metadata, scale};
use schema::{FieldValidation, Value, apply_defaults, decode_json, decode_yaml, encode_json, type_of};

fn of(kind: &Kind) -> schema::TypeRef<'static> {
    type_of(&kind.group, &kind.version, &kind.kind).expect("every declared kind is in the field table")
}

/// Encodes and decodes strictly: an unknown or duplicate field, or a wrong type, is an error.
fn strict(kind: &Kind, object: &Value) -> Value {
    let json = encode_json(object, of(kind));
    match decode_json(&json, of(kind), FieldValidation::Strict) {
        Ok(d) => d.value,
        Err(e) => panic!("{}/{}: {e}\n{}", kind.group, kind.kind, String::from_utf8_lossy(&json)),
    }
}

fn whole_write(kind: &Kind, object: &mut Value) {
    let cx = Context { now: "2026-01-01T00:00:00Z".to_owned(), ..Context::default() };
    apply_defaults(object, of(kind));
    kind.strategy().default_fields(object);
    kind.strategy().prepare_for_create(object, &cx);
}

#[test]
fn every_kind_and_subresource_kind_has_a_type() {
    for kind in all() {
        let _ = of(kind);
        for sub in kind.subresources {
            // Options are query parameters and have no kind and apiVersion of their own in a body.
            if let Some(gvk) = &sub.kind {
                assert!(type_of(&gvk.group, &gvk.version, &gvk.kind).is_some(), "{}", gvk.kind);
            }
        }
    }
}

#[test]
fn minimal_objects_stay_in_the_schema() {
    for kind in all() {
        let text = format!(
            "kind: {}\napiVersion: {}\nmetadata: {{name: a, uid: u, labels: {{a: b}}}}\n",
            kind.kind,
            kind.gvk().api_version()
        );
        let mut o = decode_yaml(text.as_bytes(), of(kind), FieldValidation::Strict).unwrap().value;
        whole_write(kind, &mut o);
        strict(kind, &o);
    }
}

/// The reference fixture of a kind, an object with every field set; `None` where upstream has none.
fn fixture(dir: &Path, kind: &Kind) -> Option<Vec<u8>> {
    let group = if kind.group.is_empty() { "core" } else { &kind.group };
    std::fs::read(dir.join(format!("{group}.{}.{}.json", kind.version, kind.kind))).ok()
}

#[test]
fn full_objects_stay_in_the_schema() {
    let Some(dir) = reference::find("k8s-api/fixtures") else { return };
    let mut seen = 0;
    for kind in all() {
        let Some(bytes) = fixture(&dir, kind) else { continue };
        seen += 1;
        let mut o = decode_json(&bytes, of(kind), FieldValidation::Ignore).unwrap().value;
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let _ = kind.columns().cells(&o, now);
        let old = o.clone();
        whole_write(kind, &mut o);
        strict(kind, &o);
        let _ = metadata::validate_create(kind, &o);
        let _ = kind.strategy().validate(&o);
        let _ = kind.strategy().validate_update(&o, &old, kinds::Operation::Update);
        if let Storage::As(conversion) = kind.storage {
            let stored = (conversion.to_storage)(old.clone());
            strict(conversion.kind, &stored);
            strict(kind, &(conversion.from_storage)(stored));
        }
        if kind.subresource("scale").is_some() {
            let s = scale::get(&o);
            let ty = type_of("autoscaling", "v1", "Scale").unwrap();
            decode_json(&encode_json(&s, ty), ty, FieldValidation::Strict).unwrap();
        }
    }
    assert!(seen > 60, "only {seen} kinds have a fixture");
}

#[test]
fn events_convert_without_loss() {
    let Some(dir) = reference::find("k8s-api/fixtures") else { return };
    for group in ["", "events.k8s.io"] {
        let kind = kinds::by_kind(group, "v1", "Event").unwrap();
        let bytes = fixture(&dir, kind).expect("upstream has a fixture of both forms");
        let o = decode_json(&bytes, of(kind), FieldValidation::Ignore).unwrap().value;
        let Storage::As(conversion) = kinds::by_kind("events.k8s.io", "v1", "Event").unwrap().storage else {
            panic!("events.k8s.io events are stored as core events");
        };
        let (there, back) = if group.is_empty() {
            (conversion.from_storage, conversion.to_storage)
        } else {
            (conversion.to_storage, conversion.from_storage)
        };
        assert_eq!(back(there(o.clone())), o);
    }
}
