//! Names of pods that follow from the state that they were decided in, so that a create that lands late meets its own
//! repetition as `AlreadyExists`.

use std::collections::BTreeSet;

use reconcile::{Failure, ObjectMeta, Op};

use crate::safe::{Fnv, generated};

/// The names that failed creates could not have because somebody else has them.
#[must_use]
pub fn refused(failures: &[Failure]) -> BTreeSet<&str> {
    let taken = failures.iter().filter(|f| f.status.is("AlreadyExists"));
    taken.filter_map(|f| created(f)).collect()
}

fn created(f: &Failure) -> Option<&str> {
    match &f.op {
        Op::Create { name, .. } => Some(name),
        _ => None,
    }
}

/// Where the names of an owner's next objects begin, given the UIDs of those that it has.
#[must_use]
pub fn base<'a>(owner: &ObjectMeta, present: impl Iterator<Item = &'a str>) -> Fnv {
    let mut base = Fnv::default();
    base.text(&owner.uid);
    let mut uids: Vec<&str> = present.collect();
    uids.sort_unstable();
    uids.iter().for_each(|u| base.text(u));
    base
}

/// `n` names for pods of `owner`. First those of creates whose outcome is not known, then names that follow from
/// `base`; none that is `taken`.
#[must_use]
pub fn several(
    owner: &ObjectMeta,
    base: Fnv,
    taken: &BTreeSet<&str>,
    failures: &[Failure],
    n: usize,
) -> Vec<String> {
    let (refused, prefix) = (refused(failures), prefix(owner));
    let mut names: Vec<String> = Vec::with_capacity(n);
    for name in failures.iter().filter(|f| !f.status.is("AlreadyExists")).filter_map(created) {
        if names.len() < n && !taken.contains(name) {
            names.push(name.to_owned());
        }
    }
    let mut used: BTreeSet<String> = names.iter().cloned().collect();
    // Far more tries than needed: with 500 names out of 14 million a repetition is rare.
    for i in 0..u32::try_from(n * 4 + refused.len() + 64).unwrap_or(u32::MAX) {
        if names.len() >= n {
            break;
        }
        let name = candidate(&prefix, base, i);
        let free = !taken.contains(name.as_str()) && !refused.contains(name.as_str());
        if free && used.insert(name.clone()) {
            names.push(name);
        }
    }
    names
}

/// The first name that follows from `base` and is not `used`, which it then is.
pub fn one(owner: &ObjectMeta, base: Fnv, refused: &BTreeSet<&str>, used: &mut BTreeSet<String>) -> String {
    let prefix = prefix(owner);
    let mut i = 0;
    loop {
        let name = candidate(&prefix, base, i);
        if !refused.contains(name.as_str()) && used.insert(name.clone()) {
            return name;
        }
        i += 1;
    }
}

/// What the names of an owner's objects begin with.
#[must_use]
pub fn prefix(owner: &ObjectMeta) -> String {
    format!("{}-", owner.name)
}

/// The name number `i` of those that follow from `base`, behind a prefix that is cut so that it fits.
#[must_use]
pub fn candidate(prefix: &str, base: Fnv, i: u32) -> String {
    let mut h = base;
    h.write(&i.to_le_bytes());
    generated(prefix, mix(h.finish()))
}

/// Spreads the last bytes hashed over all bits.
fn mix(mut h: u32) -> u32 {
    h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
    h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
    h ^ (h >> 16)
}
