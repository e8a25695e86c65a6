//! Removing: graceful deletion, finalizers, propagation, and the compare-and-set loop around them.
// k8s: staging/src/k8s.io/apiserver/pkg/registry/generic/registry/store.go Delete

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use meta::Status;
use schema::Value;
use store::{Outcome, Txn};
use watchcache::Entry;

use super::{Call, object, write};
use crate::request::body::DeleteOptions;

const TRIES: usize = 8;
const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// What a delete did.
pub(crate) struct Deleted {
    /// The last state, or the state it is in now.
    pub object: Bytes,
    pub value: Value,
    /// It is gone from the store.
    pub gone: bool,
}

/// Deletes one object, or marks it for deletion, if the plugins let it go.
pub async fn remove(call: &Call<'_>, name: &str, options: &DeleteOptions) -> Result<Deleted, Status> {
    removed(call, name, options, true).await
}

/// As [`remove`], for a request that the plugins have looked at already.
pub async fn remove_admitted(
    call: &Call<'_>,
    name: &str,
    options: &DeleteOptions,
) -> Result<Deleted, Status> {
    removed(call, name, options, false).await
}

async fn removed(
    call: &Call<'_>,
    name: &str,
    options: &DeleteOptions,
    asks: bool,
) -> Result<Deleted, Status> {
    let r = call.resource.clone();
    let dry_run = options.is_dry_run();
    for _ in 0..TRIES {
        let entry = call.find(name)?;
        let old = write::from_entry(&r, &entry)?;
        check_preconditions(call, name, &old, options)?;
        if asks {
            call.admit_delete(&old, dry_run).await?;
        }
        let (new, gone) = match plan(call, &old, options) {
            Plan::Keep => return Ok(Deleted { object: entry.object(), value: old, gone: false }),
            Plan::Mark(new) => (*new, false),
            Plan::Remove(new) => (*new, true),
        };
        let mut stored = new.clone();
        stored.remove_at(&["metadata", "resourceVersion"]);
        let bytes = r.stored(&stored)?;
        if dry_run {
            let object = watchcache::splice_revision(&bytes, entry.mod_revision());
            return Ok(Deleted { object, value: new, gone });
        }
        if let Some(revision) = commit(call, &entry, &old, gone, &bytes).await? {
            let object = watchcache::splice_revision(&bytes, revision);
            return Ok(Deleted { object, value: new, gone });
        }
    }
    Err(Status::stale(&r.gvr, name))
}

async fn commit(
    call: &Call<'_>,
    entry: &Arc<Entry>,
    old: &Value,
    gone: bool,
    bytes: &[u8],
) -> Result<Option<u64>, Status> {
    let key = entry.key().clone();
    let txn = if gone {
        Txn::delete(key, entry.mod_revision()).and(call.stages.companions(call, None, Some(old))?)
    } else {
        Txn::update(key, entry.mod_revision(), bytes.to_vec())
    };
    Ok(match write::commit(call, txn).await? {
        Outcome::Committed { revision } => Some(revision),
        Outcome::Conflict { .. } => None,
    })
}

/// Whether the object is the one that the caller means.
pub fn check_preconditions(
    call: &Call<'_>,
    name: &str,
    old: &Value,
    options: &DeleteOptions,
) -> Result<(), Status> {
    let Some(p) = &options.preconditions else { return Ok(()) };
    let gvr = &call.resource.gvr;
    let actual = object::text(old, "uid");
    if let Some(uid) = p.uid.as_deref().filter(|u| *u != actual) {
        let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {actual}");
        return Err(Status::conflict(gvr, name, &why));
    }
    let current = object::text(old, "resourceVersion");
    if let Some(version) = p.resource_version.as_deref().filter(|v| *v != current) {
        let why = format!(
            "Precondition failed: ResourceVersion in precondition: {version}, ResourceVersion in object meta: {current}"
        );
        return Err(Status::conflict(gvr, name, &why));
    }
    Ok(())
}

enum Plan {
    /// It is being deleted already, and nothing changes.
    Keep,
    /// It stays, marked for deletion.
    Mark(Box<Value>),
    /// It goes now.
    Remove(Box<Value>),
}

