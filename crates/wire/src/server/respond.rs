//! One request from its head to its response. It must never let a panic or a slow handler reach another
//! request.

use std::borrow::Cow;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, Entry, VARY, WARNING};
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use meta::{Admission, Body, Request, Response, Status, Verb};

use super::body::{Chunks, Held, Streamed, WireBody};
use super::connection::Connection;
use super::connections::Busy;
use super::gzip::Gzip;
use super::request::{self, Wishes};
use crate::stream::{self, Session, push};
use crate::{path, tunnel};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache, private");
const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");
/// All warnings of one response together.
// k8s: staging/src/k8s.io/apiserver/pkg/endpoints/filters/warning.go truncateAtTotalRunes
const WARNINGS_LIMIT_BYTES: usize = 4 << 10;
/// Long bodies are compressed and sent in pieces of this size.
const SLICE_BYTES: usize = 64 << 10;
/// Bodies up to this size are sent whole.
const WHOLE_BYTES: usize = 256 << 10;

/// Answers one request.
pub(crate) async fn respond(
    connection: Arc<Connection>,
    http: http::Request<Incoming>,
) -> Result<http::Response<Held>, Infallible> {
    let busy = Busy::new(&connection.slot);
    let (parts, body) = http.into_parts();
    let audit_id = parts.headers.get(&AUDIT_ID).cloned();
    let mut admission = None;
    let mut response = answer(&connection, parts, body, &mut admission).await;
    // What the handler has made of it says its id already.
    if let Entry::Vacant(entry) = response.headers_mut().entry(&AUDIT_ID) {
        let value = |id: String| HeaderValue::from_maybe_shared(Bytes::from(id)).ok();
        let admitted = admission.and_then(|a| value(a.audit_id.clone()));
        if let Some(id) = admitted.or(audit_id).or_else(|| value(connection.shared.audit_ids.make())) {
            entry.insert(id);
        }
    }
    Ok(response.map(|body| Held::new(body, busy)))
}

/// Answers, and tells what the handler said before the body was read.
async fn answer(
    connection: &Arc<Connection>,
    parts: Parts,
    body: Incoming,
    admitted: &mut Option<Arc<Admission>>,
) -> http::Response<WireBody> {
    let (mut request, wishes) = match request::parse(connection, &parts) {
        Ok(r) => r,
        Err(status) => return encode(connection, status.into(), Wishes::default()),
    };
    if request.header("upgrade").is_some()
        && let Some(upgrader) = &connection.shared.upgrader
    {
        return match upgrader.upgrade(request).await {
            Ok(session) => upgrade(connection, parts, session),
            Err(response) => encode(connection, response, wishes),
        };
    }
    let (parts, push) = match Push::asked_for(&request, parts) {
        Ok(asked) => asked,
        Err(status) => return encode(connection, status.into(), wishes),
    };
    // What is connected keeps its body: it goes on to the other server as it comes.
    let mut raw = None;
    let mut _share = None;
    if !http_body::Body::is_end_stream(&body) || path::is_long_running(request.verb, &request.target) {
        match admit(connection, &request).await {
            Ok(admission) => {
                admitted.clone_from(&admission);
                request.admission = admission;
            }
            Err(response) => {
                request::discard(&parts, body).await;
                return encode(connection, response, wishes);
            }
        }
    }
    if request.verb == Verb::Connect {
        raw = Some(body);
    } else {
        match request::read_body(connection, &parts, body).await {
            Ok((bytes, share)) => {
                request.body = bytes;
                _share = Some(share);
            }
            Err(status) => return encode(connection, status.into(), wishes),
        }
    }
    let sent = request.body.clone();
    let (mut log, mut prefix) = (false, None);
    if let meta::Target::Resource { subresource, subpath, .. } = &request.target {
        log = subresource == "log";
        let proxied = subresource == "proxy";
        prefix = proxied.then(|| tunnel::proxied::prefix(parts.uri.path(), subpath).to_owned());
    }
    let response = handle(connection, request).await;
    if let Body::Tunnel(to) = response.body {
        let body = raw.map_or(WireBody::Full(sent), |body| WireBody::incoming(Bytes::new(), body, None));
        let (busy, admission) = (Busy::new(&connection.slot), admitted.clone());
        let order = tunnel::Order { to: *to, parts, body, log, prefix, busy, admission };
        return match carry(connection, order, push).await {
            Ok(response) => response,
            Err(status) => encode(connection, status.into(), wishes),
        };
    }
    match push {
        Some(push) if response.code == 200 => push.watch(connection, response),
        _ => encode(connection, response, wishes),
    }
}

/// The answer of the server that the request is carried on to.
async fn carry(
    connection: &Arc<Connection>,
    mut order: tunnel::Order,
    push: Option<Push>,
) -> Result<http::Response<WireBody>, Status> {
    if push.is_some() {
        tunnel::forget_upgrade(&mut order.parts.headers);
    }
    let mut response = tunnel::carry(&connection.shared, order).await?;
    // The other server's name for the request says nothing here.
    response.headers_mut().remove(&AUDIT_ID);
    match push {
        Some(push) if response.status() == StatusCode::OK => Ok(push.log(connection, response.into_body())),
        _ => Ok(response),
    }
}

