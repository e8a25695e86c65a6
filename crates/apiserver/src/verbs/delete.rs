//! delete and deletecollection: graceful deletion, finalizers, propagation.
// k8s: staging/src/k8s.io/apiserver/pkg/registry/generic/registry/store.go Delete

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use jiff::Timestamp;
use meta::{Response, Status};
use schema::Value;
use store::{Outcome, Txn};
use watchcache::Entry;

use super::{list, write};
use crate::admission;
use crate::content::{self, body::DeleteOptions};
use crate::object;
use crate::options::ListOptions;
use crate::selector::Selection;
use crate::server::Call;

const TRIES: usize = 8;
/// Objects of a collection that are deleted at once, so that the store syncs for all of them together.
// k8s: --delete-collection-workers
const LIMIT_BATCH: usize = 128;
/// Most bytes of them; one larger object goes alone.
const LIMIT_BATCH_BYTES: usize = 4 << 20;
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

/// Answers a delete.
pub(crate) async fn answer(call: &Call<'_>) -> Result<Response, Status> {
    let accepted = content::negotiate(call.request, true)?;
    let options = DeleteOptions::of(call.request)?;
    let deleted = remove(call, call.name, &options).await?;
    if !deleted.gone || call.resource.kind.returns_deleted() {
        let code = if !deleted.gone && options.orphan_dependents == Some(false) { 202 } else { 200 };
        return content::object(call, &accepted, code, deleted.object, Vec::new());
    }
    let status = Status::deleted(&call.resource.gvr, call.name, object::text(&deleted.value, "uid"));
    content::encoded(&accepted, 200, status.to_json().into(), schema::type_of("meta.k8s.io", "v1", "Status"))
}

/// Deletes one object, or marks it for deletion.
pub(crate) async fn remove(call: &Call<'_>, name: &str, options: &DeleteOptions) -> Result<Deleted, Status> {
    let r = call.resource.clone();
    let dry_run = options.is_dry_run();
    for _ in 0..TRIES {
        let entry = write::current(call, name)?;
        let old = write::from_entry(&r, &entry)?;
        check(call, name, &old, options)?;
        let (new, gone) = match plan(call, &old, options) {
            Plan::Keep => return Ok(Deleted { object: entry.object(), value: old, gone: false }),
            Plan::Mark(new) => (*new, false),
            Plan::Remove(new) => (*new, true),
        };
        let mut stored = new.clone();
        stored.remove_at(&["metadata", "resourceVersion"]);
        let bytes = write::to_storage(&r, &stored);
        if dry_run {
            let object = watchcache::splice_revision(&bytes, entry.mod_revision());
            return Ok(Deleted { object, value: new, gone });
        }
        if let Some(revision) = commit(call, &entry, gone, &bytes).await? {
            let object = watchcache::splice_revision(&bytes, revision);
            return Ok(Deleted { object, value: new, gone });
        }
    }
    Err(Status::stale(&r.gvr, name))
}

async fn commit(
    call: &Call<'_>,
    entry: &Arc<Entry>,
    gone: bool,
    bytes: &[u8],
) -> Result<Option<u64>, Status> {
    let key = entry.key().clone();
    let txn = if gone {
        Txn::delete(key, entry.mod_revision())
    } else {
        Txn::update(key, entry.mod_revision(), bytes.to_vec())
    };
    Ok(match write::commit(call, txn).await? {
        Outcome::Committed { revision } => Some(revision),
        Outcome::Conflict { .. } => None,
    })
}

/// Whether the caller may delete the object as it is.
pub(crate) fn check(call: &Call<'_>, name: &str, old: &Value, options: &DeleteOptions) -> Result<(), Status> {
    check_preconditions(call, name, old, options)?;
    admission::delete(call, old)
}

fn check_preconditions(
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
    let is_namespace = old.str_at(&["kind"]) == "Namespace";
    let pending = !object::finalizers(&new).is_empty()
        || (is_namespace && !old.list_at(&["spec", "finalizers"]).is_empty());
    let grace = call.resource.kind.strategy.grace_period_seconds(old, options.grace_period_seconds);
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
    if is_namespace {
        new.remove_at(&["metadata", "deletionGracePeriodSeconds"]);
        new.set_at(&["status", "phase"], "Terminating");
    }
    if crate::generation::is_counted(&call.resource.gvr) {
        let next = old.int_at(&["metadata", "generation"]).unwrap_or(0) + 1;
        new.set_at(&["metadata", "generation"], next);
    }
    Plan::Mark(Box::new(new))
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

/// Answers a deletecollection: every selected object, as a delete of its own.
pub(crate) async fn collection(call: &Call<'_>) -> Result<Response, Status> {
    let accepted = content::negotiate(call.request, true)?;
    let delete_options = DeleteOptions::of(call.request)?;
    let options = ListOptions::parse(&call.request.query, false)?;
    let r = &call.resource;
    let selection = Selection::parse(&options.label_selector, &options.field_selector, r)?;
    let snapshot = list::snapshot(call, &options).await?;
    let scope = selection.scope(r, call.namespace);
    let page = list::page(r, &snapshot, &scope, &selection, &options);
    let mut rest = &page.entries[..];
    while !rest.is_empty() {
        let (batch, behind) = rest.split_at(batch_length(rest));
        rest = behind;
        let deletes = batch.iter().map(|entry| member(call, entry, &delete_options));
        join_all(deletes).await.into_iter().collect::<Result<(), Status>>()?;
    }
    content::list(call, &accepted, page)
}

/// How many of these are deleted at once.
fn batch_length(entries: &[Arc<Entry>]) -> usize {
    let mut bytes = 0;
    let within = |entry: &&Arc<Entry>| {
        bytes += entry.object_bytes().len();
        bytes <= LIMIT_BATCH_BYTES
    };
    entries.iter().take(LIMIT_BATCH).take_while(within).count().max(1)
}

/// Deletes one object of a collection; one that is gone already is as good as deleted.
async fn member(call: &Call<'_>, entry: &Entry, options: &DeleteOptions) -> Result<(), Status> {
    let one = Call {
        server: call.server,
        request: call.request,
        user: call.user,
        resource: call.resource.clone(),
        namespace: entry.namespace(),
        name: entry.name(),
        subresource: "",
        now: call.now,
    };
    match remove(&one, entry.name(), options).await {
        Err(e) if !e.is("NotFound") => Err(e),
        _ => Ok(()),
    }
}
