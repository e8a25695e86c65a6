//! What the declaration of a kind consists of.

use std::borrow::Cow;

use meta::{FieldError, Gvk, Gvr};
use schema::Value;

/// Where objects of a kind live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Namespaced,
    Cluster,
}

/// Which write is happening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Create,
    /// A write to the object itself.
    Update,
    /// A write to `status`.
    UpdateStatus,
    /// A write through another subresource that changes part of the object (`resize`, `ephemeralcontainers`, ...).
    UpdateSubresource(&'static str),
}

/// What a strategy may know besides the objects. No clock, no store: facts are put in by the caller.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// RFC 3339 time of the request, whole seconds.
    pub now: String,
    /// Namespace of the request, empty for cluster scope.
    pub namespace: String,
    pub user: String,
}

/// What a kind does on a write. Everything has a default that suits a plain kind with spec and status.
/// Objects are whole (kind, apiVersion, metadata, ...), decoded by the kind's schema.
pub trait Strategy: Send + Sync {
    /// Puts in the values that upstream's defaulting functions put in, on decoding, for every write.
    /// `+default=` markers of the field table are done by the schema before this is called.
    fn default_fields(&self, _object: &mut Value) {}
    /// Before validation of a create: clears what the user may not set (status), sets what the server sets.
    fn prepare_for_create(&self, object: &mut Value, _cx: &Context) {
        clear_status(object);
    }
    /// Before validation of an update: keeps from `old` what this write may not change. The apiserver has already
    /// carried over system metadata; it bumps `metadata.generation` itself when `spec` has changed
    /// (see [`Strategy::generation_changes`]).
    fn prepare_for_update(&self, new: &mut Value, old: &Value, op: Operation, _cx: &Context) {
        keep_other_half(new, old, op);
    }
    /// Everything wrong with an object to be created, metadata excepted (done for all kinds alike).
    fn validate(&self, _object: &Value) -> Vec<FieldError> {
        Vec::new()
    }
    /// Everything wrong with an update; implementors usually call `validate(new)` too.
    fn validate_update(&self, new: &Value, _old: &Value, _op: Operation) -> Vec<FieldError> {
        self.validate(new)
    }
    /// Warnings to send with the answer.
    fn warnings(&self, _object: &Value) -> Vec<String> {
        Vec::new()
    }
    /// Whether the difference between the two counts for `metadata.generation`.
    fn generation_changes(&self, new: &Value, old: &Value) -> bool {
        new.get("spec") != old.get("spec")
    }
}

/// Removes `status`.
pub fn clear_status(object: &mut Value) {
    if let Some(m) = object.as_map_mut() {
        m.remove("status");
    }
}

/// A write to the object keeps the old status; a write to status keeps everything but the status
/// (metadata but for managed fields included, as most upstream strategies do).
pub fn keep_other_half(new: &mut Value, old: &Value, op: Operation) {
    match op {
        Operation::Create | Operation::UpdateSubresource(_) => {}
        Operation::Update => carry(new, old, "status"),
        Operation::UpdateStatus => {
            let status = new.get("status").cloned();
            let resource_version = new.at(&["metadata", "resourceVersion"]).cloned();
            *new = old.clone();
            if let Some(m) = new.as_map_mut() {
                match status {
                    Some(s) => m.set("status", s),
                    None => {
                        m.remove("status");
                    }
                }
            }
            if let Some(rv) = resource_version {
                new.set_at(&["metadata", "resourceVersion"], rv);
            }
        }
    }
}

/// Puts the old value of top-level `field` (or its absence) into `new`.
pub fn carry(new: &mut Value, old: &Value, field: &'static str) {
    if let Some(m) = new.as_map_mut() {
        match old.get(field) {
            Some(v) => m.set(field, v.clone()),
            None => {
                m.remove(field);
            }
        }
    }
}

/// One cell of a server-side table.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    Text(String),
    Int(i64),
    Null,
}

/// One column of a server-side table. `Name` and `Age` are columns like any other.
pub struct Column {
    pub name: &'static str,
    /// OpenAPI type: `string`, `integer`, `date`.
    pub kind: &'static str,
    /// OpenAPI format: `name` for the name column, else empty.
    pub format: &'static str,
    pub description: &'static str,
    /// 0 is always shown, 1 only with `-o wide`.
    pub priority: u8,
    /// The cell of an object. `now` is the time of the request (for ages).
    pub cell: fn(&Value, now: jiff::Timestamp) -> Cell,
}

/// A subresource and its verbs.
pub struct Subresource {
    pub name: &'static str,
    /// Kind of the object that goes in and out, when it is not the kind itself (`Scale`, `Eviction`, `Binding`, ...).
    pub kind: Option<Gvk>,
    /// As discovery lists them: `get`, `patch`, `update`, `create`.
    pub verbs: &'static [&'static str],
}

/// The declaration of a kind.
pub struct Kind {
    pub group: Cow<'static, str>,
    pub version: Cow<'static, str>,
    /// `Deployment`.
    pub kind: Cow<'static, str>,
    /// `deployments`.
    pub plural: Cow<'static, str>,
    /// `deployment`.
    pub singular: Cow<'static, str>,
    pub short_names: &'static [&'static str],
    /// `all` for what `kubectl get all` shows.
    pub categories: &'static [&'static str],
    pub scope: Scope,
    /// As discovery lists them.
    pub verbs: &'static [&'static str],
    pub subresources: &'static [Subresource],
    pub strategy: &'static dyn Strategy,
    pub columns: &'static [Column],
    /// Field selectors besides metadata.name and metadata.namespace, with how to read them.
    pub selectable_fields: &'static [(&'static str, fn(&Value) -> String)],
}

impl Kind {
    #[must_use]
    pub fn gvr(&self) -> Gvr {
        Gvr { group: self.group.clone(), version: self.version.clone(), resource: self.plural.clone() }
    }

    #[must_use]
    pub fn gvk(&self) -> Gvk {
        Gvk { group: self.group.clone(), version: self.version.clone(), kind: self.kind.clone() }
    }

    #[must_use]
    pub fn namespaced(&self) -> bool {
        self.scope == Scope::Namespaced
    }

    /// Storage prefix of all objects, with a trailing slash: `/registry/pods/`, `/registry/apps/deployments/`.
    #[must_use]
    pub fn prefix(&self) -> String {
        if self.group.is_empty() {
            format!("/registry/{}/", self.plural)
        } else {
            format!("/registry/{}/{}/", self.group, self.plural)
        }
    }

    /// Storage key of one object.
    #[must_use]
    pub fn key(&self, namespace: &str, name: &str) -> String {
        if self.namespaced() {
            format!("{}{namespace}/{name}", self.prefix())
        } else {
            format!("{}{name}", self.prefix())
        }
    }
}
