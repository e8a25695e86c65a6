//! A ruleset as data, and the script that turns one into another in a single nft transaction.
//! Only what differs is touched: with thousands of Services a change of one endpoint is a few lines.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// One table: its named maps and sets with their declarations, and its chains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruleset {
    /// `corten-proxy`.
    pub table: String,
    pub containers: BTreeMap<String, Container>,
    pub chains: BTreeMap<String, Chain>,
}

/// A named map or set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Container {
    /// `map` or `set`.
    pub keyword: &'static str,
    /// What stands between the braces of the declaration: `type ipv4_addr; flags interval;`.
    pub declaration: String,
    /// Key to value; the value is empty in a set. A set filled by the packet path has no elements here.
    pub elements: BTreeMap<String, String>,
}

/// A chain and its rules in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// Hook declaration of a base chain: `type nat hook output priority -100;`; empty for a plain chain.
    pub hook: String,
    pub rules: Vec<String>,
}

/// The script that removes the table, whether it is there or not.
#[must_use]
pub fn teardown(table: &str) -> String {
    format!("add table ip {table}\ndelete table ip {table}\n")
}

/// The script that brings `have` to `want`; `None` starts from nothing and removes whatever a former run left.
/// Empty when nothing differs.
#[must_use]
pub fn diff(have: Option<&Ruleset>, want: &Ruleset) -> String {
    let mut script = String::new();
    let empty = Ruleset { table: want.table.clone(), ..Ruleset::default() };
    let have = have.unwrap_or_else(|| {
        script = teardown(&want.table);
        let _ = writeln!(script, "add table ip {}", want.table);
        &empty
    });
    let t = &want.table;
    declare(&mut script, have, want);
    for (name, chain) in &want.chains {
        let old = have.chains.get(name);
        if old == Some(chain) {
            continue;
        }
        if old.is_some_and(|c| !c.rules.is_empty()) {
            let _ = writeln!(script, "flush chain ip {t} {name}");
        }
        for rule in &chain.rules {
            let _ = writeln!(script, "add rule ip {t} {name} {rule}");
        }
    }
    for (name, c) in &want.containers {
        let old = have.containers.get(name).map(|c| &c.elements);
        elements(&mut script, t, name, old.unwrap_or(&BTreeMap::new()), &c.elements);
    }
    remove(&mut script, have, want);
    script
}

/// Adds containers and chains that are new, before anything refers to them.
fn declare(script: &mut String, have: &Ruleset, want: &Ruleset) {
    let t = &want.table;
    for (name, c) in want.containers.iter().filter(|(n, _)| !have.containers.contains_key(*n)) {
        let _ = writeln!(script, "add {} ip {t} {name} {{ {} }}", c.keyword, c.declaration);
    }
    for (name, c) in want.chains.iter().filter(|(n, _)| !have.chains.contains_key(*n)) {
        if c.hook.is_empty() {
            let _ = writeln!(script, "add chain ip {t} {name}");
        } else {
            let _ = writeln!(script, "add chain ip {t} {name} {{ {} }}", c.hook);
        }
    }
}

fn elements(
    script: &mut String,
    table: &str,
    name: &str,
    old: &BTreeMap<String, String>,
    new: &BTreeMap<String, String>,
) {
    let gone: Vec<&str> =
        old.iter().filter(|(k, v)| new.get(*k) != Some(*v)).map(|(k, _)| k.as_str()).collect();
    let come: Vec<String> = new
        .iter()
        .filter(|(k, v)| old.get(*k) != Some(*v))
        .map(|(k, v)| if v.is_empty() { k.clone() } else { format!("{k} : {v}") })
        .collect();
    if !gone.is_empty() {
        let _ = writeln!(script, "delete element ip {table} {name} {{ {} }}", gone.join(", "));
    }
    if !come.is_empty() {
        let _ = writeln!(script, "add element ip {table} {name} {{ {} }}", come.join(", "));
    }
}

/// Removes chains and containers that nothing refers to any more: rules first, since they name each other.
fn remove(script: &mut String, have: &Ruleset, want: &Ruleset) {
    let t = &want.table;
    let gone: BTreeSet<&String> = have.chains.keys().filter(|n| !want.chains.contains_key(*n)).collect();
    for name in &gone {
        let _ = writeln!(script, "flush chain ip {t} {name}");
    }
    for name in &gone {
        let _ = writeln!(script, "delete chain ip {t} {name}");
    }
    for (name, c) in have.containers.iter().filter(|(n, _)| !want.containers.contains_key(*n)) {
        let _ = writeln!(script, "delete {} ip {t} {name}", c.keyword);
    }
}
