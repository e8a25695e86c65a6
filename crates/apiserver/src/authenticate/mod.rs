//! Who asks: certificate, service-account token, bootstrap token, in-process identity, or nobody.

pub mod bootstrap;
mod bound;
pub mod certificate;
pub mod impersonate;
pub mod legacy;
pub mod token;

use jiff::Timestamp;
use meta::{Credentials, Status, User};

use crate::request::{ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED};
use token::{Bound, Issuer, Signed};

/// The identity behind credentials.
///
/// # Errors
/// 401 for credentials that are not valid.
pub fn authenticate(
    credentials: &Credentials,
    known: &certificate::Known,
    issuer: Option<&Issuer>,
    bound: &dyn Bound,
    now: Timestamp,
) -> Result<User, Status> {
    let mut user = match credentials {
        Credentials::None => return Ok(User::new(ANONYMOUS, &[UNAUTHENTICATED])),
        Credentials::Internal(user) | Credentials::Admitted(user) => user.clone(),
        Credentials::Certificate(der) => known.user(der)?,
        Credentials::Bearer(text) if bootstrap::is_bootstrap(text) => {
            let secret = bound.secret(bootstrap::NAMESPACE, &bootstrap::secret_name(text));
            bootstrap::user(text, secret.as_deref(), now).map_err(|why| {
                tracing::debug!(why, "a bootstrap token was refused");
                Status::unauthorized()
            })?
        }
        Credentials::Bearer(text) => {
            let issuer = issuer.ok_or_else(Status::unauthorized)?;
            let checked =
                issuer.verify(text, &[], now).and_then(|(signed, _)| token_user(&signed, text, bound, now));
            checked.map_err(|why| {
                tracing::debug!(why, "a bearer token was refused");
                Status::unauthorized()
            })?
        }
    };
    if user.name != ANONYMOUS && !user.in_group(AUTHENTICATED) {
        user.groups.push(AUTHENTICATED.to_owned());
    }
    Ok(user)
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
