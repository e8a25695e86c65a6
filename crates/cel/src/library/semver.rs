//! Semantic versions, version 1 of the library: short and padded ones can be made whole.
//! It must never order by build metadata.
// k8s: staging/src/k8s.io/apiserver/pkg/cel/library/semverlib.go; github.com/blang/semver/v4 semver.go

use crate::declare::{Library, decls};
use crate::error::Error;
use crate::meter::Meter;
use crate::types::Type;
use crate::value::{Opaque, Value};
use std::any::Any;
use std::cmp::Ordering;

type Out<'a> = Result<Value<'a>, Error>;

pub const LIBRARY: Library =
    Library { name: "kubernetes.Semver", functions: FUNCTIONS, macros: &[], types: &[] };

#[rustfmt::skip]
const FUNCTIONS: &[crate::declare::Decl] = decls! {
    "compareTo" "semver_compare_to" "kubernetes.Semver.(kubernetes.Semver) -> int" => compare_to;
    "isGreaterThan" "semver_is_greater_than" "kubernetes.Semver.(kubernetes.Semver) -> bool" => greater;
    "isLessThan" "semver_is_less_than" "kubernetes.Semver.(kubernetes.Semver) -> bool" => less;
    "isSemver" "is_semver_string" "(string) -> bool" => is_semver;
    "isSemver" "is_semver_string_bool" "(string, bool) -> bool" => is_semver;
    "major" "semver_major" "kubernetes.Semver.() -> int" => |_, a| part(a, |v| v.numbers[0]);
    "minor" "semver_minor" "kubernetes.Semver.() -> int" => |_, a| part(a, |v| v.numbers[1]);
    "patch" "semver_patch" "kubernetes.Semver.() -> int" => |_, a| part(a, |v| v.numbers[2]);
    "semver" "string_to_semver" "(string) -> kubernetes.Semver" => parse;
    "semver" "string_bool_to_semver" "(string, bool) -> kubernetes.Semver" => parse;
};

/// A version.
#[derive(Clone, Debug)]
struct Version {
    numbers: [u64; 3],
    pre: Vec<Pre>,
}

/// Numbers come before words.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Pre {
    Number(u64),
    Word(String),
}

impl Version {
    fn order(&self, other: &Version) -> Ordering {
        self.numbers.cmp(&other.numbers).then_with(|| match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => self.pre.cmp(&other.pre),
        })
    }
}

impl Opaque for Version {
    fn ty(&self) -> Type {
        Type::object("kubernetes.Semver")
    }
    fn equals(&self, other: &dyn Opaque) -> bool {
        other.as_any().downcast_ref::<Version>().is_some_and(|o| o.order(self).is_eq())
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn number(text: &str, part: &str) -> Result<u64, String> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("Invalid character(s) found in {} number {text:?}", part.to_lowercase()));
    }
    if text.len() > 1 && text.starts_with('0') {
        return Err(format!("{part} number must not contain leading zeroes {text:?}"));
    }
    text.parse().map_err(|_| format!("strconv.ParseUint: parsing {text:?}: value out of range"))
}

fn allowed(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn pre(text: &str) -> Result<Pre, String> {
    if text.is_empty() {
        return Err("Prerelease is empty".to_owned());
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        if text.len() > 1 && text.starts_with('0') {
            return Err(format!("Numeric PreRelease version must not contain leading zeroes {text:?}"));
        }
        return text
            .parse()
            .map(Pre::Number)
            .map_err(|_| format!("strconv.ParseUint: parsing {text:?}: value out of range"));
    }
    if !allowed(text) {
        return Err(format!("Invalid character(s) found in prerelease {text:?}"));
    }
    Ok(Pre::Word(text.to_owned()))
}

fn version(text: &str) -> Result<Version, String> {
    if text.is_empty() {
        return Err("Version string empty".to_owned());
    }
    let mut parts = text.splitn(3, '.');
    let (Some(major), Some(minor), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
        return Err("No Major.Minor.Patch elements found".to_owned());
    };
    let (major, minor) = (number(major, "Major")?, number(minor, "Minor")?);
    let (rest, build) = rest.split_once('+').map_or((rest, None), |(r, b)| (r, Some(b)));
    let (patch, pre_text) = rest.split_once('-').map_or((rest, None), |(r, p)| (r, Some(p)));
    let patch = number(patch, "Patch")?;
    let pre = pre_text.map_or(Ok(Vec::new()), |p| p.split('.').map(pre).collect())?;
    for part in build.into_iter().flat_map(|b| b.split('.')) {
        if part.is_empty() {
            return Err("Build meta data is empty".to_owned());
        }
        if !allowed(part) {
            return Err(format!("Invalid character(s) found in build meta data {part:?}"));
        }
    }
    Ok(Version { numbers: [major, minor, patch], pre })
}

/// Without `v`, leading zeros, and with what is missing as zeros.
fn normalized(text: &str) -> Result<Version, String> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let mut parts: Vec<String> = text
        .splitn(3, '.')
        .map(|p| {
            if p.len() < 2 {
                return p.to_owned();
            }
            let bare = p.trim_start_matches('0');
            if bare.starts_with(|c: char| c.is_ascii_digit()) { bare.to_owned() } else { format!("0{bare}") }
        })
        .collect();
    if parts.len() < 3 && parts.last().is_some_and(|p| p.contains(['+', '-'])) {
        return Err("short version cannot contain PreRelease/Build meta data".to_owned());
    }
    while parts.len() < 3 {
        parts.push("0".to_owned());
    }
    version(&parts.join("."))
}

fn read(args: &[Value<'_>]) -> Result<Result<Version, String>, Error> {
    match args {
        [Value::Str(text), Value::Bool(true)] => Ok(normalized(text)),
        [Value::Str(text), Value::Bool(false)] | [Value::Str(text)] => Ok(version(text)),
        _ => Err(Error::no_such_overload()),
    }
}

fn parse<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    read(args)?.map(Value::opaque).map_err(Error::new)
}

fn is_semver<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    Ok(Value::Bool(read(args)?.is_ok()))
}

fn ordered(args: &[Value<'_>]) -> Result<Ordering, Error> {
    match args {
        [a, b] => match (a.downcast::<Version>(), b.downcast::<Version>()) {
            (Some(a), Some(b)) => Ok(a.order(b)),
            _ => Err(Error::no_such_overload()),
        },
        _ => Err(Error::no_such_overload()),
    }
}

fn greater<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    Ok(Value::Bool(ordered(args)?.is_gt()))
}

fn less<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    Ok(Value::Bool(ordered(args)?.is_lt()))
}

fn compare_to<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    Ok(Value::Int(ordered(args)? as i64))
}

fn part<'a>(args: &[Value<'a>], of: fn(&Version) -> u64) -> Out<'a> {
    let version = args.first().and_then(|v| v.downcast::<Version>()).ok_or_else(Error::no_such_overload)?;
    // As upstream's conversion has it, what is above an int wraps.
    Ok(Value::Int(of(version) as i64))
}
