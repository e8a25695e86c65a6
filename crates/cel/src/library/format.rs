//! Named formats: what strings of them must look like.
//! It must never check what has a rule elsewhere by another one.
// k8s: staging/src/k8s.io/apiserver/pkg/cel/library/format.go

use crate::declare::{Library, decls};
use crate::error::Error;
use crate::meter::Meter;
use crate::types::Type;
use crate::value::{Opaque, Timestamp, Value};
use meta::name;
use std::any::Any;

type Out<'a> = Result<Value<'a>, Error>;

pub const LIBRARY: Library =
    Library { name: "kubernetes.format", functions: FUNCTIONS, macros: &[], types: &[] };

#[rustfmt::skip]
const FUNCTIONS: &[crate::declare::Decl] = decls! {
    "format.byte" "format.byte" "() -> kubernetes.NamedFormat" => |_, _| Ok(constant("byte"));
    "format.date" "format.date" "() -> kubernetes.NamedFormat" => |_, _| Ok(constant("date"));
    "format.datetime" "format.datetime" "() -> kubernetes.NamedFormat" => |_, _| Ok(constant("datetime"));
    "format.dns1035Label" "format.dns1035Label" "() -> kubernetes.NamedFormat" => |_, _| Ok(constant("dns1035Label"));
    "format.dns1035LabelPrefix" "format.dns1035LabelPrefix" "() -> kubernetes.NamedFormat" => |_, _| Ok(constant("dns1035LabelPrefix"));
    "format.dns1123Label" "format.dns1123Label" "() -> kubernetes.NamedFormat" => |_, _| Ok(constant("dns1123Label"));
    "format.dns1123LabelPrefix" "format.dns1123LabelPrefix" "() -> kubernetes.NamedFormat" => |_, _| Ok(constant("dns1123LabelPrefix"));
    "format.dns1123Subdomain" "format.dns1123Subdomain" "() -> kubernetes.NamedFormat" => |_, _| Ok(constant("dns1123Subdomain"));
    "format.dns1123SubdomainPrefix" "format.dns1123SubdomainPrefix" "() -> kubernetes.NamedFormat" => |_, _| Ok(constant("dns1123SubdomainPrefix"));
    "format.labelValue" "format.labelValue" "() -> kubernetes.NamedFormat" => |_, _| Ok(constant("labelValue"));
    "format.named" "format-named" "(string) -> optional_type(kubernetes.NamedFormat)" => named;
    "format.qualifiedName" "format.qualifiedName" "() -> kubernetes.NamedFormat" => |_, _| Ok(constant("qualifiedName"));
    "format.uri" "format.uri" "() -> kubernetes.NamedFormat" => |_, _| Ok(constant("uri"));
    "format.uuid" "format.uuid" "() -> kubernetes.NamedFormat" => |_, _| Ok(constant("uuid"));
    "validate" "format-validate" "kubernetes.NamedFormat.(string) -> optional_type(list(string))" => validate;
};

type Check = fn(&str) -> Vec<String>;

/// A format: the name it is found by, its own, the size of its regular expression, its rule.
struct Named {
    key: &'static str,
    name: &'static str,
    regex: u64,
    check: Check,
}

const FORMATS: &[Named] = &[
    Named { key: "dns1123Label", name: "DNS1123Label", regex: 30, check: name::dns1123_label },
    Named { key: "dns1123Subdomain", name: "DNS1123Subdomain", regex: 60, check: name::dns1123_subdomain },
    Named { key: "dns1035Label", name: "DNS1035Label", regex: 30, check: name::dns1035_label },
    Named { key: "qualifiedName", name: "QualifiedName", regex: 60, check: name::qualified_name },
    Named { key: "dns1123LabelPrefix", name: "DNS1123LabelPrefix", regex: 30, check: label_prefix },
    Named {
        key: "dns1123SubdomainPrefix",
        name: "DNS1123SubdomainPrefix",
        regex: 60,
        check: subdomain_prefix,
    },
    Named { key: "dns1035LabelPrefix", name: "DNS1035LabelPrefix", regex: 30, check: old_label_prefix },
    Named { key: "labelValue", name: "LabelValue", regex: 40, check: name::label_value },
    Named { key: "uri", name: "URI", regex: 1103, check: uri },
    Named { key: "uuid", name: "uuid", regex: 71, check: uuid },
    Named { key: "byte", name: "byte", regex: 84, check: byte },
    Named { key: "date", name: "date", regex: 70, check: date },
    Named { key: "datetime", name: "datetime", regex: 70, check: datetime },
];

/// A format as a value.
#[derive(Clone, Copy)]
struct Format(&'static Named);

impl std::fmt::Debug for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.name)
    }
}

