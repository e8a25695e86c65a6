//! URLs as upstream's library reads them: absolute ones, or paths.
//! It must never take what that library refuses.
// k8s: staging/src/k8s.io/apiserver/pkg/cel/library/urls.go; Go's net/url

use crate::declare::{Library, decls};
use crate::error::Error;
use crate::meter::Meter;
use crate::types::Type;
use crate::value::{Opaque, OwnedMap, Value};
use std::any::Any;

type Out<'a> = Result<Value<'a>, Error>;

pub const LIBRARY: Library =
    Library { name: "kubernetes.urls", functions: FUNCTIONS, macros: &[], types: &[] };

#[rustfmt::skip]
const FUNCTIONS: &[crate::declare::Decl] = decls! {
    "getEscapedPath" "url_get_escaped_path" "kubernetes.URL.() -> string" => |_, a| part(a, |u| &u.path);
    "getHost" "url_get_host" "kubernetes.URL.() -> string" => |_, a| part(a, |u| &u.host);
    "getHostname" "url_get_hostname" "kubernetes.URL.() -> string" => hostname;
    "getPort" "url_get_port" "kubernetes.URL.() -> string" => port;
    "getQuery" "url_get_query" "kubernetes.URL.() -> map(string, list(string))" => query;
    "getScheme" "url_get_scheme" "kubernetes.URL.() -> string" => |_, a| part(a, |u| &u.scheme);
    "isURL" "is_url_string" "(string) -> bool" => is_url;
    "url" "string_to_url" "(string) -> kubernetes.URL" => parse;
};

/// A URL in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Url {
    scheme: String,
    /// What follows the scheme when it is no path.
    opaque: String,
    user: Option<String>,
    /// With the port.
    host: String,
    /// Escaped.
    path: String,
    query: String,
    fragment: String,
}

impl Opaque for Url {
    fn ty(&self) -> Type {
        Type::object("kubernetes.URL")
    }
    fn equals(&self, other: &dyn Opaque) -> bool {
        other.as_any().downcast_ref::<Url>() == Some(self)
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Url {
    fn split_host(&self) -> (&str, &str) {
        let (host, port) = match self.host.rfind(':') {
            Some(at) if valid_port(&self.host[at..]) => (&self.host[..at], &self.host[at + 1..]),
            _ => (&*self.host, ""),
        };
        (host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host), port)
    }
}

fn valid_port(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').is_some_and(|p| p.bytes().all(|b| b.is_ascii_digit()))
}

/// What is left of a URL after `scheme:`.
fn scheme(text: &str) -> Result<(&str, &str), String> {
    for (at, c) in text.char_indices() {
        match c {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if at > 0 => {}
            ':' if at == 0 => return Err("missing protocol scheme".to_owned()),
            ':' => return Ok((&text[..at], &text[at + 1..])),
            _ => break,
        }
    }
    Ok(("", text))
}

/// Where percent signs may stand and what they may stand for.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Path,
    Query,
    Host,
    User,
}

fn unescape(text: &str, mode: Mode) -> Result<Vec<u8>, String> {
    let b = text.as_bytes();
    let mut out = Vec::with_capacity(b.len());
    let mut at = 0;
    while let Some(c) = b.get(at) {
        match c {
            b'%' => {
                let hex = |at: usize| b.get(at).and_then(|c| char::from(*c).to_digit(16));
                let (Some(high), Some(low)) = (hex(at + 1), hex(at + 2)) else {
                    let bad = String::from_utf8_lossy(&b[at..b.len().min(at + 3)]);
                    return Err(format!("invalid URL escape {bad:?}"));
                };
                if mode == Mode::Host && high < 8 && (high, low) != (2, 5) {
                    return Err(format!("invalid URL escape {:?}", &text[at..at + 3]));
                }
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            b'+' if mode == Mode::Query => {
                out.push(b' ');
                at += 1;
            }
            c => {
                let fine = c.is_ascii_alphanumeric() || b"-_.~!$&'()*+,;=:[]<>\"".contains(c);
                if mode == Mode::Host && c.is_ascii() && !fine {
                    return Err(format!("invalid character {:?} in host name", char::from(*c).to_string()));
                }
                out.push(*c);
                at += 1;
            }
        }
    }
    Ok(out)
}

fn host(scheme: &str, text: &str) -> Result<String, String> {
    let bad_port = |port: &str| format!("invalid port {port:?} after host");
    match text.rfind('[') {
        Some(0) => {
            let close = text.rfind(']').ok_or("missing ']' in host")?;
            let port = &text[close + 1..];
            if !valid_port(port) {
                return Err(bad_port(port));
            }
            let inner = text[1..close].split("%25").next().unwrap_or("");
            if inner.parse::<std::net::Ipv6Addr>().is_err() {
                if inner.parse::<std::net::Ipv4Addr>().is_ok() {
                    return Err("invalid IP-literal".to_owned());
                }
                return Err(format!("invalid host: ParseAddr({inner:?}): {}", super::ip::why(inner)));
            }
            return Ok(text.replace("%25", "%"));
        }
        Some(_) => return Err("invalid IP-literal".to_owned()),
        None => {}
    }
    // Only the schemes of the web are sure to have one colon.
    let colon = if matches!(scheme, "http" | "https") { text.find(':') } else { text.rfind(':') };
    if let Some(at) = colon
        && !valid_port(&text[at..])
    {
        return Err(bad_port(&text[at..]));
    }
    unescape(text, Mode::Host).map(|b| String::from_utf8_lossy(&b).into_owned())
}

/// A path as it is, when that is how it would be written, else escaped anew.
fn escaped_path(text: &str) -> Result<String, String> {
    let plain = unescape(text, Mode::Path)?;
    let is_fine = |c: &u8| c.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@!'()*[]%".contains(c);
    if text.bytes().all(|c| is_fine(&c)) {
        return Ok(text.to_owned());
    }
    let mut out = String::new();
    for c in plain {
        if c.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(&c) {
            out.push(char::from(c));
        } else {
            out.push_str(&format!("%{c:02X}"));
        }
    }
    Ok(out)
}

fn user(text: &str) -> Result<String, String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(c);
    if !text.chars().all(fine) {
        return Err("net/url: invalid userinfo".to_owned());
    }
    unescape(text, Mode::User).map(|_| text.to_owned())
}

