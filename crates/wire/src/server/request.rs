//! From an HTTP request to `meta::Request`. It must never read more of a body than the limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use meta::{Credentials, Query, Request, Status, Target};

use super::connection::Connection;
use crate::tls::PeerCertificate;
use crate::{escape, path};

/// What is thrown away of a body that is too long, so that the client gets to read the answer.
const DRAIN_LIMIT_BYTES: usize = 64 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(5);
/// So much of every body is not counted.
const FREE_BYTES: usize = 16 << 10;
/// A bearer token inside a WebSocket subprotocol list, for clients that cannot set headers.
// k8s: staging/src/k8s.io/apiserver/pkg/authentication/request/websocket/protocol.go
pub(crate) const TOKEN_PROTOCOL: &str = "base64url.bearer.authorization.k8s.io.";

/// What the response must know of the request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wishes {
    pub(crate) gzip: bool,
    pub(crate) head: bool,
}

/// All but the body.
pub(crate) fn parse(connection: &Connection, parts: &Parts) -> Result<(Request, Wishes), Status> {
    let query = Query(parts.uri.query().map(escape::parse_query).unwrap_or_default());
    let method = parts.method.as_str();
    let (verb, target) =
        path::parse(method, parts.uri.path(), &query).map_err(|e| Status::bad_request(e.to_string()))?;
    let mut request = Request::new(verb, target);
    if request.method != method {
        method.clone_into(&mut request.method);
    }
    request.query = query;
    request.remote_addr.clone_from(&connection.remote_addr);
    let mut wishes = Wishes { gzip: false, head: parts.method == http::Method::HEAD };
    headers(parts, &mut request, &mut wishes);
    // Documents may be there packed already.
    if wishes.gzip && matches!(request.target, Target::Path(_)) {
        request.headers.push(("accept-encoding".to_owned(), "gzip".to_owned()));
    }
    identify(connection, &mut request)?;
    Ok((request, wishes))
}

fn headers(parts: &Parts, request: &mut Request, wishes: &mut Wishes) {
    for (name, value) in &parts.headers {
        let Ok(value) = std::str::from_utf8(value.as_bytes()) else { continue };
        match name.as_str() {
            "accept" => join(&mut request.accept, value),
            "content-type" => value.clone_into(&mut request.content_type),
            "user-agent" => value.clone_into(&mut request.user_agent),
            "accept-encoding" => wishes.gzip |= accepts_gzip(value),
            "authorization" => {
                if let Some(token) = bearer(value) {
                    request.credentials = Credentials::Bearer(token.to_owned());
                }
            }
            "sec-websocket-protocol" => {
                let mut kept = String::new();
                for protocol in value.split(',').map(str::trim) {
                    match protocol.strip_prefix(TOKEN_PROTOCOL).and_then(decode_token) {
                        Some(token) => request.credentials = Credentials::Bearer(token),
                        None => join(&mut kept, protocol),
                    }
                }
                request.headers.push((name.as_str().to_owned(), kept));
            }
            "upgrade"
            | "x-stream-protocol-version"
            | "if-none-match"
            | "audit-id"
            | "x-forwarded-for"
            | "content-encoding" => {
                request.headers.push((name.as_str().to_owned(), value.to_owned()));
            }
            other if other.starts_with("impersonate-") || other.starts_with("x-remote-") => {
                request.headers.push((other.to_owned(), value.to_owned()));
            }
            _ => {}
        }
    }
}

fn join(list: &mut String, value: &str) {
    if !list.is_empty() {
        list.push_str(", ");
    }
    list.push_str(value);
}

/// Whether an Accept-Encoding names gzip and does not refuse it by a quality of zero.
fn accepts_gzip(value: &str) -> bool {
    value.split(',').any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let refused = |p: &str| p.strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0));
        named && !parts.any(refused)
    })
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

fn decode_token(text: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()?).ok()
}

/// A good certificate comes first; a bad one is forgiven only where there is a token.
fn identify(connection: &Connection, request: &mut Request) -> Result<(), Status> {
    if connection.peer.is_unknown() {
        return Ok(());
    }
    match connection.peer.certificate(connection.shared.clock.now().as_second()) {
        PeerCertificate::Good(der) => request.credentials = Credentials::Certificate(der),
        PeerCertificate::Bad if matches!(request.credentials, Credentials::None) => {
            return Err(Status::unauthorized());
        }
        PeerCertificate::Bad | PeerCertificate::None => {}
    }
    Ok(())
}

/// A share of the memory for bodies, given back on drop.
pub(crate) struct Share {
    used: Arc<AtomicUsize>,
    limit: usize,
    bytes: usize,
}

impl Share {
    fn new(used: &Arc<AtomicUsize>, limit: usize) -> Share {
        Share { used: Arc::clone(used), limit, bytes: 0 }
    }

