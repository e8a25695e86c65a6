//! Finding, watching and signalling processes that may not be our children.
//!
//! A process is held by a pidfd, so that a number that was given to another process in the
//! meantime is never signalled.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::unix::AsyncFd;

/// Where programs are besides `PATH`.
const PROGRAM_DIRS: [&str; 6] =
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// The full path of a program: in `PATH`, else in the usual directories.
pub fn find_program(name: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let executable = |path: &PathBuf| {
        std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    std::env::split_paths(&search_path()).map(|dir| dir.join(name)).find(executable)
}

/// `PATH` with the usual directories behind it.
pub fn search_path() -> std::ffi::OsString {
    let own = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&own)
        .filter(|dir| dir.is_absolute())
        .chain(PROGRAM_DIRS.iter().map(PathBuf::from));
    // A directory with a colon came out of splitting at colons, so joining cannot fail.
    std::env::join_paths(dirs).unwrap_or(own)
}

/// Processes whose command line fulfils `matches`; it gets the arguments.
pub(super) fn find_processes(matches: impl Fn(&[&[u8]]) -> bool) -> Vec<Pid> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| {
            let name = entry.ok()?.file_name();
            let pid = Pid::from_raw(name.to_str()?.parse().ok()?)?;
            let command_line = std::fs::read(Path::new("/proc").join(&name).join("cmdline")).ok()?;
            let arguments: Vec<&[u8]> = command_line.strip_suffix(b"\0")?.split(|byte| *byte == 0).collect();
            matches(&arguments).then_some(pid)
        })
        .collect()
}

/// Whether `arguments` hold `flag` followed by the path.
pub(super) fn has_flag(arguments: &[&[u8]], flag: &str, path: &Path) -> bool {
    arguments.windows(2).any(|pair| pair[0] == flag.as_bytes() && pair[1] == path.as_os_str().as_bytes())
}

/// Whether the program's file name is `name`.
pub(super) fn is_program(arguments: &[&[u8]], name: &str) -> bool {
    arguments
        .first()
        .is_some_and(|program| program.rsplit(|byte| *byte == b'/').next() == Some(name.as_bytes()))
}

/// A process, ours or not.
#[derive(Debug)]
pub(super) struct Process {
    fd: AsyncFd<OwnedFd>,
}

impl Process {
    /// Errors: there is no such process any more.
    pub fn open(pid: Pid) -> io::Result<Self> {
        let fd = pidfd_open(pid, PidfdFlags::empty())?;
        // The deprecation is about fd types that may close early; an OwnedFd lives as long as the
        // AsyncFd around it. The replacement is unsafe for every type.
        #[allow(deprecated)]
        let fd = AsyncFd::with_interest(fd, tokio::io::Interest::READABLE)?;
        Ok(Self { fd })
    }

    /// Waits until the process has ended.
    pub async fn ended(&self) {
        // An error here means that the fd cannot be watched any more: as good as ended.
        let _ = self.fd.readable().await;
    }

    /// Sends a signal; one that ended already is fine.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(self.fd.get_ref(), signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Sends `signal` and, after `grace`, SIGKILL; waits for the end.
    pub async fn end(&self, signal: Signal, grace: Duration) -> io::Result<()> {
        self.signal(signal)?;
        if tokio::time::timeout(grace, self.ended()).await.is_ok() {
            return Ok(());
        }
        self.signal(Signal::KILL)?;
        tokio::time::timeout(grace, self.ended())
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "process survives SIGKILL"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_programs_and_processes() {
        assert!(find_program("sh").is_some());
        assert_eq!(find_program("no-such-program-anywhere"), None);
        let me = Pid::from_raw(std::process::id().cast_signed()).unwrap();
        let own = std::env::args().next().unwrap();
        assert!(find_processes(|arguments| arguments[0] == own.as_bytes()).contains(&me));
    }

    #[test]
    fn arguments_are_matched_exactly() {
        let arguments: Vec<&[u8]> = vec![b"/usr/bin/containerd", b"--config", b"/d/config.toml"];
        assert!(is_program(&arguments, "containerd"));
        assert!(!is_program(&arguments, "tainerd"));
        assert!(has_flag(&arguments, "--config", Path::new("/d/config.toml")));
        assert!(!has_flag(&arguments, "--config", Path::new("/d/config")));
    }

    #[tokio::test]
    async fn a_foreign_process_is_watched_and_ended() {
        let mut child = tokio::process::Command::new("sleep").arg("600").spawn().unwrap();
        let pid = Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
        let process = Process::open(pid).unwrap();
        process.end(Signal::TERM, Duration::from_secs(10)).await.unwrap();
        assert!(!child.wait().await.unwrap().success());
        process.signal(Signal::TERM).unwrap();
    }
}
