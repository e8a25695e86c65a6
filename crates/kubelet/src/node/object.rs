//! The Node object and its status as this agent sees them. Pure.

use std::collections::BTreeMap;

use cri::v1;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::config::Config;
use crate::run::Machine;

/// The version this agent reports.
pub const VERSION: &str = "v1.37.0";
/// Images named in the status at most.
// k8s: pkg/kubelet/apis/config NodeStatusMaxImages
const MAX_IMAGES: usize = 50;

/// What was looked at for a status.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observed {
    /// Empty: the runtime works and has a network; else why not.
    pub not_ready: Vec<String>,
    pub memory_pressure: bool,
    pub disk_pressure: bool,
    pub pid_pressure: bool,
    pub runtime_version: String,
    pub images: Vec<v1::Image>,
    pub host_ips: Vec<String>,
    /// The runtime's handlers with what they can do, as the Node's status has them.
    pub handlers: Value,
    pub supplemental_groups_policy: bool,
}

/// The whole object for registration.
pub(crate) fn node(config: &Config, machine: &Machine, seen: &Observed, now: Timestamp) -> Value {
    let mut labels: BTreeMap<&str, &str> = BTreeMap::from([
        ("beta.kubernetes.io/arch", super::arch()),
        ("beta.kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", super::arch()),
        ("kubernetes.io/hostname", config.hostname()),
        ("kubernetes.io/os", "linux"),
    ]);
    labels.extend(config.node_labels.iter().map(|(k, v)| (k.as_str(), v.as_str())));
    let mut spec = json!({});
    let taints: Vec<Value> = config.node_taints.iter().filter_map(|t| taint(t)).collect();
    if !taints.is_empty() {
        spec["taints"] = taints.into();
    }
    if !config.provider_id.is_empty() {
        spec["providerID"] = config.provider_id.as_str().into();
    }
    json!({
        "kind": "Node", "apiVersion": "v1",
        "metadata": {"name": config.node_name, "labels": labels,
            "annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true"}},
        "spec": spec,
        "status": status(config, machine, seen, None, now),
    })
}

/// `key=value:Effect` or `key:Effect`.
fn taint(text: &str) -> Option<Value> {
    let (key, effect) = text.rsplit_once(':')?;
    let (key, value) = key.split_once('=').unwrap_or((key, ""));
    let mut t = json!({"key": key, "effect": effect});
    if !value.is_empty() {
        t["value"] = value.into();
    }
    Some(t)
}

/// The status. `old`: the API's, for the times of transitions.
pub(crate) fn status(
    config: &Config,
    machine: &Machine,
    seen: &Observed,
    old: Option<&Value>,
    now: Timestamp,
) -> Value {
    let (machine_id, uuid, boot_id, kernel, os) = super::machine::identity();
    let mut addresses: Vec<Value> =
        seen.host_ips.iter().map(|ip| json!({"type": "InternalIP", "address": ip})).collect();
    addresses.push(json!({"type": "Hostname", "address": config.hostname()}));
    let mut images: Vec<&v1::Image> = seen.images.iter().collect();
    images.sort_by_key(|i| std::cmp::Reverse(i.size));
    let images: Vec<Value> = images
        .into_iter()
        .take(MAX_IMAGES)
        .map(|i| {
            let names: Vec<&String> = i.repo_digests.iter().chain(&i.repo_tags).take(5).collect();
            json!({"names": names, "sizeBytes": i.size})
        })
        .collect();
    let mut out = json!({
        "capacity": resources(config, i64::from(machine.cpus) * 1000, machine.memory_bytes, machine.storage_bytes),
        "allocatable": resources(config, machine.allocatable_milli_cpu, machine.allocatable_memory_bytes,
            machine.allocatable_storage_bytes),
        "conditions": conditions(seen, old, now),
        "addresses": addresses,
        "daemonEndpoints": {"kubeletEndpoint": {"Port": config.listen.port()}},
        "nodeInfo": {
            "machineID": machine_id, "systemUUID": uuid, "bootID": boot_id, "kernelVersion": kernel,
            "osImage": os, "containerRuntimeVersion": seen.runtime_version, "kubeletVersion": VERSION,
            "kubeProxyVersion": "", "operatingSystem": "linux", "architecture": super::arch(),
        },
        "images": images,
        "features": {"supplementalGroupsPolicy": seen.supplemental_groups_policy},
    });
    if seen.handlers.as_array().is_some_and(|h| !h.is_empty()) {
        out["runtimeHandlers"] = seen.handlers.clone();
    }
    out
}

