//! Lifecycle hooks.
// k8s: pkg/kubelet/lifecycle/handlers.go

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, LifecycleHandler, Pod};

use wire::get;

use super::{Shared, prober};
use crate::error::{Error, Result};
use crate::spec::PodExt;

/// The longest a postStart hook may take.
const POST_START_LIMIT: Duration = Duration::from_secs(3600);
const HTTP_LIMIT: Duration = Duration::from_secs(30);

/// Runs a container's postStart hook.
pub(super) async fn post_start(
    shared: &Shared,
    pod: &Pod,
    name: &str,
    id: &str,
    ips: &[String],
) -> Result<()> {
    let Some(spec) = pod.container(name) else { return Ok(()) };
    let Some(hook) = spec.lifecycle.as_ref().and_then(|l| l.post_start.as_ref()) else { return Ok(()) };
    run(shared, pod, &spec, hook, id, ips, POST_START_LIMIT).await
}

/// Runs one handler within `limit`.
pub(super) async fn run(
    shared: &Shared,
    pod: &Pod,
    spec: &Container,
    hook: &LifecycleHandler,
    id: &str,
    ips: &[String],
    limit: Duration,
) -> Result<()> {
    let fail = |why: String| Error::Hook(why);
    if let Some(e) = &hook.exec {
        let command = e.command.clone().unwrap_or_default();
        let shown = command.join(" ");
        let seconds = i64::try_from(limit.as_secs().max(1)).unwrap_or(i64::MAX);
        let r = shared.runtime.exec_sync(id, command, seconds).await?;
        if r.exit_code == 0 {
            return Ok(());
        }
        let out = String::from_utf8_lossy(&[r.stdout, r.stderr].concat()).into_owned();
        return Err(fail(format!("command '{shown}' exited with {}: {out}", r.exit_code)));
    }
    if let Some(h) = &hook.http_get {
        let ip = if pod.host_network() { shared.node.host_ips.first() } else { ips.first() };
        let host = h.host.clone().filter(|h| !h.is_empty()).or(ip.cloned()).unwrap_or_default();
        let port = prober::port_of(spec, &h.port).ok_or_else(|| fail("invalid port".to_owned()))?;
        let https = h.scheme.as_deref().is_some_and(|s| s.eq_ignore_ascii_case("https"));
        let headers: Vec<(String, String)> =
            h.http_headers.iter().flatten().map(|h| (h.name.clone(), h.value.clone())).collect();
        let ask =
            get::Get { https, host: &host, port, path: h.path.as_deref().unwrap_or("/"), headers: &headers };
        let (code, _) = get::get(&ask, limit.min(HTTP_LIMIT)).await.map_err(fail)?;
        return if code < 400 { Ok(()) } else { Err(fail(format!("HTTP hook answered with {code}"))) };
    }
    if let Some(s) = &hook.sleep {
        let d = Duration::from_secs(u64::try_from(s.seconds).unwrap_or(0));
        shared.ctx.sleep(d.min(limit)).await;
        return Ok(());
    }
    Err(fail("this kind of lifecycle hook is not supported by this kubelet".to_owned()))
}
