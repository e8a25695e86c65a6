//! Service accounts: who shows a token of one, of either kind.

use std::sync::Arc;

use jiff::Timestamp;
use meta::{Credentials, Proof, Request, User};
use sys::Clock;

use super::legacy;
use super::token::{self, Bound, Issuer, Signed};
use super::union::{Authenticator, Finding, known};
use crate::request::Reply;

/// Believes tokens of the cluster's own key.
pub struct ServiceAccountTokens {
    pub issuer: Arc<Issuer>,
    pub bound: Arc<dyn Bound>,
    pub clock: Arc<dyn Clock>,
}

impl Authenticator for ServiceAccountTokens {
    fn authenticate<'a>(&'a self, request: &'a Request) -> Reply<'a, Finding> {
        let Credentials::Bearer(token) = &request.credentials else { return Reply::now(Ok(None)) };
        let now = self.clock.now();
        let checked = self.issuer.verify(token, &[], now);
        let found = checked.and_then(|(signed, _)| {
            let proof = match signed {
                Signed::Bound(_) => Proof::ServiceAccountToken,
                Signed::Legacy(_) => Proof::SecretToken,
            };
            Ok(Some(known(token_user(&signed, token, &*self.bound, now)?, proof)))
        });
        Reply::now(found)
    }
}

/// The user of a token of a service account, when the account and what the token depends on are still there.
///
/// # Errors
/// A text saying what is gone.
pub fn token_user(signed: &Signed, text: &str, bound: &dyn Bound, now: Timestamp) -> Result<User, String> {
    match signed {
        Signed::Bound(claims) => token::user(claims, bound, now),
        Signed::Legacy(claims) => legacy::user(claims, text, bound),
    }
}
