//! No input makes a decoder panic, and what is decoded encodes to something that decodes to the same.

use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::*;
use schema::patch::{self, PatchKind};
use schema::{
    FieldValidation, TypeRef, decode_json, decode_plain, decode_protobuf, decode_yaml, encode_json,
    encode_protobuf, encode_yaml, type_of,
};

use crate::fixtures::{Fixture, fixtures};

static FIXTURES: LazyLock<Vec<Fixture>> = LazyLock::new(|| fixtures().unwrap_or_default());

fn pod() -> TypeRef<'static> {
    type_of("", "v1", "Pod").expect("a built-in kind")
}

/// Whatever comes in, what comes out is stable in every form.
fn check(ty: TypeRef<'static>, bytes: &[u8]) {
    let decoded =
        [decode_json(bytes, ty, FieldValidation::Ignore).map(|d| d.value), decode_protobuf(bytes, ty)];
    for value in decoded.into_iter().flatten() {
        let json = encode_json(&value, ty);
        let again = decode_json(&json, ty, FieldValidation::Strict).expect("own JSON decodes").value;
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        assert_eq!(text(&encode_json(&again, ty)), text(&json));
        let _ = encode_protobuf(&value, ty);
    }
}

/// Numbers settle with the first decoding of what was encoded, as upstream's do: `0E0` is written as 0, a whole
/// number then, and `-0.0` as -0, which is 0.
fn settles(text: &[u8]) {
    let round = |text: &[u8]| schema::encode_plain(&decode_plain(text).expect("own JSON"));
    if let Ok(v) = decode_plain(text) {
        let settled = round(&schema::encode_plain(&v));
        assert_eq!(round(&settled), settled);
    }
}

#[test]
fn numbers_settle() {
    for (text, want) in [("0E0", "0"), ("-0.0", "0"), ("1e2", "100"), ("[1.5]", "[1.5]")] {
        settles(text.as_bytes());
        let once = schema::encode_plain(&decode_plain(text.as_bytes()).expect("JSON"));
        assert_eq!(schema::encode_plain(&decode_plain(&once).expect("own JSON")), want.as_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn random_bytes(bytes in vec(any::<u8>(), 0..200)) {
        check(pod(), &bytes);
        let _ = decode_yaml(&bytes, pod(), FieldValidation::Warn);
        let mut framed = b"k8s\0".to_vec();
        framed.extend(&bytes);
        check(pod(), &framed);
        check(pod(), &schema::protobuf::wrap("v1", "Pod", &bytes));
    }

    #[test]
    fn random_json_text(text in "[\\[\\]{}:,\"a-c0-9.eE+\\-ntfu \\\\]{0,60}") {
        check(pod(), text.as_bytes());
        settles(text.as_bytes());
    }

    #[test]
    fn mutated_fixtures(which in any::<prop::sample::Index>(), edits in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        if !FIXTURES.is_empty() {
            let f = which.get(&FIXTURES);
            for form in [&f.json, &f.protobuf] {
                let mut bytes = form.clone();
                for (at, byte) in edits.iter().filter(|_| !form.is_empty()) {
                    let at = at.index(bytes.len());
                    bytes[at] = *byte;
                }
                check(f.ty, &bytes);
            }
        }
    }

    #[test]
    fn random_patches(text in "[\\[\\]{}:,\"a-c$]{0,40}") {
        let empty = schema::Value::Map(schema::Map::new());
        for kind in [PatchKind::Json, PatchKind::Merge, PatchKind::Strategic] {
            let _ = patch::apply(&empty, pod(), kind, text.as_bytes(), FieldValidation::Ignore);
        }
    }

    #[test]
    fn any_text_in_yaml(text in "\\PC{0,30}|[ \\-:#'\"\n\ta-z0-9]{0,30}") {
        let ty = type_of("", "v1", "ConfigMap").expect("a built-in kind");
        let mut map = schema::Map::new();
        map.set("k", text.clone());
        let value = schema::Value::Map({ let mut m = schema::Map::new(); m.set("data", map); m });
        let yaml = encode_yaml(&value, ty);
        let back = decode_yaml(&yaml, ty, FieldValidation::Strict);
        let back = back.unwrap_or_else(|e| panic!("{text:?}: {e}\n{}", String::from_utf8_lossy(&yaml))).value;
        prop_assert_eq!(back.str_at(&["data", "k"]), text, "{}", String::from_utf8_lossy(&yaml));
    }
}
