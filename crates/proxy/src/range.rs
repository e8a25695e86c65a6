//! IPv4 ranges as users write them. Never an IPv6 one: it is no range here.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// `10.96.0.0/16`. Bits behind the prefix are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Range {
    base: u32,
    prefix: u32,
}

/// What was written is no IPv4 range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRange;

impl FromStr for Range {
    type Err = NoRange;

    fn from_str(text: &str) -> Result<Self, NoRange> {
        let parse = || {
            let (ip, prefix) = text.trim().split_once('/')?;
            let (ip, prefix): (Ipv4Addr, u32) = (ip.parse().ok()?, prefix.parse().ok()?);
            (prefix <= 32).then(|| Range { base: ip.to_bits() & mask(prefix), prefix })
        };
        parse().ok_or(NoRange)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from_bits(self.base), self.prefix)
    }
}

fn mask(prefix: u32) -> u32 {
    u32::MAX.checked_shl(32_u32.saturating_sub(prefix)).unwrap_or(0)
}

impl Range {
    /// Whether it holds every address.
    #[must_use]
    pub fn is_all(self) -> bool {
        self.prefix == 0
    }

    /// Whether the address is in it.
    #[must_use]
    pub fn holds(self, ip: Ipv4Addr) -> bool {
        ip.to_bits() & mask(self.prefix) == self.base
    }

    /// Whether it and another have an address in common.
    #[must_use]
    pub fn meets(self, other: Range) -> bool {
        let common = mask(self.prefix.min(other.prefix));
        self.base & common == other.base & common
    }
}

/// Those that are IPv4 ranges, in order, without those that another one holds: packet rules want no overlaps.
#[must_use]
pub fn ranges<'a>(texts: impl IntoIterator<Item = &'a String>) -> Vec<String> {
    let mut all: Vec<Range> = texts.into_iter().filter_map(|t| t.parse().ok()).collect();
    all.sort_by_key(|r| (r.prefix, r.base));
    let mut out: Vec<Range> = Vec::new();
    for range in all {
        if !out.iter().any(|wider| wider.meets(range)) {
            out.push(range);
        }
    }
    out.sort();
    out.iter().map(Range::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_merged() {
        let read = |texts: &[&str]| ranges(&texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>());
        assert_eq!(read(&[" 10.96.7.1/16", "x", "fd00::/64", "10.0.0.0/33", "10.0.0.1"]), ["10.96.0.0/16"]);
        assert_eq!(read(&["10.97.0.0/16", "10.96.0.0/16", "10.97.3.0/24"]), ["10.96.0.0/16", "10.97.0.0/16"]);
        assert_eq!(read(&["0.0.0.0/0", "10.0.0.0/8"]), ["0.0.0.0/0"]);
        let range: Range = "10.96.0.0/12".parse().unwrap();
        assert!(range.holds(Ipv4Addr::new(10, 111, 255, 255)) && !range.holds(Ipv4Addr::new(10, 112, 0, 0)));
    }
}
