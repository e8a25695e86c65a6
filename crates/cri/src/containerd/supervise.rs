//! Starting the daemon, waiting for it, starting it again when it dies, ending it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::process::Command;

use super::config::{Layout, Settings};
use super::process::{Process, find_processes, find_program, has_flag, is_program, search_path};
use super::{DaemonError, cgroup};
use crate::{CriClient, Runtime};

/// How long a daemon may take from its start to its first answer.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// Time between two tries while waiting for the first answer.
const READY_POLL: Duration = Duration::from_millis(10);
/// How long it may take to end on SIGTERM, and then on SIGKILL.
const END_LIMIT: Duration = Duration::from_secs(10);
/// Delay before the first restart; doubles up to the limit while the daemon keeps dying.
const RESTART_DELAY: Duration = Duration::from_millis(100);
const RESTART_DELAY_LIMIT: Duration = Duration::from_secs(30);
/// A daemon that ran this long starts again with the first delay.
const HEALTHY_AFTER: Duration = Duration::from_secs(60);
/// A log file of this size is put aside at start; one old file is kept.
const LOG_LIMIT_BYTES: u64 = 16 * 1024 * 1024;
/// As much of the log goes into an error.
const LOG_TAIL_BYTES: usize = 2000;

/// One daemon: what it needs to be started, and the client to reach it.
#[derive(Debug)]
pub(super) struct Daemon {
    pub layout: Layout,
    pub settings: Settings,
    pub client: CriClient,
    pub netns: Option<std::path::PathBuf>,
}

impl Daemon {
    /// The running daemon on this directory.
    pub fn find(&self) -> Option<Pid> {
        find(&self.layout)
    }

    /// Finds the running daemon, or starts one; waits until it answers.
    pub async fn take_over_or_launch(&self) -> Result<Process, DaemonError> {
        if let Some(process) = self.find().and_then(|pid| Process::open(pid).ok()) {
            tracing::info!(socket = %self.layout.socket.display(), "takes over the running containerd");
            self.wait_ready(&process).await?;
            return Ok(process);
        }
        self.launch().await
    }

    /// Starts a daemon and waits until it answers.
    pub async fn launch(&self) -> Result<Process, DaemonError> {
        self.write_files()?;
        if self.settings.runtimes[0].0 == "crun" {
            cgroup::prepare_hybrid_for_crun()?;
        }
        let process = self.spawn()?;
        self.wait_ready(&process).await?;
        Ok(process)
    }

    pub async fn terminate(&self) -> Result<(), DaemonError> {
        terminate(&self.layout).await
    }

    fn write_files(&self) -> Result<(), DaemonError> {
        let layout = &self.layout;
        for dir in [&layout.dir, &layout.root, &layout.run, &layout.certs, &self.settings.cni_conf_dir] {
            std::fs::create_dir_all(dir).map_err(DaemonError::io("create", dir))?;
        }
        // Others must not reach the socket, whatever umask we run under.
        let private = std::fs::Permissions::from_mode(0o711);
        std::fs::set_permissions(&layout.run, private).map_err(DaemonError::io("chmod", &layout.run))?;
        for (path, content) in self.settings.render_registries() {
            write(&layout.certs.join(path), &content)?;
        }
        write(&layout.config, &self.settings.render(layout))?;
        if std::fs::metadata(&layout.log).is_ok_and(|meta| meta.len() > LOG_LIMIT_BYTES) {
            let old = layout.log.with_extension("log.1");
            std::fs::rename(&layout.log, &old).map_err(DaemonError::io("rename to", &old))?;
        }
        Ok(())
    }

