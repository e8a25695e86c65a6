//! The server's end of remote commands and port forwarding over WebSocket: each message begins with the number
//! of its channel. It must never hold more of a message than the limit.
// k8s: staging/src/k8s.io/kubelet/pkg/cri/streaming/remotecommand/websocket.go, portforward/websocket.go

use std::collections::HashMap;
use std::pin::pin;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use super::command::SIZES;
use super::pipe::{PIECE_BYTES, Packet, QUEUE};
use super::{
    Forward, ForwardError, Input, Output, RemoteCommand, RunCommand, RunForward, StatusWriter, Streams,
    TerminalSize,
};

const MESSAGE_LIMIT_BYTES: usize = 1 << 20;
/// What a finished side waits for the other to close.
const LINGER: Duration = Duration::from_secs(5);
const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
/// Version 5: the next byte names a channel that ends.
const CLOSE: u8 = 255;

/// One version of the protocol.
#[derive(Clone, Copy, Debug)]
pub(super) struct Version {
    pub(super) name: &'static str,
    base64: bool,
    /// The end of a command is told as a Status.
    json: bool,
    /// Channels can be closed one by one.
    closes: bool,
}

const fn version(name: &'static str, base64: bool, json: bool, closes: bool) -> Version {
    Version { name, base64, json, closes }
}

/// For commands.
pub(super) const COMMAND: [Version; 6] = [
    version("v5.channel.k8s.io", false, true, true),
    version("v4.channel.k8s.io", false, true, false),
    version("v4.base64.channel.k8s.io", true, true, false),
    version("channel.k8s.io", false, false, false),
    version("base64.channel.k8s.io", true, false, false),
    version("", false, false, false),
];
/// SPDY inside WebSocket messages.
pub(super) const SPDY_TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";
/// For port forwarding.
pub(super) const FORWARD: [Version; 4] = [
    version(SPDY_TUNNEL, false, false, false),
    version("v4.channel.k8s.io", false, false, false),
    version("v4.base64.channel.k8s.io", true, false, false),
    version("", false, false, false),
];

pub(super) async fn socket<S: AsyncRead + AsyncWrite + Unpin>(io: S) -> WebSocketStream<S> {
    let limits = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_LIMIT_BYTES))
        .max_frame_size(Some(MESSAGE_LIMIT_BYTES));
    WebSocketStream::from_raw_socket(io, Role::Server, Some(limits)).await
}

/// The channels of one WebSocket, to be run.
struct Channels<S> {
    ws: WebSocketStream<S>,
    version: Version,
    inputs: HashMap<u8, mpsc::Sender<Bytes>>,
    packets: mpsc::Receiver<Packet>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Channels<S> {
    /// Runs until the peer closes, or all outputs have ended.
    async fn run(self) -> Result<(), Error> {
        let (mut sink, mut stream) = self.ws.split();
        tokio::select! {
            r = read(&mut stream, self.version, self.inputs) => return r,
            r = write(&mut sink, self.version, self.packets) => r?,
        }
        match sink.reunite(stream) {
            Ok(ws) => linger(ws.into_inner()).await.map_err(Error::Io),
            Err(_) => Ok(()),
        }
    }
}

/// Ends the connection behind the last message. Clients that wait for bytes on the socket before they look at
/// what their TLS has read wake up at its end only. What they still send is thrown away, so that it does not
/// make the end a reset, until they close too.
pub(super) async fn linger<S: AsyncRead + AsyncWrite + Unpin>(mut io: S) -> std::io::Result<()> {
    io.shutdown().await?;
    match tokio::time::timeout(LINGER, tokio::io::copy(&mut io, &mut tokio::io::sink())).await {
        Ok(copied) => copied.map(|_| ()),
        Err(_) => Ok(()),
    }
}

async fn read<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut SplitStream<WebSocketStream<S>>,
    version: Version,
    mut inputs: HashMap<u8, mpsc::Sender<Bytes>>,
) -> Result<(), Error> {
    while let Some(message) = stream.next().await {
        let Some((channel, data)) = decode(message?, version) else { continue };
        if channel == CLOSE && version.closes {
            if let Some(ended) = data.first() {
                inputs.remove(ended);
            }
        } else if let Some(input) = inputs.get(&channel)
            && !data.is_empty()
        {
            // Nobody reads it: it is thrown away.
            let _ = input.send(data).await;
        }
    }
    Ok(())
}

