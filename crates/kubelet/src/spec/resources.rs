//! From requests and limits to what the kernel is told: QoS class, CPU shares and quota, memory limit, OOM
//! score. Pure arithmetic.

use std::collections::BTreeMap;

use cri::v1;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::spec::quantity;

// k8s: pkg/kubelet/cm/helpers_linux.go
const MIN_SHARES: i64 = 2;
const MAX_SHARES: i64 = 262_144;
const SHARES_PER_CPU: i64 = 1024;
const QUOTA_PERIOD_US: i64 = 100_000;
const MIN_QUOTA_US: i64 = 1000;

/// Quality of service class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qos {
    Guaranteed,
    Burstable,
    BestEffort,
}

impl Qos {
    /// The name in `status.qosClass`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Qos::Guaranteed => "Guaranteed",
            Qos::Burstable => "Burstable",
            Qos::BestEffort => "BestEffort",
        }
    }
}

type List = BTreeMap<String, Quantity>;

fn positive(list: Option<&List>, name: &str) -> Option<i64> {
    let q = list?.get(name)?;
    let v = if name == "cpu" { quantity::milli(q) } else { quantity::value(q) }?;
    (v > 0).then_some(v)
}

/// All containers that count: init and main.
pub fn all_containers(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    spec.init_containers.iter().flatten().chain(&spec.containers)
}

/// The pod's QoS class.
// k8s: pkg/apis/core/v1/helper/qos/qos.go ComputePodQOS
#[must_use]
pub fn qos(pod: &Pod) -> Qos {
    let Some(spec) = &pod.spec else { return Qos::BestEffort };
    let mut any = false;
    let mut guaranteed = true;
    let empty = ResourceRequirements::default();
    let pod_level = spec.resources.as_ref().filter(|r| r.requests.is_some() || r.limits.is_some());
    let all: Vec<&ResourceRequirements> = match pod_level {
        Some(r) => vec![r],
        None => all_containers(spec).map(|c| c.resources.as_ref().unwrap_or(&empty)).collect(),
    };
    for r in all {
        for name in ["cpu", "memory"] {
            let request = positive(r.requests.as_ref(), name);
            let limit = positive(r.limits.as_ref(), name);
            any |= request.is_some() || limit.is_some();
            guaranteed &= limit.is_some() && request.or(limit) == limit;
        }
    }
    match (any, guaranteed) {
        (false, _) => Qos::BestEffort,
        (true, true) => Qos::Guaranteed,
        (true, false) => Qos::Burstable,
    }
}

/// CPU shares of a request in thousandths.
#[must_use]
pub fn shares(milli_cpu: i64) -> i64 {
    (milli_cpu.saturating_mul(SHARES_PER_CPU) / 1000).clamp(MIN_SHARES, MAX_SHARES)
}

/// CPU quota per 100 ms, in µs; 0 without a limit.
#[must_use]
pub fn quota(milli_cpu: i64) -> i64 {
    if milli_cpu <= 0 {
        return 0;
    }
    (milli_cpu.saturating_mul(QUOTA_PERIOD_US) / 1000).max(MIN_QUOTA_US)
}

/// `cpu.weight` (cgroup v2) of CPU shares.
#[must_use]
pub fn weight_of_shares(shares: i64) -> i64 {
    1 + ((shares.clamp(MIN_SHARES, MAX_SHARES) - 2) * 9999) / 262_142
}

/// OOM score adjustment of a container.
// k8s: pkg/kubelet/qos/policy.go GetContainerOOMScoreAdjust
#[must_use]
pub fn oom_score_adj(pod: &Pod, container: &Container, memory_capacity_bytes: i64) -> i64 {
    let spec = pod.spec.as_ref();
    let priority = spec.and_then(|s| s.priority_class_name.as_deref()).unwrap_or_default();
    if priority == "system-node-critical" {
        return -997;
    }
    match qos(pod) {
        Qos::Guaranteed => -997,
        Qos::BestEffort => 1000,
        Qos::Burstable => {
            let request = container
                .resources
                .as_ref()
                .and_then(|r| {
                    positive(r.requests.as_ref(), "memory").or(positive(r.limits.as_ref(), "memory"))
                })
                .unwrap_or(0);
            let adjust = 1000 - (1000i128 * i128::from(request) / i128::from(memory_capacity_bytes.max(1)));
            i64::try_from(adjust).unwrap_or(0).clamp(3, 999)
        }
    }
}

