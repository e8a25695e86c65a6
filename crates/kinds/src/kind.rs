//! What the declaration of a kind consists of.

use std::borrow::Cow;
use std::ops::Deref;
use std::sync::Arc;

use meta::{FieldError, Gvk, Gvr, name};
use schema::Value;

use crate::columns::{self, Columns, PathColumn};
pub use crate::operation::Operation;
use crate::selectable::{self, Selectable};
use crate::warnings::{self, Warnings, Write};

/// Where objects of a kind live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Namespaced,
    Cluster,
}

/// What a strategy may know besides the objects. No clock, no store: facts are put in by the caller.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// RFC 3339 time of the request, whole seconds.
    pub now: String,
    /// Namespace of the request, empty for cluster scope.
    pub namespace: String,
    pub user: String,
    /// The rest of what is known about the user.
    pub user_uid: String,
    pub groups: Vec<String>,
    pub extra: Vec<(String, Vec<String>)>,
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
    /// (see [`Kind::generation`] and [`Strategy::generation_changes`]).
    fn prepare_for_update(&self, new: &mut Value, old: &Value, op: Operation, _cx: &Context) {
        keep_other_half(new, old, op);
    }
    /// Puts what deprecated forms of a new object say into the fields that replaced them, and says so: warnings.
    fn carry_over(&self, _object: &mut Value) -> Vec<String> {
        Vec::new()
    }
    /// Marks an object whose deletion begins, besides the metadata (done for all kinds alike).
    fn mark_deleted(&self, _object: &mut Value, _cx: &Context) {}
    /// A finalizer that an object has from the moment its deletion begins: what must be cleared up behind it.
    fn deletion_finalizer(&self) -> Option<&'static str> {
        None
    }
    /// Everything wrong with an object to be created, metadata excepted (done for all kinds alike).
    fn validate(&self, _object: &Value) -> Vec<FieldError> {
        Vec::new()
    }
    /// Everything wrong with an update; implementors usually call `validate(new)` too.
    fn validate_update(&self, new: &Value, _old: &Value, _op: Operation) -> Vec<FieldError> {
        self.validate(new)
    }
    /// Whether the difference between the two counts for `metadata.generation`.
    fn generation_changes(&self, new: &Value, old: &Value) -> bool {
        new.get("spec") != old.get("spec")
    }
    /// Whether a PUT may create the object.
    fn allow_create_on_update(&self) -> bool {
        false
    }
    /// Whether an update without `resourceVersion` is taken.
    fn allow_unconditional_update(&self) -> bool {
        true
    }
    /// Seconds between the mark for deletion and the removal, for kinds that are deleted gracefully; `None` for
    /// all others. `requested` is what the delete asks for.
    fn grace_period_seconds(&self, _object: &Value, _requested: Option<i64>) -> Option<i64> {
        None
    }
}

/// The strategy of a kind with nothing of its own.
pub struct Plain;
impl Strategy for Plain {}

/// The form that names of a kind must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameRule {
    /// Anything that can stand in a path.
    PathSegment,
    /// A DNS subdomain: most kinds.
    Subdomain,
    /// A DNS label.
    Label,
    /// A DNS label that starts with a letter.
    Label1035,
    /// An IP address in canonical form.
    Ip,
}

impl NameRule {
    /// What is wrong with a name; `prefix` says that it is a `generateName`, to which more will be appended.
    #[must_use]
    pub fn complaints(self, name: &str, prefix: bool) -> Vec<String> {
        let masked;
        let name = match name.strip_suffix('-') {
            Some(stem) if prefix && !stem.is_empty() && self != NameRule::PathSegment => {
                masked = format!("{stem}a");
                &masked
            }
            _ => name,
        };
        match self {
            NameRule::PathSegment if prefix => {
                name::path_segment(name).into_iter().filter(|m| m.starts_with("may not contain")).collect()
            }
            NameRule::PathSegment => name::path_segment(name),
            NameRule::Subdomain => name::dns1123_subdomain(name),
            NameRule::Label => name::dns1123_label(name),
            NameRule::Label1035 => name::dns1035_label(name),
            NameRule::Ip => name::ip(name),
        }
    }
}

/// Removes `status`.
pub fn clear_status(object: &mut Value) {
    if let Some(m) = object.as_map_mut() {
        m.remove("status");
    }
}

