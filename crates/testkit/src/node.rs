//! A node without a node agent: a network namespace, a pod network and a containerd of its own.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use cri::containerd::{Containerd, OciRuntime, Options, RegistryMirror};

use crate::netns::Netns;

/// A running node. Call [`TestNode::down`] at the end; a drop without it (a failed test) removes
/// everything by force.
#[derive(Debug)]
pub struct TestNode {
    options: Options,
    network: network::Options,
    netns: Netns,
    dir: PathBuf,
    is_down: bool,
}

impl TestNode {
    /// Prepares namespace, pod network and options below a new directory; starts nothing.
    pub async fn new(runtime: OciRuntime) -> Result<Self> {
        let name = crate::unique("tn");
        let dir = std::env::temp_dir().join(&name);
        std::fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
        let netns = Netns::new("tn")?;
        let mut options = Options::new(dir.join("containerd"));
        options.netns = Some(netns.path().to_owned());
        options.runtime = runtime;
        options.cgroup_parent = Some(format!("/{name}"));
        let network = network::Options {
            bridge: "cni0".into(),
            pod_cidrs: vec!["10.244.0.0/24".into()],
            mtu: Some(1450),
            conf_dir: options.cni_conf_dir.clone(),
            data_dir: dir.join("cni/networks"),
            bin_dir: None,
            masquerade: true,
            cluster_cidrs: Vec::new(),
            netns: Some(netns.path().to_owned()),
        };
        network::up(&network).await?;
        Ok(Self { options, network, netns, dir, is_down: false })
    }

    /// Lets images of `host` be pulled from `url`. Before `start`.
    pub fn add_registry(&mut self, host: &str, url: &str) {
        self.options.registries.push(RegistryMirror { host: host.into(), url: url.into() });
    }

    /// Starts the node's containerd, or takes over the running one.
    pub async fn start(&self) -> Result<Containerd> {
        Ok(Containerd::start(self.options.clone()).await?)
    }

    /// The node's network namespace.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// Everything of this node on disk is below here.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The pods' common cgroup, to be used in sandbox configurations.
    pub fn cgroup_parent(&self) -> String {
        self.options.cgroup_parent.clone().unwrap_or_default()
    }

    /// Stops everything and removes every trace.
    pub async fn down(mut self, containerd: Containerd) -> Result<()> {
        containerd.down(true).await?;
        network::down(&self.network).await?;
        std::fs::remove_dir_all(&self.dir).with_context(|| format!("remove {}", self.dir.display()))?;
        self.is_down = true;
        Ok(())
    }
}

impl Drop for TestNode {
    fn drop(&mut self) {
        if self.is_down {
            return;
        }
        // A drop may happen inside a runtime, which must not block on itself: use a thread.
        let (options, dir) = (self.options.clone(), self.dir.clone());
        let thread = std::thread::spawn(move || -> Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(cri::containerd::purge(&options, true))?;
            crate::sweep(&dir)
        });
        match thread.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => eprintln!("testkit: {error:#}"),
            Err(_) => eprintln!("testkit: removing a node panicked"),
        }
    }
}
