//! The network of a named cluster. Every node has a network namespace with one link to a switch, a bridge in a
//! namespace of its own: what nodes say to each other meets no packet rule of the machine. The machine itself has one
//! link to the switch, and is the nodes' way out.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use network::netns;

/// Ranges of 256 addresses, of which each cluster takes one: `10.213.<n>.0/24`.
const RANGES: std::ops::Range<u8> = 0..200;
const FORWARD: &str = "/proc/sys/net/ipv4/ip_forward";
/// The link of a node, and the bridge of the switch.
const UPLINK: &str = "eth0";
const BRIDGE: &str = "switch";

/// The network of one cluster. Nothing is made by having it.
#[derive(Clone, Debug)]
pub struct Network {
    name: String,
    /// Differs between all clusters of the machine, also those of the same name in other directories.
    id: String,
    range: u8,
}

impl Network {
    #[must_use]
    pub fn new(name: &str, id: &str, range: u8) -> Self {
        Network { name: name.to_owned(), id: id.to_owned(), range }
    }

    fn subnet(range: u8) -> String {
        format!("10.213.{range}.0/24")
    }

    /// Whether a range is one that a cluster can have.
    #[must_use]
    pub fn is_range(range: u8) -> bool {
        RANGES.contains(&range)
    }

    /// The first range that is neither among `taken` nor has a route on this machine.
    ///
    /// # Errors
    /// When there is none, or routes cannot be read.
    pub fn free_range(taken: &[u8]) -> Result<u8> {
        for range in RANGES.filter(|range| !taken.contains(range)) {
            if Self::route(range)?.is_none() {
                return Ok(range);
            }
        }
        bail!("every range from {} on has a route on this machine already", Self::subnet(RANGES.start))
    }

    /// A route of this machine that leads to addresses of a range; the one to everywhere is none.
    fn route(range: u8) -> Result<Option<String>> {
        let subnet = Self::subnet(range);
        // Those to a part of it, and those to more than it.
        for which in ["root", "match"] {
            let routes = netns::run("ip", "iproute2", &["-4", "route", "show", which, &subnet]);
            let routes = match routes {
                Ok(text) => text,
                // A namespace that never had a route has no table of them.
                Err(e) if e.to_string().contains("FIB table does not exist") => return Ok(None),
                Err(e) => return Err(e.into()),
            };
            let mut routes = routes.lines().map(str::trim);
            if let Some(route) = routes.find(|route| !route.is_empty() && !route.starts_with("default")) {
                return Ok(Some(route.to_owned()));
            }
        }
        Ok(None)
    }

