//! Reading one pod's sandboxes and containers from the runtime, last words included.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use cri::v1;
use futures_util::future::try_join_all;

use super::{Shared, exits};
use crate::error::Result;
use crate::logs::parse;
use crate::spec::container::{MESSAGE_PATH, MESSAGE_POLICY};
use crate::spec::sandbox::POD_UID;
use crate::worker::view::{self, CState, ContainerView, View};

// k8s: pkg/kubelet/container/runtime.go MaxContainerTerminationMessage*
const MESSAGE_LIMIT: u64 = 4096;
const LOG_MESSAGE_BYTES: usize = 2048;
const LOG_MESSAGE_LINES: usize = 80;

/// Everything the runtime has of a pod.
pub(super) async fn view(shared: &Arc<Shared>, uid: &str) -> Result<View> {
    let labels: std::collections::HashMap<String, String> = [(POD_UID.to_owned(), uid.to_owned())].into();
    let rt = &shared.runtime;
    let sandbox_filter = v1::PodSandboxFilter { label_selector: labels.clone(), ..Default::default() };
    let container_filter = v1::ContainerFilter { label_selector: labels, ..Default::default() };
    let (sandboxes, containers) = tokio::try_join!(
        rt.list_pod_sandbox(Some(sandbox_filter)),
        rt.list_containers(Some(container_filter))
    )?;
    let sandboxes = try_join_all(sandboxes.iter().map(|s| async {
        match rt.pod_sandbox_status(&s.id, false).await {
            Ok(r) => Ok(r.status.as_ref().map(view::sandbox)),
            Err(e) if e.is_not_found() => Ok(None),
            Err(e) => Err(e),
        }
    }));
    let containers = try_join_all(containers.iter().map(|c| async {
        let found = container(shared, &c.id).await?;
        Ok::<_, crate::Error>(found.map(|mut v| {
            v.sandbox_id.clone_from(&c.pod_sandbox_id);
            v
        }))
    }));
    let (sandboxes, containers) = futures_util::future::join(sandboxes, containers).await;
    let mut out = View {
        sandboxes: sandboxes?.into_iter().flatten().collect(),
        containers: containers?.into_iter().flatten().collect(),
    };
    out.sort();
    Ok(out)
}

/// One container; `None` when the runtime does not know it. The sandbox's id is left empty.
pub(super) async fn container(shared: &Arc<Shared>, id: &str) -> Result<Option<ContainerView>> {
    match shared.runtime.container_status(id, true).await {
        Ok(r) => {
            let view = r.status.as_ref().map(with_message);
            if view.as_ref().is_some_and(|v| v.state == CState::Running)
                && let Some(pid) = exits::pid_of(&r.info)
            {
                shared.exits.watch(pid);
            }
            Ok(view)
        }
        Err(e) if e.is_not_found() => Ok(None),
        Err(e) => Err(e.into()),
    }
}

fn with_message(status: &v1::ContainerStatus) -> ContainerView {
    let mut v = view::container(status, "");
    if v.state == CState::Exited
        && let Some(text) = last_words(status)
    {
        v.message = if v.message.is_empty() { text } else { format!("{}: {text}", v.message) };
    }
    v
}

/// The termination message: the file, or the end of the log when that is wanted and the file is empty.
// k8s: pkg/kubelet/kuberuntime/kuberuntime_container.go getTerminationMessage
fn last_words(status: &v1::ContainerStatus) -> Option<String> {
    let path = status.annotations.get(MESSAGE_PATH)?;
    let host = status.mounts.iter().find(|m| m.container_path == *path).map(|m| m.host_path.as_str());
    let text = host.and_then(|h| tail_bytes(Path::new(h), MESSAGE_LIMIT)).unwrap_or_default();
    if !text.is_empty() {
        return Some(text);
    }
    let policy = status.annotations.get(MESSAGE_POLICY).map(String::as_str).unwrap_or_default();
    if policy != "FallbackToLogsOnError" || status.exit_code == 0 || status.log_path.is_empty() {
        return None;
    }
    let raw = tail_bytes(Path::new(&status.log_path), 4 * MESSAGE_LIMIT)?;
    let text = parse::plain_tail(&raw, LOG_MESSAGE_LINES, LOG_MESSAGE_BYTES);
    (!text.is_empty()).then_some(text)
}

fn tail_bytes(path: &Path, limit: u64) -> Option<String> {
    let mut f = std::fs::File::open(path).ok()?;
    let length = f.metadata().ok().filter(std::fs::Metadata::is_file)?.len();
    f.seek(SeekFrom::Start(length.saturating_sub(limit))).ok()?;
    let mut out = Vec::new();
    f.take(limit).read_to_end(&mut out).ok()?;
    Some(String::from_utf8_lossy(&out).into_owned())
}
