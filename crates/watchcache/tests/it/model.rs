//! Random changes: whatever a watcher starts from, list and watch together give the state of the store.

use std::collections::BTreeMap;

use proptest::prelude::*;
use watchcache::{Error, Filter, Limits, RevisionMatch, Start, Watch, WatchEventType, WatchItem};

use crate::support::*;

#[derive(Debug, Clone)]
enum Step {
    Put {
        name: u8,
        app: u8,
        node: u8,
    },
    Delete {
        name: u8,
    },
    Elsewhere,
    /// Lists and watches from so many revisions ago.
    Start {
        back: u64,
        filter: u8,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..5u8, 0..2u8, 0..2u8).prop_map(|(name, app, node)| Step::Put { name, app, node }),
        3 => (0..5u8).prop_map(|name| Step::Delete { name }),
        1 => Just(Step::Elsewhere),
        2 => (0..8u64, 0..3u8).prop_map(|(back, filter)| Step::Start { back, filter }),
    ]
}

fn filter(number: u8) -> Filter {
    match number {
        0 => Filter::all(),
        1 => with_app("app0"),
        _ => Filter { field: Some((0, "node1".into())), ..Filter::all() },
    }
}

/// What a client with an informer holds.
struct Client {
    number: u8,
    filter: Filter,
    objects: BTreeMap<String, String>,
    watch: Watch,
}

impl Client {
    fn start(world: &World, back: u64, number: u8) -> Client {
        let filter_ = filter(number);
        let revision = world.cache.revision().saturating_sub(back);
        let (objects, start) = match world.pods.list(RevisionMatch::Exact(revision)) {
            Ok(snapshot) => {
                let wanted = snapshot.iter(PODS, None).filter(|entry| filter_.matches(entry));
                let objects = wanted.map(|e| (e.name().to_owned(), text(&e.object()))).collect();
                (objects, Start::After(revision))
            }
            Err(_) => (BTreeMap::new(), Start::Initial { mark_end: false }),
        };
        Client { number, filter: filter_, objects, watch: world.watch(start, filter(number)) }
    }

    /// Reads what there is; begins anew when it was too slow.
    fn catch_up(&mut self, world: &World) {
        while let Some(item) = self.watch.try_next() {
            let event = match item {
                Ok(WatchItem::Event(event)) => event,
                Err(Error::TooSlow) => {
                    *self = Client::start(world, 0, self.number);
                    continue;
                }
                other => panic!("{other:?}"),
            };
            let name = event.entry().name().to_owned();
            let had = match event.kind() {
                WatchEventType::Deleted => self.objects.remove(&name),
                _ => self.objects.insert(name, text(&event.object())),
            };
            assert_eq!(had.is_some(), event.kind() != WatchEventType::Added, "{event:?}");
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn check(steps: &[Step], limits: Limits) {
    let world = world_with(limits);
    let mut clients: Vec<Client> = Vec::new();
    for step in steps {
        match step {
            Step::Put { name, app, node } => {
                world.put(&format!("ns/p{name}"), &format!("app{app}"), &format!("node{node}"));
            }
            Step::Delete { name } => {
                world.delete(&format!("ns/p{name}"));
            }
            Step::Elsewhere => {
                world.elsewhere();
            }
            Step::Start { back, filter } => clients.push(Client::start(&world, *back, *filter)),
        }
        if let Some(client) = clients.first_mut() {
            client.catch_up(&world);
        }
    }
    let now = world.pods.list(RevisionMatch::Any).expect("the cache has it");
    for client in &mut clients {
        client.catch_up(&world);
        let wanted = now.iter(PODS, None).filter(|entry| client.filter.matches(entry));
        let want: BTreeMap<_, _> = wanted.map(|e| (e.name().to_owned(), text(&e.object()))).collect();
        assert_eq!(client.objects, want);
        assert_eq!(client.watch.progress(), Some(world.cache.revision()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn list_and_watch_give_the_state(steps in prop::collection::vec(step(), 1..60)) {
        check(&steps, Limits::default());
        check(&steps, Limits { ring_changes: 3, ..Limits::default() });
    }
}
