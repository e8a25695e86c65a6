//! The client side of HTTP: sends a `meta::Request` to one server over kept-alive connections. It must never
//! send a request twice.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use http::header::{ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, UPGRADE, USER_AGENT, WARNING};
use http::uri::Uri;
use http::{HeaderName, HeaderValue, StatusCode};
use http_body::Body as _;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use meta::{Body, Request, Response, Status, Verb};
use parking_lot::Mutex;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use crate::path;

const CONNECT_TIME: Duration = Duration::from_secs(10);
/// A server answers or says that it cannot within its own 60 s.
const HEAD_TIME: Duration = Duration::from_secs(70);
/// Shorter than servers keep idle connections, so that a request does not meet one being closed.
const IDLE_TIME: Duration = Duration::from_secs(45);
const IDLE_LIMIT: usize = 64;

/// A request that got no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Nothing was sent.
    #[error("{0}")]
    NotSent(String),
    /// It may have happened.
    #[error("{0}")]
    Unknown(String),
}

/// The address of the server cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server address {url:?} cannot be used: {why}")]
pub struct BadAddress {
    pub url: String,
    pub why: &'static str,
}

/// Connections to one server.
pub struct Transport {
    host: String,
    port: u16,
    host_header: HeaderValue,
    /// What the server's paths begin with; empty mostly.
    prefix: String,
    /// As people write it: `https://10.0.0.1:6443`.
    base: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    idle: Arc<Pool>,
}

type Sender = SendRequest<Full<Bytes>>;

#[derive(Default)]
struct Pool(Mutex<VecDeque<(Sender, Instant)>>);

impl Pool {
    fn put(&self, sender: Sender) {
        let mut all = self.0.lock();
        all.push_back((sender, Instant::now()));
        if all.len() > IDLE_LIMIT {
            all.pop_front();
        }
    }

    /// The one used last: the others may end.
    fn take(&self) -> Option<Sender> {
        let mut all = self.0.lock();
        while all.front().is_some_and(|(_, since)| since.elapsed() > IDLE_TIME) {
            all.pop_front();
        }
        all.pop_back().map(|(sender, _)| sender)
    }
}

