//! Schemas of defined kinds: what they refuse, what they say of objects, and the types and documents made of them.

mod compile;
mod documents;
mod objects;
mod properties;
mod validation;

use meta::Path;
use schema::structural::Structural;
use schema::{FieldValidation, Value};

/// A schema as a CustomResourceDefinition holds it.
fn schema(text: &str) -> Value {
    let ty = schema::type_named("apiextensions.k8s.io/v1", "JSONSchemaProps").expect("a built-in type");
    schema::decode_yaml(text.as_bytes(), ty, FieldValidation::Strict)
        .unwrap_or_else(|e| panic!("{e}: {text}"))
        .value
}

/// A schema that must be right.
fn compiled(text: &str) -> Structural {
    let (structural, errors) = Structural::compile(&schema(text), false, &Path::new("schema"));
    assert_eq!(errors, [], "{text}");
    structural
}

fn value(text: &str) -> Value {
    schema::decode_yaml_plain(text.as_bytes()).expect("YAML")
}
