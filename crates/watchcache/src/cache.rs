//! The whole store in resources: takes every change of the store once and hands it to its resource.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use store::{Event, EventSink, Events, ListOptions, Store};
use sys::Clock;
use tokio::sync::watch;

use crate::error::Error;
use crate::facts::Facts;
use crate::resource::ResourceCache;

/// Objects read from the store at a time while a resource is filled.
const FILL_PAGE: usize = 500;
/// How exactly the age of a revision is known.
const TIMELINE_STEP: Duration = Duration::from_secs(1);
/// Longest prefix in bytes.
const LIMIT_PREFIX_BYTES: usize = 512;

/// What a cache may keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most changes of one resource kept for watches and lists at older revisions. Who falls behind them is cut off.
    pub ring_changes: usize,
    /// Most bytes that the past of all resources together may keep alive: replaced objects, frames, snapshots.
    pub history_bytes: usize,
    /// How long a change is kept at most, but for the last few of a resource.
    pub fresh: Duration,
    /// How long an exact revision can be listed at most, as by the next page of a list.
    pub snapshot_age: Duration,
    /// Most changes that a watcher filed by an index may be behind, at 8 bytes each, before it is cut off.
    pub watcher_queue: usize,
    /// Most watchers of one resource.
    pub watchers: usize,
}

impl Default for Limits {
    // k8s: staging/src/k8s.io/apiserver/pkg/storage/cacher/watch_cache.go defaultUpperBoundCapacity,
    // eventFreshDuration; staging/src/k8s.io/apiserver/pkg/storage/storagebackend/config.go DefaultCompactInterval
    fn default() -> Limits {
        Limits {
            ring_changes: 100 * 1024,
            history_bytes: 64 << 20,
            fresh: Duration::from_secs(75),
            snapshot_age: Duration::from_secs(300),
            watcher_queue: 8192,
            watchers: 32_768,
        }
    }
}

/// Reads the facts out of an object's stored bytes. Called once per change by the store's writer: it must
/// be quick and must not panic on any bytes.
pub type Extract = Arc<dyn Fn(&[u8]) -> Facts + Send + Sync>;

/// What the cache has to know of a resource.
#[derive(Clone)]
pub struct ResourceSpec {
    /// `/registry/…/`, the common prefix of its keys, behind which comes `namespace/name` or `name`.
    pub prefix: String,
    /// Labels and selectable fields of an object; see [`crate::scan`].
    pub extract: Extract,
    /// Indexes of the fields by which many watchers select, such as a pod's node.
    pub triggers: Vec<usize>,
}

impl ResourceSpec {
    /// A resource whose selectable fields are found at these paths (`spec.nodeName`).
    pub fn scanned(prefix: impl Into<String>, fields: &[&str]) -> ResourceSpec {
        let fields: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
        let extract = move |value: &[u8]| crate::scan(value, &fields);
        ResourceSpec { prefix: prefix.into(), extract: Arc::new(extract), triggers: Vec::new() }
    }
}

/// How far the whole store's changes have come, and when.
pub(crate) struct Progress {
    applied: watch::Sender<u64>,
    delivered: AtomicU64,
    clock: Arc<dyn Clock>,
    /// Which revision was the newest when, no two within [`TIMELINE_STEP`]; in order.
    timeline: Mutex<VecDeque<(Duration, u64)>>,
}

impl Progress {
    pub(crate) fn applied(&self) -> u64 {
        *self.applied.borrow()
    }

    pub(crate) fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Acquire)
    }

    pub(crate) fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    /// Notes which revision is the newest now.
    fn mark(&self, now: Duration) {
        let mut timeline = self.timeline.lock();
        if timeline.back().is_none_or(|(last, _)| *last + TIMELINE_STEP <= now) {
            timeline.push_back((now, self.applied()));
        }
    }

    /// The revision that was the newest `age` ago: older ones are not to be had any more.
    pub(crate) fn oldest_exact(&self, age: Duration) -> u64 {
        let Some(since) = self.now().checked_sub(age) else { return 0 };
        let mut timeline = self.timeline.lock();
        while timeline.get(1).is_some_and(|(at, _)| *at <= since) {
            timeline.pop_front();
        }
        timeline.front().filter(|(at, _)| *at <= since).map_or(0, |(_, revision)| *revision)
    }

    fn advance(&self, revision: u64) {
        self.applied.send_if_modified(|applied| {
            let grows = revision > *applied;
            *applied = revision.max(*applied);
            grows
        });
    }
}

