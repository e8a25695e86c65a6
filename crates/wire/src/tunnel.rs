//! Carries a request on to another server (a kubelet, an aggregated API) and its answer back, an upgraded
//! connection included. It must never decide who may do so.

mod html;
pub(crate) mod proxied;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::{Bytes, BytesMut};
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, LOCATION, SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use meta::{Admission, Status, Tunnel};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::server::{Busy, Shared, TOKEN_PROTOCOL, WireBody};
use crate::tls::{self, TlsError};

/// How long a server may take to accept a connection and agree on TLS.
const DIAL_TIME: Duration = Duration::from_secs(30);
/// How much of a kubelet's error text goes into a Status.
// k8s: staging/src/k8s.io/apiserver/pkg/registry/generic/rest/response_checker.go maxReadLength
const ERROR_LIMIT_BYTES: usize = 50_000;

/// How the far servers are trusted, and how this one shows itself.
#[derive(Default)]
pub struct DialerOptions<'a> {
    /// Verify the serving certificates of kubelets (tunnels with `client_certificate`) against this; without it
    /// any is taken, as upstream does unless told otherwise. Pods and services show what they like.
    pub ca_pem: Option<&'a [u8]>,
    /// Certificate and key for tunnels with `client_certificate`.
    pub client_pem: Option<(&'a [u8], &'a [u8])>,
}

/// Opens connections for tunnels.
pub struct Dialer {
    plain: Arc<ClientConfig>,
    with_certificate: ArcSwap<ClientConfig>,
    ca_pem: Option<Vec<u8>>,
}

impl Dialer {
    /// # Errors
    /// When a certificate or key cannot be read.
    pub fn new(options: &DialerOptions<'_>) -> Result<Self, TlsError> {
        Ok(Dialer {
            plain: Arc::new(tls::client_config(None, None)?),
            with_certificate: ArcSwap::from_pointee(tls::client_config(options.ca_pem, options.client_pem)?),
            ca_pem: options.ca_pem.map(<[u8]>::to_vec),
        })
    }

    /// New connections show this certificate.
    ///
    /// # Errors
    /// When it or its key cannot be read; the old one stays.
    pub fn replace(&self, cert_pem: &[u8], key_pem: &[u8]) -> Result<(), TlsError> {
        let config = tls::client_config(self.ca_pem.as_deref(), Some((cert_pem, key_pem)))?;
        self.with_certificate.store(Arc::new(config));
        Ok(())
    }

    async fn open(&self, to: &Tunnel) -> io::Result<Box<dyn Stream>> {
        let tcp = connect(to).await?;
        crate::net::tune(&tcp)?;
        if to.scheme != "https" {
            return Ok(Box::new(tcp));
        }
        let name = ServerName::try_from(to.host.clone())
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "the host is no name or address"))?;
        let config =
            if to.client_certificate { self.with_certificate.load_full() } else { Arc::clone(&self.plain) };
        Ok(Box::new(TlsConnector::from(config).connect(name, tcp).await?))
    }
}

/// The name is looked up once: what is checked is what is dialled.
async fn connect(to: &Tunnel) -> io::Result<TcpStream> {
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host((to.host.as_str(), to.port)).await?.collect();
    if to.global_only && !addresses.iter().all(|a| stdx::net::is_global_unicast(a.ip())) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, NotAllowed));
    }
    TcpStream::connect(&addresses[..]).await
}

/// The far server's address is not one to be dialled.
#[derive(Debug, thiserror::Error)]
#[error("address not allowed")]
struct NotAllowed;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// One request to carry on.
pub(crate) struct Order {
    pub(crate) to: Tunnel,
    pub(crate) parts: Parts,
    pub(crate) body: WireBody,
    /// The far side's errors are plain text and become a Status (`pods/log`).
    pub(crate) log: bool,
    /// The path under which the far side appears here, when it is proxied.
    pub(crate) prefix: Option<String>,
    /// Goes with an upgraded connection to its end.
    pub(crate) busy: Busy,
    /// Lives until the connections are apart.
    pub(crate) admission: Option<Arc<Admission>>,
}

/// The near side makes a WebSocket of the far side's plain answer: the far side is not asked to upgrade.
pub(crate) fn forget_upgrade(headers: &mut HeaderMap) {
    headers.remove(UPGRADE);
    let handshake: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with("sec-websocket-")).cloned().collect();
    for name in handshake {
        headers.remove(name);
    }
}

