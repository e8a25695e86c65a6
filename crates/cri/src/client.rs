//! [`CriClient`]: the [`Runtime`] behind a unix socket.
//!
//! The connection is made on first use and again after it broke; a runtime that is away answers
//! [`Error::Unavailable`] at once. Every call has a limit in time; nothing is retried here.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};

use crate::v1::image_service_client::ImageServiceClient;
use crate::v1::runtime_service_client::RuntimeServiceClient;
use crate::{Error, EventStream, Result, Runtime, Terminal, TerminalCommand, terminal, v1};

/// Largest answer taken from the runtime, as upstream.
/// k8s: staging/src/k8s.io/cri-client/pkg/remote_runtime.go maxMsgSize
const MESSAGE_LIMIT_BYTES: usize = 16 * 1024 * 1024;
/// `sun_path` holds 108 bytes with the closing zero.
const SOCKET_PATH_LIMIT_BYTES: usize = 107;

/// Limits in time, by the kind of call.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// Any call not named below. Added to the caller's own seconds in stop and exec.
    pub call: Duration,
    /// Running and stopping a sandbox, which includes its network.
    pub sandbox: Duration,
    /// Pulling an image.
    pub pull: Duration,
    /// `exec_sync` without a limit of the caller's.
    pub exec: Duration,
}

impl Default for Timeouts {
    /// k8s: pkg/kubelet/apis/config/v1beta1/defaults.go RuntimeRequestTimeout (2 min, twice for sandboxes)
    fn default() -> Self {
        Self {
            call: Duration::from_secs(120),
            sandbox: Duration::from_secs(240),
            pull: Duration::from_secs(3600),
            exec: Duration::from_secs(3600),
        }
    }
}

/// A CRI v1 client. Cheap to clone; clones share one connection.
#[derive(Debug, Clone)]
pub struct CriClient {
    runtime: RuntimeServiceClient<Channel>,
    images: ImageServiceClient<Channel>,
    channel: Channel,
    timeouts: Timeouts,
    socket: PathBuf,
}

impl CriClient {
    /// A client for the runtime at `endpoint`, a path or `unix://` URL. Does not connect yet, but
    /// must be called within a tokio runtime.
    ///
    /// Errors: the path is not absolute or longer than a socket's name may be.
    pub fn new(endpoint: &str, timeouts: Timeouts) -> Result<Self> {
        let socket = PathBuf::from(endpoint.strip_prefix("unix://").unwrap_or(endpoint));
        check_socket_path(&socket)?;
        let path = socket.clone();
        let channel = Endpoint::from_static("http://cri.invalid").connect_with_connector_lazy(
            tower::service_fn(move |_: Uri| {
                let path = path.clone();
                async move { UnixStream::connect(path).await.map(TokioIo::new) }
            }),
        );
        let runtime = RuntimeServiceClient::new(channel.clone())
            .max_decoding_message_size(MESSAGE_LIMIT_BYTES)
            .max_encoding_message_size(MESSAGE_LIMIT_BYTES);
        let images = ImageServiceClient::new(channel.clone())
            .max_decoding_message_size(MESSAGE_LIMIT_BYTES)
            .max_encoding_message_size(MESSAGE_LIMIT_BYTES);
        Ok(Self { runtime, images, channel, timeouts, socket })
    }

    /// The socket's path.
    pub fn socket(&self) -> &Path {
        &self.socket
    }
}

/// Whether a unix socket can have this name.
pub(crate) fn check_socket_path(socket: &Path) -> Result<()> {
    let length = socket.as_os_str().len();
    let problem = if !socket.is_absolute() {
        format!("runtime endpoint {} is not an absolute path", socket.display())
    } else if length > SOCKET_PATH_LIMIT_BYTES {
        format!(
            "runtime endpoint {} has {length} bytes, a unix socket's path at most {SOCKET_PATH_LIMIT_BYTES}",
            socket.display()
        )
    } else {
        return Ok(());
    };
    Err(Error::Other { op: "connect", code: "InvalidArgument".into(), message: problem })
}

/// The words of a status and of what caused it: tonic says just "transport error" at the top.
fn sort_error(op: &'static str, status: &tonic::Status) -> Error {
    let mut error = Error::from_status(op, status);
    let mut source = std::error::Error::source(status);
    let mut depth = 0;
    while let (Some(cause), true) = (source, depth < 8) {
        let text = cause.to_string();
        if let Error::Unavailable { message, .. } | Error::Timeout { message, .. } = &mut error
            && !message.contains(&text)
        {
            message.push_str(": ");
            message.push_str(&text);
        }
        source = cause.source();
        depth += 1;
    }
    error
}

