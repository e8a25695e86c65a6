//! YAML both ways, as a dress of JSON: what YAML 1.1 says (`yes` is true, 0644 is 420), what JSON can hold.
//! It must never expand aliases without limit.

mod emit;

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::DuplicateKeyPolicy;

use crate::json::{DecodeError, Decoded, FieldValidation, MAX_DEPTH, decode_json, encode_json, encode_plain};
use crate::{Map, TypeRef, Value};

pub use emit::encode_yaml_plain;

/// What aliases may add, in YAML events.
const MAX_ALIAS_EVENTS: usize = 100_000;

/// Decodes one YAML document into a value of type `ty`, as [`decode_json`] does.
/// The caller limits the size of `bytes`.
///
/// # Errors
/// As [`decode_json`]; and when the text is not YAML or holds several documents.
// k8s: staging/src/k8s.io/apimachinery/pkg/runtime/serializer/json/json.go Decode (yaml)
pub fn decode_yaml(
    bytes: &[u8],
    ty: TypeRef<'_>,
    validation: FieldValidation,
) -> Result<Decoded, DecodeError> {
    let (value, repeated) = parse(bytes)?;
    let mut decoded = match (decode_json(&encode_plain(&value), ty, validation), repeated) {
        (Err(DecodeError::Strict(mut errors)), Some(repeated)) => {
            errors.insert(0, repeated);
            return Err(DecodeError::Strict(errors));
        }
        (Ok(_), Some(repeated)) if validation == FieldValidation::Strict => {
            return Err(DecodeError::Strict(vec![repeated]));
        }
        (Ok(mut decoded), Some(repeated)) if validation == FieldValidation::Warn => {
            decoded.warnings.insert(0, repeated);
            decoded
        }
        (other, _) => other?,
    };
    decoded.warnings.dedup();
    Ok(decoded)
}

/// Decodes one YAML document without a type.
///
/// # Errors
/// When the text is not YAML or holds several documents.
pub fn decode_yaml_plain(bytes: &[u8]) -> Result<Value, DecodeError> {
    Ok(parse(bytes)?.0)
}

/// The canonical form of a value of type `ty` as YAML, keys sorted.
#[must_use]
pub fn encode_yaml(value: &Value, ty: TypeRef<'_>) -> Vec<u8> {
    let json = encode_json(value, ty);
    let plain = crate::decode_plain(&json).unwrap_or_default();
    encode_yaml_plain(&plain)
}

/// The document, and what to say about keys that are given twice (the last counts).
fn parse(bytes: &[u8]) -> Result<(Value, Option<String>), DecodeError> {
    let text = String::from_utf8_lossy(bytes);
    if let Some(line) = tab_indented(&text) {
        let why = format!("line {line}: found character that cannot start any token");
        return Err(DecodeError::Syntax(format!("error converting YAML to JSON: yaml: {why}")));
    }
    match parse_with(&text, DuplicateKeyPolicy::Error) {
        Ok(value) => Ok((value, None)),
        Err(first) => match parse_with(&text, DuplicateKeyPolicy::LastWins) {
            Ok(value) => Ok((value, Some(format!("yaml: {first}")))),
            Err(e) => Err(DecodeError::Syntax(format!("error converting YAML to JSON: yaml: {e}"))),
        },
    }
}

/// The first line that is indented by a tab, which YAML allows inside brackets only.
fn tab_indented(text: &str) -> Option<usize> {
    if matches!(text.trim_start().bytes().next(), Some(b'{' | b'[')) {
        return None;
    }
    let is_content =
        |l: &str| l.starts_with('\t') && !matches!(l.trim_start().chars().next(), None | Some('#'));
    text.lines().position(is_content).map(|i| i + 1)
}

fn parse_with(text: &str, duplicate_keys: DuplicateKeyPolicy) -> Result<Value, String> {
    let options = serde_saphyr::options! {
        legacy_octal_numbers: true,
        duplicate_keys: duplicate_keys,
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_ALIAS_EVENTS },
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options::<Plain>(text, options).map(|p| p.0).map_err(|e| e.to_string())
}

struct Plain(Value);

impl<'de> serde::Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Seed { depth: MAX_DEPTH }.deserialize(d).map(Plain)
    }
}

#[derive(Clone, Copy)]
struct Seed {
    depth: usize,
}

impl Seed {
    fn deeper<E: serde::de::Error>(self) -> Result<Seed, E> {
        let depth = self.depth.checked_sub(1).ok_or_else(|| E::custom("exceeded max depth"))?;
        Ok(Seed { depth })
    }
}

