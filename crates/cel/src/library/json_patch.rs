//! JSON patches: the type that mutations build, and keys for their paths.
//! It must never apply a patch; that is for whoever evaluates a mutation.
// k8s: staging/src/k8s.io/apiserver/pkg/cel/library/jsonpatch.go, mutation/jsonpatch.go

use crate::declare::{Library, decls};
use crate::error::Error;
use crate::meter::Meter;
use crate::types::Type;
use crate::value::Value;

type Out<'a> = Result<Value<'a>, Error>;

pub const LIBRARY: Library =
    Library { name: "kubernetes.jsonpatch", functions: FUNCTIONS, macros: &[], types: &[] };

#[rustfmt::skip]
const FUNCTIONS: &[crate::declare::Decl] = decls! {
    "jsonpatch.escapeKey" "string_jsonpatch_escapeKey_string" "(string) -> string" => escape_key;
};

/// The name of the type.
pub const TYPE: &str = "JSONPatch";

/// The type of a patch's field.
#[must_use]
pub fn field(name: &str) -> Option<Type> {
    match name {
        "op" | "path" | "from" => Some(Type::String),
        "value" => Some(Type::Dyn),
        _ => None,
    }
}

fn escape_key<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    let [Value::Str(key)] = args else { return Err(Error::no_such_overload()) };
    Ok(Value::str(key.replace('~', "~0").replace('/', "~1")))
}
