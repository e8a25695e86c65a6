//! Renews the node's client certificate when four fifths of its life are over, as long as the control plane can
//! be asked; requests go on with the old one until then. The key stays.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Result, anyhow};
use client::Client;
use control::Context;
use jiff::{SignedDuration, Timestamp};
use meta::{BoxFuture, Request, Response, Status};
use wire::pki::Facts;

use super::credentials::Credentials;

/// The longest time between two looks at the clock, and between two tries.
const LOOK: Duration = Duration::from_secs(3600);

/// A client that can be replaced while it is used.
pub struct Swap(RwLock<Arc<dyn Client>>);

impl Swap {
    /// Begins with this one.
    #[must_use]
    pub fn new(client: Arc<dyn Client>) -> Self {
        Swap(RwLock::new(client))
    }

    fn current(&self) -> Arc<dyn Client> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn replace(&self, client: Arc<dyn Client>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = client;
    }
}

impl Client for Swap {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, Status>> {
        let client = self.current();
        Box::pin(async move { client.send(request).await })
    }
}

/// When a certificate is to be renewed.
fn due(facts: &Facts) -> Timestamp {
    let life = facts.not_after.duration_since(facts.not_before);
    facts.not_before.checked_add(SignedDuration::from_secs(life.as_secs() / 5 * 4)).unwrap_or(facts.not_after)
}

/// Looks after the certificate until the context is stopped.
pub async fn run(ctx: &Context, credentials: &Credentials, swap: &Swap) {
    loop {
        let wait = match step(ctx, credentials, swap).await {
            Ok(wait) => wait,
            Err(e) => {
                tracing::warn!("renewing the node's certificate: {e:#}");
                LOOK
            }
        };
        if !ctx.sleep(wait).await {
            return;
        }
    }
}

/// Renews the certificate if it is time; how long to wait then.
async fn step(ctx: &Context, credentials: &Credentials, swap: &Swap) -> Result<Duration> {
    let facts = wire::pki::facts(&credentials.certificate()?).map_err(|e| anyhow!(e))?;
    let left = due(&facts).duration_since(ctx.now());
    if left.is_positive() {
        return Ok(Duration::try_from(left)?.min(LOOK));
    }
    if credentials.renew(ctx).await? {
        swap.replace(credentials.client()?);
        tracing::info!("the node's certificate is renewed");
    }
    Ok(LOOK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_after_four_fifths() {
        let time = |t: &str| -> Timestamp { t.parse().unwrap() };
        let facts = Facts {
            common_name: String::new(),
            organization: String::new(),
            names: Vec::new(),
            not_before: time("2026-01-01T00:00:00Z"),
            not_after: time("2026-01-11T00:00:00Z"),
            public_key: Vec::new(),
            subject_key_id: Vec::new(),
            authority_key_id: Vec::new(),
        };
        assert_eq!(due(&facts), time("2026-01-09T00:00:00Z"));
    }
}
