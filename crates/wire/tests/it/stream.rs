//! Remote commands and port forwarding over SPDY and WebSocket, between own client and server, through a
//! tunnel and through a bridge.

use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use meta::{Body, BoxFuture, Request, Response, Status, Tunnel};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;
use wire::server::Config;
use wire::stream::{
    Forward, PortForwarder, RemoteCommand, RemoteProcess, Session, StreamError, Streams, Upgrader, bridge,
    exit_code, exit_status, open_command,
};
use wire::tunnel::{Dialer, DialerOptions};

use crate::harness::{Running, config, connect, request, start};

/// Runs `command=cat` (stdin to stdout, its length to stderr, exit code 3) and `command=size` (the first size
/// of the terminal); forwards ports to an echo that says its port first.
pub struct Commands;

async fn cat(c: RemoteCommand) {
    let (mut stdin, mut stdout) = (c.stdin.expect("asked for"), c.stdout.expect("asked for"));
    let bytes = tokio::io::copy(&mut stdin, &mut stdout).await.expect("copies");
    if let Some(mut stderr) = c.stderr {
        stderr.write_all(format!("{bytes} bytes").as_bytes()).await.expect("writes");
    }
    drop(stdout);
    c.status.finish(&exit_status(3)).await;
}

async fn size(mut c: RemoteCommand) {
    let size = c.resize.recv().await.expect("a size");
    let text = format!("{}x{}", size.width, size.height);
    c.stdout.take().expect("asked for").write_all(text.as_bytes()).await.expect("writes");
    c.status.finish(&exit_status(0)).await;
}

async fn echo(mut f: Forward) {
    if f.port == 1 {
        return f.error.send("no such port").await;
    }
    f.output.write_all(format!("{}:", f.port).as_bytes()).await.expect("writes");
    let _ = tokio::io::copy(&mut f.input, &mut f.output).await;
}

impl Upgrader for Commands {
    fn upgrade(&self, request: Request) -> BoxFuture<'_, Result<Session, Response>> {
        Box::pin(async move {
            if request.query.get("command").is_none() {
                let ports = request.query.get("ports").unwrap_or_default();
                let ports = ports.split(',').filter_map(|p| p.parse().ok()).collect();
                return Ok(Session::PortForward { ports, run: Box::new(|f| Box::pin(echo(f))) });
            }
            let streams = Streams::from_query(&request.query).map_err(Response::from)?;
            Ok(Session::Command {
                streams,
                run: match request.query.get("command") {
                    Some("cat") => Box::new(|c| Box::pin(cat(c))),
                    _ => Box::new(|c| Box::pin(size(c))),
                },
            })
        })
    }
}

async fn commands() -> Running {
    let config = Config { upgrader: Some(Arc::new(Commands)), ..config() };
    start(config, |_| async { Status::bad_request("Upgrade request required").into() }).await
}

/// A server that bridges to the SPDY server at `far`, as a kubelet does to its runtime.
async fn bridging(far: SocketAddr) -> Running {
    struct Bridging(SocketAddr);
    impl Upgrader for Bridging {
        fn upgrade(&self, request: Request) -> BoxFuture<'_, Result<Session, Response>> {
            let query = "command=cat&stdin=1&stdout=1&stderr=1";
            let url = format!("http://{}/exec/token?{query}", self.0);
            Box::pin(async move {
                let streams = Streams::from_query(&request.query).map_err(Response::from)?;
                let process = open_command(&url, streams).await.expect("opens");
                Ok(Session::Command { streams, run: Box::new(|c| Box::pin(bridge(c, process))) })
            })
        }
    }
    let config = Config { upgrader: Some(Arc::new(Bridging(far))), ..config() };
    start(config, |_| async { Status::unknown_resource().into() }).await
}

/// A server that tunnels to `far`, as the API server does to a kubelet.
async fn tunnelling(far: SocketAddr) -> Running {
    let dialer = Dialer::new(&DialerOptions::default()).expect("no files");
    let config = Config { dialer: Some(Arc::new(dialer)), ..config() };
    start(config, move |r: Request| async move {
        let query: Vec<String> = r.query.0.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let to = Tunnel {
            scheme: "http",
            host: far.ip().to_string(),
            port: far.port(),
            path_and_query: format!("/exec/ns/pod/c?{}", query.join("&")),
            headers: Vec::new(),
            client_certificate: false,
            global_only: false,
        };
        Response::new(200, "", Body::Tunnel(Box::new(to)))
    })
    .await
}

const ALL: Streams = Streams { stdin: true, stdout: true, stderr: true, tty: false };
const CAT: &str = "/api/v1/namespaces/a/pods/b/exec?command=cat&stdin=true&stdout=true&stderr=true";