/// A write to the object keeps the old status; a write to status keeps everything but status and metadata
/// (see [`Kind::status_keeps`] for kinds whose status writes leave parts of the metadata alone).
pub fn keep_other_half(new: &mut Value, old: &Value, op: Operation) {
    match op {
        Operation::Create | Operation::UpdateSubresource(_) => {}
        Operation::Update => carry(new, old, "status"),
        Operation::UpdateStatus => {
            let (status, metadata) = (new.get("status").cloned(), new.get("metadata").cloned());
            *new = old.clone();
            let Some(m) = new.as_map_mut() else { return };
            if let Some(metadata) = metadata {
                m.set("metadata", metadata);
            }
            match status {
                Some(s) => m.set("status", s),
                None => {
                    m.remove("status");
                }
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
    Float(f64),
    Bool(bool),
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

/// The `status` subresource as most kinds have it.
pub const STATUS: Subresource =
    Subresource { name: "status", kind: None, verbs: &["get", "patch", "update"] };
/// The `scale` subresource.
pub const SCALE: Subresource = Subresource {
    name: "scale",
    kind: Some(Gvk::new("autoscaling", "v1", "Scale")),
    verbs: &["get", "patch", "update"],
};
/// The metadata that users write, for kinds whose status writes change nothing else.
// k8s: staging/src/k8s.io/apimachinery/pkg/apis/meta/v1/helpers.go ResetObjectMetaForStatus
pub const USER_METADATA: &[&str] = &["labels", "annotations", "finalizers", "ownerReferences"];
/// Only `status`.
pub const WITH_STATUS: &[Subresource] = &[STATUS];
/// `status` and `scale`.
pub const WITH_SCALE: &[Subresource] = &[SCALE, STATUS];

/// A subresource and its verbs.
pub struct Subresource {
    pub name: &'static str,
    /// Kind of the object that goes in and out, when it is not the kind itself (`Scale`, `Eviction`, `Binding`, ...).
    pub kind: Option<Gvk>,
    /// As discovery lists them: `get`, `patch`, `update`, `create`.
    pub verbs: &'static [&'static str],
}

/// Where objects of a kind are kept.
#[derive(Clone, Copy)]
pub enum Storage {
    /// In the store, in this form.
    Stored,
    /// In the store, in the form of another kind (another version, or `events.k8s.io` as core events).
    As(&'static Conversion),
    /// Nowhere: the answer is computed (reviews, bindings, component statuses).
    Virtual,
}

/// How a kind that is not its own storage form becomes it and comes back.
pub struct Conversion {
    /// The kind that is stored.
    pub kind: &'static Kind,
    /// From the served form to the stored one, `kind` and `apiVersion` included.
    pub to_storage: fn(Value) -> Value,
    /// From the stored form to the served one, `kind` and `apiVersion` included.
    pub from_storage: fn(Value) -> Value,
}

/// The verbs of an ordinary stored kind.
pub const ALL_VERBS: &[&str] =
    &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
/// The only verb of a review.
pub const CREATE_ONLY: &[&str] = &["create"];

/// A kind that is served: one of those in the program, or one that was defined while it runs.
#[derive(Clone)]
pub enum KindRef {
    Builtin(&'static Kind),
    Defined(Arc<Kind>),
}

impl Deref for KindRef {
    type Target = Kind;

    fn deref(&self) -> &Kind {
        match self {
            KindRef::Builtin(kind) => kind,
            KindRef::Defined(kind) => kind,
        }
    }
}

/// Where the parts of the `scale` of a kind that was defined at run time are, as names of nested fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScalePaths {
    pub spec_replicas: Vec<String>,
    pub status_replicas: Vec<String>,
    /// Where a selector in its textual form is.
    pub selector: Option<Vec<String>>,
}

/// What a kind that was defined at run time has of its own, in the place of what the others declare.
pub struct Own {
    pub short_names: Vec<String>,
    pub categories: Vec<String>,
    pub strategy: Box<dyn Strategy>,
    pub columns: Vec<PathColumn>,
    /// Paths of the fields by which objects are selected besides name and namespace: `spec.color`.
    pub selectable: Vec<String>,
    /// Where its `scale` is, where it has one.
    pub scale: Option<ScalePaths>,
    /// Said with every answer about this kind; empty: nothing.
    pub deprecation: String,
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
    short_names: &'static [&'static str],
    /// `all` for what `kubectl get all` shows.
    categories: &'static [&'static str],
    pub scope: Scope,
    /// As discovery lists them.
    pub verbs: &'static [&'static str],
    pub subresources: &'static [Subresource],
    strategy: &'static dyn Strategy,
    columns: &'static [Column],
    /// Field selectors besides metadata.name and metadata.namespace.
    selectable_fields: &'static [Selectable<'static>],
    pub storage: Storage,
    pub name_rule: NameRule,
    /// Fields of the metadata that a write to status does not change.
    pub status_keeps: &'static [&'static str],
    /// What single fields must be, besides what the strategy checks.
    pub rules: &'static [crate::shape::Rule],
    /// Said with every answer about this kind; empty: nothing.
    deprecation: &'static str,
    /// Said with the answer to a write.
    pub warnings: Warnings,
    /// Whether `metadata.generation` counts the changes of the spec, from 1.
    // k8s: PrepareForCreate and PrepareForUpdate of the strategies in pkg/registry
    pub generation: bool,
    /// Whether a deletion answers with the object and not with a Status.
    // k8s: ReturnDeletedObject of the stores in pkg/registry
    pub returns_deleted: bool,
    /// Whether `spec.finalizers` keep an object as `metadata.finalizers` do.
    pub spec_finalizers: bool,
    /// Of a kind that was defined at run time; it counts instead of the declared fields of the same names.
    pub own: Option<Box<Own>>,
}

