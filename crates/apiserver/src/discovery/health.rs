//! `/healthz`, `/livez` and `/readyz`, whole or check by check.
// k8s: staging/src/k8s.io/apiserver/pkg/server/healthz/healthz.go

use meta::{Request, Response};

use crate::server::Server;

struct Check {
    name: &'static str,
    ok: bool,
}

fn checks(server: &Server, root: &str) -> Vec<Check> {
    let mut all = vec![
        Check { name: "ping", ok: true },
        Check { name: "log", ok: true },
        // A server on a full disk still reads and heals by itself: it is alive, but not ready.
        Check { name: "etcd", ok: root == "livez" || server.config.store.is_writable() },
    ];
    if root != "livez" {
        all.push(Check { name: "informer-sync", ok: server.is_loaded() });
    }
    for name in ["poststarthook/rbac/bootstrap-roles", "poststarthook/bootstrap-controller"] {
        all.push(Check { name, ok: root == "livez" || server.is_ready() });
    }
    all
}

/// The answer when the path is a health path.
pub(crate) fn answer(server: &Server, request: &Request, path: &str) -> Option<Response> {
    let rest = path.strip_prefix('/')?;
    let (root, one) = rest.split_once('/').unwrap_or((rest, ""));
    if !matches!(root, "healthz" | "livez" | "readyz") {
        return None;
    }
    let excluded: Vec<&str> = request.query.all("exclude").collect();
    let mut all = checks(server, root);
    if !one.is_empty() {
        let check = all.iter().find(|c| c.name == one)?;
        return Some(if check.ok {
            text(200, "ok".into())
        } else {
            text(500, "internal server error: not ready\n".into())
        });
    }
    all.retain(|c| !excluded.contains(&c.name));
    let failed = all.iter().any(|c| !c.ok);
    if !failed && request.query.get("verbose").is_none() {
        return Some(text(200, "ok".into()));
    }
    let mut out = String::new();
    for c in &all {
        out.push_str(&match c.ok {
            true => format!("[+]{} ok\n", c.name),
            false => format!("[-]{} failed: reason withheld\n", c.name),
        });
    }
    for name in excluded {
        out.push_str(&format!("[+]{name} excluded: ok\n"));
    }
    out.push_str(&format!("{root} check {}\n", if failed { "failed" } else { "passed" }));
    Some(text(if failed { 500 } else { 200 }, out))
}

fn text(code: u16, body: String) -> Response {
    let mut response = Response::text(code, body);
    response.headers.push(("x-content-type-options", "nosniff".to_owned()));
    response.headers.push(("cache-control", "no-cache, private".to_owned()));
    response
}
