//! Stops a cluster and removes what it has put on the machine: processes, pods, mounts, cgroups, network and
//! packet rules.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use cri::image::HELLO_NAME;
use cri::v1::ImageSpec;
use cri::{CriClient, Runtime, Timeouts};
use rustix::io::Errno;
use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::components::proxy;
use crate::host::need_root;
use crate::logging::say;
use crate::remains::{Remains, boot_id};
use crate::state::{Owner, StateDir};
use crate::whole_file;

/// How long the server may take to stop.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// Stops the cluster of a state directory; with `purge` the directory goes too.
///
/// # Errors
/// When something cannot be stopped or removed.
pub async fn down(state_dir: &Path, purge: bool) -> Result<()> {
    need_root("corten down")?;
    if !state_dir.exists() {
        say(format_args!("nothing is there: {}", state_dir.display()));
        return Ok(());
    }
    if purge {
        check_own(state_dir)?;
    }
    stop_and_remove(state_dir, purge, &|line: &str| say(line)).await?;
    say(format_args!("stopped{}", if purge { " and removed" } else { "" }));
    Ok(())
}

/// Does it, and tells the steps.
///
/// # Errors
/// When something cannot be stopped or removed.
pub async fn stop_and_remove(state_dir: &Path, purge: bool, tell: &(dyn Fn(&str) + Sync)) -> Result<()> {
    let state = StateDir::open(state_dir)?;
    stop_owner(&state, tell).await?;
    let _lock = state.lock()?;
    if let Some(remains) = Remains::read(&state)? {
        remove_node(&state, &remains, purge, tell).await?;
        std::fs::remove_file(state.settings())?;
    }
    if purge {
        remove_state(&state, tell)?;
    }
    Ok(())
}

