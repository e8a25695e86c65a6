//! API server, controllers, scheduler and DNS in one process, joined by `Client::Local`, each with its own
//! identity.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ::apiserver::AdmissionPlugins;
use anyhow::{Context as _, Result};
use control::{CancellationToken, Context};
use meta::User;
use sys::{Clock, SystemClock};
use tokio::task::JoinSet;

use crate::components::apiserver::{self, ApiServer, KubeletCa, Settings, client_pair, nth_address};
use crate::components::certificates::KubeconfigFile;
use crate::components::{authority, controllers, dns, scheduler, token_signer};
use crate::duration::duration;
use crate::join::publish::{self, Published};
use crate::join::token::JoinToken;
use crate::roads::Roads;
use crate::state::StateDir;
use crate::{addons, cli, host, supervise};

/// The number of the DNS Service's address in the service range, as kubeadm has it.
pub const DNS_ADDRESS: u32 = 10;

/// A running control plane.
pub struct ControlPlane {
    pub api: ApiServer,
    pub cluster_dns: std::net::IpAddr,
    tasks: JoinSet<()>,
}

fn port_range(text: &str) -> Result<RangeInclusive<u16>> {
    let parse = || {
        let (from, to) = text.split_once('-')?;
        let (from, to) = (from.parse().ok()?, to.parse().ok()?);
        (from <= to).then_some(from..=to)
    };
    parse().with_context(|| format!("{text:?} is not a port range such as 30000-32767"))
}

/// The settings of an API server that runs alone.
///
/// # Errors
/// When a flag's value is not understood.
pub fn apiserver_settings(o: &cli::KubeApiserver) -> Result<Settings> {
    let modes: Vec<&str> = o.authorization_mode.split(',').collect();
    if let Some(unknown) = modes.iter().find(|m| !["Node", "RBAC", "AlwaysAllow"].contains(m)) {
        anyhow::bail!("--authorization-mode {unknown:?} is not there: Node, RBAC and AlwaysAllow are");
    }
    let admission = AdmissionPlugins {
        enabled: o.enable_admission_plugins.clone(),
        disabled: o.disable_admission_plugins.clone(),
    };
    admission.check().map_err(|why| anyhow::anyhow!("{why}"))?;
    Ok(Settings {
        admission,
        tls: o.tls.clone(),
        issuer: o.service_account_issuer.clone().unwrap_or_default(),
        api_audiences: o.api_audiences.clone(),
        kubelet_ca: o.kubelet_certificate_authority.clone().map_or(KubeletCa::Any, KubeletCa::File),
        service_account_key_file: o.service_account_signing_key_file.clone(),
        always_allow: modes.contains(&"AlwaysAllow"),
        anonymous: o.anonymous_auth,
        max_reads: o.max_requests_inflight,
        max_writes: o.max_mutating_requests_inflight,
        event_ttl: duration(&o.event_ttl)?,
        ..usual(&o.api)?
    })
}

fn settings(o: &cli::ControlPlane) -> Result<Settings> {
    Ok(Settings {
        cluster_domain: o.cluster_domain.clone(),
        extra_names: o.tls_san.clone(),
        kubelet_ca: match o.kubelet_certificate_authority.as_deref() {
            None => KubeletCa::Own,
            Some("") => KubeletCa::Any,
            Some(path) => KubeletCa::File(path.into()),
        },
        context: o.context.clone(),
        ..usual(&o.api)?
    })
}

/// What holds unless a flag says otherwise.
fn usual(api: &cli::ApiFlags) -> Result<Settings> {
    Ok(Settings {
        api: api.clone(),
        tls: cli::TlsFlags::default(),
        advertise_address: api.advertise_address.unwrap_or_else(host::address),
        node_ports: port_range(&api.service_node_port_range)?,
        cluster_domain: "cluster.local".to_owned(),
        issuer: String::new(),
        api_audiences: Vec::new(),
        extra_names: Vec::new(),
        kubelet_ca: KubeletCa::Any,
        service_account_key_file: None,
        always_allow: false,
        admission: AdmissionPlugins::default(),
        anonymous: true,
        max_reads: 400,
        max_writes: 200,
        event_ttl: Duration::from_secs(3600),
        context: "corten".to_owned(),
    })
}

