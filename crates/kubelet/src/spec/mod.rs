//! Pure readings of a pod's spec: resources, environment, DNS, sandbox and container configurations.
//! Nothing here does I/O.

pub mod container;
pub mod dns;
pub mod env;
pub mod expand;
pub mod fields;
pub mod hosts;
pub mod image;
pub mod quantity;
pub mod resources;
pub mod sandbox;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};

/// The facts of a pod that everything asks for. Missing metadata reads as empty.
pub trait PodExt {
    /// metadata.namespace.
    fn ns(&self) -> &str;
    /// metadata.name.
    fn nm(&self) -> &str;
    /// metadata.uid.
    fn uid(&self) -> &str;
    /// `name_namespace(uid)`, as upstream's messages have it.
    // k8s: pkg/kubelet/util/format/pod.go Pod
    fn text(&self) -> String;
    /// The spec; every pod that is admitted has one.
    fn sp(&self) -> &PodSpec;
    /// An annotation.
    fn annotation(&self, key: &str) -> Option<&str>;
    /// spec.restartPolicy, `Always` when not given.
    fn restart_policy(&self) -> &str;
    /// Init or main container by name.
    fn container(&self, name: &str) -> Option<&Container>;
    /// Whether the pod shares the node's network.
    fn host_network(&self) -> bool;
}

static EMPTY: std::sync::LazyLock<PodSpec> = std::sync::LazyLock::new(PodSpec::default);

impl PodExt for Pod {
    fn ns(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or_default()
    }
    fn nm(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }
    fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }
    fn text(&self) -> String {
        format!("{}_{}({})", self.nm(), self.ns(), self.uid())
    }
    fn sp(&self) -> &PodSpec {
        self.spec.as_ref().unwrap_or(&EMPTY)
    }
    fn annotation(&self, key: &str) -> Option<&str> {
        self.metadata.annotations.as_ref()?.get(key).map(String::as_str)
    }
    fn restart_policy(&self) -> &str {
        self.sp().restart_policy.as_deref().unwrap_or("Always")
    }
    fn container(&self, name: &str) -> Option<&Container> {
        resources::all_containers(self.sp()).find(|c| c.name == name)
    }
    fn host_network(&self) -> bool {
        self.sp().host_network.unwrap_or(false)
    }
}

/// Whether an init container is a sidecar.
#[must_use]
pub fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}
