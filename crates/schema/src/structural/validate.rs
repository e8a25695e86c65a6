//! Does a value fulfil a schema? The order of checks, what counts as a match and the texts are upstream's, since
//! clients match on them. Work is counted: there is a limit to what one object may ask for.
// k8s: kube-openapi pkg/validation/validate, apiextensions-apiserver pkg/apiserver/validation/validation.go

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};

use meta::field::quoted;
use meta::{ErrorKind, FieldError, Path};

use super::findings::{Findings, type_invalid};
use super::node::{Additional, Node, NodeType};
use super::ratchet::Pair;
use super::trail::Trail;
use super::{format, number};
use crate::json::encode_plain;
use crate::metadata::printed;
use crate::{Map, Value};

/// Steps (a value against a schema, an entry against an enum) that one validation may take.
const MAX_STEPS: u64 = 20_000_000;
/// Above this many entries a set is made to look them up.
const FEW: usize = 16;

/// A complaint with the text by which upstream tells complaints apart.
#[derive(Clone)]
pub struct Failure {
    pub error: FieldError,
    /// Empty where it is the error's detail.
    pub text: String,
}

/// What came out of a value and a schema.
#[derive(Default)]
pub struct Outcome {
    failures: Vec<Failure>,
    failed: usize,
    /// How many checks were made; the more, the closer was the schema.
    matches: usize,
}

impl Outcome {
    const fn is_valid(&self) -> bool {
        self.failed == 0
    }

    fn merge(&mut self, other: Outcome) {
        self.failed += other.failed;
        self.matches += other.matches;
        self.failures.extend(other.failures);
    }
}

/// One validation.
pub struct Validator {
    steps: Cell<u64>,
    /// Bytes of complaints that may still be made.
    words_bytes: Cell<usize>,
    /// Whether a value and its predecessor are equal, by their addresses: schemas beside each other ask again.
    unchanged: RefCell<HashMap<(usize, usize), bool>>,
}

/// Complains of everything in `value` that `node` does not allow. With `pair`, what is unchanged is let be.
pub fn validate(value: &Value, node: &Node, pair: Option<&Pair<'_>>, at: &Trail<'_>, out: &mut Findings) {
    let validator = Validator {
        steps: Cell::new(MAX_STEPS),
        words_bytes: Cell::new(1 << 20),
        unchanged: RefCell::default(),
    };
    let outcome = validator.ratcheted(value, node, pair, at);
    if validator.steps.get() == 0 {
        let why = format!("the object takes more than {MAX_STEPS} steps to validate");
        return out.push(FieldError::forbidden(&Path::default(), why));
    }
    let mut seen = HashSet::new();
    let told = outcome.failures.len();
    for failure in outcome.failures {
        let text = if failure.text.is_empty() { &failure.error.detail } else { &failure.text };
        if seen.insert(text.clone()) {
            out.push(failure.error);
        }
    }
    (told..outcome.failed).for_each(|_| out.count_only());
}

impl Validator {
    /// Takes `n` steps; false when there are none left.
    fn step(&self, n: usize) -> bool {
        let left = self.steps.get().saturating_sub(n as u64);
        self.steps.set(left);
        left > 0
    }

    /// Adds a complaint, made only while there is room for it.
    fn fail(&self, out: &mut Outcome, failure: impl FnOnce() -> Failure) {
        out.failed += 1;
        let left = self.words_bytes.get();
        if left == 0 {
            return;
        }
        let failure = failure();
        let error = &failure.error;
        let bytes = error.field.len() + error.detail.len() + error.value.as_ref().map_or(0, String::len);
        self.words_bytes.set(left.saturating_sub(bytes + 64));
        out.failures.push(failure);
    }

    /// A complaint about a value that cannot be named: upstream gives it no path.
    fn fail_plain(&self, out: &mut Outcome, text: impl FnOnce() -> String) {
        self.fail(out, || Failure {
            error: FieldError::invalid(&Path::default(), "\"\"", text()),
            text: String::new(),
        });
    }

    fn fail_invalid(
        &self,
        out: &mut Outcome,
        at: &Trail<'_>,
        value: &Value,
        text: impl FnOnce(&str) -> String,
    ) {
        self.fail(out, || Failure {
            error: FieldError::invalid(&at.path(), printed(Some(value)), text(&at.text())),
            text: String::new(),
        });
    }

    fn fail_type(&self, out: &mut Outcome, at: &Trail<'_>, wanted: &str, found: &str) {
        self.fail(out, || {
            let text = format!("{} in body must be of type {wanted}: {}", at.text(), quoted(found));
            Failure { error: type_invalid(&at.path(), quoted(found), text), text: String::new() }
        });
    }

