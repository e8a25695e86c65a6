//! API server, controllers, scheduler and DNS in one process, joined by `Client::Local`, each with its own
//! identity.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use control::{CancellationToken, Context};
use meta::User;
use sys::{Clock, SystemClock};
use tokio::task::JoinSet;

use crate::components::apiserver::{self, ApiServer, KubeletCa, Settings, client_pair, nth_address};
use crate::components::certificates::KubeconfigFile;
use crate::components::{authority, controllers, dns, scheduler};
use crate::join::publish::{self, Published};
use crate::join::token::JoinToken;
use crate::node::Roads;
use crate::state::StateDir;
use crate::{addons, cli, host, run};

/// The number of the DNS Service's address in the service range, as kubeadm has it.
const DNS_ADDRESS: u32 = 10;

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
    Ok(Settings {
        bind_address: o.bind_address,
        secure_port: o.secure_port,
        advertise_address: o.advertise_address.unwrap_or_else(host::address),
        service_cidr: o.service_cluster_ip_range.clone(),
        node_ports: port_range(&o.service_node_port_range)?,
        cluster_domain: "cluster.local".to_owned(),
        issuer: o.service_account_issuer.clone().unwrap_or_default(),
        api_audiences: o.api_audiences.clone(),
        extra_names: Vec::new(),
        tls_cert_file: o.tls_cert_file.clone(),
        tls_key_file: o.tls_private_key_file.clone(),
        client_ca_file: o.client_ca_file.clone(),
        kubelet_ca: o.kubelet_certificate_authority.clone().map_or(KubeletCa::Any, KubeletCa::File),
        service_account_key_file: o.service_account_signing_key_file.clone(),
        always_allow: modes.contains(&"AlwaysAllow"),
        anonymous: o.anonymous_auth,
        max_reads: o.max_requests_inflight,
        max_writes: o.max_mutating_requests_inflight,
        event_ttl: run::duration(&o.event_ttl)?,
    })
}

fn settings(o: &cli::ControlPlane) -> Result<Settings> {
    Ok(Settings {
        bind_address: o.bind_address,
        secure_port: o.secure_port,
        advertise_address: o.advertise_address.unwrap_or_else(host::address),
        service_cidr: o.service_cluster_ip_range.clone(),
        node_ports: port_range(&o.service_node_port_range)?,
        cluster_domain: o.cluster_domain.clone(),
        issuer: String::new(),
        api_audiences: Vec::new(),
        extra_names: o.tls_san.clone(),
        tls_cert_file: None,
        tls_key_file: None,
        client_ca_file: None,
        kubelet_ca: match o.kubelet_certificate_authority.as_deref() {
            None => KubeletCa::Own,
            Some("") => KubeletCa::Any,
            Some(path) => KubeletCa::File(path.into()),
        },
        service_account_key_file: None,
        always_allow: false,
        anonymous: true,
        max_reads: 400,
        max_writes: 200,
        event_ttl: Duration::from_secs(3600),
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
    KubeconfigFile::new(path, api.address).write(api.pki.ca_pem(), &own)
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

impl ControlPlane {
    /// Starts everything; the API answers when this returns.
    ///
    /// # Errors
    /// What keeps the API server from starting.
    pub async fn start(state: &StateDir, o: &cli::ControlPlane, stop: &CancellationToken) -> Result<Self> {
        let settings = settings(o)?;
        let cluster_dns = nth_address(&settings.service_cidr, DNS_ADDRESS)?;
        let api = apiserver::start(state, &settings).await?;
        write_admin_kubeconfig(state, &api)?;
        let mut tasks = JoinSet::new();
        let context = |user: &str, groups: &[&str], agent: &str| {
            let user = User::new(user, groups);
            Context::new(api.local(user, agent)).with_stop(stop.clone())
        };
        let ctx = context("system:kube-scheduler", &[], "kube-scheduler");
        tasks.spawn(async move { scheduler::run(&ctx, "default-scheduler").await });
        let ca_files = api.pki.ca_files();
        let cluster_cidr = controllers::cluster_cidr(&o.cluster_cidr, controllers::NODE_PREFIX)?;
        let manager = controllers::Settings::new(
            api.pki.ca_pem(),
            Some(cluster_cidr),
            Some(authority::from_files(&ca_files.0, &ca_files.1)?),
        );
        let ctx = context("system:kube-controller-manager", &[], "kube-controller-manager");
        let handler: Arc<dyn meta::Handler> = api.server.clone();
        let base = ctx.clone();
        tasks.spawn(async move {
            let identity = move |name: &str| controllers::local_identity(&handler, &base, name);
            controllers::run(&ctx, &manager, &identity).await;
        });
        let ctx = context("system:corten-addons", &["system:masters"], "corten");
        let published = published(state, &api, &settings, o, cluster_dns)?;
        let joining = ctx.clone();
        tasks.spawn(async move { publish::ensure(&joining, &published).await });
        let addons =
            addons::Settings { cluster_dns, dns_endpoint: (settings.advertise_address, o.dns_port).into() };
        let dns_settings = dns::Settings {
            // Not the wildcard: an answer must leave from the address that the query was translated to.
            listen: addons.dns_endpoint,
            domain: o.cluster_domain.clone(),
            cluster_cidr: o.cluster_cidr.clone(),
            resolv_conf: "/etc/resolv.conf".into(),
        };
        tasks.spawn(async move {
            addons::ensure(&ctx, &addons).await;
            if let Err(e) = dns::run(&ctx, dns_settings).await {
                tracing::error!("{e:#}");
            }
        });
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

    /// Waits for the components to end, then stops the API server.
    pub async fn stop(mut self) {
        while self.tasks.join_next().await.is_some() {}
        self.api.stop().await;
    }
}
