//! Which topology domain every node is in, by topology key, as numbers: counting pods by domain needs no look at labels.

use std::collections::HashMap;

use crate::snapshot::NodeInfo;

/// Stands for "the node does not have the label".
pub const NONE: u32 = u32::MAX;
/// So many keys are followed.
const KEYS: usize = 256;
/// Values that no node has any more are kept up to so many, and as many as there are nodes.
const SPARE_VALUES: usize = 1024;

/// One topology key.
#[derive(Debug)]
struct Column {
    key: Box<str>,
    values: HashMap<Box<str>, u32>,
    /// The domain of the node in that slot.
    domains: Vec<u32>,
    /// How many nodes are in each domain, and how many domains have any.
    nodes: Vec<u32>,
    present: usize,
}

impl Column {
    fn set(&mut self, slot: usize, node: &NodeInfo) {
        if self.domains.len() <= slot {
            self.domains.resize(slot + 1, NONE);
        }
        let new = node.label(&self.key).map_or(NONE, |value| self.domain(value));
        let old = std::mem::replace(&mut self.domains[slot], new);
        if let Some(n) = self.nodes.get_mut(old as usize) {
            *n -= 1;
            self.present -= usize::from(*n == 0);
        }
        if let Some(n) = self.nodes.get_mut(new as usize) {
            self.present += usize::from(*n == 0);
            *n += 1;
        }
    }

    fn domain(&mut self, value: &str) -> u32 {
        if let Some(domain) = self.values.get(value) {
            return *domain;
        }
        let domain = u32::try_from(self.values.len()).unwrap_or(NONE);
        self.values.insert(value.into(), domain);
        self.nodes.push(0);
        domain
    }
}

/// The topology keys in use.
#[derive(Debug, Default)]
pub struct Columns(Vec<Column>);

impl Columns {
    /// The number of a key.
    pub fn of(&mut self, key: &str, nodes: &[NodeInfo]) -> usize {
        if let Some(found) = self.0.iter().position(|c| *c.key == *key) {
            return found;
        }
        let mut column = Column {
            key: key.into(),
            values: HashMap::new(),
            domains: Vec::new(),
            nodes: Vec::new(),
            present: 0,
        };
        for (slot, node) in nodes.iter().enumerate() {
            column.set(slot, node);
        }
        self.0.push(column);
        self.0.len() - 1
    }

    /// The node in a slot came, went or changed.
    pub fn update(&mut self, slot: usize, node: &NodeInfo) {
        self.0.iter_mut().for_each(|c| c.set(slot, node));
    }

    /// How many domains have a node.
    #[must_use]
    pub fn present(&self, column: usize) -> usize {
        self.0[column].present
    }

    /// The domain of a node.
    #[must_use]
    pub fn at(&self, column: usize, slot: usize) -> Option<usize> {
        let domain = self.0[column].domains.get(slot).copied().filter(|d| *d != NONE)?;
        usize::try_from(domain).ok()
    }

    /// Whether it is time to forget all, and with them whatever counts by their numbers.
    #[must_use]
    pub fn crowded(&self, nodes: usize) -> bool {
        self.0.len() > KEYS || self.0.iter().any(|c| c.values.len() > nodes * 2 + SPARE_VALUES)
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// Numbers by domain, nought where nothing was counted.
#[derive(Debug, Default)]
pub struct Tally(Vec<i64>);

impl Tally {
    /// The number of a domain.
    #[must_use]
    pub fn get(&self, domain: usize) -> i64 {
        self.0.get(domain).copied().unwrap_or(0)
    }

    /// Adds to the number of a domain.
    pub fn add(&mut self, domain: usize, amount: i64) {
        if self.0.len() <= domain {
            self.0.resize(domain + 1, 0);
        }
        self.0[domain] += amount;
    }
}
