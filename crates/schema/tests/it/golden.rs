//! Every kind's fixture decodes from each form to the same value and encodes back.

use schema::{
    FieldValidation, Value, decode_json, decode_protobuf, decode_yaml, encode_json, encode_protobuf,
    encode_yaml,
};

use crate::fixtures::fixtures;

#[test]
fn json() {
    let Some(fixtures) = fixtures() else { return };
    for f in fixtures {
        let decoded = decode_json(&f.json, f.ty, FieldValidation::Strict);
        let decoded = decoded.unwrap_or_else(|e| panic!("{}: {e}", f.name));
        let out = encode_json(&decoded.value, f.ty);
        let got: serde_json::Value = serde_json::from_slice(&out).expect("own JSON is JSON");
        let want: serde_json::Value = serde_json::from_slice(&f.json).expect("a fixture is JSON");
        assert_eq!(got, want, "{}", f.name);
        let again = decode_json(&out, f.ty, FieldValidation::Strict).expect("own JSON decodes");
        assert_eq!(again.value, decoded.value, "{}", f.name);
    }
}

fn from_json(f: &crate::fixtures::Fixture) -> Value {
    decode_json(&f.json, f.ty, FieldValidation::Strict).unwrap_or_else(|e| panic!("{}: {e}", f.name)).value
}

#[test]
fn yaml() {
    let Some(fixtures) = fixtures() else { return };
    for f in fixtures {
        let want = from_json(&f);
        let decoded = decode_yaml(&f.yaml, f.ty, FieldValidation::Strict);
        assert_eq!(decoded.unwrap_or_else(|e| panic!("{}: {e}", f.name)).value, want, "{}", f.name);
        let out = encode_yaml(&want, f.ty);
        assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(&f.yaml), "{}", f.name);
    }
}

#[test]
fn protobuf() {
    let Some(fixtures) = fixtures() else { return };
    for f in fixtures {
        let want = from_json(&f);
        let value = decode_protobuf(&f.protobuf, f.ty).unwrap_or_else(|e| panic!("{}: {e}", f.name));
        let text = |v: &Value| String::from_utf8_lossy(&encode_json(v, f.ty)).into_owned();
        assert_eq!(text(&value), text(&want), "{}", f.name);
        assert_eq!(value, want, "{}", f.name);
        assert_eq!(encode_protobuf(&want, f.ty), f.protobuf, "{}", f.name);
    }
}