    /// Takes what a body of `length` bytes needs so far.
    fn grow_to(&mut self, length: usize) -> Result<(), Status> {
        let more = length.saturating_sub(FREE_BYTES).saturating_sub(self.bytes);
        if more == 0 {
            return Ok(());
        }
        let before = self.used.fetch_add(more, Ordering::Relaxed);
        self.bytes += more;
        if before.saturating_add(more) > self.limit {
            let why = "Too many requests with large bodies, please try again later.";
            return Err(Status::too_many_requests(why, 1));
        }
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.used.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

/// The whole body, and its share of the memory, to be kept as long as the body.
pub(crate) async fn read_body(
    connection: &Connection,
    parts: &Parts,
    mut body: Incoming,
) -> Result<(Bytes, Share), Status> {
    let shared = &connection.shared;
    let mut share = Share::new(&shared.buffered, shared.limits.buffered_body_bytes);
    if body.is_end_stream() {
        return Ok((Bytes::new(), share));
    }
    let limits = &shared.limits;
    let waits = parts.headers.contains_key(http::header::EXPECT);
    let read = async {
        if body.size_hint().lower() > limits.body_bytes as u64 {
            return Err(Status::too_large(limits.body_bytes));
        }
        collect(&mut body, limits.body_bytes, &mut share).await
    };
    match tokio::time::timeout(limits.body_time, read).await {
        Ok(Err(status)) if matches!(status.code, 413 | 429) && !waits => {
            drop(share);
            let _ = tokio::time::timeout(DRAIN_TIME, drain(&mut body)).await;
            Err(status)
        }
        Ok(result) => result.map(|bytes| (bytes, share)),
        Err(_) => Err(Status::failure(408, "Timeout", "the body of the request took too long")),
    }
}

async fn collect(body: &mut Incoming, limit: usize, share: &mut Share) -> Result<Bytes, Status> {
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|e| Status::bad_request(format!("the body of the request broke off: {e}")))?;
        let Ok(data) = frame.into_data() else { continue };
        let length = first.len().max(all.len()) + data.len();
        if length > limit {
            return Err(Status::too_large(limit));
        }
        share.grow_to(length)?;
        if first.is_empty() && all.is_empty() {
            if body.is_end_stream() {
                return Ok(data);
            }
            first = data;
            continue;
        }
        if all.is_empty() {
            let more = usize::try_from(body.size_hint().lower()).unwrap_or(0).min(limit);
            all.reserve(first.len() + data.len() + more);
            all.extend_from_slice(&first);
        }
        all.extend_from_slice(&data);
    }
    if all.is_empty() { Ok(first) } else { Ok(all.freeze()) }
}

/// Throws a body away, so that a client that only writes first gets to read the answer.
pub(crate) async fn discard(parts: &Parts, mut body: Incoming) {
    if !parts.headers.contains_key(http::header::EXPECT) {
        let _ = tokio::time::timeout(DRAIN_TIME, drain(&mut body)).await;
    }
}

async fn drain(body: &mut Incoming) {
    let mut left = DRAIN_LIMIT_BYTES;
    while let Some(Ok(frame)) = body.frame().await {
        let Ok(data) = frame.into_data() else { continue };
        match left.checked_sub(data.len()) {
            Some(l) => left = l,
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_share_memory() {
        let used = Arc::new(AtomicUsize::new(0));
        let share = || Share::new(&used, 100);
        let (mut a, mut b) = (share(), share());
        for (length, fits, want) in
            [(FREE_BYTES, true, 0), (FREE_BYTES + 60, true, 60), (FREE_BYTES + 60, true, 60)]
        {
            assert_eq!(a.grow_to(length).is_ok(), fits, "{length}");
            assert_eq!(used.load(Ordering::Relaxed), want, "{length}");
        }
        let refused = b.grow_to(FREE_BYTES + 41).expect_err("it is full");
        assert_eq!((refused.code, refused.details.and_then(|d| d.retry_after_seconds)), (429, Some(1)));
        drop(b);
        assert!(share().grow_to(FREE_BYTES + 40).is_ok());
        drop(a);
        assert_eq!(used.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn codings() {
        for (value, want) in [
            ("gzip", true),
            ("deflate, gzip;q=0.5, br", true),
            ("GZIP ; q=1", true),
            ("gzip;q=0", false),
            ("gzip; q=0.0, identity", false),
            ("identity", false),
            ("x-gzip-like", false),
            ("", false),
        ] {
            assert_eq!(accepts_gzip(value), want, "{value}");
        }
    }

    #[test]
    fn bearer_tokens() {
        for (value, want) in [
            ("Bearer abc", Some("abc")),
            ("bearer  abc ", Some("abc")),
            ("Bearer ", None),
            ("Bearer", None),
            ("Basic abc", None),
        ] {
            assert_eq!(bearer(value), want, "{value}");
        }
        assert_eq!(decode_token("dG9r").as_deref(), Some("tok"));
    }
}
