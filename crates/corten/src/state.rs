//! The state directory: where everything of one cluster lives, and the lock that lets one process own it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::process::Pid;
use sys::{Clock, SystemClock};

/// Where a cluster lives when nothing else is said, and where those with names do.
pub const STATE_DIR: &str = "/var/lib/corten";
pub const CLUSTERS_DIR: &str = "/var/lib/corten-clusters";
/// What makes a directory that of a cluster with a name.
pub const CLUSTER_RECORD: &str = "cluster.json";
/// How long others may look at a lock while a start wants it.
const LOOK_LIMIT: Duration = Duration::from_secs(10);

/// The paths below one state directory.
#[derive(Clone, Debug)]
pub struct StateDir(PathBuf);

impl StateDir {
    /// Makes the directory when it is missing; only its owner may look in.
    ///
    /// # Errors
    /// When it cannot be made, or is not a directory.
    pub fn open(path: &Path) -> Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .with_context(|| format!("state directory {}", path.display()))?;
        let path = path.canonicalize().with_context(|| format!("state directory {}", path.display()))?;
        Ok(StateDir(path))
    }

    /// The directory itself, absolute.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The embedded store.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.0.join("store.redb")
    }

    /// The admin's kubeconfig.
    #[must_use]
    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.0.join("admin.kubeconfig")
    }

    /// The kubeconfig of a component that runs apart.
    #[must_use]
    pub fn kubeconfig(&self, component: &str) -> PathBuf {
        self.0.join(format!("{component}.kubeconfig"))
    }

    /// What nodes join with.
    #[must_use]
    pub fn agent_token(&self) -> PathBuf {
        self.0.join("agent.token")
    }

    /// The log of a server in the background.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.0.join("corten.log")
    }

    /// How the running cluster was started, for `corten down`.
    #[must_use]
    pub fn settings(&self) -> PathBuf {
        self.0.join("settings.json")
    }

    /// Image archives that the node loads at its start; the folder and what is in it are the user's.
    #[must_use]
    pub fn images(&self) -> PathBuf {
        self.0.join("images")
    }

    /// Which of them were loaded.
    #[must_use]
    pub fn images_record(&self) -> PathBuf {
        self.0.join("images.json")
    }

    fn lock_path(&self) -> PathBuf {
        self.0.join("corten.pid")
    }

    /// A short name that differs between state directories: for bridges, cgroups and run directories.
    #[must_use]
    pub fn id(&self) -> String {
        let hash = stdx::hash::fnv1a64(self.0.as_os_str().as_encoded_bytes());
        format!("{:08x}", hash >> 32)
    }

    /// Takes the directory for this process; the lock goes with the returned value or with the process.
    ///
    /// # Errors
    /// When another process has it.
    pub fn lock(&self) -> Result<Lock> {
        let path = self.lock_path();
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .with_context(|| path.display().to_string())?;
        if !take(&file).with_context(|| path.display().to_string())? {
            let owner = self.owner().unwrap_or(Owner::Unknown);
            let or = if cluster_of(&self.0).is_none() { " or choose another --state-dir" } else { "" };
            bail!("{} is in use by {owner}: stop that one ({}){or}", self.0.display(), self.command("down"));
        }
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Lock(file))
    }

    /// Who owns the directory, if somebody does. Others may look at the same time, and may take it meanwhile.
    #[must_use]
    pub fn owner(&self) -> Option<Owner> {
        let mut file = File::open(self.lock_path()).ok()?;
        if matches!(try_flock(&file, FlockOperation::NonBlockingLockShared), Ok(true)) {
            return None;
        }
        let mut text = String::new();
        let pid = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
        let pid = pid.filter(|pid: &i32| *pid > 0).and_then(Pid::from_raw);
        Some(pid.filter(|pid| has_open(*pid, &file)).map_or(Owner::Unknown, Owner::Process))
    }

    /// `corten <verb>` with the flags that mean what lives here, as a user types it.
    #[must_use]
    pub fn command(&self, verb: &str) -> String {
        command(verb, &self.0)
    }
}

/// `corten <verb>` with the flags that mean what lives in a state directory: that of a machine of a cluster with a name
/// lies in the cluster's, beside its record.
#[must_use]
pub fn command(verb: &str, dir: &Path) -> String {
    let flag = |flag: &str, value: &Path, usual: &str| match value == Path::new(usual) {
        true => String::new(),
        false => format!(" {flag} {}", value.display()),
    };
    match cluster_of(dir).and_then(|cluster| Some((cluster.file_name()?, cluster.parent()?))) {
        Some((name, clusters)) => {
            let clusters = flag("--clusters-dir", clusters, CLUSTERS_DIR);
            format!("corten {verb} --name {}{clusters}", name.to_string_lossy())
        }
        None => format!("corten {verb}{}", flag("--state-dir", dir, STATE_DIR)),
    }
}

