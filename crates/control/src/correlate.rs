//! Turns a stream of event records into few Event writes: the same thing again counts up one object, many
//! similar ones are combined, and one object may not be the source of a flood.
// k8s: staging/src/k8s.io/client-go/tools/record/events_cache.go

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;
use reconcile::time::{rfc3339, seconds_between};
use reconcile::{Bucket, EventRecord, ObjectReference};
use serde_json::json;

/// Entries kept in each of the memories.
const MEMORY: usize = 4096;
/// Different messages of one kind and object after which they are combined.
const SIMILAR: usize = 10;
const SIMILAR_WINDOW: Duration = Duration::from_secs(600);
/// Events of one source about one object: so many at once, then one in five minutes.
const SPAM_BURST: f64 = 25.0;
const SPAM_PER_SECOND: f64 = 1.0 / 300.0;

/// What to write.
#[derive(Debug, PartialEq)]
pub(crate) struct EventWrite {
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// A merge patch for the object that is there already; without it, create.
    pub(crate) patch: Option<serde_json::Value>,
    pub(crate) create: serde_json::Value,
}

type Similar = (String, ObjectReference, &'static str, &'static str);

struct Known {
    name: String,
    count: u64,
    first: Timestamp,
}

struct Group {
    messages: Vec<String>,
    last: Timestamp,
}

/// A map that forgets its oldest entries.
struct Memory<K, V> {
    entries: BTreeMap<K, V>,
    order: VecDeque<K>,
}

impl<K: Ord + Clone, V> Memory<K, V> {
    fn new() -> Self {
        Memory { entries: BTreeMap::new(), order: VecDeque::new() }
    }

    fn entry(&mut self, key: &K, make: impl FnOnce() -> V) -> &mut V {
        if !self.entries.contains_key(key) {
            self.order.push_back(key.clone());
            if self.order.len() > MEMORY
                && let Some(oldest) = self.order.pop_front()
            {
                self.entries.remove(&oldest);
            }
        }
        self.entries.entry(key.clone()).or_insert_with(make)
    }
}

pub(crate) struct Correlator {
    spam: Memory<(String, ObjectReference), Bucket>,
    similar: Memory<Similar, Group>,
    known: Memory<(Similar, String), Known>,
}

impl Correlator {
    pub(crate) fn new() -> Self {
        Correlator { spam: Memory::new(), similar: Memory::new(), known: Memory::new() }
    }

    /// What to write for a record, `None` when there is too much of it.
    pub(crate) fn correlate(
        &mut self,
        component: &str,
        host: &str,
        record: &EventRecord,
        now: Timestamp,
    ) -> Option<EventWrite> {
        let mut about = record.regarding.clone();
        about.resource_version.clear();
        let similar: Similar = (component.to_owned(), about.clone(), record.kind.as_str(), record.reason);
        let message = self.combined(&similar, &record.message, now);
        let spam = (component.to_owned(), about);
        if !self.spam.entry(&spam, || Bucket::new(SPAM_PER_SECOND, SPAM_BURST)).try_take(now) {
            return None;
        }
        let fresh = || Known {
            name: format!("{}.{:x}", record.regarding.name, now.as_nanosecond()),
            count: 0,
            first: now,
        };
        let known = self.known.entry(&(similar, message.clone()), fresh);
        known.count += 1;
        let namespace = match record.regarding.namespace.as_str() {
            "" => "default",
            ns => ns,
        };
        let patch = (known.count > 1)
            .then(|| json!({"count": known.count, "lastTimestamp": rfc3339(now), "message": message}));
        let mut source = json!({"component": component});
        if !host.is_empty() {
            source["host"] = host.into();
        }
        let create = json!({
            "kind": "Event", "apiVersion": "v1",
            "metadata": {"name": known.name, "namespace": namespace},
            "involvedObject": record.regarding,
            "reason": record.reason, "message": message, "source": source,
            "firstTimestamp": rfc3339(known.first), "lastTimestamp": rfc3339(now),
            "count": known.count, "type": record.kind.as_str(),
            "reportingComponent": component, "reportingInstance": host,
        });
        Some(EventWrite { namespace: namespace.to_owned(), name: known.name.clone(), patch, create })
    }

    /// The message, or the common one when there were too many different ones lately.
    fn combined(&mut self, similar: &Similar, message: &str, now: Timestamp) -> String {
        let group = self.similar.entry(similar, || Group { messages: Vec::new(), last: now });
        if seconds_between(group.last, now) > SIMILAR_WINDOW.as_secs_f64() {
            group.messages.clear();
        }
        group.last = now;
        if !group.messages.iter().any(|m| m == message) {
            if group.messages.len() >= SIMILAR {
                return "(combined from similar events): ".to_owned() + message;
            }
            group.messages.push(message.to_owned());
        }
        message.to_owned()
    }

    /// The object is no longer there: the next record makes a new one.
    pub(crate) fn forget(&mut self, name: &str) {
        self.known.entries.retain(|_, k| k.name != name);
        let entries = &self.known.entries;
        self.known.order.retain(|k| entries.contains_key(k));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(message: &str) -> EventRecord {
        let regarding = ObjectReference {
            kind: "Pod".into(),
            namespace: "n".into(),
            name: "p".into(),
            ..Default::default()
        };
        EventRecord::normal(regarding, "Pulled", message)
    }

    #[test]
    fn the_same_again_counts_up() {
        let mut c = Correlator::new();
        let t = Timestamp::from_second(100).unwrap();
        let first = c.correlate("kubelet", "h", &record("a"), t).unwrap();
        assert_eq!(first.patch, None);
        assert_eq!(first.create["count"], 1);
        let second = c.correlate("kubelet", "h", &record("a"), t).unwrap();
        assert_eq!(second.name, first.name);
        assert_eq!(second.patch.unwrap()["count"], 2);
        c.forget(&first.name);
        assert_eq!(c.correlate("kubelet", "h", &record("a"), t).unwrap().patch, None);
    }

    #[test]
    fn a_flood_is_combined_then_cut_off() {
        let mut c = Correlator::new();
        let t = Timestamp::from_second(100).unwrap();
        let writes: Vec<_> =
            (0..40).map(|i| c.correlate("kubelet", "h", &record(&format!("m{i}")), t)).collect();
        assert_eq!(writes.iter().flatten().count(), 25);
        let eleventh = writes[10].as_ref().unwrap();
        assert_eq!(eleventh.create["message"], "(combined from similar events): m10");
    }
}