impl Order {
    fn url(&self) -> String {
        let host = &self.to.host;
        let (open, close) = if host.contains(':') { ("[", "]") } else { ("", "") };
        format!("{}://{open}{host}{close}:{}{}", self.to.scheme, self.to.port, self.to.path_and_query)
    }

    fn address(&self) -> String {
        let host = &self.to.host;
        if host.contains(':') {
            format!("[{host}]:{}", self.to.port)
        } else {
            format!("{host}:{}", self.to.port)
        }
    }

    /// Where the client should have asked: under a path with a slash at its end.
    fn redirect(&self, prefix: &str) -> Option<http::Response<WireBody>> {
        let to =
            proxied::with_slash(&self.parts.method, &self.parts.uri, prefix).filter(|_| !self.upgrades())?;
        let mut response = http::Response::new(WireBody::Empty);
        *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
        response.headers_mut().insert(LOCATION, HeaderValue::from_str(&to).ok()?);
        Some(response)
    }

    fn upgrades(&self) -> bool {
        self.parts.headers.contains_key(UPGRADE)
    }

    /// The far server could not be reached or broke off.
    // k8s: apimachinery/pkg/util/proxy/upgradeaware.go tryUpgrade, transport.go RoundTrip
    fn failed(&self, why: &str) -> Status {
        if self.upgrades() {
            Status::failure(500, "", format!("error dialing backend: {why}"))
        } else if self.log {
            Status::failure(500, "", format!("Get \"{}\": {why}", self.url()))
        } else {
            Status::unavailable(format!("error trying to reach service: {why}"))
        }
    }
}

/// An I/O error in the words upstream's dialer has for it.
fn dial_error(address: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => format!("dial tcp {address}: connect: connection refused"),
        io::ErrorKind::HostUnreachable => format!("dial tcp {address}: connect: no route to host"),
        io::ErrorKind::NetworkUnreachable => format!("dial tcp {address}: connect: network is unreachable"),
        io::ErrorKind::TimedOut => format!("dial tcp {address}: i/o timeout"),
        _ => format!("dial tcp {address}: {error}"),
    }
}

/// Sends the request on and gives back the answer.
pub(crate) async fn carry(
    shared: &Arc<Shared>,
    mut order: Order,
) -> Result<http::Response<WireBody>, Status> {
    let Some(dialer) = &shared.dialer else {
        return Err(Status::unavailable("this server cannot connect to other servers"));
    };
    let address = order.address();
    if let Some(to) = order.prefix.as_deref().and_then(|prefix| order.redirect(prefix)) {
        return Ok(to);
    }
    let near_host = proxied::host(&order.parts.headers, &order.parts.uri);
    let io = match tokio::time::timeout(DIAL_TIME, dialer.open(&order.to)).await {
        Ok(Ok(io)) => io,
        Ok(Err(e)) if e.get_ref().is_some_and(|e| e.is::<NotAllowed>()) => {
            return Err(Status::bad_request(NotAllowed.to_string()));
        }
        Ok(Err(e)) => return Err(order.failed(&dial_error(&address, &e))),
        Err(_) => return Err(order.failed(&format!("dial tcp {address}: i/o timeout"))),
    };
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(io)).await.map_err(|e| order.failed(&e.to_string()))?;
    shared.tasks.spawn({
        let stopping = shared.stopping.clone();
        async move {
            tokio::select! {
                _ = connection.with_upgrades() => {}
                () = stopping.cancelled() => {}
            }
        }
    });
    let request = far_request(&mut order, &address)?;
    let answer = sender.send_request(request).await.map_err(|e| order.failed(&e.to_string()))?;
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        return upgrade(shared, order, answer);
    }
    if order.log && answer.status().as_u16() >= 400 {
        return Err(log_error(&address, answer).await);
    }
    let (mut parts, mut body) = answer.into_parts();
    remove_hop_by_hop(&mut parts.headers, false);
    let carried = |head, rest| WireBody::incoming(head, rest, order.admission.clone());
    let Some(prefix) = &order.prefix else {
        return Ok(http::Response::from_parts(parts, carried(Bytes::new(), body)));
    };
    let near = near_host.as_ref().and_then(|h| h.to_str().ok()).unwrap_or_default();
    let at = proxied::Appearance { prefix, far: &address, near };
    at.redirect(&mut parts.headers);
    if order.parts.method == Method::HEAD || !proxied::is_page(&parts.headers) {
        return Ok(http::Response::from_parts(parts, carried(Bytes::new(), body)));
    }
    let body = match read_page(&mut body).await.map_err(|e| order.failed(&e.to_string()))? {
        (head, true) => carried(head, body),
        (whole, false) => match at.page(&parts.headers, &whole) {
            Some(new) => {
                parts.headers.remove(CONTENT_LENGTH);
                WireBody::Full(new.into())
            }
            None => WireBody::Full(whole),
        },
    };
    Ok(http::Response::from_parts(parts, body))
}

