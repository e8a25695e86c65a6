//! IP addresses.
//! It must never take an address with a zone, or one family's inside the other's.
// k8s: staging/src/k8s.io/apiserver/pkg/cel/library/ip.go, ip.go

use crate::declare::{Library, decls};
use crate::error::Error;
use crate::meter::Meter;
use crate::types::Type;
use crate::value::{Opaque, Value};
use std::any::Any;
use std::net::{IpAddr, Ipv6Addr};

type Out<'a> = Result<Value<'a>, Error>;

pub const LIBRARY: Library =
    Library { name: "kubernetes.net.ip", functions: FUNCTIONS, macros: &[], types: &["net.IP"] };

#[rustfmt::skip]
const FUNCTIONS: &[crate::declare::Decl] = decls! {
    "family" "ip_family" "net.IP.() -> int" => family;
    "ip" "string_to_ip" "(string) -> net.IP" => parse;
    "ip.isCanonical" "ip_is_canonical" "(string) -> bool" => is_canonical;
    "isGlobalUnicast" "ip_is_global_unicast" "net.IP.() -> bool" => |_, a| is(a, is_global_unicast);
    "isIP" "is_ip" "(string) -> bool" => is_ip;
    "isLinkLocalMulticast" "ip_is_link_local_multicast" "net.IP.() -> bool" => |_, a| is(a, is_link_local_multicast);
    "isLinkLocalUnicast" "ip_is_link_local_unicast" "net.IP.() -> bool" => |_, a| is(a, is_link_local_unicast);
    "isLoopback" "ip_is_loopback" "net.IP.() -> bool" => |_, a| is(a, is_loopback);
    "isUnspecified" "ip_is_unspecified" "net.IP.() -> bool" => |_, a| is(a, is_unspecified);
    "string" "ip_to_string" "(net.IP) -> string" => to_string;
};

/// An address as a value.
#[derive(Clone, Copy, Debug)]
pub struct Ip(pub IpAddr);