/// What a delete does to an object.
// k8s: staging/src/k8s.io/apiserver/pkg/registry/rest/delete.go BeforeDelete
fn plan(call: &Call<'_>, old: &Value, options: &DeleteOptions) -> Plan {
    let mut new = old.clone();
    let changed = set_finalizers(&mut new, options);
    if !object::is_terminating(old)
        && let Some(finalizer) = call.resource.kind.strategy().deletion_finalizer()
    {
        add_finalizer(&mut new, finalizer);
    }
    let pending = !object::finalizers(&new).is_empty() || call.resource.kind.is_kept_by_spec(old);
    let grace = call.resource.kind.strategy().grace_period_seconds(old, options.grace_period_seconds);
    if object::is_terminating(old) {
        let left = old.int_at(&["metadata", "deletionGracePeriodSeconds"]).unwrap_or(0);
        let wanted = grace.filter(|_| options.grace_period_seconds.is_some()).unwrap_or(left).max(0);
        let shorter = wanted < left;
        if shorter {
            let marked = meta::time::parse(object::text(old, "deletionTimestamp"));
            let began = marked.map_or(call.now, |t| after(t, -left));
            mark(&mut new, began.max(after(call.now, -wanted)), wanted);
        }
        if wanted == 0 && !pending {
            return Plan::Remove(Box::new(new));
        }
        return if shorter || changed { Plan::Mark(Box::new(new)) } else { Plan::Keep };
    }
    let seconds = grace.unwrap_or(0).max(0);
    if seconds == 0 && !pending {
        return Plan::Remove(Box::new(new));
    }
    mark(&mut new, call.now, seconds);
    call.resource.kind.strategy().mark_deleted(&mut new, &call.context());
    if call.resource.kind.generation {
        let next = old.int_at(&["metadata", "generation"]).unwrap_or(0) + 1;
        new.set_at(&["metadata", "generation"], next);
    }
    Plan::Mark(Box::new(new))
}

fn add_finalizer(object: &mut Value, finalizer: &str) {
    if !object::finalizers(object).contains(&finalizer) {
        let mut list = object.list_at(&["metadata", "finalizers"]).to_vec();
        list.push(Value::from(finalizer));
        object.set_at(&["metadata", "finalizers"], list);
    }
}

fn after(t: Timestamp, seconds: i64) -> Timestamp {
    let by = Duration::from_secs(seconds.unsigned_abs());
    let moved = if seconds < 0 { t.checked_sub(by) } else { t.checked_add(by) };
    moved.unwrap_or(t)
}

fn mark(object: &mut Value, now: Timestamp, seconds: i64) {
    object.set_at(&["metadata", "deletionTimestamp"], object::rfc3339(after(now, seconds)));
    object.set_at(&["metadata", "deletionGracePeriodSeconds"], seconds);
}

/// Puts in and takes out the garbage collector's finalizers; says whether anything changed.
// k8s: staging/src/k8s.io/apiserver/pkg/registry/generic/registry/store.go deletionFinalizersForGarbageCollection
fn set_finalizers(object: &mut Value, options: &DeleteOptions) -> bool {
    let before: Vec<String> = object::finalizers(object).into_iter().map(str::to_owned).collect();
    let had = |f: &str| before.iter().any(|b| b == f);
    let (orphan, foreground) = match (options.propagation_policy.as_deref(), options.orphan_dependents) {
        (Some("Orphan"), _) | (None, Some(true)) => (true, false),
        (Some("Foreground"), _) => (false, true),
        (Some(_), _) | (None, Some(false)) => (false, false),
        (None, None) => (had(ORPHAN), had(FOREGROUND) && !had(ORPHAN)),
    };
    let mut finalizers: Vec<String> =
        before.iter().filter(|f| *f != ORPHAN && *f != FOREGROUND).cloned().collect();
    if orphan {
        finalizers.push(ORPHAN.to_owned());
    }
    if foreground {
        finalizers.push(FOREGROUND.to_owned());
    }
    let mut sorted = (before.clone(), finalizers.clone());
    sorted.0.sort();
    sorted.1.sort();
    if sorted.0 == sorted.1 {
        return false;
    }
    if finalizers.is_empty() {
        object.remove_at(&["metadata", "finalizers"]);
    } else {
        let list: Vec<Value> = finalizers.into_iter().map(Value::from).collect();
        object.set_at(&["metadata", "finalizers"], list);
    }
    true
}
