//! Requests carried on to another server, upgrades included.

use std::sync::Arc;

use bytes::Bytes;
use hyper_util::rt::TokioIo;
use meta::{Body, Response, Status, Target, Tunnel};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use wire::server::Config;
use wire::tunnel::{Dialer, DialerOptions};

use crate::harness::{Running, config, connect, get, request, start, whole};

/// A server whose every request goes on to `port`.
async fn front(port: u16) -> Running {
    let dialer = Dialer::new(&DialerOptions::default()).expect("no files");
    let config = Config { dialer: Some(Arc::new(dialer)), ..config() };
    start(config, move |_| async move {
        let to = Tunnel {
            scheme: "http",
            host: "127.0.0.1".into(),
            port,
            path_and_query: "/far?a=b".into(),
            headers: vec![("x-from".into(), "front".into())],
            client_certificate: false,
            global_only: false,
        };
        Response::new(200, "", Body::Tunnel(Box::new(to)))
    })
    .await
}

#[tokio::test]
async fn requests_and_answers_go_through() {
    let far = start(config(), |r: meta::Request| async move {
        assert_eq!(r.target, Target::Path("/far".into()));
        assert_eq!(r.query.get("a"), Some("b"));
        assert!(matches!(r.credentials, meta::Credentials::None), "the token stays here");
        Response::text(201, [&b"got "[..], &r.body].concat())
    })
    .await;
    let near = front(far.address.port()).await;
    for uri in ["/api/v1/nodes/n/proxy/x", "/apis/metrics.k8s.io/v1beta1/nodes"] {
        let mut r = request("POST", uri, vec![b'y'; 1_000_000]);
        r.headers_mut().insert("authorization", "Bearer secret".parse().expect("a value"));
        let answer = connect(near.address).await.send_request(r).await.expect("answers");
        let (code, body) = whole(answer).await;
        assert_eq!((code, body.len()), (201, 1_000_004), "{uri}");
    }
    near.stop().await;
    far.stop().await;
}

#[tokio::test]
async fn upgraded_connections_carry_bytes_both_ways_with_half_close() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let port = listener.local_addr().expect("bound").port();
    let far = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.expect("accepts");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(socket.read_u8().await.expect("a head"));
        }
        let head = String::from_utf8(head).expect("text").to_lowercase();
        assert!(head.contains("upgrade: spdy/3.1") && head.contains("connection: upgrade"), "{head}");
        let ok = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: SPDY/3.1\r\nconnection: Upgrade\r\n\r\nhello";
        socket.write_all(ok).await.expect("writes");
        let mut all = Vec::new();
        socket.read_to_end(&mut all).await.expect("until the half close");
        socket.write_all(format!("{} bytes", all.len()).as_bytes()).await.expect("writes");
    });
    let near = front(port).await;
    let mut r = request("POST", "/api/v1/namespaces/a/pods/b/exec", "");
    r.headers_mut().insert("upgrade", "SPDY/3.1".parse().expect("a value"));
    r.headers_mut().insert("connection", "Upgrade".parse().expect("a value"));
    let mut answer = connect(near.address).await.send_request(r).await.expect("answers");
    assert_eq!(answer.status().as_u16(), 101);
    assert_eq!(answer.headers()["upgrade"], "SPDY/3.1");
    let mut io = TokioIo::new(hyper::upgrade::on(&mut answer).await.expect("upgrades"));
    let mut hello = [0; 5];
    io.read_exact(&mut hello).await.expect("reads");
    assert_eq!(&hello, b"hello");
    io.write_all(&vec![b'z'; 3_000_000]).await.expect("writes");
    io.shutdown().await.expect("half close");
    let mut rest = String::new();
    io.read_to_string(&mut rest).await.expect("reads");
    assert_eq!(rest, "3000000 bytes");
    far.await.expect("no panic");
    near.stop().await;
}

#[tokio::test]
async fn a_dead_target_is_told_in_upstreams_words() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let port = listener.local_addr().expect("bound").port();
    drop(listener);
    let near = front(port).await;
    let dial = format!("dial tcp 127.0.0.1:{port}: connect: connection refused");
    for (uri, upgrade, want) in [
        ("/api/v1/namespaces/a/pods/b/exec", true, (500, format!("error dialing backend: {dial}"))),
        (
            "/api/v1/namespaces/a/pods/b/log",
            false,
            (500, format!("Get \"http://127.0.0.1:{port}/far?a=b\": {dial}")),
        ),
        ("/api/v1/nodes/n/proxy/", false, (503, format!("error trying to reach service: {dial}"))),
    ] {
        let mut r = request("GET", uri, "");
        if upgrade {
            r.headers_mut().insert("upgrade", "SPDY/3.1".parse().expect("a value"));
            r.headers_mut().insert("connection", "Upgrade".parse().expect("a value"));
        }
        let answer = connect(near.address).await.send_request(r).await.expect("answers");
        let (code, body) = whole(answer).await;
        let status = Status::from_json(&body).expect("a Status");
        assert_eq!((code, status.message), want, "{uri}");
    }
    near.stop().await;
}

#[tokio::test]
async fn a_kubelets_plain_error_becomes_a_status() {
    let far = start(config(), |_| async { Response::text(400, "container \"x\" is not valid\n") }).await;
    let near = front(far.address.port()).await;
    let (code, body): (u16, Bytes) = get(near.address, "/api/v1/namespaces/a/pods/b/log").await;
    let status = Status::from_json(&body).expect("a Status");
    assert_eq!((code, status.message.as_str()), (400, "container \"x\" is not valid"));
    assert!(status.is("BadRequest"));
    near.stop().await;
    far.stop().await;
}