impl Kind {
    /// An ordinary namespaced kind: all verbs, no subresources, Name and Created At as columns. Refined with `with_*`.
    #[must_use]
    pub const fn namespaced_kind(
        group: &'static str,
        version: &'static str,
        kind: &'static str,
        plural: &'static str,
        singular: &'static str,
    ) -> Self {
        Kind {
            group: Cow::Borrowed(group),
            version: Cow::Borrowed(version),
            kind: Cow::Borrowed(kind),
            plural: Cow::Borrowed(plural),
            singular: Cow::Borrowed(singular),
            deprecation: "",
            short_names: &[],
            categories: &[],
            scope: Scope::Namespaced,
            verbs: ALL_VERBS,
            subresources: &[],
            strategy: &Plain,
            columns: columns::DEFAULT,
            selectable_fields: &[],
            storage: Storage::Stored,
            name_rule: NameRule::Subdomain,
            status_keeps: &[],
            rules: &[],
            warnings: warnings::none,
            generation: false,
            returns_deleted: false,
            spec_finalizers: false,
            own: None,
        }
    }

    /// A kind that was defined at run time.
    #[must_use]
    pub fn defined(gvk: Gvk, plural: String, singular: String, scope: Scope, own: Own) -> Self {
        let mut kind = Self::namespaced_kind("", "", "", "", "");
        (kind.group, kind.version, kind.kind) = (gvk.group, gvk.version, gvk.kind);
        (kind.plural, kind.singular, kind.scope) = (plural.into(), singular.into(), scope);
        kind.generation = true;
        kind.own = Some(Box::new(own));
        kind
    }

    /// Short forms of the name, such as `po`.
    #[must_use]
    pub fn short_names(&self) -> Vec<&str> {
        self.own.as_ref().map_or_else(|| self.short_names.to_vec(), |own| texts(&own.short_names))
    }

    /// The groups of kinds that it is shown with, such as `all`.
    #[must_use]
    pub fn categories(&self) -> Vec<&str> {
        self.own.as_ref().map_or_else(|| self.categories.to_vec(), |own| texts(&own.categories))
    }

    /// What it does on a write.
    #[must_use]
    pub fn strategy(&self) -> &dyn Strategy {
        self.own.as_ref().map_or(self.strategy, |own| &*own.strategy)
    }

