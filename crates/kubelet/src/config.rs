//! What the node agent must be told. Every path and name that two clusters on one machine must not share is
//! here; nothing else in the crate names a place on the machine.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Settings of one node agent. See [`Config::new`] for the defaults.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of the Node object.
    pub node_name: String,
    /// Label `kubernetes.io/hostname`; the node name when empty.
    pub hostname: String,
    /// State directory: volumes, managed files, termination messages.
    pub root_dir: PathBuf,
    /// Directory of the pods' logs.
    pub pod_log_dir: PathBuf,
    /// CRI socket, for the Node's annotation and messages only; calls go through the `Runtime` given to `run`.
    pub runtime_endpoint: String,
    /// Nameservers of pods with `dnsPolicy: ClusterFirst`.
    pub cluster_dns: Vec<IpAddr>,
    /// Domain of the cluster, `cluster.local`.
    pub cluster_domain: String,
    /// The host's resolver configuration; empty: pods inherit nothing from the host.
    pub resolv_conf: PathBuf,
    /// Read in its place when all its nameservers are on loopback, where pods cannot reach them.
    pub upstream_resolv_conf: PathBuf,
    /// Cgroup (as a path from each hierarchy's root) below which `kubepods` is made; `/` for the root itself.
    pub cgroup_root: String,
    /// Whether the runtime's cgroup driver is systemd; pod cgroups are then named as slices.
    pub cgroup_systemd: bool,
    /// Where cgroups are mounted.
    pub cgroup_mount: PathBuf,
    /// The node's own addresses, the primary one first. Empty: found from the interfaces.
    pub node_ips: Vec<IpAddr>,
    /// Where the HTTPS server listens.
    pub listen: SocketAddr,
    /// Certificate and key (PEM) of the HTTPS server. No server is started without.
    pub tls_cert_file: Option<PathBuf>,
    pub tls_key_file: Option<PathBuf>,
    /// Whether these files may come later, when somebody has signed the certificate: the server waits for them.
    pub await_tls_files: bool,
    /// CA (PEM) that signs the clients of the HTTPS server.
    pub client_ca_file: Option<PathBuf>,
    /// User names (certificate CN) that may use the HTTPS server; members of `system:masters` always may.
    pub allowed_users: Vec<String>,
    /// Largest number of pods.
    pub max_pods: u32,
    /// Resources kept back from pods for this agent and its like, and for the rest of the machine, as quantities:
    /// `cpu`, `memory`, `ephemeral-storage`, `pid`.
    pub kube_reserved: Vec<(String, String)>,
    pub system_reserved: Vec<(String, String)>,
    /// Hold all pods together below what is not kept back, by their common cgroup.
    pub enforce_node_allocatable: bool,
    /// Processes and threads of one pod at most.
    pub pod_pids_limit: Option<i64>,
    /// Containers that name no seccomp profile get the runtime's default one.
    pub seccomp_default: bool,
    /// Labels and taints the node registers with. Taints: `key=value:Effect`.
    pub node_labels: Vec<(String, String)>,
    pub node_taints: Vec<String>,
    /// Sysctls that pods may set beside the safe ones; `name.*` for all below.
    pub allowed_unsafe_sysctls: Vec<String>,
    /// Provider id of a cloud node.
    pub provider_id: String,
    /// Manifest directory of static pods.
    pub static_pod_dir: Option<PathBuf>,
    /// Wait for `spec.podCIDR` and write a CNI configuration of it. Without, CNI is somebody else's work.
    pub manage_cni: bool,
    /// Where the runtime reads CNI configurations.
    pub cni_conf_dir: PathBuf,
    /// Where the runtime finds CNI plugins, when that is not one of the usual places.
    pub cni_bin_dir: Option<PathBuf>,
    /// The name of the bridge that pods of this node hang on.
    pub cni_bridge: String,
    /// The ranges that all nodes' pods have their addresses from: pods reach each other without masquerading.
    pub cluster_cidrs: Vec<String>,
    /// MTU of pods' links; 0: the plugin's default.
    pub cni_mtu: u32,
    /// Network namespace of the node when the agent itself runs outside of it.
    pub netns: Option<PathBuf>,
    /// Log size at which a container's log is rotated, and how many files are kept.
    pub container_log_max_bytes: u64,
    pub container_log_max_files: usize,
    /// Image pulls at a time.
    pub max_parallel_pulls: usize,
}

impl Config {
    /// Upstream's defaults for a node called `node_name` with its state in `root_dir`.
    #[must_use]
    pub fn new(node_name: &str, root_dir: impl Into<PathBuf>) -> Self {
        Config {
            node_name: node_name.to_owned(),
            hostname: String::new(),
            root_dir: root_dir.into(),
            pod_log_dir: PathBuf::from("/var/log/pods"),
            runtime_endpoint: "unix:///run/containerd/containerd.sock".to_owned(),
            cluster_dns: Vec::new(),
            cluster_domain: "cluster.local".to_owned(),
            resolv_conf: PathBuf::from("/etc/resolv.conf"),
            upstream_resolv_conf: PathBuf::from("/run/systemd/resolve/resolv.conf"),
            cgroup_root: "/".to_owned(),
            cgroup_systemd: false,
            cgroup_mount: PathBuf::from("/sys/fs/cgroup"),
            node_ips: Vec::new(),
            listen: SocketAddr::from(([0, 0, 0, 0], 10250)),
            tls_cert_file: None,
            tls_key_file: None,
            await_tls_files: false,
            client_ca_file: None,
            allowed_users: vec!["kube-apiserver-kubelet-client".to_owned()],
            max_pods: 110,
            kube_reserved: Vec::new(),
            system_reserved: Vec::new(),
            enforce_node_allocatable: true,
            pod_pids_limit: None,
            seccomp_default: false,
            node_labels: Vec::new(),
            node_taints: Vec::new(),
            allowed_unsafe_sysctls: Vec::new(),
            provider_id: String::new(),
            static_pod_dir: None,
            manage_cni: true,
            cni_conf_dir: PathBuf::from("/etc/cni/net.d"),
            cni_bin_dir: None,
            cni_bridge: "corten0".to_owned(),
            cluster_cidrs: Vec::new(),
            cni_mtu: 0,
            netns: None,
            container_log_max_bytes: 10 << 20,
            container_log_max_files: 5,
            max_parallel_pulls: 4,
        }
    }

    /// The hostname label's value.
    #[must_use]
    pub fn hostname(&self) -> &str {
        if self.hostname.is_empty() { &self.node_name } else { &self.hostname }
    }

    /// Where one pod keeps its volumes and managed files.
    #[must_use]
    pub fn pod_dir(&self, uid: &str) -> PathBuf {
        self.root_dir.join("pods").join(uid)
    }

    /// The log directory of a pod: `<namespace>_<name>_<uid>`.
    // k8s: pkg/kubelet/kuberuntime/helpers.go BuildPodLogsDirectory
    #[must_use]
    pub fn pod_logs_dir(&self, namespace: &str, name: &str, uid: &str) -> PathBuf {
        self.pod_log_dir.join(format!("{namespace}_{name}_{uid}"))
    }
}
