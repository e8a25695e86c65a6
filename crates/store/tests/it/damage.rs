//! Bits that flip and files that are cut: a store opens with everything that was acknowledged, or says that it
//! is damaged and leaves the file as it is. It never panics.

use std::fs;
use std::path::Path;

use store::redb::{RedbOptions, RedbStore};
use store::{Entry, Error, ListOptions, Outcome, Store, Txn};
use tempfile::TempDir;

const SEED: u64 = 0x5eed_c0de_2026;
const OBJECTS: usize = 300;

/// Numbers below a limit, the same ones in every run.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

type State = (Vec<Entry>, u64);

fn state(store: &RedbStore) -> Result<State, Error> {
    let page = stdx::block_on(store.list("/", ListOptions::default()))?;
    Ok((page.entries, page.revision))
}

fn open(path: &Path) -> Result<State, Error> {
    state(&RedbStore::open(path, &RedbOptions::default())?)
}

/// A store with objects of many sizes, some deleted.
fn fill(store: &RedbStore) {
    let commit = |txn| match stdx::block_on(store.txn(txn)) {
        Ok(Outcome::Committed { revision }) => revision,
        other => panic!("{other:?}"),
    };
    for number in 0..OBJECTS {
        let key = format!("/registry/pods/default/web-{number:04}");
        let value: Vec<u8> = (0..40 + number * 17).map(|at| (at * number) as u8).collect();
        let created = commit(Txn::create(key.clone(), value));
        if number % 7 == 3 {
            commit(Txn::delete(key, created));
        }
    }
}

/// Opens the bytes as a store. Whether it opened; what is wrong with either outcome is a panic.
#[track_caller]
fn check(path: &Path, bytes: &[u8], want: &State, what: &str) -> bool {
    fs::write(path, bytes).expect("it can be written");
    match open(path) {
        Ok(found) => {
            assert!(found == *want, "{what}: it opened with other content, at revision {}", found.1);
            true
        }
        Err(Error::Damaged { .. } | Error::Foreign { .. } | Error::NewerFormat { .. }) => {
            assert!(fs::read(path).expect("it is there") == bytes, "{what}: the file was changed");
            false
        }
        Err(other) => panic!("{what}: {other}"),
    }
}

#[test]
fn a_closed_file_is_whole_or_damaged() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("store");
    let store = RedbStore::open(&path, &RedbOptions::default()).expect("it opens");
    fill(&store);
    let want = state(&store).expect("it can be read");
    drop(store);
    let whole = fs::read(&path).expect("it is there");
    assert!(check(&path, &whole, &want, "whole"));
    let mut seeded = Seeded(SEED);
    // The header and what follows it byte by byte, the rest here and there.
    let places = (0..512).chain((0..500).map(|_| seeded.below(whole.len()))).collect::<Vec<_>>();
    let mut damaged = 0;
    for place in places {
        let bit = seeded.below(8);
        let mut broken = whole.clone();
        broken[place] ^= 1 << bit;
        damaged += usize::from(!check(&path, &broken, &want, &format!("bit {bit} of {place}")));
    }
    assert!(damaged > 150, "flips of bits in use are noticed: {damaged}");
    let cuts = [0, 1, 8, 9, 10, 63, 64, 319, 320, 511, 4095, 4096, 4097, whole.len() - 4096, whole.len() - 1];
    for keep in cuts.into_iter().chain((0..60).map(|_| seeded.below(whole.len()))) {
        assert!(!check(&path, &whole[..keep], &want, &format!("cut to {keep}")));
    }
    for _ in 0..60 {
        let (start, byte) = (seeded.below(whole.len()), seeded.below(256) as u8);
        let end = (start + 1 + seeded.below(20_000)).min(whole.len());
        let mut broken = whole.clone();
        broken[start..end].fill(byte);
        check(&path, &broken, &want, &format!("{byte} from {start} to {end}"));
    }
}
