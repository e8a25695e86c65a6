//! Stops a cluster and removes what it has put on the machine: processes, pods, mounts, cgroups, network and
//! packet rules.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::components::proxy;
use crate::node::{self, Remains};
use crate::run::need_root;
use crate::state::StateDir;

/// How long the server may take to stop.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// Stops the cluster of a state directory; with `purge` the directory goes too.
///
/// # Errors
/// When something cannot be stopped or removed.
pub async fn down(state_dir: &Path, purge: bool) -> Result<()> {
    need_root("corten down")?;
    if !state_dir.exists() {
        println!("nothing is there: {}", state_dir.display());
        return Ok(());
    }
    let state = StateDir::open(state_dir)?;
    stop_owner(&state).await?;
    let _lock = state.lock()?;
    if let Some(remains) = node::read_remains(&state.settings()) {
        remove_node(&state, &remains, purge).await?;
        std::fs::remove_file(state.settings())?;
    }
    if purge {
        if !state.path().join("pki").exists() && std::fs::read_dir(state.path())?.count() > 1 {
            bail!("{} does not look like a state directory: not removed", state.path().display());
        }
        std::fs::remove_dir_all(state.path())
            .with_context(|| format!("removing {}", state.path().display()))?;
    }
    println!("stopped{}", if purge { " and removed" } else { "" });
    Ok(())
}

async fn stop_owner(state: &StateDir) -> Result<()> {
    let Some(pid) = state.owner() else { return Ok(()) };
    let process = Pid::from_raw(pid).context("the pid file holds no process id")?;
    println!("stopping process {pid}");
    kill_process(process, Signal::TERM).with_context(|| format!("stopping process {pid}"))?;
    let gone = async {
        while state.owner().is_some() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    if tokio::time::timeout(STOP_LIMIT, gone).await.is_err() {
        bail!("process {pid} has not stopped in {} s", STOP_LIMIT.as_secs());
    }
    Ok(())
}

async fn remove_node(state: &StateDir, remains: &Remains, purge: bool) -> Result<()> {
    if remains.own_containerd {
        println!("stopping pods and containerd");
        let options = node::containerd_options(state, remains, Vec::new());
        match cri::containerd::Containerd::start(options.clone()).await {
            Ok(containerd) => containerd.down(purge).await?,
            Err(e) => {
                tracing::warn!("containerd does not start, its remains are removed by force: {e}");
                cri::containerd::purge(&options, purge).await?;
            }
        }
    }
    println!("removing network and rules");
    proxy::cleanup().await?;
    network::down(&node::network_options(state, remains)).await?;
    unmount_below(state.path())
}

/// Unmounts what pods' volumes have left mounted below a directory, the innermost first.
fn unmount_below(dir: &Path) -> Result<()> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").context("the mount table")?;
    let mut points: Vec<&str> = table
        .lines()
        .filter_map(|l| l.split(' ').nth(4))
        .filter(|p| Path::new(p).starts_with(dir) && Path::new(p) != dir)
        .collect();
    points.sort_by_key(|p| std::cmp::Reverse(p.len()));
    for point in points {
        rustix::mount::unmount(point, rustix::mount::UnmountFlags::DETACH)
            .with_context(|| format!("unmounting {point}"))?;
    }
    Ok(())
}
