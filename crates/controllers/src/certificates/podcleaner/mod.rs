//! Cleaner of pods' certificate requests: whoever made one has its answer, or asks anew.
// k8s: pkg/controller/certificates/cleaner/pcrcleaner.go

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use meta::Gvr;
use reconcile::time::after;
use reconcile::{Action, Answers, Caches, Controller, Interests, Key, ObjectMeta, Plan, Projection};
use serde::Deserialize;

/// `podcertificaterequests`.
pub const REQUESTS: Gvr = Gvr::new("certificates.k8s.io", "v1", "podcertificaterequests");
/// How long a request stays, whatever has become of it.
const LIFE: Duration = Duration::from_secs(15 * 60);

/// A request as far as it matters.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PodRequest {
    pub metadata: ObjectMeta,
}

impl Projection for PodRequest {
    const GVR: Gvr = REQUESTS;

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}

/// The controller. Its keys are requests.
pub struct PodRequestCleaner;

impl Controller for PodRequestCleaner {
    type State = Arc<PodRequest>;
    type Memory = ();

    fn name(&self) -> &'static str {
        "podcertificaterequest-cleaner-controller"
    }

    fn interests(&self, i: &mut Interests) {
        i.own::<PodRequest>();
    }

    fn observe(&self, key: &Key, caches: &Caches, _: &Answers) -> Option<Self::State> {
        caches.kind::<PodRequest>().by_key(key).cloned()
    }

    fn reconcile(&self, r: &Self::State, _: &mut (), now: Timestamp) -> Plan {
        match r.metadata.creation_timestamp.map(|t| after(t, LIFE)) {
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
    fn requests_go_after_a_quarter_of_an_hour() {
        let request = json!({"metadata": {"name": "r", "creationTimestamp": "2026-01-01T00:00:00Z"}});
        let r: Arc<PodRequest> = Arc::new(serde_json::from_value(request).unwrap());
        let at = |t: &str| format!("2026-01-01T{t}Z").parse::<Timestamp>().unwrap();
        let end = at("00:15:00");
        assert_eq!(PodRequestCleaner.reconcile(&r, &mut (), at("00:14:59")), Plan::at(end));
        let plan = PodRequestCleaner.reconcile(&r, &mut (), end);
        assert_eq!(plan, Plan::of(vec![Action::delete(REQUESTS, &r.metadata)]));
    }
}