/// One call within a limit. Dropping the call cancels it at the runtime.
async fn within<T>(
    op: &'static str,
    limit: Duration,
    call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> Result<T> {
    match tokio::time::timeout(limit, call).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(sort_error(op, &status)),
        Err(_) => Err(Error::Timeout { op, message: format!("no answer within {limit:?}") }),
    }
}

/// `seconds` of the caller's on top of the usual limit; negative counts as zero.
fn with_seconds(base: Duration, seconds: i64) -> Duration {
    base.saturating_add(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

/// A response field that the protocol leaves optional and every runtime fills.
fn present<T>(op: &'static str, value: Option<T>) -> Result<T> {
    value.ok_or_else(|| Error::Other {
        op,
        code: "Internal".into(),
        message: "the container runtime's answer is empty".into(),
    })
}

/// `call!(self.runtime, Method, method, limit, request)`.
macro_rules! call {
    ($self:ident . $service:ident, $op:literal, $method:ident, $limit:expr, $request:expr) => {{
        let mut client = $self.$service.clone();
        within($op, $limit, client.$method($request)).await
    }};
}

#[async_trait]
impl Runtime for CriClient {
    async fn version(&self) -> Result<v1::VersionResponse> {
        let request = v1::VersionRequest { version: "v1".into() };
        call!(self.runtime, "Version", version, self.timeouts.call, request)
    }

    async fn status(&self, verbose: bool) -> Result<v1::StatusResponse> {
        call!(self.runtime, "Status", status, self.timeouts.call, v1::StatusRequest { verbose })
    }

    async fn runtime_config(&self) -> Result<v1::RuntimeConfigResponse> {
        let request = v1::RuntimeConfigRequest {};
        call!(self.runtime, "RuntimeConfig", runtime_config, self.timeouts.call, request)
    }

    async fn update_runtime_config(&self, pod_cidr: &str) -> Result<()> {
        let network_config = Some(v1::NetworkConfig { pod_cidr: pod_cidr.into() });
        let request =
            v1::UpdateRuntimeConfigRequest { runtime_config: Some(v1::RuntimeConfig { network_config }) };
        call!(self.runtime, "UpdateRuntimeConfig", update_runtime_config, self.timeouts.call, request)
            .map(|_| ())
    }

    async fn get_container_events(&self) -> Result<EventStream> {
        let request = v1::GetEventsRequest {};
        let op = "GetContainerEvents";
        // Headers may come only with the first event, so an idle runtime must not time out here.
        let mut client = self.runtime.clone();
        let stream = client.get_container_events(request).await.map_err(|s| sort_error(op, &s))?;
        Ok(Box::pin(stream.into_inner().map(move |event| event.map_err(|s| sort_error(op, &s)))))
    }

    async fn run_pod_sandbox(&self, config: v1::PodSandboxConfig, runtime_handler: &str) -> Result<String> {
        let request =
            v1::RunPodSandboxRequest { config: Some(config), runtime_handler: runtime_handler.into() };
        call!(self.runtime, "RunPodSandbox", run_pod_sandbox, self.timeouts.sandbox, request)
            .map(|r| r.pod_sandbox_id)
    }

    async fn stop_pod_sandbox(&self, pod_sandbox_id: &str) -> Result<()> {
        let request = v1::StopPodSandboxRequest { pod_sandbox_id: pod_sandbox_id.into() };
        call!(self.runtime, "StopPodSandbox", stop_pod_sandbox, self.timeouts.sandbox, request).map(|_| ())
    }

    async fn remove_pod_sandbox(&self, pod_sandbox_id: &str) -> Result<()> {
        let request = v1::RemovePodSandboxRequest { pod_sandbox_id: pod_sandbox_id.into() };
        call!(self.runtime, "RemovePodSandbox", remove_pod_sandbox, self.timeouts.call, request).map(|_| ())
    }

    async fn pod_sandbox_status(
        &self,
        pod_sandbox_id: &str,
        verbose: bool,
    ) -> Result<v1::PodSandboxStatusResponse> {
        let request = v1::PodSandboxStatusRequest { pod_sandbox_id: pod_sandbox_id.into(), verbose };
        call!(self.runtime, "PodSandboxStatus", pod_sandbox_status, self.timeouts.call, request)
    }

    async fn list_pod_sandbox(&self, filter: Option<v1::PodSandboxFilter>) -> Result<Vec<v1::PodSandbox>> {
        let request = v1::ListPodSandboxRequest { filter };
        call!(self.runtime, "ListPodSandbox", list_pod_sandbox, self.timeouts.call, request).map(|r| r.items)
    }

    async fn update_pod_sandbox_resources(
        &self,
        request: v1::UpdatePodSandboxResourcesRequest,
    ) -> Result<()> {
        let limit = self.timeouts.call;
        call!(self.runtime, "UpdatePodSandboxResources", update_pod_sandbox_resources, limit, request)
            .map(|_| ())
    }

    async fn pod_sandbox_stats(&self, pod_sandbox_id: &str) -> Result<v1::PodSandboxStats> {
        let request = v1::PodSandboxStatsRequest { pod_sandbox_id: pod_sandbox_id.into() };
        let answer = call!(self.runtime, "PodSandboxStats", pod_sandbox_stats, self.timeouts.call, request)?;
        present("PodSandboxStats", answer.stats)
    }

    async fn list_pod_sandbox_stats(
        &self,
        filter: Option<v1::PodSandboxStatsFilter>,
    ) -> Result<Vec<v1::PodSandboxStats>> {
        let request = v1::ListPodSandboxStatsRequest { filter };
        call!(self.runtime, "ListPodSandboxStats", list_pod_sandbox_stats, self.timeouts.call, request)
            .map(|r| r.stats)
    }

    async fn create_container(
        &self,
        pod_sandbox_id: &str,
        config: v1::ContainerConfig,
        sandbox_config: v1::PodSandboxConfig,
    ) -> Result<String> {
        let request = v1::CreateContainerRequest {
            pod_sandbox_id: pod_sandbox_id.into(),
            config: Some(config),
            sandbox_config: Some(sandbox_config),
        };
        call!(self.runtime, "CreateContainer", create_container, self.timeouts.call, request)
            .map(|r| r.container_id)
    }

    async fn start_container(&self, container_id: &str) -> Result<()> {
        let request = v1::StartContainerRequest { container_id: container_id.into() };
        call!(self.runtime, "StartContainer", start_container, self.timeouts.call, request).map(|_| ())
    }

    async fn stop_container(&self, container_id: &str, timeout_seconds: i64) -> Result<()> {
        let request =
            v1::StopContainerRequest { container_id: container_id.into(), timeout: timeout_seconds };
        let limit = with_seconds(self.timeouts.call, timeout_seconds);
        call!(self.runtime, "StopContainer", stop_container, limit, request).map(|_| ())
    }

    async fn remove_container(&self, container_id: &str) -> Result<()> {
        let request = v1::RemoveContainerRequest { container_id: container_id.into() };
        call!(self.runtime, "RemoveContainer", remove_container, self.timeouts.call, request).map(|_| ())
    }

    async fn list_containers(&self, filter: Option<v1::ContainerFilter>) -> Result<Vec<v1::Container>> {
        let request = v1::ListContainersRequest { filter };
        call!(self.runtime, "ListContainers", list_containers, self.timeouts.call, request)
            .map(|r| r.containers)
    }

    async fn container_status(
        &self,
        container_id: &str,
        verbose: bool,
    ) -> Result<v1::ContainerStatusResponse> {
        let request = v1::ContainerStatusRequest { container_id: container_id.into(), verbose };
        call!(self.runtime, "ContainerStatus", container_status, self.timeouts.call, request)
    }

    async fn update_container_resources(
        &self,
        container_id: &str,
        linux: v1::LinuxContainerResources,
    ) -> Result<()> {
        let request = v1::UpdateContainerResourcesRequest {
            container_id: container_id.into(),
            linux: Some(linux),
            annotations: Default::default(),
        };
        let limit = self.timeouts.call;
        call!(self.runtime, "UpdateContainerResources", update_container_resources, limit, request)
            .map(|_| ())
    }

    async fn reopen_container_log(&self, container_id: &str) -> Result<()> {
        let request = v1::ReopenContainerLogRequest { container_id: container_id.into() };
        call!(self.runtime, "ReopenContainerLog", reopen_container_log, self.timeouts.call, request)
            .map(|_| ())
    }

    async fn container_stats(&self, container_id: &str) -> Result<v1::ContainerStats> {
        let request = v1::ContainerStatsRequest { container_id: container_id.into() };
        let answer = call!(self.runtime, "ContainerStats", container_stats, self.timeouts.call, request)?;
        present("ContainerStats", answer.stats)
    }

    async fn list_container_stats(
        &self,
        filter: Option<v1::ContainerStatsFilter>,
    ) -> Result<Vec<v1::ContainerStats>> {
        let request = v1::ListContainerStatsRequest { filter };
        call!(self.runtime, "ListContainerStats", list_container_stats, self.timeouts.call, request)
            .map(|r| r.stats)
    }

    async fn exec_sync(
        &self,
        container_id: &str,
        cmd: Vec<String>,
        timeout_seconds: i64,
    ) -> Result<v1::ExecSyncResponse> {
        let request =
            v1::ExecSyncRequest { container_id: container_id.into(), cmd, timeout: timeout_seconds };
        let limit = match timeout_seconds {
            0 => self.timeouts.exec,
            seconds => with_seconds(self.timeouts.call, seconds),
        };
        call!(self.runtime, "ExecSync", exec_sync, limit, request)
    }

    async fn exec(&self, request: v1::ExecRequest) -> Result<String> {
        call!(self.runtime, "Exec", exec, self.timeouts.call, request).map(|r| r.url)
    }

    async fn exec_on_terminal(&self, command: TerminalCommand) -> Result<Terminal> {
        terminal::start(&self.channel, self.timeouts.call, command).await
    }

    async fn attach(&self, request: v1::AttachRequest) -> Result<String> {
        call!(self.runtime, "Attach", attach, self.timeouts.call, request).map(|r| r.url)
    }

    async fn port_forward(&self, pod_sandbox_id: &str, ports: Vec<i32>) -> Result<String> {
        let request = v1::PortForwardRequest { pod_sandbox_id: pod_sandbox_id.into(), port: ports };
        call!(self.runtime, "PortForward", port_forward, self.timeouts.call, request).map(|r| r.url)
    }

    async fn list_images(&self, filter: Option<v1::ImageSpec>) -> Result<Vec<v1::Image>> {
        let filter = filter.map(|image| v1::ImageFilter { image: Some(image) });
        let request = v1::ListImagesRequest { filter };
        call!(self.images, "ListImages", list_images, self.timeouts.call, request).map(|r| r.images)
    }

    async fn image_status(&self, image: v1::ImageSpec, verbose: bool) -> Result<v1::ImageStatusResponse> {
        let request = v1::ImageStatusRequest { image: Some(image), verbose };
        call!(self.images, "ImageStatus", image_status, self.timeouts.call, request)
    }

    async fn pull_image(
        &self,
        image: v1::ImageSpec,
        auth: Option<v1::AuthConfig>,
        sandbox_config: Option<v1::PodSandboxConfig>,
    ) -> Result<String> {
        let request = v1::PullImageRequest { image: Some(image), auth, sandbox_config };
        call!(self.images, "PullImage", pull_image, self.timeouts.pull, request).map(|r| r.image_ref)
    }

    async fn remove_image(&self, image: v1::ImageSpec) -> Result<()> {
        let request = v1::RemoveImageRequest { image: Some(image) };
        call!(self.images, "RemoveImage", remove_image, self.timeouts.call, request).map(|_| ())
    }

    async fn image_fs_info(&self) -> Result<v1::ImageFsInfoResponse> {
        let request = v1::ImageFsInfoRequest {};
        call!(self.images, "ImageFsInfo", image_fs_info, self.timeouts.call, request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_runtime_that_is_away_is_unavailable() {
        let client = CriClient::new("unix:///nonexistent/runtime.sock", Timeouts::default()).unwrap();
        let error = client.version().await.unwrap_err();
        assert!(error.is_unavailable(), "{error:?}");
        assert!(error.to_string().contains("No such file"), "{error}");
    }

    /// A listener that takes connections and never answers.
    #[tokio::test]
    async fn a_runtime_that_hangs_times_out() {
        let path = std::env::temp_dir().join(format!("corten-cri-{}.sock", std::process::id()));
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let timeouts = Timeouts { call: Duration::from_millis(50), ..Timeouts::default() };
        let client = CriClient::new(&path.to_string_lossy(), timeouts).unwrap();
        let error = client.version().await.unwrap_err();
        std::fs::remove_file(&path).unwrap();
        drop(listener);
        assert_eq!(error, Error::Timeout { op: "Version", message: "no answer within 50ms".into() });
    }

    #[tokio::test]
    async fn bad_endpoints_are_refused() {
        let long = format!("/{}", "x".repeat(107));
        for (endpoint, want) in [("run/x.sock", "is not an absolute path"), (long.as_str(), "has 108 bytes")]
        {
            let error = CriClient::new(endpoint, Timeouts::default()).unwrap_err();
            assert!(error.message().contains(want), "{error}");
        }
    }
}
