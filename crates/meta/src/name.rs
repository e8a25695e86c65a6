//! The forms that names of all kinds must have, with upstream's words for what is wrong.
//! Each check gives every complaint; an empty list means valid. Nothing here allocates when all is well.
// k8s: staging/src/k8s.io/apimachinery/pkg/util/validation/validation.go, api/validate/content

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest DNS label in bytes.
pub const DNS_LABEL_MAX_BYTES: usize = 63;
/// Longest DNS subdomain in bytes.
pub const DNS_SUBDOMAIN_MAX_BYTES: usize = 253;
/// Longest label value, and longest name part of a label key, in bytes.
pub const LABEL_MAX_BYTES: usize = 63;

const DNS1123_LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const DNS1123_SUBDOMAIN: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const DNS1123_SUBDOMAIN_TEXT: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
const QUALIFIED: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const QUALIFIED_TEXT: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";

/// Complaints about a value; empty when it is valid.
pub type Complaints = Vec<String>;

/// `must be no more than N characters`.
#[must_use]
pub fn max_len(limit: usize) -> String {
    format!("must be no more than {limit} characters")
}

/// The same of label keys and values, where upstream counts bytes by name.
// k8s: staging/src/k8s.io/apimachinery/pkg/api/validate/content/errors.go MaxLenError
fn max_bytes(limit: usize) -> String {
    format!("must be no more than {limit} bytes")
}

/// `must be between lo and hi, inclusive`.
#[must_use]
pub fn inclusive_range(lo: i64, hi: i64) -> String {
    format!("must be between {lo} and {hi}, inclusive")
}

fn form(text: &str, pattern: &str, examples: &[&str]) -> String {
    if examples.is_empty() {
        return format!("{text} (regex used for validation is '{pattern}')");
    }
    let examples: Vec<String> = examples.iter().map(|e| format!("'{e}', ")).collect();
    format!("{text} (e.g. {}regex used for validation is '{pattern}')", examples.join(" or "))
}

fn lower_alnum(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit()
}

fn bounded(s: &str, edge: fn(u8) -> bool, middle: fn(u8) -> bool) -> bool {
    let b = s.as_bytes();
    match (b.first(), b.last()) {
        (Some(&first), Some(&last)) => edge(first) && edge(last) && b.iter().all(|&c| middle(c)),
        _ => false,
    }
}

fn is_label_form(s: &str) -> bool {
    bounded(s, lower_alnum, |c| lower_alnum(c) || c == b'-')
}

fn is_subdomain_form(s: &str) -> bool {
    s.split('.').all(is_label_form)
}

fn is_qualified_form(s: &str) -> bool {
    bounded(s, |c| c.is_ascii_alphanumeric(), |c| c.is_ascii_alphanumeric() || b"-_.".contains(&c))
}

/// A DNS label after RFC 1123: `my-name`.
#[must_use]
pub fn dns1123_label(s: &str) -> Complaints {
    let mut out = Vec::new();
    if s.len() > DNS_LABEL_MAX_BYTES {
        out.push(max_len(DNS_LABEL_MAX_BYTES));
    }
    if !is_label_form(s) {
        out.push(if is_subdomain_form(s) {
            "must not contain dots".to_owned()
        } else {
            form(
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
                DNS1123_LABEL,
                &["my-name", "123-abc"],
            )
        });
    }
    out
}

/// A DNS subdomain after RFC 1123: `example.com`.
#[must_use]
pub fn dns1123_subdomain(s: &str) -> Complaints {
    let mut out = Vec::new();
    if s.len() > DNS_SUBDOMAIN_MAX_BYTES {
        out.push(max_len(DNS_SUBDOMAIN_MAX_BYTES));
    }
    if !is_subdomain_form(s) {
        out.push(form(DNS1123_SUBDOMAIN_TEXT, DNS1123_SUBDOMAIN, &["example.com"]));
    }
    out
}

