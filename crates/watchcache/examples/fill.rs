//! Writes objects through the embedded store into the watch cache and prints what they take:
//! `time fill <directory> <objects> <clients> <bytes> [watchers] [selecting]`; with `selecting` no watcher wants anything.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use store::redb::{RedbOptions, RedbStore};
use store::{Outcome, Store, Txn};
use watchcache::{Filter, Limits, ResourceSpec, RevisionMatch, Start, WatchCache, WatchItem};

const PREFIX: &str = "/registry/pods/";

fn rss_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).map_or(0, |pages: usize| pages * 4096)
}

fn pod(number: usize, size: usize) -> String {
    let head = format!(
        r#"{{"kind":"Pod","apiVersion":"v1","metadata":{{"name":"web-7d4b9c6f5-{number:06}","namespace":"default","labels":{{"app":"web","pod-template-hash":"7d4b9c6f5","tier":"front"}}}},"spec":{{"nodeName":"node-{:04}","x":""#,
        number % 1000
    );
    let tail = r#""},"status":{"phase":"Running"}}"#;
    let filler = size.saturating_sub(head.len() + tail.len());
    format!("{head}{}{tail}", "x".repeat(filler))
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, default: usize| {
        arguments.get(index).and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let directory = arguments.first().cloned().unwrap_or_else(|| ".".into());
    let (objects, clients, size, watchers) =
        (number(1, 10_000), number(2, 64), number(3, 1024), number(4, 0));
    let selecting = arguments.get(5).is_some_and(|text| text == "selecting");
    let path = std::path::Path::new(&directory).join("fill-store");
    let store = RedbStore::open(&path, &RedbOptions::default()).expect("the store opens");
    let store: Arc<dyn Store> = Arc::new(store);
    let cache = WatchCache::start(store.clone(), Limits::default(), Arc::new(sys::SystemClock));
    let spec = ResourceSpec {
        triggers: vec![0],
        ..ResourceSpec::scanned(PREFIX, &["spec.nodeName", "status.phase"])
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
    let delivered = Arc::new(AtomicUsize::new(0));
    runtime.block_on(async {
        let pods = cache.register(spec).await.expect("the prefix is free");
        let start = Start::After(cache.revision());
        let before = rss_bytes();
        let readers: Vec<_> = (0..watchers)
            .map(|_| {
                let mut filter = Filter::all();
                if selecting {
                    filter.predicate = Some(Box::new(|entry| entry.facts().label("tier") == Some("back")));
                }
                let mut watch = pods.watch(start, filter).expect("there is room");
                let delivered = delivered.clone();
                tokio::spawn(async move {
                    while let Some(Ok(WatchItem::Event(_))) = watch.next().await {
                        delivered.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        let writers: Vec<_> = (0..clients)
            .map(|client| {
                let store = store.clone();
                tokio::spawn(async move {
                    for object in (client..objects).step_by(clients) {
                        let key = format!("{PREFIX}default/web-7d4b9c6f5-{object:06}");
                        let outcome = store.txn(Txn::create(key, pod(object, size))).await;
                        assert!(matches!(outcome, Ok(Outcome::Committed { .. })), "{outcome:?}");
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await.expect("the writer ends");
        }
        let grown = rss_bytes().saturating_sub(before);
        let snapshot = pods.list(RevisionMatch::Any).expect("the cache has it");
        let entries: usize = snapshot.iter(PREFIX, None).map(|entry| entry.memory_bytes()).sum();
        let count = pods.len().max(1);
        println!("{count} objects, {} bytes for each in entries", entries / count);
        println!("memory grew by {} bytes for each object written", grown / objects.max(1));
        println!("memory of the process: {} bytes for each object", rss_bytes() / count);
        readers.into_iter().for_each(|reader| reader.abort());
    });
    println!("{} events delivered", delivered.load(Ordering::Relaxed));
}
