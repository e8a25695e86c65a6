//! A node: container runtime, node agent and service proxy in one process.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use control::{CancellationToken, Context};
use cri::containerd::{Containerd, Images, RegistryMirror};
use cri::{CriClient, Runtime, Timeouts};
use sys::{Clock, SystemClock};
use wire::pki::{Leaf, Pair, Pki, Usage};

use crate::components::{proxy, routes};
use crate::control_plane::ControlPlane;
use crate::remains::{Remains, cni_conf_dir};
use crate::remote::Connection;
use crate::roads::Roads;
use crate::state::StateDir;
use crate::{cli, down, host, images, remains, supervise};

/// Everything one node needs to know.
pub struct Settings {
    pub node: cli::Node,
    pub name: String,
    pub ip: IpAddr,
    pub cluster_dns: IpAddr,
    pub cluster_domain: String,
    pub cluster_cidr: String,
    /// Range of cluster IPs, when it is known before the cluster says so.
    pub service_cidr: Option<String>,
    /// Files of the node agent's HTTPS server.
    pub tls: Option<TlsFiles>,
}

/// Certificate, key and the CA of its clients.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
    pub client_ca: PathBuf,
    /// Certificate and key come later, when the cluster has signed them.
    pub is_coming: bool,
}

impl TlsFiles {
    fn apply(self, config: &mut kubelet::Config) {
        config.tls_cert_file = Some(self.cert);
        config.tls_key_file = Some(self.key);
        config.client_ca_file = Some(self.client_ca);
        config.await_tls_files = self.is_coming;
    }
}

/// Programs that a node calls, and the packages that have them.
#[must_use]
pub fn programs(o: &cli::Node) -> Vec<(&'static str, &'static str)> {
    let mut need = vec![("nft", "nftables"), ("ip", "iproute2"), ("iptables", "iptables")];
    if o.container_runtime_endpoint.is_none() {
        need.push(("containerd", "containerd"));
    }
    need
}

/// Says which program of the node is missing, and the package that has it.
///
/// # Errors
/// The first one that is missing.
pub fn check_programs(o: &cli::Node) -> Result<()> {
    for (program, package) in programs(o) {
        if cri::containerd::find_program(program).is_none() {
            bail!("{program} is not installed: apt-get install {package}");
        }
    }
    Ok(())
}

/// Whether the node agent can have its port.
///
/// # Errors
/// When another process has it.
pub fn check_port(o: &cli::Node) -> Result<()> {
    host::check_port(listen(o), "--kubelet-port")
}

fn listen(o: &cli::Node) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::UNSPECIFIED, o.kubelet_port))
}

/// The name the node goes by.
#[must_use]
pub fn name(o: &cli::Node) -> String {
    o.node_name.clone().unwrap_or_else(host::name)
}

impl Settings {
    /// For the node of an all-in-one cluster: its certificate comes from the control plane beside it.
    ///
    /// # Errors
    /// When the certificate cannot be made.
    pub fn of_up(state: &StateDir, o: &cli::Up, plane: &ControlPlane) -> Result<Self> {
        let name = name(&o.node);
        let ip = o.node.node_ip.unwrap_or_else(host::address);
        let pki = &plane.api.pki;
        let leaf = Leaf {
            file: "kubelet",
            common_name: &format!("system:node:{name}"),
            organization: "system:nodes",
            usage: Usage::Server,
            names: vec![name.clone(), ip.to_string(), "127.0.0.1".to_owned()],
        };
        let _: Pair = pki.leaf(&leaf, SystemClock.now())?;
        let dir = state.path().join("pki");
        Ok(Settings {
            node: o.node.clone(),
            name,
            ip,
            cluster_dns: plane.cluster_dns,
            cluster_domain: o.control_plane.cluster_domain.clone(),
            cluster_cidr: o.control_plane.cluster_cidr.clone(),
            service_cidr: Some(o.control_plane.api.service_cluster_ip_range.clone()),
            tls: Some(TlsFiles {
                cert: dir.join("kubelet.crt"),
                key: dir.join("kubelet.key"),
                client_ca: pki.ca_files().0,
                is_coming: false,
            }),
        })
    }
}

fn mirrors(o: &cli::Node) -> Result<Vec<RegistryMirror>> {
    o.registry_mirror
        .iter()
        .map(|m| {
            let (host, url) = m.split_once('=').with_context(|| format!("{m:?} is not NAME=URL"))?;
            Ok(RegistryMirror { host: host.to_owned(), url: url.to_owned() })
        })
        .collect()
}

/// The runtime of a node, and what the node agent must know of it.
struct NodeRuntime {
    client: Arc<dyn Runtime>,
    endpoint: String,
    /// Supervises our own containerd while this process lives.
    containerd: Option<Containerd>,
    /// [`None`]: the pods' network is somebody else's.
    cni_conf_dir: Option<PathBuf>,
    cni_bin_dir: Option<PathBuf>,
    cgroup_systemd: bool,
}

