//! Every kind's fixture decodes from each form to the same value and encodes back.

use schema::{FieldValidation, decode_json, encode_json};

use crate::fixtures::fixtures;

#[test]
fn json() {
    for f in fixtures() {
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
