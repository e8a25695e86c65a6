//! Networks: an address and how many of its bits count.
//! It must never take one family's address inside the other's.
// k8s: staging/src/k8s.io/apiserver/pkg/cel/library/cidr.go, cidr.go

use crate::declare::{Library, decls};
use crate::error::Error;
use crate::library::ip::Ip;
use crate::meter::Meter;
use crate::types::Type;
use crate::value::{Opaque, Value};
use std::any::Any;
use std::net::IpAddr;

type Out<'a> = Result<Value<'a>, Error>;

pub const LIBRARY: Library =
    Library { name: "kubernetes.net.cidr", functions: FUNCTIONS, macros: &[], types: &["net.CIDR"] };

#[rustfmt::skip]
const FUNCTIONS: &[crate::declare::Decl] = decls! {
    "cidr" "string_to_cidr" "(string) -> net.CIDR" => parse;
    "containsCIDR" "cidr_contains_cidr_string" "net.CIDR.(string) -> bool" => contains_cidr;
    "containsCIDR" "cidr_contains_cidr" "net.CIDR.(net.CIDR) -> bool" => contains_cidr;
    "containsIP" "cidr_contains_ip_string" "net.CIDR.(string) -> bool" => contains_ip;
    "containsIP" "cidr_contains_ip_ip" "net.CIDR.(net.IP) -> bool" => contains_ip;
    "ip" "cidr_ip" "net.CIDR.() -> net.IP" => ip;
    "isCIDR" "is_cidr" "(string) -> bool" => is_cidr;
    "masked" "cidr_masked" "net.CIDR.() -> net.CIDR" => masked;
    "prefixLength" "cidr_prefix_length" "net.CIDR.() -> int" => prefix_length;
    "string" "cidr_to_string" "(net.CIDR) -> string" => to_string;
};

/// A network as a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    pub address: IpAddr,
    pub bits: u8,
}

impl Cidr {
    fn masked(self) -> Cidr {
        let keep = u32::from(self.bits);
        let address = match self.address {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32 - keep).unwrap_or(0);
                IpAddr::V4((u32::from(v4) & mask).into())
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128 - keep).unwrap_or(0);
                IpAddr::V6((u128::from(v6) & mask).into())
            }
        };
        Cidr { address, bits: self.bits }
    }

    fn contains(self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4()
            && Cidr { address, bits: self.bits }.masked() == self.masked()
    }
}

impl Opaque for Cidr {
    fn ty(&self) -> Type {
        Type::Opaque("net.CIDR".into(), [].into())
    }
    fn equals(&self, other: &dyn Opaque) -> bool {
        other.as_any().downcast_ref::<Cidr>() == Some(self)
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    // k8s: staging/src/k8s.io/apiserver/pkg/cel/cidr.go Size
    fn size(&self) -> Option<u64> {
        Some(u64::from(self.bits).div_ceil(8))
    }
    fn text(&self) -> Option<String> {
        Some(format!("{}/{}", self.address, self.bits))
    }
}

fn network(text: &str) -> Result<Cidr, Error> {
    let bad = |why: &str| {
        Error::new(format!(
            "network address parse error during conversion from string: netip.ParsePrefix({text:?}): {why}"
        ))
    };
    let (address, bits) = text.rsplit_once('/').ok_or_else(|| bad("no '/'"))?;
    if address.contains('%') {
        return Err(bad("IPv6 zones cannot be present in a prefix"));
    }
    let address: IpAddr =
        address.parse().map_err(|_| bad(&format!("ParseAddr({address:?}): {}", super::ip::why(address))))?;
    if matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()) {
        return Err(Error::new(format!("IPv4-mapped IPv6 address {text:?} is not allowed")));
    }
    let digits = !bits.is_empty() && bits.bytes().all(|b| b.is_ascii_digit());
    if !digits || (bits.len() > 1 && bits.starts_with('0')) {
        return Err(bad(&format!("bad bits after slash: {bits:?}")));
    }
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits =
        bits.parse::<u8>().ok().filter(|b| *b <= most).ok_or_else(|| bad("prefix length out of range"))?;
    Ok(Cidr { address, bits })
}

fn text<'v>(args: &'v [Value<'_>], at: usize) -> Result<&'v str, Error> {
    args.get(at).and_then(Value::as_str).ok_or_else(Error::no_such_overload)
}

fn cidr(args: &[Value<'_>]) -> Result<Cidr, Error> {
    args.first().and_then(|v| v.downcast::<Cidr>()).copied().ok_or_else(Error::no_such_overload)
}

fn converted(text: &str) -> Result<Cidr, Error> {
    network(text)
        .map_err(|e| Error::new(format!("network address parse error during conversion from string: {e}")))
}

fn parse<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    converted(text(args, 0)?).map(Value::opaque)
}

fn is_cidr<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    Ok(Value::Bool(network(text(args, 0)?).is_ok()))
}

fn to_string<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    Ok(Value::str(cidr(args)?.text().unwrap_or_default()))
}

fn contains_ip<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    let address = match args.get(1).and_then(|v| v.downcast::<Ip>()) {
        Some(ip) => ip.0,
        // As upstream, what is no address is no argument.
        None => super::ip::address(text(args, 1)?).map_err(|_| Error::no_such_overload())?,
    };
    Ok(Value::Bool(cidr(args)?.contains(address)))
}

fn contains_cidr<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    let inner = match args.get(1).and_then(|v| v.downcast::<Cidr>()) {
        Some(cidr) => *cidr,
        None => converted(text(args, 1)?)?,
    };
    let outer = cidr(args)?;
    Ok(Value::Bool(outer.bits <= inner.bits && outer.contains(inner.address)))
}

fn ip<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    Ok(Value::opaque(Ip(cidr(args)?.address)))
}

fn prefix_length<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    Ok(Value::Int(cidr(args)?.bits.into()))
}

fn masked<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    Ok(Value::opaque(cidr(args)?.masked()))
}