/// Writes the admin's kubeconfig into the state directory.
///
/// # Errors
/// When it cannot be written.
pub fn write_admin_kubeconfig(state: &StateDir, api: &ApiServer) -> Result<()> {
    write_kubeconfig(api, "admin", state.admin_kubeconfig())
}

/// Writes the kubeconfig of one of the control plane's clients.
///
/// # Errors
/// When it cannot be written.
pub fn write_kubeconfig(api: &ApiServer, client: &str, path: PathBuf) -> Result<()> {
    let own = client_pair(&api.pki, client, SystemClock.now())?;
    KubeconfigFile::new(path, api.address, &api.context).write(api.pki.ca_pem(), &own)
}

/// What nodes need to join; the token is in the state directory.
fn published(
    state: &StateDir,
    api: &ApiServer,
    settings: &Settings,
    o: &cli::ControlPlane,
    cluster_dns: std::net::IpAddr,
) -> Result<Published> {
    let ca_pem = api.pki.ca_pem().to_owned();
    let address = std::net::SocketAddr::new(settings.advertise_address, api.address.port());
    Ok(Published {
        token: JoinToken::of_state(&state.agent_token(), &ca_pem, &sys::SystemEntropy)?,
        ca_pem,
        server: format!("https://{address}"),
        cluster_cidr: o.cluster_cidr.clone(),
        cluster_dns,
        cluster_domain: o.cluster_domain.clone(),
    })
}

fn manager_settings(api: &ApiServer, o: &cli::ControlPlane) -> Result<controllers::Settings> {
    let (cert, key) = api.pki.ca_files();
    let cluster_cidr = controllers::cluster_cidr(&o.cluster_cidr, controllers::NODE_PREFIX)?;
    let authority = authority::from_files(&cert, &key)?;
    let mut settings = controllers::Settings::new(api.pki.ca_pem(), Some(cluster_cidr), Some(authority));
    settings.chosen = controllers::Chosen::of_control_plane();
    settings.tokens = Some(token_signer::from_pem(api.pki.service_account_key().key_pem.as_bytes())?);
    Ok(settings)
}

async fn keep_scheduler(ctx: Context) {
    supervise::keep(ctx.stop.clone(), "the scheduler", || {
        let ctx = ctx.clone();
        async move {
            scheduler::run(&ctx, "default-scheduler").await;
            Ok(())
        }
    })
    .await;
}

async fn keep_controllers(ctx: Context, handler: Arc<dyn meta::Handler>, settings: controllers::Settings) {
    let settings = Arc::new(settings);
    supervise::keep(ctx.stop.clone(), "the controller manager", || {
        let (ctx, handler, settings) = (ctx.clone(), handler.clone(), settings.clone());
        async move {
            let identity = |name: &str| controllers::local_identity(&handler, &ctx, name);
            controllers::run(&ctx, &settings, &identity).await;
            Ok(())
        }
    })
    .await;
}

async fn publish_join(ctx: Context, published: Published) {
    let published = Arc::new(published);
    supervise::finish(ctx.stop.clone(), "publishing what nodes need to join", || {
        let (ctx, published) = (ctx.clone(), published.clone());
        async move {
            publish::ensure(&ctx, &published).await;
            Ok(())
        }
    })
    .await;
}

async fn make_addons(ctx: Context, settings: addons::Settings) {
    supervise::finish(ctx.stop.clone(), "making the Service of cluster DNS", || {
        let (ctx, settings) = (ctx.clone(), settings.clone());
        async move {
            addons::ensure(&ctx, &settings).await;
            Ok(())
        }
    })
    .await;
}

