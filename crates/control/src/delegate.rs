//! Who sends a bearer token, and what a user may do, asked at the API server: for the servers of components, which
//! know neither. Nothing is remembered between questions.
// k8s: staging/src/k8s.io/apiserver/pkg/server/options/authentication.go, authorization.go

use client::{Api, Client};
use meta::{Gvr, User};
use serde_json::{Value, json};

const TOKEN_REVIEWS: Gvr = Gvr::new("authentication.k8s.io", "v1", "tokenreviews");
const ACCESS_REVIEWS: Gvr = Gvr::new("authorization.k8s.io", "v1", "subjectaccessreviews");

/// What a user wants to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Wish<'a> {
    /// `resourceAttributes` of a SubjectAccessReview.
    Resource(Value),
    /// A path that is no resource.
    Path { verb: &'a str, path: &'a str },
}

/// The user that a bearer token belongs to; `None` when nobody, or when the API server does not answer.
pub async fn user_of_token(client: &dyn Client, token: &str) -> Option<User> {
    let review =
        json!({"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "spec": {"token": token}});
    let answer = create(client, TOKEN_REVIEWS, &review).await?;
    if answer["status"]["authenticated"] != true {
        return None;
    }
    let user = &answer["status"]["user"];
    let groups: Vec<&str> =
        user["groups"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    Some(User::new(user["username"].as_str()?, &groups))
}

/// Whether the user may; no when the API server does not answer.
pub async fn is_allowed(client: &dyn Client, user: &User, wish: &Wish<'_>) -> bool {
    let mut spec = json!({"user": user.name, "groups": user.groups});
    match wish {
        Wish::Resource(attributes) => spec["resourceAttributes"] = attributes.clone(),
        Wish::Path { verb, path } => spec["nonResourceAttributes"] = json!({"verb": verb, "path": path}),
    }
    let review =
        json!({"kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "spec": spec});
    create(client, ACCESS_REVIEWS, &review).await.is_some_and(|a| a["status"]["allowed"] == true)
}

async fn create(client: &dyn Client, gvr: Gvr, object: &Value) -> Option<Value> {
    let answer = Api::new(client, gvr, "").create(object.to_string().into_bytes()).await.ok()?;
    meta::json::read(&answer).ok()
}