async fn spdy_cat(address: SocketAddr, bytes: usize) {
    let process = open_command(&format!("http://{address}{CAT}"), ALL).await.expect("opens");
    let (mut stdin, mut stdout) = (process.stdin.expect("asked for"), process.stdout.expect("asked for"));
    let mut stderr = process.stderr.expect("asked for");
    let sent: Vec<u8> = (0..bytes).map(|i| (i / 7) as u8).collect();
    let (mut got, mut said) = (Vec::new(), String::new());
    let write = async {
        stdin.write_all(&sent).await.expect("writes");
        stdin.shutdown().await.expect("ends");
    };
    let (.., status) = tokio::join!(
        write,
        async { stdout.read_to_end(&mut got).await.expect("reads") },
        async { stderr.read_to_string(&mut said).await.expect("reads") },
        RemoteProcess::read_status(process.error),
    );
    assert!(got == sent, "{} of {bytes} bytes", got.len());
    assert_eq!((said, exit_code(&status)), (format!("{bytes} bytes"), Some(3)), "{status}");
}

#[tokio::test]
async fn spdy_commands_directly_through_a_tunnel_and_a_bridge() {
    let far = commands().await;
    let tunnel = tunnelling(far.address).await;
    let bridge = bridging(far.address).await;
    for bytes in [0, 5, 3_000_000] {
        for server in [&far, &tunnel, &bridge] {
            spdy_cat(server.address, bytes).await;
        }
    }
    for server in [bridge, tunnel, far] {
        server.stop().await;
    }
}

