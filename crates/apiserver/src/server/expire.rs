//! Events live for an hour after they last happened, and the watch cache gives back what has become too old. The
//! binary calls [`Server::tick`] now and then; nothing here waits or reads a clock.

use jiff::Timestamp;
use serde::Deserialize;
use store::{Op, Txn};
use watchcache::{Entry, RevisionMatch};

use super::Server;
use crate::storage::peek;

/// Most events removed in one transaction.
const BATCH: usize = 100;
/// Most events removed by one tick.
const LIMIT_PER_TICK: usize = 10_000;

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Event {
    metadata: Created,
    last_timestamp: Option<String>,
    event_time: Option<String>,
    series: Option<Series>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Created {
    creation_timestamp: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Series {
    last_observed_time: Option<String>,
}

/// When an event last happened. What its sender says lies in the future does not count: it would never go.
fn last_happened(object: &[u8], now: Timestamp) -> Option<Timestamp> {
    let e = peek::project::<Event>(object);
    let times = [
        e.metadata.creation_timestamp,
        e.last_timestamp,
        e.event_time,
        e.series.and_then(|s| s.last_observed_time),
    ];
    times.iter().flatten().filter_map(|t| meta::time::parse(t)).filter(|t| *t <= now).max()
}

impl Server {
    /// Does what is due at `now`: removes old events and what the watch cache keeps of the past, and mends the
    /// addresses of Services. Says how many events.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn tick(&self, now: Timestamp) -> Result<usize, store::Error> {
        self.state.cache.tidy();
        let Ok(registry) = self.state.registry() else { return Ok(0) };
        self.mend_addresses(now).await;
        let Some(events) = registry.get("", "v1", "events") else { return Ok(0) };
        let Ok(snapshot) = events.cache.list(RevisionMatch::Any) else { return Ok(0) };
        let oldest = now.checked_sub(self.event_ttl).unwrap_or(Timestamp::MIN);
        let is_old =
            |e: &&std::sync::Arc<Entry>| last_happened(e.object_bytes(), now).is_some_and(|t| t < oldest);
        let old: Vec<_> = snapshot.iter(&events.prefix, None).filter(is_old).take(LIMIT_PER_TICK).collect();
        let mut removed = 0;
        for batch in old.chunks(BATCH) {
            let txn = Txn {
                compares: batch.iter().map(|e| (e.key().clone(), e.mod_revision())).collect(),
                ops: batch.iter().map(|e| Op::Delete { key: e.key().clone() }).collect(),
                ..Txn::default()
            };
            // An event that changed meanwhile keeps its batch for the next tick.
            if matches!(self.state.store.txn(txn).await?, store::Outcome::Committed { .. }) {
                removed += batch.len();
            }
        }
        Ok(removed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_time_that_is_not_in_the_future_counts() {
        let now: Timestamp = "2026-01-02T12:00:00Z".parse().unwrap();
        let created = r#""metadata":{"creationTimestamp":"2026-01-02T10:00:00Z"}"#;
        let cases = [
            ("", Some("2026-01-02T10:00:00Z")),
            (r#","lastTimestamp":"2026-01-02T11:00:00Z""#, Some("2026-01-02T11:00:00Z")),
            (r#","eventTime":"2026-01-02T11:30:00.000001Z""#, Some("2026-01-02T11:30:00.000001Z")),
            (r#","series":{"lastObservedTime":"2026-01-02T11:40:00Z"}"#, Some("2026-01-02T11:40:00Z")),
            (r#","lastTimestamp":"2099-01-02T11:00:00Z""#, Some("2026-01-02T10:00:00Z")),
            (r#","lastTimestamp":"soon""#, Some("2026-01-02T10:00:00Z")),
        ];
        for (more, want) in cases {
            let event = format!("{{{created}{more}}}");
            let want = want.map(|t| t.parse().unwrap());
            assert_eq!(last_happened(event.as_bytes(), now), want, "{event}");
        }
        assert_eq!(last_happened(b"{}", now), None);
    }
}
