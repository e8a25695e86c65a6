//! Gets the client certificates that a machine does not have yet, and renews those it has when four fifths of their
//! life are over, as long as the control plane can be asked; requests go on with the old one until then, and wait
//! where there was none. The keys stay.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use client::Client;
use control::Context;
use jiff::{SignedDuration, Timestamp};
use meta::{BoxFuture, Request, Response, Status};
use tokio::sync::watch;
use wire::pki::Facts;

use super::credentials::Credentials;

/// The longest time between two looks at the clock, and between two tries.
const LOOK: Duration = Duration::from_secs(3600);

/// The time between two tries when there is no certificate that could be used.
const RETRY: Duration = Duration::from_secs(1);

/// A client that can be replaced while it is used. Until the first is there, requests wait for it.
pub struct Swap(watch::Sender<Option<Arc<dyn Client>>>);

impl Default for Swap {
    fn default() -> Self {
        Swap(watch::Sender::new(None))
    }
}

impl Swap {
    async fn current(&self) -> Result<Arc<dyn Client>, Status> {
        let mut clients = self.0.subscribe();
        let found = clients.wait_for(Option::is_some).await.ok().and_then(|found| (*found).clone());
        found.ok_or_else(|| Status::unavailable("there is no client certificate"))
    }

    pub(super) fn replace(&self, client: Arc<dyn Client>) {
        self.0.send_replace(Some(client));
    }
}

impl Client for Swap {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, Status>> {
        Box::pin(async move { self.current().await?.send(request).await })
    }
}

/// When a certificate is to be renewed.
fn due(facts: &Facts) -> Timestamp {
    let life = facts.not_after.duration_since(facts.not_before);
    facts.not_before.checked_add(SignedDuration::from_secs(life.as_secs() / 5 * 4)).unwrap_or(facts.not_after)
}

/// Looks after the certificate until the context is stopped.
pub async fn run(ctx: &Context, credentials: &Credentials, swap: &Swap) {
    if let (Ok(Some(_)), Ok(client)) = (credentials.certificate(), credentials.client()) {
        swap.replace(client);
    }
    loop {
        let wait = match step(ctx, credentials, swap).await {
            Ok(wait) => wait,
            Err(e) => {
                tracing::warn!("renewing the client certificate of {}: {e:#}", credentials.part.name());
                if is_usable(ctx, credentials) { LOOK } else { RETRY }
            }
        };
        if !ctx.sleep(wait).await {
            return;
        }
    }
}

fn facts(credentials: &Credentials) -> Result<Option<Facts>> {
    credentials.certificate()?.map(|pem| wire::pki::facts(&pem).map_err(|e| anyhow!(e))).transpose()
}

fn is_usable(ctx: &Context, credentials: &Credentials) -> bool {
    matches!(facts(credentials), Ok(Some(facts)) if ctx.now() < facts.not_after)
}

/// Renews the certificate if it is time; how long to wait then.
async fn step(ctx: &Context, credentials: &Credentials, swap: &Swap) -> Result<Duration> {
    // One that cannot be read is as good as none.
    if let Ok(Some(facts)) = facts(credentials) {
        let left = due(&facts).duration_since(ctx.now());
        if left.is_positive() {
            return Ok(Duration::try_from(left)?.min(LOOK));
        }
    }
    if credentials.renew(ctx).await? {
        swap.replace(credentials.client()?);
        tracing::info!("the client certificate of {} is new", credentials.part.name());
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
