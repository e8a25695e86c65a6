//! With the status subresource, `status` is validated by `properties[status]` alone, so the root may not say what
//! would be lost.

use meta::FieldError;
use meta::field::quoted;

use crate::Value;
use crate::metadata::printed;
use crate::structural::trail::Trail;

/// Fields of the root, and how upstream names them.
const ALLOWED: [(&str, &str); 22] = [
    ("description", "Description"),
    ("type", "Type"),
    ("format", "Format"),
    ("title", "Title"),
    ("maximum", "Maximum"),
    ("exclusiveMaximum", "ExclusiveMaximum"),
    ("minimum", "Minimum"),
    ("exclusiveMinimum", "ExclusiveMinimum"),
    ("maxLength", "MaxLength"),
    ("minLength", "MinLength"),
    ("pattern", "Pattern"),
    ("maxItems", "MaxItems"),
    ("minItems", "MinItems"),
    ("uniqueItems", "UniqueItems"),
    ("multipleOf", "MultipleOf"),
    ("required", "Required"),
    ("items", "Items"),
    ("properties", "Properties"),
    ("externalDocs", "ExternalDocs"),
    ("example", "Example"),
    ("x-kubernetes-preserve-unknown-fields", "XPreserveUnknownFields"),
    ("x-kubernetes-validations", "XValidations"),
];

/// What is wrong with the root of a schema of a kind that has the status subresource.
pub fn status_root(raw: &Value, at: &Trail<'_>) -> Option<FieldError> {
    let ty = raw.str_at(&["type"]);
    if !matches!(ty, "" | "object") {
        let why = "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled";
        return Some(FieldError::invalid(&at.child("type").path(), quoted(ty), why));
    }
    let mut said = raw.as_map()?.iter().filter(|(_, v)| !v.is_null());
    if said.all(|(name, _)| ALLOWED.iter().any(|(allowed, _)| *allowed == name)) {
        return None;
    }
    let names: Vec<&str> = ALLOWED.iter().map(|(_, name)| *name).collect();
    let why = format!(
        "only [{}] fields are allowed at the root of the schema if the status subresource is enabled",
        names.join(" ")
    );
    Some(FieldError::invalid(&at.path(), printed(Some(raw)), why))
}
