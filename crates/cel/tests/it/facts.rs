//! Facts: what upstream's implementation made of expressions, each with its type, estimated and actual cost, and value,
//! error or complaints. The expressions are those of cel-spec's conformance files and of upstream's own tests.

use cel::cost::{Range, Sizes, estimate};
use cel::{Base, Env, Library, Program, Type, Value, compile, library};
use std::collections::HashMap;
use std::sync::Arc;

/// Sizes of what the facts' variables hold, as those who made the facts were told.
struct Known;

impl Sizes for Known {
    fn size(&self, path: Option<&[String]>, ty: &Type) -> Option<Range> {
        if !["ls", "l", "m", "ms", "s", "by", "ll"].contains(&path?.first()?.as_str()) {
            return None;
        }
        Some(match ty {
            Type::List(_) => Range::new(0, 10),
            Type::Map(_) => Range::new(0, 5),
            Type::String | Type::Bytes => Range::new(0, 20),
            _ => return None,
        })
    }
}

const VARIABLES: &[(&str, &str)] = &[
    ("i", "int"),
    ("u", "uint"),
    ("d", "double"),
    ("s", "string"),
    ("by", "bytes"),
    ("b", "bool"),
    ("l", "list(int)"),
    ("ls", "list(string)"),
    ("m", "map(string, int)"),
    ("ms", "map(string, string)"),
    ("dy", "dyn"),
    ("ll", "list(list(int))"),
    ("t", "timestamp"),
    ("du", "duration"),
    ("o", "optional_type(int)"),
    ("a.b", "int"),
];

fn map<'a>(entries: Vec<(&str, Value<'a>)>) -> Value<'a> {
    let mut map = cel::value::OwnedMap::default();
    for (key, value) in entries {
        map.set(Value::str(key.to_owned()), value);
    }
    Value::Map(map.into())
}

fn variables<'a>() -> HashMap<String, Value<'a>> {
    let ints = |ints: &[i64]| Value::list(ints.iter().map(|i| Value::Int(*i)).collect());
    let text = |s: &str| Value::str(s.to_owned());
    let Some(cel::value::time::Parsed::At(t)) =
        cel::value::Timestamp::parse("2024-02-29T13:45:30.123456789Z")
    else {
        panic!("a timestamp");
    };
    [
        ("i", Value::Int(7)),
        ("u", Value::Uint(8)),
        ("d", Value::Double(1.5)),
        ("s", text("hello wörld")),
        ("by", Value::Bytes(b"abc".to_vec().into())),
        ("b", Value::Bool(true)),
        ("l", ints(&[1, 2, 3])),
        ("ls", Value::list(vec![text("b"), text("a"), text("c")])),
        ("m", map(vec![("a", Value::Int(1)), ("b", Value::Int(2))])),
        ("ms", map(vec![("x", text("y"))])),
        (
            "dy",
            map(vec![
                ("n", Value::Null),
                ("k", Value::Int(1)),
                ("list", Value::list(vec![Value::Int(1), text("two"), Value::Double(3.0)])),
                ("f", Value::Double(2.5)),
            ]),
        ),
        ("ll", Value::list(vec![ints(&[1, 2]), ints(&[3])])),
        ("t", Value::Timestamp(t)),
        ("du", Value::Duration(cel::value::Duration(5_430_005_000_000))),
        ("o", Value::some(Value::Int(4))),
        ("a.b", Value::Int(9)),
    ]
    .into_iter()
    .map(|(n, v)| (n.to_owned(), v))
    .collect()
}

fn env(base: &Arc<Base>) -> Env {
    VARIABLES.iter().fold(Env::new(base), |env, (name, ty)| env.with(name, Type::parse(ty).expect("a type")))
}

