//! TLS: both protocols, client certificates good and bad, resumption.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use meta::{Credentials, Response};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use wire::pki::{Leaf, Pair, Pki};
use wire::server::Config;
use wire::tls::{Tls, client_config};

use crate::harness::{Running, config, request, start};
use crate::pki::Dir;

struct World {
    _dir: Dir,
    pki: Pki,
    tls: Arc<Tls>,
    server: Running,
}

async fn world() -> World {
    let dir = Dir::new("tls");
    let now = now();
    let pki = Pki::open(&dir.0, now).expect("opens");
    let names = vec!["localhost".into(), "127.0.0.1".into()];
    let pair = pki.leaf(&Leaf::server("apiserver", "kube-apiserver", names), now).expect("makes");
    let ca = pki.ca_pem().as_bytes();
    let tls = Tls::new(pair.cert_pem.as_bytes(), pair.key_pem.as_bytes(), Some(ca)).expect("good files");
    let tls = Arc::new(tls);
    let config = Config { tls: Some(tls.clone()), ..config() };
    let server = start(config, |r| async move {
        Response::text(
            200,
            match r.credentials {
                Credentials::None => "none".to_owned(),
                Credentials::Bearer(t) => t,
                Credentials::Certificate(der) => format!("certificate {}", der.len() > 100),
                Credentials::Internal(_) => "internal".to_owned(),
            },
        )
    })
    .await;
    World { _dir: dir, pki, tls, server }
}

fn now() -> jiff::Timestamp {
    sys::Clock::now(&sys::SystemClock)
}

fn connector(w: &World, own: Option<&Pair>, alpn: &[u8]) -> TlsConnector {
    let own = own.map(|p| (p.cert_pem.as_bytes(), p.key_pem.as_bytes()));
    let mut config = client_config(Some(w.pki.ca_pem().as_bytes()), own).expect("good files");
    config.alpn_protocols = vec![alpn.to_vec()];
    TlsConnector::from(Arc::new(config))
}

async fn ask(w: &World, connector: &TlsConnector, token: Option<&str>) -> (u16, Bytes, bool) {
    let socket = TcpStream::connect(w.server.address).await.expect("connects");
    let name = ServerName::try_from("localhost").expect("a name");
    let io = connector.connect(name, socket).await.expect("handshake");
    let session = io.get_ref().1;
    let h2 = session.alpn_protocol() == Some(b"h2");
    let resumed = session.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
    let uri = if h2 { "https://localhost/x" } else { "/x" };
    let mut r: http::Request<Full<Bytes>> = request("GET", uri, "");
    if let Some(t) = token {
        r.headers_mut().insert("authorization", format!("Bearer {t}").parse().expect("a value"));
    }
    let answer = if h2 {
        let (mut s, c) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(io))
            .await
            .expect("handshake");
        tokio::spawn(c);
        s.send_request(r).await
    } else {
        let (mut s, c) = hyper::client::conn::http1::handshake(TokioIo::new(io)).await.expect("handshake");
        tokio::spawn(c);
        s.send_request(r).await
    };
    let answer = answer.expect("an answer");
    let code = answer.status().as_u16();
    (code, answer.into_body().collect().await.expect("a body").to_bytes(), resumed)
}

#[tokio::test]
async fn client_certificates() {
    let w = world().await;
    let good =
        w.pki.leaf(&Leaf::client("admin", "kubernetes-admin", "system:masters"), now()).expect("makes");
    let dir = Dir::new("foreign");
    let foreign = Pki::open(&dir.0, now()).expect("opens");
    let foreign =
        foreign.leaf(&Leaf::client("admin", "kubernetes-admin", "system:masters"), now()).expect("makes");
    let serving = w.pki.leaf(&Leaf::server("other", "other", Vec::new()), now()).expect("makes");
    for alpn in [&b"http/1.1"[..], b"h2"] {
        for (own, token, want) in [
            (None, None, (200, "none")),
            (None, Some("t"), (200, "t")),
            (Some(&good), None, (200, "certificate true")),
            (Some(&good), Some("t"), (200, "certificate true")),
            (Some(&foreign), None, (401, "")),
            (Some(&foreign), Some("t"), (200, "t")),
            (Some(&serving), None, (401, "")),
        ] {
            let c = connector(&w, own, alpn);
            let (code, body, _) = ask(&w, &c, token).await;
            assert_eq!(code, want.0);
            if code == 200 {
                assert_eq!(body, want.1);
            }
        }
    }
    w.server.stop().await;
}

#[tokio::test]
async fn sessions_are_resumed_with_their_certificate() {
    let w = world().await;
    let good =
        w.pki.leaf(&Leaf::client("admin", "kubernetes-admin", "system:masters"), now()).expect("makes");
    let c = connector(&w, Some(&good), b"http/1.1");
    assert!(!ask(&w, &c, None).await.2);
    let (code, body, resumed) = ask(&w, &c, None).await;
    assert_eq!((code, &body[..], resumed), (200, &b"certificate true"[..], true));
    w.server.stop().await;
}

type Sender = hyper::client::conn::http1::SendRequest<Full<Bytes>>;

/// An open connection, and the certificate that the server has shown on it.
async fn connect(w: &World) -> (Sender, Vec<u8>) {
    let socket = TcpStream::connect(w.server.address).await.expect("connects");
    let name = ServerName::try_from("localhost").expect("a name");
    let io = connector(w, None, b"http/1.1").connect(name, socket).await.expect("handshake");
    let shown = io.get_ref().1.peer_certificates().expect("it has one")[0].to_vec();
    let (sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(io)).await.expect("handshake");
    tokio::spawn(connection);
    (sender, shown)
}

async fn code(sender: &mut Sender) -> u16 {
    let answer = sender.send_request(request("GET", "/x", "")).await.expect("an answer");
    let code = answer.status().as_u16();
    answer.into_body().collect().await.expect("a body");
    code
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_new_connections_and_old_ones_go_on() {
    let w = world().await;
    let (mut old, first) = connect(&w).await;
    assert_eq!(code(&mut old).await, 200);
    assert!(w.tls.replace(b"nonsense", b"nonsense").is_err());
    assert_eq!(connect(&w).await.1, first, "what cannot be read changes nothing");
    let leaf = Leaf::server("other", "kube-apiserver", vec!["localhost".into()]);
    let other = w.pki.leaf(&leaf, now()).expect("makes");
    w.tls.replace(other.cert_pem.as_bytes(), other.key_pem.as_bytes()).expect("good files");
    let (mut new, second) = connect(&w).await;
    assert_ne!(second, first);
    assert_eq!((code(&mut new).await, code(&mut old).await), (200, 200));
    w.server.stop().await;
}
