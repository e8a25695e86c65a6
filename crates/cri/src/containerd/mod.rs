//! A containerd of our own beside the node agent: own configuration, data, state and socket below
//! one directory, so that several clusters and a system containerd live side by side.
//!
//! The daemon runs in a session of its own. It, its shims and all pods outlive the process that
//! started them; the next [`Containerd::start`] on the same directory finds the running daemon and
//! takes it over. Only [`Containerd::down`] ends it. One process at a time may manage a directory:
//! the caller holds the lock for that.
//!
//! Architecture invariant: nothing here knows Kubernetes objects. Written are the directory, the
//! short run directory, the pods' cgroups, and (by containerd itself) the shims' sockets in
//! `/run/containerd/s`; with crun on a host that has both cgroup versions also a mount of the v1
//! hugetlb hierarchy, which stays.

mod cgroup;
mod cleanup;
mod config;
mod images;
mod process;
mod supervise;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;

use crate::image::{ArchiveError, Image, ImageError, PAUSE_NAME, pause_image};
use crate::{CriClient, Error, Runtime, Timeouts, v1};

pub use cgroup::{has_processes, remove_tree as remove_cgroup_tree};
pub use cleanup::{mount_points, unmount_below};
use config::{Layout, Settings};
pub use config::{OciRuntime, RegistryMirror};
pub use images::{Images, running_endpoint};
pub use process::{find_program, search_path};
use supervise::{Daemon, Supervisor};

/// How long `down` waits for one sandbox to go.
const SANDBOX_STOP_LIMIT: Duration = Duration::from_secs(60);
/// Sandboxes stopped at the same time by `down`.
const STOP_CONCURRENCY: usize = 8;

/// What can go wrong with the daemon.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// A program is not installed.
    #[error("{program} is not installed: apt-get install {package}")]
    Missing { program: &'static str, package: &'static str },
    /// The file system refused something.
    #[error("{what} {}: {source}", path.display())]
    Io { what: &'static str, path: PathBuf, source: std::io::Error },
    /// A helper program failed.
    #[error("{command} failed: {output}")]
    Command { command: String, output: String },
    /// The daemon ended or did not answer in time; `log` is the end of its log file.
    #[error("containerd did not become ready ({reason}); end of its log:\n{log}")]
    NotReady { reason: String, log: String },
    /// The daemon refused a call.
    #[error(transparent)]
    Cri(#[from] Error),
    /// An image archive is not one.
    #[error("{}: {source}", path.display())]
    Archive { path: PathBuf, source: ArchiveError },
    /// A runtime without a way for archives.
    #[error("{runtime} runs at {endpoint}: image archives go in and out of containerd only")]
    Foreign { endpoint: String, runtime: String },
    /// A built-in image could not be built.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Something of a pod could not be removed.
    #[error("left behind: {0}")]
    Leftover(String),
}

impl DaemonError {
    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }
}

/// What a caller decides.
#[derive(Debug, Clone)]
pub struct Options {
    /// Everything of this daemon lives below here. Absolute.
    pub dir: PathBuf,
    /// Where the CNI configuration will be; made when missing.
    pub cni_conf_dir: PathBuf,
    /// Where the CNI plugins are; [`None`]: `/opt/cni/bin` or `/usr/lib/cni`, what there is.
    pub cni_bin_dir: Option<PathBuf>,
    /// Network namespace to run in (a path such as `/run/netns/x`); [`None`]: the caller's.
    pub netns: Option<PathBuf>,
    /// Which OCI runtime runs containers.
    pub runtime: OciRuntime,
    /// Sandbox image; [`None`]: our own, which needs no network.
    pub sandbox_image: Option<String>,
    /// Registries to be asked in place of the one in an image's name, over the given URL.
    pub registries: Vec<RegistryMirror>,
    /// The pods' common cgroup, relative to each hierarchy's root; removed at `down`.
    pub cgroup_parent: Option<String>,
}

impl Options {
    /// Defaults for a daemon below `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        let dir = dir.into();
        Self {
            cni_conf_dir: dir.join("cni/net.d"),
            dir,
            cni_bin_dir: None,
            netns: None,
            runtime: OciRuntime::Auto,
            sandbox_image: None,
            registries: Vec::new(),
            cgroup_parent: None,
        }
    }
}

/// A running daemon under supervision. Dropping it ends the supervision, not the daemon.
#[derive(Debug)]
pub struct Containerd {
    daemon: Arc<Daemon>,
    supervisor: Supervisor,
    cgroup_parent: Option<String>,
    sandbox_image: String,
}

