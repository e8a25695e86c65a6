//! `/healthz`, `/livez` and `/readyz`, whole or check by check.
// k8s: staging/src/k8s.io/apiserver/pkg/server/healthz/healthz.go

use meta::{Request, Response};

use crate::storage::State;

struct Check {
    name: &'static str,
    ok: bool,
}

fn checks(state: &State, root: &str) -> Vec<Check> {
    let store = &state.store;
    let mut all = vec![
        Check { name: "ping", ok: true },
        Check { name: "log", ok: true },
        // A server on a full disk still reads and heals by itself: it is alive, but not ready. One whose writer
        // has ended does not.
        Check { name: "etcd", ok: store.is_alive() && (root == "livez" || store.is_writable()) },
    ];
    if root != "livez" {
        all.push(Check { name: "informer-sync", ok: state.is_loaded() });
    }
    for name in ["poststarthook/rbac/bootstrap-roles", "poststarthook/bootstrap-controller"] {
        all.push(Check { name, ok: root == "livez" || state.is_ready() });
    }
    all
}

/// The answer when the path is a health path.
pub(crate) fn answer(state: &State, request: &Request, path: &str) -> Option<Response> {
    let rest = path.strip_prefix('/')?;
    let (root, one) = rest.split_once('/').unwrap_or((rest, ""));
    if !matches!(root, "healthz" | "livez" | "readyz") {
        return None;
    }
    let mut excluded: Vec<&str> = request.query.all("exclude").collect();
    let all = checks(state, root);
    if !one.is_empty() {
        let check = all.iter().find(|c| c.name == one)?;
        return Some(if check.ok {
            text(200, "ok".into())
        } else {
            text(500, "internal server error: not ready\n".into())
        });
    }
    let failed = all.iter().any(|c| !c.ok && !excluded.contains(&c.name));
    if !failed && request.query.get("verbose").is_none() {
        return Some(text(200, "ok".into()));
    }
    let mut out = String::new();
    for c in &all {
        out.push_str(&match c.ok {
            _ if excluded.contains(&c.name) => format!("[+]{} excluded: ok\n", c.name),
            true => format!("[+]{} ok\n", c.name),
            false => format!("[-]{} failed: reason withheld\n", c.name),
        });
    }
    excluded.retain(|name| all.iter().all(|c| c.name != *name));
    if !excluded.is_empty() {
        let names: Vec<String> = excluded.iter().map(|name| format!("{name:?}")).collect();
        let names = names.join(", ");
        out.push_str(&format!("warn: some health checks cannot be excluded: no matches for {names}\n"));
    }
    out.push_str(&format!("{root} check {}\n", if failed { "failed" } else { "passed" }));
    Some(text(if failed { 500 } else { 200 }, out))
}

fn text(code: u16, body: String) -> Response {
    let mut response = Response::text(code, body);
    response.headers.push(("x-content-type-options", "nosniff".to_owned()));
    response
}
