//! `/pods`, `/stats/summary`, `/configz`: what the agent knows, as JSON.

use std::collections::BTreeMap;

use cri::v1;
use meta::Response;
use serde_json::{Value, json};

use super::text;
use crate::node::object::seconds;
use crate::run::Shared;
use crate::spec::PodExt;
use crate::spec::sandbox::{CONTAINER_NAME, POD_NAME, POD_NAMESPACE, POD_UID};

/// The pods of this node with their statuses as this agent sees them.
pub(super) fn pods(shared: &Shared) -> Response {
    let doors: Vec<_> = shared.actors.lock().values().filter(|d| !d.orphan).cloned().collect();
    let items: Vec<Value> = doors
        .iter()
        .filter_map(|d| {
            let mut pod = (**d.pod.lock()).clone();
            if let Some(s) = d.status.lock().clone() {
                pod.status = Some(s);
            }
            serde_json::to_value(pod).ok()
        })
        .collect();
    let list = json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items});
    Response::json(200, list.to_string())
}

/// The settings that tools ask for.
pub(super) fn configz(shared: &Shared) -> Response {
    let c = &shared.config;
    let dns: Vec<String> = c.cluster_dns.iter().map(ToString::to_string).collect();
    let config = json!({"kubeletconfig": {
        "port": c.listen.port(), "clusterDomain": c.cluster_domain, "clusterDNS": dns, "maxPods": c.max_pods,
        "containerLogMaxSize": c.container_log_max_bytes.to_string(),
        "containerLogMaxFiles": c.container_log_max_files, "cgroupRoot": c.cgroup_root,
        "cgroupDriver": if c.cgroup_systemd { "systemd" } else { "cgroupfs" },
        "containerRuntimeEndpoint": c.runtime_endpoint,
    }});
    Response::json(200, config.to_string())
}

fn number(v: Option<&v1::UInt64Value>) -> Option<u64> {
    v.map(|v| v.value)
}

fn cpu(c: Option<&v1::CpuUsage>, now: &str) -> Value {
    json!({"time": now, "usageNanoCores": number(c.and_then(|c| c.usage_nano_cores.as_ref())),
        "usageCoreNanoSeconds": number(c.and_then(|c| c.usage_core_nano_seconds.as_ref()))})
}

fn memory(m: Option<&v1::MemoryUsage>, now: &str) -> Value {
    json!({"time": now, "workingSetBytes": number(m.and_then(|m| m.working_set_bytes.as_ref())),
        "usageBytes": number(m.and_then(|m| m.usage_bytes.as_ref())),
        "rssBytes": number(m.and_then(|m| m.rss_bytes.as_ref()))})
}

/// Use of CPU and memory by node, pods and containers.
// k8s: staging/src/k8s.io/kubelet/pkg/apis/stats/v1alpha1/types.go
pub(super) async fn summary(shared: &Shared) -> Response {
    let stats = match shared.runtime.list_container_stats(None).await {
        Ok(s) => s,
        Err(e) => return text(500, e.to_string()),
    };
    let now = seconds(shared.ctx.now());
    let mut pods: BTreeMap<String, Value> = BTreeMap::new();
    for s in &stats {
        let Some(a) = &s.attributes else { continue };
        let label = |k: &str| a.labels.get(k).cloned().unwrap_or_default();
        let pod = pods.entry(label(POD_UID)).or_insert_with(|| {
            json!({"podRef": {"name": label(POD_NAME), "namespace": label(POD_NAMESPACE), "uid": label(POD_UID)},
                "startTime": start_time(shared, &label(POD_UID)), "containers": []})
        });
        let one = json!({"name": label(CONTAINER_NAME), "startTime": pod["startTime"],
            "cpu": cpu(s.cpu.as_ref(), &now), "memory": memory(s.memory.as_ref(), &now)});
        if let Some(list) = pod["containers"].as_array_mut() {
            list.push(one);
        }
    }
    for p in pods.values_mut() {
        let sum = |part: &str, field: &str| -> u64 {
            p["containers"].as_array().into_iter().flatten().filter_map(|c| c[part][field].as_u64()).sum()
        };
        let (c, n, m) = (
            sum("cpu", "usageCoreNanoSeconds"),
            sum("cpu", "usageNanoCores"),
            sum("memory", "workingSetBytes"),
        );
        p["cpu"] = json!({"time": now, "usageCoreNanoSeconds": c, "usageNanoCores": n});
        p["memory"] = json!({"time": now, "workingSetBytes": m});
    }
    let used = shared.machine.memory_bytes - crate::node::machine::memory_available();
    let (capacity, free, _) = crate::node::machine::disk(&shared.config.root_dir);
    let node = json!({"nodeName": shared.config.node_name,
        "memory": {"time": now, "workingSetBytes": used, "availableBytes": crate::node::machine::memory_available()},
        "fs": {"time": now, "capacityBytes": capacity, "availableBytes": free, "usedBytes": capacity - free}});
    let out = json!({"node": node, "pods": pods.into_values().collect::<Vec<_>>()});
    Response::json(200, out.to_string())
}

fn start_time(shared: &Shared, uid: &str) -> Value {
    let door = shared.actors.lock().get(uid).cloned();
    let status = door.and_then(|d| d.status.lock().clone());
    let time = status.and_then(|s| s.start_time).map(|t| seconds(t.0));
    let pod_known = time.is_some();
    if pod_known { json!(time) } else { Value::Null }
}

/// How many pods there are, for metrics.
pub(super) fn pod_count(shared: &Shared) -> usize {
    shared.actors.lock().values().filter(|d| !d.orphan && !d.pod.lock().uid().is_empty()).count()
}
