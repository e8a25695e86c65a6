//! Base 64. Not part of what Kubernetes lets expressions use.
//! It must never decode what is not base 64.
// k8s: github.com/google/cel-go ext/encoders.go

use crate::declare::{Library, decls};
use crate::error::Error;
use crate::meter::Meter;
use crate::value::Value;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

type Out<'a> = Result<Value<'a>, Error>;

pub const LIBRARY: Library =
    Library { name: "cel.lib.ext.encoders", functions: FUNCTIONS, macros: &[], types: &[] };

#[rustfmt::skip]
const FUNCTIONS: &[crate::declare::Decl] = decls! {
    "base64.decode" "base64_decode_string" "(string) -> bytes" => decode;
    "base64.encode" "base64_encode_bytes" "(bytes) -> string" => encode;
};

fn decode<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    let [Value::Str(text)] = args else { return Err(Error::no_such_overload()) };
    let text: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    let bytes = STANDARD.decode(&text).or_else(|_| STANDARD_NO_PAD.decode(&text));
    let bytes = bytes.map_err(|e| {
        let at = match e {
            base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => at,
            _ => text.len(),
        };
        Error::new(format!("illegal base64 data at input byte {at}"))
    })?;
    Ok(Value::Bytes(bytes.into()))
}

fn encode<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    let [Value::Bytes(bytes)] = args else { return Err(Error::no_such_overload()) };
    Ok(Value::str(STANDARD.encode(&**bytes)))
}