/// A DNS subdomain whose labels may also have underscores, as search paths of resolvers do.
#[must_use]
pub fn dns1123_subdomain_with_underscore(s: &str) -> Complaints {
    let mut out = Vec::new();
    if s.len() > DNS_SUBDOMAIN_MAX_BYTES {
        out.push(max_len(DNS_SUBDOMAIN_MAX_BYTES));
    }
    let is_label = |label: &str| {
        let label = label.strip_prefix('_').unwrap_or(label);
        bounded(label, lower_alnum, |c| lower_alnum(c) || b"-_".contains(&c))
    };
    if !s.split('.').all(is_label) {
        out.push(form(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
            r"_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*",
            &["example.com"],
        ));
    }
    out
}

/// A DNS label after RFC 1035, which starts with a letter: `abc-123`.
#[must_use]
pub fn dns1035_label(s: &str) -> Complaints {
    let mut out = Vec::new();
    if s.len() > DNS_LABEL_MAX_BYTES {
        out.push(max_len(DNS_LABEL_MAX_BYTES));
    }
    if !(is_label_form(s) && s.as_bytes()[0].is_ascii_lowercase()) {
        out.push(form(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character",
            "[a-z]([-a-z0-9]*[a-z0-9])?",
            &["my-name", "abc-123"],
        ));
    }
    out
}

/// A subdomain whose first label is `*`.
#[must_use]
pub fn wildcard_dns1123_subdomain(s: &str) -> Complaints {
    let mut out = Vec::new();
    if s.len() > DNS_SUBDOMAIN_MAX_BYTES {
        out.push(max_len(DNS_SUBDOMAIN_MAX_BYTES));
    }
    if !s.strip_prefix("*.").is_some_and(is_subdomain_form) {
        out.push(form(
            "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
            r"\*\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*",
            &["*.example.com"],
        ));
    }
    out
}

/// An identifier of the C language.
#[must_use]
pub fn c_identifier(s: &str) -> Complaints {
    let b = s.as_bytes();
    let starts = b.first().is_some_and(|c| c.is_ascii_alphabetic() || *c == b'_');
    if starts && b.iter().all(|c| c.is_ascii_alphanumeric() || *c == b'_') {
        return Vec::new();
    }
    vec![form(
        "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_'",
        "[A-Za-z_][A-Za-z0-9_]*",
        &["my_name", "MY_NAME", "MyName"],
    )]
}

/// The length complaint with bytes for characters; others stay.
fn in_bytes(complaint: &str) -> String {
    if complaint == max_len(DNS_SUBDOMAIN_MAX_BYTES) {
        max_bytes(DNS_SUBDOMAIN_MAX_BYTES)
    } else {
        complaint.to_owned()
    }
}

