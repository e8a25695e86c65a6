//! Cgroups of every hierarchy on the host, v1, v2 or both: the pods' leftovers, and what crun wants.

use std::io;
use std::path::{Path, PathBuf};

use rustix::process::Pid;

use super::DaemonError;
use super::cleanup::mount_points;

/// Directories deeper than this below a cgroup root are not looked at.
const DEPTH_LIMIT: usize = 16;
const CGROUP_ROOT: &str = "/sys/fs/cgroup";

/// The mounted hierarchies' roots.
fn hierarchies() -> Vec<PathBuf> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let of_cgroups = |line: &&str| line.contains(" - cgroup ") || line.contains(" - cgroup2 ");
    let lines: Vec<&str> = table.lines().filter(of_cgroups).collect();
    mount_points(&lines.join("\n"))
}

/// Removes the cgroup `parent` (relative to each root) with all below it; no process may be in it.
/// One that does not exist is fine.
pub fn remove_tree(parent: &str) -> io::Result<()> {
    let relative = parent.trim_matches('/');
    if relative.is_empty() || relative.split('/').any(|part| part == ".." || part == ".") {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not the name of a cgroup below the root"));
    }
    for root in hierarchies() {
        remove_below(&root.join(relative))?;
    }
    Ok(())
}

/// Whether any process is in the cgroup `parent` or below it.
#[must_use]
pub fn has_processes(parent: &str) -> bool {
    !processes_below(parent).is_empty()
}

/// Processes in the cgroup `parent` or below it, in any hierarchy.
pub(super) fn processes_below(parent: &str) -> Vec<Pid> {
    let relative = parent.trim_matches('/');
    let mut pids = Vec::new();
    for root in hierarchies().into_iter().filter(|_| !relative.is_empty()) {
        walk(&root.join(relative), DEPTH_LIMIT, &mut |dir| pids.extend(processes(dir)));
    }
    dedup(pids)
}

/// Processes in cgroups named after a container.
pub(super) fn processes_named(id: &str) -> Vec<Pid> {
    dedup(named(id).iter().flat_map(|dir| processes(dir)).collect())
}

/// Removes the cgroups named after a container, where they are empty.
pub(super) fn remove_named(id: &str) {
    for dir in named(id) {
        if let Err(error) = remove_below(&dir) {
            tracing::warn!(cgroup = %dir.display(), %error, "cgroup is left behind");
        }
    }
}

/// crun refuses a host with both versions of cgroups unless v1 has the hugetlb controller.
pub(super) fn prepare_hybrid_for_crun() -> Result<(), DaemonError> {
    let root = Path::new(CGROUP_ROOT);
    let dir = root.join("hugetlb");
    if !root.join("unified").exists() || hierarchies().contains(&dir) {
        return Ok(());
    }
    std::fs::create_dir_all(&dir).map_err(DaemonError::io("create", &dir))?;
    let options = c"hugetlb";
    rustix::mount::mount("cgroup", &dir, "cgroup", rustix::mount::MountFlags::empty(), options)
        .map_err(|errno| DaemonError::io("mount the hugetlb cgroups (for crun) at", &dir)(errno.into()))
}

fn named(id: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for root in hierarchies() {
        walk(&root, DEPTH_LIMIT, &mut |dir| {
            if dir.file_name().is_some_and(|name| name == id) {
                found.push(dir.to_owned());
            }
        });
    }
    found
}

fn processes(dir: &Path) -> Vec<Pid> {
    let text = std::fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)).collect()
}

fn dedup(mut pids: Vec<Pid>) -> Vec<Pid> {
    pids.sort_by_key(|pid| pid.as_raw_nonzero());
    pids.dedup();
    pids
}

/// Calls `visit` for the directory and all below it, the deepest first.
fn walk(dir: &Path, depth: usize, visit: &mut dyn FnMut(&Path)) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        if depth > 0 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&entry.path(), depth - 1, visit);
        }
    }
    visit(dir);
}

fn remove_below(dir: &Path) -> io::Result<()> {
    let mut result = Ok(());
    walk(dir, DEPTH_LIMIT, &mut |dir| {
        if let Err(error) = std::fs::remove_dir(dir)
            && error.kind() != io::ErrorKind::NotFound
        {
            result = Err(error);
        }
    });
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_itself_is_never_removed() {
        for bad in ["", "/", "/../x", "a/./b"] {
            assert_eq!(remove_tree(bad).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{bad}");
        }
        remove_tree("/no-such-cgroup-anywhere").unwrap();
    }
}
