//! A client of the agent's HTTPS server, as the API server is one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::Message;

/// Certificates of a small cluster in `dir`: CA, serving pair, a client that may and one that may not.
pub fn certificates(dir: &Path) {
    let pki = wire::pki::Pki::open(dir, sys::Clock::now(&sys::SystemClock)).expect("a CA");
    let server =
        wire::pki::Leaf::server("kubelet", "node-1", vec!["127.0.0.1".to_owned(), "node-1".to_owned()]);
    pki.leaf(&server).expect("a serving certificate");
    let leaf = wire::pki::Leaf::client("apiserver", "kube-apiserver-kubelet-client", "");
    pki.leaf(&leaf).expect("a client certificate");
    pki.leaf(&wire::pki::Leaf::client("stranger", "stranger", "")).expect("a client certificate");
}

async fn connect(dir: &Path, client: Option<&str>) -> TlsStream<TcpStream> {
    let read = |name: String| std::fs::read(dir.join(name)).expect("a PEM file");
    let ca = read("ca.crt".to_owned());
    let own = client.map(|c| (read(format!("{c}.crt")), read(format!("{c}.key"))));
    let config = wire::tls::client_config(Some(&ca), own.as_ref().map(|(c, k)| (c.as_slice(), k.as_slice())))
        .expect("a client configuration");
    let tcp = TcpStream::connect("127.0.0.1:10250").await.expect("the server listens");
    let name = "node-1".try_into().expect("a name");
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).await.expect("TLS")
}

/// The whole answer to a GET, head and body.
pub async fn get(dir: &Path, client: Option<&str>, path: &str) -> String {
    let mut s = connect(dir, client).await;
    let request = format!("GET {path} HTTP/1.1\r\nhost: node-1\r\nconnection: close\r\n\r\n");
    s.write_all(request.as_bytes()).await.expect("written");
    let mut out = Vec::new();
    let _ = s.read_to_end(&mut out).await;
    String::from_utf8_lossy(&out).into_owned()
}

type Socket = tokio_tungstenite::WebSocketStream<TlsStream<TcpStream>>;

/// The next message, which must not take long.
async fn next(ws: &mut Socket) -> Option<tokio_tungstenite::tungstenite::Result<Message>> {
    tokio::time::timeout(Duration::from_secs(15), ws.next()).await.expect("a message in time")
}

/// Runs a command over WebSocket v5; gives everything of stdout, and the status.
pub async fn exec(dir: &Path, path: &str, stdin: &str) -> (String, String) {
    let mut request = format!("wss://node-1:10250{path}").into_client_request().expect("a request");
    request.headers_mut().insert("sec-websocket-protocol", "v5.channel.k8s.io".parse().expect("a header"));
    let stream = connect(dir, Some("apiserver")).await;
    let (mut ws, _) = tokio_tungstenite::client_async(request, stream).await.expect("upgraded");
    if !stdin.is_empty() {
        use futures_util::SinkExt;
        let mut data = vec![0u8];
        data.extend_from_slice(stdin.as_bytes());
        ws.send(Message::Binary(data.into())).await.expect("sent");
        ws.send(Message::Binary(vec![255u8, 0].into())).await.expect("stdin closed");
    }
    let (mut out, mut status) = (String::new(), String::new());
    while let Some(Ok(m)) = next(&mut ws).await {
        let Message::Binary(b) = m else { continue };
        match b.first() {
            Some(1 | 2) => out.push_str(&String::from_utf8_lossy(&b[1..])),
            Some(3) => status.push_str(&String::from_utf8_lossy(&b[1..])),
            _ => {}
        }
    }
    (out, status)
}

/// Sends a request over a port-forward WebSocket and gives the answer.
pub async fn forward(dir: &Path, path: &str, send: &str) -> String {
    use futures_util::SinkExt;
    let mut request = format!("wss://node-1:10250{path}").into_client_request().expect("a request");
    request.headers_mut().insert("sec-websocket-protocol", "v4.channel.k8s.io".parse().expect("a header"));
    let stream = connect(dir, Some("apiserver")).await;
    let (mut ws, _) = tokio_tungstenite::client_async(request, stream).await.expect("upgraded");
    let mut data = vec![0u8];
    data.extend_from_slice(send.as_bytes());
    ws.send(Message::Binary(data.into())).await.expect("sent");
    let mut out = String::new();
    while let Some(Ok(m)) = next(&mut ws).await {
        let Message::Binary(b) = m else { continue };
        if b.first() == Some(&0) && b.len() > 3 {
            out.push_str(&String::from_utf8_lossy(&b[1..]));
            break;
        }
    }
    out
}
