//! What a CustomResourceDefinition's schema must be, before anything is served by it. Complaints are upstream's.
//! Rules in CEL are checked for their form only; their types and costs are not known here.
// k8s: apiextensions-apiserver pkg/apis/apiextensions/validation/validation.go validateCustomResourceDefinitionValidation

mod complete;
mod defaults;
mod invariants;
mod lists;
mod props;
mod rules;
mod status;

use meta::FieldError;

use super::findings::Findings;
use super::node::Node;
use super::trail::Trail;
use crate::Value;

pub use status::status_root;

/// Everything wrong with a schema. `raw` is what was written, `node` what was read of it.
pub fn schema(raw: &Value, node: &Node, at: &Trail<'_>) -> Findings {
    let mut out = Findings::default();
    if raw.get("nullable").and_then(Value::as_bool) == Some(true) {
        out.push(FieldError::forbidden(&at.child("nullable").path(), "nullable cannot be true at the root"));
    }
    // What nodes have no place for is complained of below, where it stands.
    if !props::has_unreadable(raw) {
        out.append(structural(node, at));
    }
    props::check(raw, node, at, &mut out);
    out
}

/// Whether the schema says enough of the structure, and its defaults fulfil it.
fn structural(node: &Node, at: &Trail<'_>) -> Findings {
    let mut found = Findings::default();
    invariants::check(node, at, &mut found);
    complete::check(node, at, &mut found);
    if found.is_empty() {
        defaults::check(node, at, &mut found);
        return found;
    }
    let mut errors = found.into_errors();
    errors.sort_by_cached_key(ToString::to_string);
    let mut sorted = Findings::default();
    errors.into_iter().for_each(|e| sorted.push(e));
    sorted
}
