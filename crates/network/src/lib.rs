//! The node's pod network: which CNI plugins the runtime calls with what, and the few kernel
//! switches that Services need.
//!
//! Several clusters live side by side: bridge, directories and network namespace are the caller's
//! choice. [`routes`] leads to the pods of other nodes. Nothing here makes a pod's own interfaces (the CNI plugins do, called by the runtime) or
//! Service rules (crate `proxy`).

mod conflist;
mod host;
mod masquerade;
pub mod netns;
pub mod routes;

use std::path::{Path, PathBuf};

pub use conflist::conflist;

/// Plugins that the configuration names, and `loopback`, which the runtime calls by itself.
const PLUGINS: [&str; 4] = ["bridge", "host-local", "portmap", "loopback"];
/// Longest name of a network interface.
const INTERFACE_NAME_LIMIT_BYTES: usize = 15;
const CONF_FILE: &str = "10-corten.conflist";

/// Why the network could not be set up or removed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A CNI plugin or a program it calls is not installed.
    #[error("{program} is not installed in {place}: apt-get install {package}")]
    Missing { program: &'static str, place: String, package: &'static str },
    /// A value that cannot work.
    #[error("pod network: {0}")]
    Invalid(String),
    /// The file system refused something.
    #[error("{what} {}: {source}", path.display())]
    Io { what: &'static str, path: PathBuf, source: std::io::Error },
    /// A program failed.
    #[error("{command} failed: {output}")]
    Command { command: String, output: String },
}

/// What a caller decides.
#[derive(Debug, Clone)]
pub struct Options {
    /// The bridge's name: unique on the host (or in the namespace), at most 15 bytes.
    pub bridge: String,
    /// The node's pod CIDRs, one a family.
    pub pod_cidrs: Vec<String>,
    /// MTU of pods' interfaces; [`None`]: the kernel's default.
    pub mtu: Option<u32>,
    /// Where the CNI configuration goes; nothing else may be in there.
    pub conf_dir: PathBuf,
    /// Where host-local notes the addresses it gave away.
    pub data_dir: PathBuf,
    /// CNI plugins; [`None`]: `/opt/cni/bin` or `/usr/lib/cni`.
    pub bin_dir: Option<PathBuf>,
    /// Masquerade what pods send beyond the cluster's pods.
    pub masquerade: bool,
    /// The ranges that all nodes' pods have their addresses from, one a family; without: the node's own.
    pub cluster_cidrs: Vec<String>,
    /// The namespace of the node, a path such as `/run/netns/x`; [`None`]: the caller's.
    pub netns: Option<PathBuf>,
}

/// Checks the host, sets the sysctls, writes the CNI configuration and makes the masquerade rules. Only what is not as
/// it must be is touched: called again, it mends what others have taken away. In words, what it did.
///
/// The bridge is not among it: the CNI plugins make it with the next pod, and nothing can put the interfaces of older
/// pods back into a new one.
///
/// # Errors
/// What is missing on the host, or was refused.
pub async fn up(options: &Options) -> Result<Vec<String>, Error> {
    check(options)?;
    let netns = options.netns.as_deref();
    let mut done: Vec<String> = host::set_sysctls(netns).await?.into_iter().map(str::to_owned).collect();
    let path = options.conf_dir.join(CONF_FILE);
    create_dir(&options.conf_dir)?;
    create_dir(&options.data_dir)?;
    let content = conflist(options)?;
    if std::fs::read(&path).ok().as_deref() != Some(content.as_bytes()) {
        // The runtime watches the directory: it must never see half a file.
        let partial = options.conf_dir.join(".new");
        std::fs::write(&partial, content).map_err(io("write", &partial))?;
        std::fs::rename(&partial, &path).map_err(io("write", &path))?;
        done.push(path.display().to_string());
    }
    for table in masquerade::tables(options) {
        let (family, name) = (table.family, &table.name);
        // A table that is not there is no error here.
        let listing =
            host::output(netns, &["nft", "-s", "list", "table", family, name]).await.unwrap_or_default();
        if !table.is_in(&listing) {
            host::nft(netns, &table.script()).await?;
            done.push(format!("table {family} {name}"));
        }
    }
    Ok(done)
}

/// Whether the configuration in the directory is the one of this bridge.
#[must_use]
pub fn is_ours(conf_dir: &Path, bridge: &str) -> bool {
    let text = std::fs::read(conf_dir.join(CONF_FILE)).unwrap_or_default();
    let list: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
    list["plugins"].as_array().into_iter().flatten().any(|plugin| plugin["bridge"] == bridge)
}

/// Removes configuration, address notes, packet rules, routes to other nodes and bridge. The pods must be gone. Can be called again.
pub async fn down(options: &Options) -> Result<(), Error> {
    let path = options.conf_dir.join(CONF_FILE);
    // The directory may be a runtime's that serves others too.
    if is_ours(&options.conf_dir, &options.bridge) {
        remove(std::fs::remove_file(&path)).map_err(io("remove", &path))?;
    }
    remove(std::fs::remove_dir_all(&options.data_dir)).map_err(io("remove", &options.data_dir))?;
    if host::find_program("nft").is_some() {
        host::nft(options.netns.as_deref(), &masquerade::removal(&options.bridge)).await?;
    }
    host::flush_routes(options.netns.as_deref(), routes::PROTOCOL).await?;
    host::delete_bridge(&options.bridge, options.netns.as_deref()).await
}

