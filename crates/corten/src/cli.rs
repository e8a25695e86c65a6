//! The command line: one declaration a subcommand. Component subcommands take upstream's main flags under
//! upstream's names; a flag that is not understood is refused, never ignored. [`upstream`] says which of upstream's
//! flags are taken without effect, and reads its configuration files.

pub mod limits;
pub mod upstream;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

/// Kubernetes in one binary.
#[derive(Debug, Parser)]
#[command(name = "corten", version, about, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start everything on this machine: API server, controllers, scheduler, DNS, and a node with its runtime.
    Up(Up),
    /// List the clusters that were started with a name.
    List(Clusters),
    /// Stop what `up` has started, its pods and its runtime included.
    Down(Down),
    /// Say what of the cluster is wrong, and why.
    Status(Status),
    /// Check this machine before a start: everything that `up` with the same flags needs.
    Doctor(Doctor),
    /// Run `up` as a systemd service: now, and whenever the machine starts.
    #[command(subcommand)]
    Service(ServiceCommand),
    /// Load, list and save images of this machine's node, without a registry.
    #[command(subcommand)]
    Images(ImagesCommand),
    /// Start a control plane without a node.
    Server(Server),
    /// Start a node that joins a control plane.
    Agent(Agent),
    /// The API server alone, on the embedded store.
    KubeApiserver(KubeApiserver),
    /// The scheduler alone.
    KubeScheduler(KubeScheduler),
    /// The controllers alone.
    KubeControllerManager(KubeControllerManager),
    /// The node agent alone, on a container runtime that is there.
    Kubelet(Kubelet),
    /// The service proxy alone.
    KubeProxy(KubeProxy),
    /// Measure this binary beside the marks of a stock control plane.
    Bench(crate::bench::Options),
}

#[derive(Args, Clone, Debug)]
pub struct Logging {
    /// How much to log: 0 to 3 info, 4 debug, 6 and more everything.
    #[arg(short, long = "v", default_value_t = 2, value_name = "LEVEL")]
    pub v: u8,
}

#[derive(Args, Clone, Debug)]
pub struct State {
    /// Where everything of this cluster lives.
    #[arg(long, default_value = crate::state::STATE_DIR, value_name = "DIR")]
    pub state_dir: PathBuf,
}

/// Where the clusters with names are.
#[derive(Args, Clone, Debug)]
pub struct Clusters {
    /// Where clusters with names live, each in a directory of its own.
    #[arg(long, default_value = crate::state::CLUSTERS_DIR, value_name = "DIR")]
    pub clusters_dir: PathBuf,
}

/// Which cluster of this machine.
#[derive(Args, Clone, Debug)]
pub struct Place {
    #[command(flatten)]
    pub state: State,
    #[command(flatten)]
    pub clusters: Clusters,
    /// A cluster with a name: in networks of its own, beside any others, and gone with one `down`.
    #[arg(long, conflicts_with = "state_dir", value_name = "NAME")]
    pub name: Option<String>,
}

/// Where an API server is found, and what it hands out.
#[derive(Args, Clone, Debug)]
pub struct ApiFlags {
    /// Address the API listens on.
    #[arg(long, default_value = "0.0.0.0", value_name = "IP")]
    pub bind_address: IpAddr,
    /// Port the API listens on.
    #[arg(long, default_value_t = 6443, value_name = "PORT")]
    pub secure_port: u16,
    /// Address that others reach the API by [default: the address of the default route].
    #[arg(long, value_name = "IP")]
    pub advertise_address: Option<IpAddr>,
    /// Addresses of Services.
    #[arg(long, default_value = "10.96.0.0/16", value_name = "CIDR")]
    pub service_cluster_ip_range: String,
    /// Ports of Services of type NodePort.
    #[arg(long, default_value = "30000-32767", value_name = "FROM-TO")]
    pub service_node_port_range: String,
}

/// Files of an HTTPS server.
#[derive(Args, Clone, Debug, Default)]
pub struct TlsFlags {
    /// Certificate of the HTTPS server [default: one that is made here].
    #[arg(long, value_name = "FILE")]
    pub tls_cert_file: Option<PathBuf>,
    /// The key that belongs to it.
    #[arg(long, value_name = "FILE")]
    pub tls_private_key_file: Option<PathBuf>,
    /// Authority of clients that show certificates.
    #[arg(long, value_name = "FILE")]
    pub client_ca_file: Option<PathBuf>,
}

