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
    if who.in_group("system:masters") || shared.config.allowed_users.contains(&who.name) {
        return Ok(());
    }
    let (verb, subresources) = asked(request);
    for subresource in subresources {
        if reviewed(shared, &who, verb, subresource).await {
            return Ok(());
        }
    }
    let names = subresources.join(" ");
    Err(text(
        403,
        format!("Forbidden (user={}, verb={verb}, resource=nodes, subresource(s)=[{names}])\n", who.name),
    ))
}

/// Paths with the subresources of `nodes` that open them and all below, asked for in this order.
// k8s: pkg/kubelet/server/auth.go GetRequestAttributes
const PATHS: [(&str, &[&str]); 9] = [
    ("pods", &["pods", "proxy"]),
    ("runningpods", &["pods", "proxy"]),
    ("healthz", &["healthz", "proxy"]),
    ("configz", &["configz", "proxy"]),
    ("statusz", &["statusz", "proxy"]),
    ("stats", &["stats"]),
    ("metrics", &["metrics"]),
    ("logs", &["log"]),
    ("checkpoint", &["checkpoint"]),
];

/// The verb and the subresources of `nodes` that a request stands for; one of them is enough.
fn asked(request: &Request) -> (&'static str, &'static [&'static str]) {
    let verb = match request.method.as_str() {
        "POST" => "create",
        "PUT" => "update",
        "DELETE" => "delete",
        "PATCH" => "patch",
        _ => "get",
    };
    let Target::Path(path) = &request.target else { return (verb, &["proxy"]) };
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    let found = PATHS.iter().find(|(name, _)| *name == first);
    (verb, found.map_or(&["proxy"], |(_, subresources)| subresources))
}

async fn reviewed(shared: &Shared, who: &User, verb: &str, subresource: &str) -> bool {
    let wish = Wish::Resource(json!({
        "verb": verb, "version": "v1", "resource": "nodes", "subresource": subresource,
        "name": shared.config.node_name}));
    is_allowed(shared.ctx.client.as_ref(), who, &wish).await
}

#[cfg(test)]
mod tests {
    use meta::Verb;

    use super::*;

    #[test]
    fn requests_stand_for_subresources() {
        let cases = [
            ("/pods", "pods proxy"),
            ("/pods/", "pods proxy"),
            ("/podsx", "proxy"),
            ("/runningpods/", "pods proxy"),
            ("/healthz", "healthz proxy"),
            ("/healthz/ping", "healthz proxy"),
            ("/configz", "configz proxy"),
            ("/stats/summary", "stats"),
            ("/metrics", "metrics"),
            ("/metrics/resource", "metrics"),
            ("/logs/syslog", "log"),
            ("/checkpoint/a/b/c", "checkpoint"),
            ("/containerLogs/a/b/c", "proxy"),
            ("/exec/a/b/c", "proxy"),
            ("/attach/a/b/c", "proxy"),
            ("/portForward/a/b", "proxy"),
            ("/run/a/b/c", "proxy"),
            ("/", "proxy"),
        ];
        for (path, want) in cases {
            let r = Request::new(Verb::Get, Target::Path(path.to_owned()));
            let (verb, subresources) = asked(&r);
            assert_eq!((verb, subresources.join(" ").as_str()), ("get", want), "{path}");
        }
    }
}
