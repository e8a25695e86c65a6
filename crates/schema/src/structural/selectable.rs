//! Fields that lists may be selected by (`selectableFields`).
// k8s: apiextensions-apiserver pkg/apis/apiextensions/validation/validation.go ValidateCustomResourceSelectableFields

use std::collections::HashSet;

use meta::FieldError;
use meta::field::quoted;

use super::field_path;
use super::findings::Findings;
use super::node::{Node, NodeType};
use super::trail::Trail;
use crate::Value;

/// How many a version may have.
pub const MAX_SELECTABLE_FIELDS: usize = 8;

pub fn check(root: &Node, fields: &[Value], at: &Trail<'_>) -> Findings {
    let mut out = Findings::default();
    let mut unique = HashSet::new();
    for (i, field) in fields.iter().enumerate() {
        let text = field.str_at(&["jsonPath"]);
        let path = at.index(i).child("jsonPath").path();
        if text.is_empty() {
            out.push(FieldError::required(&path, ""));
            continue;
        }
        let (place, node) = match field_path::find(text, root, false) {
            Ok(found) => found,
            Err(why) => {
                out.push(FieldError::invalid(&path, quoted(text), format!("is an invalid path: {why}")));
                continue;
            }
        };
        let place = place.as_str().to_owned();
        if place.split(['.', '[']).next() == Some("metadata") {
            out.push(FieldError::invalid(&path, quoted(text), "must not point to fields in metadata"));
        }
        if !matches!(node.ty, NodeType::String | NodeType::Boolean | NodeType::Integer) {
            let why = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.";
            out.push(FieldError::invalid(&path, quoted(text), why));
        }
        if !unique.insert(place) {
            out.push(FieldError::duplicate(&path, quoted(text)));
        }
    }
    if unique.len() > MAX_SELECTABLE_FIELDS {
        out.push(FieldError::too_many(&at.path(), unique.len(), MAX_SELECTABLE_FIELDS));
    }
    out
}
