//! One HTTP GET for probes and lifecycle hooks: no pool, no redirects, certificates not verified (the target
//! is a pod that proves nothing by its name). It must never be used where the answer is trusted.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// Bytes of an answer that are read.
const BODY_LIMIT: usize = 10 << 10;

/// What to get. The path may have a query, and anything in it that a user has written; see [`target`].
pub struct Get<'a> {
    pub https: bool,
    pub host: &'a str,
    pub port: u16,
    pub path: &'a str,
    pub headers: &'a [(String, String)],
}

/// The target of the request line for a path as a user has written it: its query stays, what may not stand in a target
/// is escaped, and what is escaped stays so. A path without a leading slash gets one.
// k8s: pkg/probe/http/request.go formatURL; Go's url.Parse and URL.RequestURI
#[must_use]
pub fn target(path: &str) -> String {
    let written = path.split_once('#').map_or(path, |(before, _)| before);
    let (before, query) = written.split_once('?').map_or((written, None), |(p, q)| (p, Some(q)));
    let out = match unescape(before) {
        // It is no URL: every byte of it is the path.
        None => return rooted(escape(path.as_bytes())),
        Some(_) if is_valid(before) => before.to_owned(),
        Some(bytes) => escape(&bytes),
    };
    match query {
        None => rooted(out),
        Some(q) => format!("{}?{}", rooted(out), escape_query(q)),
    }
}

fn rooted(path: String) -> String {
    if path.starts_with('/') { path } else { format!("/{path}") }
}

/// The bytes behind `%41`; `None` where a percent sign has no two digits behind it.
fn unescape(path: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            out.push(*first);
            continue;
        }
        let digits = rest.get(..2).filter(|d| d.iter().all(u8::is_ascii_hexdigit))?;
        out.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = &rest[2..];
    }
    Some(out)
}

fn is_unreserved(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(&b)
}

/// Whether a path can go out as it stands.
fn is_valid(path: &str) -> bool {
    path.bytes().all(|b| is_unreserved(b) || b"!'()*[]%".contains(&b))
}

fn escape(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for b in bytes {
        push(&mut out, *b, is_unreserved(*b));
    }
    out
}

/// Go sends a query as it is; what would break the request line, or is not ASCII, is escaped.
fn escape_query(query: &str) -> String {
    let mut out = String::with_capacity(query.len());
    for b in query.bytes() {
        push(&mut out, b, b.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&b));
    }
    out
}

fn push(out: &mut String, b: u8, plain: bool) {
    use std::fmt::Write;
    if plain {
        out.push(char::from(b));
    } else {
        let _ = write!(out, "%{b:02X}");
    }
}

/// `host:port`, with brackets for IPv6.
#[must_use]
pub fn join(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// The end of Go's words for a failed connect.
#[must_use]
pub fn dial_error(e: &std::io::Error) -> String {
    match e.kind() {
        std::io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        std::io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        std::io::ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
        std::io::ErrorKind::TimedOut => "i/o timeout".to_owned(),
        _ => e.to_string(),
    }
}

/// Status code and the beginning of the body.
///
/// # Errors
/// Why there is no answer, in the words Go's client has for it.
pub async fn get(g: &Get<'_>, limit: Duration) -> Result<(u16, String), String> {
    let scheme = if g.https { "https" } else { "http" };
    let path = target(g.path);
    let url = format!("{scheme}://{}{path}", join(g.host, g.port));
    let result = tokio::time::timeout(limit, once(g, &path)).await;
    match result {
        Ok(r) => r.map_err(|e| format!("Get \"{url}\": {e}")),
        Err(_) => Err(format!(
            "Get \"{url}\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        )),
    }
}

async fn once(g: &Get<'_>, path: &str) -> Result<(u16, String), String> {
    let target = join(g.host, g.port);
    let tcp = TcpStream::connect((g.host, g.port))
        .await
        .map_err(|e| format!("dial tcp {target}: {}", dial_error(&e)))?;
    if !g.https {
        return exchange(g, path, tcp).await;
    }
    let config = crate::tls::client_config(None, None).map_err(|e| e.to_string())?;
    let name = ServerName::try_from(g.host.to_owned()).map_err(|e| e.to_string())?;
    let tls = tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await
        .map_err(|e| e.to_string())?;
    exchange(g, path, tls).await
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    g: &Get<'_>,
    path: &str,
    stream: S,
) -> Result<(u16, String), String> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
    let driver = tokio::spawn(connection);
    let has = |name: &str| g.headers.iter().any(|(k, _)| k.eq_ignore_ascii_case(name));
    let mut request = http::Request::get(path);
    if !has("host") {
        request = request.header("host", join(g.host, g.port));
    }
    if !has("user-agent") {
        request = request.header("user-agent", "kube-probe/1.37");
    }
    if !has("accept") {
        request = request.header("accept", "*/*");
    }
    for (k, v) in g.headers.iter().filter(|(_, v)| !v.is_empty()) {
        request = request.header(k.as_str(), v.as_str());
    }
    let request = request
        .header("connection", "close")
        .body(Empty::<bytes::Bytes>::new())
        .map_err(|e| e.to_string())?;
    let answer = sender.send_request(request).await.map_err(|_| "EOF".to_owned());
    let out = match answer {
        Ok(a) => {
            let code = a.status().as_u16();
            let body = Limited::new(a.into_body(), BODY_LIMIT)
                .collect()
                .await
                .map(http_body_util::Collected::to_bytes);
            Ok((code, String::from_utf8_lossy(&body.unwrap_or_default()).into_owned()))
        }
        Err(e) => Err(e),
    };
    driver.abort();
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_escaped_as_go_does_and_can_be_sent() {
        let cases = [
            ("/healthz", "/healthz"),
            ("", "/"),
            ("healthz", "/healthz"),
            ("/a?b=c&d=%20e", "/a?b=c&d=%20e"),
            ("/a b", "/a%20b"),
            ("/a\"b", "/a%22b"),
            ("/gr\u{fc}n", "/gr%C3%BCn"),
            ("/a%2Fb", "/a%2Fb"),
            ("/a%2Fb c", "/a/b%20c"),
            ("/a%zz?x", "/a%25zz%3Fx"),
            ("/100%", "/100%25"),
            ("/a!(b)*'[c]", "/a!(b)*'[c]"),
            ("/a;b,c:d@e$f&g=h+i", "/a;b,c:d@e$f&g=h+i"),
            ("/<a>", "/%3Ca%3E"),
            ("/a#frag", "/a"),
            ("/a?b#frag", "/a?b"),
            ("/a?q=x y\"z\u{e9}", "/a?q=x%20y%22z%C3%A9"),
            ("/a?b?c", "/a?b?c"),
            ("/a\nb", "/a%0Ab"),
        ];
        for (path, want) in cases {
            let got = target(path);
            assert_eq!(got, want, "{path:?}");
            assert!(http::Request::get(got.as_str()).body(()).is_ok(), "{path:?}");
        }
    }
}
