//! TokenReview, and how a user is shown.

use meta::{Status, User};
use schema::{Map, Value};

use crate::authenticate::service_account::token_user;
use crate::authenticate::token::Issuer;
use crate::request::AUTHENTICATED;
use crate::storage::State;
use crate::storage::object::{map, texts};

/// Checks the token of a TokenReview.
pub(crate) fn review(state: &State, issuer: Option<&Issuer>, review: &mut Value) -> Result<(), Status> {
    let given = review.str_at(&["spec", "token"]).to_owned();
    if given.is_empty() {
        return Err(Status::bad_request("token is required for TokenReview in authentication"));
    }
    let audiences: Vec<String> =
        review.list_at(&["spec", "audiences"]).iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let checked = match issuer {
        None => Err("no token issuer is configured".to_owned()),
        Some(issuer) => issuer
            .verify(&given, &audiences, state.now())
            .and_then(|(claims, common)| Ok((token_user(&claims, &given, state, state.now())?, common))),
    };
    let status = match checked {
        Ok((mut user, common)) => {
            user.groups.push(AUTHENTICATED.to_owned());
            map([("authenticated", true.into()), ("user", user_info(&user)), ("audiences", texts(&common))])
        }
        Err(why) => map([("user", map([])), ("error", format!("[invalid bearer token, {why}]").into())]),
    };
    review.set_at(&["status"], status);
    Ok(())
}

/// A user as `UserInfo`.
pub(crate) fn user_info(user: &User) -> Value {
    let mut out = map([("username", user.name.as_str().into())]);
    if !user.uid.is_empty() {
        out.set_at(&["uid"], user.uid.as_str());
    }
    if !user.groups.is_empty() {
        out.set_at(&["groups"], texts(&user.groups));
    }
    if !user.extra.is_empty() {
        let mut extra = Map::new();
        for (k, v) in &user.extra {
            extra.set(k.clone(), texts(v));
        }
        out.set_at(&["extra"], Value::Map(extra));
    }
    out
}