async fn keep_dns(ctx: Context, settings: dns::Settings, sockets: dns::Sockets) {
    supervise::keep(ctx.stop.clone(), "cluster DNS", || {
        let (ctx, settings, sockets) = (ctx.clone(), settings.clone(), sockets.clone());
        async move {
            dns::run(&ctx, settings, sockets).await;
            Ok(())
        }
    })
    .await;
}

/// What tells this cluster from others on the machine: cluster DNS says it when it is asked.
#[must_use]
pub fn identity(ca_pem: &str) -> String {
    format!("corten-{:016x}", stdx::hash::fnv1a64(ca_pem.as_bytes()))
}

/// Makes contexts for the parts of this process, each with its own identity.
struct Contexts<'a> {
    api: &'a ApiServer,
    stop: &'a CancellationToken,
}

impl Contexts<'_> {
    fn of(&self, user: &str, groups: &[&str], agent: &str) -> Context {
        Context::new(self.api.local(User::new(user, groups), agent)).with_stop(self.stop.clone())
    }
}

impl ControlPlane {
    /// Starts everything; the API answers when this returns, and cluster DNS has its port.
    ///
    /// # Errors
    /// What keeps the API server or cluster DNS from starting.
    pub async fn start(state: &StateDir, o: &cli::ControlPlane, stop: &CancellationToken) -> Result<Self> {
        let settings = settings(o)?;
        let cluster_dns = nth_address(&settings.api.service_cluster_ip_range, DNS_ADDRESS)?;
        // Not the wildcard: an answer must leave from the address that the query was translated to.
        let listen = (settings.advertise_address, o.dns_port).into();
        // Before anything is made: a taken port leaves nothing behind.
        let sockets = dns::Sockets::bind(listen).await?;
        let api = apiserver::start(state, &settings).await?;
        write_admin_kubeconfig(state, &api)?;
        let contexts = Contexts { api: &api, stop };
        let mut tasks = JoinSet::new();
        tasks.spawn(keep_scheduler(contexts.of("system:kube-scheduler", &[], "kube-scheduler")));
        let manager = manager_settings(&api, o)?;
        let ctx = contexts.of("system:kube-controller-manager", &[], "kube-controller-manager");
        tasks.spawn(keep_controllers(ctx, api.server.clone(), manager));
        let ctx = contexts.of("system:corten-addons", &["system:masters"], "corten");
        tasks.spawn(publish_join(ctx.clone(), published(state, &api, &settings, o, cluster_dns)?));
        tasks.spawn(make_addons(ctx.clone(), addons::Settings { cluster_dns, dns_endpoint: listen }));
        let dns_settings = dns::Settings {
            listen,
            domain: o.cluster_domain.clone(),
            cluster_cidr: o.cluster_cidr.clone(),
            resolv_conf: "/etc/resolv.conf".into(),
            identity: identity(api.pki.ca_pem()),
        };
        tasks.spawn(keep_dns(ctx, dns_settings, sockets));
        Ok(ControlPlane { api, cluster_dns, tasks })
    }

    /// The roads of the node in this process: node agent and proxy may do what upstream's may, and no more.
    #[must_use]
    pub fn node_roads(&self, node: &str, stop: &CancellationToken) -> Roads {
        let node = User::new(&format!("system:node:{node}"), &["system:nodes"]);
        let proxy = User::new("system:kube-proxy", &[]);
        let road = |user, agent| Context::new(self.api.local(user, agent)).with_stop(stop.clone());
        Roads { kubelet: road(node, "kubelet"), proxy: road(proxy, "kube-proxy") }
    }

    /// Runs until the API server serves no more although nobody stopped it: why.
    pub async fn broken(&mut self) -> anyhow::Error {
        self.api.broken().await
    }

    /// Waits for the components to end, then stops the API server.
    pub async fn stop(mut self) {
        while self.tasks.join_next().await.is_some() {}
        self.api.stop().await;
    }
}
