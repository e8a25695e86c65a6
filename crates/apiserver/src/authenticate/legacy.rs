//! Tokens that live in a Secret and do not expire: `kubernetes.io/service-account-token`. The Secret must still hold
//! the very token, so deleting it takes the token away.
// k8s: pkg/serviceaccount/legacy.go

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meta::{Status, User};
use serde::Deserialize;

use super::token::{Bound, Issuer, LEGACY_ISSUER, LegacyClaims};

/// The label of a Secret whose token is no longer taken.
const INVALID_SINCE: &str = "kubernetes.io/legacy-token-invalid-since";

fn subject(claims: &LegacyClaims) -> String {
    format!("system:serviceaccount:{}:{}", claims.namespace, claims.account)
}

/// Signs the token of an account for one of its Secrets.
///
/// # Errors
/// 500 when signing fails.
pub fn sign(
    issuer: &Issuer,
    namespace: &str,
    account: &str,
    uid: &str,
    secret: &str,
) -> Result<String, Status> {
    let mut claims = LegacyClaims {
        iss: LEGACY_ISSUER.to_owned(),
        namespace: namespace.to_owned(),
        secret: secret.to_owned(),
        account: account.to_owned(),
        uid: uid.to_owned(),
        sub: String::new(),
    };
    claims.sub = subject(&claims);
    issuer.sign(&claims)
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Secret {
    metadata: Metadata,
    data: Data,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    deletion_timestamp: Option<String>,
    labels: std::collections::BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Data {
    token: String,
}

/// The user of claims with a good signature, when the Secret still holds this token and the account is there.
///
/// # Errors
/// A text saying what is gone or wrong, as upstream words it.
// k8s: pkg/serviceaccount/legacy.go Validate
pub(super) fn user(claims: &LegacyClaims, token: &str, bound: &dyn Bound) -> Result<User, String> {
    let LegacyClaims { namespace, secret: name, account, uid, .. } = claims;
    if claims.sub != subject(claims) {
        return Err("sub claim is invalid".to_owned());
    }
    let secret = bound.secret(namespace, name).and_then(|bytes| meta::json::read::<Secret>(&bytes).ok());
    let secret = secret
        .filter(|s| s.metadata.deletion_timestamp.is_none())
        .ok_or_else(|| "Token has been invalidated".to_owned())?;
    let held = STANDARD.decode(&secret.data.token).unwrap_or_default();
    if !super::bootstrap::same(&held, token.as_bytes()) {
        return Err("Token does not match server's copy".to_owned());
    }
    match bound.find("serviceaccounts", namespace, account) {
        None => return Err(format!("serviceaccounts \"{account}\" not found")),
        Some(found) if found.deleted.is_some() => {
            return Err(format!("ServiceAccount {namespace}/{account} has been deleted"));
        }
        Some(found) if found.uid != *uid => {
            return Err(format!("ServiceAccount UID ({}) does not match claim ({uid})", found.uid));
        }
        Some(_) => {}
    }
    if secret.metadata.labels.get(INVALID_SINCE).is_some_and(|since| !since.is_empty()) {
        return Err(format!(
            "the token in secret {namespace}/{name} for service account {namespace}/{account} has been marked invalid. \
             Use tokens from the TokenRequest API or manually created secret-based tokens, or remove the \
             '{INVALID_SINCE}' label from the secret to temporarily allow use of this token"
        ));
    }
    let groups = ["system:serviceaccounts", &format!("system:serviceaccounts:{namespace}")];
    let mut user = User::new(&claims.sub, &groups);
    user.uid.clone_from(uid);
    Ok(user)
}