/// The directory of the cluster with a name whose machine lives in a state directory.
fn cluster_of(dir: &Path) -> Option<&Path> {
    dir.parent().filter(|parent| parent.join(CLUSTER_RECORD).is_file())
}

/// Who has a state directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    Process(Pid),
    /// The pid file says nothing, or names a process that does not have the file.
    Unknown,
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Owner::Process(pid) => write!(f, "process {}", pid.as_raw_nonzero()),
            Owner::Unknown => f.write_str("a process that its corten.pid does not name"),
        }
    }
}

/// Whether the lock is ours now; a lock that others have is no error.
fn try_flock(file: &File, how: FlockOperation) -> io::Result<bool> {
    match flock(file, how) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

/// Takes the lock alone. Those who look at it have it too, but only for a moment: they are waited for.
fn take(file: &File) -> io::Result<bool> {
    let end = SystemClock.monotonic() + LOOK_LIMIT;
    while !try_flock(file, FlockOperation::NonBlockingLockExclusive)? {
        let is_owned = !try_flock(file, FlockOperation::NonBlockingLockShared)?;
        if is_owned || SystemClock.monotonic() > end {
            return Ok(false);
        }
        flock(file, FlockOperation::Unlock)?;
        std::thread::yield_now();
    }
    Ok(true)
}

/// Whether a process has the file open: its number alone may have been given to another one.
fn has_open(pid: Pid, file: &File) -> bool {
    let same = |entry: std::fs::DirEntry| {
        let (Ok(theirs), Ok(ours)) = (std::fs::metadata(entry.path()), file.metadata()) else { return false };
        (theirs.dev(), theirs.ino()) == (ours.dev(), ours.ino())
    };
    let dir = format!("/proc/{}/fd", pid.as_raw_nonzero());
    std::fs::read_dir(dir).is_ok_and(|entries| entries.flatten().any(same))
}

/// The hold on a state directory.
#[derive(Debug)]
pub struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing alone leaves it to a child that is just being started. A file that cannot be unlocked is closed.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> (PathBuf, StateDir) {
        let dir = std::env::temp_dir().join(format!("corten-{name}-{}", std::process::id()));
        let state = StateDir::open(&dir).unwrap();
        (dir, state)
    }

    #[test]
    fn one_owner_at_a_time() {
        let (dir, state) = scratch("state");
        assert_eq!(state.owner(), None);
        let lock = state.lock().unwrap();
        let me = Pid::from_raw(std::process::id().cast_signed()).unwrap();
        assert_eq!(state.owner(), Some(Owner::Process(me)));
        let error = state.lock().unwrap_err().to_string();
        assert!(error.contains("is in use by process"), "{error}");
        drop(lock);
        state.lock().unwrap();
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn those_who_look_are_no_owners_and_in_nobodys_way() {
        let (dir, state) = scratch("look");
        drop(state.lock().unwrap());
        std::thread::scope(|scope| {
            let look = || (0..2000).filter(|_| state.owner().is_some()).count();
            let lookers: Vec<_> = (0..4).map(|_| scope.spawn(look)).collect();
            let seen: usize = lookers.into_iter().map(|looker| looker.join().unwrap()).sum();
            assert_eq!(seen, 0, "nobody has it");
        });
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !done.load(std::sync::atomic::Ordering::Relaxed) {
                        let _ = state.owner();
                    }
                });
            }
            let refused: Vec<String> =
                (0..500).filter_map(|_| Some(state.lock().err()?.to_string())).collect();
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            assert_eq!(refused, [""; 0]);
        });
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_number_that_is_not_the_owners_names_nobody() {
        let (dir, state) = scratch("number");
        let lock = state.lock().unwrap();
        for stale in ["", "0", "-1", "x", "1", "99999999999"] {
            std::fs::write(state.lock_path(), stale).unwrap();
            assert_eq!(state.owner(), Some(Owner::Unknown), "{stale:?}");
        }
        drop(lock);
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn commands_mean_what_lives_in_a_directory() {
        let (dir, state) = scratch("command");
        assert_eq!(command("down", Path::new(STATE_DIR)), "corten down");
        let shown = dir.canonicalize().unwrap();
        assert_eq!(state.command("down"), format!("corten down --state-dir {}", shown.display()));
        std::fs::write(dir.join(CLUSTER_RECORD), "{}").unwrap();
        let name = shown.file_name().unwrap().to_string_lossy();
        let want = format!("corten up --name {name} --clusters-dir {}", shown.parent().unwrap().display());
        assert_eq!(command("up", &shown.join("node-2")), want);
        std::fs::remove_dir_all(dir).unwrap();
    }
}