impl Containerd {
    /// Takes over the daemon that runs on `options.dir`, or starts one; waits until it answers and
    /// has its sandbox image.
    ///
    /// A taken-over daemon keeps the configuration it was started with.
    pub async fn start(options: Options) -> Result<Self, DaemonError> {
        let settings = Settings::detect(&options)?;
        let layout = Layout::new(&options.dir);
        let client = CriClient::new(&layout.socket.to_string_lossy(), Timeouts::default())?;
        let sandbox_image = settings.sandbox_image.clone();
        let daemon = Arc::new(Daemon { layout, settings, client, netns: options.netns });
        let process = daemon.take_over_or_launch().await?;
        let supervisor = Supervisor::spawn(Arc::clone(&daemon), process);
        let this = Self { daemon, supervisor, cgroup_parent: options.cgroup_parent, sandbox_image };
        if options.sandbox_image.is_none() && !this.images().has(PAUSE_NAME).await? {
            this.import(&pause_image()?, &[PAUSE_NAME]).await?;
        }
        Ok(this)
    }

    /// The CRI client of this daemon.
    pub fn client(&self) -> CriClient {
        self.daemon.client.clone()
    }

    /// The daemon's socket.
    pub fn socket(&self) -> &Path {
        &self.daemon.layout.socket
    }

    /// The name of the sandbox image: image garbage collection must spare it.
    pub fn sandbox_image(&self) -> &str {
        &self.sandbox_image
    }

    /// The daemon's log file.
    pub fn log_file(&self) -> &Path {
        &self.daemon.layout.log
    }

    /// The daemon's process id, if it runs.
    pub fn pid(&self) -> Option<i32> {
        self.daemon.find().map(|pid| pid.as_raw_nonzero().get())
    }

    /// The daemon's images.
    pub fn images(&self) -> Images {
        Images::new(self.socket(), self.daemon.settings.snapshotter, self.client())
    }

    /// Puts an image into the daemon's store under each full name; no registry is asked.
    pub async fn import(&self, image: &Image, names: &[&str]) -> Result<(), DaemonError> {
        self.images().add(image, names, &self.daemon.layout.dir).await
    }

    /// Stops and removes all pods, ends the daemon, and removes its run directory, mounts and
    /// cgroups. Images and logs stay, unless `remove_data`.
    ///
    /// Goes on after a failure; the first one is returned.
    pub async fn down(self, remove_data: bool) -> Result<(), DaemonError> {
        let pods = self.remove_pods().await;
        self.supervisor.stop();
        let daemon = self.daemon.terminate().await;
        let rest = cleanup::purge(&self.daemon.layout, self.cgroup_parent.as_deref(), remove_data).await;
        // Pods that the daemon could not remove are gone after a purge that found nothing left.
        if let (Err(error), Ok(())) = (&pods, &rest) {
            tracing::warn!(%error, "pods were removed by force");
        }
        daemon.and(rest)
    }

    /// Stops and removes all sandboxes with their containers.
    pub async fn remove_pods(&self) -> Result<(), DaemonError> {
        let client = self.client();
        let sandboxes = client.list_pod_sandbox(None).await?;
        let results: Vec<_> = futures_util::stream::iter(sandboxes)
            .map(|sandbox| remove_sandbox(client.clone(), sandbox))
            .buffer_unordered(STOP_CONCURRENCY)
            .collect()
            .await;
        results.into_iter().find(Result::is_err).unwrap_or(Ok(())).map_err(DaemonError::from)
    }
}

/// Ends whatever is left of a daemon on `options.dir` and its pods, without a working daemon.
pub async fn purge(options: &Options, remove_data: bool) -> Result<(), DaemonError> {
    let layout = Layout::new(&options.dir);
    supervise::terminate(&layout).await?;
    cleanup::purge(&layout, options.cgroup_parent.as_deref(), remove_data).await
}

async fn remove_sandbox(client: CriClient, sandbox: v1::PodSandbox) -> Result<(), Error> {
    let work = async {
        client.stop_pod_sandbox(&sandbox.id).await?;
        client.remove_pod_sandbox(&sandbox.id).await
    };
    tokio::time::timeout(SANDBOX_STOP_LIMIT, work).await.unwrap_or_else(|_| {
        Err(Error::Timeout { op: "StopPodSandbox", message: format!("sandbox {} does not stop", sandbox.id) })
    })
}
