//! The API server as a process runs it: state directory, keys, store, listener. It also serves in-process
//! clients through `Client::Local`.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use apiserver::{Issuer, Server, Timer};
use client::{Client, Local};
use jiff::Timestamp;
use meta::{BoxFuture, Handler, User};
use store::redb::{RedbOptions, RedbStore};
use sys::{Clock, Entropy, SystemClock, SystemEntropy};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wire::pki::{CLIENTS, KUBELET_CLIENT, Leaf, Pair, Pki, apiserver_names};
use wire::tls::Tls;
use wire::tunnel::{Dialer, DialerOptions};

use super::certificates::{self, Users};
use crate::cli::{ApiFlags, TlsFlags};
use crate::state::StateDir;
use crate::supervise;

/// How often expired Events are looked for.
const SWEEP: Duration = Duration::from_secs(30);

/// Who must have signed the certificates that kubelets show.
#[derive(Clone, Debug)]
pub enum KubeletCa {
    /// Nobody: any certificate is taken.
    Any,
    /// The cluster's own authority.
    Own,
    /// The authorities in a PEM file.
    File(std::path::PathBuf),
}

/// Settings of one API server.
#[derive(Clone, Debug)]
pub struct Settings {
    pub api: ApiFlags,
    /// PEM files that replace the generated ones.
    pub tls: TlsFlags,
    /// What others reach it by.
    pub advertise_address: IpAddr,
    pub node_ports: RangeInclusive<u16>,
    pub cluster_domain: String,
    /// The `iss` of service-account tokens; empty: `https://kubernetes.default.svc.<domain>`.
    pub issuer: String,
    pub api_audiences: Vec<String>,
    /// Further names and addresses for the serving certificate.
    pub extra_names: Vec<String>,
    pub kubelet_ca: KubeletCa,
    pub service_account_key_file: Option<std::path::PathBuf>,
    pub always_allow: bool,
    pub admission: apiserver::AdmissionPlugins,
    pub anonymous: bool,
    pub max_reads: usize,
    pub max_writes: usize,
    pub event_ttl: Duration,
    /// What kubeconfigs call the cluster.
    pub context: String,
}

/// A running server.
pub struct ApiServer {
    pub server: Arc<Server>,
    pub pki: Arc<Pki>,
    pub address: SocketAddr,
    /// What kubeconfigs call the cluster.
    pub context: String,
    serving: JoinHandle<()>,
    stop: CancellationToken,
}

struct TokioTimer;

impl Timer for TokioTimer {
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| path.display().to_string())
}

/// Keys, store and server; listens before it returns, and is loaded.
///
/// # Errors
/// What is wrong with the state directory, the address or a file, in words for the user.
pub async fn start(state: &StateDir, settings: &Settings) -> Result<ApiServer> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let listen = SocketAddr::new(settings.api.bind_address, settings.api.secure_port);
    let listener = TcpListener::bind(listen).await.map_err(|e| match e.kind() {
        std::io::ErrorKind::AddrInUse => {
            anyhow!("port {} is taken by another process; choose another with --secure-port", listen.port())
        }
        _ => anyhow!("cannot listen on {listen}: {e}"),
    })?;
    let address = listener.local_addr()?;
    let pki = Arc::new(Pki::open(&state.path().join("pki"), clock.now())?);
    let (path, cache) = (state.store(), RedbOptions::default());
    let store = tokio::task::spawn_blocking(move || RedbStore::open(path, &cache)).await??;
    let mut config = apiserver::Config::new(Arc::new(store), clock.clone(), entropy, Arc::new(TokioTimer));
    config.issuer = Some(issuer(settings, &pki)?);
    config.service_cidr.clone_from(&settings.api.service_cluster_ip_range);
    config.node_ports = settings.node_ports.clone();
    config.advertise_address = settings.advertise_address;
    config.advertise_port = address.port();
    config.kubelet_client = KUBELET_CLIENT.to_owned();
    config.admission = settings.admission.clone();
    config.anonymous = settings.anonymous;
    config.max_reads = settings.max_reads;
    config.max_writes = settings.max_writes;
    config.event_ttl = settings.event_ttl;
    if settings.always_allow {
        config.authorization = apiserver::Authorization::AlwaysAllow;
    }
    let server = Server::new(config).map_err(|s| anyhow!("{s}"))?;
    let wire = wire_config(settings, &pki, clock.clone())?;
    let users = Users {
        pki: pki.clone(),
        tls: wire.tls.clone().filter(|_| settings.tls.tls_cert_file.is_none()),
        dialer: wire.dialer.clone(),
        kubeconfigs: state.path().to_owned(),
        listen: address,
        context: settings.context.clone(),
    };
    let stop = CancellationToken::new();
    let handler: Arc<dyn Handler> = server.clone();
    let serving = tokio::spawn(wire::server::serve(listener, wire, handler, stop.clone().cancelled_owned()));
    server.bootstrap().await.map_err(|s| anyhow!("the server cannot start: {s}"))?;
    tokio::spawn(keep_sweeping(server.clone(), stop.clone()));
    tokio::spawn(keep_defining(server.clone(), stop.clone()));
    tokio::spawn(keep_certificates(Arc::new(users), clock, stop.clone()));
    Ok(ApiServer { server, pki, address, context: settings.context.clone(), serving, stop })
}

fn issuer(settings: &Settings, pki: &Pki) -> Result<Issuer> {
    let url = if settings.issuer.is_empty() {
        format!("https://kubernetes.default.svc.{}", settings.cluster_domain)
    } else {
        settings.issuer.clone()
    };
    let audiences: Vec<&str> = settings.api_audiences.iter().map(String::as_str).collect();
    let key = match &settings.service_account_key_file {
        Some(path) => read(path)?,
        None => pki.service_account_key().key_pem.clone().into_bytes(),
    };
    Ok(Issuer::from_pem(&url, &audiences, &key)?)
}

