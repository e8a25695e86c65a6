//! The caches that all controllers of a process share, and what keeps them up to date.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use meta::{Gvr, Status};
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use reconcile::graph::followed;
use reconcile::{Answer, Caches, Change, Discovery, Engine, KindDecl, Op, Partial};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::discover::discover;
use crate::{Context, Feed, FeedHandle, RawEvent, Selection};

/// How often what the server serves is read again.
const DISCOVERY_PERIOD: Duration = Duration::from_secs(30);
/// How long the definition of a kind may change before what the server serves is read.
const SETTLING: Duration = Duration::from_millis(50);
/// Events applied under one hold of the lock.
const BATCH_EVENTS: usize = 256;

/// What defines kinds while the server runs.
fn definitions_gvr() -> Gvr {
    Gvr::new("apiextensions.k8s.io", "v1", "customresourcedefinitions")
}

/// An engine with what wakes its driver.
pub(crate) struct Seat {
    pub(crate) engine: Mutex<Engine>,
    pub(crate) wake: Notify,
}

struct GraphFeed {
    require: watch::Sender<u64>,
    task: JoinHandle<()>,
}

struct Shared {
    ctx: Context,
    caches: RwLock<Caches>,
    /// Engines that hear of changes. Locked after `caches`, before an engine.
    seats: Mutex<Vec<Arc<Seat>>>,
    feeds: Mutex<BTreeMap<TypeId, (Gvr, watch::Sender<u64>)>>,
    graph_feeds: Mutex<BTreeMap<Gvr, GraphFeed>>,
    discovering: Mutex<bool>,
    following_graph: Mutex<bool>,
}

/// Shared informers. Cheap to clone.
#[derive(Clone)]
pub struct Informers(Arc<Shared>);

impl Informers {
    /// Informers that read through the context's client until it is stopped.
    #[must_use]
    pub fn new(ctx: &Context) -> Self {
        Informers(Arc::new(Shared {
            ctx: ctx.clone(),
            caches: RwLock::new(Caches::default()),
            seats: Mutex::new(Vec::new()),
            feeds: Mutex::new(BTreeMap::new()),
            graph_feeds: Mutex::new(BTreeMap::new()),
            discovering: Mutex::new(false),
            following_graph: Mutex::new(false),
        }))
    }

