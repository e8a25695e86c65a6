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

    /// The first range that is neither among `taken` nor has a route on this machine.
    ///
    /// # Errors
    /// When there is none, or routes cannot be read.
    pub fn free_range(taken: &[u8]) -> Result<u8> {
        for range in RANGES.filter(|range| !taken.contains(range)) {
            let routes = netns::run("ip", "iproute2", &["-4", "route", "show", "root", &Self::subnet(range)]);
            match routes {
                Ok(text) if text.trim().is_empty() => return Ok(range),
                Ok(_) => {}
                // A namespace that never had a route has no table of them.
                Err(e) if e.to_string().contains("FIB table does not exist") => return Ok(range),
                Err(e) => return Err(e.into()),
            }
        }
        bail!("every range from {} on has a route on this machine already", Self::subnet(RANGES.start))
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

    fn connect_machine(&self) -> Result<()> {
        let (switch, link) = (self.switch(), self.link());
        if !netns::is_alive(&netns::path(&switch)) {
            netns::add(&switch)?;
            netns::ip(&["-n", &switch, "link", "add", BRIDGE, "type", "bridge"])?;
            netns::ip(&["-n", &switch, "link", "set", BRIDGE, "up"])?;
        }
        if netns::ip(&["link", "show", &link]).is_err() {
            let gateway = format!("{}/24", self.gateway());
            netns::ip(&["link", "add", &link, "type", "veth", "peer", "name", "machine", "netns", &switch])?;
            netns::ip(&["-n", &switch, "link", "set", "machine", "master", BRIDGE, "up"])?;
            netns::ip(&["address", "add", &gateway, "dev", &link])?;
            netns::ip(&["link", "set", &link, "up"])?;
        }
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
        if !netns::is_alive(&netns::path(&node)) {
            netns::add(&node)?;
        }
        if netns::ip(&["-n", &node, "link", "show", UPLINK]).is_ok() {
            return Ok(());
        }
        let (address, gateway) = (format!("{}/24", self.address(n)), self.gateway().to_string());
        netns::ip(&[
            "-n", &switch, "link", "add", &port, "type", "veth", "peer", "name", UPLINK, "netns", &node,
        ])?;
        netns::ip(&["-n", &switch, "link", "set", &port, "master", BRIDGE, "up"])?;
        netns::ip(&["-n", &node, "address", "add", &address, "dev", UPLINK])?;
        netns::ip(&["-n", &node, "link", "set", UPLINK, "up"])?;
        Ok(netns::ip(&["-n", &node, "route", "add", "default", "via", &gateway])?)
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
        let link = match netns::ip(&["link", "delete", &link]) {
            Err(e) if e.to_string().contains("Cannot find device") => Ok(()),
            result => result,
        };
        let nodes: Vec<_> = (0..=nodes).map(|n| netns::delete(&self.namespace(n))).collect();
        rules?;
        link?;
        Ok(nodes.into_iter().collect::<Result<(), _>>()?)
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
        network.down(2).unwrap();
        network.down(2).unwrap();
        assert!((0..=2).all(|n| !network.path(n).exists()));
        let said = |program, words: &[&str]| netns::run(program, "", words).unwrap();
        assert_eq!(said("ip", &["-o", "link"]).lines().filter(|line| !line.contains(": lo:")).count(), 0);
        assert!(!said("nft", &["list", "tables"]).contains("corten"));
    }
}
