//! delete and deletecollection.

use std::sync::Arc;

use futures_util::future::join_all;
use meta::{Response, Status};
use watchcache::Entry;

use crate::content;
use crate::registry::selector::Selection;
use crate::request::body::DeleteOptions;
use crate::request::options::ListOptions;
use crate::storage::{Call, object, page, remove};

/// Objects of a collection that are deleted at once, so that the store syncs for all of them together.
// k8s: --delete-collection-workers
const LIMIT_BATCH: usize = 128;
/// Most bytes of them; one larger object goes alone.
const LIMIT_BATCH_BYTES: usize = 4 << 20;

/// Answers a delete.
pub(crate) async fn answer(call: &Call<'_>) -> Result<Response, Status> {
    let accepted = content::negotiate(call.request, true)?;
    let options = DeleteOptions::of(call.request)?;
    let deleted = remove::remove(call, call.name, &options).await?;
    if !deleted.gone || call.resource.kind.returns_deleted {
        let code = if !deleted.gone && options.orphan_dependents == Some(false) { 202 } else { 200 };
        return content::object(call, &accepted, code, deleted.object, Vec::new());
    }
    let status = Status::deleted(&call.resource.gvr, call.name, object::text(&deleted.value, "uid"));
    content::encoded(&accepted, 200, status.to_json().into(), schema::type_of("meta.k8s.io", "v1", "Status"))
}

/// Answers a deletecollection: every selected object, as a delete of its own.
pub(crate) async fn collection(call: &Call<'_>) -> Result<Response, Status> {
    let accepted = content::negotiate(call.request, true)?;
    let delete_options = DeleteOptions::of(call.request)?;
    let options = ListOptions::parse(&call.request.query, false)?;
    let r = &call.resource;
    let selection = Selection::parse(&options.label_selector, &options.field_selector, r)?;
    let snapshot = page::snapshot(call, &options).await?;
    let scope = selection.scope(r, call.namespace);
    let page = page::page(r, &snapshot, &scope, &selection, &options);
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
    let one = call.object(entry.namespace(), entry.name());
    match remove::remove(&one, entry.name(), options).await {
        Err(e) if !e.is("NotFound") => Err(e),
        _ => Ok(()),
    }
}
