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

use std::borrow::Cow;

use k8s_openapi::api::core::v1::{Container, EphemeralContainer, Pod, PodSpec};

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
    /// Init, main or ephemeral container by name.
    fn container(&self, name: &str) -> Option<Cow<'_, Container>>;
    /// The ephemeral containers, as the containers that they are.
    fn ephemeral(&self) -> Vec<Container>;
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
    fn container(&self, name: &str) -> Option<Cow<'_, Container>> {
        let own = resources::all_containers(self.sp()).find(|c| c.name == name).map(Cow::Borrowed);
        let ephemeral = || self.sp().ephemeral_containers.iter().flatten().find(|c| c.name == name);
        own.or_else(|| ephemeral().map(|e| Cow::Owned(of_ephemeral(e))))
    }
    fn ephemeral(&self) -> Vec<Container> {
        self.sp().ephemeral_containers.iter().flatten().map(of_ephemeral).collect()
    }
    fn host_network(&self) -> bool {
        self.sp().host_network.unwrap_or(false)
    }
}

/// An ephemeral container as a container that runs once: without ports, probes, hooks and resources.
fn of_ephemeral(e: &EphemeralContainer) -> Container {
    Container {
        name: e.name.clone(),
        image: e.image.clone(),
        image_pull_policy: e.image_pull_policy.clone(),
        command: e.command.clone(),
        args: e.args.clone(),
        working_dir: e.working_dir.clone(),
        env: e.env.clone(),
        env_from: e.env_from.clone(),
        volume_mounts: e.volume_mounts.clone(),
        termination_message_path: e.termination_message_path.clone(),
        termination_message_policy: e.termination_message_policy.clone(),
        security_context: e.security_context.clone(),
        stdin: e.stdin,
        stdin_once: e.stdin_once,
        tty: e.tty,
        restart_policy: Some("Never".to_owned()),
        ..Container::default()
    }
}

/// Whether an init container is a sidecar.
#[must_use]
pub fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}