impl Opaque for Ip {
    fn ty(&self) -> Type {
        Type::Opaque("net.IP".into(), [].into())
    }
    fn equals(&self, other: &dyn Opaque) -> bool {
        other.as_any().downcast_ref::<Ip>().is_some_and(|o| o.0 == self.0)
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn size(&self) -> Option<u64> {
        Some(if self.0.is_ipv4() { 4 } else { 16 })
    }
    fn text(&self) -> Option<String> {
        Some(self.0.to_string())
    }
}

/// Reads an address.
///
/// # Errors
/// What is wrong with it, in upstream's words.
pub fn address(text: &str) -> Result<IpAddr, Error> {
    if let Some((address, zone)) = text.split_once('%')
        && address.parse::<Ipv6Addr>().is_ok()
        && !zone.is_empty()
    {
        return Err(Error::new(format!("IP address {text:?} with zone value is not allowed")));
    }
    let parsed = text.parse::<IpAddr>().map_err(|_| {
        let why = why(text);
        let parse = format!("ParseAddr({text:?}): {why}");
        Error::new(format!("IP Address {text:?} parse error during conversion from string: {parse}"))
    })?;
    if matches!(parsed, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()) {
        return Err(Error::new(format!("IPv4-mapped IPv6 address {text:?} is not allowed")));
    }
    Ok(parsed)
}

/// Why a text is no address.
// k8s: Go's net/netip parseIPv4, parseIPv6
pub(super) fn why(text: &str) -> String {
    let first = text.find(['.', ':', '%']).map(|at| &text[at..=at]);
    match first {
        Some(".") => why_v4(text),
        Some(":") => why_v6(text),
        Some(_) => "missing IPv6 address".to_owned(),
        None => "unable to parse IP".to_owned(),
    }
}

fn why_v4(text: &str) -> String {
    let (mut value, mut digits, mut fields) = (0u32, 0, 0);
    for (at, c) in text.char_indices() {
        match c {
            '0'..='9' => {
                if digits == 1 && value == 0 {
                    return "IPv4 field has octet with leading zero".to_owned();
                }
                value = value * 10 + u32::from(c) - u32::from('0');
                digits += 1;
                if value > 255 {
                    return "IPv4 field has value >255".to_owned();
                }
            }
            '.' => {
                let at_edge = at == 0 || at == text.len() - 1 || text.as_bytes()[at - 1] == b'.';
                if at_edge {
                    return format!("IPv4 field must have at least one digit (at {:?})", &text[at..]);
                }
                if fields == 3 {
                    return "IPv4 address too long".to_owned();
                }
                fields += 1;
                (value, digits) = (0, 0);
            }
            _ => return format!("unexpected character (at {:?})", &text[at..]),
        }
    }
    "IPv4 address too short".to_owned()
}

fn why_v6(text: &str) -> String {
    let at = |why: &str, rest: &str| format!("{why} (at {rest:?})");
    let mut rest = text.split('%').next().unwrap_or("");
    let (mut fields, mut gap) = (0, false);
    if let Some(after) = rest.strip_prefix("::") {
        (rest, gap) = (after, true);
    }
    while fields < 8 {
        let digits = rest.bytes().take_while(u8::is_ascii_hexdigit).count();
        if digits > 4 {
            return at("each group must have 4 or less digits", rest);
        }
        if digits == 0 {
            return at("each colon-separated field must have at least one digit", rest);
        }
        if rest.as_bytes().get(digits) == Some(&b'.') {
            return if gap || fields == 6 {
                why_v4(rest)
            } else {
                at("embedded IPv4 address must replace the final 2 fields of the address", rest)
            };
        }
        fields += 1;
        rest = &rest[digits..];
        if rest.is_empty() {
            break;
        }
        let Some(after) = rest.strip_prefix(':') else {
            return at("unexpected character, want colon", rest);
        };
        if after.is_empty() {
            return at("colon must be followed by more characters", rest);
        }
        rest = after;
        if let Some(after) = rest.strip_prefix(':') {
            if gap {
                return at("multiple :: in address", rest);
            }
            (rest, gap) = (after, true);
            if rest.is_empty() {
                break;
            }
        }
    }
    if !rest.is_empty() {
        return at("trailing garbage after address", rest);
    }
    if fields < 8 && !gap {
        return "address string too short".to_owned();
    }
    "the :: must expand to at least one field of zeros".to_owned()
}

fn text<'v>(args: &'v [Value<'_>]) -> Result<&'v str, Error> {
    args.first().and_then(Value::as_str).ok_or_else(Error::no_such_overload)
}

fn ip(args: &[Value<'_>]) -> Result<IpAddr, Error> {
    args.first().and_then(|v| v.downcast::<Ip>()).map(|ip| ip.0).ok_or_else(Error::no_such_overload)
}

fn parse<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    address(text(args)?).map(|ip| Value::opaque(Ip(ip)))
}

fn to_string<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    Ok(Value::str(ip(args)?.to_string()))
}

fn family<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    Ok(Value::Int(if ip(args)?.is_ipv4() { 4 } else { 6 }))
}

fn is_canonical<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    let text = text(args)?;
    Ok(Value::Bool(address(text)?.to_string() == text))
}

fn is_ip<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    Ok(Value::Bool(address(text(args)?).is_ok()))
}

fn is<'a>(args: &[Value<'a>], what: fn(IpAddr) -> bool) -> Out<'a> {
    Ok(Value::Bool(what(ip(args)?)))
}

fn is_unspecified(ip: IpAddr) -> bool {
    ip.is_unspecified()
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.is_loopback()
}

fn is_link_local_multicast(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.octets()[..3] == [224, 0, 0],
        IpAddr::V6(v6) => v6.segments()[0] & 0xff0f == 0xff02,
    }
}

fn is_link_local_unicast(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.segments()[0] & 0xffc0 == 0xfe80,
    }
}

// k8s: Go's net/netip IsGlobalUnicast
fn is_global_unicast(ip: IpAddr) -> bool {
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    !(broadcast || ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || is_link_local_unicast(ip))
}