/// The cache of a store. Dropping it unsubscribes; its resources then stand still.
pub struct WatchCache {
    store: Arc<dyn Store>,
    dispatcher: Arc<Dispatcher>,
    /// Keeps the subscription alive.
    _sink: Arc<dyn EventSink>,
    limits: Limits,
}

struct Dispatcher {
    progress: Arc<Progress>,
    resources: RwLock<BTreeMap<String, Arc<ResourceCache>>>,
    /// Resources with changes that their watchers have not been told.
    touched: Mutex<Vec<Weak<ResourceCache>>>,
    /// [`Limits::history_bytes`].
    limit_bytes: usize,
}

impl WatchCache {
    /// Subscribes to the store. There are no resources yet; see [`WatchCache::register`]. The clock tells the age of
    /// what is kept; call [`WatchCache::tidy`] now and then.
    pub fn start(store: Arc<dyn Store>, limits: Limits, clock: Arc<dyn Clock>) -> Arc<WatchCache> {
        let progress = Progress {
            applied: watch::Sender::new(0),
            delivered: AtomicU64::new(0),
            clock,
            timeline: Mutex::default(),
        };
        let dispatcher = Arc::new(Dispatcher {
            progress: Arc::new(progress),
            limit_bytes: limits.history_bytes,
            resources: RwLock::new(BTreeMap::new()),
            touched: Mutex::new(Vec::new()),
        });
        let sink: Arc<dyn EventSink> = dispatcher.clone();
        let revision = store.subscribe(&sink);
        dispatcher.progress.advance(revision);
        dispatcher.progress.mark(dispatcher.progress.now());
        dispatcher.progress.delivered.fetch_max(revision, Ordering::AcqRel);
        Arc::new(WatchCache { store, dispatcher, _sink: sink, limits })
    }

    /// The store behind the cache.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Adds a resource and fills it from the store. When the future is dropped half-way the prefix stays
    /// taken until [`WatchCache::unregister`].
    pub async fn register(&self, spec: ResourceSpec) -> Result<Arc<ResourceCache>, Error> {
        let prefix = spec.prefix.clone();
        let resource = self.dispatcher.insert(spec, self.limits)?;
        match self.fill(&resource).await {
            Ok(()) => Ok(resource),
            Err(error) => {
                self.unregister(&prefix);
                Err(error)
            }
        }
    }

    /// Removes a resource and ends its watches. The objects in the store stay.
    pub fn unregister(&self, prefix: &str) {
        let removed = self.dispatcher.resources.write().remove(prefix);
        if let Some(resource) = removed {
            resource.unregister();
        }
    }

    /// The resource with this prefix, once it is filled.
    pub fn resource(&self, prefix: &str) -> Option<Arc<ResourceCache>> {
        let resources = self.dispatcher.resources.read();
        resources.get(prefix).filter(|resource| resource.is_filled()).cloned()
    }

    /// All filled resources, in the order of their prefixes.
    pub fn resources(&self) -> Vec<Arc<ResourceCache>> {
        let resources = self.dispatcher.resources.read();
        resources.values().filter(|resource| resource.is_filled()).cloned().collect()
    }

    /// The revision up to which all resources have all changes, whether any were theirs or not.
    pub fn revision(&self) -> u64 {
        self.dispatcher.progress.applied()
    }

    /// Lets go of everything that has become too old, also where nothing happens.
    pub fn tidy(&self) {
        let now = self.dispatcher.progress.now();
        self.dispatcher.progress.mark(now);
        self.resources().iter().for_each(|resource| resource.tidy(now));
    }

    /// Bytes kept for watches and lists of the past, by all resources together, beyond the objects that are there.
    pub fn history_bytes(&self) -> usize {
        self.resources().iter().map(|resource| resource.history_bytes()).sum()
    }

    /// Ready once the cache has come to `revision`. Never ends by itself if the store does not get
    /// there: the caller sets the deadline.
    pub async fn wait_until(&self, revision: u64) {
        let mut applied = self.dispatcher.progress.applied.subscribe();
        // The sender lives in `self`, so this cannot fail.
        let _ = applied.wait_for(|applied| *applied >= revision).await;
    }

