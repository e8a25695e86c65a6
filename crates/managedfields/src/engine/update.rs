//! Writes that say what the object becomes: create, update, the other patches. It must never refuse one.
// k8s: staging/src/k8s.io/apimachinery/pkg/util/managedfields/internal/fieldmanager.go Update, managedfieldsupdater.go

use schema::Value;

use super::{Engine, cap, managed_of, put, read_or_none, strip};
use crate::entry::{self, Entry, Identity, Operation};
use crate::place::Zeros;

impl Engine<'_> {
    /// Sets the managed fields of `new`, which a manager makes of `live` (empty when it is created). Both have their
    /// defaults. What `new` says of managed fields counts, unless it is written as part of a subresource.
    pub fn update(&self, live: &Value, new: &mut Value, manager: &str) {
        let given = new.remove_at(&["metadata", "managedFields"]);
        let mut entries = if !self.subresource.is_empty() {
            read_or_none(managed_of(live))
        } else if entry::is_reset(given.as_ref()) {
            Vec::new()
        } else {
            match entry::read(given.as_ref()) {
                Ok(entries) if !entries.is_empty() => entries,
                _ => read_or_none(managed_of(live)),
            }
        };
        // Objects that are not tracked begin to be when they are applied.
        if entries.is_empty() && !live.str_at(&["metadata", "uid"]).is_empty() {
            return;
        }
        match self.track(live, new, &mut entries, manager) {
            Ok(()) => put(new, entry::write(entries)),
            // The object cannot be looked through (elements of a list without their keys): as it was.
            Err(_) => put(new, managed_of(live).cloned()),
        }
    }

    pub(super) fn track(
        &self,
        live: &Value,
        new: &Value,
        entries: &mut Vec<Entry>,
        manager: &str,
    ) -> Result<(), String> {
        let mut seen = self.seen(live, new, Zeros::Written, entries)?;
        Self::reconcile(entries, &seen);
        self.settle(entries, &seen, None, true).map_err(|_| "conflicts of a forced write".to_owned())?;
        let own = seen.swap_remove(0);
        let Some((diff, _)) = own.diff else { return Ok(()) };
        let mut set = if diff.modified.is_empty() { diff.added } else { diff.modified.union(&diff.added) };
        strip(&mut set);
        if !set.is_empty() {
            let id = Identity::new(manager, Operation::Update, &own.api_version, self.subresource);
            let time = Some(Box::from(self.now));
            match entries.iter_mut().find(|e| e.id == id) {
                Some(entry) => {
                    let whole = entry.fields().union(&set);
                    if whole != *entry.fields() {
                        entry.set_fields(whole);
                    }
                    entry.time = time;
                }
                None => entries.push(Entry::new(id, &own.api_version, time, set)),
            }
        }
        cap::cap(entries);
        Ok(())
    }
}