    /// The caches. Hold the guard only for synchronous work.
    pub fn caches(&self) -> RwLockReadGuard<'_, Caches> {
        self.0.caches.read()
    }

    /// Asks for the newest revision with the identity that the caches are read with: a controller's own may
    /// lack the right to list what it writes.
    pub(crate) async fn revision(&self, op: &Op) -> Result<Answer, Status> {
        crate::execute(&*self.0.ctx.client, op).await
    }

    /// Follows a projection, once.
    pub fn follow(&self, decl: KindDecl) {
        let id = (decl.projection)();
        let gvr = (decl.gvr)();
        let mut feeds = self.0.feeds.lock();
        if feeds.contains_key(&id) {
            return;
        }
        self.0.caches.write().register(decl);
        let feed = Feed { gvr: gvr.clone(), selection: Selection::default(), metadata_only: false };
        let handle = feed.start(&self.0.ctx);
        feeds.insert(id, (gvr, handle.require.clone()));
        drop(feeds);
        let this = self.clone();
        self.attend(async move { this.pump(id, handle).await });
    }

    /// Starts work that must go on until the context is stopped. When it breaks off, the context is stopped, so that
    /// nobody goes on with caches that stand still.
    fn attend(&self, work: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        let stop = self.0.ctx.stop.clone();
        tokio::spawn(async move {
            let end = AssertUnwindSafe(work).catch_unwind().await;
            if !stop.is_cancelled() {
                let how = if end.is_err() { "a panic" } else { "its end" };
                tracing::error!("an informer broke off with {how}: all that read from it end");
                stop.cancel();
            }
        })
    }

    /// Follows everything that an engine reads.
    pub(crate) fn follow_all(&self, engine: &Engine) {
        for decl in engine.interests().decls() {
            self.follow(*decl);
        }
        let graph = engine.interests().reads_graph();
        if graph && !std::mem::replace(&mut *self.0.following_graph.lock(), true) {
            // Another engine may have had discovery read before.
            let found = self.0.caches.read().discovery.clone();
            if found.synced() {
                self.follow_graph(&found);
            }
        }
        if (graph || engine.interests().reads_discovery())
            && !std::mem::replace(&mut *self.0.discovering.lock(), true)
        {
            let this = self.clone();
            self.attend(async move { this.rediscover().await });
        }
    }

    /// Makes sure that this revision of a resource is seen soon.
    pub(crate) fn require(&self, gvr: &Gvr, revision: u64) {
        let raise = |w: &watch::Sender<u64>| {
            w.send_if_modified(|v| {
                let more = revision > *v;
                *v = revision.max(*v);
                more
            });
        };
        self.0.feeds.lock().values().filter(|(g, _)| g == gvr).for_each(|(_, w)| raise(w));
        if let Some(f) = self.0.graph_feeds.lock().get(gvr) {
            raise(&f.require);
        }
    }

    /// Starts an engine as soon as all it reads is there, and tells it of every change from then on.
    /// False: it is time to stop.
    pub(crate) async fn seat(&self, seat: &Arc<Seat>) -> bool {
        loop {
            {
                let caches = self.0.caches.write();
                let mut engine = seat.engine.lock();
                if engine.ready(&caches) {
                    engine.start(&caches);
                    self.0.seats.lock().push(seat.clone());
                    return true;
                }
            }
            if !self.0.ctx.sleep(Duration::from_millis(10)).await {
                return false;
            }
        }
    }

    /// Tells an engine of no more changes.
    pub(crate) fn unseat(&self, seat: &Arc<Seat>) {
        self.0.seats.lock().retain(|s| !Arc::ptr_eq(s, seat));
    }

    fn tell(&self, caches: &Caches, changes: &[Change]) {
        for seat in self.0.seats.lock().iter() {
            let mut engine = seat.engine.lock();
            for change in changes {
                engine.on_change(change, caches);
            }
            drop(engine);
            seat.wake.notify_one();
        }
    }

    async fn pump(&self, id: TypeId, mut handle: FeedHandle) {
        let mut events = Vec::new();
        while handle.events.recv_many(&mut events, BATCH_EVENTS).await > 0 {
            let mut caches = self.0.caches.write();
            let mut changes = Vec::new();
            let Some(cache) = caches.any_mut(id) else { return };
            for event in events.drain(..) {
                let applied = match event {
                    RawEvent::Replaced { items, revision } => {
                        let (all, errors) = cache.replace_bytes(&items, revision);
                        changes.extend(all);
                        changes.push(cache.advance_to(revision));
                        errors.iter().for_each(|e| tracing::error!("{e}"));
                        continue;
                    }
                    RawEvent::Applied(b) => cache.upsert_bytes(&b),
                    RawEvent::Deleted(b) => cache.delete_bytes(&b),
                    RawEvent::Progress(revision) => Ok(Some(cache.advance_to(revision))),
                };
                match applied {
                    Ok(change) => changes.extend(change),
                    Err(e) => tracing::error!("{e}"),
                }
            }
            self.tell(&caches, &changes);
        }
    }

    /// Reads discovery now and then; the ownership graph follows every resource in it.
    async fn rediscover(&self) {
        let ctx = self.0.ctx.clone();
        let mut definitions = None;
        let mut failures = 0;
        let mut last_error = String::new();
        loop {
            let delay = match discover(&*ctx.client).await {
                Ok(found) => {
                    failures = 0;
                    last_error.clear();
                    if definitions.is_none() && found.resources().iter().any(|r| r.gvr == definitions_gvr()) {
                        let selection = Selection::default();
                        let feed = Feed { gvr: definitions_gvr(), selection, metadata_only: true };
                        definitions = Some(feed.start(&ctx));
                    }
                    self.discovered(found);
                    DISCOVERY_PERIOD
                }
                Err(e) => {
                    if e.to_string() != last_error {
                        last_error = e.to_string();
                        tracing::warn!("discovery: {last_error}");
                    }
                    failures += 1;
                    ctx.backoff(Duration::from_millis(100), DISCOVERY_PERIOD, failures)
                }
            };
            let wake = async {
                match &mut definitions {
                    Some(handle) => drop(handle.events.recv().await),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                going = ctx.sleep(delay) => if !going { return },
                // A definition changes a few times until its kind is served.
                () = wake => if !ctx.sleep(SETTLING).await { return },
            }
            while definitions.as_mut().is_some_and(|handle| handle.events.try_recv().is_ok()) {}
        }
    }

    fn discovered(&self, mut found: Discovery) {
        {
            let mut caches = self.0.caches.write();
            found = found.keeping(&caches.discovery);
            if caches.discovery != found {
                caches.discovery = found.clone();
                self.tell(&caches, &[Change::discovery()]);
            }
        }
        // Only now: an engine that asks for the graph meanwhile has seen what was found.
        if *self.0.following_graph.lock() {
            self.follow_graph(&found);
        }
    }

    fn follow_graph(&self, found: &Discovery) {
        let mut feeds = self.0.graph_feeds.lock();
        for r in found.resources().iter().filter(|r| followed(r)) {
            if feeds.contains_key(&r.gvr) {
                continue;
            }
            let feed = Feed { gvr: r.gvr.clone(), selection: Selection::default(), metadata_only: true };
            let handle = feed.start(&self.0.ctx);
            let require = handle.require.clone();
            let (this, gvr, kind) = (self.clone(), Arc::new(r.gvr.clone()), r.kind.clone());
            let task = self.attend(async move { this.pump_graph(&gvr, &kind, handle).await });
            feeds.insert(r.gvr.clone(), GraphFeed { require, task });
        }
        // A group that could not be read just now is not gone.
        if !found.failed.is_empty() {
            return;
        }
        let gone: Vec<Gvr> =
            feeds.keys().filter(|g| !found.resources().iter().any(|r| r.gvr == **g)).cloned().collect();
        for gvr in gone {
            if let Some(f) = feeds.remove(&gvr) {
                f.task.abort();
            }
            let mut caches = self.0.caches.write();
            let changes = caches.graph.forget(&Arc::new(gvr));
            self.tell(&caches, &changes);
        }
    }

    async fn pump_graph(&self, gvr: &Arc<Gvr>, kind: &Arc<str>, mut handle: FeedHandle) {
        let mut events = Vec::new();
        while handle.events.recv_many(&mut events, BATCH_EVENTS).await > 0 {
            let mut caches = self.0.caches.write();
            let mut changes = Vec::new();
            for event in events.drain(..) {
                match event {
                    RawEvent::Replaced { items, revision } => {
                        let parsed = items.iter().filter_map(|b| Partial::parse(b).ok()).collect();
                        changes.extend(caches.graph.replace(gvr, kind, parsed, revision));
                    }
                    RawEvent::Applied(b) => {
                        if let Ok(p) = Partial::parse(&b) {
                            changes.extend(caches.graph.upsert(gvr, kind, p.metadata));
                        }
                    }
                    RawEvent::Deleted(b) => {
                        if let Ok(p) = Partial::parse(&b) {
                            let key = p.metadata.key();
                            changes.extend(caches.graph.remove(gvr, &key, p.metadata.resource_version));
                        }
                    }
                    RawEvent::Progress(revision) => caches.graph.note(gvr, revision),
                }
            }
            changes.push(Change::progress(gvr.as_ref().clone()));
            self.tell(&caches, &changes);
        }
    }
}
