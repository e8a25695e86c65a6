//! The state directory: where everything of one cluster lives, and the lock that lets one process own it.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};

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
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut pid = String::new();
            file.read_to_string(&mut pid).ok();
            bail!(
                "{} is in use by process {}: stop that one (corten down --state-dir {0}) or choose another --state-dir",
                self.0.display(),
                pid.trim()
            );
        }
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Lock(file))
    }

    /// The process that owns the directory, if one does.
    #[must_use]
    pub fn owner(&self) -> Option<i32> {
        let mut file = File::open(self.lock_path()).ok()?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            return None;
        }
        let mut pid = String::new();
        file.read_to_string(&mut pid).ok()?;
        pid.trim().parse().ok()
    }
}

/// The hold on a state directory.
#[derive(Debug)]
pub struct Lock(#[allow(dead_code, reason = "the lock is the open file")] File);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_owner_at_a_time() {
        let dir = std::env::temp_dir().join(format!("corten-state-{}", std::process::id()));
        let state = StateDir::open(&dir).unwrap();
        assert_eq!(state.owner(), None);
        let lock = state.lock().unwrap();
        assert_eq!(state.owner(), i32::try_from(std::process::id()).ok());
        let error = state.lock().unwrap_err().to_string();
        assert!(error.contains("is in use by process"), "{error}");
        drop(lock);
        state.lock().unwrap();
        std::fs::remove_dir_all(dir).unwrap();
    }
}
