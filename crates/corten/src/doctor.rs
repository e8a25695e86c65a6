//! `corten doctor`: whether this machine can run a cluster, before anything is started. It looks and tries out in a
//! network namespace of its own; it changes nothing.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Result;
use cri::containerd::{find_program, search_path};

use crate::clusters::network::Network;
use crate::clusters::record::Named;
use crate::finding::Findings;
use crate::state::StateDir;
use crate::{cli, host, node};

/// Free room that a node needs at the least, and that it should have.
const DISK_LEAST_BYTES: u64 = 1 << 30;
const DISK_WANTED_BYTES: u64 = 5 << 30;
/// Memory below which little is left for pods.
const MEMORY_WANTED_KIB: u64 = 900 << 10;
/// Controllers that pods' limits need.
const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];
/// What a node's network needs of the kernel, tried where it meets nobody.
const TRIALS: [(&str, &str); 3] = [
    ("virtual Ethernet", "ip link add name veth0 type veth peer name veth1"),
    ("bridge", "ip link add name bridge0 type bridge"),
    (
        "packet rules",
        "nft add table ip t && nft 'add chain ip t c { type nat hook postrouting priority 100; }' && nft add rule ip t c masquerade",
    ),
];

/// Checks the machine for what `corten up` with these flags would do.
///
/// # Errors
/// When something would keep it from working.
pub async fn run(o: cli::Doctor) -> Result<()> {
    let mut found = Findings::default();
    match host::is_root() {
        true => found.good("user", "root"),
        false => found.error("user", "not root: containers and networks need it (try sudo)"),
    }
    programs(&o.node, &mut found);
    kernel(&mut found);
    cgroups(&mut found);
    network(&mut found);
    match &o.place.name {
        // Addresses and ports are those of its own networks.
        Some(name) => {
            named(&o.place, name, &mut found);
            room(&o.place.clusters.clusters_dir, &mut found);
        }
        None => {
            addresses(&o, &mut found);
            ports(&o, &mut found);
            room(&o.place.state.state_dir, &mut found);
        }
    }
    found.report()
}

fn programs(o: &cli::Node, found: &mut Findings) {
    let before = found.0.len();
    for (program, package) in node::programs(o) {
        if find_program(program).is_none() {
            found.error("programs", format!("{program} is missing: apt-get install {package}"));
        }
    }
    if o.container_runtime_endpoint.is_none() {
        if ["runc", "crun"].into_iter().all(|program| find_program(program).is_none()) {
            found.error("programs", "runc is missing (crun would do too): apt-get install runc");
        }
        if let Err(e) = ::network::check_plugins(None) {
            found.error("programs", e.to_string());
        }
    }
    for (program, package, why) in [
        ("conntrack", "conntrack", "UDP flows to endpoints that have gone are not forgotten"),
        ("kubectl", "kubernetes-client", "there is nothing here to talk to the cluster with"),
    ] {
        if find_program(program).is_none() {
            found.warning("programs", format!("{program} is missing, {why}: apt-get install {package}"));
        }
    }
    if found.0.len() == before {
        found.good("programs", "all there");
    }
}

fn kernel(found: &mut Findings) {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    match version(&release) {
        // Processes are watched and signalled by pidfd.
        Some(v) if v < (5, 3) => found.error("kernel", format!("{release}: 5.3 or newer is needed")),
        _ => found.good("kernel", release),
    }
    let missing: Vec<&str> = ["mnt", "net", "pid", "ipc", "uts"]
        .into_iter()
        .filter(|kind| !Path::new("/proc/self/ns").join(kind).exists())
        .collect();
    if !missing.is_empty() {
        found.error("kernel", format!("no {} namespaces: it cannot run containers", missing.join(", ")));
    }
    let filesystems = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if !filesystems.lines().any(|line| line.ends_with("\toverlay")) && !loads("overlay") {
        found.warning("kernel", "no overlay file system: images will be copied, which takes time and room");
    }
}

/// Major and minor number.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// Whether the kernel has the module for loading on demand. Nothing is loaded.
fn loads(module: &str) -> bool {
    find_program("modprobe")
        .is_some_and(|modprobe| silent(Command::new(modprobe).args(["--dry-run", "--quiet", module])).is_ok())
}

fn cgroups(found: &mut Findings) {
    let v2 = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let missing = missing_controllers(&v2, &mounts);
    match missing.is_empty() {
        true => found.good("cgroups", if v2.is_empty() { "version 1" } else { "version 2" }),
        false => found.error(
            "cgroups",
            format!("no controllers for {}: mount them, or enable them at boot", missing.join(", ")),
        ),
    }
}

/// Controllers that neither version has, by the unified hierarchy's list and the mount table.
fn missing_controllers(v2: &str, mounts: &str) -> Vec<&'static str> {
    let of_v1 = |name: &str| {
        let options = mounts.lines().filter_map(|line| line.split_once(" - cgroup ")?.1.split(' ').nth(1));
        options.flat_map(|o| o.split(',')).any(|option| option == name)
    };
    CONTROLLERS.into_iter().filter(|c| !v2.split_whitespace().any(|have| have == *c) && !of_v1(c)).collect()
}

