//! Asks the API for a certificate and waits for it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use client::Api;
use control::Context;
use meta::Gvr;
use serde::Deserialize;
use serde_json::json;

use crate::whole_file;

const REQUESTS: Gvr = Gvr::new("certificates.k8s.io", "v1", "certificatesigningrequests");
const POLL: Duration = Duration::from_millis(100);
/// Looks after which the user is told what is waited for.
const PATIENCE_POLLS: u32 = 100;

/// The group of all nodes.
pub const NODES_GROUP: &str = "system:nodes";

/// What is asked for.
pub struct Wish<'a> {
    pub key_pem: &'a str,
    pub user: &'a str,
    /// Groups of the user; empty: none.
    pub organization: &'a str,
    /// DNS names and addresses.
    pub names: &'a [String],
    pub signer: &'a str,
    /// `client auth` or `server auth`.
    pub usage: &'a str,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Request {
    metadata: Metadata,
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    certificate: String,
    conditions: Vec<Condition>,
}

#[derive(Deserialize)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    message: String,
}

/// The certificate in PEM; `None` when it is time to stop.
///
/// # Errors
/// When the request is refused, denied or cannot be signed.
// k8s: pkg/kubelet/certificate/bootstrap/bootstrap.go requestNodeCertificate
pub async fn certificate(ctx: &Context, wish: &Wish<'_>) -> Result<Option<String>> {
    let pem = wire::pki::make_request(wish.key_pem, wish.user, wish.organization, wish.names)?;
    let body = json!({"kind": "CertificateSigningRequest", "apiVersion": "certificates.k8s.io/v1",
        "metadata": {"generateName": "node-csr-"},
        "spec": {"request": STANDARD.encode(pem), "signerName": wish.signer,
            "usages": ["digital signature", wish.usage]}});
    let api = Api::new(ctx.client.as_ref(), REQUESTS, "");
    let made = api.create(body.to_string().into_bytes()).await.context("asking for a certificate")?;
    let name = serde_json::from_slice::<Request>(&made)?.metadata.name;
    let mut polls = 0_u32;
    loop {
        match api.get(&name).await {
            Ok(bytes) => {
                let request: Request = serde_json::from_slice(&bytes)?;
                if !request.status.certificate.is_empty() {
                    let pem = STANDARD.decode(&request.status.certificate).context("the certificate")?;
                    return Ok(Some(String::from_utf8(pem).context("the certificate")?));
                }
                let ended = request
                    .status
                    .conditions
                    .iter()
                    .find(|c| ["Denied", "Failed"].contains(&c.kind.as_str()));
                if let Some(c) = ended {
                    bail!("certificate request {name}: {}: {}", c.kind, c.message);
                }
            }
            Err(e) if e.code >= 500 || e.code == 429 => tracing::debug!("certificate request {name}: {e}"),
            Err(e) => bail!("certificate request {name}: {e}"),
        }
        polls += 1;
        if polls == PATIENCE_POLLS {
            tracing::warn!("nobody has approved the certificate request: kubectl certificate approve {name}");
        }
        if !ctx.sleep(POLL).await {
            return Ok(None);
        }
    }
}

/// The private key in a file, made when it is missing.
///
/// # Errors
/// When it cannot be written.
pub fn own_key(path: &Path) -> Result<String> {
    match std::fs::read_to_string(path) {
        Ok(key) if !key.is_empty() => Ok(key),
        _ => {
            let key = wire::pki::new_key()?;
            whole_file::write(path, key.as_bytes())?;
            Ok(key)
        }
    }
}
