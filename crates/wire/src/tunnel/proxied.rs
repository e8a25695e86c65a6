//! What a proxied server (`pods/proxy`, `services/proxy`, `nodes/proxy`) is told of its clients' addresses, and what
//! its clients are told of its redirects and of the links in its pages: it appears under a path of this server.
// k8s: staging/src/k8s.io/apimachinery/pkg/util/proxy/transport.go, upgradeaware.go ServeHTTP

use std::io::Read;

use flate2::Compression;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST, LOCATION};
use http::uri::Uri;
use http::{HeaderMap, HeaderValue, Method};

use super::html;

/// The path before the far server's own paths, escaped and without a slash at its end:
/// `/api/v1/namespaces/d/pods/web:80/proxy`. `subpath` is the far server's path, not escaped.
pub(crate) fn prefix<'a>(path: &'a str, subpath: &str) -> &'a str {
    let segments = if subpath.is_empty() { 0 } else { subpath.split('/').count() };
    let mut prefix = path;
    for _ in 0..segments {
        prefix = prefix.rsplit_once('/').map_or("", |(before, _)| before);
    }
    prefix.trim_end_matches('/')
}

/// Where a client is sent that asks for the far server's root without the slash that relative links need.
pub(crate) fn with_slash(method: &Method, uri: &Uri, prefix: &str) -> Option<String> {
    if uri.path() != prefix || !(method == Method::GET || method == Method::HEAD) {
        return None;
    }
    let query = uri.query().map(|q| format!("?{q}")).unwrap_or_default();
    Some(format!("{prefix}/{query}"))
}

/// Tells the far server how it was called.
pub(crate) fn tell(headers: &mut HeaderMap, uri: &Uri, near_host: Option<&HeaderValue>) {
    let mut set = |name: &'static str, value: Option<HeaderValue>| {
        if let Some(value) = value {
            headers.insert(name, value);
        }
    };
    set("x-forwarded-uri", HeaderValue::from_str(uri.path()).ok());
    set("x-forwarded-host", near_host.cloned());
    set("x-forwarded-proto", Some(HeaderValue::from_static("https")));
}

/// A page larger than this, as it is sent or unpacked, is carried on as it is.
pub(crate) const LIMIT_PAGE_BYTES: usize = 2 << 20;

/// The path under which a far server appears, and the authorities that mean it.
pub(crate) struct Appearance<'a> {
    pub(crate) prefix: &'a str,
    pub(crate) far: &'a str,
    pub(crate) near: &'a str,
}

impl Appearance<'_> {
    /// Turns a redirect to the far server's own paths into one to the path under which it appears.
    pub(crate) fn redirect(&self, headers: &mut HeaderMap) {
        let Some(location) = headers.get(LOCATION).and_then(|l| l.to_str().ok()) else { return };
        if let Ok(new) = HeaderValue::from_str(&self.link(location)) {
            headers.insert(LOCATION, new);
        }
    }

    /// Where a link of the far server leads from here.
    fn link(&self, link: &str) -> String {
        let (scheme, rest) = match link.split_once("//") {
            Some((scheme, rest)) if is_scheme(scheme) => (scheme, rest),
            _ => return if link.starts_with('/') { self.path(link) } else { link.to_owned() },
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        match () {
            () if !path.starts_with('/') => link.to_owned(),
            () if authority == self.far => self.path(path),
            () if authority == self.near => format!("{scheme}//{authority}{}", self.path(path)),
            () => link.to_owned(),
        }
    }

    fn path(&self, path: &str) -> String {
        let inside =
            path.strip_prefix(self.prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if inside { path.to_owned() } else { format!("{}{path}", self.prefix) }
    }

    /// The page with its links as they lead from here, when it is one whose encoding is understood.
    pub(crate) fn page(&self, headers: &HeaderMap, body: &[u8]) -> Option<Vec<u8>> {
        let rewritten = |page: &[u8]| html::rewrite(page, |link| self.link(link));
        match headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
            None => Some(rewritten(body)),
            Some(b"gzip") => {
                let page = unpacked(flate2::read::MultiGzDecoder::new(body))?;
                packed(flate2::read::GzEncoder::new(&*rewritten(&page), Compression::fast()))
            }
            Some(b"deflate") => {
                let page = unpacked(flate2::read::DeflateDecoder::new(body))?;
                packed(flate2::read::DeflateEncoder::new(&*rewritten(&page), Compression::fast()))
            }
            Some(_) => None,
        }
    }
}

/// Whether this, `http:` or nothing, can stand before the two slashes and the authority of a link.
fn is_scheme(text: &str) -> bool {
    let is_name = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    text.is_empty() || text.strip_suffix(':').is_some_and(is_name)
}

fn unpacked(from: impl Read) -> Option<Vec<u8>> {
    let mut page = Vec::new();
    from.take(LIMIT_PAGE_BYTES as u64 + 1).read_to_end(&mut page).ok()?;
    (page.len() <= LIMIT_PAGE_BYTES).then_some(page)
}

fn packed(mut from: impl Read) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    from.read_to_end(&mut all).ok()?;
    Some(all)
}

