//! The small servers of components that run apart: health for probes, metrics for those who may read them, at
//! upstream's addresses.
// k8s: staging/src/k8s.io/apiserver/pkg/server/options/{serving,authorization}.go; pkg/proxy/healthcheck/proxy_health.go

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, bail};
use control::Context;
use control::delegate::{Wish, is_allowed, user_of_token};
use meta::{Body, BoxFuture, Credentials, Handler, Request, Response, Status, Target, User};
use tokio::net::TcpListener;
use wire::server::Config;
use wire::tls::Tls;

use crate::cli::SecureServing;
use crate::host;

/// What a component says of itself.
#[derive(Debug)]
pub struct Component {
    pub name: &'static str,
    /// Whether it leads, where there is an election.
    pub leads: Option<AtomicBool>,
}

impl Component {
    /// A component; `elects`: one of several that leads.
    #[must_use]
    pub fn new(name: &'static str, elects: bool) -> Arc<Self> {
        Arc::new(Component { name, leads: elects.then(|| AtomicBool::new(false)) })
    }

    /// Notes that it leads now.
    pub fn lead(&self) {
        if let Some(leads) = &self.leads {
            leads.store(true, Ordering::Release);
        }
    }

    fn metrics(&self) -> String {
        let mut out = String::from(
            "# HELP kubernetes_build_info [BETA] Version of this build.\n# TYPE kubernetes_build_info gauge\n",
        );
        out.push_str(&format!(
            "kubernetes_build_info{{git_version=\"v1.37.0\",platform=\"{}\"}} 1\n",
            host::platform()
        ));
        if let Some(leads) = &self.leads {
            out.push_str(
                "# HELP leader_election_master_status [ALPHA] 1 while this process leads.\n\
                 # TYPE leader_election_master_status gauge\n",
            );
            let value = u8::from(leads.load(Ordering::Acquire));
            out.push_str(&format!("leader_election_master_status{{name=\"{}\"}} {value}\n", self.name));
        }
        out
    }
}

/// Answers for one component.
struct Server {
    component: Arc<Component>,
    /// Who may read metrics is asked here; without it everybody may.
    guard: Option<Context>,
    /// What else is answered to everybody: path and text.
    extra: Vec<(&'static str, &'static str)>,
}

impl Handler for Server {
    fn handle(&self, request: Request) -> BoxFuture<'_, Response> {
        Box::pin(async move { self.answer(&request).await })
    }
}

impl Server {
    async fn answer(&self, request: &Request) -> Response {
        let Target::Path(path) = &request.target else { return not_found() };
        let path = path.as_str();
        if matches!(
            path,
            "/healthz" | "/livez" | "/readyz" | "/healthz/ping" | "/livez/ping" | "/readyz/ping"
        ) {
            return Response::text(200, health(path, request.query.get("verbose").is_some()));
        }
        if let Some((_, text)) = self.extra.iter().find(|(p, _)| *p == path) {
            return Response::text(200, *text);
        }
        if let Err(refusal) = self.check(request, path).await {
            return refusal.into();
        }
        match path {
            "/metrics" => Response::new(
                200,
                "text/plain; version=0.0.4; charset=utf-8",
                Body::Full(self.component.metrics().into()),
            ),
            _ => not_found(),
        }
    }

    async fn check(&self, request: &Request, path: &str) -> Result<(), Status> {
        let Some(ctx) = &self.guard else { return Ok(()) };
        let user = match &request.credentials {
            Credentials::Bearer(token) => user_of_token(ctx.client.as_ref(), token).await,
            Credentials::Certificate(der) => wire::pki::user_of_certificate(der),
            Credentials::None => Some(User::new("system:anonymous", &["system:unauthenticated"])),
            Credentials::Internal(_) => None,
        };
        let Some(user) = user else { return Err(Status::unauthorized()) };
        let verb = request.method.to_lowercase();
        if is_allowed(ctx.client.as_ref(), &user, &Wish::Path { verb: &verb, path }).await {
            return Ok(());
        }
        let message = format!("forbidden: User \"{}\" cannot {verb} path \"{path}\"", user.name);
        Err(Status::failure(403, "Forbidden", message))
    }
}

fn health(path: &str, verbose: bool) -> String {
    let root = path.trim_start_matches('/');
    match verbose && !root.contains('/') {
        true => format!("[+]ping ok\n{root} check passed\n"),
        false => "ok".to_owned(),
    }
}

fn not_found() -> Response {
    Response::text(404, "404 page not found\n")
}

async fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("listen on {address}"))
}

/// Serves health and metrics over TLS until the context is stopped. Port 0: not at all.
///
/// # Errors
/// When the port is taken or the certificates cannot be used.
pub async fn secure(ctx: &Context, component: &Arc<Component>, o: &SecureServing, port: u16) -> Result<()> {
    let port = o.secure_port.unwrap_or(port);
    if port == 0 {
        return Ok(());
    }
    let read = |path: &PathBuf| std::fs::read(path).with_context(|| path.display().to_string());
    let (cert, key) = match (&o.tls.tls_cert_file, &o.tls.tls_private_key_file) {
        (Some(cert), Some(key)) => (read(cert)?, read(key)?),
        (None, None) => {
            let addresses = [IpAddr::V4(Ipv4Addr::LOCALHOST), host::address()];
            let pair = wire::pki::self_signed("localhost", &addresses, ctx.now())?;
            (pair.cert_pem.into_bytes(), pair.key_pem.into_bytes())
        }
        _ => bail!("--tls-cert-file and --tls-private-key-file go together"),
    };
    let ca = o.tls.client_ca_file.as_ref().map(read).transpose()?;
    let tls = Tls::new(&cert, &key, ca.as_deref())?;
    let listener = listen(SocketAddr::new(o.bind_address, port)).await?;
    let server = Server { component: component.clone(), guard: Some(ctx.clone()), extra: Vec::new() };
    serve(ctx, listener, Some(tls), server);
    Ok(())
}

/// Serves health over plain HTTP, to everybody; with `metrics` these too, and the extra paths.
///
/// # Errors
/// When the port is taken.
pub async fn plain(
    ctx: &Context,
    component: &Arc<Component>,
    address: SocketAddr,
    metrics: bool,
    extra: Vec<(&'static str, &'static str)>,
) -> Result<()> {
    if address.port() == 0 {
        return Ok(());
    }
    let listener = listen(address).await?;
    if metrics {
        serve(ctx, listener, None, Server { component: component.clone(), guard: None, extra });
    } else {
        serve(ctx, listener, None, HealthOnly);
    }
    Ok(())
}

/// Nothing but health.
struct HealthOnly;

impl Handler for HealthOnly {
    fn handle(&self, request: Request) -> BoxFuture<'_, Response> {
        let healthy = matches!(&request.target, Target::Path(p) if p == "/healthz" || p == "/livez");
        Box::pin(std::future::ready(if healthy { Response::text(200, "ok") } else { not_found() }))
    }
}

fn serve(ctx: &Context, listener: TcpListener, tls: Option<Tls>, server: impl Handler) {
    let mut config = Config::plain(ctx.clock.clone());
    config.tls = tls.map(Arc::new);
    let stop = ctx.stop.clone();
    tokio::spawn(wire::server::serve(
        listener,
        config,
        Arc::new(server),
        async move { stop.cancelled().await },
    ));
}