/// Stops the process that has the state directory, if one does; pods go on. No other process is ever signalled.
///
/// # Errors
/// When it does not stop, or it is not known which one it is.
pub async fn stop_owner(state: &StateDir, tell: &(dyn Fn(&str) + Sync)) -> Result<()> {
    let Some(owner) = state.owner() else { return Ok(()) };
    let dir = state.path().display();
    let Owner::Process(pid) = owner else {
        bail!("{dir} is in use by {owner}: stop that one yourself, or try again if it has just been started");
    };
    tell(&format!("stopping {owner}"));
    match pidfd_open(pid, PidfdFlags::empty()) {
        // The number is held now, so what is true of it stays true.
        Ok(process) if state.owner() == Some(owner) => {
            pidfd_send_signal(process, Signal::TERM).with_context(|| format!("stopping {owner}"))?;
        }
        Ok(_) | Err(Errno::SRCH) => {}
        Err(e) => return Err(e).with_context(|| format!("stopping {owner}")),
    }
    let gone = async {
        while state.owner().is_some() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    if tokio::time::timeout(STOP_LIMIT, gone).await.is_err() {
        bail!("{owner} has not stopped in {} s", STOP_LIMIT.as_secs());
    }
    Ok(())
}

/// After a start that failed: removes what it has made, so that nothing runs that nobody looks after. Pods that run
/// are left as they are, with all that they need: the next start takes them up.
pub async fn undo(state: &StateDir) {
    let undone = async {
        let Some(remains) = Remains::read(state)? else { return Ok(()) };
        if pods_run(state, &remains).await? {
            tracing::info!("pods go on; {} stops them", state.command("down"));
            return Ok(());
        }
        clear(state, &remains).await?;
        Ok(std::fs::remove_file(state.settings())?)
    };
    if let Err(e) = undone.await {
        let e: anyhow::Error = e;
        let down = state.command("down");
        tracing::error!("something of this start is left ({down} removes it): {e:#}");
    }
}

/// Removes what a node has left when nothing of it runs: sockets, mounts, cgroups, the notes of which pod has which
/// address, and what is left of its network. Images and logs stay.
///
/// # Errors
/// What cannot be removed.
pub async fn clear(state: &StateDir, remains: &Remains) -> Result<()> {
    if remains.own_containerd {
        cri::containerd::purge(&remains.containerd(state, Vec::new()), false).await?;
    }
    remove_network(state, remains).await
}

async fn pods_run(state: &StateDir, remains: &Remains) -> Result<bool> {
    let Some(endpoint) = &remains.runtime_endpoint else {
        return Ok(cri::containerd::has_processes(&remains.cgroup));
    };
    Ok(!own_sandboxes(&CriClient::new(endpoint, Timeouts::default())?, state, endpoint).await?.is_empty())
}

async fn remove_node(
    state: &StateDir,
    remains: &Remains,
    purge: bool,
    tell: &(dyn Fn(&str) + Sync),
) -> Result<()> {
    if remains.own_containerd {
        tell("stopping pods and containerd");
        let options = remains.containerd(state, Vec::new());
        match cri::containerd::Containerd::start(options.clone()).await {
            Ok(containerd) => containerd.down(purge).await?,
            Err(e) => {
                tracing::warn!("containerd does not start, its remains are removed by force: {e}");
                cri::containerd::purge(&options, purge).await?;
            }
        }
    }
    let pods = match &remains.runtime_endpoint {
        Some(endpoint) => {
            tell(&format!("stopping pods at {endpoint}"));
            remove_pods(endpoint, state, &remains.cgroup).await
        }
        None => Ok(()),
    };
    tell("removing network and rules");
    // Every step is tried; the first failure is told.
    let network = remove_network(state, remains).await;
    pods.and(network)
}

/// Removes rules, network and mounts; every step is tried, the first failure is told.
async fn remove_network(state: &StateDir, remains: &Remains) -> Result<()> {
    let rules = if remains.table.is_empty() { Ok(()) } else { proxy::cleanup(&remains.table).await };
    let sysctl = remains.former_route_localnet(&boot_id()).map_or(Ok(()), proxy::restore_route_localnet);
    let network = network::down(&remains.network(state)).await;
    let mounts = unmount_below(state.path());
    rules.and(sysctl)?;
    network?;
    mounts
}

/// Removes this cluster's pods from a runtime that is not ours, the example image, and the pods' cgroup.
async fn remove_pods(endpoint: &str, state: &StateDir, cgroup: &str) -> Result<()> {
    let runtime = CriClient::new(endpoint, Timeouts::default())?;
    for sandbox in own_sandboxes(&runtime, state, endpoint).await? {
        runtime.stop_pod_sandbox(&sandbox).await?;
        runtime.remove_pod_sandbox(&sandbox).await?;
    }
    runtime.remove_image(ImageSpec { image: HELLO_NAME.to_owned(), ..ImageSpec::default() }).await?;
    cri::containerd::remove_cgroup_tree(cgroup).with_context(|| format!("removing cgroup {cgroup}"))
}

/// Ids of this cluster's sandboxes in a runtime that is not ours.
async fn own_sandboxes(runtime: &CriClient, state: &StateDir, endpoint: &str) -> Result<Vec<String>> {
    let sandboxes = runtime.list_pod_sandbox(None).await;
    let mut own = Vec::new();
    for sandbox in sandboxes.with_context(|| format!("the container runtime at {endpoint}"))? {
        if is_of(runtime, state, &sandbox).await? {
            own.push(sandbox.id);
        }
    }
    Ok(own)
}

/// Whether a sandbox belongs to the cluster of this state directory: it logs there, or has a directory there.
async fn is_of(runtime: &CriClient, state: &StateDir, sandbox: &cri::v1::PodSandbox) -> Result<bool> {
    let status = match runtime.pod_sandbox_status(&sandbox.id, true).await {
        Err(e) if e.is_not_found() => return Ok(false),
        status => status?,
    };
    let own = state.path();
    if let Some(dir) = cri::facts::log_directory(&status) {
        return Ok(dir.starts_with(own.join("pod-logs")));
    }
    let uid = sandbox.labels.get("io.kubernetes.pod.uid").filter(|uid| !uid.contains('/'));
    Ok(uid.is_some_and(|uid| own.join("kubelet/pods").join(uid).is_dir()))
}

/// What Corten itself puts into a state directory. Nothing else is ever removed.
const OWN: [&str; 22] = [
    "admin.kubeconfig",
    "agent-kube-proxy.kubeconfig",
    "agent.json",
    "agent.kubeconfig",
    "agent.token",
    "cni",
    "containerd",
    "corten.log",
    "corten.log.1",
    "corten.pid",
    "images.json",
    "kube-controller-manager.kubeconfig",
    "kube-proxy.kubeconfig",
    "kube-scheduler.kubeconfig",
    "kubelet",
    "pki",
    "pod-logs",
    "settings.json",
    "settings.json.new",
    "store.redb",
    "store.redb.lock",
    "store.redb.new",
];

/// An archive of an image that is loaded, which a killed server leaves.
fn is_own_archive(name: &str) -> bool {
    let digest = name.strip_prefix("import-").and_then(|rest| rest.strip_suffix(".tar"));
    digest.is_some_and(|digest| digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// What is Corten's of a directory, whole or half written.
fn own_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut own = Vec::new();
    for name in OWN {
        let path = dir.join(name);
        own.extend([whole_file::partial(&path), path]);
    }
    for entry in std::fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let entry = entry?;
        if is_own_archive(&entry.file_name().to_string_lossy()) {
            own.push(entry.path());
        }
    }
    Ok(own)
}

/// Refuses a directory that no cluster has ever lived in, before anything is written there. One whose start failed
/// early has little more than the file that says who has it.
fn check_own(dir: &Path) -> Result<()> {
    if !["store.redb", "containerd", "agent.json", "corten.pid"].iter().any(|f| dir.join(f).exists()) {
        bail!("{} does not look like a state directory of corten: nothing is removed", dir.display());
    }
    Ok(())
}

/// Removes what is Corten's from the directory, and the directory when nothing else is in it.
fn remove_state(state: &StateDir, tell: &(dyn Fn(&str) + Sync)) -> Result<()> {
    let dir = state.path();
    unmount_below(dir)?;
    for path in own_files(dir)? {
        let result = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        match result {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(e).with_context(|| format!("removing {}", path.display()));
            }
            _ => {}
        }
    }
    match std::fs::remove_dir(dir) {
        Err(e) if e.kind() == std::io::ErrorKind::DirectoryNotEmpty => {
            tell(&format!("{} holds files that are not corten's: they stay", dir.display()));
            Ok(())
        }
        other => other.with_context(|| format!("removing {}", dir.display())),
    }
}

