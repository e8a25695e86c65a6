//! Service account tokens of projected volumes, renewed before they expire.
// k8s: pkg/kubelet/token/token_manager.go

use std::collections::BTreeMap;
use std::sync::Arc;

use client::{Api, Client};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, ServiceAccountTokenProjection};
use meta::Gvr;
use parking_lot::Mutex;
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::spec::PodExt;

const ACCOUNTS: Gvr = Gvr::new("", "v1", "serviceaccounts");
const MAX_AGE: SignedDuration = SignedDuration::from_hours(24);

#[derive(Clone)]
struct Held {
    token: String,
    issued: Timestamp,
    expires: Timestamp,
}

/// Asks for tokens and keeps them while they are fresh.
pub struct Tokens {
    client: Arc<dyn Client>,
    held: Mutex<BTreeMap<(String, String), Held>>,
}

#[derive(Deserialize)]
struct Answer {
    status: AnswerStatus,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnswerStatus {
    token: String,
    expiration_timestamp: Timestamp,
}

/// Whether a token should be replaced: past 80 % of its life, or older than a day.
#[must_use]
pub fn due(issued: Timestamp, expires: Timestamp, now: Timestamp) -> bool {
    let life = expires.duration_since(issued);
    let age = now.duration_since(issued);
    age > MAX_AGE || age.as_secs() * 5 >= life.as_secs() * 4
}

impl Tokens {
    /// Nothing held.
    pub fn new(client: Arc<dyn Client>) -> Self {
        Tokens { client, held: Mutex::new(BTreeMap::new()) }
    }

    /// The token of a projection, new or still fresh.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn get(&self, pod: &Pod, p: &ServiceAccountTokenProjection, now: Timestamp) -> Result<String> {
        let audience = p.audience.clone().unwrap_or_default();
        let seconds = p.expiration_seconds.unwrap_or(3600);
        let key = (pod.uid().to_owned(), format!("{audience}/{seconds}"));
        if let Some(h) = self.held.lock().get(&key).filter(|h| !due(h.issued, h.expires, now)) {
            return Ok(h.token.clone());
        }
        let account = pod.sp().service_account_name.as_deref().filter(|s| !s.is_empty()).unwrap_or("default");
        let audiences: Vec<&str> = if audience.is_empty() { vec![] } else { vec![&audience] };
        let body = serde_json::json!({
            "kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "metadata": {},
            "spec": {
                "audiences": audiences, "expirationSeconds": seconds,
                "boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": pod.nm(), "uid": pod.uid()},
            },
        });
        let api = Api::new(self.client.as_ref(), ACCOUNTS, pod.ns());
        let fail = |e: String| Error::Volume(format!("failed to fetch token: {e}"));
        let answer = api
            .create_subresource(account, "token", body.to_string().into_bytes())
            .await
            .map_err(|s| fail(s.message))?;
        let a: Answer = serde_json::from_slice(&answer).map_err(|e| fail(e.to_string()))?;
        let held =
            Held { token: a.status.token.clone(), issued: now, expires: a.status.expiration_timestamp };
        self.held.lock().insert(key, held);
        Ok(a.status.token)
    }

    /// Forgets a pod's tokens.
    pub fn forget(&self, uid: &str) {
        self.held.lock().retain(|(u, _), _| u != uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewal_at_80_percent_or_a_day() {
        let at = |s| Timestamp::from_second(s).unwrap();
        let cases = [
            (3600, 0, false),
            (3600, 2879, false),
            (3600, 2880, true),
            (864_000, 86_399, false),
            (864_000, 86_401, true),
        ];
        for (life, age, want) in cases {
            assert_eq!(due(at(1000), at(1000 + life), at(1000 + age)), want, "{life} {age}");
        }
    }
}
