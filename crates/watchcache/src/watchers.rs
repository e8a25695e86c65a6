//! The watchers of one resource, indexed so that a change touches only those that may want it: by key, by
//! namespace, and by the value of an indexed field (as upstream's triggers). Nobody gets a change itself, only its
//! number in the ring, or no more than a wake-up: what a watcher does not read costs no memory, and its selector is
//! its own work. This runs on the store's writer and must never look at a selector.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::Waker;

use parking_lot::Mutex;
use stdx::cutoff;

use crate::change::Change;
use crate::entry::Entry;
use crate::error::Error;

/// Which keys of the resource a watch is about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Scope {
    /// The whole resource.
    #[default]
    All,
    /// One namespace.
    Namespace(String),
    /// One object, by its whole key.
    Key(String),
    /// Objects of this name in all namespaces.
    Name(String),
}

type Predicate = Box<dyn Fn(&Entry) -> bool + Send + Sync>;

/// What a watcher wants to see.
#[derive(Default)]
pub struct Filter {
    /// Only these keys.
    pub scope: Scope,
    /// Only objects whose selectable field with this index has exactly this value. Cheap for the server
    /// when the index is one of [`crate::ResourceSpec::triggers`].
    pub field: Option<(usize, String)>,
    /// Only objects for which this holds, besides the above. Called for the old and the new object of a
    /// change by whoever polls the watch.
    pub predicate: Option<Predicate>,
}

impl Filter {
    /// All objects of the resource.
    pub fn all() -> Filter {
        Filter::default()
    }

    /// Whether the object is wanted.
    pub fn matches(&self, entry: &Entry) -> bool {
        let in_scope = match &self.scope {
            Scope::All => true,
            Scope::Namespace(namespace) => entry.namespace() == namespace,
            Scope::Key(key) => &**entry.key() == key.as_str(),
            Scope::Name(name) => entry.name() == name,
        };
        in_scope
            && self.field.as_ref().is_none_or(|(index, value)| entry.facts().field(*index) == value)
            && self.predicate.as_ref().is_none_or(|predicate| predicate(entry))
    }
}

/// The list of watchers that one is filed in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Slot {
    All,
    Namespace(Box<str>),
    Key(Box<str>),
    Name(Box<str>),
    Field(usize, Box<str>),
}

/// How a watcher is told.
pub(crate) enum Tell {
    /// It reads the whole ring and is only woken.
    Wake(Arc<Mutex<Option<Waker>>>),
    /// It reads the changes with these numbers. Those before `from` it finds itself.
    Numbers { queue: cutoff::Sender<u64>, from: u64 },
}

struct Watcher {
    id: u64,
    tell: Tell,
}

pub(crate) struct Watchers {
    slots: HashMap<Slot, Vec<Watcher>>,
    /// Indexes of the selectable fields by which watchers are filed.
    triggers: Vec<usize>,
    count: usize,
    next_id: u64,
    limit: usize,
}

impl Watchers {
    pub(crate) fn new(triggers: Vec<usize>, limit: usize) -> Watchers {
        Watchers { slots: HashMap::new(), triggers, count: 0, next_id: 0, limit }
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Files a watcher. Returns where, for `remove`.
    pub(crate) fn add(&mut self, slot: &Slot, tell: Tell) -> Result<u64, Error> {
        if self.count >= self.limit {
            return Err(Error::TooManyWatchers { limit: self.limit });
        }
        let id = self.next_id;
        self.next_id += 1;
        self.count += 1;
        self.slots.entry(slot.clone()).or_default().push(Watcher { id, tell });
        Ok(id)
    }

    pub(crate) fn remove(&mut self, slot: &Slot, id: u64) {
        let Some(watchers) = self.slots.get_mut(slot) else { return };
        // Numbers grow, and nobody changes places.
        if let Ok(at) = watchers.binary_search_by_key(&id, |watcher| watcher.id) {
            watchers.remove(at);
            self.count -= 1;
        }
        if watchers.is_empty() {
            self.slots.remove(slot);
        }
    }

    /// Tells everyone who may want one of the changes. The wakers are for the caller, once it holds no lock.
    pub(crate) fn tell(&mut self, changes: &[(u64, Arc<Change>)]) -> Vec<Waker> {
        let mut wakers = Vec::new();
        if self.count == 0 || changes.is_empty() {
            return wakers;
        }
        self.tell_slot(&Slot::All, changes, &mut wakers);
        if self.slots.len() > usize::from(self.slots.contains_key(&Slot::All)) {
            for change in changes {
                for slot in self.slots_of(&change.1) {
                    self.tell_slot(&slot, std::slice::from_ref(change), &mut wakers);
                }
            }
        }
        wakers
    }

    /// Ends all watches.
    pub(crate) fn clear(&mut self) -> impl Drop + use<> {
        self.count = 0;
        std::mem::take(&mut self.slots).into_values().flatten().collect::<Vec<_>>()
    }

    fn tell_slot(&mut self, slot: &Slot, changes: &[(u64, Arc<Change>)], wakers: &mut Vec<Waker>) {
        let Some(watchers) = self.slots.get_mut(slot) else { return };
        let before = watchers.len();
        watchers.retain(|watcher| match watcher.tell(changes) {
            Ok(waker) => {
                wakers.extend(waker);
                true
            }
            Err(cutoff::Gone) => false,
        });
        self.count -= before - watchers.len();
        if watchers.is_empty() {
            self.slots.remove(slot);
        }
    }

    /// Where a watcher with this filter is filed.
    pub(crate) fn slot_of(&self, filter: &Filter) -> Slot {
        match (&filter.scope, &filter.field) {
            (Scope::Key(key), _) => Slot::Key(key.as_str().into()),
            (_, Some((index, value))) if self.triggers.contains(index) => {
                Slot::Field(*index, value.as_str().into())
            }
            (Scope::Name(name), _) => Slot::Name(name.as_str().into()),
            (Scope::Namespace(namespace), _) => Slot::Namespace(namespace.as_str().into()),
            (Scope::All, _) => Slot::All,
        }
    }

    /// Every slot but `All` whose watchers may see the change, each once.
    fn slots_of(&self, change: &Change) -> Vec<Slot> {
        let entry = change.new.as_ref().or(change.old.as_ref());
        let Some(entry) = entry else { return Vec::new() };
        let mut slots = vec![
            Slot::Key((&**entry.key()).into()),
            Slot::Name(entry.name().into()),
            Slot::Namespace(entry.namespace().into()),
        ];
        for index in &self.triggers {
            for side in [&change.old, &change.new].into_iter().flatten() {
                let slot = Slot::Field(*index, side.facts().field(*index).into());
                if slots.last() != Some(&slot) {
                    slots.push(slot);
                }
            }
        }
        slots
    }
}

impl Watcher {
    fn tell(&self, changes: &[(u64, Arc<Change>)]) -> Result<Option<Waker>, cutoff::Gone> {
        match &self.tell {
            Tell::Wake(waker) => Ok(waker.lock().take()),
            Tell::Numbers { queue, from } => {
                queue.push_all(changes.iter().map(|(number, _)| *number).filter(|number| number >= from))
            }
        }
    }
}

impl Drop for Watcher {
    /// Whoever still listens finds out that nothing comes any more.
    fn drop(&mut self) {
        if let Tell::Wake(waker) = &self.tell
            && let Some(waker) = waker.lock().take()
        {
            waker.wake();
        }
    }
}