fn mounts_below(dir: &Path) -> Result<Vec<PathBuf>> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").context("the mount table")?;
    let mut points: Vec<PathBuf> = cri::containerd::mount_points(&table);
    points.retain(|p| p.starts_with(dir) && p != dir);
    points.sort_by_key(|p| std::cmp::Reverse(p.as_os_str().len()));
    Ok(points)
}

/// Unmounts what pods' volumes have left mounted below a directory, the innermost first. Removing files while
/// one is still there could reach into the host's own directories.
fn unmount_below(dir: &Path) -> Result<()> {
    for point in mounts_below(dir)? {
        rustix::mount::unmount(&point, rustix::mount::UnmountFlags::DETACH)
            .with_context(|| format!("unmounting {}", point.display()))?;
    }
    if let Some(left) = mounts_below(dir)?.first() {
        bail!("{} is still mounted: nothing is removed", left.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn scratch(name: &str) -> StateDir {
        let dir = std::env::temp_dir().join(format!("corten-down-{name}-{}", std::process::id()));
        StateDir::open(&dir).unwrap()
    }

    #[test]
    fn what_is_ours_goes_and_nothing_else() {
        let state = scratch("own");
        let dir = state.path();
        assert!(check_own(dir).unwrap_err().to_string().contains("does not look like a state directory"));
        // A start that failed before it had a store.
        drop(state.lock().unwrap());
        check_own(dir).unwrap();
        let archive = format!("import-{}.tar", "0f".repeat(32));
        let half = ["settings.json.tmp", "agent.token.tmp", "admin.kubeconfig.tmp", archive.as_str()];
        let others = ["import-mine.tar", "notes.tmp"];
        for name in half.into_iter().chain(others) {
            std::fs::write(dir.join(name), "x").unwrap();
        }
        remove_state(&state, &|_| ()).unwrap();
        let mut left: Vec<String> = std::fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        left.sort();
        assert_eq!(left, others);
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[tokio::test]
    async fn a_process_that_is_not_the_owner_is_not_stopped() {
        let state = scratch("stop");
        let mut other = Command::new("sleep").arg("600").spawn().unwrap();
        let lock = state.lock().unwrap();
        for number in [other.id().to_string(), "0".to_owned(), "-1".to_owned()] {
            std::fs::write(state.path().join("corten.pid"), &number).unwrap();
            let error = stop_owner(&state, &|_| ()).await.unwrap_err().to_string();
            assert!(error.contains("is in use by a process that"), "{number}: {error}");
            assert!(other.try_wait().unwrap().is_none(), "{number}: it was stopped");
        }
        other.kill().unwrap();
        other.wait().unwrap();
        drop(lock);
        stop_owner(&state, &|_| ()).await.unwrap();
        std::fs::remove_dir_all(state.path()).unwrap();
    }

    #[tokio::test]
    async fn damaged_notes_keep_the_data() {
        let state = scratch("damaged");
        std::fs::write(state.settings(), "").unwrap();
        std::fs::write(state.store(), "x").unwrap();
        let error = stop_and_remove(state.path(), true, &|_| ()).await.unwrap_err().to_string();
        assert!(error.contains("settings.json is damaged"), "{error}");
        assert!(state.store().exists(), "the data was removed");
        std::fs::remove_dir_all(state.path()).unwrap();
    }
}
