//! The node's pod network: waits for its pod CIDR and writes the CNI configuration, and looks from time to time whether
//! all is still there.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;

use crate::run::Shared;

/// How often it is looked whether others took something away.
const LOOK: Duration = Duration::from_secs(30);

/// What was configured, and why not.
#[derive(Default)]
pub(crate) struct Network {
    done: Mutex<Vec<String>>,
    /// When all was there (monotonic).
    seen: Mutex<Duration>,
    pub error: Mutex<Option<String>>,
}

impl Network {
    /// Brings the network up for the CIDRs of the Node object, when they are new, and mends it later.
    pub async fn take(&self, shared: &Arc<Shared>, node: &Value) {
        if !shared.config.manage_cni {
            return;
        }
        let mut cidrs: Vec<String> = node["spec"]["podCIDRs"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|v| v.as_str().map(str::to_owned))
            .collect();
        if cidrs.is_empty() {
            cidrs.extend(node["spec"]["podCIDR"].as_str().filter(|c| !c.is_empty()).map(str::to_owned));
        }
        if cidrs.is_empty() {
            *self.error.lock() = Some("the node has no pod CIDR yet".to_owned());
            return;
        }
        let now = shared.ctx.clock.monotonic();
        let is_done = *self.done.lock() == cidrs;
        if is_done && now.saturating_sub(*self.seen.lock()) < LOOK {
            return;
        }
        let c = &shared.config;
        let options = network::Options {
            bridge: c.cni_bridge.clone(),
            pod_cidrs: cidrs.clone(),
            mtu: (c.cni_mtu > 0).then_some(c.cni_mtu),
            conf_dir: c.cni_conf_dir.clone(),
            data_dir: c.root_dir.join("cni"),
            bin_dir: c.cni_bin_dir.clone(),
            masquerade: true,
            cluster_cidrs: c.cluster_cidrs.clone(),
            netns: c.netns.clone(),
        };
        match network::up(&options).await {
            Ok(mended) if is_done => {
                if !mended.is_empty() {
                    tracing::warn!(
                        "of the pod network was changed by others, and is mended: {}",
                        mended.join(", ")
                    );
                }
                *self.seen.lock() = now;
                *self.error.lock() = None;
            }
            Ok(_) => {
                tracing::info!("pod network is up: {}", cidrs.join(","));
                // Runtimes that template their own configuration want to know; others do not mind.
                let _ = shared.runtime.update_runtime_config(&cidrs.join(",")).await;
                *self.done.lock() = cidrs;
                *self.seen.lock() = now;
                *self.error.lock() = None;
            }
            Err(e) => {
                tracing::warn!("pod network: {e}");
                *self.error.lock() = Some(e.to_string());
            }
        }
    }
}