fn network(found: &mut Findings) {
    if !host::is_root() {
        return;
    }
    let mut failed = false;
    for (what, script) in TRIALS {
        if let Err(why) =
            silent(Command::new("unshare").env("PATH", search_path()).args(["--net", "sh", "-ec", script]))
        {
            failed = true;
            found.error("network", format!("the kernel has no {what}: {why}"));
        }
    }
    if !failed {
        found.good("network", "virtual Ethernet, bridges and packet rules work");
    }
    let forward = Path::new("/proc/sys/net/ipv4/ip_forward");
    if std::fs::read_to_string(forward).is_ok_and(|text| text.trim() == "0") {
        match std::fs::OpenOptions::new().write(true).open(forward) {
            Ok(_) => found.good("forwarding", "off now; the node turns it on"),
            Err(e) => found.error("forwarding", format!("net.ipv4.ip_forward is 0 and cannot be set ({e})")),
        }
    }
}

/// Runs a program without showing what it says; its last line when it fails.
fn silent(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|e| e.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(text.trim().lines().last().unwrap_or("it failed").to_owned())
}

/// Whether a cluster of the name could be started.
fn named(place: &cli::Place, name: &str, found: &mut Findings) {
    match Named::find(&place.clusters.clusters_dir, name) {
        Ok(None) => match Network::free_range(&[]) {
            Ok(_) => found.good("name", format!("{name} is free")),
            Err(e) => found.error("network", e.to_string()),
        },
        Ok(Some(named)) if named.running() > 0 => {
            found.warning("name", format!("a cluster {name} runs already: corten status --name {name}"));
        }
        Ok(Some(named)) => found.good("name", format!("{name} is there with {} nodes, stopped", named.nodes)),
        Err(e) => found.error("name", format!("{e:#}")),
    }
}

fn addresses(o: &cli::Doctor, found: &mut Findings) {
    let given = o.node.node_ip.is_some() && o.control_plane.api.advertise_address.is_some();
    match host::address() {
        ip if ip.is_loopback() && !given => found.error(
            "address",
            "there is no default route, so the machine's address is not known: give --node-ip and --advertise-address",
        ),
        ip => found.good("address", o.node.node_ip.unwrap_or(ip).to_string()),
    }
}

fn ports(o: &cli::Doctor, found: &mut Findings) {
    let dir = &o.place.state.state_dir;
    if let Some(owner) = dir.exists().then(|| StateDir::open(dir).ok()?.owner()).flatten() {
        found.warning("ports", format!("a cluster runs from {} already ({owner})", dir.display()));
        return;
    }
    let plane = &o.control_plane;
    let any = IpAddr::from(Ipv4Addr::UNSPECIFIED);
    let own = plane.api.advertise_address.unwrap_or_else(host::address);
    let before = found.0.len();
    for (ip, port, flag) in [
        (plane.api.bind_address, plane.api.secure_port, "--secure-port"),
        (any, o.node.kubelet_port, "--kubelet-port"),
        (own, plane.dns_port, "--dns-port"),
    ] {
        if let Err(e) = host::check_port(SocketAddr::new(ip, port), flag) {
            found.error("ports", e.to_string());
        }
    }
    if found.0.len() == before {
        found.good(
            "ports",
            format!("{}, {} and {} are free", plane.api.secure_port, o.node.kubelet_port, plane.dns_port),
        );
    }
}

fn room(dir: &Path, found: &mut Findings) {
    disk(dir, found);
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    match memory_kib(&meminfo) {
        Some(kib) if kib < MEMORY_WANTED_KIB => {
            found.warning("memory", format!("{} MiB: little is left for pods", kib >> 10));
        }
        Some(kib) => found.good("memory", format!("{} MiB", kib >> 10)),
        None => {}
    }
}

/// Room on the state directory's file system.
pub fn disk(dir: &Path, found: &mut Findings) {
    let Some(free) = host::free_bytes(dir) else { return };
    let text = format!("{} MiB free at {}", free >> 20, dir.display());
    if free < DISK_LEAST_BYTES {
        found.error("disk", format!("{text}: make room, or choose another --state-dir"));
    } else if free < DISK_WANTED_BYTES {
        found.warning("disk", format!("{text}: images and logs want more"));
    } else {
        found.good("disk", text);
    }
}

fn memory_kib(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_versions() {
        for (release, want) in [("6.1.0-13-amd64", (6, 1)), ("5.15.0", (5, 15)), ("4.19-generic", (4, 19))] {
            assert_eq!(version(release), Some(want));
        }
        assert_eq!(version("unknown"), None);
    }

    #[test]
    fn controllers_of_either_version_do() {
        let v1 = "35 30 0:31 / /sys/fs/cgroup/memory rw shared:13 - cgroup cgroup rw,memory\n\
                  36 30 0:32 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n";
        assert_eq!(missing_controllers("", v1), ["pids"]);
        assert_eq!(missing_controllers("cpuset cpu io memory pids\n", ""), [""; 0]);
        assert_eq!(missing_controllers("hugetlb pids\n", v1), [""; 0]);
        assert_eq!(missing_controllers("", ""), CONTROLLERS);
    }

    #[test]
    fn memory_is_read() {
        assert_eq!(memory_kib("MemTotal:        8042000 kB\nMemFree: 1 kB\n"), Some(8_042_000));
        assert_eq!(memory_kib(""), None);
    }
}
