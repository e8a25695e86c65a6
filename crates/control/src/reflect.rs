//! One resource as a channel of changes, for components with their own idea of a cache.

use std::sync::Arc;

use meta::Gvr;
use reconcile::{Delta, KindCache, Partial, Projection};
use tokio::sync::mpsc;

use crate::{Context, Feed, RawEvent, Selection};

/// What happened to an object.
#[derive(Debug)]
pub enum ReflectEvent<P> {
    /// Added or modified; the second is what it was before.
    Applied(Arc<P>, Option<Arc<P>>),
    /// The last state that was known.
    Deleted(Arc<P>),
    /// Everything that existed at the time of a list has been sent. Sent after every list; the first one
    /// says that the receiver's picture is whole.
    Synced,
}

/// Follows the objects of `P`. The task ends with the context's stop token or when the receiver is dropped.
/// An object that cannot be read as a `P` is logged and left out.
#[must_use]
pub fn reflect<P: Projection>(ctx: &Context, selection: Selection) -> mpsc::Receiver<ReflectEvent<P>> {
    let (out, receiver) = mpsc::channel(1024);
    let mut feed = Feed { gvr: P::GVR, selection, metadata_only: false }.start(ctx);
    tokio::spawn(async move {
        let mut cache = KindCache::<P>::default();
        while let Some(event) = feed.events.recv().await {
            let listed = matches!(event, RawEvent::Replaced { .. });
            for delta in apply(&mut cache, event) {
                let Some(event) = event_of(delta) else { continue };
                if out.send(event).await.is_err() {
                    return;
                }
            }
            if listed && out.send(ReflectEvent::Synced).await.is_err() {
                return;
            }
        }
    });
    receiver
}

/// Follows the objects of a resource as bytes, without a cache: after [`RawEvent::Replaced`] the receiver
/// must drop what is not in the list.
#[must_use]
pub fn reflect_raw(ctx: &Context, gvr: Gvr, selection: Selection) -> mpsc::Receiver<RawEvent> {
    Feed { gvr, selection, metadata_only: false }.start(ctx).events
}

fn event_of<P>(delta: Delta<P>) -> Option<ReflectEvent<P>> {
    match (delta.old, delta.new) {
        (old, Some(new)) => Some(ReflectEvent::Applied(new, old)),
        (Some(old), None) => Some(ReflectEvent::Deleted(old)),
        (None, None) => None,
    }
}

fn read<P: Projection>(bytes: &[u8]) -> Option<P> {
    match meta::json::read(bytes) {
        Ok(o) => Some(o),
        Err(e) => {
            let name = Partial::parse(bytes).map(|p| p.metadata.key().to_string()).unwrap_or_default();
            tracing::error!("{} {name:?} cannot be read: {e}", P::GVR);
            None
        }
    }
}

fn apply<P: Projection>(cache: &mut KindCache<P>, event: RawEvent) -> Vec<Delta<P>> {
    match event {
        RawEvent::Replaced { items, revision } => {
            cache.replace(items.iter().filter_map(|b| read(b)).collect(), revision)
        }
        RawEvent::Applied(b) => read(&b).map(|o| cache.upsert(o)).into_iter().collect(),
        RawEvent::Deleted(b) => Partial::parse(&b)
            .map(|p| cache.remove(&p.metadata.key(), p.metadata.resource_version))
            .into_iter()
            .collect(),
        RawEvent::Progress(revision) => {
            cache.advance(revision);
            Vec::new()
        }
    }
}
