//! list: pages of shared bytes, never assembled whole.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use meta::{Body, Response, Status};
use watchcache::{Cursor, Scope, Snapshot};

use crate::content::encode::{CHUNKED_OBJECTS, PIECE_BYTES, head};
use crate::content::{self, Form, Format};
use crate::registry::Resource;
use crate::registry::selector::Selection;
use crate::request::options::ListOptions;
use crate::storage::Call;
use crate::storage::page::{self, Page};

/// Answers a list.
pub(crate) async fn answer(call: &Call<'_>) -> Result<Response, Status> {
    let accepted = content::negotiate(call.request, true)?;
    let options = ListOptions::parse(&call.request.query, false)?;
    let r = &call.resource;
    let selection = Selection::parse(&options.label_selector, &options.field_selector, r)?;
    let snapshot = page::snapshot(call, &options).await?;
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
    let page = page::page(r, &snapshot, &scope, &selection, &options);
    if !plain || !r.is_own_storage() {
        return content::list(call, &accepted, page);
    }
    chunks(r, &page)
}

fn chunks(resource: &Resource, page: &Page) -> Result<Response, Status> {
    let api_version = resource.gvr.api_version();
    let head = head(&resource.kind.kind, &api_version, page.revision, &page.token, page.remaining);
    let mut out = Vec::with_capacity(page.entries.len() * 2 + 2);
    out.push(Bytes::from(head));
    for (i, entry) in page.entries.iter().enumerate() {
        out.push(Bytes::from_static(if i == 0 { b"{" } else { b",{" }));
        out.push(resource.item(entry)?);
    }
    out.push(Bytes::from_static(b"]}\n"));
    Ok(Response::new(200, content::JSON, Body::Chunks(out)))
}

fn stream(resource: &Arc<Resource>, snapshot: Snapshot, scope: &Scope, selection: Selection) -> Response {
    let api_version = resource.gvr.api_version();
    let head = head(&resource.kind.kind, &api_version, snapshot.revision(), "", None);
    let prefix = page::range(resource, scope);
    let exact = matches!(scope, Scope::Key(_));
    let cursor = snapshot.cursor(prefix.clone(), None);
    let everything = selection.is_everything() && !exact;
    let body = Pieces {
        cursor,
        selection: (!everything).then_some(selection),
        exact: exact.then_some(prefix),
        begun: Some(head),
        resource: resource.clone(),
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
    resource: Arc<Resource>,
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
                match this.resource.item(&entry) {
                    Ok(item) => {
                        out.extend_from_slice(if this.first { b"{" } else { b",{" });
                        this.first = false;
                        out.extend_from_slice(&item);
                    }
                    Err(status) => {
                        this.done = true;
                        return Poll::Ready(Some(Err(status)));
                    }
                }
            }
        }
        if out.is_empty() {
            // An empty piece could be taken for the end.
            out.extend_from_slice(b" ");
        }
        Poll::Ready(Some(Ok(out.freeze())))
    }
}