/// Whether the CNI plugins are there; without `bin_dir` they are looked for in the usual places.
///
/// # Errors
/// The first one that is missing.
pub fn check_plugins(bin_dir: Option<&Path>) -> Result<(), Error> {
    let dir = plugin_dir(bin_dir);
    for program in PLUGINS {
        if !dir.join(program).exists() {
            let place = dir.display().to_string();
            return Err(Error::Missing { program, place, package: "containernetworking-plugins" });
        }
    }
    Ok(())
}

fn plugin_dir(given: Option<&Path>) -> PathBuf {
    let upstream = Path::new("/opt/cni/bin");
    let debian = Path::new("/usr/lib/cni");
    given.map(Path::to_owned).unwrap_or_else(|| {
        if upstream.join("bridge").exists() || !debian.exists() { upstream.into() } else { debian.into() }
    })
}

fn check(options: &Options) -> Result<(), Error> {
    let length = options.bridge.len();
    if length == 0 || length > INTERFACE_NAME_LIMIT_BYTES || options.bridge.contains(['/', ' ']) {
        return Err(Error::Invalid(format!("{:?} cannot be a bridge's name", options.bridge)));
    }
    check_plugins(options.bin_dir.as_deref())?;
    for (program, package) in [("iptables", "iptables"), ("ip", "iproute2"), ("nft", "nftables")] {
        host::find_program(program).ok_or(Error::Missing { program, place: "PATH".into(), package })?;
    }
    Ok(())
}

fn create_dir(dir: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(dir).map_err(io("create", dir))
}

fn remove(result: std::io::Result<()>) -> std::io::Result<()> {
    match result {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { what, path, source }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// A network namespace that is gone at the end.
    struct Netns(PathBuf);

    impl Netns {
        fn new() -> Self {
            let name = format!("corten-network-{}", std::process::id());
            assert!(Command::new("ip").args(["netns", "add", &name]).status().unwrap().success());
            Netns(Path::new("/run/netns").join(name))
        }

        fn shell(&self, script: &str) {
            let mut command = Command::new("nsenter");
            command.arg(format!("--net={}", self.0.display())).args(["--", "sh", "-c", script]);
            assert!(command.status().unwrap().success(), "{script}");
        }
    }

    impl Drop for Netns {
        fn drop(&mut self) {
            let _ = Command::new("ip").args(["netns", "delete"]).arg(self.0.file_name().unwrap()).status();
        }
    }

    #[tokio::test]
    async fn what_others_took_away_is_mended_and_nothing_else_is_touched() {
        let netns = Netns::new();
        let dir = std::env::temp_dir().join(format!("corten-network-{}", std::process::id()));
        let mut options = conflist::tests::options(&["10.244.1.0/24", "fd00:10::/64"]);
        options.conf_dir = dir.join("net.d");
        options.data_dir = dir.join("networks");
        options.netns = Some(netns.0.clone());
        let conf = options.conf_dir.join(CONF_FILE);
        let conf_text = conf.display().to_string();
        // A new namespace takes over what the machine has set.
        netns
            .shell("echo 0 > /proc/sys/net/ipv4/ip_forward; echo 0 > /proc/sys/net/ipv6/conf/all/forwarding");
        let first = up(&options).await.unwrap();
        for part in
            ["net/ipv4/ip_forward", &conf_text, "table ip corten-cni-test0", "table ip6 corten-cni-test0"]
        {
            assert!(first.iter().any(|d| d == part), "{part}: {first:?}");
        }
        assert_eq!(up(&options).await.unwrap(), Vec::<String>::new(), "all is as it was");
        let both = ["table ip corten-cni-test0", "table ip6 corten-cni-test0"];
        let cases: [(&str, &[&str]); 6] = [
            ("nft flush ruleset", &both),
            ("nft delete table ip corten-cni-test0", &both[..1]),
            ("nft flush chain ip6 corten-cni-test0 postrouting", &both[1..]),
            ("nft insert rule ip corten-cni-test0 postrouting accept", &both[..1]),
            ("echo 0 > /proc/sys/net/ipv4/ip_forward", &["net/ipv4/ip_forward"]),
            ("nft add table ip others", &[]),
        ];
        for (harm, mended) in cases {
            netns.shell(harm);
            assert_eq!(up(&options).await.unwrap(), mended, "{harm}");
            assert_eq!(up(&options).await.unwrap(), Vec::<String>::new(), "{harm}");
        }
        std::fs::write(&conf, "{}").unwrap();
        assert_eq!(up(&options).await.unwrap(), [conf_text.as_str()]);
        std::fs::remove_file(&conf).unwrap();
        assert_eq!(up(&options).await.unwrap(), [conf_text.as_str()]);
        down(&options).await.unwrap();
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
