//! Kinds of addresses that std does not tell apart yet.

use std::net::IpAddr;

/// Whether an address may be that of another machine or a pod: it is not loopback, link-local, multicast,
/// broadcast or unspecified. As Go's `IP.IsGlobalUnicast`, private ranges count; an IPv4 address within IPv6 is
/// what it stands for.
#[must_use]
pub fn is_global_unicast(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            !(ip.is_loopback()
                || ip.is_link_local()
                || ip.is_multicast()
                || ip.is_broadcast()
                || ip.is_unspecified())
        }
        IpAddr::V6(ip) => {
            !(ip.is_loopback() || ip.is_unicast_link_local() || ip.is_multicast() || ip.is_unspecified())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_and_local_addresses_are_not_of_the_network() {
        let cases = [
            ("192.0.2.1", true),
            ("10.0.0.1", true),
            ("fd00::1", true),
            ("2001:db8::1", true),
            ("127.0.0.1", false),
            ("127.9.9.9", false),
            ("::1", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:10.0.0.1", true),
            ("169.254.169.254", false),
            ("fe80::1", false),
            ("224.0.0.1", false),
            ("ff02::1", false),
            ("255.255.255.255", false),
            ("0.0.0.0", false),
            ("::", false),
        ];
        for (ip, want) in cases {
            assert_eq!(is_global_unicast(ip.parse().unwrap()), want, "{ip}");
        }
    }
}
