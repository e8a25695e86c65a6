//! `/portForward`: connections into the pod's network namespace.
// k8s: containerd internal/cri/server/sandbox_portforward_linux.go

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use meta::{Request, Response};
use tokio::io::{AsyncWriteExt, copy};
use tokio::net::TcpStream;
use wire::stream::{Forward, RunForward, Session};

use super::{find, text};
use crate::run::Shared;
use crate::spec::PodExt;

const DIAL_TIME: Duration = Duration::from_secs(10);

pub(super) async fn forward(
    shared: &Arc<Shared>,
    ns: &str,
    name: &str,
    r: &Request,
) -> Result<Session, Response> {
    let (pod, door) = find(shared, ns, name)?;
    let mut ports = Vec::new();
    for v in r.query.all("port").chain(r.query.all("ports")).flat_map(|v| v.split(',')) {
        ports.push(v.trim().parse().map_err(|_| text(400, format!("unable to parse \"{v}\" as a port")))?);
    }
    let netns = if pod.host_network() {
        None
    } else {
        let sandbox = door.outline.lock().as_ref().and_then(|o| o.sandboxes.iter().find(|s| s.1).cloned());
        let Some((id, _)) = sandbox else {
            return Err(text(500, format!("pod not found (\"{}\")", pod.text())));
        };
        Some(netns(shared, &id).await.map_err(|e| text(500, e))?)
    };
    let run: RunForward = Box::new(move |f: Forward| {
        let netns = netns.clone();
        Box::pin(async move { carry(f, netns).await })
    });
    Ok(Session::PortForward { ports, run })
}

/// The sandbox's network namespace, as the runtime tells it in its verbose status.
async fn netns(shared: &Shared, id: &str) -> Result<PathBuf, String> {
    let status = shared.runtime.pod_sandbox_status(id, true).await.map_err(|e| e.to_string())?;
    let info = status.info.get("info").map(String::as_str).unwrap_or_default();
    namespace_path(info)
        .ok_or_else(|| "the container runtime does not tell the pod's network namespace".to_owned())
}

fn namespace_path(info: &str) -> Option<PathBuf> {
    let v: serde_json::Value = serde_json::from_str(info).ok()?;
    let all = v.pointer("/runtimeSpec/linux/namespaces")?.as_array()?;
    let path = all.iter().find(|n| n["type"] == "network").and_then(|n| n["path"].as_str());
    let by_pid = || Some(format!("/proc/{}/ns/net", v.get("pid")?.as_i64()?));
    path.map(str::to_owned).or_else(by_pid).map(PathBuf::from)
}

async fn carry(f: Forward, netns: Option<PathBuf>) {
    let port = f.port;
    let stream = match dial(netns, port).await {
        Ok(s) => s,
        Err(e) => {
            f.error.send(&format!("error forwarding port {port}: failed to dial {port}: {e}")).await;
            return;
        }
    };
    let (mut from_pod, mut to_pod) = stream.into_split();
    let (mut input, mut output) = (f.input, f.output);
    let up = async {
        let _ = copy(&mut input, &mut to_pod).await;
        let _ = to_pod.shutdown().await;
    };
    let down = async {
        let _ = copy(&mut from_pod, &mut output).await;
        let _ = output.shutdown().await;
    };
    tokio::join!(up, down);
}

/// Connects to the pod's loopback. A namespace belongs to a thread, so a thread of its own enters it and
/// hands the connected socket out.
async fn dial(netns: Option<PathBuf>, port: u16) -> io::Result<TcpStream> {
    let Some(path) = netns else { return TcpStream::connect(("127.0.0.1", port)).await };
    let (send, receive) = tokio::sync::oneshot::channel();
    std::thread::Builder::new().name("port-forward".to_owned()).spawn(move || {
        let _ = send.send(connect_in(&path, port));
    })?;
    let stream = receive.await.map_err(|_| io::Error::other("the dialling thread ended"))??;
    stream.set_nonblocking(true)?;
    TcpStream::from_std(stream)
}

fn connect_in(netns: &std::path::Path, port: u16) -> io::Result<std::net::TcpStream> {
    let ns = std::fs::File::open(netns)?;
    nix::sched::setns(&ns, nix::sched::CloneFlags::CLONE_NEWNET)?;
    let v4 = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let v6 = std::net::SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, port));
    std::net::TcpStream::connect_timeout(&v4, DIAL_TIME)
        .or_else(|e| std::net::TcpStream::connect_timeout(&v6, DIAL_TIME).map_err(|_| e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_are_found() {
        let info = |ns: &str| {
            format!(
                "{{\"pid\":7,\"runtimeSpec\":{{\"linux\":{{\"namespaces\":[{{\"type\":\"pid\"}},{ns}]}}}}}}"
            )
        };
        let cases = [
            (info("{\"type\":\"network\",\"path\":\"/run/netns/x\"}"), Some("/run/netns/x")),
            (info("{\"type\":\"network\"}"), Some("/proc/7/ns/net")),
            ("{}".to_owned(), None),
            (String::new(), None),
        ];
        for (text, want) in cases {
            assert_eq!(namespace_path(&text), want.map(PathBuf::from), "{text}");
        }
    }
}
