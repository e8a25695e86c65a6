//! Who may use the server: clients with a certificate of the cluster's CA that are the API server or an
//! administrator; bearer tokens are asked about at the API server.
// k8s: pkg/kubelet/server/auth.go

use client::Api;
use meta::{Credentials, Gvr, Request, Response, Target};
use serde_json::{Value, json};
use x509_parser::prelude::FromDer;
use x509_parser::prelude::X509Certificate;

use super::text;
use crate::run::Shared;

const TOKEN_REVIEWS: Gvr = Gvr::new("authentication.k8s.io", "v1", "tokenreviews");
const ACCESS_REVIEWS: Gvr = Gvr::new("authorization.k8s.io", "v1", "subjectaccessreviews");

struct Who {
    name: String,
    groups: Vec<String>,
}

/// Lets the request through, or gives the refusal: 401 without an identity, 403 without the right.
pub(super) async fn check(shared: &Shared, request: &Request) -> Result<(), Response> {
    let who = match &request.credentials {
        Credentials::Certificate(der) => of_certificate(der),
        Credentials::Bearer(token) => of_token(shared, token).await,
        _ => None,
    };
    let Some(who) = who else { return Err(text(401, "Unauthorized")) };
    let master = who.groups.iter().any(|g| g == "system:masters");
    if master || shared.config.allowed_users.contains(&who.name) || reviewed(shared, &who, request).await {
        return Ok(());
    }
    let (verb, sub) = asked(request);
    Err(text(403, format!("Forbidden (user={}, verb={verb}, resource=nodes, subresource={sub})", who.name)))
}

fn of_certificate(der: &[u8]) -> Option<Who> {
    let (_, cert) = X509Certificate::from_der(der).ok()?;
    let name = cert.subject().iter_common_name().next()?.as_str().ok()?.to_owned();
    let groups =
        cert.subject().iter_organization().filter_map(|o| o.as_str().ok().map(str::to_owned)).collect();
    Some(Who { name, groups })
}

async fn of_token(shared: &Shared, token: &str) -> Option<Who> {
    let review =
        json!({"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "spec": {"token": token}});
    let answer = create(shared, TOKEN_REVIEWS, review).await?;
    if answer["status"]["authenticated"] != true {
        return None;
    }
    let user = &answer["status"]["user"];
    let groups =
        user["groups"].as_array().into_iter().flatten().filter_map(|g| g.as_str().map(str::to_owned));
    Some(Who { name: user["username"].as_str()?.to_owned(), groups: groups.collect() })
}

async fn create(shared: &Shared, gvr: Gvr, object: Value) -> Option<Value> {
    let answer =
        Api::new(shared.ctx.client.as_ref(), gvr, "").create(object.to_string().into_bytes()).await.ok()?;
    serde_json::from_slice(&answer).ok()
}

/// The verb and the subresource of `nodes` that a request stands for.
fn asked(request: &Request) -> (&'static str, &'static str) {
    let verb = match request.method.as_str() {
        "POST" => "create",
        "PUT" => "update",
        "DELETE" => "delete",
        "PATCH" => "patch",
        _ => "get",
    };
    let Target::Path(path) = &request.target else { return (verb, "proxy") };
    let first = path.trim_matches('/').split('/').next().unwrap_or_default();
    let sub = match first {
        "stats" => "stats",
        "metrics" => "metrics",
        "logs" => "log",
        "pods" | "runningpods" => "pods",
        "configz" => "configz",
        _ => "proxy",
    };
    (verb, sub)
}

async fn reviewed(shared: &Shared, who: &Who, request: &Request) -> bool {
    let (verb, sub) = asked(request);
    let review = json!({
        "kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1",
        "spec": {"user": who.name, "groups": who.groups, "resourceAttributes": {
            "verb": verb, "version": "v1", "resource": "nodes", "subresource": sub,
            "name": shared.config.node_name}},
    });
    create(shared, ACCESS_REVIEWS, review).await.is_some_and(|a| a["status"]["allowed"] == true)
}

#[cfg(test)]
mod tests {
    use meta::Verb;

    use super::*;

    #[test]
    fn requests_stand_for_subresources() {
        let cases = [
            ("/pods", "pods"),
            ("/stats/summary", "stats"),
            ("/metrics/resource", "metrics"),
            ("/containerLogs/a/b/c", "proxy"),
            ("/exec/a/b/c", "proxy"),
        ];
        for (path, want) in cases {
            let r = Request::new(Verb::Get, Target::Path(path.to_owned()));
            assert_eq!(asked(&r), ("get", want), "{path}");
        }
    }
}
