//! Random operations on every store and on a plain model give the same answers.

use std::collections::BTreeMap;

use proptest::prelude::*;
use store::mem::MemStore;
use store::redb::{RedbOptions, RedbStore};
use store::{HistoryLimits, ListOptions, Op, Outcome, Store, Txn};

#[derive(Debug, Clone)]
struct Step {
    compares: Vec<(u8, bool)>,
    ops: Vec<(u8, Option<u8>)>,
    list_back: u64,
    start_after: Option<u8>,
    limit: usize,
}

fn key(number: u8) -> String {
    format!("/{}/{}", if number.is_multiple_of(3) { "a" } else { "ab" }, number)
}

fn step() -> impl Strategy<Value = Step> {
    let compares = prop::collection::vec((0..6u8, prop::bool::weighted(0.85)), 0..3);
    let ops = prop::collection::btree_map(0..6u8, prop::option::weighted(0.7, any::<u8>()), 0..4);
    (compares, ops, 0..6u64, prop::option::of(0..6u8), 0..4usize).prop_map(
        |(compares, ops, list_back, start_after, limit)| Step {
            compares,
            ops: ops.into_iter().collect(),
            list_back,
            start_after,
            limit,
        },
    )
}

/// Key → value, create revision, mod revision.
type State = BTreeMap<String, (u8, u64, u64)>;

#[derive(Default)]
struct Model {
    /// The state at each revision since the first.
    states: Vec<State>,
    first: u64,
}

impl Model {
    fn new(first: u64) -> Model {
        Model { states: vec![State::new()], first }
    }

    fn revision(&self) -> u64 {
        self.first + self.states.len() as u64 - 1
    }

    fn now(&self) -> &State {
        &self.states[self.states.len() - 1]
    }

    fn txn(&mut self, step: &Step) -> Txn {
        let current = |number: u8| self.now().get(&key(number)).map_or(0, |state| state.2);
        let compares = step
            .compares
            .iter()
            .map(|(number, right)| (key(*number).into(), current(*number) + u64::from(!right)))
            .collect();
        let op = |(number, value): &(u8, Option<u8>)| match value {
            Some(value) => Op::Put { key: key(*number).into(), value: vec![*value].into() },
            None => Op::Delete { key: key(*number).into() },
        };
        Txn { compares, ops: step.ops.iter().map(op).collect(), ..Txn::default() }
    }

    /// The revision after the step; `None` for a conflict.
    fn apply(&mut self, step: &Step) -> Option<u64> {
        if step.compares.iter().any(|(_, right)| !right) {
            return None;
        }
        let (mut next, revision) = (self.now().clone(), self.revision() + 1);
        let mut changed = false;
        for (number, value) in &step.ops {
            let old = next.remove(&key(*number));
            changed |= old.is_some() || value.is_some();
            if let Some(value) = value {
                next.insert(key(*number), (*value, old.map_or(revision, |old| old.1), revision));
            }
        }
        if changed {
            self.states.push(next);
        }
        Some(self.revision())
    }
}

fn check(store: &dyn Store, steps: &[Step]) {
    let mut model = Model::new(store.revision());
    for step in steps {
        let txn = model.txn(step);
        let outcome = stdx::block_on(store.txn(txn)).expect("it is valid");
        match (model.apply(step), outcome) {
            (Some(want), Outcome::Committed { revision }) => assert_eq!(revision, want),
            (None, Outcome::Conflict { current }) => assert_eq!(current.len(), step.compares.len()),
            (want, got) => panic!("wanted {want:?}, got {got:?}"),
        }
        let revision = model.revision().saturating_sub(step.list_back).max(model.first);
        let start_after = step.start_after.map(key);
        let options =
            ListOptions { revision: Some(revision), start_after: start_after.as_deref(), limit: step.limit };
        let page = stdx::block_on(store.list("/a/", options)).expect("it is in the history");
        let state = &model.states[(revision - model.first) as usize];
        let mut want: Vec<_> = state
            .iter()
            .filter(|(key, _)| {
                key.starts_with("/a/") && start_after.as_ref().is_none_or(|after| *key > after)
            })
            .map(|(key, state)| (key.clone(), *state))
            .collect();
        assert_eq!(page.more, step.limit > 0 && want.len() > step.limit);
        want.truncate(if step.limit == 0 { want.len() } else { step.limit });
        let got: Vec<_> = page
            .entries
            .iter()
            .map(|e| (e.key.to_string(), (e.value[0], e.create_revision, e.mod_revision)))
            .collect();
        assert_eq!(got, want);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn memory_is_like_the_model(steps in prop::collection::vec(step(), 1..60)) {
        check(&MemStore::default(), &steps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn redb_is_like_the_model(steps in prop::collection::vec(step(), 1..40)) {
        let directory = tempfile::TempDir::new().expect("a directory");
        let options = RedbOptions { history: HistoryLimits::default(), ..RedbOptions::default() };
        let store = RedbStore::open(directory.path().join("store"), &options).expect("it opens");
        check(&store, &steps);
    }
}