/// A watch or a log that is asked for as a WebSocket.
struct Push {
    upgrading: OnUpgrade,
    headers: http::HeaderMap,
    protocol: &'static str,
}

impl Push {
    /// Whether the request asks for one. A handshake that is none of this side's is refused.
    fn asked_for(request: &Request, parts: Parts) -> Result<(Parts, Option<Push>), Status> {
        let is_log =
            matches!(&request.target, meta::Target::Resource { subresource, .. } if subresource == "log");
        let asks = request.header("upgrade").is_some_and(|to| to.eq_ignore_ascii_case("websocket"));
        if !asks || !(request.verb == Verb::Watch || is_log) {
            return Ok((parts, None));
        }
        let (headers, protocol) = stream::accept_push(&parts.headers)?;
        let mut http = http::Request::from_parts(parts, ());
        let upgrading = hyper::upgrade::on(&mut http);
        Ok((http.into_parts().0, Some(Push { upgrading, headers, protocol })))
    }

    fn watch(self, connection: &Arc<Connection>, response: Response) -> http::Response<WireBody> {
        let framed = response.content_type.starts_with("application/vnd.kubernetes.protobuf");
        let content = if framed { push::Content::Framed } else { push::Content::Text };
        match response.body {
            Body::Stream(events) => self.send(connection, events, content),
            Body::Chunks(events) => {
                let events: Vec<Result<Bytes, Status>> = events.into_iter().map(Ok).collect();
                self.send(connection, futures_util::stream::iter(events), content)
            }
            body => encode(connection, Response { body, ..response }, Wishes::default()),
        }
    }

    fn log(self, connection: &Arc<Connection>, body: WireBody) -> http::Response<WireBody> {
        let pieces = BodyExt::into_data_stream(body);
        self.send(connection, pieces, push::Content::Log)
    }

    /// Answers 101 and sends the items on the connection until either side or the server ends it.
    fn send<E: Send + 'static>(
        self,
        connection: &Arc<Connection>,
        items: impl futures_util::Stream<Item = Result<Bytes, E>> + Send + 'static,
        content: push::Content,
    ) -> http::Response<WireBody> {
        let Push { upgrading, headers, protocol } = self;
        let stopping = connection.shared.stopping.clone();
        let busy = Busy::new(&connection.slot);
        connection.shared.tasks.spawn(async move {
            let _busy = busy;
            match upgrading.await {
                Ok(io) => tokio::select! {
                    r = push::serve(TokioIo::new(io), items, content, protocol) => if let Err(error) = r {
                        tracing::debug!(%error, "a WebSocket ended");
                    },
                    () = stopping.cancelled() => {}
                },
                Err(error) => tracing::debug!(%error, "the connection was not upgraded"),
            }
        });
        switching(headers)
    }
}

fn switching(headers: http::HeaderMap) -> http::Response<WireBody> {
    let mut response = http::Response::new(WireBody::Empty);
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = headers;
    response
}

/// Asks the handler before a body is read. Short requests without one are left to `handle`.
async fn admit(connection: &Connection, request: &Request) -> Result<Option<Arc<Admission>>, Response> {
    let shared = &connection.shared;
    let work = AssertUnwindSafe(shared.handler.admit(request)).catch_unwind();
    match tokio::time::timeout(shared.limits.request_time, work).await {
        Ok(Ok(done)) => done,
        Ok(Err(_)) => {
            tracing::error!("a request panicked");
            Err(Status::internal("the request panicked; the server's log says more").into())
        }
        Err(_) => Err(Status::timeout("request did not complete within the allotted timeout").into()),
    }
}

/// Answers 101 and runs the session on the connection until either side or the server ends it.
fn upgrade(
    connection: &Arc<Connection>,
    parts: http::request::Parts,
    session: Session,
) -> http::Response<WireBody> {
    let accepted = match stream::accept(&parts.headers, session) {
        Ok(accepted) => accepted,
        Err(status) => return encode(connection, status.into(), Wishes::default()),
    };
    let upgrading = hyper::upgrade::on(http::Request::from_parts(parts, ()));
    let shared = &connection.shared;
    let stopping = shared.stopping.clone();
    let busy = Busy::new(&connection.slot);
    shared.tasks.spawn(async move {
        let _busy = busy;
        match upgrading.await {
            Ok(io) => tokio::select! {
                () = (accepted.serve)(TokioIo::new(io)) => {}
                () = stopping.cancelled() => {}
            },
            Err(error) => tracing::debug!(%error, "the connection was not upgraded"),
        }
    });
    switching(accepted.headers)
}

