//! What controllers read of services, and which pods stand behind one.
// k8s: staging/src/k8s.io/endpointslice/utils.go, pkg/controller/endpoint/endpoints_controller.go

use std::sync::Arc;

use meta::{Gvr, IntOrString};
use reconcile::{Caches, Delta, KeySink, ObjectMeta, Projection, StrMap, time};
use serde::{Deserialize, Serialize};

use serde_json::Value;

use super::condition;
use super::pod::Pod;

/// `services`.
pub const SERVICES: Gvr = Gvr::new("", "v1", "services");
/// The label of endpoints of a service without cluster IP.
pub const HEADLESS: &str = "service.kubernetes.io/headless";
/// When the change happened that the endpoints follow.
pub const TRIGGER_TIME: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// A service.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Service {
    pub metadata: ObjectMeta,
    pub spec: ServiceSpec,
}

/// Its specification.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceSpec {
    #[serde(rename = "type")]
    pub kind: Box<str>,
    #[serde(rename = "clusterIP")]
    pub cluster_ip: Box<str>,
    pub selector: StrMap,
    pub ports: Vec<ServicePort>,
    pub ip_families: Vec<Box<str>>,
    pub publish_not_ready_addresses: bool,
}

/// A port of a service.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServicePort {
    pub name: Box<str>,
    pub protocol: Box<str>,
    pub app_protocol: Option<Box<str>>,
    pub port: i32,
    pub target_port: Option<IntOrString>,
}

/// A port as endpoints carry it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointPort {
    pub name: String,
    pub port: i32,
    pub protocol: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_protocol: Option<String>,
}

impl Projection for Service {
    const GVR: Gvr = SERVICES;

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn compact(&mut self) {
        self.metadata.annotations.retain(|_| false);
    }
}

impl Service {
    /// Whether it has no cluster IP on purpose.
    #[must_use]
    pub fn headless(&self) -> bool {
        &*self.spec.cluster_ip == "None"
    }

    /// Whether its endpoints are made from pods.
    #[must_use]
    pub fn selects(&self) -> bool {
        !self.spec.selector.is_empty() && &*self.spec.kind != "ExternalName"
    }

    /// Whether the pod's labels are selected.
    #[must_use]
    pub fn matches(&self, labels: &StrMap) -> bool {
        self.selects() && self.spec.selector.iter().all(|(k, v)| labels.get(k) == Some(v))
    }

    /// The address families that it serves.
    #[must_use]
    pub fn families(&self) -> Vec<&str> {
        if self.spec.ip_families.is_empty() {
            let v6 = self.spec.cluster_ip.contains(':');
            return vec![if v6 { "IPv6" } else { "IPv4" }];
        }
        self.spec.ip_families.iter().map(AsRef::as_ref).collect()
    }

    /// The service's ports as they are on this pod. A named port that the pod does not have is left out.
    #[must_use]
    pub fn resolve(&self, pod: &Pod) -> Vec<EndpointPort> {
        let ports = self.spec.ports.iter().filter_map(|p| {
            Some(EndpointPort {
                name: p.name.to_string(),
                port: find_port(p, pod)?,
                protocol: if p.protocol.is_empty() { "TCP".to_owned() } else { p.protocol.to_string() },
                app_protocol: p.app_protocol.as_ref().map(ToString::to_string),
            })
        });
        ports.collect()
    }

    /// Whether the pod's name is published under the service.
    #[must_use]
    pub fn publishes_hostname(&self, pod: &Pod) -> bool {
        !pod.spec.hostname.is_empty() && *pod.spec.subdomain == *self.metadata.name
    }
}

fn find_port(p: &ServicePort, pod: &Pod) -> Option<i32> {
    let name = match &p.target_port {
        None => return Some(p.port),
        Some(IntOrString::Int(0)) => return Some(p.port),
        Some(IntOrString::Int(n)) => return Some(*n),
        Some(IntOrString::Str(name)) => name,
    };
    let sidecars = pod.spec.init_containers.iter().filter(|c| c.restart_policy.as_deref() == Some("Always"));
    let wanted = if p.protocol.is_empty() { "TCP" } else { &p.protocol };
    pod.spec.containers.iter().chain(sidecars).flat_map(|c| c.ports.iter()).find_map(|c| {
        let protocol = if c.protocol.is_empty() { "TCP" } else { &c.protocol };
        (*c.name == **name && protocol == wanted).then_some(c.container_port)
    })
}

/// The pod's address in a family (`IPv4`, `IPv6`).
#[must_use]
pub fn address<'a>(pod: &'a Pod, family: &str) -> Option<&'a str> {
    let first = std::iter::once(&*pod.status.pod_ip);
    let all = pod.status.pod_ips.iter().map(|p| &*p.ip).chain(first);
    all.filter(|ip| !ip.is_empty()).find(|ip| ip.contains(':') == (family == "IPv6"))
}

/// Everything about a pod that endpoints show.
fn shown(p: &Pod) -> impl PartialEq + '_ {
    let m = &p.metadata;
    let s = &p.status;
    (
        (p.ready(), m.deleting(), p.finished(), &m.labels, &m.uid),
        (&s.pod_ip, &s.pod_ips, &p.spec.node_name, &p.spec.hostname, &p.spec.subdomain),
    )
}

/// The services whose endpoints a changed pod may change.
pub fn concerned(delta: &Delta<Pod>, caches: &Caches, sink: &mut KeySink) {
    if let (Some(old), Some(new)) = (&delta.old, &delta.new)
        && shown(old) == shown(new)
    {
        return;
    }
    let Some(p) = delta.latest() else { return };
    for s in caches.kind::<Service>().list(&p.metadata.namespace) {
        if delta.both().any(|p| s.matches(&p.metadata.labels)) {
            sink.add(s.metadata.key());
        }
    }
}

/// The pods that a service selects and that have an address, in the order of their names. Terminating ones
/// are among them.
#[must_use]
pub fn backing(s: &Service, caches: &Caches) -> Vec<Arc<Pod>> {
    let pods = caches.kind::<Pod>().list(&s.metadata.namespace);
    let addressed = |p: &Pod| !p.status.pod_ip.is_empty() || !p.status.pod_ips.is_empty();
    pods.filter(|p| s.matches(&p.metadata.labels) && !p.finished() && addressed(p)).cloned().collect()
}

/// When the newest change happened that the endpoints show.
pub fn trigger_time<'a>(s: &Service, pods: impl Iterator<Item = &'a Pod>) -> Value {
    let times = pods.flat_map(|p| {
        let ready = condition::find(&p.status.conditions, "Ready");
        [ready.and_then(|c| c.last_transition_time), p.metadata.deletion_timestamp]
    });
    times.flatten().chain(s.metadata.creation_timestamp).max().map(time::rfc3339).into()
}