fn decode(message: Message, version: Version) -> Option<(u8, Bytes)> {
    match message {
        Message::Binary(data) if !version.base64 => Some((*data.first()?, data.slice(1..))),
        Message::Text(text) if version.base64 => {
            let (channel, data) = text.as_bytes().split_first()?;
            Some((channel.wrapping_sub(b'0'), STANDARD.decode(data).ok()?.into()))
        }
        // Some clients send text where bytes are meant, and the other way round.
        Message::Text(text) => {
            let (channel, data) = text.as_bytes().split_first()?;
            Some((*channel, Bytes::copy_from_slice(data)))
        }
        Message::Binary(data) => {
            let (channel, data) = data.split_first()?;
            Some((channel.wrapping_sub(b'0'), STANDARD.decode(data).ok()?.into()))
        }
        _ => None,
    }
}

async fn write<S: AsyncRead + AsyncWrite + Unpin>(
    sink: &mut SplitSink<WebSocketStream<S>, Message>,
    version: Version,
    mut packets: mpsc::Receiver<Packet>,
) -> Result<(), Error> {
    while let Some(packet) = packets.recv().await {
        if !packet.end {
            sink.feed(encode(&packet, version)).await?;
        }
        // The end of one stream may come right behind its last data, which must go out all the same.
        if packets.is_empty() {
            sink.flush().await?;
        }
    }
    sink.send(goodbye()).await
}

/// A close without a code is an error to some clients.
pub(super) fn goodbye() -> Message {
    Message::Close(Some(CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() }))
}

fn encode(packet: &Packet, version: Version) -> Message {
    let channel = packet.stream.to_le_bytes()[0];
    if version.base64 {
        let mut text = String::from(char::from(b'0'.wrapping_add(channel)));
        STANDARD.encode_string(&packet.data, &mut text);
        return Message::text(text);
    }
    let mut data = Vec::with_capacity(1 + packet.data.len());
    data.push(channel);
    data.extend_from_slice(&packet.data);
    Message::binary(data)
}

/// Serves one command.
pub(super) async fn serve_command<S>(io: S, streams: Streams, version: Version, run: RunCommand)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let (sender, packets) = mpsc::channel(QUEUE);
    let output = |channel: u8| Output::new(u32::from(channel), sender.clone());
    let mut inputs = HashMap::new();
    let mut input = |channel: u8| {
        let (tx, input) = Input::new();
        inputs.insert(channel, tx);
        input
    };
    let stdin = streams.stdin.then(|| input(STDIN));
    let resizes = input(RESIZE);
    let (sizes, resize) = mpsc::channel(SIZES);
    let mut command = RemoteCommand {
        stdin,
        stdout: streams.stdout.then(|| output(STDOUT)),
        stderr: streams.stderr.then(|| output(STDERR)),
        resize,
        status: StatusWriter { output: output(ERROR), json: version.json },
    };
    drop(sender);
    let channels = Channels { ws: socket(io).await, version, inputs, packets };
    let mut channels = pin!(channels.run());
    let session = async move {
        // An empty message says that the command is being run.
        let first = command.stdout.as_mut().or(command.stderr.as_mut());
        let first = first.unwrap_or(&mut command.status.output);
        if first.send(Bytes::new()).await.is_ok() {
            tokio::select! {
                () = run(command) => {}
                () = read_sizes(resizes, sizes) => {}
            }
        }
    };
    tokio::select! {
        r = &mut channels => return ended(r),
        () = session => {}
    }
    ended(channels.await);
}

/// Each message is one size.
async fn read_sizes(mut input: Input, sizes: mpsc::Sender<TerminalSize>) {
    let mut buffer = vec![0; 256];
    while let Ok(n @ 1..) = input.read(&mut buffer).await {
        if let Ok(size) = serde_json::from_slice(&buffer[..n]) {
            let _ = sizes.try_send(size);
        }
    }
    std::future::pending().await
}