/// Whether links may be in the body.
pub(crate) fn is_page(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|t| t.to_str().ok()).unwrap_or_default();
    !headers.contains_key(LOCATION) && kind.split(';').next().is_some_and(|kind| kind.trim() == "text/html")
}

/// The `Host` that a client gave.
pub(crate) fn host(headers: &HeaderMap, uri: &Uri) -> Option<HeaderValue> {
    let of_uri = || uri.authority().and_then(|a| HeaderValue::from_str(a.as_str()).ok());
    headers.get(HOST).cloned().or_else(of_uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREFIX: &str = "/api/v1/namespaces/d/pods/web:80/proxy";

    #[test]
    fn prefixes() {
        for (path, subpath) in [
            (PREFIX.to_owned(), ""),
            (format!("{PREFIX}/"), ""),
            (format!("{PREFIX}/a"), "a"),
            (format!("{PREFIX}/a/"), "a/"),
            (format!("{PREFIX}/a%20b/c"), "a b/c"),
        ] {
            assert_eq!(prefix(&path, subpath), PREFIX, "{path}");
        }
        assert_eq!(prefix("/x", "a/b/c"), "");
    }

    #[test]
    fn the_root_has_a_slash() {
        let uri = |text: String| text.parse::<Uri>().expect("a path");
        let ask = |method: Method, tail: &str| with_slash(&method, &uri(format!("{PREFIX}{tail}")), PREFIX);
        assert_eq!(ask(Method::GET, ""), Some(format!("{PREFIX}/")));
        assert_eq!(ask(Method::HEAD, "?a=b"), Some(format!("{PREFIX}/?a=b")));
        assert_eq!(ask(Method::POST, ""), None);
        assert_eq!(ask(Method::GET, "/"), None);
        assert_eq!(ask(Method::GET, "/a"), None);
    }

    #[test]
    fn redirects() {
        let (far, near) = ("10.244.0.5:8080", "10.0.0.1:6443");
        for (location, want) in [
            ("/login", format!("{PREFIX}/login")),
            ("/login/?next=/a", format!("{PREFIX}/login/?next=/a")),
            ("login", "login".to_owned()),
            ("http://10.244.0.5:8080/x", format!("{PREFIX}/x")),
            ("http://10.0.0.1:6443/x", format!("http://{near}{PREFIX}/x")),
            ("//10.244.0.5:8080/x", format!("{PREFIX}/x")),
            ("//10.0.0.1:6443/x", format!("//{near}{PREFIX}/x")),
            ("?next=http://10.244.0.5:8080/x", "?next=http://10.244.0.5:8080/x".to_owned()),
            ("/a?next=//10.0.0.1:6443/", format!("{PREFIX}/a?next=//10.0.0.1:6443/")),
            ("#x", "#x".to_owned()),
            ("", String::new()),
            ("mailto:a@b", "mailto:a@b".to_owned()),
            ("http://example.com/x", "http://example.com/x".to_owned()),
            (&format!("{PREFIX}/x"), format!("{PREFIX}/x")),
        ] {
            assert_eq!(Appearance { prefix: PREFIX, far, near }.link(location), want, "{location}");
        }
    }

    #[test]
    fn pages_in_every_encoding() {
        let at = Appearance { prefix: PREFIX, far: "10.244.0.5:8080", near: "10.0.0.1:6443" };
        let page = b"<a href='/x'>";
        let want = format!("<a href='{PREFIX}/x'>");
        let headers = |encoding: Option<&'static str>| -> HeaderMap {
            encoding.into_iter().map(|e| (CONTENT_ENCODING, HeaderValue::from_static(e))).collect()
        };
        assert_eq!(at.page(&headers(None), page).unwrap(), want.as_bytes());
        let gzip = packed(flate2::read::GzEncoder::new(&page[..], Compression::fast())).unwrap();
        let new = at.page(&headers(Some("gzip")), &gzip).unwrap();
        assert_eq!(unpacked(flate2::read::GzDecoder::new(&*new)).unwrap(), want.as_bytes());
        let deflate = packed(flate2::read::DeflateEncoder::new(&page[..], Compression::fast())).unwrap();
        let new = at.page(&headers(Some("deflate")), &deflate).unwrap();
        assert_eq!(unpacked(flate2::read::DeflateDecoder::new(&*new)).unwrap(), want.as_bytes());
        assert_eq!(at.page(&headers(Some("br")), page), None);
        assert_eq!(at.page(&headers(Some("gzip")), page), None, "it is none");
        let zeros = std::io::repeat(0).take(LIMIT_PAGE_BYTES as u64 + 1);
        let bomb = packed(flate2::read::GzEncoder::new(zeros, Compression::fast())).unwrap();
        assert_eq!(at.page(&headers(Some("gzip")), &bomb), None, "too large");
    }

    #[test]
    fn only_pages_are_read() {
        let headers =
            |kind: &'static str| HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]);
        assert!(is_page(&headers("text/html")) && is_page(&headers("text/html ; charset=utf-8")));
        assert!(!is_page(&headers("text/plain")) && !is_page(&HeaderMap::new()));
    }
}
