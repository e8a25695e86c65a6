//! Cleaner: requests that are settled go after an hour, those that nobody has decided or signed after a day. Upstream's
//! looks once an hour and also takes what was issued for less than that and has ended.
// k8s: pkg/controller/certificates/cleaner/cleaner.go

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use reconcile::time::after;
use reconcile::{Action, Answers, Caches, Controller, Interests, Key, Plan};

use super::{REQUESTS, SigningRequest};

/// How long a certificate that was issued, and a refusal, can be fetched.
const SETTLED: Duration = Duration::from_secs(3600);
/// How long a request waits for a decision or a signature.
const PENDING: Duration = Duration::from_secs(24 * 3600);

/// The controller. Its keys are requests.
pub struct Cleaner;

/// When a request is to go.
fn end(r: &SigningRequest) -> Option<Timestamp> {
    let since = |kind: &str| {
        let condition = r.status.conditions.iter().find(|c| c.kind == kind)?;
        condition.last_update_time.or(r.metadata.creation_timestamp)
    };
    let approved = since("Approved");
    let issued = approved.filter(|_| !r.status.certificate.is_empty());
    if let Some(settled) = since("Denied").or_else(|| since("Failed")).or(issued) {
        return Some(after(settled, SETTLED));
    }
    // Somebody who has said something else may still decide.
    let undecided = r.metadata.creation_timestamp.filter(|_| r.status.conditions.is_empty());
    approved.or(undecided).map(|t| after(t, PENDING))
}

impl Controller for Cleaner {
    type State = Arc<SigningRequest>;
    type Memory = ();

    fn name(&self) -> &'static str {
        "certificatesigningrequest-cleaner-controller"
    }

    fn interests(&self, i: &mut Interests) {
        i.own::<SigningRequest>();
    }

    fn observe(&self, key: &Key, caches: &Caches, _: &Answers) -> Option<Self::State> {
        caches.kind::<SigningRequest>().by_key(key).cloned()
    }

    fn reconcile(&self, r: &Self::State, _: &mut (), now: Timestamp) -> Plan {
        match end(r) {
            Some(end) if end <= now => Plan::of(vec![Action::delete(REQUESTS, &r.metadata)]),
            Some(end) => Plan::at(end),
            None => Plan::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settled_requests_go_sooner() {
        let cases: [(&[&str], &str, Option<&str>); 6] = [
            (&[], "", Some("2026-01-02T00:00:00Z")),
            (&["Approved"], "", Some("2026-01-02T00:30:00Z")),
            (&["Approved"], "eA==", Some("2026-01-01T01:30:00Z")),
            (&["Denied"], "", Some("2026-01-01T01:30:00Z")),
            (&["Approved", "Failed"], "", Some("2026-01-01T01:30:00Z")),
            (&["Other"], "", None),
        ];
        for (conditions, certificate, want) in cases {
            let listed: Vec<_> = conditions
                .iter()
                .map(|c| json!({"type": c, "lastUpdateTime": "2026-01-01T00:30:00Z"}))
                .collect();
            let request = json!({"metadata": {"name": "r", "creationTimestamp": "2026-01-01T00:00:00Z"},
                "status": {"certificate": certificate, "conditions": listed}});
            let r: Arc<SigningRequest> = Arc::new(serde_json::from_value(request).unwrap());
            let Some(want) = want.map(|t| t.parse::<Timestamp>().unwrap()) else {
                assert_eq!(Cleaner.reconcile(&r, &mut (), Timestamp::MAX), Plan::default(), "{conditions:?}");
                continue;
            };
            let early = Cleaner.reconcile(&r, &mut (), Timestamp::UNIX_EPOCH);
            assert_eq!(early, Plan::at(want), "{conditions:?}");
            assert_eq!(Cleaner.reconcile(&r, &mut (), want).actions().count(), 1, "{conditions:?}");
        }
    }
}
