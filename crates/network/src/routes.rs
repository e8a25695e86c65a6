//! Routes to the pods of the other nodes, through those nodes' own addresses: for nodes that reach each other
//! without a router between them. What is wanted and what must change are pure functions; [`sync`] applies them.
//! Only routes with our own protocol number are looked at or touched.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use crate::{Error, host};

/// The number by which the kernel tells our routes from others'.
pub const PROTOCOL: &str = "167";

/// What is needed to know of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    pub name: String,
    pub pod_cidrs: Vec<String>,
    /// Its internal address; without, there is no way to its pods.
    pub address: Option<Ipv4Addr>,
}

/// Destination to gateway.
pub type Routes = BTreeMap<String, Ipv4Addr>;

/// The routes that the node `own` needs. IPv4 only.
pub fn wanted<'a>(peers: impl IntoIterator<Item = &'a Peer>, own: &str) -> Routes {
    let mut routes = Routes::new();
    for peer in peers {
        let Some(gateway) = peer.address.filter(|_| peer.name != own) else { continue };
        for cidr in peer.pod_cidrs.iter().filter(|c| crate::conflist::is_v4(c).is_ok_and(|v4| v4)) {
            routes.entry(cidr.clone()).or_insert(gateway);
        }
    }
    routes
}

/// Reads what `ip route show` says.
pub fn parse(text: &str) -> Routes {
    text.lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let via = words.iter().position(|w| *w == "via")?;
            Some(((*words.first()?).to_owned(), words.get(via + 1)?.parse().ok()?))
        })
        .collect()
}

/// The `ip` commands that turn one set of routes into the other.
pub fn changes(have: &Routes, want: &Routes) -> Vec<Vec<String>> {
    let command = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
    let gone = have.keys().filter(|cidr| !want.contains_key(*cidr));
    let mut all: Vec<_> = gone.map(|cidr| command(&["route", "del", cidr, "proto", PROTOCOL])).collect();
    for (cidr, gateway) in want.iter().filter(|(cidr, gateway)| have.get(*cidr) != Some(*gateway)) {
        all.push(command(&["route", "replace", cidr, "via", &gateway.to_string(), "proto", PROTOCOL]));
    }
    all
}

/// Brings the routes of this network namespace to `want`. One that is refused does not keep the others away.
///
/// # Errors
/// Every refusal; a gateway that is not on a common network is one.
pub async fn sync(want: &Routes) -> Result<(), Vec<Error>> {
    let have =
        host::output(None, &["ip", "-4", "route", "show", "proto", PROTOCOL]).await.map_err(|e| vec![e])?;
    let mut errors = Vec::new();
    for words in changes(&parse(&have), want) {
        let mut all = vec!["ip", "-4"];
        all.extend(words.iter().map(String::as_str));
        if let Err(e) = host::output(None, &all).await {
            errors.push(e);
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(name: &str, cidr: &str, address: &str) -> Peer {
        Peer { name: name.into(), pod_cidrs: vec![cidr.into()], address: address.parse().ok() }
    }

    #[test]
    fn others_with_an_address_get_a_route() {
        let peers = [
            peer("a", "10.244.0.0/24", "192.0.2.1"),
            peer("b", "10.244.1.0/24", "192.0.2.2"),
            peer("c", "10.244.2.0/24", ""),
            peer("d", "", "192.0.2.4"),
            peer("e", "fd00::/64", "192.0.2.5"),
        ];
        let routes = wanted(&peers, "a");
        assert_eq!(routes, Routes::from([("10.244.1.0/24".to_owned(), Ipv4Addr::new(192, 0, 2, 2))]));
    }

    #[test]
    fn only_differences_are_commands() {
        let have =
            parse("10.244.1.0/24 via 192.0.2.2 dev eth0 \n10.244.3.0/24 via 192.0.2.3 dev eth0\nodd\n");
        let want =
            wanted(&[peer("b", "10.244.1.0/24", "192.0.2.2"), peer("c", "10.244.2.0/24", "192.0.2.4")], "a");
        let lines: Vec<String> = changes(&have, &want).iter().map(|w| w.join(" ")).collect();
        assert_eq!(
            lines,
            ["route del 10.244.3.0/24 proto 167", "route replace 10.244.2.0/24 via 192.0.2.4 proto 167"]
        );
        assert!(changes(&want, &want).is_empty());
    }
}