/// Flags of a control plane.
#[derive(Args, Clone, Debug)]
pub struct ControlPlane {
    #[command(flatten)]
    pub api: ApiFlags,
    /// Addresses of pods.
    #[arg(long, default_value = "10.244.0.0/16", value_name = "CIDR")]
    pub cluster_cidr: String,
    /// Domain of Services.
    #[arg(long, default_value = "cluster.local", value_name = "DOMAIN")]
    pub cluster_domain: String,
    /// Port that cluster DNS listens on; pods reach it through the Service kube-dns.
    #[arg(long, default_value_t = 10053, value_name = "PORT")]
    pub dns_port: u16,
    /// Authority of kubelets' serving certificates [default: the cluster's own]; empty: they are not verified, as
    /// upstream without this flag.
    #[arg(long, value_name = "FILE")]
    pub kubelet_certificate_authority: Option<String>,
    /// Further names and addresses for the API's certificate.
    #[arg(long = "tls-san", value_name = "NAME")]
    pub tls_san: Vec<String>,
    /// What kubeconfigs call the cluster.
    #[arg(skip = "corten")]
    pub context: String,
}

/// Flags of a node.
#[derive(Args, Clone, Debug)]
pub struct Node {
    /// Name of the node [default: the host name].
    #[arg(long, alias = "hostname-override", value_name = "NAME")]
    pub node_name: Option<String>,
    /// Address of the node [default: the address of the default route].
    #[arg(long, value_name = "IP")]
    pub node_ip: Option<IpAddr>,
    /// Port of the node agent.
    #[arg(long, default_value_t = 10250, value_name = "PORT")]
    pub kubelet_port: u16,
    /// CRI socket of a runtime that is there; without it an own containerd is run.
    #[arg(long, value_name = "ENDPOINT")]
    pub container_runtime_endpoint: Option<String>,
    /// A registry to be asked in place of the one in an image's name: `registry.example=http://127.0.0.1:5000`.
    #[arg(long, value_name = "NAME=URL")]
    pub registry_mirror: Vec<String>,
    /// Labels for the node: `key=value,...`.
    #[arg(long, value_delimiter = ',', value_name = "LABELS")]
    pub node_labels: Vec<String>,
    /// Most pods on the node.
    #[arg(long, default_value_t = 110, value_name = "N")]
    pub max_pods: u32,
}

#[derive(Args, Clone, Debug)]
pub struct Up {
    #[command(flatten)]
    pub place: Place,
    /// With --name: so many nodes, each in a network of its own with a runtime of its own [default: 1].
    #[arg(long, requires = "name", value_name = "N")]
    pub nodes: Option<u32>,
    /// This process is that machine of the named cluster.
    #[arg(long, requires = "name", hide = true, value_name = "N")]
    pub member: Option<u8>,
    #[command(flatten)]
    pub control_plane: ControlPlane,
    #[command(flatten)]
    pub node: Node,
    /// Go to the background once the cluster is usable; one with a name always does.
    #[arg(long)]
    pub detach: bool,
    /// In the background: how long to wait until the cluster is usable.
    #[arg(long, default_value_t = 180, value_name = "SECONDS")]
    pub wait: u64,
    #[command(flatten)]
    pub logging: Logging,
}

#[derive(Args, Clone, Debug)]
pub struct Down {
    #[command(flatten)]
    pub place: Place,
    /// Remove the state directory too: every object, image and key of the cluster. Of one with a name nothing ever
    /// stays.
    #[arg(long)]
    pub purge: bool,
}

#[derive(Args, Clone, Debug)]
pub struct Status {
    #[command(flatten)]
    pub place: Place,
    /// Domain of Services.
    #[arg(long, default_value = "cluster.local", value_name = "DOMAIN")]
    pub cluster_domain: String,
}

#[derive(Args, Clone, Debug)]
pub struct Doctor {
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    pub control_plane: ControlPlane,
    #[command(flatten)]
    pub node: Node,
}

#[derive(Clone, Debug, Subcommand)]
pub enum ServiceCommand {
    /// Write /etc/systemd/system/corten.service, which runs `up` with the flags given here, and start it.
    Install(Box<ServiceInstall>),
    /// Stop the service and remove its unit; pods and data stay.
    Remove,
}