    /// The machine's own address towards the nodes.
    #[must_use]
    pub fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 213, self.range, 1)
    }

    /// The address of the `n`-th node, counted from 1.
    #[must_use]
    pub fn address(&self, n: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 213, self.range, 1 + n)
    }

    fn namespace(&self, n: u8) -> String {
        format!("corten-{}-{}-{n}", self.name, self.id)
    }

    fn switch(&self) -> String {
        self.namespace(0)
    }

    /// The namespace of the `n`-th node.
    #[must_use]
    pub fn path(&self, n: u8) -> PathBuf {
        netns::path(&self.namespace(n))
    }

    fn link(&self) -> String {
        format!("ct{}", self.id)
    }

    fn table(&self) -> String {
        format!("corten-net-{}", self.id)
    }

    /// Makes what is not there: the switch, the machine's way to it, and the nodes' namespaces.
    ///
    /// # Errors
    /// What the machine lacks or refuses.
    pub fn up(&self, nodes: u8) -> Result<()> {
        self.connect_machine().context("the network of the cluster")?;
        (1..=nodes).try_for_each(|n| self.connect_node(n)).context("the network of the cluster")
    }

    /// Makes the nodes' namespaces where they are not there, without a way out: enough to take away what lives in them.
    ///
    /// # Errors
    /// What the machine lacks or refuses.
    pub fn add_namespace(&self, n: u8) -> Result<()> {
        let name = self.namespace(n);
        match netns::is_alive(&netns::path(&name)) {
            true => Ok(()),
            false => Ok(netns::add(&name)?),
        }
    }

    // A start may have been broken off after any of these steps.
    fn connect_machine(&self) -> Result<()> {
        let (switch, link) = (self.switch(), self.link());
        self.add_namespace(0)?;
        if !has_link(&["-n", &switch], BRIDGE) {
            netns::ip(&["-n", &switch, "link", "add", BRIDGE, "type", "bridge"])?;
        }
        netns::ip(&["-n", &switch, "link", "set", BRIDGE, "up"])?;
        if !has_link(&[], &link) || !has_link(&["-n", &switch], "machine") {
            delete_link(&[], &link)?;
            if let Some(route) = Self::route(self.range)? {
                let subnet = Self::subnet(self.range);
                bail!("the machine has another route to its addresses {subnet} by now: {route}");
            }
            netns::ip(&["link", "add", &link, "type", "veth", "peer", "name", "machine", "netns", &switch])?;
        }
        netns::ip(&["-n", &switch, "link", "set", "machine", "master", BRIDGE, "up"])?;
        netns::ip(&["address", "replace", &format!("{}/24", self.gateway()), "dev", &link])?;
        netns::ip(&["link", "set", &link, "up"])?;
        if std::fs::read_to_string(FORWARD).is_ok_and(|text| text.trim() == "0") {
            std::fs::write(FORWARD, "1").context(FORWARD)?;
        }
        let (table, subnet) = (self.table(), Self::subnet(self.range));
        let rules = format!(
            "add table ip {table}; delete table ip {table}; add table ip {table}; \
             add chain ip {table} postrouting {{ type nat hook postrouting priority 100; }}; \
             add rule ip {table} postrouting ip saddr {subnet} oifname != \"{link}\" masquerade"
        );
        netns::run("nft", "nftables", &[&rules])?;
        Ok(())
    }

    fn connect_node(&self, n: u8) -> Result<()> {
        let (node, switch, port) = (self.namespace(n), self.switch(), format!("node{n}"));
        self.add_namespace(n)?;
        let (address, gateway) = (format!("{}/24", self.address(n)), self.gateway().to_string());
        if !has_link(&["-n", &node], UPLINK) || !has_link(&["-n", &switch], &port) {
            delete_link(&["-n", &node], UPLINK)?;
            delete_link(&["-n", &switch], &port)?;
            netns::ip(&[
                "-n", &switch, "link", "add", &port, "type", "veth", "peer", "name", UPLINK, "netns", &node,
            ])?;
        }
        netns::ip(&["-n", &switch, "link", "set", &port, "master", BRIDGE, "up"])?;
        netns::ip(&["-n", &node, "address", "replace", &address, "dev", UPLINK])?;
        netns::ip(&["-n", &node, "link", "set", UPLINK, "up"])?;
        Ok(netns::ip(&["-n", &node, "route", "replace", "default", "via", &gateway])?)
    }

    /// Removes all of it; what is not there is fine. The nodes' processes must have ended.
    ///
    /// # Errors
    /// When something cannot be removed; the rest is tried all the same.
    pub fn down(&self, nodes: u8) -> Result<()> {
        let (table, link) = (self.table(), self.link());
        // Added first: one that is not there cannot be deleted.
        let rules =
            netns::run("nft", "nftables", &[&format!("add table ip {table}; delete table ip {table}")]);
        let link = delete_link(&[], &link);
        let nodes: Vec<_> = (0..=nodes).map(|n| netns::delete(&self.namespace(n))).collect();
        rules?;
        link?;
        Ok(nodes.into_iter().collect::<Result<(), _>>()?)
    }
}

/// Whether there is such a link, in the namespace of the words before it.
fn has_link(place: &[&str], link: &str) -> bool {
    netns::ip(&[place, &["link", "show", link]].concat()).is_ok()
}

