//! ServiceAccount: an identity for pods.

use meta::Gvk;
use schema::Value;

use crate::columns::{AGE, NAME, text};
use crate::kind::{Cell, Column, Context, Kind, Operation, Strategy, Subresource};
use crate::warnings::Write;

const SUBRESOURCES: &[Subresource] = &[Subresource {
    name: "token",
    kind: Some(Gvk::new("authentication.k8s.io", "v1", "TokenRequest")),
    verbs: &["create"],
}];

/// `v1` ServiceAccount.
pub static KIND: Kind =
    Kind::namespaced_kind("", "v1", "ServiceAccount", "serviceaccounts", "serviceaccount")
        .with_short_names(&["sa"])
        .with_subresources(SUBRESOURCES)
        .with_columns(COLUMNS)
        .with_warnings(told)
        .with_strategy(&ServiceAccountStrategy)
        .returning_deleted();

const COLUMNS: &[Column] = &[
    NAME,
    text("Secrets", "Number of secrets it may use.", |o, _| {
        Cell::Int(i64::try_from(o.list_at(&["secrets"]).len()).unwrap_or(i64::MAX))
    }),
    AGE,
];

struct ServiceAccountStrategy;

impl Strategy for ServiceAccountStrategy {
    fn prepare_for_create(&self, _object: &mut Value, _cx: &Context) {}

    fn prepare_for_update(&self, _new: &mut Value, _old: &Value, _op: Operation, _cx: &Context) {}
}

// k8s: pkg/registry/core/serviceaccount/strategy.go warnIfHasEnforceMountableSecretsAnnotation
fn told(w: &Write<'_>) -> Vec<String> {
    const ENFORCE: &str = "kubernetes.io/enforce-mountable-secrets";
    let has = |o: &Value| o.at(&["metadata", "annotations", ENFORCE]).is_some();
    if !has(w.new) || w.old.is_some_and(has) {
        return Vec::new();
    }
    let why = "deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets";
    vec![format!("metadata.annotations[{ENFORCE}]: {why}")]
}
