//! The form of rules in CEL: what can be said of them without reading CEL.

use meta::FieldError;
use meta::field::quoted;

use crate::Value;
use crate::structural::field_path;
use crate::structural::findings::Findings;
use crate::structural::node::Node;
use crate::structural::read;
use crate::structural::trail::Trail;

/// Reasons that a rule may give, sorted.
const REASONS: [&str; 4] =
    ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];

/// Rules of one schema; `node` is what was read of it, for the paths of fields.
pub fn check(raw: &Value, node: Option<&Node>, at: &Trail<'_>, out: &mut Findings) {
    let rules = read::list(raw, "x-kubernetes-validations");
    for (i, rule) in rules.iter().enumerate() {
        let all = at.child("x-kubernetes-validations");
        let at = all.index(i);
        texts(rule, &at, out);
        let path = rule.str_at(&["fieldPath"]);
        if path.is_empty() {
            continue;
        }
        if node.is_none_or(|node| field_path::find(path, node, true).is_err()) {
            let field = at.child("fieldPath").path();
            out.push(FieldError::invalid(&field, quoted(path), "must be a valid path"));
        }
    }
}

fn has_newlines(s: &str) -> bool {
    s.contains(['\n', '\r'])
}

fn texts(rule: &Value, at: &Trail<'_>, out: &mut Findings) {
    let text = |field: &str| rule.str_at(&[field]);
    let (expression, message) = (text("rule").trim(), text("message").trim());
    let invalid = |field: &str, why: &str| {
        FieldError::invalid(&at.child(field).path(), quoted(rule.str_at(&[field])), why)
    };
    let required = |field: &str, why: &str| FieldError::required(&at.child(field).path(), why);
    if expression.is_empty() {
        out.push(required("rule", "rule is not specified"));
    } else if !text("message").is_empty() && message.is_empty() {
        out.push(invalid("message", "must be non-empty if specified"));
    } else if has_newlines(message) {
        out.push(invalid("message", "must not contain line breaks"));
    } else if has_newlines(expression) && message.is_empty() {
        out.push(required("message", "message must be specified if rule contains line breaks"));
    }
    if !text("messageExpression").is_empty() && text("messageExpression").trim().is_empty() {
        out.push(required("messageExpression", "messageExpression must be non-empty if specified"));
    }
    if let Some(reason) = rule.get("reason").and_then(Value::as_str).filter(|r| !REASONS.contains(r)) {
        out.push(FieldError::not_supported(&at.child("reason").path(), reason, &REASONS));
    }
    let path = text("fieldPath");
    if !path.is_empty() && path.trim().is_empty() {
        out.push(invalid("fieldPath", "must be non-empty if specified"));
    }
    if has_newlines(path) {
        out.push(invalid("fieldPath", "must not contain line breaks"));
    }
}
