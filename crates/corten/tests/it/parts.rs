//! A node in parts of their own: a containerd that was there, node agent and service proxy each as a process with
//! its own credentials, as upstream's are run.

use std::path::PathBuf;
use std::time::Duration;

use client::Kubeconfig;
use rustix::process::{Pid, Signal, kill_process};
use sys::{Clock, SystemClock};
use testkit::cluster::{Cluster, HOST, NODE, kill};
use testkit::wait::{Running, run};
use wire::pki::{Leaf, Pki};

use crate::foreign::Foreign;
use crate::session::CORTEN;

/// Nodes of a cluster get the first range of the default cluster CIDR.
const POD_CIDR: &str = "10.244.0.0/24";

/// One node's parts. The control plane is the cluster's.
pub struct Parts {
    runtime: Foreign,
    network: network::Options,
    kubelet: Option<Running>,
    proxy: Running,
    dir: PathBuf,
}

/// Credentials that the cluster's authority gave to a user.
fn kubeconfig(cluster: &Cluster, file: &str, user: &str, group: &str) -> PathBuf {
    let now = SystemClock.now();
    let pki = Pki::open(&cluster.state().join("pki"), now).unwrap();
    let pair = pki.leaf(&Leaf::client(file, user, group), now).unwrap();
    let server = format!("https://{HOST}:6443");
    let config = Kubeconfig::with_certificate("apart", &server, pki.ca_pem(), &pair.cert_pem, &pair.key_pem);
    let path = cluster.scratch().join(format!("{file}.kubeconfig"));
    config.write(&path).unwrap();
    path
}

/// A serving certificate for the node, since the control plane verifies kubelets.
fn serving(cluster: &Cluster) -> (PathBuf, PathBuf) {
    let (dir, now) = (cluster.state().join("pki"), SystemClock.now());
    let leaf = Leaf::server("apart-serving", NODE, vec![NODE.to_owned(), HOST.to_owned()]);
    Pki::open(&dir, now).unwrap().leaf(&leaf, now).unwrap();
    (dir.join("apart-serving.crt"), dir.join("apart-serving.key"))
}

impl Parts {
    /// Starts them all beside the cluster's control plane.
    pub fn start(cluster: &Cluster) -> Self {
        let runtime = Foreign::start(cluster);
        let dir = cluster.scratch().join("node");
        let network = network::Options {
            bridge: "cni-apart".into(),
            pod_cidrs: vec![POD_CIDR.into()],
            mtu: None,
            conf_dir: runtime.cni_conf_dir(),
            data_dir: runtime.dir().join("addresses"),
            bin_dir: None,
            masquerade: true,
            cluster_cidrs: Vec::new(),
            netns: Some(cluster.netns().path().to_owned()),
        };
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio.block_on(network::up(&network)).unwrap();
        let config = kubeconfig(cluster, "apart-proxy", "system:kube-proxy", "");
        let mut proxy = cluster.command(CORTEN.as_ref());
        proxy.args(["kube-proxy", "--hostname-override", NODE, "--cluster-cidr", "10.244.0.0/16"]);
        proxy.arg("--kubeconfig").arg(config);
        let proxy = Running::start(proxy);
        let mut parts = Parts { runtime, network, kubelet: None, proxy, dir };
        parts.start_kubelet(cluster);
        parts
    }

    /// Starts the node agent (again).
    pub fn start_kubelet(&mut self, cluster: &Cluster) {
        let config = kubeconfig(cluster, "apart-kubelet", &format!("system:node:{NODE}"), "system:nodes");
        let (cert, key) = serving(cluster);
        let mut command = cluster.command(CORTEN.as_ref());
        command.args(["kubelet", "--hostname-override", NODE, "--node-ip", HOST]);
        command.args(["--cluster-dns", "10.96.0.10", "--cgroup-root", &self.runtime.cgroup()]);
        command.args(["--container-runtime-endpoint", &self.runtime.endpoint()]);
        command.arg("--root-dir").arg(&self.dir).arg("--kubeconfig").arg(config);
        command.arg("--tls-cert-file").arg(cert).arg("--tls-private-key-file").arg(key);
        self.kubelet = Some(Running::start(command));
    }

    /// Kills the node agent with SIGKILL.
    pub fn kill_kubelet(&mut self) {
        let kubelet = self.kubelet.take().unwrap();
        kill(i32::try_from(kubelet.pid()).unwrap()).unwrap();
        let _ = kubelet.finish(Duration::from_secs(5));
    }

    /// Ends everything; pods must be gone.
    pub fn down(mut self, cluster: &Cluster) {
        let kubelet = self.kubelet.take().unwrap();
        for process in [kubelet, self.proxy] {
            let pid = Pid::from_raw(i32::try_from(process.pid()).unwrap()).unwrap();
            kill_process(pid, Signal::TERM).unwrap();
            let output = process.finish(Duration::from_secs(20));
            assert_eq!(output.code, Some(0), "{output}");
        }
        let mut cleanup = cluster.command(CORTEN.as_ref());
        cleanup.args(["kube-proxy", "--cleanup"]);
        run(cleanup, b"", Duration::from_secs(20)).ok();
        self.runtime.down();
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio.block_on(network::down(&self.network)).unwrap();
    }
}