/// Reads a URL; of a request it must be absolute, and has no fragment.
fn parts(text: &str, of_request: bool) -> Result<Url, String> {
    if text.bytes().any(|b| b < 0x20 || b == 0x7f) {
        return Err("net/url: invalid control character in URL".to_owned());
    }
    if text.is_empty() && of_request {
        return Err("empty url".to_owned());
    }
    let mut url = Url {
        scheme: String::new(),
        opaque: String::new(),
        user: None,
        host: String::new(),
        path: String::new(),
        query: String::new(),
        fragment: String::new(),
    };
    if text == "*" {
        url.path = "*".to_owned();
        return Ok(url);
    }
    let (scheme, rest) = scheme(text)?;
    url.scheme = scheme.to_ascii_lowercase();
    let (mut rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    url.query = query.to_owned();
    if !rest.starts_with('/') {
        if !scheme.is_empty() {
            url.opaque = rest.to_owned();
            return Ok(url);
        }
        return Err(if of_request { "invalid URI for request" } else { "relative URL" }.to_owned());
    }
    let authority = !scheme.is_empty() || (!of_request && !rest.starts_with("///"));
    if let (true, Some(after)) = (authority, rest.strip_prefix("//")) {
        let (name, path) = after.split_at(after.find('/').unwrap_or(after.len()));
        let (before, name) = name.rsplit_once('@').map_or((None, name), |(u, h)| (Some(u), h));
        url.host = host(&url.scheme, name)?;
        url.user = before.map(user).transpose()?;
        rest = path;
    }
    url.path = escaped_path(rest)?;
    Ok(url)
}

fn read(text: &str) -> Result<Url, String> {
    let wrap = |why: String| format!("parse {text:?}: {why}");
    parts(text, true).map_err(wrap)?;
    let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
    let url = parts(text, false).map_err(wrap)?;
    Ok(Url { fragment: fragment.to_owned(), ..url })
}

fn text<'v>(args: &'v [Value<'_>]) -> Result<&'v str, Error> {
    args.first().and_then(Value::as_str).ok_or_else(Error::no_such_overload)
}

fn parse<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    let url = read(text(args)?)
        .map_err(|why| Error::new(format!("URL parse error during conversion from string: {why}")))?;
    Ok(Value::opaque(url))
}

fn is_url<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    Ok(Value::Bool(parts(text(args)?, true).is_ok()))
}

/// Whether a text is the URI of a request, else why not.
pub(super) fn request_uri(text: &str) -> Result<(), String> {
    parts(text, true).map(|_| ()).map_err(|why| format!("parse {text:?}: {why}"))
}

fn url<'v>(args: &'v [Value<'_>]) -> Result<&'v Url, Error> {
    args.first().and_then(|v| v.downcast::<Url>()).ok_or_else(Error::no_such_overload)
}

fn part<'a>(args: &[Value<'a>], of: fn(&Url) -> &str) -> Out<'a> {
    Ok(Value::str(of(url(args)?).to_owned()))
}

fn hostname<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    Ok(Value::str(url(args)?.split_host().0.to_owned()))
}

fn port<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    Ok(Value::str(url(args)?.split_host().1.to_owned()))
}

/// Names to the values that they have; what is not well escaped is left out.
fn query<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    let mut values: Vec<(String, Vec<Value<'a>>)> = Vec::new();
    for pair in url(args)?.query.split('&') {
        if pair.is_empty() || pair.contains(';') {
            continue;
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let plain = |t| unescape(t, Mode::Query).map(|b| String::from_utf8_lossy(&b).into_owned());
        let (Ok(name), Ok(value)) = (plain(name), plain(value)) else { continue };
        match values.iter_mut().find(|(n, _)| *n == name) {
            Some((_, list)) => list.push(Value::str(value)),
            None => values.push((name, vec![Value::str(value)])),
        }
    }
    let mut map = OwnedMap::default();
    for (name, list) in values {
        map.set(Value::str(name), Value::list(list));
    }
    Ok(Value::Map(map.into()))
}
