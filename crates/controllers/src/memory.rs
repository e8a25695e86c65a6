//! What a controller remembers of a key between decisions, where no object says it: when it first saw something. It
//! goes with the process; a controller must come to the same end, only later, when it has forgotten.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use reconcile::Key;

/// One `T` for each key that there is.
#[derive(Debug)]
pub(crate) struct Memory<T>(Mutex<BTreeMap<Key, T>>);

impl<T> Default for Memory<T> {
    fn default() -> Self {
        Memory(Mutex::new(BTreeMap::new()))
    }
}

impl<T: Default> Memory<T> {
    /// Lets `f` see and change what is remembered of a key; nothing yet: the default.
    pub(crate) fn with<R>(&self, key: Key, f: impl FnOnce(&mut T) -> R) -> R {
        f(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default())
    }

    /// Forgets a key that is gone.
    pub(crate) fn forget(&self, key: &Key) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}
