//! The trait through which the node agent speaks to a container runtime.
//!
//! Implemented by [`CriClient`](crate::CriClient) and by fakes in tests. The trait must stay object
//! safe: it is held as `Arc<dyn Runtime>`.

use std::pin::Pin;

use async_trait::async_trait;
use futures_core::Stream;

use crate::{Error, Result, Terminal, TerminalCommand, v1};

/// Container events, until the runtime ends the stream or breaks off with an error.
pub type EventStream = Pin<Box<dyn Stream<Item = Result<v1::ContainerEventResponse>> + Send>>;

/// A container runtime. Ids are the runtime's own; times in messages are nanoseconds since 1970.
///
/// Stopping and removing are idempotent: what is gone already is no error.
#[async_trait]
pub trait Runtime: Send + Sync + 'static {
    /// Name and version of the runtime.
    async fn version(&self) -> Result<v1::VersionResponse>;
    /// The runtime's conditions (`RuntimeReady`, `NetworkReady`), handlers and features.
    async fn status(&self, verbose: bool) -> Result<v1::StatusResponse>;
    /// The cgroup driver the runtime uses; `Unimplemented` before containerd 2.0.
    async fn runtime_config(&self) -> Result<v1::RuntimeConfigResponse>;
    /// Tells the runtime the node's pod CIDR (comma separated for two families).
    async fn update_runtime_config(&self, pod_cidr: &str) -> Result<()>;
    /// A stream of container events; `Unimplemented` before containerd 1.7.
    async fn get_container_events(&self) -> Result<EventStream>;

    /// Creates and starts a sandbox with its network; gives its id.
    async fn run_pod_sandbox(&self, config: v1::PodSandboxConfig, runtime_handler: &str) -> Result<String>;
    /// Kills what runs in the sandbox and gives back its network.
    async fn stop_pod_sandbox(&self, pod_sandbox_id: &str) -> Result<()>;
    /// Removes the sandbox and its containers.
    async fn remove_pod_sandbox(&self, pod_sandbox_id: &str) -> Result<()>;
    /// State, addresses and (from some runtimes) the containers' statuses.
    async fn pod_sandbox_status(
        &self,
        pod_sandbox_id: &str,
        verbose: bool,
    ) -> Result<v1::PodSandboxStatusResponse>;
    /// Sandboxes that match the filter; all without one.
    async fn list_pod_sandbox(&self, filter: Option<v1::PodSandboxFilter>) -> Result<Vec<v1::PodSandbox>>;
    /// Tells the runtime of a pod's new resources after its cgroup has changed; best effort.
    async fn update_pod_sandbox_resources(&self, request: v1::UpdatePodSandboxResourcesRequest)
    -> Result<()>;
    /// Usage of one sandbox; `Unimplemented` in older runtimes.
    async fn pod_sandbox_stats(&self, pod_sandbox_id: &str) -> Result<v1::PodSandboxStats>;
    /// Usage of the sandboxes that match the filter.
    async fn list_pod_sandbox_stats(
        &self,
        filter: Option<v1::PodSandboxStatsFilter>,
    ) -> Result<Vec<v1::PodSandboxStats>>;

    /// Creates a container in a sandbox; `sandbox_config` is the one the sandbox was run with.
    async fn create_container(
        &self,
        pod_sandbox_id: &str,
        config: v1::ContainerConfig,
        sandbox_config: v1::PodSandboxConfig,
    ) -> Result<String>;
    /// Starts a created container.
    async fn start_container(&self, container_id: &str) -> Result<()>;
    /// Sends the stop signal, and SIGKILL after `timeout_seconds`.
    async fn stop_container(&self, container_id: &str, timeout_seconds: i64) -> Result<()>;
    /// Removes a container, by force when it runs.
    async fn remove_container(&self, container_id: &str) -> Result<()>;
    /// Containers that match the filter; all without one.
    async fn list_containers(&self, filter: Option<v1::ContainerFilter>) -> Result<Vec<v1::Container>>;
    /// Full status of one container.
    async fn container_status(
        &self,
        container_id: &str,
        verbose: bool,
    ) -> Result<v1::ContainerStatusResponse>;
    /// Changes limits of a running container.
    async fn update_container_resources(
        &self,
        container_id: &str,
        linux: v1::LinuxContainerResources,
    ) -> Result<()>;
    /// Makes the runtime open the log file anew, after it was rotated.
    async fn reopen_container_log(&self, container_id: &str) -> Result<()>;
    /// Usage of one container.
    async fn container_stats(&self, container_id: &str) -> Result<v1::ContainerStats>;
    /// Usage of the containers that match the filter.
    async fn list_container_stats(
        &self,
        filter: Option<v1::ContainerStatsFilter>,
    ) -> Result<Vec<v1::ContainerStats>>;

    /// Runs a command and waits for it. `timeout_seconds` 0 means the client's own limit only;
    /// an expired timeout is [`Error::Timeout`](crate::Error::Timeout).
    async fn exec_sync(
        &self,
        container_id: &str,
        cmd: Vec<String>,
        timeout_seconds: i64,
    ) -> Result<v1::ExecSyncResponse>;
    /// Prepares an exec session; gives the URL of the runtime's streaming server.
    async fn exec(&self, request: v1::ExecRequest) -> Result<String>;
    /// Runs a command on a terminal that has its size from the start; `Unimplemented` where only CRI is spoken, which
    /// has no place for a size.
    async fn exec_on_terminal(&self, command: TerminalCommand) -> Result<Terminal> {
        let message = format!("no terminal with a size for container {}", command.container_id);
        Err(Error::Unimplemented { op: "Exec", message })
    }
    /// Prepares an attach session; gives the URL of the runtime's streaming server.
    async fn attach(&self, request: v1::AttachRequest) -> Result<String>;
    /// Prepares port forwarding; gives the URL of the runtime's streaming server.
    async fn port_forward(&self, pod_sandbox_id: &str, ports: Vec<i32>) -> Result<String>;

    /// Images that match the reference; all without one.
    async fn list_images(&self, filter: Option<v1::ImageSpec>) -> Result<Vec<v1::Image>>;
    /// The image, or `image: None` when it is not present.
    async fn image_status(&self, image: v1::ImageSpec, verbose: bool) -> Result<v1::ImageStatusResponse>;
    /// Pulls an image; gives the reference to run it by.
    async fn pull_image(
        &self,
        image: v1::ImageSpec,
        auth: Option<v1::AuthConfig>,
        sandbox_config: Option<v1::PodSandboxConfig>,
    ) -> Result<String>;
    /// Removes an image with all its names.
    async fn remove_image(&self, image: v1::ImageSpec) -> Result<()>;
    /// Use of the filesystems that hold images and containers.
    async fn image_fs_info(&self) -> Result<v1::ImageFsInfoResponse>;
}
