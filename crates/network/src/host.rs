//! The node's namespace: sysctls and the bridge, in the caller's namespace or another one.

use std::path::{Path, PathBuf};

use crate::{Error, io};

/// Where programs are besides `PATH`.
const PROGRAM_DIRS: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
/// File below `/proc/sys`, value, and whether the kernel must have it.
const SYSCTLS: [(&str, &str, bool); 4] = [
    ("net/ipv4/ip_forward", "1", true),
    ("net/ipv6/conf/all/forwarding", "1", false),
    // Without these a pod cannot reach itself or a neighbour through a Service.
    ("net/bridge/bridge-nf-call-iptables", "1", false),
    ("net/bridge/bridge-nf-call-ip6tables", "1", false),
];

pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let own = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&own)
        .chain(PROGRAM_DIRS.iter().map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
}

/// Sets what is not set yet, and says what that was; a file system that is read-only matters only for what must change.
pub(crate) async fn set_sysctls(netns: Option<&Path>) -> Result<Vec<&'static str>, Error> {
    let mut changed = Vec::new();
    for (name, value, required) in SYSCTLS {
        let path = Path::new("/proc/sys").join(name);
        let result = match netns {
            None => set(&path, value),
            // `/proc/sys/net` shows the namespace of the process that looks.
            Some(netns) => {
                let script = format!(
                    "[ \"$(cat {0})\" = {value} ] || {{ echo {value} > {0} && echo set; }}",
                    path.display()
                );
                output(Some(netns), &["sh", "-c", &script]).await.map(|said| !said.is_empty())
            }
        };
        match result {
            Err(error) if required => return Err(error),
            Err(error) => tracing::debug!(sysctl = name, %error, "sysctl is not set"),
            Ok(true) => changed.push(name),
            Ok(false) => {}
        }
    }
    Ok(changed)
}

/// Whether it had to be set.
fn set(path: &Path, value: &str) -> Result<bool, Error> {
    let now = std::fs::read_to_string(path).map_err(io("read", path))?;
    if now.trim_end() == value {
        return Ok(false);
    }
    std::fs::write(path, value).map_err(io("write", path))?;
    Ok(true)
}

/// Deletes the bridge; one that does not exist (or whose namespace is gone) is fine.
pub(crate) async fn delete_bridge(bridge: &str, netns: Option<&Path>) -> Result<(), Error> {
    if netns.is_some_and(|netns| !netns.exists()) {
        return Ok(());
    }
    match run(netns, &["ip", "link", "delete", "dev", bridge]).await {
        Err(Error::Command { output, .. }) if output.contains("Cannot find device") => Ok(()),
        result => result,
    }
}

/// Runs an nft script as one transaction; an empty one is nothing to do.
pub(crate) async fn nft(netns: Option<&Path>, script: &str) -> Result<(), Error> {
    if script.is_empty() || netns.is_some_and(|netns| !netns.exists()) {
        return Ok(());
    }
    run(netns, &["nft", script]).await
}

/// Removes the routes with a protocol number.
pub(crate) async fn flush_routes(netns: Option<&Path>, protocol: &str) -> Result<(), Error> {
    if netns.is_some_and(|netns| !netns.exists()) {
        return Ok(());
    }
    match run(netns, &["ip", "-4", "route", "flush", "proto", protocol]).await {
        // A namespace that never had a route has no table of them.
        Err(Error::Command { output, .. }) if output.contains("FIB table does not exist") => Ok(()),
        result => result,
    }
}

async fn run(netns: Option<&Path>, words: &[&str]) -> Result<(), Error> {
    output(netns, words).await.map(drop)
}

/// Runs a program in a network namespace, the caller's without one; its standard output.
pub(crate) async fn output(netns: Option<&Path>, words: &[&str]) -> Result<String, Error> {
    let mut all: Vec<std::ffi::OsString> = Vec::new();
    if let Some(netns) = netns {
        let mut net = std::ffi::OsString::from("--net=");
        net.push(netns);
        all.extend(["nsenter".into(), net, "--".into()]);
    }
    all.extend(words.iter().map(Into::into));
    let shown = words.join(" ");
    let program = all.remove(0);
    let path = find_program(&program.to_string_lossy()).unwrap_or_else(|| PathBuf::from(&program));
    let output = tokio::process::Command::new(&path).args(all).output().await.map_err(io("run", &path))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let output = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::Command { command: shown, output })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_bridge_that_is_not_there_is_fine() {
        delete_bridge("cni-none-0", None).await.unwrap();
        delete_bridge("cni-none-0", Some(Path::new("/run/netns/no-such-namespace"))).await.unwrap();
    }
}
