//! `/portForward`: connections into the pod's network namespace.
// k8s: containerd internal/cri/server/sandbox_portforward_linux.go

use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use meta::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy};
use tokio::net::TcpStream;
use wire::stream::{Forward, RunForward, Session};

use super::{find, text};
use crate::run::Shared;
use crate::spec::PodExt;

const DIAL_TIME: Duration = Duration::from_secs(10);
/// What a client may still send once the pod's side has ended.
const LAST_BYTES: Duration = Duration::from_secs(1);

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
    both_ways(stream, f.input, f.output, f.error).await;
}

/// Carries bytes until the pod's side has ended. A client that has sent all still gets its answer; but once the pod
/// has nothing more to say the client is told so at once (the error stream ends too, which kubectl waits for), and
/// what it still sends is taken for a moment only.
async fn both_ways<S, I, O, E>(pod: S, mut input: I, mut output: O, error: E)
where
    S: AsyncRead + AsyncWrite,
    I: AsyncRead + Unpin,
    O: AsyncWrite + Unpin,
{
    let (mut from_pod, mut to_pod) = tokio::io::split(pod);
    let up = async {
        let _ = copy(&mut input, &mut to_pod).await;
        let _ = to_pod.shutdown().await;
    };
    let down = async {
        let _ = copy(&mut from_pod, &mut output).await;
        let _ = output.shutdown().await;
        drop(error);
    };
    let (mut up, mut down) = (pin!(up), pin!(down));
    let all_sent = tokio::select! {
        () = &mut up => true,
        () = &mut down => false,
    };
    if all_sent {
        down.await;
    } else {
        let _ = tokio::time::timeout(LAST_BYTES, up).await;
    }
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

    /// What a client sees when it goes on sending: the end of the data, and that of the error stream.
    #[tokio::test]
    async fn the_end_of_the_pods_side_is_told_at_once() {
        let (pod, mut server) = tokio::io::duplex(64);
        let (_client, input) = tokio::io::duplex(64);
        let (output, mut seen) = tokio::io::duplex(64);
        let (error, ended) = tokio::sync::oneshot::channel::<()>();
        let work = tokio::spawn(both_ways(pod, input, output, error));
        server.write_all(b"bye").await.expect("there is room");
        drop(server);
        let mut all = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut seen, &mut all).await.expect("an end");
        assert_eq!(all, b"bye");
        assert!(ended.await.is_err(), "the error stream ends without an error");
        work.await.expect("it ends though the client has not");
    }

    #[tokio::test]
    async fn a_client_that_has_sent_all_gets_its_answer() {
        let (pod, mut server) = tokio::io::duplex(64);
        let (mut client, input) = tokio::io::duplex(64);
        let (output, mut seen) = tokio::io::duplex(64);
        let work = tokio::spawn(both_ways(pod, input, output, ()));
        client.write_all(b"ask").await.expect("there is room");
        client.shutdown().await.expect("a half close");
        let mut all = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut server, &mut all).await.expect("until the half close");
        server.write_all(&all).await.expect("there is room");
        drop(server);
        let mut answer = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut seen, &mut answer).await.expect("an end");
        assert_eq!(answer, b"ask");
        work.await.expect("it ends");
    }

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
