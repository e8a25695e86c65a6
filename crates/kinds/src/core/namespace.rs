//! Namespace: a room for names, which is emptied before it goes away.
// k8s: pkg/registry/core/namespace/strategy.go

use meta::field::quoted;
use meta::{FieldError, Path, name};
use schema::Value;

use crate::columns::{AGE, NAME, text, text_at};
use crate::defaults::{self, empty_map, with_map};
use crate::kind::{
    Column, Context, Kind, NameRule, Operation, STATUS, Strategy, Subresource, carry, keep_other_half,
};
use crate::rules::Errors;
use crate::selectable::{Selectable, field};

const SUBRESOURCES: &[Subresource] =
    &[Subresource { name: "finalize", kind: None, verbs: &["update"] }, STATUS];

/// `v1` Namespace.
pub static KIND: Kind = Kind::cluster_kind("", "v1", "Namespace", "namespaces", "namespace")
    .with_short_names(&["ns"])
    .with_names(NameRule::Label)
    .with_subresources(SUBRESOURCES)
    .with_verbs(&["create", "delete", "get", "list", "patch", "update", "watch"])
    .with_columns(COLUMNS)
    .with_selectable_fields(FIELDS)
    .with_strategy(&NamespaceStrategy)
    .with_spec_finalizers();

const FIELDS: &[Selectable] = &[field("status.phase")];

const COLUMNS: &[Column] = &[
    NAME,
    text("Status", "Active, or Terminating while it is emptied.", |o, _| text_at(o, &["status", "phase"])),
    AGE,
];

/// The finalizer of the namespace controller, in `spec.finalizers`.
pub const FINALIZER: &str = "kubernetes";
/// The label that every namespace has with its name.
pub const NAME_LABEL: &str = "kubernetes.io/metadata.name";

struct NamespaceStrategy;

impl Strategy for NamespaceStrategy {
    fn default_fields(&self, o: &mut Value) {
        with_map(o, "status", |s| defaults::text(s, "phase", "Active"));
        let name = o.str_at(&["metadata", "name"]).to_owned();
        if !name.is_empty() {
            with_map(o, "metadata", |m| with_map(m, "labels", |l| l.set_at(&[NAME_LABEL], name)));
        }
    }

    fn prepare_for_create(&self, o: &mut Value, _cx: &Context) {
        o.set_at(&["status"], empty_map());
        o.set_at(&["status", "phase"], "Active");
        let mut finalizers = o.list_at(&["spec", "finalizers"]).to_vec();
        if !finalizers.iter().any(|f| f.as_str() == Some(FINALIZER)) {
            finalizers.push(FINALIZER.into());
        }
        o.set_at(&["spec", "finalizers"], finalizers);
        // The name may have been made from generateName after defaulting.
        self.default_fields(o);
    }

    // k8s: pkg/registry/core/namespace/storage/storage.go Delete
    fn mark_deleted(&self, o: &mut Value, _cx: &Context) {
        o.remove_at(&["metadata", "deletionGracePeriodSeconds"]);
        o.set_at(&["status", "phase"], "Terminating");
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value, op: Operation, _cx: &Context) {
        match op {
            Operation::Update => {
                carry(new, old, "spec");
                carry(new, old, "status");
            }
            Operation::UpdateSubresource(_) => carry(new, old, "status"),
            _ => keep_other_half(new, old, op),
        }
    }

    fn validate(&self, o: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let path = Path::new("spec").child("finalizers");
        for f in o.list_at(&["spec", "finalizers"]) {
            finalizer(&mut errors, f, &path);
        }
        errors
    }

    // k8s: pkg/apis/core/validation/validation.go ValidateNamespaceStatusUpdate, ValidateNamespaceFinalizeUpdate
    fn validate_update(&self, new: &Value, _old: &Value, op: Operation) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let deleted = !new.str_at(&["metadata", "deletionTimestamp"]).is_empty();
        let phase = new.str_at(&["status", "phase"]);
        // The name is upstream's.
        let path = Path::new("status").child("Phase");
        match op {
            Operation::UpdateSubresource(_) => {
                let path = Path::new("spec").child("finalizers");
                for (i, f) in new.list_at(&["spec", "finalizers"]).iter().enumerate() {
                    finalizer(&mut errors, f, &path.index(i));
                }
            }
            Operation::UpdateStatus if deleted && phase != "Terminating" => {
                let why = "may only be 'Terminating' if `deletionTimestamp` is not empty";
                errors.push(FieldError::invalid(&path, quoted(phase), why));
            }
            Operation::UpdateStatus if !deleted && phase != "Active" => {
                let why = "may only be 'Active' if `deletionTimestamp` is empty";
                errors.push(FieldError::invalid(&path, quoted(phase), why));
            }
            _ => {}
        }
        errors
    }
}

fn finalizer(errors: &mut Errors, f: &Value, path: &Path) {
    let f = f.as_str().unwrap_or("");
    crate::rules::each(errors, path, f, name::qualified_name(f));
    if !f.contains('/') && !crate::metadata::STANDARD_FINALIZERS.contains(&f) {
        let why = "name is neither a standard finalizer name nor is it fully qualified";
        errors.push(FieldError::invalid(path, quoted(f), why));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{texts, yaml};

    #[test]
    fn what_the_server_adds() {
        let mut o = yaml("metadata: {name: a}");
        NamespaceStrategy.prepare_for_create(&mut o, &Context::default());
        let want = yaml(
            "metadata: {name: a, labels: {kubernetes.io/metadata.name: a}}\nspec: {finalizers: [kubernetes]}\nstatus: {phase: Active}",
        );
        assert_eq!(o, want);
        let mut new = yaml("metadata: {name: a}\nspec: {finalizers: []}");
        NamespaceStrategy.prepare_for_update(&mut new, &o, Operation::Update, &Context::default());
        assert_eq!(new.list_at(&["spec", "finalizers"]).len(), 1);
    }

    #[test]
    fn refuses() {
        let check = |text: &str, op| texts(&NamespaceStrategy.validate_update(&yaml(text), &yaml("{}"), op));
        assert_eq!(
            check("{status: {phase: Gone}}", Operation::UpdateStatus),
            ["status.Phase: Invalid value: \"Gone\": may only be 'Active' if `deletionTimestamp` is empty"]
        );
        assert_eq!(
            check("{spec: {finalizers: [kubernetes, a/b, x]}}", Operation::UpdateSubresource("finalize")),
            [
                "spec.finalizers[2]: Invalid value: \"x\": name is neither a standard finalizer name nor is it fully qualified"
            ]
        );
    }
}