#[derive(Args, Clone, Debug)]
pub struct ServiceInstall {
    /// Only show the unit; nothing is written or started.
    #[arg(long)]
    pub print: bool,
    #[command(flatten)]
    pub state: State,
    #[command(flatten)]
    pub control_plane: ControlPlane,
    #[command(flatten)]
    pub node: Node,
    #[command(flatten)]
    pub logging: Logging,
}

#[derive(Clone, Debug, Subcommand)]
pub enum ImagesCommand {
    /// Load images from OCI archives, or from what `docker save` has written.
    Import {
        #[command(flatten)]
        place: Place,
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// List the images that are there.
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Save images as an OCI archive.
    Export {
        #[command(flatten)]
        place: Place,
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Full names, such as `docker.io/library/nginx:1`.
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
}

#[derive(Args, Clone, Debug)]
pub struct Server {
    #[command(flatten)]
    pub state: State,
    #[command(flatten)]
    pub control_plane: ControlPlane,
    #[command(flatten)]
    pub logging: Logging,
}

#[derive(Args, Clone, Debug)]
pub struct Agent {
    #[command(flatten)]
    pub state: State,
    #[command(flatten)]
    pub node: Node,
    /// The control plane: `https://10.0.0.1:6443`. Not needed again once the machine has joined.
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    /// What `agent.token` of the control plane's state directory says.
    #[arg(long, value_name = "TOKEN")]
    pub token: Option<String>,
    /// Credentials of the node, in place of --server and --token.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["server", "token"])]
    pub kubeconfig: Option<PathBuf>,
    /// Address of cluster DNS [default: what the control plane says].
    #[arg(long, value_name = "IP")]
    pub cluster_dns: Option<IpAddr>,
    /// Domain of Services [default: what the control plane says].
    #[arg(long, value_name = "DOMAIN")]
    pub cluster_domain: Option<String>,
    /// Addresses of pods [default: what the control plane says].
    #[arg(long, value_name = "CIDR")]
    pub cluster_cidr: Option<String>,
    #[command(flatten)]
    pub logging: Logging,
}

#[derive(Args, Clone, Debug)]
pub struct KubeApiserver {
    #[command(flatten)]
    pub state: State,
    #[command(flatten)]
    pub api: ApiFlags,
    #[command(flatten)]
    pub tls: TlsFlags,
    /// Verify the serving certificates of kubelets against these authorities; without it any is taken.
    #[arg(long, value_name = "FILE")]
    pub kubelet_certificate_authority: Option<PathBuf>,
    #[arg(long, value_name = "URL")]
    pub service_account_issuer: Option<String>,
    #[arg(long, value_name = "FILE")]
    pub service_account_signing_key_file: Option<PathBuf>,
    #[arg(long, value_delimiter = ',', value_name = "AUDIENCES")]
    pub api_audiences: Vec<String>,
    /// `Node,RBAC`, `RBAC` or `AlwaysAllow`.
    #[arg(long, default_value = "Node,RBAC", value_name = "MODES")]
    pub authorization_mode: String,
    /// Admission plugins that look at writes besides those that are on anyway.
    #[arg(long, value_delimiter = ',', value_name = "PLUGINS")]
    pub enable_admission_plugins: Vec<String>,
    /// Admission plugins that are on and shall be off.
    #[arg(long, value_delimiter = ',', value_name = "PLUGINS")]
    pub disable_admission_plugins: Vec<String>,
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub anonymous_auth: bool,
    #[arg(long, default_value_t = 400, value_name = "N")]
    pub max_requests_inflight: usize,
    #[arg(long, default_value_t = 200, value_name = "N")]
    pub max_mutating_requests_inflight: usize,
    /// How long Events are kept: `1h`, `30m`, `90s`.
    #[arg(long, default_value = "1h", value_name = "DURATION")]
    pub event_ttl: String,
    #[command(flatten)]
    pub logging: Logging,
}

/// How a component that runs apart finds the API.
#[derive(Args, Clone, Debug)]
pub struct Apart {
    /// Credentials and address of the API server [default: those of the pod that this runs in].
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Address of the API server, in place of the kubeconfig's.
    #[arg(long, value_name = "URL")]
    pub master: Option<String>,
}

#[derive(Args, Clone, Debug)]
pub struct LeaderElection {
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub leader_elect: bool,
    #[arg(long, default_value = "kube-system", value_name = "NAMESPACE")]
    pub leader_elect_resource_namespace: String,
    /// Name of the Lease [default: that of the component].
    #[arg(long, value_name = "NAME")]
    pub leader_elect_resource_name: Option<String>,
    /// Only `leases`.
    #[arg(long, default_value = "leases", value_parser = ["leases"], value_name = "KIND")]
    pub leader_elect_resource_lock: String,
    /// How long others wait for a leader that does not renew.
    #[arg(long, default_value = "15s", value_name = "DURATION")]
    pub leader_elect_lease_duration: String,
    /// How long the leader tries to renew before it gives up.
    #[arg(long, default_value = "10s", value_name = "DURATION")]
    pub leader_elect_renew_deadline: String,
    /// How long to wait between tries.
    #[arg(long, default_value = "2s", value_name = "DURATION")]
    pub leader_elect_retry_period: String,
}

/// The HTTPS server for health and metrics.
#[derive(Args, Clone, Debug)]
pub struct SecureServing {
    /// Address that health and metrics are served on.
    #[arg(long, default_value = "0.0.0.0", value_name = "IP")]
    pub bind_address: IpAddr,
    /// Port that health and metrics are served on; 0: none [default: 10259 for the scheduler, 10257 for the controllers].
    #[arg(long, value_name = "PORT")]
    pub secure_port: Option<u16>,
    #[command(flatten)]
    pub tls: TlsFlags,
}

#[derive(Args, Clone, Debug)]
pub struct KubeScheduler {
    #[command(flatten)]
    pub apart: Apart,
    #[command(flatten)]
    pub serving: SecureServing,
    #[command(flatten)]
    pub election: LeaderElection,
    #[command(flatten)]
    pub logging: Logging,
}

#[derive(Args, Clone, Debug)]
pub struct KubeControllerManager {
    #[command(flatten)]
    pub apart: Apart,
    #[command(flatten)]
    pub serving: SecureServing,
    #[command(flatten)]
    pub election: LeaderElection,
    /// Controllers that run: `*` for those that are on by default, `name`, or `-name` to leave one out.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "*",
        allow_hyphen_values = true,
        value_name = "NAMES"
    )]
    pub controllers: Vec<String>,
    /// Addresses of pods, handed out to nodes with --allocate-node-cidrs.
    #[arg(long, default_value = "10.244.0.0/16", value_name = "CIDR")]
    pub cluster_cidr: String,
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub allocate_node_cidrs: bool,
    /// Let each controller act as a service account of its own. Without it all act as the kubeconfig's user, who
    /// must be allowed all that they do.
    #[arg(long, default_value_t = false, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub use_service_account_credentials: bool,
    /// Length of the range that one node gets.
    #[arg(long, default_value_t = 24, value_name = "BITS")]
    pub node_cidr_mask_size: u8,
    /// How long a node may be silent.
    #[arg(long, default_value = "50s", value_name = "DURATION")]
    pub node_monitor_grace_period: String,
    /// Finished pods that may stay; 0: all.
    #[arg(long, default_value_t = 12_500, value_name = "N")]
    pub terminated_pod_gc_threshold: usize,
    /// Certificate and key that sign certificate requests; without them nobody signs.
    #[arg(long, value_name = "FILE", requires = "cluster_signing_key_file")]
    pub cluster_signing_cert_file: Option<PathBuf>,
    #[arg(long, value_name = "FILE", requires = "cluster_signing_cert_file")]
    pub cluster_signing_key_file: Option<PathBuf>,
    /// The longest life of a certificate that is signed.
    #[arg(long, default_value = "8760h", value_name = "DURATION")]
    pub cluster_signing_duration: String,
    /// The key that signs the tokens in Secrets; without it such Secrets are not filled.
    #[arg(long, value_name = "FILE")]
    pub service_account_private_key_file: Option<PathBuf>,
    /// The CA that pods are given to verify the API with [default: that of the kubeconfig].
    #[arg(long, value_name = "FILE")]
    pub root_ca_file: Option<PathBuf>,
    #[command(flatten)]
    pub logging: Logging,
}

