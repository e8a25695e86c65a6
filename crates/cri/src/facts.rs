//! What a runtime tells of itself and of a sandbox in its verbose answers, beyond the protocol: containerd's JSON.
//! Nothing here may fail: a runtime that tells nothing leaves the facts empty.

use std::path::PathBuf;

use serde_json::Value;

use crate::v1::{PodSandboxStatusResponse, StatusResponse};

/// How a runtime that was there before us is set up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuntimeFacts {
    /// It has a pod network.
    pub network_ready: bool,
    /// Where it reads CNI configurations.
    pub cni_conf_dir: Option<PathBuf>,
    /// Where it finds CNI plugins.
    pub cni_bin_dir: Option<PathBuf>,
    /// Its default handler leaves cgroups to systemd.
    pub cgroup_systemd: bool,
    /// It does not apply AppArmor profiles, whatever the kernel has.
    pub apparmor_disabled: bool,
    /// What unpacks its images.
    pub snapshotter: Option<String>,
}

/// The facts in a verbose status.
#[must_use]
pub fn of_runtime(status: &StatusResponse) -> RuntimeFacts {
    let conditions = status.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
    let config = json(status.info.get("config"));
    let path = |pointer| config.pointer(pointer).and_then(Value::as_str).filter(|p| !p.is_empty());
    let runtimes = &config["containerd"];
    let default = runtimes["defaultRuntimeName"].as_str().unwrap_or("runc");
    RuntimeFacts {
        network_ready: conditions.iter().any(|c| c.r#type == "NetworkReady" && c.status),
        cni_conf_dir: path("/cni/confDir").map(PathBuf::from),
        cni_bin_dir: path("/cni/binDir").map(PathBuf::from),
        cgroup_systemd: runtimes["runtimes"][default]["options"]["SystemdCgroup"] == true,
        apparmor_disabled: config["disableApparmor"] == true,
        snapshotter: runtimes["snapshotter"].as_str().map(str::to_owned),
    }
}

/// Where a sandbox's containers write their logs: the directory that the node agent which made it has chosen.
#[must_use]
pub fn log_directory(status: &PodSandboxStatusResponse) -> Option<PathBuf> {
    let info = json(status.info.get("info"));
    info.pointer("/config/log_directory").and_then(Value::as_str).map(PathBuf::from)
}

fn json(text: Option<&String>) -> Value {
    text.and_then(|t| serde_json::from_str(t).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::{RuntimeCondition, RuntimeStatus};

    #[test]
    fn facts_of_containerd() {
        let config = r#"{"disableApparmor": true, "cni": {"confDir": "/a", "binDir": "/b"}, "containerd": {"defaultRuntimeName": "crun",
            "snapshotter": "native", "runtimes": {"runc": {"options": {}}, "crun": {"options": {"SystemdCgroup": true}}}}}"#;
        let ready = RuntimeCondition { r#type: "NetworkReady".into(), status: true, ..Default::default() };
        let status = |info: &str| StatusResponse {
            status: Some(RuntimeStatus { conditions: vec![ready.clone()] }),
            info: [("config".to_owned(), info.to_owned())].into(),
            ..Default::default()
        };
        let full = RuntimeFacts {
            network_ready: true,
            cni_conf_dir: Some("/a".into()),
            cni_bin_dir: Some("/b".into()),
            cgroup_systemd: true,
            apparmor_disabled: true,
            snapshotter: Some("native".into()),
        };
        assert_eq!(of_runtime(&status(config)), full);
        for nothing in ["", "{}", "not json"] {
            let facts = RuntimeFacts { network_ready: true, ..RuntimeFacts::default() };
            assert_eq!(of_runtime(&status(nothing)), facts, "{nothing}");
        }
    }

    #[test]
    fn log_directories() {
        let cases = [
            (r#"{"config": {"log_directory": "/var/log/pods/x"}}"#, Some("/var/log/pods/x")),
            (r#"{"config": {}}"#, None),
            ("", None),
        ];
        for (info, want) in cases {
            let info = [("info".to_owned(), info.to_owned())].into();
            let status = PodSandboxStatusResponse { info, ..Default::default() };
            assert_eq!(log_directory(&status), want.map(PathBuf::from));
        }
    }
}
