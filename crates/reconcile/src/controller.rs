//! The shape of every controller.

use std::any::TypeId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::{Answers, Caches, Change, ChangeKind, Delta, Key, KindDecl, Plan, Projection};

/// A pure decider. `observe` gathers everything that a decision depends on, `reconcile` decides. Neither may
/// do I/O, read a clock or keep anything between calls but in the key's memory.
pub trait Controller: Send + Sync + 'static {
    /// Everything that a decision depends on, owned: a test writes it as a literal.
    type State;

    /// What it remembers of a key from one decision to the next, when no cache can tell it: when something was
    /// first seen, say. `()`: nothing. The engine keeps it while [`Controller::observe`] gives a state for the key
    /// and drops it at the first decision that gets none, so the key of an object must be decided again when the
    /// object goes (as [`Interests::own`] does). It does not outlive the process: what must hold after a restart
    /// belongs into an object. An object that is replaced under its name inherits the memory; where that matters
    /// the memory says of which UID it is. A memory that equals the default costs nothing: it is not kept.
    type Memory: Default + PartialEq + Send + 'static;

    /// The name in logs and Events: `replicaset-controller`.
    fn name(&self) -> &'static str;

    /// What it reads and which changes concern which keys.
    fn interests(&self, interests: &mut Interests);

    /// The state of a key, or `None` when nothing is to be decided (the object is gone).
    fn observe(&self, key: &Key, caches: &Caches, answers: &Answers) -> Option<Self::State>;

    /// What to do. The same state, memory and time give the same plan and leave the same memory.
    fn reconcile(&self, state: &Self::State, memory: &mut Self::Memory, now: Timestamp) -> Plan;
}

/// Collects the keys that a change concerns.
#[derive(Debug, Default)]
pub struct KeySink(pub(crate) BTreeSet<Key>, pub(crate) Vec<(Key, Duration)>);

impl KeySink {
    /// This key is to be decided again.
    pub fn add(&mut self, key: Key) {
        self.0.insert(key);
    }

    /// This key is to be decided again after that time, or earlier if that was asked before.
    pub fn add_after(&mut self, key: Key, delay: Duration) {
        self.1.push((key, delay));
    }
}

type Map = Box<dyn Fn(&Change, &Caches, &mut KeySink) + Send + Sync>;

/// What a controller reads and which changes concern which keys.
#[derive(Default)]
pub struct Interests {
    pub(crate) decls: Vec<KindDecl>,
    pub(crate) maps: Vec<Map>,
    pub(crate) graph: bool,
    pub(crate) discovery: bool,
    pub(crate) at_start: Vec<Key>,
}

impl Interests {
    /// Reads `P` without being woken by its changes.
    pub fn read<P: Projection>(&mut self) {
        let decl = KindDecl::of::<P>();
        if !self.decls.iter().any(|d| (d.projection)() == (decl.projection)()) {
            self.decls.push(decl);
        }
    }

    /// Reads `P`; `map` says which keys a change concerns.
    pub fn on<P: Projection>(
        &mut self,
        map: impl Fn(&Delta<P>, &Caches, &mut KeySink) + Send + Sync + 'static,
    ) {
        self.read::<P>();
        self.maps.push(Box::new(move |change, caches, sink| {
            if let Some(delta) = change.delta::<P>() {
                map(delta, caches, sink);
            }
        }));
    }

    /// Reads `P`, whose objects are the keys.
    pub fn own<P: Projection>(&mut self) {
        self.on::<P>(|delta, _, sink| {
            if let Some(o) = delta.latest() {
                sink.add(o.meta().key());
            }
        });
    }

    /// Reads the ownership graph; `map` gets the UID that changed and its owners' UIDs.
    pub fn on_graph(
        &mut self,
        map: impl Fn(&Arc<str>, &[Arc<str>], &Caches, &mut KeySink) + Send + Sync + 'static,
    ) {
        self.graph = true;
        self.maps.push(Box::new(move |change, caches, sink| {
            if let ChangeKind::Graph { uid, owners } = &change.kind {
                map(uid, owners, caches, sink);
            }
        }));
    }

    /// Reads what the server serves; `map` is called when that changes.
    pub fn on_discovery(&mut self, map: impl Fn(&Caches, &mut KeySink) + Send + Sync + 'static) {
        self.discovery = true;
        self.maps.push(Box::new(move |change, caches, sink| {
            if let ChangeKind::Discovery = change.kind {
                map(caches, sink);
            }
        }));
    }

    /// A key to decide at the start, whatever the caches hold.
    pub fn at_start(&mut self, key: Key) {
        self.at_start.push(key);
    }

    /// The declarations of all projections read.
    #[must_use]
    pub fn decls(&self) -> &[KindDecl] {
        &self.decls
    }

    /// The type ids of all projections read.
    #[must_use]
    pub fn projections(&self) -> Vec<TypeId> {
        self.decls.iter().map(|d| (d.projection)()).collect()
    }

    /// Whether the ownership graph is read.
    #[must_use]
    pub fn reads_graph(&self) -> bool {
        self.graph
    }

    /// Whether discovery is read.
    #[must_use]
    pub fn reads_discovery(&self) -> bool {
        self.discovery
    }
}

/// A controller and its memories, with the types erased.
pub(crate) trait Decide: Send {
    fn decide(&mut self, key: &Key, caches: &Caches, answers: &Answers, now: Timestamp) -> Option<Plan>;
}

/// A controller with what it remembers of each key.
pub(crate) struct Decider<C: Controller> {
    controller: C,
    memories: BTreeMap<Key, C::Memory>,
}

impl<C: Controller> Decider<C> {
    pub(crate) fn new(controller: C) -> Self {
        Decider { controller, memories: BTreeMap::new() }
    }
}

impl<C: Controller> Decide for Decider<C> {
    fn decide(&mut self, key: &Key, caches: &Caches, answers: &Answers, now: Timestamp) -> Option<Plan> {
        let Some(state) = self.controller.observe(key, caches, answers) else {
            self.memories.remove(key);
            return None;
        };
        // A controller without a memory must not pay for one.
        if size_of::<C::Memory>() == 0 {
            return Some(self.controller.reconcile(&state, &mut C::Memory::default(), now));
        }
        let mut memory = self.memories.remove(key).unwrap_or_default();
        let plan = self.controller.reconcile(&state, &mut memory, now);
        if memory != C::Memory::default() {
            self.memories.insert(key.clone(), memory);
        }
        Some(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Remembers under which number it was last decided: the key's name.
    struct Numbers;

    impl Controller for Numbers {
        type State = u32;
        type Memory = u32;

        fn name(&self) -> &'static str {
            "numbers"
        }

        fn interests(&self, _: &mut Interests) {}

        fn observe(&self, key: &Key, _: &Caches, _: &Answers) -> Option<u32> {
            key.name.parse().ok()
        }

        fn reconcile(&self, number: &u32, memory: &mut u32, _: Timestamp) -> Plan {
            *memory = if *memory == 0 { *number } else { 0 };
            Plan::default()
        }
    }

    #[test]
    fn what_nothing_is_remembered_of_is_not_kept() {
        let mut decider = Decider::new(Numbers);
        let mut decide = |name: &str| {
            let key = Key::new("", name);
            decider.decide(&key, &Caches::default(), &Answers::default(), Timestamp::UNIX_EPOCH);
            decider.memories.values().copied().collect::<Vec<_>>()
        };
        let kept = ["0", "7", "7"].map(&mut decide);
        assert_eq!(kept, [vec![], vec![7], vec![]]);
    }
}
