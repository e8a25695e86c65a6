//! Finding what matches a regular expression.
//! It must never keep more of them than an evaluation has.
// k8s: staging/src/k8s.io/apiserver/pkg/cel/library/regex.go

use crate::declare::{Library, decls};
use crate::error::Error;
use crate::meter::Meter;
use crate::value::Value;

type Out<'a> = Result<Value<'a>, Error>;

pub const LIBRARY: Library =
    Library { name: "kubernetes.regex", functions: FUNCTIONS, macros: &[], types: &[] };

#[rustfmt::skip]
const FUNCTIONS: &[crate::declare::Decl] = decls! {
    "find" "string_find_string" "string.(string) -> string" => find;
    "findAll" "string_find_all_string" "string.(string) -> list(string)" => find_all;
    "findAll" "string_find_all_string_int" "string.(string, int) -> list(string)" => find_all;
};

fn find<'a>(run: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    let [Value::Str(text), Value::Str(pattern)] = args else { return Err(Error::no_such_overload()) };
    let found = illegal(run.regex(pattern))?.find(text);
    Ok(Value::str(found.map_or("", |m| m.as_str()).to_owned()))
}

fn find_all<'a>(run: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    let [Value::Str(text), Value::Str(pattern), rest @ ..] = args else {
        return Err(Error::no_such_overload());
    };
    let most = rest.first().and_then(Value::as_int).unwrap_or(-1);
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let regex = illegal(run.regex(pattern))?;
    let mut out = Vec::new();
    let mut last = None;
    for m in regex.find_iter(text) {
        // Nothing directly behind what was found is not found again.
        if m.is_empty() && last == Some(m.start()) {
            continue;
        }
        last = Some(m.end());
        if out.len() >= most {
            break;
        }
        out.push(Value::str(m.as_str().to_owned()));
    }
    Ok(Value::list(out))
}

fn illegal<T>(regex: Result<T, Error>) -> Result<T, Error> {
    regex.map_err(|e| if e.is_cancelled() { e } else { Error::new(format!("Illegal regex: {e}")) })
}
