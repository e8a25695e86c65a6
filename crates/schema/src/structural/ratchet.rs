//! An object beside its predecessor: which part of the one was which part of the other. What did not change is not
//! complained of, so that a schema can become stricter while old objects live.
// k8s: apiserver pkg/cel/common/equality.go CorrelatedObject

use std::collections::HashMap;

use super::lists::key_identity;
use super::node::{ListKind, Node};
use crate::{Map, Value};

/// Above this many entries a table is made to look them up.
const FEW: usize = 16;

/// A value, what it was, and the schema that tells how elements of lists find their predecessors.
#[derive(Clone, Copy)]
pub struct Pair<'a> {
    pub new: &'a Value,
    pub old: &'a Value,
    pub node: &'a Node,
}

/// Old entries by name.
pub struct Entries<'a> {
    pair: Pair<'a>,
    table: Option<(HashMap<&'a str, &'a Value>, HashMap<&'a str, &'a Value>)>,
}

/// Old elements by place or by key.
pub struct Items<'a> {
    pair: Pair<'a>,
    keyed: Option<HashMap<Vec<u8>, &'a Value>>,
}

fn table(map: &Map) -> HashMap<&str, &Value> {
    map.iter().collect()
}

impl<'a> Pair<'a> {
    pub fn entries(&self) -> Entries<'a> {
        let table = match (self.new, self.old) {
            (Value::Map(new), Value::Map(old)) if new.len().max(old.len()) > FEW => {
                Some((table(new), table(old)))
            }
            _ => None,
        };
        Entries { pair: *self, table }
    }

    pub fn items(&self) -> Items<'a> {
        let keyed = match (self.old, &self.node.list_kind) {
            (Value::List(old), Some(ListKind::Map)) => {
                let mut keyed = HashMap::with_capacity(old.len());
                for v in old {
                    keyed.entry(key_identity(v, self.node)).or_insert(v);
                }
                Some(keyed)
            }
            _ => None,
        };
        Items { pair: *self, keyed }
    }

    /// Whether new and old are equal, elements of lists compared with their predecessors.
    pub fn is_unchanged(&self) -> bool {
        match (self.new, self.old) {
            (Value::List(new), Value::List(old)) => {
                if new.len() != old.len() {
                    return false;
                }
                let items = self.items();
                for i in 0..new.len() {
                    match items.get(i) {
                        Some(child) if child.is_unchanged() => {}
                        Some(_) => return false,
                        None => return items.keyed.is_none() && new == old,
                    }
                }
                true
            }
            (Value::Map(new), Value::Map(old)) => {
                let entries = self.entries();
                new.len() == old.len()
                    && new.iter().all(|(name, _)| entries.get(name).is_some_and(|c| c.is_unchanged()))
            }
            (new, old) => new == old,
        }
    }
}

impl<'a> Entries<'a> {
    pub fn get(&self, name: &str) -> Option<Pair<'a>> {
        let (new, old) = match &self.table {
            Some((new, old)) => (*new.get(name)?, *old.get(name)?),
            None => (self.pair.new.as_map()?.get(name)?, self.pair.old.as_map()?.get(name)?),
        };
        Some(Pair { new, old, node: self.pair.node.entry(name)? })
    }
}

impl<'a> Items<'a> {
    pub fn get(&self, at: usize) -> Option<Pair<'a>> {
        let new = self.pair.new.as_list()?.get(at)?;
        let old = match (&self.keyed, &self.pair.node.list_kind) {
            (Some(keyed), _) => keyed.get(&key_identity(new, self.pair.node)).copied(),
            (None, None) => self.pair.old.as_list()?.get(at),
            _ => None,
        };
        let old = old.filter(|o| !o.is_null())?;
        Some(Pair { new, old, node: self.pair.node.items.as_deref()? })
    }
}
