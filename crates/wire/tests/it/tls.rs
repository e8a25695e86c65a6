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
    server: Running,
}

async fn world() -> World {
    let dir = Dir::new("tls");
    let now = sys::Clock::now(&sys::SystemClock);
    let pki = Pki::open(&dir.0, now).expect("opens");
    let names = vec!["localhost".into(), "127.0.0.1".into()];
    let pair = pki.leaf(&Leaf::server("apiserver", "kube-apiserver", names)).expect("makes");
    let ca = pki.ca_pem().as_bytes();
    let tls = Tls::new(pair.cert_pem.as_bytes(), pair.key_pem.as_bytes(), Some(ca)).expect("good files");
    let config = Config { tls: Some(Arc::new(tls)), ..config() };
    let server = start(config, |r| async move {
        Response::text(
            200,
            match r.credentials {
                Credentials::None => "none".to_owned(),
                Credentials::Bearer(t) => t,
                Credentials::Certificate(der) => format!("certificate {}", der.len() > 100),
                Credentials::Internal(_) | Credentials::Admitted(_) => "internal".to_owned(),
            },
        )
    })
    .await;
    World { _dir: dir, pki, server }
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
    let good = w.pki.leaf(&Leaf::client("admin", "kubernetes-admin", "system:masters")).expect("makes");
    let dir = Dir::new("foreign");
    let foreign = Pki::open(&dir.0, sys::Clock::now(&sys::SystemClock)).expect("opens");
    let foreign = foreign.leaf(&Leaf::client("admin", "kubernetes-admin", "system:masters")).expect("makes");
    let serving = w.pki.leaf(&Leaf::server("other", "other", Vec::new())).expect("makes");
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
    let good = w.pki.leaf(&Leaf::client("admin", "kubernetes-admin", "system:masters")).expect("makes");
    let c = connector(&w, Some(&good), b"http/1.1");
    assert!(!ask(&w, &c, None).await.2);
    let (code, body, resumed) = ask(&w, &c, None).await;
    assert_eq!((code, &body[..], resumed), (200, &b"certificate true"[..], true));
    w.server.stop().await;
}
