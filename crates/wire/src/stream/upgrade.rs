//! Agrees with a client on the protocol of an upgraded connection. It must never upgrade to one that it does
//! not speak.
// k8s: staging/src/k8s.io/apimachinery/pkg/util/httpstream/httpstream.go Handshake

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use meta::{BoxFuture, Status};

use super::websocket::{self, Version};
use super::{Session, command, forward, push};

const STREAM_VERSION: HeaderName = HeaderName::from_static("x-stream-protocol-version");
const TOKEN_PROTOCOL: &str = "base64url.bearer.authorization.k8s.io.";

/// An upgrade that both sides agree on.
pub(crate) struct Accepted {
    /// Of the 101 response.
    pub(crate) headers: HeaderMap,
    /// What then runs on the connection.
    pub(crate) serve: Box<dyn FnOnce(TokioIo<Upgraded>) -> BoxFuture<'static, ()> + Send>,
}

/// Chooses protocol and version from the request's headers.
pub(crate) fn accept(asked: &HeaderMap, session: Session) -> Result<Accepted, Status> {
    let protocol = asked.get(UPGRADE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if protocol.eq_ignore_ascii_case("websocket") {
        accept_websocket(asked, session)
    } else if protocol.to_ascii_lowercase().starts_with("spdy/3.1") {
        accept_spdy(asked, session)
    } else {
        Err(Status::bad_request(format!(
            "unable to upgrade: missing upgrade headers in request: {protocol:?}"
        )))
    }
}

/// The comma-separated values of all headers of that name.
fn values(asked: &HeaderMap, name: &HeaderName) -> Vec<String> {
    let all = asked.get_all(name).iter().filter_map(|v| v.to_str().ok());
    let all = all.flat_map(|v| v.split(',')).map(|v| v.trim().to_owned());
    all.filter(|v| !v.is_empty() && !v.starts_with(TOKEN_PROTOCOL)).collect()
}

fn accept_spdy(asked: &HeaderMap, session: Session) -> Result<Accepted, Status> {
    let wanted = values(asked, &STREAM_VERSION);
    let known: Vec<&'static str> = match &session {
        Session::Command { .. } => command::VERSIONS.iter().map(|v| v.0).collect(),
        Session::PortForward { .. } => vec![forward::PROTOCOL],
    };
    let chosen = wanted.iter().find_map(|w| known.iter().copied().find(|k| k == w));
    if chosen.is_none() && !wanted.is_empty() {
        return Err(command::no_version(&wanted.join(", ")));
    }
    let mut headers = upgrade_headers("SPDY/3.1");
    if let Some(version) = chosen {
        headers.insert(STREAM_VERSION, HeaderValue::from_static(version));
    }
    let version = chosen.unwrap_or("channel.k8s.io");
    let serve: Box<dyn FnOnce(TokioIo<Upgraded>) -> BoxFuture<'static, ()> + Send> = match session {
        Session::Command { streams, run } => {
            Box::new(move |io| Box::pin(command::serve(io, streams, version, run)))
        }
        Session::PortForward { run, .. } => Box::new(move |io| Box::pin(forward::serve(io, run))),
    };
    Ok(Accepted { headers, serve })
}

/// The client's key in a WebSocket handshake.
fn websocket_key(asked: &HeaderMap) -> Result<&[u8], Status> {
    let key = asked.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes).unwrap_or_default();
    let is_current = asked.get(SEC_WEBSOCKET_VERSION).is_some_and(|v| v == "13");
    if !is_current || STANDARD.decode(key).map(|k| k.len()) != Ok(16) {
        return Err(Status::bad_request("the WebSocket handshake is not one of version 13"));
    }
    Ok(key)
}

/// The first of the subprotocols that the client wants and this side knows.
fn websocket_protocol<T>(asked: &HeaderMap, known: &[T], name: impl Fn(&T) -> &str) -> Result<T, Status>
where
    T: Copy,
{
    let mut wanted = values(asked, &SEC_WEBSOCKET_PROTOCOL);
    if wanted.is_empty() {
        wanted.push(String::new());
    }
    let chosen = wanted.iter().find_map(|w| known.iter().find(|k| name(k) == w)).copied();
    chosen.ok_or_else(|| {
        let text = format!("unable to upgrade: no subprotocol of {wanted:?} is known");
        Status::bad_request(text)
    })
}

/// The headers of the 101 response.
fn websocket_headers(key: &[u8], protocol: &'static str) -> HeaderMap {
    let mut headers = upgrade_headers("websocket");
    let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key);
    if let Ok(accept) = HeaderValue::from_str(&accept) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    if !protocol.is_empty() {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    }
    headers
}

/// Agrees on a one-way WebSocket: the response's headers and the subprotocol.
pub(crate) fn accept_push(asked: &HeaderMap) -> Result<(HeaderMap, &'static str), Status> {
    let key = websocket_key(asked)?;
    let protocol = websocket_protocol(asked, &push::PROTOCOLS, |name| *name)?;
    Ok((websocket_headers(key, protocol), protocol))
}

fn accept_websocket(asked: &HeaderMap, session: Session) -> Result<Accepted, Status> {
    let key = websocket_key(asked)?;
    let known: &[Version] = match &session {
        Session::Command { .. } => &websocket::COMMAND,
        Session::PortForward { .. } => &websocket::FORWARD,
    };
    let version = websocket_protocol(asked, known, |version| version.name)?;
    let headers = websocket_headers(key, version.name);
    let serve: Box<dyn FnOnce(TokioIo<Upgraded>) -> BoxFuture<'static, ()> + Send> = match session {
        Session::Command { streams, run } => {
            Box::new(move |io| Box::pin(websocket::serve_command(io, streams, version, run)))
        }
        Session::PortForward { ports, run } => {
            Box::new(move |io| Box::pin(websocket::serve_forward(io, ports, version, run)))
        }
    };
    Ok(Accepted { headers, serve })
}

fn upgrade_headers(protocol: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(protocol));
    headers
}