fn ended(result: Result<(), Error>) {
    match result {
        Ok(()) | Err(Error::ConnectionClosed | Error::AlreadyClosed) => {}
        Err(error) => tracing::debug!(%error, "a WebSocket ended"),
    }
}

/// Serves one client: two channels a port, data and error, or SPDY inside.
pub(super) async fn serve_forward<S>(io: S, ports: Vec<u16>, version: Version, run: RunForward)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    if version.name == SPDY_TUNNEL {
        let (near, far) = tokio::io::duplex(64 << 10);
        let (_, r) = tokio::join!(super::forward::serve(near, run), tunnel(socket(io).await, far));
        return ended(r);
    }
    let (sender, packets) = mpsc::channel(QUEUE);
    let mut inputs = HashMap::new();
    let mut forwards = Vec::new();
    for (i, port) in ports.into_iter().enumerate().take(usize::from(CLOSE) / 2) {
        let Ok(channel) = u8::try_from(i * 2) else { break };
        let (tx, input) = Input::new();
        inputs.insert(channel, tx);
        let output = Output::new(u32::from(channel), sender.clone());
        let error = Output::new(u32::from(channel) + 1, sender.clone());
        forwards.push((port, input, output, error));
    }
    drop(sender);
    let channels = Channels { ws: socket(io).await, version, inputs, packets };
    let mut channels = pin!(channels.run());
    let session = async {
        let mut running: FuturesUnordered<_> = forwards.into_iter().map(|f| forward(f, &run)).collect();
        while running.next().await.is_some() {}
    };
    tokio::select! {
        r = &mut channels => return ended(r),
        () = session => {}
    }
    ended(channels.await);
}

async fn forward((port, input, mut output, mut error): (u16, Input, Output, Output), run: &RunForward) {
    // Both channels begin with their port.
    let name = Bytes::copy_from_slice(&port.to_le_bytes());
    if output.send(name.clone()).await.is_ok() && error.send(name).await.is_ok() {
        run(Forward { port, input, output, error: ForwardError(error) }).await;
    }
}

/// Carries the bytes of another protocol in binary messages.
async fn tunnel<S, T>(ws: WebSocketStream<S>, inner: T) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sink, mut stream) = ws.split();
    let (mut read, mut write) = tokio::io::split(inner);
    let inward = async {
        while let Some(message) = stream.next().await {
            if let Message::Binary(data) = message? {
                write.write_all(&data).await.map_err(Error::Io)?;
            }
        }
        write.shutdown().await.map_err(Error::Io)
    };
    let outward = async {
        let mut buffer = vec![0; PIECE_BYTES];
        loop {
            let n = read.read(&mut buffer).await.map_err(Error::Io)?;
            if n == 0 {
                return sink.send(goodbye()).await;
            }
            sink.send(Message::binary(Bytes::copy_from_slice(&buffer[..n]))).await?;
        }
    };
    tokio::select! {
        r = inward => r,
        r = outward => r,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_connection_ends_behind_the_close_without_waiting_for_the_client() {
        let (near, mut far) = tokio::io::duplex(64 << 10);
        let streams = Streams { stdin: false, stdout: true, stderr: false, tty: false };
        let run: RunCommand = Box::new(|mut c| {
            Box::pin(async move {
                if let Some(mut out) = c.stdout.take() {
                    let _ = out.send(Bytes::from_static(b"hi")).await;
                }
                c.status.finish(&super::super::exit_status(0)).await;
            })
        });
        let began = tokio::time::Instant::now();
        let client = async {
            let mut all = Vec::new();
            far.read_to_end(&mut all).await.expect("reads");
            assert_eq!(began.elapsed(), Duration::ZERO);
            // The last frame is the close, code 1000.
            assert!(all.ends_with(&[0x88, 2, 0x03, 0xe8]), "{all:?}");
            // What comes late is no error.
            far.write_all(b"late").await.expect("writes");
            drop(far);
        };
        tokio::join!(serve_command(near, streams, COMMAND[1], run), client);
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}
