//! Rules for lists of `metav1.Condition`. They see only the list.
// k8s: staging/src/k8s.io/apimachinery/pkg/apis/meta/v1/validation/validation.go ValidateConditions

use meta::field::quoted;
use meta::{FieldError, Path, name};
use schema::Value;

use crate::rules::{Errors, each};

const REASON_LIMIT_BYTES: usize = 1024;
const MESSAGE_LIMIT_BYTES: usize = 32 * 1024;
const REASON: &str = "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')";

/// Everything wrong with a list of conditions.
pub fn conditions(errors: &mut Errors, list: &[Value], path: &Path) {
    for (i, c) in list.iter().enumerate() {
        let at = path.index(i);
        let kind = c.str_at(&["type"]);
        if list[..i].iter().any(|other| other.str_at(&["type"]) == kind) {
            errors.push(FieldError::duplicate(&at.child("type"), quoted(kind)));
        }
        one(errors, c, &at);
    }
}

fn one(errors: &mut Errors, c: &Value, path: &Path) {
    let kind = c.str_at(&["type"]);
    each(errors, &path.child("type"), kind, name::qualified_name(kind));
    let (status, words) = (c.str_at(&["status"]), ["False", "True", "Unknown"]);
    if !words.contains(&status) {
        errors.push(FieldError::not_supported(&path.child("status"), status, &words));
    }
    if let Some(n) = c.int_at(&["observedGeneration"]).filter(|n| *n < 0) {
        let why = "must be greater than or equal to zero";
        errors.push(FieldError::invalid(&path.child("observedGeneration"), n.to_string(), why));
    }
    if c.str_at(&["lastTransitionTime"]).is_empty() {
        errors.push(FieldError::required(&path.child("lastTransitionTime"), "must be set"));
    }
    let (reason, at) = (c.str_at(&["reason"]), path.child("reason"));
    if reason.is_empty() {
        errors.push(FieldError::required(&at, "must be set"));
    } else {
        if !is_reason(reason) {
            errors.push(FieldError::invalid(&at, quoted(reason), REASON));
        }
        if reason.len() > REASON_LIMIT_BYTES {
            errors.push(FieldError::too_long(&at, REASON_LIMIT_BYTES));
        }
    }
    if c.str_at(&["message"]).len() > MESSAGE_LIMIT_BYTES {
        errors.push(FieldError::too_long(&path.child("message"), MESSAGE_LIMIT_BYTES));
    }
}

fn is_reason(s: &str) -> bool {
    let word = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
    let b = s.as_bytes();
    b.first().is_some_and(u8::is_ascii_alphabetic)
        && b.last().is_some_and(word)
        && b.iter().all(|b| word(b) || matches!(b, b',' | b':'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{texts, yaml};

    #[test]
    fn refuses() {
        let good = "type: A, status: 'True', reason: R, lastTransitionTime: '2026-01-01T00:00:00Z'";
        let reason = format!("c[0].reason: Invalid value: \"1\": {REASON}");
        let table: &[(&str, &[&str])] = &[
            (&format!("[{{{good}}}]"), &[]),
            (&format!("[{{{good}}}, {{{good}}}]"), &["c[1].type: Duplicate value: \"A\""]),
            (
                "[{type: A, status: 'Yes', observedGeneration: -1}]",
                &[
                    "c[0].status: Unsupported value: \"Yes\": supported values: \"False\", \"True\", \"Unknown\"",
                    "c[0].observedGeneration: Invalid value: -1: must be greater than or equal to zero",
                    "c[0].lastTransitionTime: Required value: must be set",
                    "c[0].reason: Required value: must be set",
                ],
            ),
            (&format!("[{{{}}}]", good.replace("reason: R", "reason: '1'")), &[&reason]),
        ];
        for (list, want) in table {
            let mut errors = Errors::new();
            conditions(&mut errors, yaml(list).as_list().unwrap(), &Path::new("c"));
            assert_eq!(texts(&errors), *want, "{list}");
        }
    }
}
