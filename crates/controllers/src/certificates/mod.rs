//! Certificate signing requests: which of them are granted without asking anybody, and who signs them. The
//! authority's key is behind [`Authority`]; nothing here knows certificates' bytes.

pub mod approver;
pub mod cleaner;
pub mod podcleaner;
pub mod signer;
pub mod trustpublisher;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use meta::Gvr;
use reconcile::{Action, ObjectMeta, Projection};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

/// `certificatesigningrequests`.
pub const REQUESTS: Gvr = Gvr::new("certificates.k8s.io", "v1", "certificatesigningrequests");
/// Signs client certificates of kubelets.
pub const KUBELET_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
/// Signs serving certificates of kubelets.
pub const KUBELET_SERVING: &str = "kubernetes.io/kubelet-serving";
/// Signs other client certificates.
pub const CLIENT: &str = "kubernetes.io/kube-apiserver-client";

const NODES_GROUP: &str = "system:nodes";
const PROXY_USER: &str = "system:kube-proxy";
const NODE_USER_PREFIX: &str = "system:node:";

/// The names that a request asks a certificate for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    pub common_name: String,
    pub organizations: Vec<String>,
    pub dns_names: Vec<String>,
    pub ip_addresses: Vec<IpAddr>,
    /// How many names of other kinds (mail, URI, ...) are asked for.
    pub other_names: usize,
}

/// Reads and signs requests. The same arguments give certificates that say the same.
pub trait Authority: std::fmt::Debug + Send + Sync + 'static {
    /// What a request in PEM asks for.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn read(&self, request_pem: &str) -> Result<Wanted, String>;

    /// The certificate in PEM. `seed` decides its serial number.
    ///
    /// # Errors
    /// Why it cannot be signed.
    fn sign(
        &self,
        request_pem: &str,
        usages: &[String],
        life: Duration,
        seed: &str,
        now: Timestamp,
    ) -> Result<String, String>;
}

/// A request: what is decided from, and the whole object, which has to be sent back.
#[derive(Clone, Debug, Default)]
pub struct SigningRequest {
    pub metadata: ObjectMeta,
    pub spec: Spec,
    pub status: Status,
    object: Value,
}

/// What is asked for, and by whom.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Spec {
    /// PEM in base64.
    pub request: String,
    pub signer_name: String,
    pub expiration_seconds: Option<i64>,
    pub usages: Vec<String>,
    pub username: String,
    pub uid: String,
    pub groups: Vec<String>,
    pub extra: BTreeMap<String, Vec<String>>,
}

/// What has become of it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Status {
    pub certificate: String,
    pub conditions: Vec<Condition>,
}

/// A condition.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    #[serde(rename = "type")]
    pub kind: String,
    pub last_update_time: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Parts {
    #[serde(default)]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

impl<'de> Deserialize<'de> for SigningRequest {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let object = Value::deserialize(d)?;
        let Parts { metadata, spec, status } = meta::json::of(&object).map_err(D::Error::custom)?;
        Ok(SigningRequest { metadata, spec, status, object })
    }
}

impl Projection for SigningRequest {
    const GVR: Gvr = REQUESTS;

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}

impl SigningRequest {
    /// Whether it has a condition of this type.
    #[must_use]
    pub fn is(&self, condition: &str) -> bool {
        self.status.conditions.iter().any(|c| c.kind == condition)
    }

    /// The request in PEM; empty when it is not base64.
    #[must_use]
    pub fn pem(&self) -> String {
        String::from_utf8(STANDARD.decode(&self.spec.request).unwrap_or_default()).unwrap_or_default()
    }

