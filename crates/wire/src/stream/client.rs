//! The client's end over SPDY, towards the streaming server of a container runtime. It must never take a
//! connection that broke off for a command that ended well.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use http::header::{CONNECTION, HOST, UPGRADE};
use http::uri::Uri;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use meta::Status;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::spdy::{self, Handle, Side};
use super::{Input, Output, RemoteCommand, Streams};

/// Longest error text and Status.
const STATUS_LIMIT_BYTES: u64 = 64 << 10;

/// Why a stream could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    #[error("the streaming URL {0:?} cannot be used")]
    Url(String),
    #[error("the streaming server {address}: {source}")]
    Io { address: String, source: io::Error },
    #[error("the streaming server {address}: {source}")]
    Http { address: String, source: hyper::Error },
    #[error("the streaming server answered {code}: {text}")]
    Refused { code: u16, text: String },
}

/// A command that runs at the other end. Dropping it closes the connection.
pub struct RemoteProcess {
    /// Shutting it down is the end of file for the command.
    pub stdin: Option<Output>,
    pub stdout: Option<Input>,
    pub stderr: Option<Input>,
    /// Takes sizes of the terminal as JSON.
    pub resize: Option<Output>,
    /// The command's end as a Status; see [`RemoteProcess::read_status`].
    pub error: Input,
    /// Keep the connection, and the directions that nothing is written to, while the command runs.
    held: (Handle, Vec<Output>),
}

impl RemoteProcess {
    /// Waits for the end of the command.
    pub async fn read_status(error: Input) -> Status {
        let mut bytes = Vec::new();
        let read = error.take(STATUS_LIMIT_BYTES).read_to_end(&mut bytes).await;
        if read.is_err() || bytes.is_empty() {
            return Status::internal("the container runtime closed the connection without a status");
        }
        // The runtime's own form leaves kind and version out.
        serde_json::from_slice(&bytes).unwrap_or_else(|_| Status::internal(String::from_utf8_lossy(&bytes)))
    }
}

/// Opens the URL that a runtime gave for exec or attach (`http://127.0.0.1:port/exec/token`).
///
/// # Errors
/// When the server is not there or refuses.
pub async fn open_command(url: &str, streams: Streams) -> Result<RemoteProcess, StreamError> {
    let (address, handle) = connect(url, "v4.channel.k8s.io").await?;
    let open = async |kind: &str| {
        let headers = vec![("streamtype".to_owned(), kind.to_owned())];
        handle.open(headers).await.map_err(|source| StreamError::Io { address: address.clone(), source })
    };
    let mut held = Vec::new();
    let mut reading = async |kind: &str| {
        let (input, output) = open(kind).await?;
        held.push(output);
        Ok::<_, StreamError>(input)
    };
    let error = reading("error").await?;
    let stdin = if streams.stdin { Some(open("stdin").await?.1) } else { None };
    let stdout = if streams.stdout { Some(reading("stdout").await?) } else { None };
    let stderr = if streams.stderr && !streams.tty { Some(reading("stderr").await?) } else { None };
    let resize = if streams.tty { Some(open("resize").await?.1) } else { None };
    Ok(RemoteProcess { stdin, stdout, stderr, resize, error, held: (handle, held) })
}

/// A connection over which ports are forwarded.
pub struct PortForwarder {
    address: String,
    handle: Handle,
    next: AtomicU32,
}

/// One forwarded connection.
pub struct Forwarded {
    pub input: Input,
    pub output: Output,
    /// Empty when all is well; else why it failed.
    pub error: Input,
}

impl PortForwarder {
    /// Opens the URL that a runtime gave for port forwarding.
    ///
    /// # Errors
    /// When the server is not there or refuses.
    pub async fn open(url: &str) -> Result<Self, StreamError> {
        let (address, handle) = connect(url, super::forward::PROTOCOL).await?;
        Ok(PortForwarder { address, handle, next: AtomicU32::new(0) })
    }

