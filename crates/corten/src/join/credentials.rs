//! The credentials of a machine that has joined, in its state directory, and what the control plane has said with them.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use client::{Client, Kubeconfig};
use control::Context;
use serde::{Deserialize, Serialize};

use super::request::{Wish, certificate, own_key};
use crate::state::StateDir;
use crate::{remote, whole_file};

/// What the control plane has said about the cluster; kept for starts without it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Kept {
    pub(super) node_name: String,
    pub(super) server: String,
    #[serde(rename = "clusterCIDR")]
    pub(super) cluster_cidr: String,
    #[serde(rename = "clusterDNS")]
    pub(super) cluster_dns: IpAddr,
    pub(super) cluster_domain: String,
}

/// The node's client certificate in the state directory.
pub struct Credentials {
    pub(super) files: Files,
    pub(super) kept: Kept,
}

impl Credentials {
    /// The certificate in PEM.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn certificate(&self) -> Result<String> {
        let path = self.files.client_cert();
        std::fs::read_to_string(&path).with_context(|| path.display().to_string())
    }

    /// A client that shows it.
    ///
    /// # Errors
    /// When a file is damaged.
    pub fn client(&self) -> Result<Arc<dyn Client>> {
        Ok(remote::connect(&self.files.kubeconfig, "kubelet")?.client)
    }

    /// Asks for a new one as the node, and keeps it; false when it is time to stop.
    ///
    /// # Errors
    /// When it is refused or cannot be written.
    pub async fn renew(&self, ctx: &Context) -> Result<bool> {
        let cert = self.files.ask(ctx, &self.kept.node_name).await?;
        let Some(cert) = cert else { return Ok(false) };
        keep(&self.files, &self.kept, &cert)?;
        Ok(true)
    }
}

/// Paths in an agent's state directory.
pub(super) struct Files {
    pub(super) kept: PathBuf,
    pub(super) kubeconfig: PathBuf,
    pub(super) pki: PathBuf,
}

impl Files {
    pub(super) fn of(state: &StateDir) -> Self {
        let p = state.path();
        Files { kept: p.join("agent.json"), kubeconfig: p.join("agent.kubeconfig"), pki: p.join("pki") }
    }

    pub(super) fn ca(&self) -> PathBuf {
        self.pki.join("ca.crt")
    }

    pub(super) fn client_cert(&self) -> PathBuf {
        self.pki.join("kubelet-client.crt")
    }

    pub(super) fn client_key(&self) -> PathBuf {
        self.pki.join("kubelet-client.key")
    }

    /// Asks for a client certificate; `None` when it is time to stop.
    pub(super) async fn ask(&self, ctx: &Context, node: &str) -> Result<Option<String>> {
        let key = own_key(&self.client_key())?;
        let signer = "kubernetes.io/kube-apiserver-client-kubelet";
        let wish = Wish { key_pem: &key, node, names: &[], signer, usage: "client auth" };
        certificate(ctx, &wish).await
    }
}

/// Writes what the next start needs.
pub(super) fn keep(files: &Files, kept: &Kept, cert_pem: &str) -> Result<()> {
    let read = |path: PathBuf| std::fs::read_to_string(&path).with_context(|| path.display().to_string());
    let (ca, key) = (read(files.ca())?, read(files.client_key())?);
    whole_file::write(&files.client_cert(), cert_pem.as_bytes())?;
    Kubeconfig::with_certificate("corten", &kept.server, &ca, cert_pem, &key).write(&files.kubeconfig)?;
    whole_file::write(&files.kept, &serde_json::to_vec_pretty(kept)?)
}