    /// Complaints about what did not change since the old object are let be.
    // k8s: apiextensions-apiserver pkg/apiserver/validation/ratcheting.go
    fn ratcheted(&self, value: &Value, node: &Node, pair: Option<&Pair<'_>>, at: &Trail<'_>) -> Outcome {
        let mut outcome = self.value(value, node, pair, at);
        if !outcome.is_valid() && pair.is_some_and(|p| self.is_unchanged(p)) {
            outcome.failures.clear();
            outcome.failed = 0;
        }
        outcome
    }

    fn is_unchanged(&self, pair: &Pair<'_>) -> bool {
        let key = (std::ptr::from_ref(pair.new).addr(), std::ptr::from_ref(pair.old).addr());
        if let Some(known) = self.unchanged.borrow().get(&key) {
            return *known;
        }
        let unchanged = pair.is_unchanged();
        self.unchanged.borrow_mut().insert(key, unchanged);
        unchanged
    }

    fn value(&self, value: &Value, node: &Node, pair: Option<&Pair<'_>>, at: &Trail<'_>) -> Outcome {
        let mut out = Outcome::default();
        if !self.step(1) {
            return out;
        }
        if value.is_null() {
            self.null(node, at, &mut out);
            return out;
        }
        if node.ty.is_set() || node.int_or_string || !format_of(node).is_empty() {
            self.type_of(value, node, at, &mut out);
            out.matches += 1;
        }
        self.junctors(value, node, pair, at, &mut out);
        out.matches += 1;
        match value {
            Value::Str(s) => {
                // Counting and matching take time for each byte.
                self.step(s.len() / 64);
                self.string(s, value, node, at, &mut out);
                out.matches += 1;
                self.format(s, node, at, &mut out);
            }
            Value::Int(_) | Value::Float(_) => {
                out.matches += 1;
                self.number(value, node, at, &mut out);
                out.matches += 1;
            }
            Value::List(list) => {
                self.list(list, node, pair, at, &mut out);
                out.matches += 1;
            }
            _ => {}
        }
        self.one_of_enum(value, node, at, &mut out);
        out.matches += 1;
        if let Value::Map(map) = value {
            self.object(map, node, pair, at, &mut out);
            out.matches += 1;
        }
        out.matches += 1;
        out
    }

    fn null(&self, node: &Node, at: &Trail<'_>, out: &mut Outcome) {
        if (node.ty.is_set() || node.int_or_string) && !node.nullable {
            self.fail_type(out, at, types_of(node), "null");
        } else {
            out.matches += 1;
        }
        self.one_of_enum(&Value::Null, node, at, out);
    }

    // k8s: kube-openapi pkg/validation/validate/type.go Validate
    fn type_of(&self, value: &Value, node: &Node, at: &Trail<'_>, out: &mut Outcome) {
        let has = |name: &str| {
            if node.int_or_string { matches!(name, "integer" | "string") } else { node.ty.as_str() == name }
        };
        let (found, found_format) = match value {
            Value::Bool(_) => ("boolean", ""),
            Value::Str(_) => ("string", ""),
            Value::Int(_) => ("integer", "int64"),
            Value::Float(_) => ("number", "float64"),
            Value::List(_) => ("array", ""),
            Value::Map(_) | Value::Null => ("object", ""),
        };
        let as_integer = matches!(value, Value::Float(f) if number::is_integer(*f)) && has("integer");
        let as_number = found == "integer" && has("number");
        let format = format_of(node);
        let text_or_list = matches!(value, Value::Str(_) | Value::List(_));
        let fits = has(found) || as_integer || as_number;
        if !text_or_list && !format.is_empty() && !fits && found_format != format {
            return self.fail_type(out, at, format, found_format);
        }
        if text_or_list && !format.is_empty() && !has("number") && !has("integer") {
            out.matches += 1;
            return;
        }
        if !fits {
            return self.fail_type(out, at, types_of(node), found);
        }
        out.matches += 1;
    }

    // k8s: kube-openapi pkg/validation/validate/schema_props.go Validate
    fn junctors(
        &self,
        value: &Value,
        node: &Node,
        pair: Option<&Pair<'_>>,
        at: &Trail<'_>,
        out: &mut Outcome,
    ) {
        let Some(checks) = node.checks.as_deref() else {
            out.matches += 1;
            return;
        };
        if !checks.any_of.is_empty() {
            self.any_of(value, &checks.any_of, pair, at, out);
        }
        if !checks.one_of.is_empty() {
            self.one_of(value, &checks.one_of, pair, at, out);
        }
        if !checks.all_of.is_empty() {
            let mut valid = 0;
            for schema in &checks.all_of {
                let outcome = self.value(value, schema, pair, at);
                valid += usize::from(outcome.is_valid());
                out.merge(outcome);
            }
            if valid != checks.all_of.len() {
                let more = if valid == 0 { ". None validated" } else { "" };
                self.fail_plain(out, || {
                    format!("{} must validate all the schemas (allOf){more}", quoted(&at.text()))
                });
            }
        }
        if let Some(not) = &checks.not
            && self.value(value, not, pair, at).is_valid()
        {
            self.fail_plain(out, || format!("{} must not validate the schema (not)", quoted(&at.text())));
        }
        out.matches += 1;
    }

