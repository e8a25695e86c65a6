//! What the machine is: sizes, identity, pressure. Reads /proc and /sys; never writes.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::run::Machine;
use crate::spec::quantity;
use crate::spec::resources::{self, PodLimits};

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

/// What is kept back of a resource, as numbers of that scale.
fn reserved(config: &Config, name: &str, scale: i128) -> i64 {
    let lists = config.kube_reserved.iter().chain(&config.system_reserved);
    let given = lists.filter(|(k, _)| k == name).filter_map(|(_, v)| quantity::parse(v, scale));
    given.fold(0, i64::saturating_add)
}

/// Whether what is kept back can be read and leaves something for pods.
///
/// # Errors
/// What is wrong with it.
// k8s: pkg/kubelet/cm/node_container_manager_linux.go validateNodeAllocatable
pub(crate) fn check_reserved(config: &Config, machine: &Machine) -> Result<()> {
    for (name, value) in config.kube_reserved.iter().chain(&config.system_reserved) {
        if !matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage" | "pid") {
            return Err(Error::Config(format!("cannot reserve \"{name}\" resource")));
        }
        match quantity::parse(value, 1000) {
            None => return Err(Error::Config(format!("reserved {name}: {value:?} is no quantity"))),
            Some(v) if v < 0 => {
                return Err(Error::Config(format!(
                    "resource quantity for \"{name}\" cannot be negative: {value}"
                )));
            }
            Some(_) => {}
        }
    }
    let have = [
        ("cpu", i64::from(machine.cpus) * 1000, 1000),
        ("memory", machine.memory_bytes, 1),
        ("ephemeral-storage", machine.storage_bytes, 1),
    ];
    for (name, capacity, scale) in have {
        let kept = reserved(config, name, scale);
        if capacity > 0 && kept > capacity {
            return Err(Error::Config(format!(
                "invalid Node Allocatable configuration: {kept} of {name} are reserved, the node has {capacity}"
            )));
        }
    }
    Ok(())
}

/// Sizes, and what of them pods may have.
// k8s: pkg/kubelet/cm/node_container_manager_linux.go GetNodeAllocatableAbsolute, getNodeAllocatableInternalAbsolute
pub(crate) fn machine(config: &Config) -> Machine {
    let cpus = std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1));
    let (storage, _, _) = disk(&config.root_dir);
    sized(config, cpus, meminfo("MemTotal"), storage, pids().1)
}

/// The same of a machine of that size.
fn sized(config: &Config, cpus: u32, memory: i64, storage: i64, pids: i64) -> Machine {
    let free_cpu = (i64::from(cpus) * 1000 - reserved(config, "cpu", 1000)).max(0);
    // What is kept back for evictions is the scheduler's to heed; the kernel lets pods have it.
    let free_memory = (memory - reserved(config, "memory", 1)).max(0);
    let kept_pids = reserved(config, "pid", 1);
    Machine {
        kernel: version(&read("/proc/sys/kernel/osrelease")),
        cpus,
        memory_bytes: memory,
        storage_bytes: storage,
        allocatable_milli_cpu: free_cpu,
        allocatable_memory_bytes: (free_memory - MEMORY_RESERVED_BYTES).max(0),
        allocatable_storage_bytes: (storage / 100 * (100 - STORAGE_RESERVED_PERCENT)
            - reserved(config, "ephemeral-storage", 1))
        .max(0),
        for_pods: PodLimits {
            cpu_shares: resources::shares(free_cpu),
            cpu_quota_us: None,
            memory_bytes: (memory > 0).then_some(free_memory),
            pids: (kept_pids > 0).then(|| (pids - kept_pids).max(1)),
        },
        own_oom_score: own_oom_score(),
    }
}

/// The first two numbers of a kernel's release; zeros where it has none.
fn version(release: &str) -> (u32, u32) {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
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

/// Whether the kernel enforces AppArmor profiles.
pub(crate) fn has_apparmor() -> bool {
    read("/sys/module/apparmor/parameters/enabled").starts_with('Y')
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

#[cfg(test)]
mod tests {
    use super::*;

    fn config(kube: &[(&str, &str)], system: &[(&str, &str)]) -> Config {
        let list = |l: &[(&str, &str)]| l.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Config { kube_reserved: list(kube), system_reserved: list(system), ..Config::new("n", "/r") }
    }

    #[test]
    fn the_host_keeps_what_is_reserved() {
        let gib = 1i64 << 30;
        let of = |c: &Config| sized(c, 4, 8 * gib, 100 * gib, 32768);
        let m = of(&config(&[], &[]));
        assert_eq!((m.allocatable_milli_cpu, m.for_pods.cpu_shares), (4000, 4096));
        assert_eq!(m.allocatable_memory_bytes, 8 * gib - (100 << 20));
        assert_eq!((m.for_pods.memory_bytes, m.for_pods.pids), (Some(8 * gib), None));
        let m = of(&config(
            &[("cpu", "200m"), ("memory", "1Gi"), ("pid", "768")],
            &[("cpu", "300m"), ("memory", "1Gi"), ("ephemeral-storage", "10Gi")],
        ));
        assert_eq!((m.allocatable_milli_cpu, m.for_pods.cpu_shares), (3500, 3584));
        assert_eq!(m.allocatable_memory_bytes, 6 * gib - (100 << 20));
        assert_eq!((m.for_pods.memory_bytes, m.for_pods.pids), (Some(6 * gib), Some(32000)));
        assert_eq!(m.allocatable_storage_bytes, 100 * gib / 100 * 90 - 10 * gib);
    }

    #[test]
    fn a_kernels_version() {
        for (release, want) in [
            ("6.8.0-45-generic", (6, 8)),
            ("4.15.0", (4, 15)),
            ("5.10-rc1", (5, 10)),
            ("7", (7, 0)),
            ("", (0, 0)),
        ] {
            assert_eq!(version(release), want, "{release}");
        }
    }

    #[test]
    fn what_cannot_be_reserved_is_refused() {
        let machine = sized(&config(&[], &[]), 2, 1 << 30, 1 << 30, 100);
        let cases = [
            ("cpu", "500m", ""),
            (
                "cpu",
                "3",
                "invalid Node Allocatable configuration: 3000 of cpu are reserved, the node has 2000",
            ),
            ("memory", "2Gi", "invalid Node Allocatable configuration"),
            ("memory", "lots", "reserved memory: \"lots\" is no quantity"),
            ("cpu", "-1", "resource quantity for \"cpu\" cannot be negative: -1"),
            ("gpu", "1", "cannot reserve \"gpu\" resource"),
        ];
        for (name, value, want) in cases {
            let got = check_reserved(&config(&[(name, value)], &[]), &machine);
            let text = got.err().map(|e| e.to_string()).unwrap_or_default();
            assert!(text.starts_with(want) && text.is_empty() == want.is_empty(), "{name}={value}: {text}");
        }
    }
}