impl<'de> DeserializeSeed<'de> for Seed {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Value, D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that JSON can hold")
    }
    fn visit_bool<E>(self, b: bool) -> Result<Value, E> {
        Ok(Value::Bool(b))
    }
    fn visit_i64<E>(self, i: i64) -> Result<Value, E> {
        Ok(Value::Int(i))
    }
    fn visit_u64<E>(self, u: u64) -> Result<Value, E> {
        Ok(i64::try_from(u).map_or(Value::Float(u as f64), Value::Int))
    }
    fn visit_f64<E>(self, f: f64) -> Result<Value, E> {
        Ok(Value::Float(f))
    }
    fn visit_str<E>(self, s: &str) -> Result<Value, E> {
        Ok(Value::Str(s.into()))
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_some<D: Deserializer<'de>>(self, d: D) -> Result<Value, D::Error> {
        self.deserialize(d)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let seed = self.deeper()?;
        let mut list = Vec::new();
        while let Some(v) = seq.next_element_seed(seed)? {
            list.push(v);
        }
        Ok(Value::List(list))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let seed = self.deeper()?;
        let mut out = Map::new();
        while let Some(key) = map.next_key_seed(seed)? {
            let key = key_text(key).ok_or_else(|| serde::de::Error::custom("a key must be a scalar"))?;
            out.0.push((Cow::Owned(key), map.next_value_seed(seed)?));
        }
        Ok(Value::Map(out))
    }
}

/// JSON has only text keys.
fn key_text(key: Value) -> Option<String> {
    Some(match key {
        Value::Str(s) => s.into_string(),
        Value::Int(i) => i.to_string(),
        Value::Bool(b) => b.to_string(),
        Value::Float(f) => crate::json::format_float(f),
        Value::Null => "null".to_owned(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(yaml: &str) -> String {
        let v = decode_yaml_plain(yaml.as_bytes()).unwrap_or_else(|e| panic!("{yaml}: {e}"));
        String::from_utf8(encode_plain(&v)).expect("JSON is text")
    }

    #[test]
    fn as_yaml_1_1() {
        let cases = [
            ("a: yes", r#"{"a":true}"#),
            ("a: off", r#"{"a":false}"#),
            ("a: 0644", r#"{"a":420}"#),
            ("a: 0o17", r#"{"a":15}"#),
            ("a: 1.50", r#"{"a":1.5}"#),
            ("a: '1'", r#"{"a":"1"}"#),
            ("a: ~", r#"{"a":null}"#),
            ("a:", r#"{"a":null}"#),
            ("1: x", r#"{"1":"x"}"#),
            ("a: 2001-01-01", r#"{"a":"2001-01-01"}"#),
            ("a: |\n  x\n  y\n", r#"{"a":"x\ny\n"}"#),
            ("a: &x {b: 1}\nc: *x", r#"{"a":{"b":1},"c":{"b":1}}"#),
            ("{\"a\": [1, 2]}", r#"{"a":[1,2]}"#),
            ("{\n\t\"a\": 1\n}", r#"{"a":1}"#),
            ("a: |\n  x\n  \ty\n", r#"{"a":"x\n\ty\n"}"#),
            ("- a: 1\n  b: 2\n-\n  - 3", r#"[{"a":1,"b":2},[3]]"#),
        ];
        for (yaml, want) in cases {
            assert_eq!(json(yaml), want, "{yaml}");
        }
    }

    #[test]
    fn refused() {
        for yaml in ["a: [", "a: 1\n---\nb: 2", "a: b: c", "\ta: 1", "a:\n\tb: 1"] {
            assert!(decode_yaml_plain(yaml.as_bytes()).is_err(), "{yaml}");
        }
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for i in 1..12 {
            let before = format!("*a{},", i - 1).repeat(10);
            bomb.push_str(&format!("a{i}: &a{i} [{before}]\n"));
        }
        assert!(decode_yaml_plain(bomb.as_bytes()).is_err());
    }

    #[test]
    fn emitted_text_reads_back() {
        let cases = [
            r#"{"a":"yes","b":"1","c":"","d":"null","e":"a: b","f":"x # y","g":"- a","h":" lead","i":"two\nlines\n"}"#,
            r#"{"a":[],"b":{},"c":[{"x":1,"y":[1,[2]]},[]],"d":null,"e":1.5,"f":true,"g":"~","h":"0644","i":"1e3"}"#,
            r#"{"a":"no newline\nat end","b":"\n","c":"trailing \nspace","d":"tab\tinside","e":"quote'\"","f":"é","g":"*x"}"#,
            r#"{"a":"  indented\nblock","b":"2001-01-01","c":".5","d":"0x1f","e":"=","f":"@x","g":"%x","h":"a'b","i":"\u0001"}"#,
        ];
        for case in cases {
            let v = crate::decode_plain(case.as_bytes()).expect("JSON");
            let yaml = encode_yaml_plain(&v);
            let text = String::from_utf8_lossy(&yaml).into_owned();
            assert_eq!(decode_yaml_plain(&yaml).unwrap_or_else(|e| panic!("{text}: {e}")), v, "{text}");
        }
    }

    #[test]
    fn emitted_as_upstream() {
        let v =
            crate::decode_plain(br#"{"b":[{"name":"x","ports":[1]},{"y":{}}],"a":{"k":"v"},"c":"a\nb\n"}"#);
        let yaml = encode_yaml_plain(&v.expect("JSON"));
        let want = "a:\n  k: v\nb:\n- name: x\n  ports:\n  - 1\n- \"y\": {}\nc: |\n  a\n  b\n";
        assert_eq!(String::from_utf8_lossy(&yaml), want);
    }
}
