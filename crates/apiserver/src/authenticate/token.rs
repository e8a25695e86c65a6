//! Service-account tokens: issuing and checking JWTs with the cluster's own key. Whether the account and what
//! the token is bound to still exist is asked through [`Bound`]; nothing here reads the store.
// k8s: pkg/serviceaccount/claims.go, pkg/serviceaccount/jwt.go

use std::collections::HashMap;

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use meta::{Status, User};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// Tokens longer than this are refused unread.
const LIMIT_TOKEN_BYTES: usize = 64 << 10;
/// Most tokens whose signature is remembered.
const LIMIT_VERIFIED: usize = 4096;
/// Longer tokens are checked at every use and not kept.
const LIMIT_KEPT_BYTES: usize = 4096;
/// How far clocks may be apart, and how long what is being deleted still counts.
const LEEWAY_SECONDS: i64 = 60;

/// The private part of the claims.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Private {
    pub namespace: String,
    pub serviceaccount: Ref,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<Ref>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<Ref>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<Ref>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warnafter: Option<i64>,
}

/// Name and uid of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ref {
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
}

/// The claims of a service-account token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    pub aud: Vec<String>,
    pub exp: i64,
    pub iat: i64,
    pub iss: String,
    pub jti: String,
    #[serde(rename = "kubernetes.io")]
    pub private: Private,
    pub nbf: i64,
    pub sub: String,
}

/// The `iss` claim of a token that lives in a Secret.
pub(super) const LEGACY_ISSUER: &str = "kubernetes/serviceaccount";

/// The claims of a token that lives in a Secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegacyClaims {
    pub iss: String,
    #[serde(rename = "kubernetes.io/serviceaccount/namespace")]
    pub namespace: String,
    #[serde(rename = "kubernetes.io/serviceaccount/secret.name")]
    pub secret: String,
    #[serde(rename = "kubernetes.io/serviceaccount/service-account.name")]
    pub account: String,
    #[serde(rename = "kubernetes.io/serviceaccount/service-account.uid")]
    pub uid: String,
    pub sub: String,
}

/// Claims with a good signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signed {
    /// Of a token that expires.
    Bound(Box<Claims>),
    /// Of the token that a Secret holds.
    Legacy(Box<LegacyClaims>),
}

/// Both forms of claims, told apart by their fields.
#[derive(Deserialize)]
#[serde(untagged)]
enum Either {
    Bound(Box<Claims>),
    Legacy(Box<LegacyClaims>),
}

/// The keys of the token issuer.
pub struct Issuer {
    /// The `iss` claim: a URL.
    pub url: String,
    /// Audiences of the API server, the default of new tokens.
    pub audiences: Vec<String>,
    algorithm: Algorithm,
    signing: EncodingKey,
    /// With its key id; the first belongs to `signing`.
    verifying: Vec<(String, DecodingKey)>,
    /// JSON Web Key Set with all verifying keys.
    jwks: String,
    /// Claims of tokens whose signature was found good. Times and audiences are checked at every use.
    verified: Mutex<HashMap<String, Signed>>,
}

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("the service account key is not a usable RSA or EC P-256 private key in PEM: {0}")]
    Key(#[from] jsonwebtoken::errors::Error),
}

impl Issuer {
    /// From a private key in PEM: EC P-256 (`-----BEGIN PRIVATE KEY-----`) or RSA.
    ///
    /// # Errors
    /// When the key is neither.
    pub fn from_pem(url: &str, audiences: &[&str], private_pem: &[u8]) -> Result<Self, KeyError> {
        let (algorithm, signing) = match EncodingKey::from_ec_pem(private_pem) {
            Ok(key) => (Algorithm::ES256, key),
            Err(_) => (Algorithm::RS256, EncodingKey::from_rsa_pem(private_pem)?),
        };
        let mut jwk = jsonwebtoken::jwk::Jwk::from_encoding_key(&signing, algorithm)?;
        let verifying = DecodingKey::from_jwk(&jwk)?;
        let id = jwk.thumbprint(jsonwebtoken::jwk::ThumbprintHash::SHA256)?;
        jwk.common.key_id = Some(id.clone());
        jwk.common.public_key_use = Some(jsonwebtoken::jwk::PublicKeyUse::Signature);
        let jwks = serde_json::json!({"keys": [jwk]}).to_string();
        Ok(Issuer {
            url: url.to_owned(),
            audiences: if audiences.is_empty() {
                vec![url.to_owned()]
            } else {
                audiences.iter().map(|a| (*a).to_owned()).collect()
            },
            algorithm,
            signing,
            verifying: vec![(id, verifying)],
            jwks,
            verified: Mutex::default(),
        })
    }

    /// The key set served at `/openid/v1/jwks`.
    #[must_use]
    pub fn jwks(&self) -> &str {
        &self.jwks
    }

