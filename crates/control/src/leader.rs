//! Leader election on a Lease: at most one of several equal processes acts.
//!
//! A holder that cannot renew in time stops by itself before another may take over. Clocks of different
//! machines are never compared: each candidate measures, on its own clock, how long the lease stays unchanged.
// k8s: staging/src/k8s.io/client-go/tools/leaderelection/leaderelection.go

use std::future::Future;
use std::time::Duration;

use client::Api;
use meta::{Gvr, Status};
use reconcile::ObjectMeta;
use reconcile::time::rfc3339_micro;
use serde::Deserialize;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::Context;

const LEASES: Gvr = Gvr::new("coordination.k8s.io", "v1", "leases");

/// Which lease, as whom, how long.
#[derive(Clone, Debug)]
pub struct Election {
    pub namespace: String,
    pub name: String,
    /// Must differ between candidates: host name and something random.
    pub identity: String,
    pub lease_duration: Duration,
    pub renew_deadline: Duration,
    pub retry_period: Duration,
}

impl Election {
    /// Upstream's times: 15 s, 10 s, 2 s.
    #[must_use]
    pub fn new(namespace: &str, name: &str, identity: &str) -> Self {
        Election {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            identity: identity.to_owned(),
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Lease {
    metadata: ObjectMeta,
    spec: LeaseSpec,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct LeaseSpec {
    holder_identity: Option<String>,
    lease_duration_seconds: Option<i64>,
    acquire_time: Option<String>,
    renew_time: Option<String>,
    lease_transitions: Option<i64>,
}

struct Candidate<'a> {
    ctx: &'a Context,
    election: &'a Election,
    /// The lease as last seen to change, and when that was (monotonic).
    observed: Option<(Lease, Duration)>,
}

/// Waits until this process is the leader, then runs `lead` and renews the lease. Returns when leadership is
/// lost (the token given to `lead` has been cancelled, and `lead` has ended or, after a retry period, was
/// dropped), when `lead` ends, or when the context is stopped; then the lease is released. True: leadership was lost
/// and may be sought again.
pub async fn elect<F, Fut>(ctx: &Context, election: &Election, lead: F) -> bool
where
    F: FnOnce(CancellationToken) -> Fut,
    Fut: Future<Output = ()>,
{
    let mut candidate = Candidate { ctx, election, observed: None };
    let mut last_error = String::new();
    loop {
        match candidate.try_hold().await {
            Ok(true) => break,
            Ok(false) => last_error.clear(),
            Err(e) => {
                if e.to_string() != last_error {
                    last_error = e.to_string();
                    tracing::warn!("lease {}/{}: {last_error}", election.namespace, election.name);
                }
            }
        }
        if !ctx.sleep(election.retry_period.mul_f64(1.0 + 0.2 * ctx.fraction())).await {
            return false;
        }
    }
    tracing::info!("{} leads {}/{}", election.identity, election.namespace, election.name);
    let token = ctx.stop.child_token();
    let lost = {
        let running = lead(token.clone());
        tokio::pin!(running);
        tokio::select! {
            () = &mut running => false,
            lost = candidate.keep() => {
                token.cancel();
                if lost {
                    // Another leads or will soon: what is on its way and has no answer is not waited for.
                    let _ = tokio::time::timeout(election.retry_period, running).await;
                } else {
                    running.await;
                }
                lost
            }
        }
    };
    if lost {
        tracing::error!("leadership of {}/{} was lost", election.namespace, election.name);
    } else if let Err(e) = candidate.release().await {
        tracing::warn!("releasing lease {}/{}: {e}", election.namespace, election.name);
    }
    lost
}

impl Candidate<'_> {
    /// Renews until that fails for too long (true) or it is time to stop (false).
    async fn keep(&mut self) -> bool {
        let mut renewed = self.ctx.clock.monotonic();
        loop {
            if !self.ctx.sleep(self.election.retry_period).await {
                return false;
            }
            let left = self
                .election
                .renew_deadline
                .saturating_sub(self.ctx.clock.monotonic().saturating_sub(renewed));
            let started = self.ctx.clock.monotonic();
            match tokio::time::timeout(left, self.try_hold()).await {
                Ok(Ok(true)) => renewed = started,
                Ok(Ok(false)) => return true,
                Ok(Err(e)) => tracing::warn!("renewing lease {}: {e}", self.election.name),
                Err(_) => return true,
            }
            if self.ctx.clock.monotonic().saturating_sub(renewed) >= self.election.renew_deadline {
                return true;
            }
        }
    }

    /// Takes or renews the lease. False: another holds it.
    async fn try_hold(&mut self) -> Result<bool, Status> {
        let api = Api::new(&*self.ctx.client, LEASES, &self.election.namespace);
        let lease: Lease = match api.get(&self.election.name).await {
            Ok(bytes) => parse(&bytes)?,
            Err(e) if e.code == 404 => {
                let body = self.body(&Lease::default());
                let created = api.create(body.to_string().into_bytes()).await?;
                self.observe(parse(&created)?);
                return Ok(true);
            }
            Err(e) => return Err(e),
        };
        self.observe(lease.clone());
        let holder = lease.spec.holder_identity.as_deref().unwrap_or("");
        if holder != self.election.identity && !holder.is_empty() && !self.run_out(&lease) {
            return Ok(false);
        }
        let body = self.body(&lease).to_string().into_bytes();
        match api.update(&self.election.name, "", body).await {
            Ok(bytes) => {
                self.observe(parse(&bytes)?);
                Ok(true)
            }
            Err(e) if e.is("Conflict") && holder != self.election.identity => Ok(false),
            Err(e) => Err(e),
        }
    }

    fn observe(&mut self, lease: Lease) {
        if self.observed.as_ref().is_none_or(|(l, _)| l.spec != lease.spec) {
            self.observed = Some((lease, self.ctx.clock.monotonic()));
        }
    }

    fn run_out(&self, lease: &Lease) -> bool {
        let seconds = lease.spec.lease_duration_seconds.unwrap_or(0).max(0).unsigned_abs();
        self.observed.as_ref().is_some_and(|(_, at)| {
            self.ctx.clock.monotonic().saturating_sub(*at) >= Duration::from_secs(seconds)
        })
    }

    fn body(&self, old: &Lease) -> serde_json::Value {
        let now = rfc3339_micro(self.ctx.now());
        let ours = old.spec.holder_identity.as_deref() == Some(&self.election.identity);
        let transitions = old.spec.lease_transitions.unwrap_or(0);
        let first = old.metadata.resource_version == 0;
        let mut metadata = json!({"name": self.election.name, "namespace": self.election.namespace});
        if !first {
            metadata["resourceVersion"] = old.metadata.resource_version.to_string().into();
            metadata["uid"] = (*old.metadata.uid).into();
        }
        let acquired = if ours { old.spec.acquire_time.clone() } else { None };
        json!({
            "kind": "Lease", "apiVersion": "coordination.k8s.io/v1", "metadata": metadata,
            "spec": {
                "holderIdentity": self.election.identity,
                "leaseDurationSeconds": self.election.lease_duration.as_secs(),
                "acquireTime": acquired.unwrap_or_else(|| now.clone()),
                "renewTime": now,
                "leaseTransitions": if ours || first { transitions } else { transitions + 1 },
            },
        })
    }

    /// Gives the lease up, so that the next candidate need not wait.
    async fn release(&self) -> Result<(), Status> {
        let api = Api::new(&*self.ctx.client, LEASES, &self.election.namespace);
        let lease: Lease = parse(&api.get(&self.election.name).await?)?;
        if lease.spec.holder_identity.as_deref() != Some(&self.election.identity) {
            return Ok(());
        }
        let mut body = self.body(&lease);
        body["spec"]["holderIdentity"] = "".into();
        body["spec"]["leaseDurationSeconds"] = 1.into();
        api.update(&self.election.name, "", body.to_string().into_bytes()).await?;
        Ok(())
    }
}

fn parse(bytes: &[u8]) -> Result<Lease, Status> {
    meta::json::read(bytes).map_err(|e| Status::internal(format!("a lease cannot be read: {e}")))
}