impl NodeRuntime {
    async fn own(state: &StateDir, node: &cli::Node, remains: &Remains) -> Result<Self> {
        let containerd = Containerd::start(remains.containerd(state, mirrors(node)?)).await?;
        Ok(NodeRuntime {
            endpoint: format!("unix://{}", containerd.socket().display()),
            client: Arc::new(containerd.client()),
            containerd: Some(containerd),
            cni_conf_dir: Some(cni_conf_dir(state)),
            cni_bin_dir: None,
            cgroup_systemd: false,
        })
    }

    /// A runtime that is there. A network that it has stays; where there is none it is given ours.
    async fn found(endpoint: &str, node: &cli::Node, remains: &Remains) -> Result<Self> {
        if !node.registry_mirror.is_empty() {
            bail!(
                "--registry-mirror is for Corten's own containerd: configure mirrors in the runtime at {endpoint}"
            );
        }
        let client = CriClient::new(endpoint, Timeouts::default())?;
        let status =
            client.status(true).await.with_context(|| format!("the container runtime at {endpoint}"))?;
        let facts = cri::facts::of_runtime(&status);
        let dir = facts.cni_conf_dir.unwrap_or_else(|| remains::usual_cni_conf_dir().to_owned());
        let is_foreign = facts.network_ready && !network::is_ours(&dir, &remains.bridge);
        tracing::info!(endpoint, conf_dir = %dir.display(), is_foreign, "the runtime's pod network");
        Ok(NodeRuntime {
            client: Arc::new(client),
            endpoint: endpoint.to_owned(),
            containerd: None,
            cni_conf_dir: (!is_foreign).then_some(dir),
            cni_bin_dir: facts.cni_bin_dir,
            cgroup_systemd: facts.cgroup_systemd,
        })
    }
}

async fn keep_routes(ctx: Context, name: String) {
    supervise::keep(ctx.stop.clone(), "routes to other nodes", || {
        let (ctx, name) = (ctx.clone(), name.clone());
        async move {
            routes::run(&ctx, &name).await;
            Ok(())
        }
    })
    .await;
}

async fn keep_proxy(ctx: Context, settings: proxy::Settings) {
    supervise::keep(ctx.stop.clone(), "the service proxy", || {
        let (ctx, settings) = (ctx.clone(), settings.clone());
        async move {
            proxy::run(&ctx, settings).await;
            Ok(())
        }
    })
    .await;
}

/// Notes what this start will put on the machine, before anything is made; with what the machine was like before the
/// first one, unless it was booted since.
async fn note_remains(state: &StateDir, node: &cli::Node) -> Result<Remains> {
    let mut remains = Remains::new(state, node.container_runtime_endpoint.clone());
    let present = proxy::route_localnet();
    let mut former = Remains::read(state)?;
    if let Some(old) = former.take_if(|old| old.is_of_another_boot(&remains.boot_id)) {
        tracing::info!("the machine was booted since the last start: clearing what that has left");
        down::clear(state, &old).await.context("clearing what is left from before the boot")?;
    }
    remains.route_localnet = former.and_then(|old| old.route_localnet).or(present);
    remains.write(state)?;
    Ok(remains)
}

/// Runs the node until `stop`. Pods and the runtime go on after that.
///
/// # Errors
/// What keeps the node from starting.
pub async fn run(state: &StateDir, s: Settings, roads: Roads, stop: &CancellationToken) -> Result<()> {
    let mut remains = note_remains(state, &s.node).await?;
    let runtime = match &s.node.container_runtime_endpoint {
        None => NodeRuntime::own(state, &s.node, &remains).await?,
        Some(endpoint) => {
            let found = NodeRuntime::found(endpoint, &s.node, &remains).await?;
            remains.cni_conf_dir.clone_from(&found.cni_conf_dir);
            remains.write(state)?;
            found
        }
    };
    match &runtime.containerd {
        Some(containerd) => images::load(state, &containerd.images()).await,
        None => match Images::at(&runtime.endpoint).await {
            Ok(found) => images::load(state, &found).await,
            Err(e) => tracing::info!("no images are loaded: {e}"),
        },
    }
    let mut config = kubelet::Config::new(&s.name, state.path().join("kubelet"));
    config.pod_log_dir = state.path().join("pod-logs");
    config.runtime_endpoint = runtime.endpoint;
    config.manage_cni = runtime.cni_conf_dir.is_some();
    config.cni_conf_dir = runtime.cni_conf_dir.unwrap_or_else(|| cni_conf_dir(state));
    config.cni_bin_dir = runtime.cni_bin_dir;
    config.cgroup_systemd = runtime.cgroup_systemd;
    config.cluster_dns = vec![s.cluster_dns];
    config.cluster_domain.clone_from(&s.cluster_domain);
    config.cgroup_root.clone_from(&remains.cgroup);
    config.node_ips = vec![s.ip];
    config.listen = listen(&s.node);
    config.max_pods = s.node.max_pods;
    config.node_labels = labels(&s.node.node_labels)?;
    config.cni_bridge.clone_from(&remains.bridge);
    config.cluster_cidrs = vec![s.cluster_cidr.clone()];
    if let Some(tls) = s.tls {
        tls.apply(&mut config);
    }
    let proxy_settings = proxy::Settings {
        node_name: s.name.clone(),
        options: ::proxy::Options {
            table: remains.table.clone(),
            cluster_cidr: s.cluster_cidr.clone(),
            service_cidrs: s.service_cidr.iter().cloned().collect(),
            node_port_addresses: Vec::new(),
        },
        sync_period: proxy::SYNC_PERIOD,
    };
    let routes = tokio::spawn(keep_routes(roads.proxy.clone(), s.name.clone()));
    let proxy = tokio::spawn(keep_proxy(roads.proxy, proxy_settings));
    let result = kubelet::run(config, roads.kubelet, runtime.client).await;
    stop.cancel();
    proxy.await.ok();
    routes.await.ok();
    drop(runtime.containerd);
    result.context("the node agent")
}