/// Deletes a link, which takes its other end with it; one that is not there is fine.
fn delete_link(place: &[&str], link: &str) -> Result<(), network::Error> {
    match netns::ip(&[place, &["link", "delete", link]].concat()) {
        Err(e) if e.to_string().contains("Cannot find device") => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The work is done in a namespace that plays the machine: on the real one nothing may change.
    #[test]
    fn nodes_reach_each_other_and_nothing_is_left() {
        let machine = format!("corten-clusters-{}", std::process::id());
        netns::add(&machine).unwrap();
        let done = std::panic::catch_unwind(|| netns::inside(&netns::path(&machine), trial).unwrap());
        netns::delete(&machine).unwrap();
        done.unwrap();
    }

    fn trial() {
        assert_eq!(Network::free_range(&[0, 1, 3]).unwrap(), 2);
        let network = Network::new("trial", &format!("{:08x}", std::process::id()), 2);
        network.up(2).unwrap();
        assert_eq!(Network::free_range(&[0, 1]).unwrap(), 3, "it has a route now");
        let listener =
            netns::inside(&network.path(2), || std::net::TcpListener::bind((network.address(2), 80)));
        let listener = listener.unwrap().unwrap();
        let dial = || std::net::TcpStream::connect((network.address(2), 80)).map(drop).unwrap();
        netns::inside(&network.path(1), dial).unwrap();
        dial();
        drop(listener);
        // A reboot takes all of it away; here only some.
        netns::delete(&network.namespace(2)).unwrap();
        network.up(2).unwrap();
        network.up(2).unwrap();
        begun_and_broken_off(&network);
        routes_of_others(&network);
        network.down(2).unwrap();
        network.down(2).unwrap();
        assert!((0..=2).all(|n| !network.path(n).exists()));
        let said = |program, words: &[&str]| netns::run(program, "", words).unwrap();
        assert_eq!(said("ip", &["-o", "link"]).lines().filter(|line| !line.contains(": lo:")).count(), 0);
        assert!(!said("nft", &["list", "tables"]).contains("corten"));
    }

    /// Whatever a start has made before it ended, the next one makes the rest.
    fn begun_and_broken_off(network: &Network) {
        let (switch, node, link) = (network.switch(), network.namespace(1), network.link());
        let harm: [&[&str]; 6] = [
            &["-n", &switch, "link", "delete", BRIDGE],
            &["link", "delete", &link],
            &["address", "flush", "dev", &link],
            &["-n", &switch, "link", "set", "node1", "nomaster"],
            &["-n", &node, "address", "flush", "dev", UPLINK],
            &["-n", &node, "route", "delete", "default"],
        ];
        for words in harm {
            netns::ip(words).unwrap();
            network.up(2).unwrap();
            let listener = netns::inside(&network.path(1), || std::net::TcpListener::bind("0.0.0.0:81"));
            std::net::TcpStream::connect((network.address(1), 81)).map(drop).unwrap();
            drop(listener.unwrap().unwrap());
        }
        // All that a start had come to.
        network.down(2).unwrap();
        netns::add(&switch).unwrap();
        network.up(2).unwrap();
    }

    /// Routes that are wider than a range, or came while the cluster was away.
    fn routes_of_others(network: &Network) {
        netns::ip(&["route", "add", "default", "dev", "lo"]).unwrap();
        assert_eq!(Network::free_range(&[0, 1]).unwrap(), 3, "the route to everywhere counts for nothing");
        netns::ip(&["route", "add", "10.213.0.0/16", "dev", "lo"]).unwrap();
        assert!(Network::free_range(&[]).unwrap_err().to_string().contains("has a route"));
        network.up(2).unwrap();
        network.down(2).unwrap();
        let error = format!("{:#}", network.up(2).unwrap_err());
        assert!(error.contains("another route to its addresses 10.213.2.0/24"), "{error}");
        for words in [["route", "delete", "10.213.0.0/16"], ["route", "delete", "default"]] {
            netns::ip(&words).unwrap();
        }
    }
}
