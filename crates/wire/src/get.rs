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

/// What to get. A path without a leading slash gets one.
pub struct Get<'a> {
    pub https: bool,
    pub host: &'a str,
    pub port: u16,
    pub path: &'a str,
    pub headers: &'a [(String, String)],
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
    let path = if g.path.starts_with('/') { g.path.to_owned() } else { format!("/{}", g.path) };
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
