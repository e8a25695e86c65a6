//! What a node keeps for others than pods, and what one pod may take: flags of the node agent under upstream's names.
//! A value that asks for what this agent does not do is refused here, by name.

use anyhow::{Context as _, Result, bail};
use clap::Args;

/// Resources that are kept back, and limits of pods.
#[derive(Args, Clone, Debug, Default)]
pub struct NodeLimits {
    /// Kept back for Kubernetes' own daemons: `cpu=200m,memory=500Mi,ephemeral-storage=1Gi,pid=100`.
    #[arg(long, value_delimiter = ',', value_name = "RESOURCES")]
    pub kube_reserved: Vec<String>,
    /// Kept back for the rest of the machine.
    #[arg(long, value_delimiter = ',', value_name = "RESOURCES")]
    pub system_reserved: Vec<String>,
    /// `pods`: all pods together are held below what is not kept back; `none`: only the scheduler heeds it.
    #[arg(long, value_delimiter = ',', default_value = "pods", value_name = "WHOM")]
    pub enforce_node_allocatable: Vec<String>,
    /// Processes and threads of one pod at most; -1: as many as the machine has.
    #[arg(long, default_value_t = -1, allow_negative_numbers = true, value_name = "N")]
    pub pod_max_pids: i64,
    /// Give containers that name no seccomp profile the runtime's default one.
    #[arg(long, default_value_t = false, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub seccomp_default: bool,
    /// Size at which a container's log is rotated.
    #[arg(long, default_value = "10Mi", value_name = "BYTES")]
    pub container_log_max_size: String,
    /// Log files of a container that are kept, the current one counted.
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub container_log_max_files: usize,
}

impl NodeLimits {
    /// Puts the settings into the node agent's.
    ///
    /// # Errors
    /// What cannot be read, or asks for what is not there.
    pub fn apply(&self, config: &mut kubelet::Config) -> Result<()> {
        config.kube_reserved = pairs("kube-reserved", &self.kube_reserved)?;
        config.system_reserved = pairs("system-reserved", &self.system_reserved)?;
        config.enforce_node_allocatable = enforced(&self.enforce_node_allocatable)?;
        config.pod_pids_limit = Some(self.pod_max_pids).filter(|n| *n > 0);
        config.seccomp_default = self.seccomp_default;
        let size = kubelet::spec::quantity::parse(&self.container_log_max_size, 1);
        config.container_log_max_bytes =
            size.and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0).with_context(|| {
                format!("--container-log-max-size {:?} is no size", self.container_log_max_size)
            })?;
        // k8s: pkg/kubelet/logs/container_log_manager.go NewContainerLogManager
        if self.container_log_max_files <= 1 {
            bail!("invalid MaxFiles {}, must be > 1", self.container_log_max_files);
        }
        config.container_log_max_files = self.container_log_max_files;
        Ok(())
    }
}

fn pairs(flag: &str, list: &[String]) -> Result<Vec<(String, String)>> {
    let one = |entry: &String| {
        let (name, value) =
            entry.split_once('=').with_context(|| format!("--{flag} {entry:?} is not resource=quantity"))?;
        Ok((name.trim().to_owned(), value.trim().to_owned()))
    };
    list.iter().filter(|e| !e.is_empty()).map(one).collect()
}

/// k8s: pkg/kubelet/apis/config/validation/validation.go EnforceNodeAllocatable
fn enforced(list: &[String]) -> Result<bool> {
    let mut pods = false;
    for whom in list.iter().map(|w| w.trim()).filter(|w| !w.is_empty()) {
        match whom {
            "pods" => pods = true,
            "none" if list.len() == 1 => {}
            "none" => bail!("--enforce-node-allocatable: \"none\" stands alone"),
            "kube-reserved"
            | "system-reserved"
            | "kube-reserved-compressible"
            | "system-reserved-compressible" => {
                bail!("--enforce-node-allocatable: this kubelet does not enforce {whom}")
            }
            other => bail!(
                "--enforce-node-allocatable: {other:?} is none of pods, system-reserved, kube-reserved and none"
            ),
        }
    }
    Ok(pods)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        limits: NodeLimits,
    }

    fn config(line: &str) -> Result<kubelet::Config> {
        let mut config = kubelet::Config::new("n", "/r");
        Line::try_parse_from(["x"].into_iter().chain(line.split_whitespace()))?.limits.apply(&mut config)?;
        Ok(config)
    }

    #[test]
    fn limits_of_a_node() {
        let c = config("").unwrap();
        let fresh = kubelet::Config::new("n", "/r");
        assert_eq!((c.enforce_node_allocatable, c.pod_pids_limit, c.seccomp_default), (true, None, false));
        assert_eq!(c.container_log_max_bytes, fresh.container_log_max_bytes);
        let c = config(
            "--kube-reserved=cpu=200m,memory=1Gi --system-reserved=pid=100 --enforce-node-allocatable=none \
             --pod-max-pids 50 --seccomp-default --container-log-max-size 1Mi --container-log-max-files 2",
        )
        .unwrap();
        let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
        assert_eq!(c.kube_reserved, [pair("cpu", "200m"), pair("memory", "1Gi")]);
        assert_eq!(c.system_reserved, [pair("pid", "100")]);
        assert_eq!(
            (c.enforce_node_allocatable, c.pod_pids_limit, c.seccomp_default),
            (false, Some(50), true)
        );
        assert_eq!((c.container_log_max_bytes, c.container_log_max_files), (1 << 20, 2));
        for (line, want) in [
            ("--kube-reserved=memory", "--kube-reserved \"memory\" is not resource=quantity"),
            ("--enforce-node-allocatable=pods,kube-reserved", "does not enforce kube-reserved"),
            ("--enforce-node-allocatable=none,pods", "stands alone"),
            ("--enforce-node-allocatable=all", "\"all\" is none of"),
            ("--container-log-max-size=big", "is no size"),
            ("--container-log-max-files=1", "invalid MaxFiles 1, must be > 1"),
        ] {
            let error = format!("{:#}", config(line).unwrap_err());
            assert!(error.contains(want), "{line}: {error}");
        }
    }
}
