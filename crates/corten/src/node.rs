//! A node: container runtime, node agent and service proxy in one process.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use control::{CancellationToken, Context};
use cri::containerd::{Containerd, Images, Options, RegistryMirror};
use cri::{CriClient, Runtime, Timeouts};
use serde::{Deserialize, Serialize};
use sys::{Clock, SystemClock};
use wire::pki::{Leaf, Pair, Pki, Usage};

use crate::components::{proxy, routes};
use crate::control_plane::ControlPlane;
use crate::remote::Connection;
use crate::state::StateDir;
use crate::{cli, host, images, supervise};

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

/// What `corten down` must know of a node that was started from this state directory.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Remains {
    pub own_containerd: bool,
    /// The runtime that was there, when the node has no containerd of its own.
    pub runtime_endpoint: Option<String>,
    /// Where that runtime reads the CNI configuration that it was given by us.
    pub cni_conf_dir: Option<PathBuf>,
    pub bridge: String,
    pub cgroup: String,
    /// nft table of the Service rules.
    pub table: String,
    /// What `net.ipv4.conf.all.route_localnet` was before the first start.
    pub route_localnet: Option<String>,
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
            service_cidr: Some(o.control_plane.service_cluster_ip_range.clone()),
            tls: Some(TlsFiles {
                cert: dir.join("kubelet.crt"),
                key: dir.join("kubelet.key"),
                client_ca: pki.ca_files().0,
                is_coming: false,
            }),
        })
    }
}

/// Names that clusters on one machine must not share, and what the machine was like before.
fn remains(state: &StateDir, node: &cli::Node) -> Remains {
    let before = read_remains(&state.settings()).and_then(|r| r.route_localnet);
    Remains {
        own_containerd: node.container_runtime_endpoint.is_none(),
        runtime_endpoint: node.container_runtime_endpoint.clone(),
        cni_conf_dir: None,
        bridge: format!("cni{}", state.id()),
        cgroup: format!("/corten-{}", state.id()),
        table: format!("corten-{}", state.id()),
        route_localnet: before.or_else(proxy::route_localnet),
    }
}

/// Notes what `corten down` must know; whole or not at all.
fn write_remains(state: &StateDir, remains: &Remains) -> Result<()> {
    let path = state.settings();
    let partial = path.with_extension("json.new");
    std::fs::write(&partial, serde_json::to_vec_pretty(remains)?)?;
    std::fs::rename(&partial, &path).with_context(|| path.display().to_string())
}

/// The directory of the own containerd.
#[must_use]
pub fn containerd_dir(state: &StateDir) -> PathBuf {
    state.path().join("containerd")
}

fn cni_conf_dir(state: &StateDir) -> PathBuf {
    state.path().join("cni/net.d")
}

/// How the own containerd of a state directory is run.
#[must_use]
pub fn containerd_options(state: &StateDir, remains: &Remains, mirrors: Vec<RegistryMirror>) -> Options {
    let mut options = Options::new(containerd_dir(state));
    options.cni_conf_dir = cni_conf_dir(state);
    options.registries = mirrors;
    options.cgroup_parent = Some(remains.cgroup.clone());
    options
}

/// The pods' network of a state directory, for its removal.
#[must_use]
pub fn network_options(state: &StateDir, remains: &Remains) -> network::Options {
    network::Options {
        bridge: remains.bridge.clone(),
        pod_cidrs: Vec::new(),
        mtu: None,
        conf_dir: remains.cni_conf_dir.clone().unwrap_or_else(|| cni_conf_dir(state)),
        data_dir: state.path().join("kubelet/cni"),
        bin_dir: None,
        masquerade: true,
        cluster_cidrs: Vec::new(),
        netns: None,
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

/// Where CNI configurations are read when the runtime does not say.
const CNI_CONF_DIR: &str = "/etc/cni/net.d";

impl NodeRuntime {
    async fn own(state: &StateDir, node: &cli::Node, remains: &Remains) -> Result<Self> {
        let containerd = Containerd::start(containerd_options(state, remains, mirrors(node)?)).await?;
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
        let dir = facts.cni_conf_dir.unwrap_or_else(|| CNI_CONF_DIR.into());
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

/// The identities of a node's two parts.
pub struct Roads {
    pub kubelet: Context,
    pub proxy: Context,
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

/// Runs the node until `stop`. Pods and the runtime go on after that.
///
/// # Errors
/// What keeps the node from starting.
pub async fn run(state: &StateDir, s: Settings, roads: Roads, stop: &CancellationToken) -> Result<()> {
    let mut remains = remains(state, &s.node);
    // Noted before anything is made.
    write_remains(state, &remains)?;
    let runtime = match &s.node.container_runtime_endpoint {
        None => NodeRuntime::own(state, &s.node, &remains).await?,
        Some(endpoint) => {
            let found = NodeRuntime::found(endpoint, &s.node, &remains).await?;
            remains.cni_conf_dir.clone_from(&found.cni_conf_dir);
            write_remains(state, &remains)?;
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
    if let Some(tls) = &s.tls {
        config.tls_cert_file = Some(tls.cert.clone());
        config.tls_key_file = Some(tls.key.clone());
        config.client_ca_file = Some(tls.client_ca.clone());
        config.await_tls_files = tls.is_coming;
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
    let (cert, key) = match (&o.tls_cert_file, &o.tls_private_key_file) {
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
    let client_ca = match &o.client_ca_file {
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
    config.tls_cert_file = Some(tls.cert);
    config.tls_key_file = Some(tls.key);
    config.client_ca_file = Some(tls.client_ca);
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

/// What a former start noted; `None` when nothing was started here.
#[must_use]
pub fn read_remains(path: &Path) -> Option<Remains> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}