    fn any_of(
        &self,
        value: &Value,
        schemas: &[Node],
        pair: Option<&Pair<'_>>,
        at: &Trail<'_>,
        out: &mut Outcome,
    ) {
        let mut best: Option<Outcome> = None;
        for schema in schemas {
            let outcome = self.value(value, schema, pair, at);
            if outcome.is_valid() {
                return out.merge(outcome);
            }
            if best.as_ref().is_none_or(|b| outcome.matches > b.matches) {
                best = Some(outcome);
            }
        }
        self.fail_plain(out, || format!("{} must validate at least one schema (anyOf)", quoted(&at.text())));
        out.merge(best.unwrap_or_default());
    }

    fn one_of(
        &self,
        value: &Value,
        schemas: &[Node],
        pair: Option<&Pair<'_>>,
        at: &Trail<'_>,
        out: &mut Outcome,
    ) {
        let (mut best, mut first): (Option<Outcome>, Option<Outcome>) = (None, None);
        let mut valid = 0;
        for schema in schemas {
            let outcome = self.value(value, schema, pair, at);
            if outcome.is_valid() {
                valid += 1;
                best = None;
                first.get_or_insert(outcome);
            } else if valid == 0 && best.as_ref().is_none_or(|b| outcome.matches > b.matches) {
                best = Some(outcome);
            }
        }
        if valid == 1 {
            return out.merge(first.unwrap_or_default());
        }
        self.fail_plain(out, || {
            let more = match valid {
                0 => "Found none valid".to_owned(),
                n => format!("Found {n} valid alternatives"),
            };
            format!("{} must validate one and only one schema (oneOf). {more}", quoted(&at.text()))
        });
        out.merge(best.unwrap_or_default());
    }

    /// The first thing that is wrong with a string.
    fn string(&self, s: &str, value: &Value, node: &Node, at: &Trail<'_>, out: &mut Outcome) {
        let Some(checks) = node.checks.as_deref() else { return };
        let length = || i64::try_from(s.chars().count()).unwrap_or(i64::MAX);
        if let Some(max) = checks.max_length.filter(|max| length() > *max) {
            return self.fail(out, || Failure {
                error: FieldError::too_long(&at.path(), usize::try_from(max).unwrap_or(0)),
                text: format!("{} in body should be at most {max} chars long", at.text()),
            });
        }
        if let Some(min) = checks.min_length.filter(|min| length() < *min) {
            return self.fail_invalid(out, at, value, |name| {
                format!("{name} in body should be at least {min} chars long")
            });
        }
        let Some(pattern) = &checks.pattern else { return };
        match pattern.matches(s) {
            Ok(true) => {}
            Ok(false) => self.fail_invalid(out, at, value, |name| {
                format!("{name} in body should match '{}'", pattern.as_str())
            }),
            Err(why) => self.fail_invalid(out, at, value, |name| {
                format!("{name} in body should match '{}, but pattern is invalid: {why}'", pattern.as_str())
            }),
        }
    }

    fn format(&self, s: &str, node: &Node, at: &Trail<'_>, out: &mut Outcome) {
        let format = format_of(node);
        let Some(valid) = format::check(format, s) else { return };
        if !valid {
            self.fail(out, || {
                let text = format!("{} in body must be of type {format}: {}", at.text(), quoted(s));
                Failure { error: type_invalid(&at.path(), quoted(s), text), text: String::new() }
            });
        }
        out.matches += 1;
    }

    fn number(&self, value: &Value, node: &Node, at: &Trail<'_>, out: &mut Outcome) {
        for complaint in number::check(value, node, format_of(node)) {
            match complaint {
                number::Complaint::Plain(text) => self.fail_plain(out, || format!("{text} in {}", at.text())),
                number::Complaint::Of(text, shown) => self.fail(out, || Failure {
                    error: FieldError::invalid(&at.path(), shown, text.replacen("{}", &at.text(), 1)),
                    text: String::new(),
                }),
            }
        }
    }

    fn list(&self, list: &[Value], node: &Node, pair: Option<&Pair<'_>>, at: &Trail<'_>, out: &mut Outcome) {
        if let Some(items) = node.items.as_deref() {
            let before = pair.map(Pair::items);
            for (i, v) in list.iter().enumerate() {
                let child = before.as_ref().and_then(|b| b.get(i));
                out.merge(self.ratcheted(v, items, child.as_ref(), &at.index(i)));
            }
        }
        let size = i64::try_from(list.len()).unwrap_or(i64::MAX);
        let checks = node.checks();
        if let Some(min) = checks.min_items.filter(|min| size < *min) {
            self.fail_invalid(out, at, &Value::Int(size), |name| {
                format!("{name} in body should have at least {min} items")
            });
        }
        if let Some(max) = checks.max_items.filter(|max| size > *max) {
            self.fail_too_many(out, at, size, max, "items");
        }
        out.matches += 1;
    }

