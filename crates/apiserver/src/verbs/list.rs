//! list: pages of shared bytes, never assembled whole.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use meta::{Body, Response, Status};
use watchcache::{Cursor, Entry, Error, RevisionMatch, Scope, Snapshot};

use super::get;
use crate::content::{self, Form, Format};
use crate::options::{Consistency, Continue, ListOptions};
use crate::registry::Resource;
use crate::selector::Selection;
use crate::server::Call;

/// Lists of up to so many objects are sent as one body of shared slices; larger ones are streamed.
pub(crate) const CHUNKED_OBJECTS: usize = 256;
/// Size of the pieces of a streamed list.
pub(crate) const PIECE_BYTES: usize = 64 << 10;

/// A page of a list before it is encoded.
pub(crate) struct Page {
    pub entries: Vec<Arc<Entry>>,
    pub revision: u64,
    /// Empty on the last page.
    pub token: String,
    pub remaining: Option<usize>,
}

/// Answers a list.
pub(crate) async fn answer(call: &Call<'_>) -> Result<Response, Status> {
    let accepted = content::negotiate(call.request, true)?;
    let options = ListOptions::parse(&call.request.query, false)?;
    let r = &call.resource;
    let selection = Selection::parse(&options.label_selector, &options.field_selector, r)?;
    let snapshot = snapshot(call, &options).await?;
    let scope = selection.scope(r, call.namespace);
    let plain = accepted.format == Format::Json && accepted.form == Form::Plain && !accepted.pretty;
    if plain
        && options.limit == 0
        && options.from.is_none()
        && snapshot.len() > CHUNKED_OBJECTS
        && r.is_own_storage()
    {
        return Ok(stream(r, snapshot, &scope, selection));
    }
    let page = page(r, &snapshot, &scope, &selection, &options);
    if !plain || !r.is_own_storage() {
        return content::list(call, &accepted, page);
    }
    Ok(chunks(r, &page))
}

/// The state that the list is about.
pub(crate) async fn snapshot(call: &Call<'_>, options: &ListOptions) -> Result<Snapshot, Status> {
    let cache = &call.resource.cache;
    let Some(from) = &options.from else {
        get::wait(call.server, options.consistency).await?;
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

pub(crate) fn status_of(e: &Error) -> Status {
    match e {
        Error::Expired { .. } => Status::expired("The resourceVersion for the provided list is too old."),
        Error::TooLarge { requested, current } => get::too_large(*requested, *current),
        Error::TooManyWatchers { .. } => Status::too_many_requests(e.to_string(), 1),
        other => Status::internal(other.to_string()),
    }
}

fn range(resource: &Resource, scope: &Scope) -> String {
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
pub(crate) fn page(
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

/// `{"kind":"PodList",...,"items":[`.
pub(crate) fn head(
    kind: &str,
    api_version: &str,
    revision: u64,
    token: &str,
    remaining: Option<usize>,
) -> String {
    let mut metadata = format!("{{\"resourceVersion\":\"{revision}\"");
    if !token.is_empty() {
        metadata.push_str(&format!(",\"continue\":\"{token}\""));
    }
    if let Some(n) = remaining {
        metadata.push_str(&format!(",\"remainingItemCount\":{n}"));
    }
    format!(
        "{{\"kind\":\"{kind}List\",\"apiVersion\":\"{api_version}\",\"metadata\":{metadata}}},\"items\":["
    )
}

fn chunks(resource: &Resource, page: &Page) -> Response {
    let api_version = resource.gvr.api_version();
    let head = head(&resource.kind.kind, &api_version, page.revision, &page.token, page.remaining);
    let mut out = Vec::with_capacity(page.entries.len() * 2 + 2);
    out.push(Bytes::from(head));
    for (i, entry) in page.entries.iter().enumerate() {
        out.push(Bytes::from_static(if i == 0 { b"{" } else { b",{" }));
        out.push(entry.item_tail());
    }
    out.push(Bytes::from_static(b"]}\n"));
    Response::new(200, content::JSON, Body::Chunks(out))
}

fn stream(resource: &Resource, snapshot: Snapshot, scope: &Scope, selection: Selection) -> Response {
    let api_version = resource.gvr.api_version();
    let head = head(&resource.kind.kind, &api_version, snapshot.revision(), "", None);
    let prefix = range(resource, scope);
    let exact = matches!(scope, Scope::Key(_));
    let cursor = snapshot.cursor(prefix.clone(), None);
    let everything = selection.is_everything() && !exact;
    let body = Pieces {
        cursor,
        selection: (!everything).then_some(selection),
        exact: exact.then_some(prefix),
        begun: Some(head),
        first: true,
        done: false,
    };
    Response::new(200, content::JSON, Body::Stream(Box::pin(body)))
}

/// A list as a stream of pieces of bounded size.
struct Pieces {
    cursor: Cursor,
    selection: Option<Selection>,
    /// Only the object with this key.
    exact: Option<String>,
    begun: Option<String>,
    first: bool,
    done: bool,
}

impl Stream for Pieces {
    type Item = Result<Bytes, Status>;

    fn poll_next(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.done {
            return Poll::Ready(None);
        }
        let this = &mut *self;
        let mut out = BytesMut::with_capacity(PIECE_BYTES + (4 << 10));
        if let Some(head) = this.begun.take() {
            out.extend_from_slice(head.as_bytes());
        }
        // Filtering may find nothing for long; a piece then comes early, possibly empty.
        let mut looked_at = 0;
        while out.len() < PIECE_BYTES && looked_at < 4096 {
            looked_at += 1;
            let Some(entry) = this.cursor.next() else {
                out.extend_from_slice(b"]}\n");
                this.done = true;
                break;
            };
            let wanted = this.selection.as_ref().is_none_or(|s| s.matches(&entry))
                && this.exact.as_ref().is_none_or(|k| **entry.key() == **k);
            if wanted {
                out.extend_from_slice(if this.first { b"{" } else { b",{" });
                this.first = false;
                out.extend_from_slice(&entry.item_tail());
            }
        }
        if out.is_empty() {
            // An empty piece could be taken for the end.
            out.extend_from_slice(b" ");
        }
        Poll::Ready(Some(Ok(out.freeze())))
    }
}