    /// `setsid [nsenter] containerd` in a session of its own: no signal to our terminal, group or
    /// session reaches it. Both programs replace themselves, so the child is containerd.
    fn spawn(&self) -> Result<Process, DaemonError> {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&self.layout.log)
            .map_err(DaemonError::io("open", &self.layout.log))?;
        let errors = log.try_clone().map_err(DaemonError::io("open", &self.layout.log))?;
        let mut words: Vec<std::ffi::OsString> = Vec::new();
        if let Some(netns) = &self.netns {
            let nsenter = find_program("nsenter")
                .ok_or(DaemonError::Missing { program: "nsenter", package: "util-linux" })?;
            let mut net = std::ffi::OsString::from("--net=");
            net.push(netns);
            words.extend([nsenter.into(), net, "--".into()]);
        }
        words.push(self.settings.containerd.clone().into());
        let setsid = find_program("setsid")
            .ok_or(DaemonError::Missing { program: "setsid", package: "util-linux" })?;
        let mut child = Command::new(setsid)
            .args(words)
            .arg("--config")
            .arg(&self.layout.config)
            .env("PATH", search_path())
            .current_dir("/")
            .stdin(std::process::Stdio::null())
            .stdout(log)
            .stderr(errors)
            .kill_on_drop(false)
            .spawn()
            .map_err(DaemonError::io("start", &self.settings.containerd))?;
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let gone = || std::io::Error::other("it ended at once");
        let process = pid
            .ok_or_else(gone)
            .and_then(Process::open)
            .map_err(DaemonError::io("start", &self.settings.containerd))?;
        // The child must be reaped by somebody as long as we live.
        tokio::spawn(async move {
            if let Ok(status) = child.wait().await {
                tracing::info!(%status, "containerd ended");
            }
        });
        Ok(process)
    }

    async fn wait_ready(&self, process: &Process) -> Result<(), DaemonError> {
        let answers = async {
            loop {
                match self.client.status(false).await {
                    Ok(_) => return,
                    Err(error) => tracing::trace!(%error, "containerd is not ready yet"),
                }
                tokio::time::sleep(READY_POLL).await;
            }
        };
        let reason = tokio::select! {
            () = answers => return Ok(()),
            () = process.ended() => "it ended".to_owned(),
            () = tokio::time::sleep(READY_LIMIT) => format!("no answer within {READY_LIMIT:?}"),
        };
        Err(DaemonError::NotReady { reason, log: log_tail(&self.layout.log) })
    }
}

/// Watches a daemon and starts it again when it dies. Dropping it ends the watch.
#[derive(Debug)]
pub(super) struct Supervisor(tokio::task::JoinHandle<()>);

impl Supervisor {
    pub fn spawn(daemon: Arc<Daemon>, process: Process) -> Self {
        Self(tokio::spawn(supervise(daemon, process)))
    }

    /// Ends the watch; the daemon stays.
    pub fn stop(&self) {
        self.0.abort();
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn supervise(daemon: Arc<Daemon>, mut process: Process) {
    let mut delay = RESTART_DELAY;
    loop {
        let started = tokio::time::Instant::now();
        process.ended().await;
        if started.elapsed() >= HEALTHY_AFTER {
            delay = RESTART_DELAY;
        }
        loop {
            tracing::warn!(log = %daemon.layout.log.display(), ?delay, "containerd died; starts it again");
            tokio::time::sleep(delay).await;
            delay = (delay * 2).min(RESTART_DELAY_LIMIT);
            match daemon.take_over_or_launch().await {
                Ok(next) => {
                    process = next;
                    break;
                }
                Err(error) => tracing::error!(%error, "containerd does not start"),
            }
        }
    }
}

/// The daemon with this layout's configuration, if it runs.
pub(super) fn find(layout: &Layout) -> Option<Pid> {
    // Any argument: for a moment the process is still setsid or nsenter on its way to containerd.
    let ours = |arguments: &[&[u8]]| {
        let is_daemon = |at| is_program(&arguments[at..], "containerd");
        (0..arguments.len()).any(is_daemon) && has_flag(arguments, "--config", &layout.config)
    };
    find_processes(ours).into_iter().next()
}

/// Ends the daemon with this layout's configuration; its pods stay.
pub(super) async fn terminate(layout: &Layout) -> Result<(), DaemonError> {
    let Some(process) = find(layout).and_then(|pid| Process::open(pid).ok()) else { return Ok(()) };
    process.end(Signal::TERM, END_LIMIT).await.map_err(DaemonError::io("end the daemon of", &layout.dir))
}

fn write(path: &Path, content: &str) -> Result<(), DaemonError> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(DaemonError::io("create", parent))?;
    }
    std::fs::write(path, content).map_err(DaemonError::io("write", path))
}

fn log_tail(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(LOG_TAIL_BYTES)..]).into_owned()
}