/// Values as the facts write them.
fn show(value: &Value<'_>) -> String {
    let all = |parts: Vec<String>| parts.join(", ");
    match value {
        Value::Uint(u) => format!("{u}u"),
        Value::Double(_) => {
            let text = cel::value::convert(value, &Type::String).expect("a double has a text");
            format!("double({text})")
        }
        Value::Str(s) => serde_json::to_string(&**s).expect("a string is JSON"),
        Value::Bytes(b) => format!("bytes({})", b.iter().map(|b| format!("{b:02x}")).collect::<String>()),
        Value::Timestamp(t) => format!("timestamp({t})"),
        Value::Duration(d) => format!("duration({})", d.nanos()),
        Value::Type(t) => format!("type({})", t.name()),
        Value::Optional(None) => "none".to_owned(),
        Value::Optional(Some(v)) => format!("some({})", show(v)),
        Value::List(l) => format!("[{}]", all(l.iter().map(|v| show(&v)).collect())),
        Value::Map(m) => {
            let mut parts: Vec<_> = m.iter().map(|(k, v)| format!("{}: {}", show(&k), show(&v))).collect();
            parts.sort();
            format!("{{{}}}", all(parts))
        }
        Value::Opaque(o) => match o.ty().name() {
            "net.IP" => format!("ip({value})"),
            "net.CIDR" => format!("cidr({value})"),
            name => format!("value of {name}"),
        },
        Value::Object(o) => format!("value of {}", o.name),
        other => other.to_string(),
    }
}

#[derive(Debug, Default, PartialEq)]
struct Fact {
    ty: String,
    estimate: String,
    cost: String,
    outcome: String,
}

fn found(env: &Env, text: &str) -> Fact {
    let checked = match compile(text, env) {
        Ok(checked) => checked,
        Err(issues) => return Fact { outcome: format!("?{issues}"), ..Fact::default() },
    };
    let range = estimate(&checked, &Known);
    let mut fact = Fact {
        ty: checked.ty().to_string(),
        estimate: format!("{} {}", range.min, range.max),
        ..Fact::default()
    };
    match Program::new(&checked) {
        Err(error) => fact.outcome = format!("#{error}"),
        Ok(program) => {
            let variables = variables();
            let out = program.eval(&variables, 1_000_000);
            fact.cost = out.cost.to_string();
            fact.outcome = match out.result {
                Ok(value) => format!("={}", show(&value)),
                Err(error) => format!("!{error}"),
            };
        }
    }
    fact
}

fn judge(name: &str, text: &str, libraries: &[&Library], options: cel::Options) {
    let env = env(&Base::new(libraries, options));
    let (mut wrong, mut all) = (Vec::new(), 0);
    for line in text.lines() {
        let parts: Vec<&str> = line.split('\t').collect();
        let [expr, ty, estimate, cost, outcome] = parts[..] else { panic!("{name}: not a fact: {line}") };
        let unquoted = |t: &str| -> String { serde_json::from_str(t).expect("a JSON string") };
        let expr = unquoted(expr);
        let want = Fact {
            ty: ty.to_owned(),
            estimate: estimate.to_owned(),
            cost: cost.to_owned(),
            outcome: unquoted(outcome),
        };
        let mut have = found(&env, &expr);
        all += 1;
        if want.outcome == "?" && have.outcome.starts_with('?') {
            continue;
        }
        // Costs are facts of Kubernetes' own rules only, and of programs that can be made.
        if want.cost.is_empty() {
            have.cost.clear();
        }
        if want.estimate.is_empty() {
            have.estimate.clear();
        }
        if have != want {
            wrong.push(format!("{expr}\n  want {want:?}\n  have {have:?}"));
        }
    }
    assert!(wrong.is_empty(), "{name}: {} of {all} facts are not so:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn of_the_language() {
    let libraries: Vec<&Library> = library::LANGUAGE
        .iter()
        .copied()
        .chain([
            &library::bindings::LIBRARY,
            &library::encoders::LIBRARY,
            &library::strings::LIBRARY,
            &library::two_variables::LIBRARY,
            &library::lists::LIBRARY,
            &library::sets::LIBRARY,
        ])
        .collect();
    judge("language", include_str!("../../testdata/language.tsv"), &libraries, cel::Options::LANGUAGE);
}

#[test]
fn of_kubernetes() {
    judge(
        "kubernetes",
        include_str!("../../testdata/kubernetes.tsv"),
        library::KUBERNETES,
        cel::Options::KUBERNETES,
    );
}