    /// Sends the object back with a condition more.
    fn add_condition(
        &self,
        sub: &'static str,
        kind: &str,
        reason: &str,
        message: &str,
        now: Timestamp,
    ) -> Action {
        let time = reconcile::time::rfc3339(now);
        let condition = json!({
            "type": kind, "status": "True", "reason": reason, "message": message,
            "lastUpdateTime": time, "lastTransitionTime": time,
        });
        let mut object = self.whole();
        match object["status"]["conditions"].as_array_mut() {
            Some(list) => list.push(condition),
            None => object["status"]["conditions"] = json!([condition]),
        }
        Action::update(REQUESTS, &self.metadata.key(), sub, &object).tolerate(&["NotFound"])
    }

    /// Sends the object back with the certificate.
    fn issue(&self, certificate_pem: &str) -> Action {
        let mut object = self.whole();
        object["status"]["certificate"] = STANDARD.encode(certificate_pem).into();
        Action::update(REQUESTS, &self.metadata.key(), "status", &object).tolerate(&["NotFound"])
    }

    fn whole(&self) -> Value {
        let mut object = self.object.clone();
        object["kind"] = "CertificateSigningRequest".into();
        object["apiVersion"] = "certificates.k8s.io/v1".into();
        if !object["status"].is_object() {
            object["status"] = json!({});
        }
        object
    }
}

/// Whether the usages are `required`, with or without key encipherment (which only RSA keys need).
fn usages_are(usages: &[String], required: &str) -> bool {
    let mut have: Vec<&str> =
        usages.iter().map(String::as_str).filter(|u| *u != "key encipherment").collect();
    have.sort_unstable();
    have.dedup();
    have == ["digital signature", required] || have == [required, "digital signature"]
}

/// What is wrong with a request for a kubelet's client certificate.
///
/// # Errors
/// As upstream words it.
// k8s: pkg/apis/certificates/helpers.go ValidateKubeletClientCSR
pub fn check_kubelet_client(w: &Wanted, usages: &[String]) -> Result<(), String> {
    if w.organizations != [NODES_GROUP] {
        return Err("subject organization is not system:nodes".to_owned());
    }
    if !w.dns_names.is_empty() {
        return Err("DNS subjectAltNames are not allowed".to_owned());
    }
    if !w.ip_addresses.is_empty() {
        return Err("IP subjectAltNames are not allowed".to_owned());
    }
    if w.other_names > 0 {
        return Err("Email and URI subjectAltNames are not allowed".to_owned());
    }
    if !w.common_name.starts_with(NODE_USER_PREFIX) {
        return Err("subject common name does not begin with system:node:".to_owned());
    }
    if !usages_are(usages, "client auth") {
        return Err("usages did not match [client auth digital signature key encipherment]".to_owned());
    }
    Ok(())
}

/// Whether a request is for a client certificate of a node's service proxy and nothing else. Upstream has no such rule,
/// since its proxies use tokens of a service account.
#[must_use]
pub fn is_proxy_client(w: &Wanted, usages: &[String]) -> bool {
    let user = Wanted { common_name: PROXY_USER.to_owned(), ..Wanted::default() };
    *w == user && usages_are(usages, "client auth")
}

/// What is wrong with a request for a kubelet's serving certificate.
///
/// # Errors
/// As upstream words it.
// k8s: pkg/apis/certificates/helpers.go ValidateKubeletServingCSR
pub fn check_kubelet_serving(w: &Wanted, usages: &[String]) -> Result<(), String> {
    if w.organizations != [NODES_GROUP] {
        return Err("subject organization is not system:nodes".to_owned());
    }
    if w.dns_names.is_empty() && w.ip_addresses.is_empty() {
        return Err("DNS or IP subjectAltName is required".to_owned());
    }
    if w.other_names > 0 {
        return Err("Email and URI subjectAltNames are not allowed".to_owned());
    }
    if !usages_are(usages, "server auth") {
        return Err("usages did not match [digital signature key encipherment server auth]".to_owned());
    }
    if !w.common_name.starts_with(NODE_USER_PREFIX) {
        return Err("subject common name does not begin with system:node:".to_owned());
    }
    Ok(())
}
