//! Removing what a daemon that is gone has left: shims, tasks, mounts, directories, cgroups.
//!
//! Only what lies below the daemon's own directories, or carries its socket or a container id of
//! its own state, is touched.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, Signal};

use super::cgroup;
use super::config::Layout;
use super::process::{Process, find_processes, has_flag, is_program};
use super::{DaemonError, supervise};
use crate::image::Descriptor;

/// Where shims of every containerd on the host have their sockets.
const SHIM_SOCKETS: &str = "/run/containerd/s";
/// How long a killed process may take to go.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// Ends all tasks and shims of the layout's daemon, which must not run any more, unmounts and
/// removes its run directory (with `remove_data` everything), and the pods' cgroups.
pub(super) async fn purge(
    layout: &Layout,
    cgroup_parent: Option<&str>,
    remove_data: bool,
) -> Result<(), DaemonError> {
    if supervise::find(layout).is_some() {
        return Err(DaemonError::Leftover(format!("containerd of {} still runs", layout.dir.display())));
    }
    let shims = find_processes(|arguments| {
        is_program(arguments, "containerd-shim-runc-v2") && has_flag(arguments, "-address", &layout.socket)
    });
    let ids = container_ids(layout);
    for pid in shims.into_iter().chain(ids.iter().flat_map(|id| cgroup::processes_named(id))) {
        kill(pid).await?;
    }
    unmount_below(&[&layout.run, &layout.root])?;
    for id in &ids {
        cgroup::remove_named(id);
        remove_shim_socket(layout, id);
    }
    if let Some(parent) = cgroup_parent {
        for pid in cgroup::processes_below(parent) {
            kill(pid).await?;
        }
        cgroup::remove_tree(parent).map_err(DaemonError::io("remove cgroup", Path::new(parent)))?;
    }
    remove_dir(&layout.run)?;
    if remove_data {
        remove_dir(&layout.dir)?;
    }
    Ok(())
}

async fn kill(pid: Pid) -> Result<(), DaemonError> {
    // A process that is gone already cannot be opened.
    let Ok(process) = Process::open(pid) else { return Ok(()) };
    process
        .end(Signal::KILL, KILL_LIMIT)
        .await
        .map_err(|error| DaemonError::Leftover(format!("process {pid:?}: {error}")))
}

/// A killed shim leaves its socket in a directory that all containerds of a host share, under the
/// hash of daemon, namespace and id.
fn remove_shim_socket(layout: &Layout, id: &str) {
    let owner = layout.socket.join("k8s.io").join(id);
    let digest = Descriptor::digest_of(owner.as_os_str().as_encoded_bytes());
    let socket = Path::new(SHIM_SOCKETS).join(digest.trim_start_matches("sha256:"));
    if let Err(error) = std::fs::remove_file(&socket)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(socket = %socket.display(), %error, "a shim's socket is left behind");
    }
}

/// Ids of the tasks that the daemon's state knows.
fn container_ids(layout: &Layout) -> Vec<String> {
    let tasks = layout.state.join("io.containerd.runtime.v2.task/k8s.io");
    let Ok(entries) = std::fs::read_dir(tasks) else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).filter(|id| is_id(id)).collect()
}

/// Container ids are 64 hexadecimal digits; anything else is not ours to search for.
fn is_id(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Unmounts everything below the directories, the newest first.
///
/// # Errors
/// When the kernel refuses.
pub fn unmount_below(dirs: &[&Path]) -> Result<(), DaemonError> {
    let table = std::fs::read_to_string("/proc/self/mountinfo")
        .map_err(DaemonError::io("read", Path::new("/proc/self/mountinfo")))?;
    for point in mount_points(&table).into_iter().rev() {
        if dirs.iter().any(|dir| point.starts_with(dir)) {
            unmount(&point, UnmountFlags::DETACH)
                .map_err(|errno| DaemonError::io("unmount", &point)(errno.into()))?;
        }
    }
    Ok(())
}

/// The fifth field of every line, with its octal escapes undone.
pub fn mount_points(mountinfo: &str) -> Vec<PathBuf> {
    use std::os::unix::ffi::OsStringExt;
    let point = |line: &str| {
        let field = line.split(' ').nth(4)?.as_bytes();
        let mut path = Vec::with_capacity(field.len());
        let mut rest = field;
        while let Some((&byte, tail)) = rest.split_first() {
            let octal = (byte == b'\\').then(|| tail.get(..3)).flatten();
            let code = octal.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
            path.push(code.unwrap_or(byte));
            rest = if code.is_some() { &tail[3..] } else { tail };
        }
        Some(PathBuf::from(std::ffi::OsString::from_vec(path)))
    };
    mountinfo.lines().filter_map(point).collect()
}

fn remove_dir(dir: &Path) -> Result<(), DaemonError> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(DaemonError::io("remove", dir)(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_unescaped() {
        let table = "22 1 254:0 / / rw - ext4 /dev/vda rw\n\
                     30 22 0:5 / /run/a\\040b/c rw,relatime - tmpfs tmpfs rw\n\
                     short line\n";
        assert_eq!(mount_points(table), [Path::new("/"), Path::new("/run/a b/c")]);
    }

    #[test]
    fn ids_are_64_hexadecimal_digits() {
        assert!(is_id(&"0a".repeat(32)));
        assert!(!is_id("k8s.io"));
        assert!(!is_id(&"0g".repeat(32)));
    }
}