/// As much of a page as is read at most, and whether there is more.
async fn read_page(body: &mut Incoming) -> Result<(Bytes, bool), hyper::Error> {
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        all.extend_from_slice(&data);
        if all.len() > proxied::LIMIT_PAGE_BYTES {
            tracing::debug!("a proxied page is too large for its links to be changed");
            return Ok((all.freeze(), true));
        }
    }
    Ok((all.freeze(), false))
}

fn far_request(order: &mut Order, address: &str) -> Result<http::Request<WireBody>, Status> {
    let mut request = http::Request::new(std::mem::replace(&mut order.body, WireBody::Empty));
    *request.method_mut() = order.parts.method.clone();
    *request.uri_mut() = order
        .to
        .path_and_query
        .parse()
        .map_err(|_| Status::internal("the path of the far server cannot be sent"))?;
    let mut headers = order.parts.headers.clone();
    remove_hop_by_hop(&mut headers, true);
    remove_identity(&mut headers);
    if order.prefix.is_some() && !order.upgrades() {
        let near_host = proxied::host(&order.parts.headers, &order.parts.uri);
        proxied::tell(&mut headers, &order.parts.uri, near_host.as_ref());
    }
    headers.insert(
        HOST,
        HeaderValue::from_str(address).map_err(|_| Status::internal("the far host cannot be sent"))?,
    );
    for (name, value) in &order.to.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            headers.insert(name, value);
        }
    }
    *request.headers_mut() = headers;
    Ok(request)
}

/// The far server must not learn who asked, nor get what proves it, by any but this server's word.
// k8s: staging/src/k8s.io/apiserver/pkg/authentication/request/websocket/protocol.go AuthenticateRequest
fn remove_identity(headers: &mut HeaderMap) {
    headers.remove(AUTHORIZATION);
    let claims: Vec<HeaderName> = headers
        .keys()
        .filter(|n| n.as_str().starts_with("impersonate-") || n.as_str().starts_with("x-remote-"))
        .cloned()
        .collect();
    for name in claims {
        headers.remove(name);
    }
    let lists: Vec<HeaderValue> = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().cloned().collect();
    if !lists.iter().any(|l| holds_token(l.as_bytes())) {
        return;
    }
    headers.remove(SEC_WEBSOCKET_PROTOCOL);
    for list in lists {
        let kept: Vec<&[u8]> = list
            .as_bytes()
            .split(|b| *b == b',')
            .map(<[u8]>::trim_ascii)
            .filter(|p| !p.is_empty() && !holds_token(p))
            .collect();
        if let Ok(kept) = HeaderValue::from_bytes(&kept.join(&b", "[..]))
            && !kept.is_empty()
        {
            headers.append(SEC_WEBSOCKET_PROTOCOL, kept);
        }
    }
}

fn holds_token(protocols: &[u8]) -> bool {
    protocols.windows(TOKEN_PROTOCOL.len()).any(|w| w.eq_ignore_ascii_case(TOKEN_PROTOCOL.as_bytes()))
}

/// Headers that are between two ends of one connection; an upgrade is carried on where asked.
fn remove_hop_by_hop(headers: &mut HeaderMap, keep_upgrade: bool) {
    let upgrade = headers.get(UPGRADE).cloned().filter(|_| keep_upgrade);
    for name in
        ["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"]
    {
        headers.remove(name);
    }
    if let Some(protocol) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, protocol);
    }
}

