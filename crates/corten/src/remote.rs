//! The API of another process: from a kubeconfig, or from inside a pod.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use client::kubeconfig::{IN_CLUSTER_DIR, Kubeconfig, in_cluster};
use client::{Client, Endpoint, Remote};
use sys::SystemClock;

use crate::cli::Apart;
use crate::host;

/// A connection and what was needed for it.
pub struct Connection {
    pub client: Arc<dyn Client>,
    /// Empty when the server is not verified.
    pub ca_pem: String,
    pub endpoint: Endpoint,
}

/// Connects as `agent` with the kubeconfig, or, without one, as the pod that this process runs in.
///
/// # Errors
/// When the kubeconfig cannot be used, or there is none and this is no pod.
pub fn apart(o: &Apart, agent: &str) -> Result<Connection> {
    let mut endpoint = match &o.kubeconfig {
        Some(path) => Kubeconfig::read(path)?.endpoint(None)?,
        None => {
            let env = |name: &str| std::env::var(name).ok();
            match in_cluster(env, Path::new(IN_CLUSTER_DIR)) {
                Ok(endpoint) => endpoint,
                Err(e) => bail!("{e}; give --kubeconfig"),
            }
        }
    };
    if let Some(master) = &o.master {
        endpoint.server.clone_from(master);
    }
    to(&endpoint, agent)
}

/// Connects as `agent` with the kubeconfig.
///
/// # Errors
/// When it cannot be used.
pub fn connect(kubeconfig: &Path, agent: &str) -> Result<Connection> {
    to(&Kubeconfig::read(kubeconfig)?.endpoint(None)?, agent)
}

/// Connects to an endpoint.
///
/// # Errors
/// When its address, certificates or keys cannot be used.
pub fn to(endpoint: &Endpoint, agent: &str) -> Result<Connection> {
    let ca_pem =
        String::from_utf8(endpoint.ca_pem.clone().unwrap_or_default()).context("the CA is not PEM")?;
    let client = Remote::new(endpoint, &user_agent(agent), Arc::new(SystemClock))?;
    Ok(Connection { client: Arc::new(client), ca_pem, endpoint: endpoint.clone() })
}

/// `kubelet/v1.37.0 (linux/amd64) corten/0.1.0`.
#[must_use]
pub fn user_agent(agent: &str) -> String {
    format!("{agent}/v1.37.0 ({}) corten/{}", host::platform(), env!("CARGO_PKG_VERSION"))
}