/// A label key, also called a qualified name: `[example.com/]My-name`.
#[must_use]
pub fn qualified_name(s: &str) -> Complaints {
    let mut out = Vec::new();
    let mut parts = s.split('/');
    let name = match (parts.next(), parts.next(), parts.next()) {
        (Some(name), None, _) => name,
        (Some(prefix), Some(name), None) => {
            if prefix.is_empty() {
                out.push("prefix part must be non-empty".to_owned());
            } else {
                let complaints = dns1123_subdomain(prefix).into_iter();
                out.extend(complaints.map(|m| format!("prefix part {}", in_bytes(&m))));
            }
            name
        }
        _ => {
            let text = format!("a valid label key {QUALIFIED_TEXT}");
            let base = form(&text, QUALIFIED, &["MyName", "my.name", "123-abc"]);
            return vec![format!(
                "{base} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        out.push("name part must be non-empty".to_owned());
    } else if name.len() > LABEL_MAX_BYTES {
        out.push(format!("name part {}", max_bytes(LABEL_MAX_BYTES)));
    }
    if !is_qualified_form(name) {
        let text = format!("name part {QUALIFIED_TEXT}");
        out.push(form(&text, QUALIFIED, &["MyName", "my.name", "123-abc"]));
    }
    out
}

/// A label value; the empty string is one.
#[must_use]
pub fn label_value(s: &str) -> Complaints {
    let mut out = Vec::new();
    if s.len() > LABEL_MAX_BYTES {
        out.push(max_bytes(LABEL_MAX_BYTES));
    }
    if !s.is_empty() && !is_qualified_form(s) {
        out.push(form(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
            "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?",
            &["MyValue", "my_value", "12345"],
        ));
    }
    out
}

/// A key in a ConfigMap or Secret.
#[must_use]
pub fn config_map_key(s: &str) -> Complaints {
    let mut out = Vec::new();
    if s.len() > DNS_SUBDOMAIN_MAX_BYTES {
        out.push(max_len(DNS_SUBDOMAIN_MAX_BYTES));
    }
    if s.is_empty() || !s.bytes().all(|c| c.is_ascii_alphanumeric() || b"-._".contains(&c)) {
        out.push(form(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
            "[-._a-zA-Z0-9]+",
            &["key.name", "KEY_NAME", "key-name"],
        ));
    }
    out.extend(parent_directory(s));
    out
}

fn parent_directory(s: &str) -> Option<String> {
    match s {
        "." => Some("must not be '.'".to_owned()),
        ".." => Some("must not be '..'".to_owned()),
        _ if s.starts_with("..") => Some("must not start with '..'".to_owned()),
        _ => None,
    }
}

/// The name of an environment variable: printable ASCII without `=`.
#[must_use]
pub fn env_var_name(s: &str) -> Complaints {
    let mut out = Vec::new();
    if s.is_empty() {
        out.push("environment variable name must be non-empty".to_owned());
    }
    if !s.bytes().all(|c| (0x20..0x7f).contains(&c) && c != b'=') {
        out.push(
            "a valid environment variable name must consist only of printable ASCII characters other than '='"
                .to_owned(),
        );
    }
    out
}

/// The name of a container port: at most 15 of `[-a-z0-9]` with a letter among them.
#[must_use]
pub fn port_name(s: &str) -> Complaints {
    let mut out = Vec::new();
    if s.len() > 15 {
        out.push(max_len(15));
    }
    if s.is_empty() || !s.bytes().all(|c| lower_alnum(c) || c == b'-') {
        out.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned());
    }
    if !s.bytes().any(|c| c.is_ascii_lowercase()) {
        out.push("must contain at least one letter (a-z)".to_owned());
    }
    if s.contains("--") {
        out.push("must not contain consecutive hyphens".to_owned());
    }
    if s.starts_with('-') || s.ends_with('-') {
        out.push("must not begin or end with a hyphen".to_owned());
    }
    out
}

/// A port number, 1 to 65535.
#[must_use]
pub fn port_number(n: i64) -> Complaints {
    if (1..=65535).contains(&n) { Vec::new() } else { vec![inclusive_range(1, 65535)] }
}

/// A percentage such as `25%`.
#[must_use]
pub fn percent(s: &str) -> Complaints {
    let digits = s.strip_suffix('%').unwrap_or("");
    if !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit()) {
        return Vec::new();
    }
    vec![form(
        "a valid percent string must be a numeric string followed by an ending '%'",
        "[0-9]+%",
        &["1%", "93%"],
    )]
}

/// The name of an HTTP header.
#[must_use]
pub fn http_header_name(s: &str) -> Complaints {
    if !s.is_empty() && s.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-') {
        return Vec::new();
    }
    vec![form(
        "a valid HTTP header must consist of alphanumeric characters or '-'",
        "[-A-Za-z0-9]+",
        &["X-Header-Name"],
    )]
}

/// An IPv4 or IPv6 address in its usual notation.
#[must_use]
pub fn ip(s: &str) -> Complaints {
    if s.parse::<IpAddr>().is_ok() {
        return Vec::new();
    }
    vec!["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".to_owned()]
}

/// An IPv4 address.
#[must_use]
pub fn ipv4(s: &str) -> Complaints {
    if s.parse::<Ipv4Addr>().is_ok() {
        return Vec::new();
    }
    vec!["must be a valid IPv4 address".to_owned()]
}

/// An IPv6 address.
#[must_use]
pub fn ipv6(s: &str) -> Complaints {
    if s.parse::<Ipv6Addr>().is_ok() {
        return Vec::new();
    }
    vec!["must be a valid IPv6 address".to_owned()]
}

