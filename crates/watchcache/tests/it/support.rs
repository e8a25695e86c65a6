//! A cache of pods over a store, and short ways to change and watch it.

use std::sync::Arc;

use stdx::block_on;
use store::mem::MemStore;
use store::{Op, Outcome, Store, Txn};
use sys::ManualClock;
use watchcache::{Error, Filter, Limits, ResourceCache, ResourceSpec, Start, Watch, WatchCache, WatchItem};

pub const PODS: &str = "/registry/pods/";
pub const NODES: &str = "/registry/minions/";

pub struct World {
    pub store: Arc<dyn Store>,
    pub cache: Arc<WatchCache>,
    pub pods: Arc<ResourceCache>,
    pub clock: Arc<ManualClock>,
}

pub fn pods_spec() -> ResourceSpec {
    ResourceSpec { triggers: vec![0], ..ResourceSpec::scanned(PODS, &["spec.nodeName", "status.phase"]) }
}

pub fn world() -> World {
    world_with(Limits::default())
}

pub fn world_with(limits: Limits) -> World {
    over(Arc::new(MemStore::default()), limits)
}

pub fn over(store: Arc<dyn Store>, limits: Limits) -> World {
    let clock = Arc::new(ManualClock::new("2026-01-02T03:04:05Z".parse().expect("a time")));
    let cache = WatchCache::start(store.clone(), limits, clock.clone());
    let pods = block_on(cache.register(pods_spec())).expect("the prefix is free");
    World { store, cache, pods, clock }
}

pub fn key(name: &str) -> String {
    format!("{PODS}{name}")
}

/// A pod's stored bytes: `path` is `namespace/name`.
pub fn pod(path: &str, app: &str, node: &str) -> String {
    let (namespace, name) = path.split_once('/').expect("a namespace and a name");
    format!(
        r#"{{"kind":"Pod","apiVersion":"v1","metadata":{{"name":"{name}","namespace":"{namespace}","labels":{{"app":"{app}"}}}},"spec":{{"nodeName":"{node}"}}}}"#
    )
}

/// The same as it is served.
pub fn served(path: &str, app: &str, node: &str, revision: u64) -> String {
    pod(path, app, node).replacen(
        r#""metadata":{"#,
        &format!(r#""metadata":{{"resourceVersion":"{revision}","#),
        1,
    )
}

impl World {
    pub fn commit(&self, ops: Vec<Op>) -> u64 {
        match block_on(self.store.txn(Txn { ops, ..Txn::default() })).expect("the store works") {
            Outcome::Committed { revision } => revision,
            Outcome::Conflict { .. } => panic!("nothing was compared"),
        }
    }

    pub fn put(&self, path: &str, app: &str, node: &str) -> u64 {
        self.commit(vec![Op::Put { key: key(path).into(), value: pod(path, app, node).into() }])
    }

    pub fn delete(&self, path: &str) -> u64 {
        self.commit(vec![Op::Delete { key: key(path).into() }])
    }

    /// Lets time pass, and what has become too old go.
    pub fn pass(&self, seconds: u64) {
        self.clock.advance(std::time::Duration::from_secs(seconds));
        self.cache.tidy();
    }

    /// A change of something that is no pod.
    pub fn elsewhere(&self) -> u64 {
        self.commit(vec![Op::Put { key: format!("{NODES}n").into(), value: "{}".into() }])
    }

    pub fn watch(&self, start: Start, filter: Filter) -> Watch {
        self.pods.watch(start, filter).expect("the watch starts")
    }
}

/// `TYPE name revision` of everything that the watch has now.
pub fn drain(watch: &mut Watch) -> Vec<String> {
    let mut lines = Vec::new();
    while let Some(item) = watch.try_next() {
        lines.push(match item {
            Ok(WatchItem::Event(event)) => {
                format!("{} {} {}", event.kind().as_str(), event.entry().name(), event.revision())
            }
            Ok(WatchItem::InitialEnd { revision }) => format!("END {revision}"),
            Err(error) => format!("ERROR {error}"),
        });
        if lines.last().is_some_and(|line| line.starts_with("ERROR")) {
            break;
        }
    }
    lines
}

pub fn with_app(app: &'static str) -> Filter {
    Filter {
        predicate: Some(Box::new(move |entry| entry.facts().label("app") == Some(app))),
        ..Filter::all()
    }
}

pub fn expired(oldest: u64) -> Option<Error> {
    Some(Error::Expired { oldest })
}