#[tokio::test]
async fn a_terminal_has_its_size() {
    let server = commands().await;
    let streams = Streams { stdin: false, stdout: true, stderr: false, tty: true };
    let url = format!("http://{}/exec?command=size&stdout=1&tty=1", server.address);
    let process = open_command(&url, streams).await.expect("opens");
    let mut resize = process.resize.expect("a terminal");
    resize.write_all(br#"{"Width":80,"Height":24}"#).await.expect("writes");
    let mut text = String::new();
    process.stdout.expect("asked for").read_to_string(&mut text).await.expect("reads");
    assert_eq!(
        (text.as_str(), exit_code(&RemoteProcess::read_status(process.error).await)),
        ("80x24", Some(0))
    );
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_is_gone_is_no_success() {
    let server = commands().await;
    let process = open_command(&format!("http://{}{CAT}", server.address), ALL).await.expect("opens");
    server.stop().await;
    assert_eq!(exit_code(&RemoteProcess::read_status(process.error).await), None);
}

#[tokio::test]
async fn refusals() {
    let server = commands().await;
    let url = format!("http://{}/exec?command=cat", server.address);
    let error = open_command(&url, ALL).await.err().expect("no stream asked for");
    assert!(matches!(error, StreamError::Refused { code: 400, .. }), "{error}");
    let error = open_command("unix:///x", ALL).await.err().expect("no URL of this kind");
    assert!(matches!(error, StreamError::Url(_)), "{error}");
    for (headers, want) in [
        (vec![("upgrade", "SPDY/3.1"), ("x-stream-protocol-version", "v9.channel.k8s.io")], 403),
        (vec![("upgrade", "h2c")], 400),
        (vec![("upgrade", "websocket"), ("sec-websocket-version", "13")], 400),
    ] {
        let mut r = request("POST", CAT, "");
        r.headers_mut().insert("connection", "Upgrade".parse().expect("a value"));
        for (name, value) in headers {
            r.headers_mut().insert(name, value.parse().expect("a value"));
        }
        let answer = connect(server.address).await.send_request(r).await.expect("answers");
        assert_eq!(answer.status().as_u16(), want);
    }
    server.stop().await;
}

type Ws = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

async fn websocket(address: SocketAddr, uri: &str, protocol: &str) -> Ws {
    let mut r: http::Request<Full<Bytes>> = request("GET", uri, "");
    for (name, value) in [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", protocol),
    ] {
        if !value.is_empty() {
            r.headers_mut().insert(name, value.parse().expect("a value"));
        }
    }
    let answer = connect(address).await.send_request(r).await.expect("answers");
    assert_eq!(answer.status().as_u16(), 101);
    assert_eq!(answer.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    let io = TokioIo::new(hyper::upgrade::on(answer).await.expect("upgrades"));
    WebSocketStream::from_raw_socket(io, Role::Client, None).await
}

/// What came in each channel until the close.
async fn channels(ws: &mut Ws) -> [Vec<u8>; 5] {
    let mut all: [Vec<u8>; 5] = Default::default();
    while let Some(message) = ws.next().await {
        match message.expect("no error") {
            Message::Binary(b) => all[usize::from(b[0])].extend_from_slice(&b[1..]),
            Message::Text(t) => {
                let (channel, data) = t.as_bytes().split_first().expect("a channel");
                all[usize::from(channel - b'0')].extend(STANDARD.decode(data).expect("base64"));
            }
            _ => {}
        }
    }
    all
}

#[tokio::test]
async fn websocket_v5_directly_through_a_tunnel_and_a_bridge() {
    let far = commands().await;
    let tunnel = tunnelling(far.address).await;
    let bridge = bridging(far.address).await;
    for server in [&far, &tunnel, &bridge] {
        let ws = websocket(server.address, CAT, "v5.channel.k8s.io, v4.channel.k8s.io").await;
        let (mut sink, stream) = ws.split();
        let send = async move {
            for _ in 0..100 {
                let mut message = vec![0; 30_001];
                message[1..].fill(b'x');
                sink.send(Message::binary(message)).await.expect("sends");
            }
            sink.send(Message::Ping(Bytes::from_static(b"p"))).await.expect("sends");
            sink.send(Message::binary(vec![255, 0])).await.expect("sends");
            sink
        };
        let receive = async move {
            let mut stream = stream;
            let mut all: [Vec<u8>; 5] = Default::default();
            while let Some(Ok(message)) = stream.next().await {
                if let Message::Binary(b) = message {
                    all[usize::from(b[0])].extend_from_slice(&b[1..]);
                }
            }
            all
        };
        let (_sink, all) = tokio::join!(send, receive);
        assert_eq!((all[1].len(), &all[2][..]), (3_000_000, &b"3000000 bytes"[..]));
        let status =
            Status::from_json(&all[3]).or_else(|| serde_json::from_slice(&all[3]).ok()).expect("a Status");
        assert_eq!(exit_code(&status), Some(3));
    }
    for server in [bridge, tunnel, far] {
        server.stop().await;
    }
}

#[tokio::test]
async fn older_websocket_versions() {
    let server = commands().await;
    let uri = "/exec?command=size&output=1&tty=1";
    for (protocol, status) in [
        ("v4.channel.k8s.io", r#"{"metadata":{},"status":"Success"}"#),
        ("v4.base64.channel.k8s.io", r#"{"metadata":{},"status":"Success"}"#),
        ("channel.k8s.io", ""),
        ("base64.channel.k8s.io", ""),
        ("", ""),
    ] {
        let mut ws = websocket(server.address, uri, protocol).await;
        let size = r#"{"Width":100,"Height":50}"#;
        let message = if protocol.contains("base64") {
            Message::text(format!("4{}", STANDARD.encode(size)))
        } else {
            Message::binary([&[4], size.as_bytes()].concat())
        };
        ws.send(message).await.expect("sends");
        let all = channels(&mut ws).await;
        let text = |i: usize| String::from_utf8_lossy(&all[i]).into_owned();
        assert_eq!((text(1), text(3)), ("100x50".to_owned(), status.to_owned()), "{protocol}");
    }
    server.stop().await;
}

#[tokio::test]
async fn ports_over_websocket() {
    let server = commands().await;
    let mut ws = websocket(server.address, "/portForward/a/b?ports=80,1", "v4.channel.k8s.io").await;
    ws.send(Message::binary(b"\0hello".to_vec())).await.expect("sends");
    let mut all: [Vec<u8>; 4] = Default::default();
    while all[0].len() < 10 || all[3].len() < 14 {
        if let Message::Binary(b) = ws.next().await.expect("open").expect("no error") {
            all[usize::from(b[0])].extend_from_slice(&b[1..]);
        }
    }
    assert_eq!(all[0], b"\x50\x0080:hello");
    assert_eq!(all[3], b"\x01\0no such port");
    server.stop().await;
}

#[tokio::test]
async fn ports_over_spdy() {
    let server = commands().await;
    let tunnel = tunnelling(server.address).await;
    let uri = "/api/v1/namespaces/a/pods/b/portforward";
    for address in [server.address, tunnel.address] {
        let forwarder = PortForwarder::open(&format!("http://{address}{uri}")).await.expect("opens");
        let mut many = Vec::new();
        for port in [80, 80, 8080] {
            many.push((port, forwarder.connect(port).await.expect("connects")));
        }
        for (port, mut one) in many {
            one.output.write_all(&vec![b'x'; 200_000]).await.expect("writes");
            one.output.shutdown().await.expect("ends");
            let mut got = String::new();
            one.input.read_to_string(&mut got).await.expect("reads");
            assert_eq!(got.len(), 200_001 + port.to_string().len());
            assert!(got.starts_with(&format!("{port}:xx")));
            one.error.read_to_string(&mut got).await.expect("ends");
        }
        let mut bad = forwarder.connect(1).await.expect("connects");
        let mut text = String::new();
        bad.error.read_to_string(&mut text).await.expect("reads");
        assert_eq!(text, "no such port");
    }
    tunnel.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn spdy_inside_websocket() {
    let server = commands().await;
    let ws = websocket(server.address, "/portForward/a/b", "SPDY/3.1+portforward.k8s.io").await;
    let (mut sink, mut stream) = ws.split();
    // A ping of SPDY's comes back as it was.
    let ping = [0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 9];
    sink.send(Message::binary(ping[..5].to_vec())).await.expect("sends");
    sink.send(Message::binary(ping[5..].to_vec())).await.expect("sends");
    let mut got = Vec::new();
    while got.len() < ping.len() {
        if let Message::Binary(b) = stream.next().await.expect("open").expect("no error") {
            got.extend_from_slice(&b);
        }
    }
    assert_eq!(got, ping);
    server.stop().await;
}
