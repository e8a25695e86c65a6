//! What the machine is: sizes, identity, pressure. Reads /proc and /sys; never writes.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::config::Config;
use crate::run::Machine;
use crate::spec::quantity;

/// What upstream keeps back of the root file system for evictions, in percent.
const STORAGE_RESERVED_PERCENT: i64 = 10;
/// Memory upstream keeps back for evictions.
const MEMORY_RESERVED_BYTES: i64 = 100 << 20;

fn read(path: &str) -> String {
    fs::read_to_string(path).map(|s| s.trim().to_owned()).unwrap_or_default()
}

/// A line's number of /proc/meminfo, in bytes.
fn meminfo(name: &str) -> i64 {
    let text = read("/proc/meminfo");
    let kib = text.lines().find_map(|l| {
        l.strip_prefix(name)?.strip_prefix(':')?.split_whitespace().next()?.parse::<i64>().ok()
    });
    kib.unwrap_or(0) * 1024
}

fn reserved(config: &Config, name: &str, scale: i128) -> i64 {
    let given = config.system_reserved.iter().find(|(k, _)| k == name);
    given.and_then(|(_, v)| quantity::parse(&Quantity(v.clone()).0, scale)).unwrap_or(0)
}

/// Sizes, and what of them pods may have.
pub(crate) fn machine(config: &Config) -> Machine {
    let cpus = std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1));
    let memory = meminfo("MemTotal");
    let (storage, _, _) = disk(&config.root_dir);
    Machine {
        cpus,
        memory_bytes: memory,
        storage_bytes: storage,
        allocatable_milli_cpu: i64::from(cpus) * 1000 - reserved(config, "cpu", 1000),
        allocatable_memory_bytes: (memory - MEMORY_RESERVED_BYTES - reserved(config, "memory", 1)).max(0),
        allocatable_storage_bytes: (storage / 100 * (100 - STORAGE_RESERVED_PERCENT)
            - reserved(config, "ephemeral-storage", 1))
        .max(0),
        own_oom_score: own_oom_score(),
    }
}

/// This process's OOM score when it may not lower one (without CAP_SYS_RESOURCE).
fn own_oom_score() -> Option<i64> {
    let caps = read("/proc/self/status");
    let effective = caps.lines().find_map(|l| l.strip_prefix("CapEff:")).map(str::trim)?;
    let bits = u64::from_str_radix(effective, 16).ok()?;
    const CAP_SYS_RESOURCE: u32 = 24;
    if bits & (1 << CAP_SYS_RESOURCE) != 0 {
        return None;
    }
    read("/proc/self/oom_score_adj").parse().ok()
}

/// (bytes, free bytes, free inodes in percent) of the file system that holds `path`.
pub(crate) fn disk(path: &Path) -> (i64, i64, i64) {
    let Ok(s) = rustix::fs::statvfs(path) else { return (0, 0, 100) };
    let bytes = |blocks: u64| i64::try_from(blocks.saturating_mul(s.f_frsize)).unwrap_or(i64::MAX);
    let inodes = s.f_ffree.saturating_mul(100).checked_div(s.f_files).unwrap_or(100);
    let inodes = i64::try_from(inodes).unwrap_or(100);
    (bytes(s.f_blocks), bytes(s.f_bavail), inodes)
}

/// Bytes of memory that could be had.
pub(crate) fn memory_available() -> i64 {
    meminfo("MemAvailable")
}

/// (process ids in use, largest number)
pub(crate) fn pids() -> (i64, i64) {
    let max = read("/proc/sys/kernel/pid_max").parse().unwrap_or(i64::MAX);
    let used =
        read("/proc/loadavg").split('/').nth(1).and_then(|s| s.split(' ').next()?.parse().ok()).unwrap_or(0);
    (used, max)
}

/// Identity for `nodeInfo`: (machine id, system uuid, boot id, kernel, OS).
pub(crate) fn identity() -> (String, String, String, String, String) {
    let machine =
        [read("/etc/machine-id"), read("/var/lib/dbus/machine-id")].into_iter().find(|s| !s.is_empty());
    let machine = machine.unwrap_or_default();
    let uuid = read("/sys/class/dmi/id/product_uuid");
    let uuid = if uuid.is_empty() { machine.clone() } else { uuid };
    let release = read("/etc/os-release");
    let os =
        release.lines().find_map(|l| l.strip_prefix("PRETTY_NAME=")).map(|v| v.trim_matches('"').to_owned());
    (
        machine,
        uuid,
        read("/proc/sys/kernel/random/boot_id"),
        read("/proc/sys/kernel/osrelease"),
        os.unwrap_or_else(|| "Linux".to_owned()),
    )
}

/// The address this machine would use to reach beyond itself; loopback when there is no route.
pub(crate) fn own_ip() -> IpAddr {
    let ask = |from: &str, to: &str| -> Option<IpAddr> {
        let s = std::net::UdpSocket::bind(from).ok()?;
        // No packet is sent: this only asks the routing table.
        s.connect(to).ok()?;
        s.local_addr().ok().map(|a| a.ip())
    };
    ask("0.0.0.0:0", "192.0.2.1:9")
        .or_else(|| ask("[::]:0", "[2001:db8::1]:9"))
        .or_else(first_interface)
        .unwrap_or(IpAddr::from([127, 0, 0, 1]))
}

/// Without a default route: the first interface's address that is not loopback.
fn first_interface() -> Option<IpAddr> {
    let all = nix::ifaddrs::getifaddrs().ok()?;
    all.filter_map(|i| i.address?.as_sockaddr_in().map(|a| IpAddr::from(a.ip()))).find(|ip| !ip.is_loopback())
}
