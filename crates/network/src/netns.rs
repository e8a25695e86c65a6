//! Named network namespaces, each of which plays a machine: made, entered and removed.
//!
//! The names are those of `ip netns`: files below `/run/netns` that keep a namespace alive.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Error, host, io};

/// Where `ip netns` keeps them.
const DIR: &str = "/run/netns";
/// `f_type` of what a namespace's file is on; a plain file is what a reboot has left of a name.
const NSFS_MAGIC: u64 = 0x6e73_6673;

/// The path of a name, for `nsenter --net=`.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    Path::new(DIR).join(name)
}

/// Whether there is a namespace behind the path.
#[must_use]
pub fn is_alive(path: &Path) -> bool {
    // The field's type differs between platforms; the number fits all of them.
    rustix::fs::statfs(path).is_ok_and(|stat| u64::try_from(stat.f_type) == Ok(NSFS_MAGIC))
}

/// Makes a namespace whose loopback is up. What a reboot has left of the name is taken away before.
///
/// # Errors
/// When `ip` is missing or refuses.
pub fn add(name: &str) -> Result<(), Error> {
    let path = path(name);
    if path.exists() && !is_alive(&path) {
        std::fs::remove_file(&path).map_err(io("remove", &path))?;
    }
    ip(&["netns", "add", name])?;
    ip(&["-n", name, "link", "set", "lo", "up"])
}

/// Removes a namespace, or what is left of its name; one that is not there is fine.
///
/// # Errors
/// When it cannot be removed.
pub fn delete(name: &str) -> Result<(), Error> {
    if path(name).exists() { ip(&["netns", "delete", name]) } else { Ok(()) }
}

/// Runs `work` on a thread inside the namespace: sockets and processes that it (or a thread it starts) makes belong
/// there. A panic of `work` goes on in the caller.
///
/// # Errors
/// When the namespace cannot be entered.
pub fn inside<T: Send>(path: &Path, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
    inside_of(&File::open(path).map_err(io("open", path))?, work)
}

/// [`inside`] of a namespace that is open as a file.
///
/// # Errors
/// When it cannot be entered.
pub fn inside_of<T: Send>(namespace: &File, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let kind = Some(rustix::thread::LinkNameSpaceType::Network);
            rustix::thread::move_into_link_name_space(namespace.as_fd(), kind)
                .map_err(|errno| io("enter", Path::new(DIR))(errno.into()))?;
            Ok(work())
        });
        match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Runs `ip` with the words.
///
/// # Errors
/// When it is missing, or what it says when it fails.
pub fn ip(words: &[&str]) -> Result<(), Error> {
    run("ip", "iproute2", words).map(drop)
}

/// Runs a program with the words; its standard output.
///
/// # Errors
/// When it is missing, or what it says when it fails.
pub fn run(program: &'static str, package: &'static str, words: &[&str]) -> Result<String, Error> {
    let path =
        host::find_program(program).ok_or(Error::Missing { program, place: "PATH".into(), package })?;
    let output = Command::new(&path).args(words).output().map_err(io("run", &path))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::Command { command: format!("{program} {}", words.join(" ")), output: said })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_comes_and_goes_and_its_remains_are_no_hindrance() {
        let name = format!("corten-netns-{}", std::process::id());
        let path = path(&name);
        std::fs::create_dir_all(DIR).unwrap();
        std::fs::write(&path, "").unwrap();
        assert!(!is_alive(&path), "a plain file is none");
        add(&name).unwrap();
        assert!(is_alive(&path));
        let listens = || std::net::TcpListener::bind("127.0.0.1:6443").map(drop).map_err(|e| e.to_string());
        assert_eq!(inside(&path, listens).unwrap(), Ok(()), "nobody listens there, and loopback is up");
        assert!(add(&name).unwrap_err().to_string().contains("File exists"));
        delete(&name).unwrap();
        assert!(!path.exists());
        delete(&name).unwrap();
        assert!(inside(&path, || ()).is_err());
    }
}