fn wire_config(settings: &Settings, pki: &Pki, clock: Arc<dyn Clock>) -> Result<wire::server::Config> {
    let mut extra = settings.extra_names.clone();
    extra.push(settings.advertise_address.to_string());
    if !settings.api.bind_address.is_unspecified() {
        extra.push(settings.api.bind_address.to_string());
    }
    extra.push(crate::host::name());
    let service_ip = first_address(&settings.api.service_cluster_ip_range)?;
    let names = apiserver_names(&settings.cluster_domain, service_ip, &extra);
    let serving = match (&settings.tls.tls_cert_file, &settings.tls.tls_private_key_file) {
        (Some(cert), Some(key)) => {
            Pair { cert_pem: String::from_utf8(read(cert)?)?, key_pem: String::from_utf8(read(key)?)? }
        }
        (None, None) => pki.leaf(&Leaf::server("apiserver", "kube-apiserver", names), clock.now())?,
        _ => return Err(anyhow!("--tls-cert-file and --tls-private-key-file belong together")),
    };
    let client_ca = match &settings.tls.client_ca_file {
        Some(path) => read(path)?,
        None => pki.ca_pem().as_bytes().to_vec(),
    };
    let tls = Tls::new(serving.cert_pem.as_bytes(), serving.key_pem.as_bytes(), Some(&client_ca))?;
    let kubelet = client_pair(pki, "apiserver-kubelet-client", clock.now())?;
    let kubelet_ca = match &settings.kubelet_ca {
        KubeletCa::Any => None,
        KubeletCa::Own => Some(pki.ca_pem().as_bytes().to_vec()),
        KubeletCa::File(path) => Some(read(path)?),
    };
    let dialer = Dialer::new(&DialerOptions {
        ca_pem: kubelet_ca.as_deref(),
        client_pem: Some((kubelet.cert_pem.as_bytes(), kubelet.key_pem.as_bytes())),
    })?;
    let mut config = wire::server::Config::plain(clock);
    config.tls = Some(Arc::new(tls));
    config.dialer = Some(Arc::new(dialer));
    Ok(config)
}

/// The first address of a range: that of the `kubernetes` Service.
///
/// # Errors
/// When it is not an IPv4 range.
pub fn first_address(cidr: &str) -> Result<IpAddr> {
    nth_address(cidr, 1)
}

/// The `n`-th address of an IPv4 range.
///
/// # Errors
/// When it is not an IPv4 range.
pub fn nth_address(cidr: &str, n: u32) -> Result<IpAddr> {
    let base = cidr.split_once('/').and_then(|(ip, _)| ip.parse::<std::net::Ipv4Addr>().ok());
    let base = base.with_context(|| format!("{cidr:?} is not an IPv4 range such as 10.96.0.0/16"))?;
    Ok(IpAddr::V4((u32::from(base) + n).into()))
}

/// The certificate of one of the control plane's own clients.
///
/// # Errors
/// When its files are damaged or cannot be written.
pub fn client_pair(pki: &Pki, file: &str, now: Timestamp) -> Result<Pair> {
    let (file, user, group) =
        CLIENTS.iter().find(|(f, _, _)| *f == file).with_context(|| format!("no client {file}"))?;
    Ok(pki.leaf(&Leaf::client(file, user, group), now)?)
}

async fn keep_sweeping(server: Arc<Server>, stop: CancellationToken) {
    supervise::keep(stop.clone(), "the removal of expired events", || {
        let (server, stop) = (server.clone(), stop.clone());
        async move {
            sweep(server, stop).await;
            Ok(())
        }
    })
    .await;
}

async fn keep_defining(server: Arc<Server>, stop: CancellationToken) {
    supervise::keep(stop.clone(), "the serving of custom resources", || {
        let (server, stop) = (server.clone(), stop.clone());
        async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = server.follow_definitions() => {}
            }
            Ok(())
        }
    })
    .await;
}

async fn keep_certificates(users: Arc<Users>, clock: Arc<dyn Clock>, stop: CancellationToken) {
    supervise::keep(stop.clone(), "the renewal of certificates", || {
        let (users, clock, stop) = (users.clone(), clock.clone(), stop.clone());
        async move {
            certificates::run(&users, clock, stop).await;
            Ok(())
        }
    })
    .await;
}

async fn sweep(server: Arc<Server>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(SWEEP) => {}
        }
        if let Err(e) = server.tick(SystemClock.now()).await {
            tracing::warn!("expired events: {e}");
        }
    }
}

impl ApiServer {
    /// A client in this process with its own identity.
    #[must_use]
    pub fn local(&self, user: User, agent: &str) -> Arc<dyn Client> {
        let handler: Arc<dyn Handler> = self.server.clone();
        Arc::new(Local::new(handler, user, agent))
    }

    /// Runs until it serves no more although nobody stopped it: why.
    pub async fn broken(&mut self) -> anyhow::Error {
        let why = (&mut self.serving)
            .await
            .map_or_else(supervise::broken_off, |()| "it has ended by itself".to_owned());
        self.serving = tokio::spawn(std::future::ready(()));
        anyhow!("the API server's listener broke off: {why}")
    }

    /// Stops listening, finishes requests, closes the store.
    pub async fn stop(self) {
        self.stop.cancel();
        if let Err(e) = self.serving.await {
            tracing::error!("the listener broke off: {e}");
        }
    }
}
