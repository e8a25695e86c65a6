//! ServiceAccount: an identity for pods.

use meta::Gvk;
use schema::Value;

use crate::columns::{AGE, NAME, text};
use crate::kind::{Cell, Column, Context, Kind, Operation, Strategy, Subresource};

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
        .with_strategy(&ServiceAccountStrategy);

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

    fn has_generation(&self) -> bool {
        false
    }
}