fn labels(list: &[String]) -> Result<Vec<(String, String)>> {
    list.iter()
        .map(|l| {
            let (k, v) = l.split_once('=').with_context(|| format!("label {l:?} is not key=value"))?;
            Ok((k.to_owned(), v.to_owned()))
        })
        .collect()
}

/// Certificate, key and client authority of a node agent that runs alone. What its flags do not say is, as with
/// upstream's, a certificate of its own making below its directory; clients are those of the cluster's authority.
fn kubelet_tls(o: &cli::Kubelet, name: &str, ip: IpAddr, ca_pem: &str) -> Result<TlsFiles> {
    let dir = o.root_dir.join("pki");
    let (cert, key) = match (&o.tls.tls_cert_file, &o.tls.tls_private_key_file) {
        (Some(cert), Some(key)) => (cert.clone(), key.clone()),
        (None, None) => {
            std::fs::create_dir_all(&o.root_dir).with_context(|| o.root_dir.display().to_string())?;
            let now = SystemClock.now();
            let leaf = Leaf::server("kubelet", name, vec![name.to_owned(), ip.to_string()]);
            Pki::open(&dir, now)?.leaf(&leaf, now)?;
            (dir.join("kubelet.crt"), dir.join("kubelet.key"))
        }
        _ => bail!("--tls-cert-file and --tls-private-key-file belong together"),
    };
    let client_ca = match &o.tls.client_ca_file {
        Some(file) => file.clone(),
        None => {
            let file = dir.join("client-ca.crt");
            std::fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
            std::fs::write(&file, ca_pem).with_context(|| file.display().to_string())?;
            file
        }
    };
    Ok(TlsFiles { cert, key, client_ca, is_coming: false })
}

/// The node agent alone, as upstream's kubelet is run.
///
/// # Errors
/// What keeps it from starting.
pub async fn run_kubelet(o: &cli::Kubelet, api: Connection, stop: &CancellationToken) -> Result<()> {
    let endpoint = &o.container_runtime_endpoint;
    let runtime = CriClient::new(endpoint, Timeouts::default())?;
    let status =
        runtime.status(true).await.with_context(|| format!("the container runtime at {endpoint}"))?;
    let name = o.hostname_override.clone().unwrap_or_else(host::name);
    let ip = o.node_ip.unwrap_or_else(host::address);
    let tls = kubelet_tls(o, &name, ip, &api.ca_pem)?;
    let mut config = kubelet::Config::new(&name, &o.root_dir);
    config.runtime_endpoint.clone_from(endpoint);
    config.cluster_dns.clone_from(&o.cluster_dns);
    config.cluster_domain.clone_from(&o.cluster_domain);
    config.cgroup_root.clone_from(&o.cgroup_root);
    config.cgroup_systemd = cri::facts::of_runtime(&status).cgroup_systemd;
    config.node_ips = vec![ip];
    config.listen = SocketAddr::from((Ipv4Addr::UNSPECIFIED, o.port));
    tls.apply(&mut config);
    config.max_pods = o.max_pods;
    config.node_labels = labels(&o.node_labels)?;
    config.node_taints.clone_from(&o.register_with_taints);
    config.allowed_unsafe_sysctls.clone_from(&o.allowed_unsafe_sysctls);
    config.static_pod_dir.clone_from(&o.pod_manifest_path);
    o.limits.apply(&mut config)?;
    // As with upstream's kubelet, the pods' network is the network add-on's work.
    config.manage_cni = false;
    let ctx = Context::new(api.client).with_stop(stop.clone());
    kubelet::run(config, ctx, Arc::new(runtime)).await.context("the node agent")
}