    /// The columns of its tables.
    #[must_use]
    pub fn columns(&self) -> Columns<'_> {
        self.own.as_ref().map_or(Columns::Builtin(self.columns), |own| Columns::Paths(&own.columns))
    }

    /// Field selectors besides metadata.name and metadata.namespace.
    pub fn selectable_fields(&self) -> impl Iterator<Item = Selectable<'_>> {
        let own = self.own.iter().flat_map(|own| &own.selectable);
        self.selectable_fields.iter().copied().chain(own.map(|path| selectable::field(path)))
    }

    /// Said with every answer about this kind; empty: nothing.
    #[must_use]
    pub fn deprecation(&self) -> &str {
        self.own.as_ref().map_or(self.deprecation, |own| &own.deprecation)
    }

    /// Where its `scale` is.
    #[must_use]
    pub fn scale_paths(&self) -> Option<&ScalePaths> {
        self.own.as_ref().and_then(|own| own.scale.as_ref())
    }

    /// The same for cluster scope.
    #[must_use]
    pub const fn cluster_kind(
        group: &'static str,
        version: &'static str,
        kind: &'static str,
        plural: &'static str,
        singular: &'static str,
    ) -> Self {
        let mut k = Self::namespaced_kind(group, version, kind, plural, singular);
        k.scope = Scope::Cluster;
        k
    }

    #[must_use]
    pub const fn with_deprecation(mut self, warning: &'static str) -> Self {
        self.deprecation = warning;
        self
    }

    #[must_use]
    pub const fn with_generation(mut self) -> Self {
        self.generation = true;
        self
    }

    #[must_use]
    pub const fn returning_deleted(mut self) -> Self {
        self.returns_deleted = true;
        self
    }

    #[must_use]
    pub const fn with_spec_finalizers(mut self) -> Self {
        self.spec_finalizers = true;
        self
    }

    #[must_use]
    pub const fn with_warnings(mut self, warnings: Warnings) -> Self {
        self.warnings = warnings;
        self
    }

    #[must_use]
    pub const fn with_short_names(mut self, names: &'static [&'static str]) -> Self {
        self.short_names = names;
        self
    }

    #[must_use]
    pub const fn with_categories(mut self, categories: &'static [&'static str]) -> Self {
        self.categories = categories;
        self
    }

    #[must_use]
    pub const fn with_verbs(mut self, verbs: &'static [&'static str]) -> Self {
        self.verbs = verbs;
        self
    }

    #[must_use]
    pub const fn with_subresources(mut self, subresources: &'static [Subresource]) -> Self {
        self.subresources = subresources;
        self
    }

    #[must_use]
    pub const fn with_strategy(mut self, strategy: &'static dyn Strategy) -> Self {
        self.strategy = strategy;
        self
    }

    #[must_use]
    pub const fn with_columns(mut self, columns: &'static [Column]) -> Self {
        self.columns = columns;
        self
    }

    #[must_use]
    pub const fn with_selectable_fields(mut self, fields: &'static [Selectable<'static>]) -> Self {
        self.selectable_fields = fields;
        self
    }

    #[must_use]
    pub const fn with_storage(mut self, storage: Storage) -> Self {
        self.storage = storage;
        self
    }

    #[must_use]
    pub const fn with_names(mut self, rule: NameRule) -> Self {
        self.name_rule = rule;
        self
    }

    #[must_use]
    pub const fn with_status_keeping(mut self, fields: &'static [&'static str]) -> Self {
        self.status_keeps = fields;
        self
    }

    #[must_use]
    pub const fn with_rules(mut self, rules: &'static [crate::shape::Rule]) -> Self {
        self.rules = rules;
        self
    }

    /// What a write that was found valid is answered with besides the object.
    #[must_use]
    pub fn warnings_of(&self, new: &Value, old: Option<&Value>, operation: Operation) -> Vec<String> {
        (self.warnings)(&Write { new, old, operation })
    }

    /// The kind whose form is in the store: itself, or the one it is stored as.
    #[must_use]
    pub fn storage_kind(&self) -> &Kind {
        match self.storage {
            Storage::As(conversion) => conversion.kind,
            Storage::Stored | Storage::Virtual => self,
        }
    }

    /// Whether it is that kind, in whatever version.
    #[must_use]
    pub fn is(&self, other: &Kind) -> bool {
        self.plural == other.plural && self.group == other.group
    }

    /// Whether objects of it exist in the store.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        !matches!(self.storage, Storage::Virtual)
    }

    /// The declaration of a subresource.
    #[must_use]
    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|s| s.name == name)
    }

    /// The selectable field of that name.
    #[must_use]
    pub fn selectable(&self, name: &str) -> Option<Selectable<'_>> {
        self.selectable_fields().find(|f| f.name == name)
    }

    /// The paths in the stored object that the selectable fields of the kind need, each once.
    #[must_use]
    pub fn selected_paths(&self) -> Vec<String> {
        let mut paths: Vec<String> = Vec::new();
        for path in self.selectable_fields().flat_map(|f| f.paths()) {
            if !paths.iter().any(|p| p == path) {
                paths.push(path.to_owned());
            }
        }
        paths
    }

    #[must_use]
    pub fn gvr(&self) -> Gvr {
        Gvr { group: self.group.clone(), version: self.version.clone(), resource: self.plural.clone() }
    }

    #[must_use]
    pub fn gvk(&self) -> Gvk {
        Gvk { group: self.group.clone(), version: self.version.clone(), kind: self.kind.clone() }
    }

    /// Whether a finalizer in `spec` keeps the object.
    #[must_use]
    pub fn is_kept_by_spec(&self, object: &Value) -> bool {
        self.spec_finalizers && !object.list_at(&["spec", "finalizers"]).is_empty()
    }

    #[must_use]
    pub fn namespaced(&self) -> bool {
        self.scope == Scope::Namespaced
    }

    /// Storage prefix of all objects, with a trailing slash: `/registry/pods/`, `/registry/apps/deployments/`.
    #[must_use]
    pub fn prefix(&self) -> String {
        let k = self.storage_kind();
        if k.group.is_empty() {
            format!("/registry/{}/", k.plural)
        } else {
            format!("/registry/{}/{}/", k.group, k.plural)
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

fn texts(all: &[String]) -> Vec<&str> {
    all.iter().map(String::as_str).collect()
}
