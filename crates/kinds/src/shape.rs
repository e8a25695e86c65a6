//! Rules about single fields that a kind declares as a table: what must be there, which words and numbers are
//! allowed. What depends on two fields or on the old object is the strategy's. It never changes an object.

use meta::field::quoted;
use meta::{FieldError, Path, name};
use schema::Value;

use crate::rules::{Errors, each};

/// What a field must be.
#[derive(Clone, Copy)]
pub enum Check {
    /// There and not empty; the text is the detail of the message.
    Required(&'static str),
    /// One of these words, where the field is there.
    Word(&'static [&'static str]),
    /// Every item is one of these words.
    Words(&'static [&'static str]),
    /// There, and one of these words; the text is the detail where it is missing.
    RequiredWord(&'static [&'static str], &'static str),
    /// A number in this range (absent counts as 0), with what the message says otherwise.
    Range(i64, i64, &'static str),
    /// A DNS subdomain; a missing one is invalid.
    Subdomain,
    /// A DNS label; a missing one is invalid.
    Label,
    /// A path that begins with a domain.
    DomainPath,
}

/// One rule. In the path `name[]` is every item of a list and `name?` a part that may be absent; other parts count
/// as empty when they are absent.
pub struct Rule {
    pub path: &'static str,
    pub check: Check,
}

/// A rule, for tables.
#[must_use]
pub const fn rule(path: &'static str, check: Check) -> Rule {
    Rule { path, check }
}

/// Everything in the object that breaks a rule.
#[must_use]
pub fn check(rules: &[Rule], object: &Value) -> Errors {
    let mut errors = Errors::new();
    for r in rules {
        walk(&mut errors, Some(object), r.path, &Path::default(), r.check);
    }
    errors
}

fn walk(errors: &mut Errors, at: Option<&Value>, rest: &str, path: &Path, check: Check) {
    let (head, tail) = rest.split_once('.').map_or((rest, None), |(h, t)| (h, Some(t)));
    let field = head.trim_end_matches(['?', ']', '[']);
    let value = at.and_then(|v| v.get(field)).filter(|v| !v.is_null());
    let here = path.child(field);
    if head.ends_with("[]") {
        for (i, item) in value.and_then(Value::as_list).into_iter().flatten().enumerate() {
            match tail {
                Some(tail) => walk(errors, Some(item), tail, &here.index(i), check),
                None => leaf(errors, Some(item), &here.index(i), check),
            }
        }
    } else if let Some(tail) = tail {
        if value.is_some() || !head.ends_with('?') {
            walk(errors, value, tail, &here, check);
        }
    } else {
        leaf(errors, value, &here, check);
    }
}

fn is_empty(v: Option<&Value>) -> bool {
    match v {
        None => true,
        Some(v) => {
            v.as_str().is_some_and(str::is_empty)
                || v.as_list().is_some_and(|l| l.is_empty())
                || v.as_map().is_some_and(|m| m.is_empty())
        }
    }
}

fn leaf(errors: &mut Errors, v: Option<&Value>, path: &Path, check: Check) {
    let text = v.and_then(Value::as_str).unwrap_or("");
    match check {
        Check::Required(why) | Check::RequiredWord(_, why) if is_empty(v) => {
            errors.push(FieldError::required(path, why));
        }
        Check::Required(_) => {}
        Check::RequiredWord(words, _) => word(errors, text, path, words),
        Check::Word(words) if v.is_some() => word(errors, text, path, words),
        Check::Word(_) => {}
        Check::Words(words) => {
            for (i, item) in v.and_then(Value::as_list).into_iter().flatten().enumerate() {
                word(errors, item.as_str().unwrap_or(""), &path.index(i), words);
            }
        }
        Check::Range(low, high, why) => {
            let n = v.and_then(Value::as_int).unwrap_or(0);
            if n < low || n > high {
                errors.push(FieldError::invalid(path, n.to_string(), why));
            }
        }
        Check::Subdomain => each(errors, path, text, name::dns1123_subdomain(text)),
        Check::Label => each(errors, path, text, name::dns1123_label(text)),
        Check::DomainPath => domain_path(errors, text, path),
    }
}

fn word(errors: &mut Errors, text: &str, path: &Path, words: &[&str]) {
    if !words.contains(&text) {
        let mut sorted = words.to_vec();
        sorted.sort_unstable();
        errors.push(FieldError::not_supported(path, text, &sorted));
    }
}

/// A path that begins with a domain.
// k8s: staging/src/k8s.io/apimachinery/pkg/util/validation/validation.go IsDomainPrefixedPath
pub fn domain_path(errors: &mut Errors, text: &str, path: &Path) {
    if text.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    match text.split_once('/') {
        Some((domain, rest)) if !domain.is_empty() && !rest.is_empty() => {
            each(errors, path, domain, name::dns1123_subdomain(domain));
        }
        _ => {
            let why = "must be a domain-prefixed path (such as \"acme.io/foo\")";
            errors.push(FieldError::invalid(path, quoted(text), why));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{texts, yaml};

    #[test]
    fn rules_of_every_sort() {
        const RULES: &[Rule] = &[
            rule("spec.name", Check::Required("say it")),
            rule("spec.mode", Check::Word(&["A", "B"])),
            rule("spec.kinds", Check::Words(&["A"])),
            rule("items[].type", Check::RequiredWord(&["X"], "")),
            rule("part?.size", Check::Range(1, 3, "must be small")),
            rule("owner", Check::DomainPath),
        ];
        let cases: [(&str, &[&str]); 3] = [
            ("{}", &["spec.name: Required value: say it", "owner: Required value"]),
            (
                "{spec: {name: n, mode: C, kinds: [A, B]}, items: [{type: X}, {}, {type: Z}], part: {size: 4}, owner: o}",
                &[
                    "spec.mode: Unsupported value: \"C\": supported values: \"A\", \"B\"",
                    "spec.kinds[1]: Unsupported value: \"B\": supported values: \"A\"",
                    "items[1].type: Required value",
                    "items[2].type: Unsupported value: \"Z\": supported values: \"X\"",
                    "part.size: Invalid value: 4: must be small",
                    "owner: Invalid value: \"o\": must be a domain-prefixed path (such as \"acme.io/foo\")",
                ],
            ),
            ("{spec: {name: n, mode: B}, part: {size: 2}, owner: a.b/c}", &[]),
        ];
        for (object, want) in cases {
            assert_eq!(texts(&check(RULES, &yaml(object))), want, "{object}");
        }
    }
}
