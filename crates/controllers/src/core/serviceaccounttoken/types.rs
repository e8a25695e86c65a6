//! What is read of Secrets. The data of others than tokens of service accounts and bootstrap tokens is not kept.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meta::Gvr;
use reconcile::{IndexSink, ObjectMeta, Projection};
use serde::{Deserialize, Deserializer};

/// `secrets`.
pub const SECRETS: Gvr = Gvr::new("", "v1", "secrets");
/// Index of token Secrets by their account: see [`index`].
pub(super) const BY_ACCOUNT: &str = "service-account";
/// The annotation with the account's name.
pub(super) const ACCOUNT: &str = "kubernetes.io/service-account.name";
/// The annotation with the account's UID.
pub(super) const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";
const TYPE: &str = "kubernetes.io/service-account-token";
const BOOTSTRAP_TYPE: &str = "bootstrap.kubernetes.io/token";
/// Where bootstrap tokens are; elsewhere they are none.
pub const BOOTSTRAP_NAMESPACE: &str = "kube-system";

/// Which account a Secret that was seen belongs to: its name, its UID if the Secret says one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    pub name: String,
    pub uid: String,
}

/// A Secret.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Secret {
    pub metadata: ObjectMeta,
    #[serde(rename = "type")]
    pub kind: Box<str>,
    pub data: Data,
}

/// What a token's Secret holds: the first three of a service account's, the others of a bootstrap token's, in base64.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Data {
    /// In base64.
    #[serde(rename = "ca.crt")]
    pub ca: Box<str>,
    #[serde(deserialize_with = "is_there")]
    pub namespace: bool,
    #[serde(deserialize_with = "is_there")]
    pub token: bool,
    #[serde(rename = "token-id")]
    pub token_id: Box<str>,
    #[serde(rename = "token-secret")]
    pub token_secret: Box<str>,
    pub expiration: Box<str>,
    #[serde(rename = "usage-bootstrap-signing")]
    pub signing: Box<str>,
}

/// Whether a text is not empty; the text itself is not kept.
fn is_there<'de, D: Deserializer<'de>>(d: D) -> Result<bool, D::Error> {
    Ok(!Box::<str>::deserialize(d)?.is_empty())
}

pub(super) fn base64(text: &str) -> String {
    STANDARD.encode(text)
}

/// The value of an account in [`BY_ACCOUNT`].
pub(super) fn index(namespace: &str, account: &str) -> String {
    format!("{namespace}/{account}")
}

impl Secret {
    pub(super) fn is_token(&self) -> bool {
        &*self.kind == TYPE
    }

    /// Whether it is a bootstrap token.
    #[must_use]
    pub fn is_bootstrap(&self) -> bool {
        &*self.kind == BOOTSTRAP_TYPE && &*self.metadata.namespace == BOOTSTRAP_NAMESPACE
    }

    pub(super) fn account(&self) -> &str {
        self.metadata.annotations.get(ACCOUNT).unwrap_or_default()
    }

    pub(super) fn account_uid(&self) -> &str {
        self.metadata.annotations.get(ACCOUNT_UID).unwrap_or_default()
    }

    pub(super) fn owner(&self) -> Owner {
        Owner { name: self.account().to_owned(), uid: self.account_uid().to_owned() }
    }
}

impl Projection for Secret {
    const GVR: Gvr = SECRETS;

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn indexes(&self, sink: &mut IndexSink) {
        if self.is_token() {
            sink.add(BY_ACCOUNT, &index(&self.metadata.namespace, self.account()));
        }
    }

    fn compact(&mut self) {
        if !self.is_token() && !self.is_bootstrap() {
            self.data = Data::default();
        }
        self.metadata.annotations.retain(|k| k == ACCOUNT || k == ACCOUNT_UID);
    }
}
