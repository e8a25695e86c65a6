//! Clients that connect and ask nothing, ask too often, or do not read.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use meta::{Body, Response, Target};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use wire::pki::{Leaf, Pki};
use wire::server::{Config, Limits};
use wire::tls::{Tls, client_config};

use crate::harness::{Running, config, connect, get, request, start, whole};
use crate::pki::Dir;

const SHORT: Duration = Duration::from_millis(100);

fn limited(change: impl FnOnce(&mut Limits)) -> Config {
    let mut config = config();
    // Requests that wait for ever are not waited for.
    config.limits.grace = SHORT;
    change(&mut config.limits);
    config
}

/// Answers at once, but `/wait` never.
async fn answers(config: Config) -> Running {
    start(config, |r: meta::Request| async move {
        if r.target == Target::Path("/wait".into()) {
            std::future::pending::<()>().await;
        }
        Response::text(200, "fine")
    })
    .await
}

/// Reads until the server closes the connection.
async fn closed(socket: &mut TcpStream) {
    let mut rest = Vec::new();
    let _ = socket.read_to_end(&mut rest).await;
}

#[tokio::test]
async fn who_does_not_send_a_request_is_not_kept() {
    let server = answers(limited(|l| l.header_time = SHORT)).await;
    for start in ["", "GET / HTTP/1.1\r\nhost: a\r\nx-slow: "] {
        let mut socket = TcpStream::connect(server.address).await.expect("connects");
        socket.write_all(start.as_bytes()).await.expect("sends");
        closed(&mut socket).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn who_asks_no_more_is_not_kept_and_who_waits_for_an_answer_is() {
    let server = answers(limited(|l| (l.header_time, l.idle_time) = (SHORT, SHORT))).await;
    let mut waiting = TcpStream::connect(server.address).await.expect("connects");
    waiting.write_all(b"GET /wait HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("sends");
    let mut idle = TcpStream::connect(server.address).await.expect("connects");
    idle.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("sends");
    closed(&mut idle).await;
    // Twice as long as the other had.
    let mut idle = TcpStream::connect(server.address).await.expect("connects");
    closed(&mut idle).await;
    let mut none = [0; 1];
    let end = tokio::time::timeout(Duration::ZERO, waiting.read(&mut none)).await;
    assert!(end.is_err(), "the one that waits is open");
    drop(waiting);
    server.stop().await;
}

#[tokio::test]
async fn an_idle_connection_makes_room_and_a_busy_one_does_not() {
    for (connections, connections_per_address) in [(2, 100), (100, 2)] {
        let server = answers(limited(|l| {
            (l.connections, l.connections_per_address) = (connections, connections_per_address);
        }))
        .await;
        // With two connections in all, an address may have one of them.
        let open = if connections == 2 { 1 } else { 2 };
        let mut idle = Vec::new();
        for _ in 0..open {
            idle.push(TcpStream::connect(server.address).await.expect("connects"));
        }
        assert_eq!(get(server.address, "/").await.0, 200);
        closed(&mut idle[0]).await;
        let mut busy = Vec::new();
        for _ in 0..open {
            let mut socket = TcpStream::connect(server.address).await.expect("connects");
            socket.write_all(b"GET /wait HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("sends");
            busy.push(socket);
        }
        // Until the requests are there, one of the two may have to make room.
        let mut refused = 0;
        while refused < 3 {
            let mut socket = TcpStream::connect(server.address).await.expect("connects");
            let asked = socket.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
            let mut answer = Vec::new();
            let _ = socket.read_to_end(&mut answer).await;
            refused = if asked.is_err() || answer.is_empty() { refused + 1 } else { 0 };
            if !answer.is_empty() {
                let mut socket = TcpStream::connect(server.address).await.expect("connects");
                socket.write_all(b"GET /wait HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("sends");
                busy.push(socket);
            }
        }
        drop(busy);
        server.stop().await;
    }
}

struct Secure {
    _dir: Dir,
    connector: TlsConnector,
    tls: Arc<Tls>,
}

impl Secure {
    fn new() -> Secure {
        let dir = Dir::new("limits");
        let now = sys::Clock::now(&sys::SystemClock);
        let pki = Pki::open(&dir.0, now).expect("opens");
        let names = vec!["localhost".into(), "127.0.0.1".into()];
        let pair = pki.leaf(&Leaf::server("apiserver", "kube-apiserver", names), now).expect("makes");
        let tls = Tls::new(pair.cert_pem.as_bytes(), pair.key_pem.as_bytes(), None).expect("good files");
        let mut client = client_config(Some(pki.ca_pem().as_bytes()), None).expect("good files");
        client.alpn_protocols = vec![b"h2".to_vec()];
        Secure { _dir: dir, connector: TlsConnector::from(Arc::new(client)), tls: Arc::new(tls) }
    }

    fn config(&self, change: impl FnOnce(&mut Limits)) -> Config {
        Config { tls: Some(self.tls.clone()), ..limited(change) }
    }

    async fn open(&self, server: &Running) -> TlsStream<TcpStream> {
        let socket = TcpStream::connect(server.address).await.expect("connects");
        let name = ServerName::try_from("localhost").expect("a name");
        self.connector.connect(name, socket).await.expect("handshake")
    }
}

#[tokio::test]
async fn an_http2_connection_without_a_preface_or_a_stream_is_not_kept() {
    let secure = Secure::new();
    let server = answers(secure.config(|l| (l.header_time, l.idle_time) = (SHORT, SHORT))).await;
    let mut silent = secure.open(&server).await;
    let mut rest = Vec::new();
    let _ = silent.read_to_end(&mut rest).await;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(secure.open(&server).await))
            .await
            .expect("handshake");
    let ended = tokio::spawn(connection);
    let asked = http::Request::get("https://localhost/").body(Empty::<Bytes>::new()).expect("a request");
    assert_eq!(sender.send_request(asked).await.expect("answers").status(), 200);
    let _ = ended.await.expect("no panic");
    server.stop().await;
}

#[tokio::test]
async fn a_stream_that_nobody_reads_ends_alone() {
    let secure = Secure::new();
    let (dropped_tx, mut dropped) = mpsc::channel::<()>(1);
    let dropped_tx = parking_lot::Mutex::new(Some(dropped_tx));
    let config = secure.config(|l| l.write_stall_time = SHORT);
    let server = start(config, move |r: meta::Request| {
        let held = dropped_tx.lock().take();
        async move {
            if r.target == Target::Path("/small".into()) {
                return Response::text(200, "fine");
            }
            let endless = stream::repeat_with(move || {
                let _ = &held;
                Ok(Bytes::from_static(&[b'x'; 65536]))
            });
            Response::new(200, "text/plain", Body::Stream(endless.boxed()))
        }
    })
    .await;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(secure.open(&server).await))
            .await
            .expect("handshake");
    tokio::spawn(connection);
    let ask = |uri: &str| http::Request::get(uri).body(Empty::<Bytes>::new()).expect("a request");
    let unread = sender.send_request(ask("https://localhost/api/v1/pods?watch=1")).await.expect("answers");
    assert!(dropped.recv().await.is_none(), "nothing holds the stream any more");
    let small = sender.send_request(ask("https://localhost/small")).await.expect("the connection goes on");
    assert_eq!(small.into_body().collect().await.expect("a body").to_bytes(), "fine");
    drop(unread);
    server.stop().await;
}

#[tokio::test]
async fn long_pieces_of_a_stream_are_shared_not_copied() {
    let long = Bytes::from(vec![b'y'; 1 << 20]);
    let (pieces, want) =
        (vec![Bytes::from_static(b"a"), long.clone(), Bytes::from_static(b"b")], (1 << 20) + 2);
    let server = start(config(), move |_| {
        let pieces = pieces.clone();
        async move {
            let events = stream::iter(pieces.into_iter().map(Ok));
            Response::new(200, "application/json", Body::Stream(events.boxed()))
        }
    })
    .await;
    let mut sender = connect(server.address).await;
    let answer = sender.send_request(request("GET", "/api/v1/pods?watch=1", "")).await.expect("answers");
    let (code, body) = whole(answer).await;
    assert_eq!((code, body.len(), body[0], body[want - 1]), (200, want, b'a', b'b'));
    drop(long);
    server.stop().await;
}
