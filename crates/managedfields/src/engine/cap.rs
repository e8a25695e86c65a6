//! A limit on how many managers an object remembers of updates. It must never forget a field.
// k8s: staging/src/k8s.io/apimachinery/pkg/util/managedfields/internal/capmanagers.go

use crate::entry::{Entry, Identity, Operation};

/// Update managers that an object has at most; older ones are put together.
const LIMIT_UPDATERS: usize = 10;
/// The manager of what older updates wrote.
const ANCIENT: &str = "ancient-changes";

/// Puts the oldest update entries of each version together while there are too many.
pub(super) fn cap(entries: &mut Vec<Entry>) {
    let mut updaters: Vec<(Option<Box<str>>, Identity)> =
        entries.iter().filter(|e| !e.is_applied()).map(|e| (e.time.clone(), e.id.clone())).collect();
    let mut count = updaters.len();
    if count <= LIMIT_UPDATERS {
        return;
    }
    updaters.sort();
    let mut first_of: Vec<(String, Identity)> = Vec::new();
    for (time, id) in updaters {
        if count <= LIMIT_UPDATERS {
            break;
        }
        let version = id.api_version.clone();
        let Some((_, first)) = first_of.iter().find(|(v, _)| *v == version) else {
            first_of.push((version, id));
            continue;
        };
        let bucket = Identity::new(ANCIENT, Operation::Update, &version, "");
        if entries.iter().all(|e| e.id != bucket)
            && let Some(entry) = entries.iter_mut().find(|e| e.id == *first)
        {
            entry.id = bucket.clone();
        }
        let Some(at) = entries.iter().position(|e| e.id == id) else { continue };
        if id == bucket {
            continue;
        }
        let merged = entries.remove(at);
        if let Some(entry) = entries.iter_mut().find(|e| e.id == bucket) {
            entry.set_fields(entry.fields().union(merged.fields()));
            // The later of both.
            entry.time = time;
        }
        count -= 1;
    }
}