/// Whether CPU and memory differ, requests or limits, by amount.
#[must_use]
pub fn differences(a: Option<&ResourceRequirements>, b: Option<&ResourceRequirements>) -> (bool, bool) {
    let lists = |r: Option<&ResourceRequirements>, name: &str| {
        let requests = r.and_then(|r| positive(r.requests.as_ref(), name));
        (requests, r.and_then(|r| positive(r.limits.as_ref(), name)))
    };
    let differ = |name: &str| lists(a, name) != lists(b, name);
    (differ("cpu"), differ("memory"))
}

/// What the runtime is told for one container. `own_score` is this process's own OOM score adjustment: without
/// the right to lower it a container's cannot be lower either.
#[must_use]
pub fn container_resources(
    pod: &Pod,
    container: &Container,
    memory_capacity_bytes: i64,
    own_score: Option<i64>,
) -> v1::LinuxContainerResources {
    let r = container.resources.as_ref();
    let requests = r.and_then(|r| r.requests.as_ref());
    let limits = r.and_then(|r| r.limits.as_ref());
    let cpu_limit = positive(limits, "cpu").unwrap_or(0);
    let cpu = positive(requests, "cpu").unwrap_or(if requests.is_some_and(|r| r.contains_key("cpu")) {
        0
    } else {
        cpu_limit
    });
    let mut score = oom_score_adj(pod, container, memory_capacity_bytes);
    if let Some(own) = own_score {
        score = score.max(own);
    }
    let quota = quota(cpu_limit);
    v1::LinuxContainerResources {
        cpu_shares: shares(cpu),
        cpu_quota: quota,
        cpu_period: if quota > 0 { QUOTA_PERIOD_US } else { 0 },
        memory_limit_in_bytes: positive(limits, "memory").unwrap_or(0),
        oom_score_adj: score,
        ..Default::default()
    }
}

/// Limits of the pod's own cgroup; `None`: not set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodLimits {
    pub cpu_shares: i64,
    pub cpu_quota_us: Option<i64>,
    pub memory_bytes: Option<i64>,
    /// Processes and threads.
    pub pids: Option<i64>,
}

impl PodLimits {
    /// The wider of two: what is not limited in one is not limited.
    #[must_use]
    pub fn wider(&self, other: &Self) -> Self {
        PodLimits {
            cpu_shares: self.cpu_shares.max(other.cpu_shares),
            cpu_quota_us: self.cpu_quota_us.zip(other.cpu_quota_us).map(|(a, b)| a.max(b)),
            memory_bytes: self.memory_bytes.zip(other.memory_bytes).map(|(a, b)| a.max(b)),
            pids: self.pids.zip(other.pids).map(|(a, b)| a.max(b)),
        }
    }
}

/// The pod's sums: the main containers and sidecars together, or a larger init container.
// k8s: pkg/kubelet/cm/helpers_linux.go ResourceConfigForPod
#[must_use]
pub fn pod_limits(pod: &Pod) -> PodLimits {
    let Some(spec) = &pod.spec else { return PodLimits::default() };
    let (cpu_request, _) = sum(spec, "cpu", false);
    let (cpu_limit, cpu_all) = sum(spec, "cpu", true);
    let (memory_limit, memory_all) = sum(spec, "memory", true);
    PodLimits {
        cpu_shares: shares(if cpu_request > 0 { cpu_request } else { cpu_limit * i64::from(cpu_all) }),
        cpu_quota_us: (cpu_all && cpu_limit > 0).then(|| quota(cpu_limit)),
        memory_bytes: (memory_all && memory_limit > 0).then_some(memory_limit),
        pids: None,
    }
}

/// (the pod's sum of `name`, whether every container declares it)
fn sum(spec: &PodSpec, name: &str, limits: bool) -> (i64, bool) {
    let of = |c: &Container| {
        let r = c.resources.as_ref()?;
        let limit = positive(r.limits.as_ref(), name);
        if limits { limit } else { positive(r.requests.as_ref(), name).or(limit) }
    };
    if let Some(r) = &spec.resources {
        let list = if limits { r.limits.as_ref() } else { r.requests.as_ref() };
        if let Some(v) = positive(list, name) {
            return (v, true);
        }
    }
    let mut all = true;
    let mut total = 0i64;
    for c in &spec.containers {
        all &= of(c).is_some();
        total = total.saturating_add(of(c).unwrap_or(0));
    }
    let (mut sidecars, mut peak) = (0i64, 0i64);
    for c in spec.init_containers.iter().flatten() {
        all &= of(c).is_some();
        let v = of(c).unwrap_or(0);
        if c.restart_policy.as_deref() == Some("Always") {
            sidecars = sidecars.saturating_add(v);
            peak = peak.max(sidecars);
        } else {
            peak = peak.max(sidecars.saturating_add(v));
        }
    }
    let overhead = spec.overhead.as_ref().and_then(|o| positive(Some(o), name)).unwrap_or(0);
    (total.saturating_add(sidecars).max(peak).saturating_add(overhead), all)
}