fn upgrade(
    shared: &Arc<Shared>,
    order: Order,
    mut answer: http::Response<Incoming>,
) -> Result<http::Response<WireBody>, Status> {
    let busy = order.busy;
    let mut near_request = http::Request::from_parts(order.parts, ());
    if !near_request.headers().contains_key(UPGRADE) {
        return Err(Status::unavailable("the far server upgraded a connection without being asked"));
    }
    let near = hyper::upgrade::on(&mut near_request);
    let far = hyper::upgrade::on(&mut answer);
    let stopping = shared.stopping.clone();
    let admission = order.admission;
    shared.tasks.spawn(async move {
        let _held = (busy, admission);
        let copy = async {
            let (near, far) = tokio::try_join!(near, far).map_err(io::Error::other)?;
            let (mut near, mut far) = (TokioIo::new(near), TokioIo::new(far));
            tokio::io::copy_bidirectional(&mut near, &mut far).await
        };
        tokio::select! {
            r = copy => if let Err(error) = r {
                tracing::debug!(%error, "tunnel ended");
            },
            () = stopping.cancelled() => {}
        }
    });
    let mut response = http::Response::new(WireBody::Empty);
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = std::mem::take(answer.headers_mut());
    Ok(response)
}

// k8s: staging/src/k8s.io/apiserver/pkg/registry/generic/rest/response_checker.go Check
async fn log_error(address: &str, answer: http::Response<Incoming>) -> Status {
    let code = answer.status();
    let is_json =
        answer.headers().get(CONTENT_TYPE).is_some_and(|v| v.as_bytes().starts_with(b"application/json"));
    let body = Limited::new(answer.into_body(), ERROR_LIMIT_BYTES).collect().await;
    let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_else(|_| Bytes::new());
    if is_json && let Some(status) = Status::from_json(&body) {
        return status;
    }
    let text = String::from_utf8_lossy(&body).trim().to_owned();
    match code.as_u16() {
        500 => Status::internal(text),
        400 => Status::bad_request(text),
        code => {
            let message = if text.is_empty() { format!("unknown answer of {address}") } else { text };
            let reason = match code {
                401 => "Unauthorized",
                403 => "Forbidden",
                404 => "NotFound",
                503 => "ServiceUnavailable",
                _ => "",
            };
            Status::failure(code, reason, message)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_in_upstreams_words() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(
            dial_error("10.0.0.1:10250", &refused),
            "dial tcp 10.0.0.1:10250: connect: connection refused"
        );
    }

    #[test]
    fn who_asked_stays_behind() {
        let token = "base64url.bearer.authorization.k8s.io.dG9r";
        let (both, first, only) = (
            format!("{token}, v5.channel.k8s.io"),
            format!("v4.channel.k8s.io,{token} , x"),
            token.to_owned(),
        );
        let cases: [(&str, &str, &[&str]); 9] = [
            ("sec-websocket-protocol", &both, &["v5.channel.k8s.io"]),
            ("sec-websocket-protocol", &first, &["v4.channel.k8s.io, x"]),
            ("sec-websocket-protocol", &only, &[]),
            ("sec-websocket-protocol", "v4.channel.k8s.io,x", &["v4.channel.k8s.io,x"]),
            ("authorization", "Bearer tok", &[]),
            ("impersonate-user", "root", &[]),
            ("impersonate-extra-a", "b", &[]),
            ("x-remote-group", "system:masters", &[]),
            ("x-request-id", "7", &["7"]),
        ];
        for (name, value, want) in cases {
            let mut h = HeaderMap::new();
            h.insert(name, HeaderValue::from_str(value).expect("a value"));
            remove_identity(&mut h);
            let got: Vec<&str> = h.get_all(name).iter().map(|v| v.to_str().expect("ASCII")).collect();
            assert_eq!(got, want, "{name}: {value}");
        }
    }

    #[test]
    fn hop_by_hop_headers_stay_behind() {
        let mut h = HeaderMap::new();
        h.insert(CONNECTION, HeaderValue::from_static("keep-alive, Upgrade"));
        h.insert(UPGRADE, HeaderValue::from_static("SPDY/3.1"));
        h.insert("te", HeaderValue::from_static("trailers"));
        h.insert("x-stream-protocol-version", HeaderValue::from_static("v4.channel.k8s.io"));
        let mut kept = h.clone();
        remove_hop_by_hop(&mut kept, true);
        assert_eq!((kept.len(), kept[CONNECTION].as_bytes()), (3, &b"Upgrade"[..]));
        remove_hop_by_hop(&mut h, false);
        assert_eq!(h.len(), 1);
    }
}