impl Opaque for Format {
    fn ty(&self) -> Type {
        Type::object("kubernetes.NamedFormat")
    }
    fn equals(&self, other: &dyn Opaque) -> bool {
        other.as_any().downcast_ref::<Format>().is_some_and(|o| o.0.name == self.0.name)
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn regex_size(&self) -> Option<u64> {
        Some(self.0.regex)
    }
}

fn find<'a>(key: &str) -> Option<Value<'a>> {
    FORMATS.iter().find(|f| f.key == key).map(|f| Value::opaque(Format(f)))
}

fn constant<'a>(key: &str) -> Value<'a> {
    find(key).unwrap_or(Value::Null)
}

fn named<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    let [Value::Str(key)] = args else { return Err(Error::no_such_overload()) };
    Ok(find(key).map_or(Value::Optional(None), Value::some))
}

fn validate<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    let [format, Value::Str(text)] = args else { return Err(Error::no_such_overload()) };
    let format = format.downcast::<Format>().ok_or_else(Error::no_such_overload)?;
    let complaints = (format.0.check)(text);
    if complaints.is_empty() {
        return Ok(Value::Optional(None));
    }
    Ok(Value::some(Value::list(complaints.into_iter().map(Value::str).collect())))
}

/// A prefix may end in a dash, for a suffix is put behind it.
// k8s: staging/src/k8s.io/apimachinery/pkg/api/validation/generic.go maskTrailingDash
fn masked(text: &str) -> String {
    match text.strip_suffix('-') {
        Some(rest) if !rest.is_empty() => format!("{rest}a"),
        _ => text.to_owned(),
    }
}

fn label_prefix(text: &str) -> Vec<String> {
    name::dns1123_label(&masked(text))
}

fn subdomain_prefix(text: &str) -> Vec<String> {
    name::dns1123_subdomain(&masked(text))
}

fn old_label_prefix(text: &str) -> Vec<String> {
    name::dns1035_label(&masked(text))
}

fn complain(ok: bool, what: &str) -> Vec<String> {
    if ok { Vec::new() } else { vec![what.to_owned()] }
}

fn uri(text: &str) -> Vec<String> {
    super::urls::request_uri(text).err().into_iter().collect()
}

// k8s: k8s.io/kube-openapi/pkg/validation/strfmt/default.go UUIDPattern
fn uuid(text: &str) -> Vec<String> {
    let mut rest = text.as_bytes();
    let mut ok = true;
    for (at, digits) in [8, 4, 4, 4, 12].into_iter().enumerate() {
        if at > 0 {
            rest = rest.strip_prefix(b"-").unwrap_or(rest);
        }
        ok = ok && rest.len() >= digits && rest[..digits].iter().all(u8::is_ascii_hexdigit);
        rest = rest.get(digits..).unwrap_or(b"");
    }
    complain(ok && rest.is_empty(), "does not match the UUID format")
}

// k8s: k8s.io/kube-openapi/pkg/internal/third_party/govalidator patterns.go Base64
fn byte(text: &str) -> Vec<String> {
    let body = text.trim_end_matches('=');
    let letters = body.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/');
    let padding = text.len() - body.len();
    let ok = letters && !text.is_empty() && text.len().is_multiple_of(4) && padding <= 2;
    complain(ok, "invalid base64")
}

fn date(text: &str) -> Vec<String> {
    let ok = text.len() == 10 && Timestamp::parse(&format!("{text}T00:00:00Z")).is_some();
    complain(ok, "invalid date")
}

// k8s: k8s.io/kube-openapi/pkg/validation/strfmt/time.go IsDateTime
fn datetime(text: &str) -> Vec<String> {
    let upper = text.to_ascii_uppercase();
    let ok = upper.split_once('T').is_some_and(|(day, clock)| {
        let b = clock.as_bytes();
        let digits = |at: usize| b.get(at..at + 2).is_some_and(|d| d.iter().all(u8::is_ascii_digit));
        let number = |at: usize| b.get(at..at + 2).map_or(99, |d| (d[0] - b'0') * 10 + d[1] - b'0');
        let form = digits(0) && b.get(2) == Some(&b':') && digits(3) && b.get(5) == Some(&b':') && digits(6);
        if !form || number(0) > 23 || number(3) > 59 || number(6) > 59 {
            return false;
        }
        let mut rest = &clock[8..];
        if let Some(fraction) = rest.strip_prefix('.') {
            let end = fraction.find(|c: char| !c.is_ascii_digit()).unwrap_or(fraction.len());
            if end == 0 {
                return false;
            }
            rest = &fraction[end..];
        }
        let zone = rest == "Z"
            || rest.strip_prefix(['+', '-']).is_some_and(|z| {
                z.len() == 5
                    && z.as_bytes()[2] == b':'
                    && z.bytes().enumerate().all(|(at, b)| at == 2 || b.is_ascii_digit())
            });
        zone && date(day).is_empty()
    });
    complain(ok, "invalid datetime")
}