/// Names of all resources that any part of the pod requests.
#[must_use]
pub fn requested(spec: &PodSpec) -> Vec<&str> {
    let lists = all_containers(spec).filter_map(|c| c.resources.as_ref()).chain(&spec.resources);
    let lists = lists.filter_map(|r| r.requests.as_ref()).chain(&spec.overhead);
    let mut names: Vec<&str> = lists.flat_map(|l| l.keys().map(String::as_str)).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Whether a resource is neither Kubernetes' own nor counted by the node agent itself.
// k8s: pkg/apis/core/v1/helper/helpers.go IsExtendedResourceName
#[must_use]
pub fn is_extended(name: &str) -> bool {
    name.contains('/') && !name.contains("kubernetes.io/") && !name.starts_with("requests.")
}

/// The pod's request of a resource: thousandths of CPU, bytes of memory.
#[must_use]
pub fn pod_request(spec: &PodSpec, name: &str) -> i64 {
    let of = |c: &Container| positive(c.resources.as_ref()?.requests.as_ref(), name);
    if let Some(v) = spec.resources.as_ref().and_then(|r| positive(r.requests.as_ref(), name)) {
        return v;
    }
    let total: i64 = spec.containers.iter().filter_map(of).sum();
    let (mut sidecars, mut peak) = (0i64, 0i64);
    for c in spec.init_containers.iter().flatten() {
        if c.restart_policy.as_deref() == Some("Always") {
            sidecars += of(c).unwrap_or(0);
        } else {
            peak = peak.max(sidecars + of(c).unwrap_or(0));
        }
    }
    let overhead = spec.overhead.as_ref().and_then(|o| positive(Some(o), name)).unwrap_or(0);
    (total + sidecars).max(peak) + overhead
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(containers: serde_json::Value) -> Pod {
        serde_json::from_value(serde_json::json!({"spec": {"containers": containers}})).unwrap()
    }

    #[test]
    fn qos_classes() {
        let cases = [
            (serde_json::json!([{"name": "a"}]), Qos::BestEffort),
            (
                serde_json::json!([{"name": "a", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}]),
                Qos::Guaranteed,
            ),
            (serde_json::json!([{"name": "a", "resources": {"requests": {"cpu": "1"}}}]), Qos::Burstable),
            (
                serde_json::json!([
                    {"name": "a", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}, {"name": "b"}]),
                Qos::Burstable,
            ),
            (
                serde_json::json!([{"name": "a", "resources": {
                    "requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}}}]),
                Qos::Burstable,
            ),
        ];
        for (containers, want) in cases {
            assert_eq!(qos(&pod(containers.clone())), want, "{containers}");
        }
    }

    #[test]
    fn numbers_for_the_kernel() {
        assert_eq!((shares(0), shares(100), shares(1000)), (2, 102, 1024));
        assert_eq!((quota(0), quota(5), quota(500)), (0, 1000, 50_000));
        assert_eq!((weight_of_shares(2), weight_of_shares(1024), weight_of_shares(262_144)), (1, 39, 10000));
        let p = pod(serde_json::json!([{"name": "a", "resources": {
            "requests": {"cpu": "250m", "memory": "1Gi"}, "limits": {"cpu": "500m", "memory": "2Gi"}}}]));
        let c = &p.spec.as_ref().unwrap().containers[0];
        let r = container_resources(&p, c, 4 << 30, None);
        assert_eq!((r.cpu_shares, r.cpu_quota, r.memory_limit_in_bytes), (256, 50_000, 2 << 30));
        assert_eq!(r.oom_score_adj, 750);
        let l = pod_limits(&p);
        assert_eq!(
            l,
            PodLimits {
                cpu_shares: 256,
                cpu_quota_us: Some(50_000),
                memory_bytes: Some(2 << 30),
                pids: None
            }
        );
    }

    #[test]
    fn own_score_bounds_the_containers() {
        let p =
            pod(serde_json::json!([{"name": "a", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}]));
        let c = &p.spec.as_ref().unwrap().containers[0];
        assert_eq!(container_resources(&p, c, 4 << 30, None).oom_score_adj, -997);
        assert_eq!(container_resources(&p, c, 4 << 30, Some(0)).oom_score_adj, 0);
    }
}
