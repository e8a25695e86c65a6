//! Who may use the server: clients with a certificate of the cluster's CA that are the API server or an
//! administrator; bearer tokens are asked about at the API server.
// k8s: pkg/kubelet/server/auth.go

use control::delegate::{Wish, is_allowed, user_of_token};
use meta::{Credentials, Request, Response, Target, User};
use serde_json::json;
use wire::pki::user_of_certificate;

use super::text;
use crate::run::Shared;

/// Lets the request through, or gives the refusal: 401 without an identity, 403 without the right.
pub(super) async fn check(shared: &Shared, request: &Request) -> Result<(), Response> {
    let who = match &request.credentials {
        Credentials::Certificate(der) => user_of_certificate(der),
        Credentials::Bearer(token) => user_of_token(shared.ctx.client.as_ref(), token).await,
        _ => None,
    };
    let Some(who) = who else { return Err(text(401, "Unauthorized")) };
    let master = who.in_group("system:masters");
    if master || shared.config.allowed_users.contains(&who.name) || reviewed(shared, &who, request).await {
        return Ok(());
    }
    let (verb, sub) = asked(request);
    Err(text(403, format!("Forbidden (user={}, verb={verb}, resource=nodes, subresource={sub})", who.name)))
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

async fn reviewed(shared: &Shared, who: &User, request: &Request) -> bool {
    let (verb, sub) = asked(request);
    let wish = Wish::Resource(json!({
        "verb": verb, "version": "v1", "resource": "nodes", "subresource": sub, "name": shared.config.node_name}));
    is_allowed(shared.ctx.client.as_ref(), who, &wish).await
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
