//! `/containerLogs/{namespace}/{pod}/{container}`.
// k8s: pkg/kubelet/kubelet_pods.go validateContainerLogStatus, GetKubeletContainerLogs

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodStatus};
use meta::{Body, Request, Response, Status};

use super::{find, text};
use crate::logs::options::Options;
use crate::logs::read::Reader;
use crate::run::Shared;
use crate::run::actor::Door;
use crate::spec::PodExt;
use crate::worker::view::CState;

/// Between looks at a log that is followed.
const LOOK: Duration = Duration::from_millis(50);

pub(super) async fn answer(
    shared: &Arc<Shared>,
    ns: &str,
    name: &str,
    container: &str,
    r: &Request,
) -> Response {
    let options = match Options::parse(&r.query, shared.ctx.now()) {
        Ok(o) => o,
        Err(e) => return text(422, e),
    };
    let (pod, door) = match find(shared, ns, name) {
        Ok(found) => found,
        Err(e) => return e,
    };
    if pod.container(container).is_none() {
        return text(404, format!("container \"{container}\" not found in pod \"{name}\""));
    }
    let (path, id) = match locate(shared, &pod, &door, container, options.previous) {
        Ok(found) => found,
        Err(e) => return text(400, e),
    };
    let follow = options.follow && !options.previous;
    // A container that has just started may not have written its file yet.
    let reader = match Reader::open(&path, options) {
        Ok(r) => r,
        Err(e) => {
            return text(
                500,
                format!("failed to try resolving symlinks in path \"{}\": {e}", path.display()),
            );
        }
    };
    let state = Follow { reader, door, id, follow, ended: false };
    let body = stream::unfold(Some(state), |state| async move {
        let mut s = state?;
        match s.next().await {
            Ok(piece) if piece.is_empty() => None,
            Ok(piece) => Some((Ok(Bytes::from(piece)), Some(s))),
            Err(e) => Some((Err(Status::internal(e.to_string())), None)),
        }
    });
    Response::new(200, "text/plain", Body::Stream(Box::pin(body)))
}

/// The log file and the id of the container that writes it.
fn locate(
    shared: &Shared,
    pod: &Pod,
    door: &Door,
    container: &str,
    previous: bool,
) -> Result<(PathBuf, String), String> {
    let all: Vec<_> = door.containers.lock().iter().filter(|c| c.name == container).cloned().collect();
    let dir = shared.config.pod_logs_dir(pod.ns(), pod.nm(), pod.uid()).join(container);
    let status = door.status.lock().clone();
    let what = status.as_ref().and_then(|s| status_of(s, container));
    let found = if previous {
        all.into_iter().filter(|c| c.state == CState::Exited).find(|c| {
            // The current one counts as previous while it waits to run again.
            let id = what.and_then(|w| w.last_state.as_ref()?.terminated.as_ref()?.container_id.as_deref());
            id.is_some_and(|i| i.ends_with(&c.id))
        })
    } else {
        all.into_iter().find(|c| c.state != CState::Created)
    };
    match found {
        Some(c) => Ok((dir.join(format!("{}.log", c.restart_count)), c.id)),
        None if previous => {
            Err(format!("previous terminated container \"{container}\" in pod \"{}\" not found", pod.nm()))
        }
        None => {
            let waiting = what.and_then(|w| w.state.as_ref()?.waiting.as_ref()?.reason.as_deref());
            let reason = waiting.unwrap_or("ContainerCreating");
            let reason = match reason {
                "ErrImagePull" => "image can't be pulled",
                "ImagePullBackOff" => "trying and failing to pull image",
                other => other,
            };
            Err(format!("container \"{container}\" in pod \"{}\" is waiting to start: {reason}", pod.nm()))
        }
    }
}

fn status_of<'a>(s: &'a PodStatus, container: &str) -> Option<&'a ContainerStatus> {
    let lists = [&s.container_statuses, &s.init_container_statuses, &s.ephemeral_container_statuses];
    lists.into_iter().flatten().flatten().find(|c| c.name == container)
}

struct Follow {
    reader: Reader,
    door: Door,
    id: String,
    follow: bool,
    /// The container was seen dead: one more read finds its last words.
    ended: bool,
}

impl Follow {
    /// The next piece; empty at the end.
    async fn next(&mut self) -> std::io::Result<Vec<u8>> {
        loop {
            let piece = self.reader.more()?;
            if !piece.is_empty() || !self.follow || self.reader.is_full() {
                return Ok(piece);
            }
            if self.reader.rotated()? {
                continue;
            }
            if self.ended {
                return Ok(Vec::new());
            }
            self.ended = !self.running();
            if !self.ended {
                tokio::time::sleep(LOOK).await;
            }
        }
    }

    fn running(&self) -> bool {
        let list = self.door.containers.lock();
        list.iter().any(|c| c.id == self.id && matches!(c.state, CState::Running | CState::Created))
    }
}
