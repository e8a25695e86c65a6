//! Watches and logs over WebSocket.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, stream};
use hyper_util::rt::TokioIo;
use meta::{Body, Response, Status, Tunnel};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;
use wire::server::Config;
use wire::tunnel::{Dialer, DialerOptions};

use crate::harness::{Running, config, connect, request, start};

async fn ask(address: SocketAddr, uri: &str, protocol: &str) -> http::Response<hyper::body::Incoming> {
    let mut r = request("GET", uri, "");
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
    connect(address).await.send_request(r).await.expect("answers")
}

/// The messages until the close, and the agreed subprotocol.
async fn messages(address: SocketAddr, uri: &str, protocol: &str) -> (Vec<Message>, String) {
    let answer = ask(address, uri, protocol).await;
    assert_eq!(answer.status().as_u16(), 101);
    let agreed = answer.headers().get("sec-websocket-protocol");
    let agreed = agreed.map(|p| p.to_str().expect("ASCII").to_owned()).unwrap_or_default();
    let io = TokioIo::new(hyper::upgrade::on(answer).await.expect("upgrades"));
    let mut ws = WebSocketStream::from_raw_socket(io, Role::Client, None).await;
    let mut all = Vec::new();
    while let Some(message) = ws.next().await {
        match message.expect("no error") {
            Message::Close(_) => break,
            message => all.push(message),
        }
    }
    (all, agreed)
}

/// Two events, as JSON or as protobuf in its frames.
async fn watched() -> Running {
    start(config(), |r: meta::Request| async move {
        if r.query.get("refused").is_some() {
            return Status::bad_request("no").into();
        }
        let protobuf = r.accept.contains("protobuf") || r.query.get("protobuf").is_some();
        let (kind, events) = if protobuf {
            ("application/vnd.kubernetes.protobuf;stream=watch", [&b"\0\0\0\x01\xff"[..], b"\0\0\0\x02ok"])
        } else {
            ("application/json", [&b"{\"one\":1}\n"[..], b"{\"two\":2}\n"])
        };
        let events = stream::iter(events.map(|e| Ok(Bytes::from_static(e))));
        Response::new(200, kind, Body::Stream(events.boxed()))
    })
    .await
}

const WATCH: &str = "/api/v1/pods?watch=1";

#[tokio::test]
async fn each_event_of_a_watch_is_a_message() {
    let server = watched().await;
    let token = "base64url.bearer.authorization.k8s.io.dG9r";
    let json = || vec![Message::text("{\"one\":1}\n"), Message::text("{\"two\":2}\n")];
    let binary =
        |all: Vec<Message>| all.into_iter().map(|m| Message::binary(m.into_data())).collect::<Vec<_>>();
    let encoded = vec![Message::text("eyJvbmUiOjF9Cg=="), Message::text("eyJ0d28iOjJ9Cg==")];
    let protobuf = vec![Message::binary(&b"\xff"[..]), Message::binary(&b"ok"[..])];
    for (uri, protocol, want, agreed) in [
        (WATCH, "", json(), ""),
        (WATCH, token, json(), ""),
        (WATCH, "binary.k8s.io", binary(json()), "binary.k8s.io"),
        (WATCH, &format!("{token}, base64.binary.k8s.io"), encoded, "base64.binary.k8s.io"),
        ("/api/v1/watch/pods?protobuf=1", "", protobuf, ""),
    ] {
        assert_eq!(messages(server.address, uri, protocol).await, (want, agreed.to_owned()), "{protocol}");
    }
    for (uri, protocol, code) in [
        (WATCH, "unknown.example.com", 400),
        ("/api/v1/pods?watch=1&refused=1", "", 400),
        // Only what is a stream of its own can be one of messages.
        ("/api/v1/pods", "", 200),
    ] {
        assert_eq!(ask(server.address, uri, protocol).await.status().as_u16(), code, "{uri}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_closes_ends_the_watch() {
    let (held_tx, mut held) = mpsc::channel::<()>(1);
    let held_tx = parking_lot::Mutex::new(Some(held_tx));
    let server = start(config(), move |_| {
        let held = held_tx.lock().take();
        async move {
            let events = stream::once(async { Ok(Bytes::from_static(b"{}\n")) }).chain(stream::pending());
            let events = events.inspect(move |_| {
                let _ = &held;
            });
            Response::new(200, "application/json", Body::Stream(events.boxed()))
        }
    })
    .await;
    let answer = ask(server.address, WATCH, "").await;
    let io = TokioIo::new(hyper::upgrade::on(answer).await.expect("upgrades"));
    let mut ws = WebSocketStream::from_raw_socket(io, Role::Client, None).await;
    assert_eq!(ws.next().await.expect("a message").expect("no error"), Message::text("{}\n"));
    ws.send(Message::Close(None)).await.expect("sends");
    assert!(held.recv().await.is_none(), "the watch is gone");
    server.stop().await;
}

#[tokio::test]
async fn a_log_comes_in_messages_behind_an_empty_one() {
    let far = start(config(), |r: meta::Request| async move {
        match r.header("upgrade") {
            Some(_) => Response::text(404, "a kubelet's log is no WebSocket"),
            None if r.query.get("missing").is_some() => Response::text(400, "no such container\n"),
            None => Response::text(200, "line\n"),
        }
    })
    .await;
    let port = far.address.port();
    let dialer = Dialer::new(&DialerOptions::default()).expect("no files");
    let near =
        start(Config { dialer: Some(Arc::new(dialer)), ..config() }, move |r: meta::Request| async move {
            let query = if r.query.get("missing").is_some() { "?missing=1" } else { "" };
            let to = Tunnel {
                scheme: "http",
                host: "127.0.0.1".into(),
                port,
                path_and_query: format!("/containerLogs/a/b/c{query}"),
                headers: Vec::new(),
                client_certificate: false,
                global_only: false,
            };
            Response::new(200, "", Body::Tunnel(Box::new(to)))
        })
        .await;
    let log = "/api/v1/namespaces/a/pods/b/log";
    let bytes = |text: &'static str| Message::binary(text.as_bytes());
    for (protocol, want) in [
        ("", vec![bytes(""), bytes("line\n")]),
        ("binary.k8s.io", vec![bytes(""), bytes("line\n")]),
        ("base64.binary.k8s.io", vec![Message::text(""), Message::text("bGluZQo=")]),
    ] {
        assert_eq!(messages(near.address, log, protocol).await, (want, protocol.to_owned()));
    }
    let refused = ask(near.address, &format!("{log}?missing=1"), "").await;
    assert_eq!(refused.status().as_u16(), 400);
    near.stop().await;
    far.stop().await;
}
