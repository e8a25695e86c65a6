//! Bootstrap tokens: `<id>.<secret>`, kept as Secrets in `kube-system`, with which a machine that has no
//! credentials yet asks for some. Pure over the Secret's bytes.
// k8s: plugin/pkg/auth/authenticator/token/bootstrap/bootstrap.go

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use meta::{Credentials, Proof, Request, User};
use serde::Deserialize;
use sys::Clock;

use super::token::Bound;
use super::union::{Authenticator, Finding, known};
use crate::request::Reply;
use crate::storage::peek::Metadata;

/// Where the tokens are.
pub const NAMESPACE: &str = "kube-system";
/// Group of everybody with a bootstrap token.
const BOOTSTRAPPERS: &str = "system:bootstrappers";
const ID_BYTES: usize = 6;
const SECRET_BYTES: usize = 16;

#[derive(Deserialize, Default)]
#[serde(default)]
struct Secret {
    metadata: Metadata,
    #[serde(rename = "type")]
    kind: String,
    data: Option<std::collections::BTreeMap<String, String>>,
}

/// Believes bootstrap tokens whose Secrets are there.
pub struct BootstrapTokens {
    pub secrets: Arc<dyn Bound>,
    pub clock: Arc<dyn Clock>,
}

impl Authenticator for BootstrapTokens {
    fn authenticate<'a>(&'a self, request: &'a Request) -> Reply<'a, Finding> {
        let Credentials::Bearer(token) = &request.credentials else { return Reply::now(Ok(None)) };
        if !is_bootstrap(token) {
            return Reply::now(Ok(None));
        }
        let secret = self.secrets.secret(NAMESPACE, &secret_name(token));
        let found = user(token, secret.as_deref(), self.clock.now());
        Reply::now(found.map(|user| Some(known(user, Proof::BootstrapToken))))
    }
}

/// Whether a bearer token has the form of a bootstrap token.
#[must_use]
pub fn is_bootstrap(token: &str) -> bool {
    parts(token).is_some()
}

/// Id and secret of a token.
fn parts(token: &str) -> Option<(&str, &str)> {
    let (id, secret) = token.split_once('.')?;
    let plain = |s: &str| s.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase());
    (id.len() == ID_BYTES && secret.len() == SECRET_BYTES && plain(id) && plain(secret))
        .then_some((id, secret))
}

/// The name of the Secret of a token.
#[must_use]
pub fn secret_name(token: &str) -> String {
    format!("bootstrap-token-{}", parts(token).map_or("", |(id, _)| id))
}

/// The user of a token whose Secret is `stored`.
///
/// # Errors
/// Why it is refused, for logs; the client only sees 401.
pub fn user(token: &str, stored: Option<&[u8]>, now: Timestamp) -> Result<User, String> {
    let (id, secret) = parts(token).ok_or("it has not the form of a bootstrap token")?;
    let stored = stored.ok_or("there is no Secret of this id")?;
    let stored: Secret = serde_json::from_slice(stored).map_err(|e| e.to_string())?;
    if stored.metadata.deletion_timestamp.is_some() {
        return Err("its Secret is being deleted".to_owned());
    }
    if stored.kind != "bootstrap.kubernetes.io/token" {
        return Err("its Secret has another type".to_owned());
    }
    let data = stored.data.unwrap_or_default();
    let get = |key: &str| {
        let bytes = data.get(key).and_then(|v| STANDARD.decode(v).ok()).unwrap_or_default();
        String::from_utf8(bytes).unwrap_or_default()
    };
    if !same(get("token-secret").as_bytes(), secret.as_bytes()) {
        return Err("its secret part is wrong".to_owned());
    }
    if get("token-id") != id {
        return Err("its Secret has another id".to_owned());
    }
    let expiration = get("expiration");
    if !expiration.is_empty() && expiration.parse::<Timestamp>().map_or(true, |at| at <= now) {
        return Err("it has expired".to_owned());
    }
    if get("usage-bootstrap-authentication") != "true" {
        return Err("it is not meant for authentication".to_owned());
    }
    let extra = get("auth-extra-groups");
    let mut groups = vec![BOOTSTRAPPERS];
    for group in extra.split(',').map(str::trim).filter(|g| !g.is_empty()) {
        if !is_extra_group(group) {
            return Err(format!("group {group:?} cannot come from a bootstrap token"));
        }
        groups.push(group);
    }
    Ok(User::new(&format!("system:bootstrap:{id}"), &groups))
}

/// Compares in a time that says nothing about where they differ.
pub(super) fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (x, y)| differ | (x ^ y)) == 0
}

/// `system:bootstrappers:` and words of lower-case letters, digits and dashes between colons.
// k8s: staging/src/k8s.io/cluster-bootstrap/token/api/types.go BootstrapGroupPattern
fn is_extra_group(group: &str) -> bool {
    let Some(rest) = group.strip_prefix("system:bootstrappers:") else { return false };
    let inner = |b: u8| b.is_ascii_digit() || b.is_ascii_lowercase() || b == b':' || b == b'-';
    let end = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_digit() || b.is_ascii_lowercase());
    rest.len() <= 256
        && rest.bytes().all(inner)
        && end(rest.as_bytes().first())
        && end(rest.as_bytes().last())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn secret(change: &[(&str, &str)]) -> Vec<u8> {
        let mut data = json!({});
        for (k, v) in [
            ("token-id", "abcdef"),
            ("token-secret", "0123456789abcdef"),
            ("usage-bootstrap-authentication", "true"),
            ("auth-extra-groups", "system:bootstrappers:kubeadm:default-node-token"),
        ] {
            data[k] = STANDARD.encode(v).into();
        }
        for (k, v) in change {
            data[*k] = if v.is_empty() { Value::Null } else { STANDARD.encode(v).into() };
        }
        let data: serde_json::Map<String, Value> = data
            .as_object()
            .unwrap()
            .iter()
            .filter(|(_, v)| !v.is_null())
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        json!({"metadata": {"name": "x"}, "type": "bootstrap.kubernetes.io/token", "data": data})
            .to_string()
            .into_bytes()
    }

    #[test]
    fn who_a_token_is() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let token = "abcdef.0123456789abcdef";
        let got = user(token, Some(&secret(&[("expiration", "2026-01-02T00:00:00Z")])), now).unwrap();
        assert_eq!(got.name, "system:bootstrap:abcdef");
        assert_eq!(got.groups, ["system:bootstrappers", "system:bootstrappers:kubeadm:default-node-token"]);
        let refused: [(&[(&str, &str)], &str); 6] = [
            (&[("token-secret", "0123456789abcdee")], "wrong"),
            (&[("token-id", "abcdeg")], "another id"),
            (&[("expiration", "2025-12-31T00:00:00Z")], "expired"),
            (&[("expiration", "soon")], "expired"),
            (&[("usage-bootstrap-authentication", "")], "not meant"),
            (&[("auth-extra-groups", "system:masters")], "cannot come"),
        ];
        for (change, why) in refused {
            let error = user(token, Some(&secret(change)), now).unwrap_err();
            assert!(error.contains(why), "{change:?}: {error}");
        }
        assert!(user(token, None, now).is_err());
    }

    #[test]
    fn the_form_of_a_token() {
        assert!(is_bootstrap("abcdef.0123456789abcdef"));
        for other in
            ["", "abcdef.0123456789abcde", "ABCDEF.0123456789abcdef", "abcdef.0123456789abcdef.x", "a.b"]
        {
            assert!(!is_bootstrap(other), "{other:?}");
        }
        assert_eq!(secret_name("abcdef.0123456789abcdef"), "bootstrap-token-abcdef");
    }
}
