//! Facts about the machine: its name, its addresses, and who has a port.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::linux::fs::MetadataExt;
use std::path::Path;

use anyhow::{Result, bail};

/// The host name in lower case, as a node name.
#[must_use]
pub fn name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

/// The address that traffic to the outside would leave from; loopback where there is no route.
#[must_use]
pub fn address() -> IpAddr {
    let probe = || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
        // Connecting a datagram socket only looks up the route; nothing is sent.
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    probe().filter(|ip| !ip.is_unspecified()).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

/// The platform as Go programs name it: `linux/amd64`.
#[must_use]
pub fn platform() -> String {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("linux/{arch}")
}

/// Whether this process runs as root.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Running pods needs root; say so before anything is made.
///
/// # Errors
/// When this is not root.
pub fn need_root(what: &str) -> Result<()> {
    if !is_root() {
        bail!("{what} must be run as root: it starts containers and sets up networks");
    }
    Ok(())
}

/// Keys, sockets and processes that only root may look at: without it the answers would be wrong.
///
/// # Errors
/// When this is not root.
pub fn need_root_to_look(what: &str) -> Result<()> {
    if !is_root() {
        bail!("{what} must be run as root: nobody else may look at a cluster's state");
    }
    Ok(())
}

/// Whether a server could listen there.
///
/// # Errors
/// When another process does already; `flag` chooses another port.
pub fn check_port(listen: SocketAddr, flag: &str) -> Result<()> {
    match TcpListener::bind(listen) {
        Err(e) if e.kind() == ErrorKind::AddrInUse => {
            let by = listener_on(listen.port()).unwrap_or_else(|| "another process".to_owned());
            bail!("port {} is taken by {by}; choose another with {flag}", listen.port())
        }
        // What else may be wrong the server itself says.
        _ => Ok(()),
    }
}

/// The process that listens on a TCP port of this network namespace.
fn listener_on(port: u16) -> Option<String> {
    let tables = ["/proc/self/net/tcp", "/proc/self/net/tcp6"].map(std::fs::read_to_string);
    let sockets: Vec<u64> = tables.iter().flatten().flat_map(|t| listening_sockets(t, port)).collect();
    let has = |fd: std::fs::DirEntry| {
        // A socket's file has the number that the table has.
        std::fs::metadata(fd.path()).is_ok_and(|m| sockets.contains(&m.st_ino()))
    };
    let processes = std::fs::read_dir("/proc").ok()?.flatten().map(|entry| entry.path());
    let owner = processes
        .filter(|p| p.file_name().is_some_and(|n| n.to_string_lossy().parse::<u32>().is_ok()))
        .find(|p| std::fs::read_dir(p.join("fd")).is_ok_and(|fds| fds.flatten().any(has)))?;
    let name = std::fs::read_to_string(owner.join("comm")).unwrap_or_default();
    let pid = owner.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Some(format!("process {pid} ({})", name.trim_end()))
}

/// Numbers of the sockets that listen on the port, in the kernel's table.
fn listening_sockets(table: &str, port: u16) -> Vec<u64> {
    const LISTEN: &str = "0A";
    let suffix = format!(":{port:04X}");
    let of_line = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let listens = fields.get(3) == Some(&LISTEN) && fields.get(1)?.ends_with(&suffix);
        listens.then(|| fields.get(9)?.parse().ok())?
    };
    table.lines().filter_map(of_line).collect()
}

/// Bytes that are free for us on the file system of a path, or of the nearest directory above that is there.
#[must_use]
pub fn free_bytes(path: &Path) -> Option<u64> {
    let existing = path.ancestors().find(|p| p.exists())?;
    let stat = rustix::fs::statvfs(existing).ok()?;
    Some(stat.f_bavail * stat.f_frsize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_names_its_owner() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let error = check_port(address, "--some-port").unwrap_err().to_string();
        let want = format!("port {} is taken by process {} (", address.port(), std::process::id());
        assert!(error.starts_with(&want) && error.ends_with("choose another with --some-port"), "{error}");
    }

    /// Not the port of a listener that was closed: a process that another test was just starting may still hold it.
    #[test]
    fn a_free_port_is_free() {
        check_port((Ipv4Addr::LOCALHOST, 0).into(), "--some-port").unwrap();
    }

    #[test]
    fn only_listening_sockets_of_the_port_count() {
        let line = |state: &str, port: &str, inode: u32| {
            format!(
                "   0: 00000000:{port} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000  0  0 {inode} 1\n"
            )
        };
        let table =
            [line("0A", "192B", 11), line("01", "192B", 12), line("0A", "192C", 13), "short".to_owned()]
                .concat();
        assert_eq!(listening_sockets(&table, 6443), [11]);
    }
}
