//! A network namespace that plays a host: loopback, a default route, and nothing of the real
//! network.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use network::netns;

/// A named network namespace, deleted on drop.
#[derive(Debug)]
pub struct Netns {
    name: String,
    path: PathBuf,
}

impl Netns {
    /// Makes the namespace with an unconnected uplink: packets for elsewhere are routed to it and
    /// end there, so that NAT rules on the way are still seen.
    pub fn new(prefix: &str) -> Result<Self> {
        let name = crate::unique(prefix);
        netns::add(&name)?;
        let this = Self { path: netns::path(&name), name };
        this.ip(&["link", "add", "uplink", "type", "bridge"])?;
        this.ip(&["address", "add", "192.0.2.1/24", "dev", "uplink"])?;
        this.ip(&["link", "set", "uplink", "up"])?;
        this.ip(&["route", "add", "default", "via", "192.0.2.254"])?;
        Ok(this)
    }

    /// The namespace's path, for `nsenter --net=`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A command that will run in the namespace, with the host's mounts (and so its cgroups).
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path.display())).arg("--").arg(program);
        command
    }

    /// Runs `work` on a thread inside the namespace: sockets that it (or a thread it starts) opens belong there.
    ///
    /// A panic of `work` goes on in the caller.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        Ok(netns::inside(&self.path, work)?)
    }

    fn ip(&self, words: &[&str]) -> Result<()> {
        let mut all = vec!["-n", &self.name];
        all.extend(words);
        Ok(netns::ip(&all)?)
    }
}

/// [`Netns::inside`] of a namespace that is open as a file.
pub fn inside_of<T: Send>(namespace: &std::fs::File, work: impl FnOnce() -> T + Send) -> Result<T> {
    Ok(netns::inside_of(namespace, work)?)
}

impl Drop for Netns {
    fn drop(&mut self) {
        if let Err(error) = netns::delete(&self.name) {
            eprintln!("testkit: {error}");
        }
    }
}
