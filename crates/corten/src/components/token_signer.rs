//! Signs the tokens that live in Secrets, for the controller that fills them: a port of the controllers.

use std::sync::Arc;

use anyhow::Result;
use apiserver::{Issuer, sign_legacy_token};
use bytes::Bytes;
use control::Port;
use meta::{BoxFuture, Status};
use serde::Deserialize;

/// The key of the cluster's service accounts.
struct Signer(Issuer);

/// See `controllers::core::serviceaccounttoken::question`.
#[derive(Deserialize)]
struct Question {
    namespace: String,
    account: String,
    uid: String,
    secret: String,
}

impl Signer {
    fn answer(&self, question: &[u8]) -> Result<Bytes, Status> {
        let q: Question = serde_json::from_slice(question).map_err(|e| Status::bad_request(e.to_string()))?;
        let token = sign_legacy_token(&self.0, &q.namespace, &q.account, &q.uid, &q.secret)?;
        Ok(serde_json::Value::from(token).to_string().into())
    }
}

impl Port for Signer {
    fn ask(&self, question: Bytes) -> BoxFuture<'_, Result<Bytes, Status>> {
        Box::pin(std::future::ready(self.answer(&question)))
    }
}

/// A signer with the private key in PEM.
///
/// # Errors
/// When the key cannot be used.
pub fn from_pem(key_pem: &[u8]) -> Result<Arc<dyn Port>> {
    Ok(Arc::new(Signer(Issuer::from_pem("", &[], key_pem)?)))
}
