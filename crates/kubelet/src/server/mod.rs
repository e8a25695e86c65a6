//! The agent's HTTPS server on port 10250: logs, exec, attach, port-forward, pods, stats, metrics.
//!
//! Who may use it is decided in [`auth`]; paths are decided here, HTTP by `wire`.

mod auth;
mod exec;
mod forward;
mod info;
mod logs;
mod metrics;
mod terminal;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use meta::{BoxFuture, Handler, Request, Response, Status, Target};
use tokio::net::TcpListener;
use wire::stream::{Session, Upgrader};

use crate::run::{Shared, actor::Door};
use crate::spec::PodExt;

/// How often it is looked for a certificate that is to come.
const TLS_FILES_POLL: Duration = Duration::from_millis(200);

/// How often it is looked whether it was renewed.
const TLS_FILES_LOOK: Duration = Duration::from_secs(3600);

/// Serves until the agent stops. Without a certificate there is no server.
pub(crate) async fn run(shared: Arc<Shared>) -> io::Result<()> {
    let c = &shared.config;
    let (Some(cert), Some(key)) = (&c.tls_cert_file, &c.tls_key_file) else {
        tracing::info!("no serving certificate: logs and exec are not offered");
        shared.ctx.stop.cancelled().await;
        return Ok(());
    };
    while c.await_tls_files && !(cert.exists() && key.exists()) {
        tokio::select! {
            () = shared.ctx.stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(TLS_FILES_POLL) => {}
        }
    }
    let ca = c.client_ca_file.as_ref().map(std::fs::read).transpose()?;
    let shown = std::fs::read(cert)?;
    let tls = wire::tls::Tls::new(&shown, &std::fs::read(key)?, ca.as_deref()).map_err(io::Error::other)?;
    let tls = Arc::new(tls);
    let listener = TcpListener::bind(c.listen)
        .await
        .map_err(|e| io::Error::new(e.kind(), format!("listen on {}: {e}", c.listen)))?;
    let server = Arc::new(Server { shared: shared.clone() });
    let mut config = wire::server::Config::plain(shared.ctx.clock.clone());
    config.tls = Some(tls.clone());
    config.upgrader = Some(server.clone());
    let stop = shared.ctx.stop.clone();
    let follow = follow_files(&tls, shown, cert, key);
    let serve = wire::server::serve(listener, config, server, async move { stop.cancelled().await });
    tokio::select! {
        () = serve => {}
        () = follow => {}
    }
    Ok(())
}

/// Shows a certificate that was renewed in its files to new connections. Does not end.
// k8s: ReloadKubeletServerCertificateFile
async fn follow_files(tls: &wire::tls::Tls, mut shown: Vec<u8>, cert: &Path, key: &Path) {
    loop {
        tokio::time::sleep(TLS_FILES_LOOK).await;
        let (Ok(cert), Ok(key)) = (std::fs::read(cert), std::fs::read(key)) else { continue };
        if cert == shown {
            continue;
        }
        match tls.replace(&cert, &key) {
            Ok(()) => tracing::info!("the serving certificate is renewed"),
            // Of two files that are being replaced one may still be the old one.
            Err(e) => {
                tracing::warn!("the renewed serving certificate: {e}");
                continue;
            }
        }
        shown = cert;
    }
}

/// Answers requests.
struct Server {
    shared: Arc<Shared>,
}

/// A plain-text answer, as kubelets give errors.
fn text(code: u16, message: impl Into<String>) -> Response {
    Response::text(code, message.into())
}

impl Handler for Server {
    fn handle(&self, request: Request) -> BoxFuture<'_, Response> {
        Box::pin(async move { self.answer(request).await })
    }
}

impl Server {
    async fn answer(&self, request: Request) -> Response {
        let Target::Path(path) = &request.target else { return Status::unknown_resource().into() };
        if let Err(refusal) = auth::check(&self.shared, &request).await {
            return refusal;
        }
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        match parts.as_slice() {
            ["pods"] | ["pods", ""] => info::pods(&self.shared),
            ["runningpods"] => info::pods(&self.shared),
            ["containerLogs", ns, pod, container] => {
                logs::answer(&self.shared, ns, pod, container, &request).await
            }
            ["stats", "summary"] => info::summary(&self.shared).await,
            ["metrics", "resource"] => metrics::resource(&self.shared).await,
            ["metrics"] => metrics::own(&self.shared),
            ["healthz"] | ["healthz", "ping"] => text(200, "ok"),
            ["configz"] => info::configz(&self.shared),
            ["exec" | "attach" | "portForward", ..] => text(400, "Upgrade request required"),
            _ => text(404, "404 page not found"),
        }
    }

    async fn session(&self, request: Request) -> Result<Session, Response> {
        let Target::Path(path) = &request.target else { return Err(Status::unknown_resource().into()) };
        auth::check(&self.shared, &request).await?;
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        match parts.as_slice() {
            ["exec", ns, pod, container] | ["exec", ns, pod, _, container] => {
                exec::exec(&self.shared, ns, pod, container, &request).await
            }
            ["attach", ns, pod, container] | ["attach", ns, pod, _, container] => {
                exec::attach(&self.shared, ns, pod, container, &request).await
            }
            ["portForward", ns, pod] | ["portForward", ns, pod, _] => {
                forward::forward(&self.shared, ns, pod, &request).await
            }
            _ => Err(text(404, "404 page not found")),
        }
    }
}

impl Upgrader for Server {
    fn upgrade(&self, request: Request) -> BoxFuture<'_, Result<Session, Response>> {
        Box::pin(async move { self.session(request).await })
    }
}

/// A pod of this node by name.
fn find(shared: &Shared, namespace: &str, name: &str) -> Result<(Arc<Pod>, Door), Response> {
    let doors: Vec<Door> = shared.actors.lock().values().cloned().collect();
    // Of two pods of one name, the one that is not on its way out.
    let mut found: Vec<(Arc<Pod>, Door)> = doors
        .into_iter()
        .map(|d| {
            let pod = d.pod.lock().clone();
            (pod, d)
        })
        .filter(|(p, _)| p.ns() == namespace && p.nm() == name)
        .collect();
    found.sort_by_key(|(p, _)| p.metadata.deletion_timestamp.is_some());
    found.into_iter().next().ok_or_else(|| text(404, format!("pod \"{name}\" not found")))
}