    /// The name of the signing algorithm.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        if self.algorithm == Algorithm::ES256 { "ES256" } else { "RS256" }
    }

    /// Signs claims.
    ///
    /// # Errors
    /// 500 when signing fails.
    pub fn sign<C: Serialize>(&self, claims: &C) -> Result<String, Status> {
        let mut header = Header::new(self.algorithm);
        header.typ = None;
        header.kid = self.verifying.first().map(|(id, _)| id.clone());
        jsonwebtoken::encode(&header, claims, &self.signing)
            .map_err(|e| Status::internal(format!("failed to sign a token: {e}")))
    }

    /// The claims of a token with a good signature.
    fn claims(&self, token: &str) -> Result<Signed, String> {
        if token.len() > LIMIT_TOKEN_BYTES {
            return Err("the token is too long".to_owned());
        }
        if let Some(claims) = self.verified.lock().get(token) {
            return Ok(claims.clone());
        }
        let header = jsonwebtoken::decode_header(token).map_err(|e| e.to_string())?;
        if header.alg != self.algorithm {
            return Err(format!("unexpected signature algorithm {:?}", header.alg));
        }
        let mut validation = Validation::new(self.algorithm);
        // Times and audiences are checked by the caller, against the server's own clock.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let keys = self.verifying.iter().filter(|(id, _)| header.kid.as_ref().is_none_or(|k| k == id));
        let claims = keys
            .filter_map(|(_, key)| jsonwebtoken::decode::<Either>(token, key, &validation).ok())
            .next()
            .ok_or_else(|| "invalid signature".to_owned())?
            .claims;
        let claims = match claims {
            Either::Bound(claims) => Signed::Bound(claims),
            Either::Legacy(claims) => Signed::Legacy(claims),
        };
        if token.len() > LIMIT_KEPT_BYTES {
            return Ok(claims);
        }
        let mut verified = self.verified.lock();
        if verified.len() >= LIMIT_VERIFIED {
            verified.clear();
        }
        verified.insert(token.to_owned(), claims.clone());
        Ok(claims)
    }

    /// Checks signature, issuer, times and audiences. Gives the claims and the audiences that both sides name.
    ///
    /// # Errors
    /// A text for logs and TokenReview; the client only sees 401.
    pub fn verify(
        &self,
        token: &str,
        audiences: &[String],
        now: Timestamp,
    ) -> Result<(Signed, Vec<String>), String> {
        let signed = self.claims(token)?;
        let aud = match &signed {
            Signed::Bound(claims) => self.check(claims, now)?,
            // They name no audience: they are for this server.
            Signed::Legacy(claims) if claims.iss == LEGACY_ISSUER => &self.audiences,
            Signed::Legacy(..) => return Err("the token was issued by someone else".to_owned()),
        };
        let wanted = if audiences.is_empty() { &self.audiences } else { audiences };
        let common: Vec<String> = wanted.iter().filter(|a| aud.contains(a)).cloned().collect();
        if common.is_empty() {
            return Err(format!("token audiences {aud:?} is invalid for the target audiences {wanted:?}"));
        }
        Ok((signed, common))
    }

    /// Checks issuer and times. Gives the audiences.
    fn check<'a>(&self, claims: &'a Claims, now: Timestamp) -> Result<&'a Vec<String>, String> {
        let now = now.as_second();
        if claims.iss != self.url {
            return Err("the token was issued by someone else".to_owned());
        }
        if claims.exp <= now {
            return Err("service account token has expired".to_owned());
        }
        if claims.nbf > now + LEEWAY_SECONDS {
            return Err("service account token is not valid yet".to_owned());
        }
        Ok(&claims.aud)
    }
}

/// What is there of an object that a token depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub uid: String,
    /// When it is to be gone; `None`: it is not being deleted.
    pub deleted: Option<Timestamp>,
}

/// The live facts that a token depends on.
pub trait Bound: Send + Sync {
    /// An object, when it exists.
    fn find(&self, resource: &str, namespace: &str, name: &str) -> Option<Found>;

    /// A Secret as JSON, when it exists.
    fn secret(&self, _namespace: &str, _name: &str) -> Option<Vec<u8>> {
        None
    }
}

/// The user of checked claims, when the account and what the token is bound to are still there.
///
/// # Errors
/// A text saying what is gone.
// k8s: pkg/serviceaccount/claims.go validator.Validate
pub(super) fn user(claims: &Claims, bound: &dyn Bound, now: Timestamp) -> Result<User, String> {
    let p = &claims.private;
    let account = &p.serviceaccount;
    if claims.sub != format!("system:serviceaccount:{}:{}", p.namespace, account.name) {
        return Err("the subject is not the service account of the token".to_owned());
    }
    // k8s: jwt.DefaultLeeway
    let gone = |f: &Found| f.deleted.is_some_and(|at| at.as_second() < now.as_second() - LEEWAY_SECONDS);
    let check = |resource: &str, namespace: &str, r: &Ref| match bound.find(resource, namespace, &r.name) {
        None => Err(format!("{resource} \"{}\" not found", r.name)),
        Some(f) if f.uid != r.uid && !r.uid.is_empty() => {
            Err(format!("{resource} \"{}\" has another uid than the token", r.name))
        }
        Some(f) if gone(&f) => Err(format!("{resource} \"{}\" has been deleted", r.name)),
        Some(_) => Ok(()),
    };
    check("serviceaccounts", &p.namespace, account)?;
    let mut user = User::new(
        &claims.sub,
        &["system:serviceaccounts", &format!("system:serviceaccounts:{}", p.namespace)],
    );
    user.uid.clone_from(&account.uid);
    let mut extra = |key: &str, value: &str| {
        user.extra.insert(format!("authentication.kubernetes.io/{key}"), vec![value.to_owned()]);
    };
    if !claims.jti.is_empty() {
        extra("credential-id", &format!("JTI={}", claims.jti));
    }
    if let Some(pod) = &p.pod {
        check("pods", &p.namespace, pod)?;
        extra("pod-name", &pod.name);
        extra("pod-uid", &pod.uid);
    }
    if let Some(secret) = &p.secret {
        check("secrets", &p.namespace, secret)?;
    }
    if let Some(node) = &p.node {
        if p.pod.is_none() {
            check("nodes", "", node)?;
        }
        extra("node-name", &node.name);
        if !node.uid.is_empty() {
            extra("node-uid", &node.uid);
        }
    }
    Ok(user)
}
