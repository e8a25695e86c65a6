//! The server's end of exec and attach over SPDY: waits for the streams that the request announced. It must
//! never wait for them for ever.
// k8s: staging/src/k8s.io/kubelet/pkg/cri/streaming/remotecommand/httpstream.go

use std::pin::pin;
use std::time::Duration;

use bytes::BytesMut;
use meta::Status;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::sync::mpsc;

use super::spdy::{self, Opened, Side};
use super::{Input, RemoteCommand, RunCommand, StatusWriter, Streams, TerminalSize};

/// The client must have opened its streams within this time.
// k8s: staging/src/k8s.io/kubelet/pkg/cri/streaming/remotecommand/constants.go DefaultStreamCreationTimeout
const OPEN_TIME: Duration = Duration::from_secs(30);
/// Sizes that wait; what comes on top is dropped.
pub(super) const SIZES: usize = 8;

/// The versions of the protocol, the best first, and whether each tells the end as JSON and can resize.
pub(super) const VERSIONS: [(&str, bool, bool); 4] = [
    ("v4.channel.k8s.io", true, true),
    ("v3.channel.k8s.io", false, true),
    ("v2.channel.k8s.io", false, false),
    ("channel.k8s.io", false, false),
];

/// Serves one command.
pub(super) async fn serve<S>(io: S, streams: Streams, version: &str, run: RunCommand)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let (_, json, resizes) = VERSIONS.iter().find(|v| v.0 == version).copied().unwrap_or(VERSIONS[3]);
    let (engine, handle, mut opened) = spdy::new(io, Side::Server);
    let mut engine = pin!(engine.run());
    let session = async move {
        let want = Wanted { streams, resizes: resizes && streams.tty };
        let Ok(Some(got)) = tokio::time::timeout(OPEN_TIME, collect(&mut opened, want)).await else {
            tracing::debug!("a client did not open the streams it announced");
            return;
        };
        let (sizes, resize) = mpsc::channel(SIZES);
        let Some(error) = got.error else { return };
        // Clients take the end of this direction for the end of the command.
        let (stdin, _stdin_held) = got.stdin.map(|s| (s.input, s.output)).unzip();
        let (sizes_in, _sizes_held) = got.resize.map(|s| (s.input, s.output)).unzip();
        let command = RemoteCommand {
            stdin,
            stdout: got.stdout.map(|s| s.output),
            stderr: got.stderr.map(|s| s.output),
            resize,
            status: StatusWriter { output: error.output, json },
        };
        let resizing = async {
            if let Some(input) = sizes_in {
                read_sizes(input, sizes).await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = run(command) => {}
            () = resizing => {}
        }
        drop(handle);
    };
    tokio::select! {
        r = &mut engine => return ended(r),
        () = session => {}
    }
    ended(engine.await);
}

fn ended(result: std::io::Result<()>) {
    if let Err(error) = result {
        tracing::debug!(%error, "a remote command's connection ended");
    }
}

#[derive(Clone, Copy)]
struct Wanted {
    streams: Streams,
    resizes: bool,
}

#[derive(Default)]
struct Got {
    error: Option<Opened>,
    stdin: Option<Opened>,
    stdout: Option<Opened>,
    stderr: Option<Opened>,
    resize: Option<Opened>,
}

impl Got {
    fn is_complete(&self, want: Wanted) -> bool {
        self.error.is_some()
            && self.stdin.is_some() >= want.streams.stdin
            && self.stdout.is_some() >= want.streams.stdout
            && self.stderr.is_some() >= want.streams.stderr
            && self.resize.is_some() >= want.resizes
    }
}

async fn collect(opened: &mut mpsc::Receiver<Opened>, want: Wanted) -> Option<Got> {
    let mut got = Got::default();
    while !got.is_complete(want) {
        let stream = opened.recv().await?;
        match stream.header("streamtype") {
            "error" => got.error = Some(stream),
            "stdin" => got.stdin = Some(stream),
            "stdout" => got.stdout = Some(stream),
            "stderr" => got.stderr = Some(stream),
            "resize" => got.resize = Some(stream),
            other => tracing::debug!(other, "a stream of an unknown type"),
        }
    }
    Some(got)
}

/// Sizes come as JSON objects one behind the other.
async fn read_sizes(mut input: Input, sizes: mpsc::Sender<TerminalSize>) {
    let mut buffer = BytesMut::new();
    while let Ok(1..) = input.read_buf(&mut buffer).await {
        let mut objects = serde_json::Deserializer::from_slice(&buffer).into_iter::<TerminalSize>();
        while let Some(Ok(size)) = objects.next() {
            let _ = sizes.try_send(size);
        }
        let used = objects.byte_offset();
        let _ = buffer.split_to(used.min(buffer.len()));
        if buffer.len() > 1024 {
            return;
        }
    }
}

/// The answer to a request that names no version this side knows.
pub(super) fn no_version(asked: &str) -> Status {
    let known: Vec<&str> = VERSIONS.iter().map(|v| v.0).collect();
    Status::failure(
        403,
        "Forbidden",
        format!("unable to negotiate protocol: client supports [{asked}], server accepts {known:?}"),
    )
}