impl Transport {
    /// `url` is `https://host[:port][/prefix]` or `http://...`; `server_name` is expected in the server's
    /// certificate instead of the host.
    ///
    /// # Errors
    /// When the address is none.
    pub fn new(url: &str, tls: ClientConfig, server_name: Option<&str>) -> Result<Self, BadAddress> {
        let bad = |why| BadAddress { url: url.to_owned(), why };
        let uri: Uri = url.parse().map_err(|_| bad("it is no URL"))?;
        let https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(bad("it must begin with https:// or http://")),
        };
        let authority = uri.authority().ok_or(bad("it has no host"))?;
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let port = authority.port_u16().unwrap_or(if https { 443 } else { 80 });
        let host_header =
            HeaderValue::from_str(authority.as_str()).map_err(|_| bad("its host cannot be sent"))?;
        let tls = if https {
            let name = server_name.filter(|n| !n.is_empty()).unwrap_or(&host).to_owned();
            let name = ServerName::try_from(name).map_err(|_| bad("its host is no name"))?;
            Some((TlsConnector::from(Arc::new(tls)), name))
        } else {
            None
        };
        let prefix = uri.path().trim_end_matches('/').to_owned();
        let base = format!("{}://{authority}", if https { "https" } else { "http" });
        Ok(Transport { host, port, host_header, prefix, base, tls, idle: Arc::default() })
    }

    /// Sends one request. `authorization` is the value of that header.
    ///
    /// # Errors
    /// When there was no answer; an answer of whatever code is none.
    pub async fn send(
        &self,
        request: Request,
        authorization: Option<HeaderValue>,
    ) -> Result<Response, Failure> {
        let waits = request.verb == Verb::Watch || !path::is_long_running(request.verb, &request.target);
        let (url, http) = self.encode(request, authorization)?;
        let (sender, answer) = self.exchange(&url, http, waits).await?;
        Ok(decode(answer, sender, &self.idle))
    }

    /// Sends a request that asks for an upgrade (its headers say to what) and gives the upgraded connection.
    /// An answer that is no upgrade comes back as a response.
    ///
    /// # Errors
    /// When there was no answer.
    pub async fn upgrade(
        &self,
        request: Request,
        authorization: Option<HeaderValue>,
    ) -> Result<Result<Upgraded, Response>, Failure> {
        let (url, mut http) = self.encode(request, authorization)?;
        http.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        let (sender, mut answer) = self.exchange(&url, http, true).await?;
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(Err(decode(answer, sender, &self.idle)));
        }
        let headers = std::mem::take(answer.headers_mut());
        let io = hyper::upgrade::on(answer).await.map_err(|e| Failure::Unknown(e.to_string()))?;
        Ok(Ok(Upgraded { headers, io: TokioIo::new(io) }))
    }

    async fn exchange(
        &self,
        url: &str,
        mut http: http::Request<Full<Bytes>>,
        waits: bool,
    ) -> Result<(Sender, http::Response<Incoming>), Failure> {
        let method = http.method().clone();
        let unknown = |why: &str| Failure::Unknown(format!("{method} \"{url}\": {why}"));
        loop {
            let (mut sender, fresh) = self.connection(&method, url).await?;
            let sent = sender.try_send_request(http);
            let result = if waits {
                match tokio::time::timeout(HEAD_TIME, sent).await {
                    Ok(result) => result,
                    Err(_) => return Err(unknown("the server did not answer in time")),
                }
            } else {
                sent.await
            };
            match result {
                Ok(answer) => return Ok((sender, answer)),
                Err(mut e) => match e.take_message() {
                    // The kept connection had ended: the request has not left this process.
                    Some(message) if !fresh => http = message,
                    Some(_) => return Err(Failure::NotSent(format!("{method} \"{url}\": {}", e.error()))),
                    None => return Err(unknown(&e.error().to_string())),
                },
            }
        }
    }

    /// A connection and whether it is a new one.
    async fn connection(&self, method: &http::Method, url: &str) -> Result<(Sender, bool), Failure> {
        while let Some(mut sender) = self.idle.take() {
            if sender.ready().await.is_ok() {
                return Ok((sender, false));
            }
        }
        let failed = |why: &str| {
            let what = format!("{method} \"{url}\": dial tcp {}:{}: {why}", self.host, self.port);
            Failure::NotSent(what)
        };
        match tokio::time::timeout(CONNECT_TIME, self.dial()).await {
            Ok(Ok(sender)) => Ok((sender, true)),
            Ok(Err(e)) if e.kind() == io::ErrorKind::ConnectionRefused => {
                Err(failed("connect: connection refused"))
            }
            Ok(Err(e)) => Err(failed(&e.to_string())),
            Err(_) => Err(failed("i/o timeout")),
        }
    }

    async fn dial(&self) -> io::Result<Sender> {
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await?;
        crate::net::tune(&tcp)?;
        match &self.tls {
            None => handshake(tcp).await,
            Some((tls, name)) => handshake(tls.connect(name.clone(), tcp).await?).await,
        }
    }

    fn encode(
        &self,
        request: Request,
        authorization: Option<HeaderValue>,
    ) -> Result<(String, http::Request<Full<Bytes>>), Failure> {
        let bad = |e: http::Error| Failure::NotSent(format!("the request cannot be sent: {e}"));
        let path = format!("{}{}", self.prefix, path::path_and_query(&request));
        let url = format!("{}{path}", self.base);
        let mut http = http::Request::builder()
            .method(request.method.as_str())
            .uri(path)
            .header(HOST, &self.host_header)
            .body(Full::new(request.body))
            .map_err(bad)?;
        let headers = http.headers_mut();
        let text = [
            (ACCEPT, &request.accept),
            (CONTENT_TYPE, &request.content_type),
            (USER_AGENT, &request.user_agent),
        ];
        for (name, value) in text {
            if !value.is_empty() {
                headers.insert(name, HeaderValue::from_str(value).map_err(|e| bad(e.into()))?);
            }
        }
        for (name, value) in &request.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|e| bad(e.into()))?;
            headers.append(name, HeaderValue::from_str(value).map_err(|e| bad(e.into()))?);
        }
        if let Some(mut value) = authorization {
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        if headers.contains_key(UPGRADE) {
            headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        }
        Ok((url, http))
    }
}

