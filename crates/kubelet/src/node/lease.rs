//! The node's Lease: the cheap heartbeat.
// k8s: staging/src/k8s.io/component-helpers/apimachinery/lease/controller.go

use std::sync::Arc;
use std::time::Duration;

use client::Api;
use meta::Gvr;
use serde_json::{Value, json};

use crate::run::Shared;

const LEASES: Gvr = Gvr::new("coordination.k8s.io", "v1", "leases");
const NAMESPACE: &str = "kube-node-lease";
const DURATION_SECONDS: u32 = 40;
const PERIOD: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(500);

/// Renews until the agent stops. `uid` is the Node's, once it is registered.
pub(crate) async fn run(shared: Arc<Shared>, uid: tokio::sync::watch::Receiver<String>) {
    let mut held: Option<Value> = None;
    loop {
        let owner = uid.borrow().clone();
        let wait = if owner.is_empty() {
            RETRY
        } else {
            match renew(&shared, held.take(), &owner).await {
                Ok(lease) => {
                    held = Some(lease);
                    PERIOD
                }
                Err(e) => {
                    tracing::debug!("lease not renewed: {e}");
                    RETRY * 4
                }
            }
        };
        if !shared.ctx.sleep(wait).await {
            return;
        }
    }
}

async fn renew(shared: &Shared, held: Option<Value>, owner: &str) -> Result<Value, meta::Status> {
    let name = &shared.config.node_name;
    let api = Api::new(shared.ctx.client.as_ref(), LEASES, NAMESPACE);
    let now = shared.ctx.now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
    let parse = |b: bytes::Bytes| {
        serde_json::from_slice::<Value>(&b).map_err(|e| meta::Status::internal(e.to_string()))
    };
    let mut lease = match held {
        Some(l) => l,
        None => match api.get(name).await {
            Ok(b) => parse(b)?,
            Err(s) if s.code == 404 => {
                let fresh = json!({
                    "kind": "Lease", "apiVersion": "coordination.k8s.io/v1",
                    "metadata": {"name": name, "namespace": NAMESPACE, "ownerReferences": [
                        {"apiVersion": "v1", "kind": "Node", "name": name, "uid": owner}]},
                    "spec": {"holderIdentity": name, "leaseDurationSeconds": DURATION_SECONDS, "renewTime": now},
                });
                return parse(api.create(fresh.to_string().into_bytes()).await?);
            }
            Err(s) => return Err(s),
        },
    };
    lease["spec"]["holderIdentity"] = name.as_str().into();
    lease["spec"]["leaseDurationSeconds"] = DURATION_SECONDS.into();
    lease["spec"]["renewTime"] = now.into();
    parse(api.update(name, "", lease.to_string().into_bytes()).await?)
}