async fn handle(connection: &Connection, request: Request) -> Response {
    let shared = &connection.shared;
    let long = path::is_long_running(request.verb, &request.target);
    let work = AssertUnwindSafe(async { shared.handler.handle(request).await }).catch_unwind();
    let done = if long {
        work.await
    } else {
        match tokio::time::timeout(shared.limits.request_time, work).await {
            Ok(done) => done,
            Err(_) => {
                return Status::timeout("request did not complete within the allotted timeout").into();
            }
        }
    };
    done.unwrap_or_else(|panic| {
        let what = panic
            .downcast_ref::<&str>()
            .map(|s| (*s).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_default();
        tracing::error!(%what, "a request panicked");
        Status::internal("the request panicked; the server's log says more").into()
    })
}

/// The HTTP form of a response that is no tunnel.
fn encode(connection: &Connection, response: Response, wishes: Wishes) -> http::Response<WireBody> {
    let code = StatusCode::from_u16(response.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let bare = matches!(code, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let plain = response.headers.iter().all(|(name, _)| *name != CONTENT_ENCODING);
    let (body, packed) = if bare {
        (WireBody::Empty, false)
    } else {
        encode_body(connection, response.body, wishes.gzip && code == StatusCode::OK && plain)
    };
    let mut http = http::Response::new(body);
    *http.status_mut() = code;
    let headers = http.headers_mut();
    headers.reserve(6 + response.headers.len() + response.warnings.len());
    if !bare && !response.content_type.is_empty() {
        headers.insert(CONTENT_TYPE, content_type(response.content_type));
    }
    headers.insert(CACHE_CONTROL, NO_CACHE);
    for (name, value) in response.headers {
        match (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_maybe_shared(Bytes::from(value))) {
            (Ok(CACHE_CONTROL), Ok(value)) => {
                headers.insert(CACHE_CONTROL, value);
            }
            (Ok(name), Ok(value)) => {
                headers.append(name, value);
            }
            _ => tracing::warn!(name, "a response header that HTTP does not allow was left out"),
        }
    }
    warn(headers, &response.warnings);
    if packed {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    if wishes.head {
        if let Some(bytes) = http_body::Body::size_hint(http.body()).exact() {
            http.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(bytes));
        }
        *http.body_mut() = WireBody::Empty;
    }
    http
}

fn content_type(text: Cow<'static, str>) -> HeaderValue {
    if text == "application/json" {
        return JSON;
    }
    let bytes = match text {
        Cow::Borrowed(s) => Bytes::from_static(s.as_bytes()),
        Cow::Owned(s) => Bytes::from(s),
    };
    HeaderValue::from_maybe_shared(bytes).unwrap_or(HeaderValue::from_static("application/octet-stream"))
}

fn slices(bytes: &Bytes) -> Chunks {
    let cuts = (0..bytes.len()).step_by(SLICE_BYTES);
    Chunks::new(cuts.map(|at| bytes.slice(at..bytes.len().min(at + SLICE_BYTES))).collect())
}

fn encode_body(connection: &Connection, body: Body, gzip: bool) -> (WireBody, bool) {
    let from = connection.shared.limits.compress_from_bytes as u64;
    let packed = |c: Chunks| (WireBody::Gzip(Box::new(Gzip::new(c))), true);
    match body {
        Body::Full(bytes) if gzip && bytes.len() as u64 > from => packed(slices(&bytes)),
        // Given away in pieces, so that a client that does not read them is found out.
        Body::Full(bytes) if bytes.len() > WHOLE_BYTES => (WireBody::Chunks(slices(&bytes)), false),
        Body::Full(bytes) => (WireBody::Full(bytes), false),
        Body::Chunks(pieces) => match Chunks::new(pieces) {
            c if gzip && c.left > from => packed(c),
            c => (WireBody::Chunks(c), false),
        },
        Body::Stream(s) => {
            (WireBody::Stream(Box::new(Streamed::new(s, Arc::clone(&connection.shared)))), false)
        }
        Body::Tunnel(_) => (WireBody::Empty, false),
    }
}

// k8s: staging/src/k8s.io/apimachinery/pkg/util/net/http.go NewWarningHeader
fn warn(headers: &mut http::HeaderMap, warnings: &[String]) {
    let mut left = WARNINGS_LIMIT_BYTES;
    let mut seen: Vec<&String> = Vec::new();
    for text in warnings {
        if text.is_empty() || seen.contains(&text) || left == 0 {
            continue;
        }
        seen.push(text);
        let mut value = String::with_capacity(text.len() + 8);
        value.push_str("299 - \"");
        for c in text.chars() {
            let Some(l) = left.checked_sub(c.len_utf8()) else {
                left = 0;
                break;
            };
            left = l;
            match c {
                '"' | '\\' => value.extend(['\\', c]),
                c if c.is_control() => value.push(' '),
                c => value.push(c),
            }
        }
        value.push('"');
        if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(value)) {
            headers.append(WARNING, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_quoted_once_and_bounded() {
        let mut h = http::HeaderMap::new();
        let long = "x".repeat(5000);
        warn(&mut h, &["a \"b\"\n".into(), "a \"b\"\n".into(), String::new(), long, "late".into()]);
        let all: Vec<&str> = h.get_all(WARNING).iter().map(|v| v.to_str().expect("ASCII")).collect();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0], "299 - \"a \\\"b\\\" \"");
        assert!(all[1].len() < 4200 && all[1].ends_with("xx\""));
    }
}
