//! `/exec` and `/attach`: the client's connection bridged to the runtime's streaming server.

use std::sync::Arc;

use cri::v1;
use meta::{Request, Response};
use wire::stream::{RemoteCommand, RunCommand, Session, Streams, bridge, open_command};

use super::{find, terminal, text};
use crate::run::Shared;
use crate::spec::PodExt;
use crate::worker::view::CState;

fn running(shared: &Shared, ns: &str, name: &str, container: &str) -> Result<String, Response> {
    let (pod, door) = find(shared, ns, name)?;
    let list = door.containers.lock().clone();
    match list.iter().find(|c| c.name == container) {
        Some(c) if c.state == CState::Running => Ok(c.id.clone()),
        Some(_) => {
            Err(text(500, format!("container {container} in pod {}_{} is not running", pod.nm(), pod.ns())))
        }
        None => Err(text(404, format!("container not found (\"{container}\")"))),
    }
}

fn run(url: String, streams: Streams) -> RunCommand {
    Box::new(move |command: RemoteCommand| {
        Box::pin(async move {
            match open_command(&url, streams).await {
                Ok(process) => bridge(command, process).await,
                Err(e) => command.status.finish(&meta::Status::internal(e.to_string())).await,
            }
        })
    })
}

pub(super) async fn exec(
    shared: &Arc<Shared>,
    ns: &str,
    pod: &str,
    container: &str,
    request: &Request,
) -> Result<Session, Response> {
    let streams = Streams::from_query(&request.query).map_err(Response::from)?;
    let cmd: Vec<String> = request.query.all("command").map(str::to_owned).collect();
    if cmd.is_empty() {
        return Err(text(400, "you must specify a command"));
    }
    let container_id = running(shared, ns, pod, container)?;
    let ask = v1::ExecRequest {
        container_id,
        cmd,
        tty: streams.tty,
        stdin: streams.stdin,
        stdout: streams.stdout,
        stderr: streams.stderr,
        ..Default::default()
    };
    if streams.tty {
        return Ok(Session::Command { streams, run: terminal::run(shared.clone(), ask, streams) });
    }
    let url = shared.runtime.exec(ask).await.map_err(|e| text(500, e.to_string()))?;
    Ok(Session::Command { streams, run: run(url, streams) })
}

pub(super) async fn attach(
    shared: &Arc<Shared>,
    ns: &str,
    pod: &str,
    container: &str,
    request: &Request,
) -> Result<Session, Response> {
    let streams = Streams::from_query(&request.query).map_err(Response::from)?;
    let container_id = running(shared, ns, pod, container)?;
    let ask = v1::AttachRequest {
        container_id,
        tty: streams.tty,
        stdin: streams.stdin,
        stdout: streams.stdout,
        stderr: streams.stderr,
        ..Default::default()
    };
    let url = shared.runtime.attach(ask).await.map_err(|e| text(500, e.to_string()))?;
    Ok(Session::Command { streams, run: run(url, streams) })
}
