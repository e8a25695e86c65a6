//! The certificate of the node agent's HTTPS server: asked for as the node, once the Node says that the names are
//! its own. A certificate that nears its end is asked for again at the next start.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::Result;
use client::Api;
use control::Context;
use jiff::Timestamp;
use meta::Gvr;
use serde_json::Value;

use super::request::{NODES_GROUP, Wish, certificate, own_key};
use crate::node::TlsFiles;
use crate::whole_file;

const NODES: Gvr = Gvr::new("", "v1", "nodes");
const RETRY: Duration = Duration::from_secs(5);
const NODE_POLL: Duration = Duration::from_millis(300);
/// A certificate with less than this left is asked for again.
const RENEW_BEFORE_S: i64 = 120 * 24 * 3600;

/// The certificate of the node agent's HTTPS server, signed by the cluster.
pub struct Serving {
    pub tls: TlsFiles,
    pub node: String,
    pub ip: IpAddr,
    /// DNS names and addresses.
    pub names: Vec<String>,
}

impl Serving {
    /// Removes a certificate that has (nearly) ended or is for other names.
    pub fn drop_unfit(&self, now: Timestamp) {
        let mut names = self.names.clone();
        names.sort();
        names.dedup();
        let fits = std::fs::read_to_string(&self.tls.cert)
            .ok()
            .and_then(|pem| wire::pki::facts(&pem).ok())
            .is_some_and(|f| f.names == names && f.not_after.as_second() - now.as_second() > RENEW_BEFORE_S);
        if !fits {
            let _ = std::fs::remove_file(&self.tls.cert);
        }
    }

    /// Asks until there is a certificate; the HTTPS server waits for its file.
    pub async fn run(&self, ctx: &Context) {
        while !self.tls.cert.exists() {
            match self.ask(ctx).await {
                Ok(()) => return,
                Err(e) => tracing::warn!(
                    "the serving certificate, without which there are no logs and no exec: {e:#}"
                ),
            }
            if !ctx.sleep(RETRY).await {
                return;
            }
        }
    }

    async fn ask(&self, ctx: &Context) -> Result<()> {
        // It is granted when its names are in the Node's status, which the node agent writes first.
        while !self.is_registered(ctx).await {
            if !ctx.sleep(NODE_POLL).await {
                return Ok(());
            }
        }
        let key = own_key(&self.tls.key)?;
        let signer = "kubernetes.io/kubelet-serving";
        let user = format!("system:node:{}", self.node);
        let wish = Wish {
            key_pem: &key,
            user: &user,
            organization: NODES_GROUP,
            names: &self.names,
            signer,
            usage: "server auth",
        };
        if let Some(cert) = certificate(ctx, &wish).await? {
            whole_file::write(&self.tls.cert, cert.as_bytes())?;
        }
        Ok(())
    }

    async fn is_registered(&self, ctx: &Context) -> bool {
        let Ok(bytes) = Api::new(ctx.client.as_ref(), NODES, "").get(&self.node).await else { return false };
        let node: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let addresses = node["status"]["addresses"].as_array().cloned().unwrap_or_default();
        addresses.iter().any(|a| a["address"].as_str() == Some(self.ip.to_string().as_str()))
    }
}