    /// Brings the cache to the newest revision anywhere and returns it: what a consistent read waits for.
    pub async fn wait_current(&self) -> Result<u64, Error> {
        let revision = self.store.latest_revision().await?;
        self.wait_until(revision).await;
        Ok(revision)
    }

    async fn fill(&self, resource: &ResourceCache) -> Result<(), Error> {
        let prefix = resource.prefix();
        let mut start_after: Option<store::Key> = None;
        loop {
            let options =
                ListOptions { revision: None, start_after: start_after.as_deref(), limit: FILL_PAGE };
            let page = self.store.list(prefix, options).await?;
            start_after = page.entries.last().map(|entry| entry.key.clone());
            resource.fill(page.entries);
            if !page.more {
                self.wait_until(page.revision).await;
                resource.filled(page.revision);
                return Ok(());
            }
        }
    }
}

impl Dispatcher {
    fn insert(&self, spec: ResourceSpec, limits: Limits) -> Result<Arc<ResourceCache>, Error> {
        let prefix = spec.prefix.clone();
        if prefix.len() < 3
            || prefix.len() > LIMIT_PREFIX_BYTES
            || !prefix.starts_with('/')
            || !prefix.ends_with('/')
        {
            return Err(Error::InvalidPrefix(prefix));
        }
        let mut resources = self.resources.write();
        let inside = resources.range::<str, _>((Included(prefix.as_str()), Unbounded)).next();
        let around = resources.range::<str, _>((Unbounded, Excluded(prefix.as_str()))).next_back();
        for (other, _) in inside.into_iter().chain(around) {
            if other.starts_with(&prefix) || prefix.starts_with(other.as_str()) {
                return Err(Error::Overlap { prefix, with: other.clone() });
            }
        }
        let resource = Arc::new(ResourceCache::new(spec, limits, self.progress.clone()));
        resources.insert(prefix, resource.clone());
        Ok(resource)
    }

    /// Keeps the past of all resources together within its limit: the one that keeps most gives some of it back.
    fn shrink(&self) {
        let resources = self.resources.read();
        let bytes = |resource: &Arc<ResourceCache>| resource.history_bytes();
        let mut total: usize = resources.values().map(bytes).sum();
        while total > self.limit_bytes {
            let Some(largest) = resources.values().max_by_key(|resource| bytes(resource)) else { return };
            let before = bytes(largest);
            // Some more, so that not every change has to do this.
            largest.give_back(total - self.limit_bytes + self.limit_bytes / 16);
            let freed = before.saturating_sub(bytes(largest));
            if freed == 0 {
                return;
            }
            total -= freed;
        }
    }

    fn resource_of(&self, key: &str) -> Option<Arc<ResourceCache>> {
        let resources = self.resources.read();
        let (prefix, resource) = resources.range::<str, _>((Unbounded, Included(key))).next_back()?;
        key.starts_with(prefix.as_str()).then(|| resource.clone())
    }
}

impl EventSink for Dispatcher {
    fn apply(&self, events: &Events) {
        let now = self.progress.now();
        let mut rest: &[Event] = events;
        while let Some(first) = rest.first() {
            let Some(resource) = self.resource_of(&first.key) else {
                rest = &rest[1..];
                continue;
            };
            let same = |event: &&Event| event.key.starts_with(resource.prefix());
            let run = rest.iter().take_while(same).count().max(1);
            resource.apply(&rest[..run], now);
            let touched = Arc::downgrade(&resource);
            let mut all = self.touched.lock();
            if !all.iter().any(|other| other.ptr_eq(&touched)) {
                all.push(touched);
            }
            rest = &rest[run..];
        }
        if let Some(last) = events.last() {
            self.progress.advance(last.revision);
            self.progress.mark(now);
        }
    }

    fn flush(&self) {
        let applied = self.progress.applied();
        let touched = std::mem::take(&mut *self.touched.lock());
        let mut wakers = Vec::new();
        for resource in touched.iter().filter_map(Weak::upgrade) {
            wakers.extend(resource.flush());
        }
        self.progress.delivered.store(applied, Ordering::Release);
        wakers.into_iter().for_each(std::task::Waker::wake);
        self.shrink();
    }
}
