//! The server's end of port forwarding over SPDY: pairs of streams, one for data and one for an error. It must
//! never let one forwarded connection hold up the others for good.
// k8s: staging/src/k8s.io/kubelet/pkg/cri/streaming/portforward/httpstream.go

use std::collections::HashMap;
use std::pin::pin;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use super::spdy::{self, Opened, Side};
use super::{Forward, ForwardError, RunForward};

/// The protocol's name.
pub(super) const PROTOCOL: &str = "portforward.k8s.io";
/// Halves of pairs that wait for their other half.
const HALF_LIMIT: usize = 128;

/// Serves one client until it closes.
pub(super) async fn serve<S>(io: S, run: RunForward)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let (engine, handle, opened) = spdy::new(io, Side::Server);
    let mut engine = pin!(engine.run());
    tokio::select! {
        r = &mut engine => if let Err(error) = r {
            tracing::debug!(%error, "a port-forward connection ended");
        },
        () = pairs(opened, &run) => {}
    }
    drop(handle);
}

async fn pairs(mut opened: mpsc::Receiver<Opened>, run: &RunForward) {
    let mut halves: HashMap<String, Opened> = HashMap::new();
    let mut running = FuturesUnordered::new();
    loop {
        tokio::select! {
            Some(()) = running.next(), if !running.is_empty() => {}
            stream = opened.recv() => {
                let Some(stream) = stream else { break };
                if let Some(forward) = pair(&mut halves, stream) {
                    running.push(run(forward));
                }
            }
        }
    }
    while running.next().await.is_some() {}
}

/// Puts a stream to its other half.
fn pair(halves: &mut HashMap<String, Opened>, stream: Opened) -> Option<Forward> {
    let port: u16 = stream.header("port").parse().ok().filter(|p| *p > 0)?;
    // Clients older than 1.4 sent no id; they opened the pair of a port one after the other.
    let key = format!("{}/{port}", stream.header("requestid"));
    let is_data = match stream.header("streamtype") {
        "data" => true,
        "error" => false,
        _ => return None,
    };
    let Some(other) = halves.remove(&key) else {
        if halves.len() < HALF_LIMIT {
            halves.insert(key, stream);
        }
        return None;
    };
    let (data, error) = if is_data { (stream, other) } else { (other, stream) };
    (data.header("streamtype") == "data" && error.header("streamtype") == "error").then(|| Forward {
        port,
        input: data.input,
        output: data.output,
        error: ForwardError(error.output),
    })
}