async fn handshake<S>(io: S) -> io::Result<Sender>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(io)).await.map_err(io::Error::other)?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "connection to the server ended");
        }
    });
    Ok(sender)
}

/// A connection that speaks another protocol from here on.
pub struct Upgraded {
    /// Of the server's answer: the protocol it chose.
    pub headers: http::HeaderMap,
    pub io: TokioIo<hyper::upgrade::Upgraded>,
}

fn decode(answer: http::Response<Incoming>, sender: Sender, pool: &Arc<Pool>) -> Response {
    let (parts, body) = answer.into_parts();
    let mut response = Response::new(parts.status.as_u16(), "", Body::Full(Bytes::new()));
    for (name, value) in &parts.headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        match name.as_str() {
            "content-type" => response.content_type = value.into_owned().into(),
            "retry-after" => response.headers.push(("retry-after", value.into_owned())),
            "etag" => response.headers.push(("etag", value.into_owned())),
            "location" => response.headers.push(("location", value.into_owned())),
            "audit-id" => response.headers.push(("audit-id", value.into_owned())),
            _ if name == WARNING => response.warnings.extend(warning(&value)),
            _ => {}
        }
    }
    if body.is_end_stream() {
        pool.put(sender);
    } else {
        let pool = Arc::clone(pool);
        response.body = Body::Stream(Box::pin(Arriving { body, sender: Some(sender), pool }));
    }
    response
}

/// The text of `299 agent "text"`.
fn warning(value: &str) -> Option<String> {
    let quoted = value.strip_prefix("299 ")?.split_once('"')?.1;
    let mut text = String::with_capacity(quoted.len());
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return Some(text),
            '\\' => text.extend(chars.next()),
            c => text.push(c),
        }
    }
    None
}

/// A body that gives its connection back when it has arrived whole.
struct Arriving {
    body: Incoming,
    sender: Option<Sender>,
    pool: Arc<Pool>,
}

impl Stream for Arriving {
    type Item = Result<Bytes, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
            match frame {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        if this.body.is_end_stream() {
                            this.finish();
                        }
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
                Some(Err(e)) => {
                    this.sender = None;
                    let status = Status::failure(504, "Timeout", format!("the answer broke off: {e}"));
                    return Poll::Ready(Some(Err(status)));
                }
                None => {
                    this.finish();
                    return Poll::Ready(None);
                }
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        if self.body.is_end_stream() { (0, Some(0)) } else { (0, None) }
    }
}

impl Arriving {
    fn finish(&mut self) {
        if let Some(sender) = self.sender.take() {
            self.pool.put(sender);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_read() {
        for (value, want) in [
            ("299 - \"a \\\"b\\\" c\"", Some("a \"b\" c")),
            ("299 - \"x\" \"date\"", Some("x")),
            ("199 - \"x\"", None),
            ("299 - \"x", None),
        ] {
            assert_eq!(warning(value).as_deref(), want, "{value}");
        }
    }

    #[test]
    fn addresses() {
        let tls = || crate::tls::client_config(None, None).expect("no files");
        for (url, want) in [
            ("https://10.0.0.1:6443", Some(("10.0.0.1", 6443, ""))),
            ("https://host/", Some(("host", 443, ""))),
            ("http://[::1]:8080/a/b/", Some(("::1", 8080, "/a/b"))),
            ("host:6443", None),
            ("ftp://host", None),
            ("", None),
        ] {
            let got = Transport::new(url, tls(), None).ok();
            let got = got.as_ref().map(|t| (t.host.as_str(), t.port, t.prefix.as_str()));
            assert_eq!(got, want, "{url}");
        }
    }
}
