//! One collection followed by one process: list, watch, fall behind, break off, begin again. It does what
//! `control`'s reflector does, with the world's clock and faults in place of a runtime.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use client::{Api, Client, ListParams, WatchEvent, WatchType};
use control::RawEvent;
use futures_core::Stream;
use meta::Status;
use parking_lot::Mutex;
use reconcile::Partial;

use crate::process::FeedSpec;

/// Names a feed of an incarnation of a process.
pub type FeedId = (usize, u64, usize);

/// Feeds that have something to read.
#[derive(Default)]
pub struct Woken(Mutex<BTreeSet<FeedId>>);

impl Woken {
    /// All since the last call, in order.
    pub fn take(&self) -> BTreeSet<FeedId> {
        std::mem::take(&mut *self.0.lock())
    }
}

struct FeedWaker {
    id: FeedId,
    woken: Arc<Woken>,
}

impl Wake for FeedWaker {
    fn wake(self: Arc<Self>) {
        self.woken.0.lock().insert(self.id);
    }
}

type Events = Pin<Box<dyn Stream<Item = Result<WatchEvent, Status>> + Send>>;

/// Where a feed is.
pub enum Stage {
    List,
    /// A list is on its way.
    Listing,
    Watch,
    Open(Events),
}

/// See the module.
pub struct Feed {
    pub spec: FeedSpec,
    pub stage: Stage,
    /// The last revision delivered.
    pub revision: u64,
    pub failures: u32,
    /// Whether a step of it is planned.
    pub planned: bool,
}

/// What a look at an open watch gave.
pub enum Taken {
    Event(RawEvent),
    Nothing,
    /// The watch has ended; list again (true) or watch from where it was.
    End(bool),
    Broken(String),
}

/// Polls a future that never waits.
///
/// # Panics
/// When it waits: over the memory store everything is ready at once.
pub fn now<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..8 {
        if let Poll::Ready(out) = future.as_mut().poll(&mut cx) {
            return out;
        }
    }
    panic!("a request over the memory store waits")
}

fn expired(e: &Status) -> bool {
    e.code == 410 || e.is("Expired") || e.is("Gone")
}

impl Feed {
    /// A feed that has read nothing.
    #[must_use]
    pub fn new(spec: FeedSpec) -> Self {
        Feed { spec, stage: Stage::List, revision: 0, failures: 0, planned: false }
    }

    fn api<'a>(&self, client: &'a dyn Client) -> Api<'a> {
        let api = Api::new(client, self.spec.gvr.clone(), "");
        if self.spec.metadata_only { api.metadata_only() } else { api }
    }

    fn params(&self) -> ListParams {
        ListParams { field_selector: self.spec.field_selector.clone(), ..ListParams::default() }
    }

    /// Lists in pages of `limit`.
    ///
    /// # Errors
    /// The server's Status.
    pub fn list(&self, client: &dyn Client, limit: u32) -> Result<(Vec<Bytes>, u64), Status> {
        let api = self.api(client);
        let mut params = ListParams { limit, ..self.params() };
        let mut items = Vec::new();
        loop {
            let page = now(api.list(&params))?;
            items.extend(page.items);
            if page.continue_token.is_empty() {
                return Ok((items, page.resource_version.parse().unwrap_or(0)));
            }
            params.continue_token = page.continue_token;
        }
    }

    /// Opens the watch.
    ///
    /// # Errors
    /// The server's Status.
    pub fn watch(&mut self, client: &dyn Client) -> Result<(), Status> {
        let params = ListParams {
            resource_version: self.revision.to_string(),
            allow_bookmarks: true,
            ..self.params()
        };
        let stream = now(self.api(client).watch(&params))?;
        self.stage = Stage::Open(Box::pin(stream));
        Ok(())
    }

    /// The next event of the open watch.
    pub fn take(&mut self, id: FeedId, woken: &Arc<Woken>) -> Taken {
        let Stage::Open(events) = &mut self.stage else { return Taken::Nothing };
        let waker = Waker::from(Arc::new(FeedWaker { id, woken: woken.clone() }));
        let polled = events.as_mut().poll_next(&mut Context::from_waker(&waker));
        match polled {
            Poll::Pending => Taken::Nothing,
            Poll::Ready(None) => Taken::End(false),
            Poll::Ready(Some(Err(e))) => Taken::End(expired(&e)),
            Poll::Ready(Some(Ok(event))) => self.event(event),
        }
    }

    fn event(&mut self, event: WatchEvent) -> Taken {
        if event.kind == WatchType::Error {
            return Taken::End(Status::from_json(&event.object).is_none_or(|e| expired(&e)));
        }
        let object = match Partial::parse(&event.object) {
            Ok(p) => p,
            Err(e) => return Taken::Broken(format!("a watched object cannot be read: {e}")),
        };
        let revision = object.metadata.resource_version;
        let bookmark = event.kind == WatchType::Bookmark;
        if revision < self.revision || (revision == self.revision && !bookmark) {
            let gvr = &self.spec.gvr;
            return Taken::Broken(format!(
                "a watch of {gvr} went from revision {} to {revision}",
                self.revision
            ));
        }
        self.revision = revision;
        Taken::Event(match event.kind {
            WatchType::Added | WatchType::Modified => RawEvent::Applied(event.object),
            WatchType::Deleted => RawEvent::Deleted(event.object),
            WatchType::Bookmark | WatchType::Error => RawEvent::Progress(revision),
        })
    }
}