    fn fail_too_many(&self, out: &mut Outcome, at: &Trail<'_>, size: i64, max: i64, what: &str) {
        self.fail(out, || Failure {
            error: FieldError::too_many(
                &at.path(),
                usize::try_from(size).unwrap_or(0),
                usize::try_from(max).unwrap_or(0),
            ),
            text: format!("{} in body should have at most {max} {what}", at.text()),
        });
    }

    // k8s: kube-openapi pkg/validation/validate/object_validator.go Validate
    fn object(&self, map: &Map, node: &Node, pair: Option<&Pair<'_>>, at: &Trail<'_>, out: &mut Outcome) {
        let size = i64::try_from(map.len()).unwrap_or(i64::MAX);
        let checks = node.checks();
        self.step(map.len());
        if let Some(min) = checks.min_properties.filter(|min| size < *min) {
            self.fail_invalid(out, at, &Value::Int(size), |name| {
                format!("{name} in body should have at least {min} properties")
            });
        }
        if let Some(max) = checks.max_properties.filter(|max| size > *max) {
            self.fail_too_many(out, at, size, max, "properties");
        }
        let before = pair.map(Pair::entries);
        let child = |name: &str| before.as_ref().and_then(|b| b.get(name));
        for (name, v) in map.iter() {
            if let Some(property) = node.property(name) {
                let meta = at.is_base() && matches!(name, "apiVersion" | "kind");
                let child = if meta { None } else { child(name) };
                out.merge(self.ratcheted(v, property, child.as_ref(), &at.child(name)));
                continue;
            }
            match &node.additional {
                Additional::Schema(schema) => {
                    out.merge(self.ratcheted(v, schema, child(name).as_ref(), &at.dotted(name)));
                }
                Additional::Bool(false) => self.fail_invalid(out, at, &Value::from(name), |path| {
                    format!("{path}.{name} in body is a forbidden property")
                }),
                _ => {}
            }
        }
        self.required(map, &checks.required, at, out);
    }

    fn required(&self, map: &Map, required: &[Box<str>], at: &Trail<'_>, out: &mut Outcome) {
        self.step(required.len());
        let set: Option<HashSet<&str>> = (map.len() > FEW).then(|| map.iter().map(|(k, _)| k).collect());
        for name in required {
            let name: &str = name;
            if set.as_ref().map_or_else(|| map.get(name).is_some(), |s| s.contains(name)) {
                continue;
            }
            let at = at.dotted(name);
            self.fail(out, || Failure {
                error: FieldError::required(&at.path(), ""),
                text: format!("{} in body is required", at.text()),
            });
        }
    }

    fn one_of_enum(&self, value: &Value, node: &Node, at: &Trail<'_>, out: &mut Outcome) {
        let values = &node.checks().enum_values;
        if values.is_empty()
            || !self.step(values.len())
            || values.iter().any(|v| number::converts_to(value, v))
        {
            return;
        }
        self.fail(out, || {
            let shown = |v: &Value| match v {
                Value::Str(s) => quoted(s),
                v => quoted(&String::from_utf8_lossy(&encode_plain(v))),
            };
            let list: Vec<String> = values.iter().map(shown).collect();
            let value = match value {
                Value::Null => "\"null\"".to_owned(),
                v => printed(Some(v)),
            };
            let error = FieldError {
                kind: ErrorKind::NotSupported,
                field: at.path().to_string(),
                value: Some(value),
                detail: format!("supported values: {}", list.join(", ")),
            };
            Failure { error, text: format!("{} in body should be one of [{}]", at.text(), list.join(" ")) }
        });
    }
}

/// The types as messages list them.
fn types_of(node: &Node) -> &str {
    if node.int_or_string { "integer,string" } else { node.ty.as_str() }
}

/// The format, when it is known for the type; others are ignored.
// k8s: apiextensions-apiserver pkg/apiserver/validation/formats.go
pub fn format_of(node: &Node) -> &str {
    let Some(checks) = node.checks.as_deref() else { return "" };
    let known = match (&node.ty, node.int_or_string) {
        (NodeType::Unset | NodeType::String, _) | (_, true) => format::is_known(&checks.format),
        (NodeType::Integer, _) => matches!(&*checks.format, "int32" | "int64"),
        (NodeType::Number, _) => matches!(&*checks.format, "float" | "double"),
        _ => false,
    };
    if known { &checks.format } else { "" }
}