    /// Connects to a port.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn connect(&self, port: u16) -> Result<Forwarded, StreamError> {
        let id = self.next.fetch_add(1, Ordering::Relaxed).to_string();
        let headers = |kind: &str| {
            [("streamtype", kind), ("port", &port.to_string()), ("requestid", &id)]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .to_vec()
        };
        let failed = |source| StreamError::Io { address: self.address.clone(), source };
        let (error, _) = self.handle.open(headers("error")).await.map_err(failed)?;
        let (input, output) = self.handle.open(headers("data")).await.map_err(failed)?;
        Ok(Forwarded { input, output, error })
    }
}

/// Upgrades a connection and starts it. It ends when the handle and all outputs are dropped.
async fn connect(url: &str, version: &'static str) -> Result<(String, Handle), StreamError> {
    let uri: Uri = url.parse().map_err(|_| StreamError::Url(url.to_owned()))?;
    let (Some("http"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(StreamError::Url(url.to_owned()));
    };
    let address = authority.as_str().to_owned();
    let failed = |source| StreamError::Io { address: address.clone(), source };
    let http = |source| StreamError::Http { address: address.clone(), source };
    let host = authority.host().trim_matches(['[', ']']);
    let tcp = TcpStream::connect((host, authority.port_u16().unwrap_or(80))).await.map_err(failed)?;
    crate::net::tune(&tcp).map_err(failed)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(tcp)).await.map_err(http)?;
    tokio::spawn(connection.with_upgrades());
    let path = uri.path_and_query().map_or("/", |p| p.as_str());
    let request = http::Request::post(path)
        .header(HOST, &address)
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "SPDY/3.1")
        .header("x-stream-protocol-version", version)
        .body(Empty::<Bytes>::new())
        .map_err(|_| StreamError::Url(url.to_owned()))?;
    let answer = sender.send_request(request).await.map_err(http)?;
    if answer.status() != http::StatusCode::SWITCHING_PROTOCOLS {
        let code = answer.status().as_u16();
        let limit = usize::try_from(STATUS_LIMIT_BYTES).unwrap_or(usize::MAX);
        let text = Limited::new(answer.into_body(), limit).collect().await;
        let text = text.map(|t| String::from_utf8_lossy(&t.to_bytes()).trim().to_owned()).unwrap_or_default();
        return Err(StreamError::Refused { code, text });
    }
    let io = hyper::upgrade::on(answer).await.map_err(http)?;
    let (engine, handle, _opened) = spdy::new(TokioIo::new(io), Side::Client);
    tokio::spawn(async move {
        if let Err(error) = engine.run().await {
            tracing::debug!(%error, "a streaming connection ended");
        }
    });
    Ok((address, handle))
}

/// Lets a client's command be run by a process: all streams, sizes and the end.
pub async fn bridge(command: RemoteCommand, process: RemoteProcess) {
    let RemoteCommand { stdin, stdout, stderr, mut resize, status } = command;
    let RemoteProcess { stdin: to, stdout: out, stderr: err, resize: sizes, error, held: _held } = process;
    let input = async {
        if let (Some(mut from), Some(mut to)) = (stdin, to) {
            let _ = tokio::io::copy(&mut from, &mut to).await;
            let _ = to.shutdown().await;
        }
        std::future::pending::<Status>().await
    };
    let resizing = async {
        if let Some(mut sizes) = sizes {
            while let Some(size) = resize.recv().await {
                let json = serde_json::to_vec(&size).unwrap_or_default();
                if sizes.write_all(&json).await.is_err() {
                    break;
                }
            }
        }
        std::future::pending::<Status>().await
    };
    let output =
        async { tokio::join!(copy(out, stdout), copy(err, stderr), RemoteProcess::read_status(error)).2 };
    let end = tokio::select! {
        end = output => end,
        end = input => end,
        end = resizing => end,
    };
    status.finish(&end).await;
}

async fn copy(from: Option<Input>, to: Option<Output>) {
    if let (Some(mut from), Some(mut to)) = (from, to) {
        let _ = tokio::io::copy(&mut from, &mut to).await;
        let _ = to.shutdown().await;
    }
}
