//! The credentials of a machine that has joined, in its state directory, and what the control plane has said with them.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use client::{Client, Kubeconfig};
use control::Context;
use serde::{Deserialize, Serialize};

use super::request::{NODES_GROUP, Wish, certificate, own_key};
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

/// The two users that a machine is: its node agent, and the service proxy and routes, which read all nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Kubelet,
    Proxy,
}

impl Part {
    /// What its requests say they are from.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Part::Kubelet => "kubelet",
            Part::Proxy => "kube-proxy",
        }
    }

    fn user(self, node: &str) -> String {
        match self {
            Part::Kubelet => format!("system:node:{node}"),
            Part::Proxy => "system:kube-proxy".to_owned(),
        }
    }

    fn organization(self) -> &'static str {
        match self {
            Part::Kubelet => NODES_GROUP,
            Part::Proxy => "",
        }
    }

    fn signer(self) -> &'static str {
        match self {
            Part::Kubelet => "kubernetes.io/kube-apiserver-client-kubelet",
            Part::Proxy => "kubernetes.io/kube-apiserver-client",
        }
    }
}

/// A client certificate of the machine in its state directory.
pub struct Credentials {
    pub(super) files: Files,
    pub(super) kept: Kept,
    pub(super) part: Part,
}

impl Credentials {
    /// The certificate in PEM; `None` before the first.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn certificate(&self) -> Result<Option<String>> {
        let path = self.files.cert(self.part);
        match std::fs::read_to_string(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some).with_context(|| path.display().to_string()),
        }
    }

    /// A client that shows it.
    ///
    /// # Errors
    /// When a file is damaged.
    pub fn client(&self) -> Result<Arc<dyn Client>> {
        Ok(remote::connect(&self.files.kubeconfig(self.part), self.part.name())?.client)
    }

    /// Asks for a new one as the node, and keeps it; false when it is time to stop.
    ///
    /// # Errors
    /// When it is refused or cannot be written.
    pub async fn renew(&self, ctx: &Context) -> Result<bool> {
        let cert = self.files.ask(ctx, &self.kept.node_name, self.part).await?;
        let Some(cert) = cert else { return Ok(false) };
        self.files.keep_certificate(&self.kept.server, self.part, &cert)?;
        Ok(true)
    }
}

/// Paths in an agent's state directory.
#[derive(Clone)]
pub(super) struct Files {
    pub(super) kept: PathBuf,
    pub(super) pki: PathBuf,
    state: PathBuf,
}

impl Files {
    pub(super) fn of(state: &StateDir) -> Self {
        let p = state.path();
        Files { kept: p.join("agent.json"), pki: p.join("pki"), state: p.to_owned() }
    }

    pub(super) fn ca(&self) -> PathBuf {
        self.pki.join("ca.crt")
    }

    pub(super) fn cert(&self, part: Part) -> PathBuf {
        self.pki.join(format!("{}-client.crt", part.name()))
    }

    fn key(&self, part: Part) -> PathBuf {
        self.pki.join(format!("{}-client.key", part.name()))
    }

    fn kubeconfig(&self, part: Part) -> PathBuf {
        self.state.join(match part {
            Part::Kubelet => "agent.kubeconfig",
            Part::Proxy => "agent-kube-proxy.kubeconfig",
        })
    }

    /// Asks for a client certificate; `None` when it is time to stop.
    pub(super) async fn ask(&self, ctx: &Context, node: &str, part: Part) -> Result<Option<String>> {
        let key = own_key(&self.key(part))?;
        let wish = Wish {
            key_pem: &key,
            user: &part.user(node),
            organization: part.organization(),
            names: &[],
            signer: part.signer(),
            usage: "client auth",
        };
        certificate(ctx, &wish).await
    }

    /// Writes a certificate, and the kubeconfig with it.
    pub(super) fn keep_certificate(&self, server: &str, part: Part, cert_pem: &str) -> Result<()> {
        let read = |path: PathBuf| std::fs::read_to_string(&path).with_context(|| path.display().to_string());
        let (ca, key) = (read(self.ca())?, read(self.key(part))?);
        whole_file::write(&self.cert(part), cert_pem.as_bytes())?;
        Ok(Kubeconfig::with_certificate("corten", server, &ca, cert_pem, &key)
            .write(&self.kubeconfig(part))?)
    }

    /// Writes what the next start needs.
    pub(super) fn keep(&self, kept: &Kept, cert_pem: &str) -> Result<()> {
        self.keep_certificate(&kept.server, Part::Kubelet, cert_pem)?;
        whole_file::write(&self.kept, &serde_json::to_vec_pretty(kept)?)
    }
}