#[derive(Args, Clone, Debug)]
pub struct Kubelet {
    #[command(flatten)]
    pub apart: Apart,
    #[arg(long, value_name = "NAME")]
    pub hostname_override: Option<String>,
    #[arg(long, value_name = "IP")]
    pub node_ip: Option<IpAddr>,
    #[arg(long, default_value = "unix:///run/containerd/containerd.sock", value_name = "ENDPOINT")]
    pub container_runtime_endpoint: String,
    #[arg(long, default_value = "/var/lib/kubelet", value_name = "DIR")]
    pub root_dir: PathBuf,
    #[arg(long, value_delimiter = ',', value_name = "IPS")]
    pub cluster_dns: Vec<IpAddr>,
    #[arg(long, default_value = "cluster.local", value_name = "DOMAIN")]
    pub cluster_domain: String,
    #[arg(long, default_value_t = 10250, value_name = "PORT")]
    pub port: u16,
    #[command(flatten)]
    pub tls: TlsFlags,
    #[arg(long, value_delimiter = ',', value_name = "LABELS")]
    pub node_labels: Vec<String>,
    #[arg(long, value_delimiter = ',', value_name = "TAINTS")]
    pub register_with_taints: Vec<String>,
    #[arg(long, default_value_t = 110, value_name = "N")]
    pub max_pods: u32,
    /// Sysctls that pods may set beside the safe ones; `name.*` for all below.
    #[arg(long, value_delimiter = ',', value_name = "SYSCTLS")]
    pub allowed_unsafe_sysctls: Vec<String>,
    #[arg(long, default_value = "/", value_name = "CGROUP")]
    pub cgroup_root: String,
    #[arg(long, value_name = "DIR")]
    pub pod_manifest_path: Option<PathBuf>,
    /// Address that /healthz is served on, over HTTP.
    #[arg(long, default_value = "127.0.0.1", value_name = "IP")]
    pub healthz_bind_address: IpAddr,
    /// Its port; 0: none.
    #[arg(long, default_value_t = 10248, value_name = "PORT")]
    pub healthz_port: u16,
    #[command(flatten)]
    pub limits: limits::NodeLimits,
    #[command(flatten)]
    pub logging: Logging,
}

