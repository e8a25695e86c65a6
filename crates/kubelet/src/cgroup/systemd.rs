//! Pods' cgroups where systemd owns the hierarchy: slices, whose limits systemd must be told, since it writes the files
//! of its units itself. It must never write below the mount point.
// k8s: pkg/kubelet/cm/cgroup_manager_linux.go; (runc) libcontainer/cgroups/systemd

use std::process::Command;

use super::Version;
use crate::error::{Error, Result};
use crate::spec::resources::{self, PodLimits};

/// The road to systemd.
#[derive(Clone, Debug)]
pub(super) struct Systemd {
    /// The program that speaks to it, and its first arguments.
    pub program: Vec<String>,
}

impl Default for Systemd {
    fn default() -> Self {
        Systemd { program: vec!["systemctl".to_owned()] }
    }
}

impl Systemd {
    /// Sets the limits of a slice, which needs not be there yet, until the machine is started anew.
    pub fn limit(&self, slice: &str, version: Version, limits: &PodLimits) -> Result<()> {
        let mut args = ["set-property", "--runtime", slice].map(str::to_owned).to_vec();
        args.extend(properties(version, limits));
        self.run(&args)
    }

    /// Ends a slice and forgets its limits.
    pub fn remove(&self, slice: &str) -> Result<()> {
        self.run(&["stop", slice].map(str::to_owned))?;
        self.run(&["revert", slice].map(str::to_owned))
    }

    fn run(&self, args: &[String]) -> Result<()> {
        let words: Vec<&String> = self.program.iter().chain(args).collect();
        let what = || words.iter().map(|w| w.as_str()).collect::<Vec<_>>().join(" ");
        let Some((program, rest)) = words.split_first() else { return Ok(()) };
        let out = Command::new(program).args(rest).output().map_err(|e| Error::io(what(), e))?;
        if out.status.success() {
            return Ok(());
        }
        Err(Error::io(what(), String::from_utf8_lossy(&out.stderr).trim()))
    }
}

/// The limits in systemd's words.
fn properties(version: Version, l: &PodLimits) -> Vec<String> {
    let (cpu, memory) = match version {
        Version::V2 => {
            (format!("CPUWeight={}", resources::weight_of_shares(l.cpu_shares.max(2))), "MemoryMax")
        }
        Version::V1 => (format!("CPUShares={}", l.cpu_shares.max(2)), "MemoryLimit"),
    };
    let or_none = |v: Option<i64>| v.map_or("infinity".to_owned(), |v| v.to_string());
    // Hundredths of a percent of one CPU, out of microseconds in 100 ms; empty is without one.
    let quota = l.cpu_quota_us.map(|us| format!("{}.{:02}%", us / 1000, us % 1000 / 10)).unwrap_or_default();
    vec![
        cpu,
        format!("CPUQuota={quota}"),
        format!("{memory}={}", or_none(l.memory_bytes)),
        format!("TasksMax={}", or_none(l.pids)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_in_systemds_words() {
        let full = PodLimits {
            cpu_shares: 512,
            cpu_quota_us: Some(51_250),
            memory_bytes: Some(1 << 20),
            pids: Some(9),
        };
        let none = PodLimits::default();
        let cases = [
            (Version::V2, &full, "CPUWeight=20 CPUQuota=51.25% MemoryMax=1048576 TasksMax=9"),
            (Version::V1, &full, "CPUShares=512 CPUQuota=51.25% MemoryLimit=1048576 TasksMax=9"),
            (Version::V2, &none, "CPUWeight=1 CPUQuota= MemoryMax=infinity TasksMax=infinity"),
        ];
        for (version, limits, want) in cases {
            assert_eq!(properties(version, limits).join(" "), want);
        }
    }
}
