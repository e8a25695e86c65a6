//! Pods' cgroups where systemd owns the hierarchy: slices, whose limits systemd must be told, since it writes the files
//! of its units itself. It must never write below the mount point.
// k8s: pkg/kubelet/cm/cgroup_manager_linux.go; (runc) libcontainer/cgroups/systemd

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::Version;
use crate::error::{Error, Result};
use crate::spec::resources::{self, PodLimits};

/// How long systemd may take for one answer: a pod must not wait for one that hangs.
const LIMIT: Duration = Duration::from_secs(10);

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
    pub async fn limit(&self, slice: &str, version: Version, limits: &PodLimits) -> Result<()> {
        let mut args = ["set-property", "--runtime", slice].map(str::to_owned).to_vec();
        args.extend(properties(version, limits));
        self.run(&args).await
    }

    /// Ends a slice and forgets its limits, which would otherwise stay when it does not end.
    pub async fn remove(&self, slice: &str) -> Result<()> {
        let ended = self.run(&["stop", slice].map(str::to_owned)).await;
        let forgotten = self.run(&["revert", slice].map(str::to_owned)).await;
        ended.and(forgotten)
    }

    async fn run(&self, args: &[String]) -> Result<()> {
        let words: Vec<&String> = self.program.iter().chain(args).collect();
        let what = || words.iter().map(|w| w.as_str()).collect::<Vec<_>>().join(" ");
        let Some((program, rest)) = words.split_first() else { return Ok(()) };
        let mut command = Command::new(program);
        command.args(rest).stdin(Stdio::null()).kill_on_drop(true);
        let out = match timeout(LIMIT, command.output()).await {
            Ok(out) => out.map_err(|e| Error::io(what(), e))?,
            Err(_) => return Err(Error::io(what(), format!("no answer in {} s", LIMIT.as_secs()))),
        };
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
    use crate::volumes::testdir::TestDir;

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

    /// One that never answers is given up.
    #[tokio::test(start_paused = true)]
    async fn systemd_that_hangs_is_not_waited_for() {
        let hangs = Systemd { program: ["tail", "-f", "/dev/null"].map(str::to_owned).to_vec() };
        let why = hangs.run(&[]).await.unwrap_err().to_string();
        assert_eq!(why, "tail -f /dev/null: no answer in 10 s");
    }

    #[tokio::test]
    async fn limits_are_forgotten_of_a_slice_that_does_not_end() {
        let dir = TestDir::new("systemd-stop-fails");
        let (program, said) = (dir.path.join("systemctl"), dir.path.join("said"));
        let text =
            format!("echo \"$@\" >> {}\n[ \"$1\" != stop ] || {{ echo no >&2; exit 1; }}\n", said.display());
        std::fs::write(&program, text).unwrap();
        let program = vec!["sh".to_owned(), program.to_string_lossy().into_owned()];
        let why = Systemd { program }.remove("x.slice").await.unwrap_err().to_string();
        assert!(why.ends_with("stop x.slice: no"), "{why}");
        assert_eq!(std::fs::read_to_string(said).unwrap(), "stop x.slice\nrevert x.slice\n");
    }
}