#[derive(Args, Clone, Debug)]
pub struct KubeProxy {
    #[command(flatten)]
    pub apart: Apart,
    #[arg(long, value_name = "NAME")]
    pub hostname_override: Option<String>,
    #[arg(long, default_value = "", value_name = "CIDR")]
    pub cluster_cidr: String,
    /// Addresses that node ports are served on; `primary` is the node's own [default: primary].
    #[arg(long, value_delimiter = ',', value_name = "CIDRS")]
    pub nodeport_addresses: Vec<String>,
    /// Only `nftables`.
    #[arg(long, default_value = "nftables", value_name = "MODE")]
    pub proxy_mode: String,
    /// Remove all rules and exit.
    #[arg(long)]
    pub cleanup: bool,
    /// Where /healthz is served, over HTTP; port 0: nowhere.
    #[arg(long, default_value = "0.0.0.0:10256", value_name = "IP:PORT")]
    pub healthz_bind_address: SocketAddr,
    /// Where /metrics and /proxyMode are served, over HTTP; port 0: nowhere.
    #[arg(long, default_value = "127.0.0.1:10249", value_name = "IP:PORT")]
    pub metrics_bind_address: SocketAddr,
    #[command(flatten)]
    pub logging: Logging,
}

/// Reads a command line; like all of clap it ends the process when that is not understood.
#[must_use]
pub fn parse(args: Vec<std::ffi::OsString>) -> Cli {
    // A machine of a cluster with a name gets these from there.
    const OF_THE_NAME: [&str; 5] =
        ["node_name", "node_ip", "bind_address", "advertise_address", "container_runtime_endpoint"];
    let command = Cli::command().mut_subcommand("up", |up| {
        up.mut_arg("name", |name| name.conflicts_with_all(OF_THE_NAME).conflicts_with("state_dir"))
    });
    let matches = command.get_matches_from(args);
    Cli::from_arg_matches(&matches).unwrap_or_else(|e| e.exit())
}

/// The names under which the binary is a component when it is called so.
pub const COMPONENTS: [&str; 5] =
    ["kube-apiserver", "kube-scheduler", "kube-controller-manager", "kubelet", "kube-proxy"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_declaration_is_sound() {
        Cli::command().debug_assert();
        let Command::Up(up) = parse(["corten", "up", "--name", "a"].map(Into::into).to_vec()).command else {
            panic!("it is up")
        };
        assert_eq!((up.place.name.as_deref(), up.control_plane.context.as_str()), (Some("a"), "corten"));
    }
}
