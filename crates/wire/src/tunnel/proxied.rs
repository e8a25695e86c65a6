//! What a proxied server (`pods/proxy`, `services/proxy`, `nodes/proxy`) is told of its clients' addresses, and what
//! its clients are told of its redirects: it appears under a path of this server.
//! Not there: rewriting of links inside pages.
// k8s: staging/src/k8s.io/apimachinery/pkg/util/proxy/transport.go, upgradeaware.go ServeHTTP

use http::header::{HOST, LOCATION};
use http::uri::Uri;
use http::{HeaderMap, HeaderValue, Method};

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

/// Turns a redirect to the far server's own paths into one to the path under which it appears.
pub(crate) fn rewrite(headers: &mut HeaderMap, prefix: &str, far: &str, near_host: Option<&HeaderValue>) {
    let near = near_host.and_then(|h| h.to_str().ok()).unwrap_or_default();
    let Some(location) = headers.get(LOCATION).and_then(|l| l.to_str().ok()) else { return };
    if let Ok(new) = HeaderValue::from_str(&rewritten(location, prefix, far, near)) {
        headers.insert(LOCATION, new);
    }
}

/// The `Host` that a client gave.
pub(crate) fn host(headers: &HeaderMap, uri: &Uri) -> Option<HeaderValue> {
    let of_uri = || uri.authority().and_then(|a| HeaderValue::from_str(a.as_str()).ok());
    headers.get(HOST).cloned().or_else(of_uri)
}

fn rewritten(location: &str, prefix: &str, far: &str, near: &str) -> String {
    let (authority, path) = match location.split_once("://") {
        Some((_, rest)) => rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len())),
        None => match location.strip_prefix("//") {
            Some(rest) => rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len())),
            None => ("", location),
        },
    };
    let elsewhere = !authority.is_empty() && authority != far && authority != near;
    if elsewhere || !path.starts_with('/') {
        return location.to_owned();
    }
    let inside = path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let path = if inside { path.to_owned() } else { format!("{prefix}{path}") };
    if authority.is_empty() { path } else { format!("https://{near}{path}") }
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
            ("http://10.244.0.5:8080/x", format!("https://{near}{PREFIX}/x")),
            ("http://10.0.0.1:6443/x", format!("https://{near}{PREFIX}/x")),
            ("//10.244.0.5:8080/x", format!("https://{near}{PREFIX}/x")),
            ("http://example.com/x", "http://example.com/x".to_owned()),
            (&format!("{PREFIX}/x"), format!("{PREFIX}/x")),
        ] {
            assert_eq!(rewritten(location, PREFIX, far, near), want, "{location}");
        }
    }
}
