//! What the kernel says it has of the rules, and in what that differs from what was written: others may flush or
//! change the table. nft prints rules in another spelling than it reads, so they are counted here, and compared with
//! what it printed before.

use std::collections::BTreeMap;

use stdx::hash::fnv1a64;

use crate::ruleset::{Container, Ruleset};

/// A listing of one table (`nft -s list table`), taken in line by line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Name to number of rules.
    chains: BTreeMap<String, usize>,
    /// Name to elements.
    containers: BTreeMap<String, BTreeMap<String, String>>,
    /// Of all hooks and rules, whatever the order of the chains.
    fingerprint: u64,
    within: Within,
    /// Braces that are open inside the present chain's rule or the present elements.
    depth: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Within {
    #[default]
    Table,
    Chain(String),
    Container(String),
}

impl Listing {
    /// Takes in the next line.
    pub fn line(&mut self, line: &str) {
        let line = line.trim();
        match self.within.clone() {
            Within::Table => self.open(line),
            _ if line == "}" && self.depth == 0 => self.within = Within::Table,
            Within::Chain(name) => self.rule(&name, line),
            Within::Container(name) => self.elements(&name, line),
        }
    }

    fn open(&mut self, line: &str) {
        let mut words = line.split_whitespace();
        let (Some(keyword), Some(name)) = (words.next(), words.next()) else { return };
        match keyword {
            "chain" => {
                self.chains.insert(name.to_owned(), 0);
                self.within = Within::Chain(name.to_owned());
            }
            "map" | "set" => {
                self.containers.insert(name.to_owned(), BTreeMap::new());
                self.within = Within::Container(name.to_owned());
            }
            _ => {}
        }
    }

    fn rule(&mut self, chain: &str, line: &str) {
        let Some(rules) = self.chains.get_mut(chain).filter(|_| !line.is_empty()) else { return };
        let is_hook = line.starts_with("type ") && line.contains(" hook ");
        if self.depth == 0 && !is_hook {
            *rules += 1;
        }
        let place = format!("{chain} {rules} {line}");
        // A sum does not care about the order of chains; the place in the text tells rules of one chain apart.
        self.fingerprint = self.fingerprint.wrapping_add(fnv1a64(place.as_bytes()));
        self.nest(line);
    }

    fn elements(&mut self, container: &str, line: &str) {
        let starts = line.strip_prefix("elements = {");
        let text = match (starts, self.depth) {
            (Some(first), 0) => first,
            (None, 0) => return,
            _ => line,
        };
        self.nest(line);
        let Some(elements) = self.containers.get_mut(container) else { return };
        for element in text.trim_end_matches('}').split(',').map(str::trim).filter(|e| !e.is_empty()) {
            let (key, value) = element.split_once(" : ").unwrap_or((element, ""));
            elements.insert(key.to_owned(), value.to_owned());
        }
    }

    fn nest(&mut self, line: &str) {
        let count = |brace: char| line.chars().filter(|c| *c == brace).count();
        self.depth = (self.depth + count('{')).saturating_sub(count('}'));
    }

    /// The same as long as no chain and no rule changes.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// The first difference to what was written, in words; `None` without one.
    #[must_use]
    pub fn difference(&self, want: &Ruleset) -> Option<String> {
        for (name, chain) in &want.chains {
            match self.chains.get(name) {
                None => return Some(format!("the chain {name} is gone")),
                Some(rules) if *rules != chain.rules.len() => {
                    return Some(format!("the chain {name} has {rules} rules, not {}", chain.rules.len()));
                }
                Some(_) => {}
            }
        }
        for (name, container) in &want.containers {
            match self.containers.get(name) {
                None => return Some(format!("the {} {name} is gone", container.keyword)),
                Some(elements) if !is_filled_by_packets(container) && *elements != container.elements => {
                    return Some(format!("the {} {name} has other elements", container.keyword));
                }
                Some(_) => {}
            }
        }
        let foreign = |names: &mut dyn Iterator<Item = &String>| names.next().cloned();
        let chain = foreign(&mut self.chains.keys().filter(|n| !want.chains.contains_key(*n)));
        let container = foreign(&mut self.containers.keys().filter(|n| !want.containers.contains_key(*n)));
        chain.or(container).map(|name| format!("{name} is not ours"))
    }
}

fn is_filled_by_packets(container: &Container) -> bool {
    container.declaration.contains("dynamic")
}
