//! Reading: the state that a read is about, and pages of objects of it as shared bytes. It must never encode one.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use meta::Status;
use watchcache::{Entry, Error, RevisionMatch, Scope, Snapshot};

use super::{Call, State};
use crate::registry::Resource;
use crate::registry::selector::Selection;
use crate::request::options::{Consistency, Continue, ListOptions};

/// A page of a list before it is encoded.
pub(crate) struct Page {
    pub entries: Vec<Arc<Entry>>,
    pub revision: u64,
    /// Empty on the last page.
    pub token: String,
    pub remaining: Option<usize>,
}

/// How long a read waits for a version that has not happened yet.
// k8s: staging/src/k8s.io/apiserver/pkg/storage/cacher/watch_cache.go blockTimeout
const BLOCK: Duration = Duration::from_secs(3);

/// Brings the cache to what a read asks for. A version that does not happen in time is refused.
pub async fn wait(state: &State, consistency: Consistency) -> Result<(), Status> {
    let (Consistency::NotOlderThan(wanted) | Consistency::Exact(wanted)) = consistency else {
        if consistency == Consistency::Newest {
            state.cache.wait_current().await.map_err(|e| Status::internal(e.to_string()))?;
        }
        return Ok(());
    };
    if wanted > state.cache.revision() {
        let happens = pin!(state.cache.wait_until(wanted));
        if let Either::Right(_) = select(happens, state.timer.sleep(BLOCK)).await {
            return Err(too_large(wanted, state.cache.revision()));
        }
    }
    Ok(())
}

/// 504 for a resource version that has not happened.
// k8s: staging/src/k8s.io/apiserver/pkg/storage/errors.go NewTooLargeResourceVersionError
pub fn too_large(wanted: u64, current: u64) -> Status {
    let mut s = Status::timeout(format!("Too large resource version: {wanted}, current: {current}"));
    s.details = Some(meta::StatusDetails {
        retry_after_seconds: Some(1),
        causes: vec![meta::StatusCause {
            reason: "ResourceVersionTooLarge".to_owned(),
            message: "Too large resource version".to_owned(),
            ..meta::StatusCause::default()
        }],
        ..meta::StatusDetails::default()
    });
    s
}

/// The state that the list is about.
pub async fn snapshot(call: &Call<'_>, options: &ListOptions) -> Result<Snapshot, Status> {
    let cache = &call.resource.cache;
    let Some(from) = &options.from else {
        wait(call.state, options.consistency).await?;
        let matching = match options.consistency {
            Consistency::Newest | Consistency::Any => RevisionMatch::Any,
            Consistency::NotOlderThan(r) => RevisionMatch::NotOlderThan(r),
            Consistency::Exact(r) => RevisionMatch::Exact(r),
        };
        return cache.list(matching).map_err(|e| match e {
            Error::Expired { .. } => Status::expired("The resourceVersion for the provided list is too old."),
            other => status_of(&other),
        });
    };
    match u64::try_from(from.revision) {
        // A token handed out with an expiry goes on with the newest state, inconsistently.
        Err(_) => cache.list(RevisionMatch::Any).map_err(|e| status_of(&e)),
        Ok(revision) => cache.list(RevisionMatch::Exact(revision)).map_err(|e| match e {
            Error::Expired { .. } => expired_token(from),
            other => status_of(&other),
        }),
    }
}

/// 410 with a token that goes on at the same place in the newest state.
// k8s: staging/src/k8s.io/apiserver/pkg/storage/etcd3/errors.go handleCompactedErrorForPaging
fn expired_token(from: &Continue) -> Status {
    let mut status = Status::expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list \
         without the continue parameter, or use the continue token in this response to retrieve the remainder of \
         the results. Continuing with the provided token results in an inconsistent list - objects that were \
         created, modified, or deleted between the time the first chunk was returned and now may show up in the \
         list.",
    );
    status.continue_token = from.going_on().encode();
    status
}

pub fn status_of(e: &Error) -> Status {
    match e {
        Error::Expired { .. } => Status::expired("The resourceVersion for the provided list is too old."),
        Error::TooLarge { requested, current } => too_large(*requested, *current),
        Error::TooManyWatchers { .. } => Status::too_many_requests(e.to_string(), 1),
        other => Status::internal(other.to_string()),
    }
}

/// Where the keys of a scope begin.
pub fn range(resource: &Resource, scope: &Scope) -> String {
    match scope {
        Scope::All | Scope::Name(_) => resource.prefix.clone(),
        Scope::Namespace(ns) => format!("{}{ns}/", resource.prefix),
        Scope::Key(key) => key.clone(),
    }
}

/// Objects of a scope in order: one object is looked up, not searched.
fn entries<'a>(
    snapshot: &'a Snapshot,
    scope: &'a Scope,
    prefix: &'a str,
    after: Option<&'a str>,
) -> Box<dyn Iterator<Item = &'a Arc<Entry>> + Send + 'a> {
    match scope {
        Scope::Key(key) => {
            let one = snapshot.get(key).filter(|_| after.is_none_or(|a| a < key.as_str()));
            Box::new(one.into_iter())
        }
        _ => Box::new(snapshot.iter(prefix, after)),
    }
}

/// Collects a page.
pub fn page(
    resource: &Resource,
    snapshot: &Snapshot,
    scope: &Scope,
    selection: &Selection,
    options: &ListOptions,
) -> Page {
    let prefix = range(resource, scope);
    // A token's start is the first key wanted: the last one sent and a zero byte.
    let after =
        options.from.as_ref().map(|f| format!("{}{}", resource.prefix, f.start.trim_end_matches('\0')));
    let limit = if options.limit == 0 { usize::MAX } else { options.limit };
    let mut out: Vec<Arc<Entry>> = Vec::new();
    let mut more = false;
    for entry in entries(snapshot, scope, &prefix, after.as_deref()).filter(|e| selection.matches(e)) {
        if out.len() == limit {
            more = true;
            break;
        }
        out.push(entry.clone());
    }
    let revision = snapshot.revision();
    let (mut token, mut remaining) = (String::new(), None);
    if let Some(last) = out.last().filter(|_| more) {
        let start = format!("{}\0", &last.key()[resource.prefix.len()..]);
        token = Continue::new(revision, &start).encode();
        resource.cache.keep(snapshot);
        if selection.is_everything() {
            remaining = Some(snapshot.count(&prefix, Some(last.key())));
        }
    }
    Page { entries: out, revision, token, remaining }
}