fn resources(config: &Config, milli_cpu: i64, memory: i64, storage: i64) -> Value {
    let cpu = if milli_cpu % 1000 == 0 { (milli_cpu / 1000).to_string() } else { format!("{milli_cpu}m") };
    json!({
        "cpu": cpu,
        "memory": format!("{}Ki", memory / 1024),
        "pods": config.max_pods.to_string(),
        "ephemeral-storage": format!("{}Ki", storage / 1024),
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
    })
}

fn conditions(seen: &Observed, old: Option<&Value>, now: Timestamp) -> Vec<Value> {
    let pressure = |kind: &str, on: bool, yes: (&str, &str), no: (&str, &str)| {
        let (reason, message) = if on { yes } else { no };
        condition(kind, on, reason, message, old, now)
    };
    let ready = seen.not_ready.is_empty();
    let message = if ready {
        "kubelet is posting ready status".to_owned()
    } else if let [one] = seen.not_ready.as_slice() {
        one.clone()
    } else {
        format!("[{}]", seen.not_ready.join(", "))
    };
    let reason = if ready { "KubeletReady" } else { "KubeletNotReady" };
    vec![
        pressure(
            "MemoryPressure",
            seen.memory_pressure,
            ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
            ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ),
        pressure(
            "DiskPressure",
            seen.disk_pressure,
            ("KubeletHasDiskPressure", "kubelet has disk pressure"),
            ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ),
        pressure(
            "PIDPressure",
            seen.pid_pressure,
            ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
            ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ),
        condition("Ready", ready, reason, &message, old, now),
    ]
}

fn condition(
    kind: &str,
    on: bool,
    reason: &str,
    message: &str,
    old: Option<&Value>,
    now: Timestamp,
) -> Value {
    let status = if on { "True" } else { "False" };
    let now = seconds(now);
    let before = old
        .and_then(|o| o["conditions"].as_array())
        .into_iter()
        .flatten()
        .find(|c| c["type"] == kind && c["status"] == status)
        .and_then(|c| c["lastTransitionTime"].as_str());
    json!({
        "type": kind, "status": status, "reason": reason, "message": message,
        "lastHeartbeatTime": now, "lastTransitionTime": before.unwrap_or(&now),
    })
}

/// RFC 3339 in whole seconds.
pub(crate) fn seconds(t: Timestamp) -> String {
    crate::status::whole_seconds(t).to_string()
}

/// Whether two statuses say the same, heartbeats aside.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    let strip = |v: &Value| {
        let mut v = v.clone();
        for c in v["conditions"].as_array_mut().into_iter().flatten() {
            c["lastHeartbeatTime"] = Value::Null;
        }
        v
    };
    strip(a) == strip(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_and_conditions() {
        let mut config = Config::new("n1", "/tmp");
        config.node_taints = vec!["a=b:NoSchedule".into(), "c:NoExecute".into()];
        let machine =
            Machine { cpus: 2, memory_bytes: 4096, allocatable_milli_cpu: 1500, ..Machine::default() };
        let t = |s| Timestamp::from_second(s).unwrap();
        let mut seen = Observed { host_ips: vec!["10.0.0.1".into()], ..Observed::default() };
        let n = node(&config, &machine, &seen, t(100));
        assert_eq!(n["metadata"]["labels"]["kubernetes.io/hostname"], "n1");
        assert_eq!(n["spec"]["taints"][0], json!({"key": "a", "value": "b", "effect": "NoSchedule"}));
        assert_eq!(n["status"]["allocatable"]["cpu"], "1500m");
        assert_eq!(n["status"]["conditions"][3]["reason"], "KubeletReady");
        let later = status(&config, &machine, &seen, Some(&n["status"]), t(200));
        assert!(same(&later, &n["status"]));
        assert_eq!(later["conditions"][3]["lastTransitionTime"], "1970-01-01T00:01:40Z");
        seen.not_ready = vec!["container runtime is down".into()];
        let down = status(&config, &machine, &seen, Some(&later), t(300));
        assert!(!same(&down, &later));
        assert_eq!(down["conditions"][3]["status"], "False");
        assert_eq!(down["conditions"][3]["message"], "container runtime is down");
        assert_eq!(down["conditions"][3]["lastTransitionTime"], "1970-01-01T00:05:00Z");
    }
}
