//! Formats of the network: URIs, mail addresses, hardware addresses, each as Go's standard library reads them.
// k8s: Go net/url ParseRequestURI, net/mail ParseAddress, net ParseMAC

/// An absolute URI or an absolute path.
pub fn uri(s: &str) -> bool {
    if s.is_empty() || s.bytes().any(|b| b < 0x20 || b == 0x7f) {
        return false;
    }
    if s == "*" {
        return true;
    }
    let Some((scheme, rest)) = scheme(s) else { return false };
    let rest = rest.split('?').next().unwrap_or("");
    if !rest.starts_with('/') {
        return !scheme.is_empty();
    }
    let path = match rest.strip_prefix("//") {
        Some(after) if !scheme.is_empty() => {
            let (authority, path) = after.find('/').map_or((after, ""), |at| after.split_at(at));
            if !is_authority(authority) {
                return false;
            }
            path
        }
        _ => rest,
    };
    escapes(path, |_| true)
}

/// The scheme, empty when there is none, and the rest; `None` when the text begins with a colon.
fn scheme(s: &str) -> Option<(&str, &str)> {
    for (i, b) in s.bytes().enumerate() {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if i > 0 => {}
            b':' if i == 0 => return None,
            b':' => return Some((&s[..i], &s[i + 1..])),
            _ => break,
        }
    }
    Some(("", s))
}

/// Whether each `%` is followed by two hexadecimal digits that `allowed` likes the first of.
fn escapes(s: &str, allowed: impl Fn(&[u8]) -> bool) -> bool {
    let b = s.as_bytes();
    b.iter().enumerate().filter(|(_, c)| **c == b'%').all(|(i, _)| {
        b.get(i + 1..i + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit) && allowed(hex))
    })
}

fn is_authority(s: &str) -> bool {
    let (user, host) = s.rsplit_once('@').map_or((None, s), |(u, h)| (Some(u), h));
    if let Some(user) = user {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&b);
        if !user.bytes().all(fits) || !escapes(user, |_| true) {
            return false;
        }
    }
    let is_port =
        |p: &str| p.is_empty() || p.strip_prefix(':').is_some_and(|d| d.bytes().all(|b| b.is_ascii_digit()));
    let port = match (host.starts_with('['), host.rfind(']')) {
        (true, None) => return false,
        (true, Some(end)) => &host[end + 1..],
        (false, _) => host.rfind(':').map_or("", |at| &host[at..]),
    };
    let in_host = |b: u8| b >= 0x80 || b.is_ascii_alphanumeric() || b"-_.~!$&'()*+,;=:[]<>\"%".contains(&b);
    is_port(port) && host.bytes().all(in_host) && escapes(host, |hex| hex[0] >= b'8' || hex == b"25")
}

/// `a@b.c`, or with a name in front: `A B <a@b.c>`.
pub fn email(s: &str) -> bool {
    let s = s.trim_matches([' ', '\t']);
    let Some(inner) = s.strip_suffix('>') else { return is_address(s) };
    let Some(at) = inner.rfind('<') else { return false };
    let (name, address) = (inner[..at].trim_matches([' ', '\t']), &inner[at + 1..]);
    is_phrase(name) && is_address(address.trim_matches([' ', '\t']))
}

fn is_atom_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || !c.is_ascii()
}

fn is_dot_atom(s: &str) -> bool {
    s.split('.').all(|part| !part.is_empty() && part.chars().all(is_atom_char))
}

/// The length of the quoted text that `s` begins with, quotes included.
fn quoted_len(s: &str) -> Option<usize> {
    let mut escaped = false;
    for (i, c) in s.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(i + 1),
            '\r' | '\n' => return None,
            _ => {}
        }
    }
    None
}

fn is_phrase(s: &str) -> bool {
    let mut rest = s;
    while !rest.is_empty() {
        let len = if rest.starts_with('"') {
            match quoted_len(rest) {
                Some(len) => len,
                None => return false,
            }
        } else {
            let len = rest.find(|c: char| !is_atom_char(c) && c != '.').unwrap_or(rest.len());
            if len == 0 {
                return false;
            }
            len
        };
        rest = rest[len..].trim_start_matches([' ', '\t']);
    }
    true
}

fn is_address(s: &str) -> bool {
    let local = if s.starts_with('"') {
        match quoted_len(s) {
            Some(len) => len,
            None => return false,
        }
    } else {
        match s.find('@') {
            Some(at) if is_dot_atom(&s[..at]) => at,
            _ => return false,
        }
    };
    let Some(domain) = s[local..].strip_prefix('@') else { return false };
    match domain.strip_prefix('[').and_then(|d| d.strip_suffix(']')) {
        Some(literal) => literal.parse::<std::net::IpAddr>().is_ok() || literal.starts_with("IPv6:"),
        None => is_dot_atom(domain),
    }
}

/// 6, 8 or 20 bytes: pairs of digits with `:` or `-` between, or groups of four with dots.
pub fn mac(s: &str) -> bool {
    let b = s.as_bytes();
    let (sep, width) = match (b.get(2), b.get(4)) {
        (Some(sep @ (b':' | b'-')), _) => (*sep, 2),
        (_, Some(b'.')) => (b'.', 4),
        _ => return false,
    };
    let mut groups = 0;
    let fits = b.split(|c| *c == sep).all(|g| {
        groups += 1;
        g.len() == width && g.iter().all(u8::is_ascii_hexdigit)
    });
    fits && matches!(groups * width / 2, 6 | 8 | 20)
}