/// A block of addresses such as `10.0.0.0/8`.
#[must_use]
pub fn cidr(s: &str) -> Complaints {
    if parse_cidr(s).is_some() {
        return Vec::new();
    }
    vec!["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)".to_owned()]
}

/// Address and prefix length of a CIDR; `None` when it is not one. Host bits are kept.
#[must_use]
pub fn parse_cidr(s: &str) -> Option<(IpAddr, u8)> {
    let (addr, bits) = s.split_once('/')?;
    let addr: IpAddr = addr.parse().ok()?;
    if bits.is_empty() || bits.len() > 3 || !bits.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let bits: u8 = bits.parse().ok()?;
    let max = if addr.is_ipv4() { 32 } else { 128 };
    (bits <= max).then_some((addr, bits))
}

/// A name that can stand as one segment of a path (RBAC names, CRD instances' lower bound).
// k8s: staging/src/k8s.io/apimachinery/pkg/api/validation/path/name.go IsValidPathSegmentName
#[must_use]
pub fn path_segment(s: &str) -> Complaints {
    if s == "." || s == ".." {
        return vec![format!("may not be '{s}'")];
    }
    ["/", "%"].iter().filter(|c| s.contains(**c)).map(|c| format!("may not contain '{c}'")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_and_invalid() {
        type Row = (fn(&str) -> Complaints, &'static [&'static str], &'static [&'static str]);
        let table: &[Row] = &[
            (dns1123_label, &["a", "0", "a-b", "9z"], &["", "-a", "a-", "A", "a.b", "a_b", "ä"]),
            (dns1123_subdomain, &["a", "a.b", "1.2-3"], &["", ".", "a.", ".a", "a..b", "A.b", "a.-b"]),
            (dns1123_subdomain_with_underscore, &["_a.b", "a_b.c"], &["", "a_.b", "A.b", "__a"]),
            (dns1035_label, &["a", "a-1"], &["", "1a", "a-", "a.b"]),
            (qualified_name, &["a", "A_b.c", "x.y/A"], &["", "/a", "x/", "a/b/c", "-a", "X/a"]),
            (label_value, &["", "a", "A.b_c-1"], &["-", "a ", "a/b"]),
            (config_map_key, &["a", ".a", "A-_.", "a..b"], &["", ".", "..", "..a", "a/b"]),
            (env_var_name, &["A", "a b", "1", "a.b"], &["", "A=B", "ä", "a\n"]),
            (port_name, &["http", "a1", "1-a"], &["", "80", "-a", "a--b", "A", "abcdefghijklmnop"]),
            (c_identifier, &["_", "aB9"], &["", "9", "a-b"]),
            (path_segment, &["a:b", "system:x"], &[".", "..", "a/b", "a%b"]),
            (ip, &["10.0.0.1", "::1"], &["", "10.0.0", "1.2.3.256", "a"]),
            (cidr, &["10.0.0.0/8", "::/0"], &["10.0.0.0", "10.0.0.0/33", "::/129", "/8"]),
            (percent, &["0%", "100%"], &["", "%", "1", "a%"]),
            (wildcard_dns1123_subdomain, &["*.a.b"], &["*", "a.b", "*.*.a"]),
        ];
        for (i, (check, good, bad)) in table.iter().enumerate() {
            for s in *good {
                assert_eq!(check(s), Vec::<String>::new(), "row {i}: {s:?}");
            }
            for s in *bad {
                assert!(!check(s).is_empty(), "row {i}: {s:?}");
            }
        }
    }

    #[test]
    fn words_are_upstreams() {
        assert_eq!(
            dns1123_label("A"),
            [
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
            ]
        );
        assert_eq!(dns1123_label("a.b"), ["must not contain dots"]);
        assert_eq!(
            dns1123_subdomain("A"),
            [
                "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
            ]
        );
        assert_eq!(dns1123_label(&"a".repeat(64)), ["must be no more than 63 characters"]);
        assert_eq!(label_value(&"a".repeat(64)), ["must be no more than 63 bytes"]);
        assert!(qualified_name("a/b/c")[0].starts_with("a valid label key must consist of"));
    }
}
