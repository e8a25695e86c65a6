//! What a write does to the managed fields of an object. It must never write an object or ask for one.
// k8s: structured-merge-diff/merge/update.go; staging/src/k8s.io/apimachinery/pkg/util/managedfields/internal

mod apply;
mod cap;
mod update;

use meta::{Gvk, Status};
use schema::{HeldType, TypeRef, Value};

use crate::compare::{Comparison, compare_at};
use crate::conflict::Conflicts;
use crate::entry::{self, Entry, Identity};
use crate::place::{Place, Zeros};
use crate::remove::reconcile;
use crate::set::Set;

/// Other versions of the objects of a kind, and what no write of theirs owns.
pub trait Versions {
    /// An object of version `from` in version `to`, with the type of that; `None` where `to` is not served.
    fn convert(&self, object: &Value, from: &str, to: &str) -> Option<(Value, HeldType)>;

    /// The fields that the writes of this request leave alone, in a version: nobody owns them by it.
    fn reset_fields(&self, api_version: &str) -> &[&[&str]];
}

/// One write of an object, in the version of the request.
pub struct Engine<'a> {
    pub ty: TypeRef<'a>,
    pub gvk: &'a Gvk,
    /// Empty: the object itself.
    pub subresource: &'a str,
    pub versions: &'a dyn Versions,
    /// RFC 3339, whole seconds, UTC.
    pub now: &'a str,
}

/// What an apply leads to.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The object, decoded by its type, with its managed fields. It has no defaults yet.
    pub object: Value,
    /// Whether it differs from the live one in more than managed fields.
    pub changed: bool,
}

/// Why a configuration cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApplyError {
    /// Others own what it would change.
    Conflicts(Conflicts),
    /// It is not what is expected: 400.
    BadRequest(String),
    /// It is not of its type, or what comes out is not: 500, as upstream answers.
    Internal(String),
}

impl From<ApplyError> for Status {
    fn from(e: ApplyError) -> Status {
        match e {
            ApplyError::Conflicts(conflicts) => conflicts.to_status(),
            ApplyError::BadRequest(message) => Status::bad_request(message),
            ApplyError::Internal(message) => Status::failure(500, "", message),
        }
    }
}

impl From<String> for ApplyError {
    fn from(message: String) -> Self {
        ApplyError::Internal(message)
    }
}

/// A type, the caller's or one held here.
pub(crate) enum Held<'a> {
    Given(TypeRef<'a>),
    Own(HeldType),
}

impl Held<'_> {
    pub fn get(&self) -> TypeRef<'_> {
        match self {
            Held::Given(ty) => *ty,
            Held::Own(ty) => ty.get(),
        }
    }
}

/// An object in one version.
pub struct Typed<'a> {
    pub(crate) value: Value,
    pub(crate) ty: Held<'a>,
    pub(crate) api_version: String,
}

/// What changes, as one version sees it.
struct Seen<'a> {
    api_version: String,
    /// `None`: the version is not served any more.
    diff: Option<(Comparison, Held<'a>)>,
}

/// What is nobody's.
const STRIPPED: &[&[&str]] = &[
    &["apiVersion"],
    &["kind"],
    &["metadata"],
    &["metadata", "name"],
    &["metadata", "namespace"],
    &["metadata", "creationTimestamp"],
    &["metadata", "selfLink"],
    &["metadata", "uid"],
    &["metadata", "clusterName"],
    &["metadata", "generation"],
    &["metadata", "managedFields"],
    &["metadata", "resourceVersion"],
];

fn strip(set: &mut Set) {
    // What is deepest first: a field that goes may have some below it.
    for path in STRIPPED {
        set.remove_field(path);
    }
}

fn managed_of(object: &Value) -> Option<&Value> {
    object.at(&["metadata", "managedFields"])
}

fn put(object: &mut Value, entries: Option<Value>) {
    match entries {
        Some(list) => object.set_at(&["metadata", "managedFields"], list),
        None => drop(object.remove_at(&["metadata", "managedFields"])),
    }
}

impl<'a> Engine<'a> {
    fn api_version(&self) -> String {
        self.gvk.api_version()
    }

    /// Both states in every version that an entry is in, the request's first.
    fn seen(
        &self,
        live: &Value,
        new: &Value,
        zeros: Zeros,
        entries: &[Entry],
    ) -> Result<Vec<Seen<'a>>, String> {
        let own = self.api_version();
        let mut diff = compare_at(live, new, Place::root(self.ty), zeros)?;
        diff.without(self.versions.reset_fields(&own));
        let mut all = vec![Seen { api_version: own, diff: Some((diff, Held::Given(self.ty))) }];
        for entry in entries {
            if all.iter().any(|seen| seen.api_version == entry.api_version) {
                continue;
            }
            let to = entry.api_version.clone();
            let own = &all[0].api_version;
            let (old, new) = (self.versions.convert(live, own, &to), self.versions.convert(new, own, &to));
            let diff = match (old, new) {
                (Some((old, ty)), Some((new, _))) => {
                    let mut diff = compare_at(&old, &new, Place::root(ty.get()), Zeros::Written)?;
                    diff.without(self.versions.reset_fields(&to));
                    Some((diff, Held::Own(ty)))
                }
                _ => None,
            };
            all.push(Seen { api_version: to, diff });
        }
        Ok(all)
    }

    /// Takes what changes from everybody but `own`: without `force` nobody may own what changes or comes.
    fn settle(
        &self,
        entries: &mut Vec<Entry>,
        seen: &[Seen<'_>],
        own: Option<&Identity>,
        force: bool,
    ) -> Result<(), Conflicts> {
        let diff_of = |entry: &Entry| {
            let seen = seen.iter().find(|s| s.api_version == entry.api_version)?;
            seen.diff.as_ref().map(|(diff, _)| diff)
        };
        entries.retain(|e| Some(&e.id) == own || diff_of(e).is_some());
        let mut conflicts = Vec::new();
        let mut left: Vec<(usize, Set)> = Vec::new();
        for (at, entry) in entries.iter().enumerate().filter(|(_, e)| Some(&e.id) != own) {
            let Some(diff) = diff_of(entry) else { continue };
            if diff.is_empty() {
                continue;
            }
            let changed = entry.fields().intersection(&diff.modified.union(&diff.added));
            let rest = entry.fields().difference(&changed).difference(&diff.removed);
            if !changed.is_empty() {
                conflicts.push((entry.id.clone(), changed));
            }
            if rest != *entry.fields() {
                left.push((at, rest));
            }
        }
        if !force && !conflicts.is_empty() {
            conflicts.sort_by(|a, b| a.0.cmp(&b.0));
            return Err(Conflicts(conflicts));
        }
        for (at, set) in left {
            entries[at].set_fields(set);
        }
        entries.retain(|e| !e.fields().is_empty());
        Ok(())
    }

    /// Brings entries in line with types that have changed since they were written.
    fn reconcile(entries: &mut [Entry], seen: &[Seen<'_>]) {
        for entry in entries {
            let found = seen.iter().find(|s| s.api_version == entry.api_version);
            if let Some((_, ty)) = found.and_then(|s| s.diff.as_ref()) {
                entry.change_fields(|set| reconcile(set, Place::root(ty.get())));
            }
        }
    }
}

/// The entries of a live object for a write that is not an apply: broken ones are none.
fn read_or_none(list: Option<&Value>) -> Vec<Entry> {
    entry::read(list).unwrap_or_default()
}
