//! Rules that hide pods behind their node when they talk to the world outside the cluster. Pods of other nodes
//! see each other's own addresses. The table is ours alone; it must never hold anything else.

use crate::Options;
use crate::conflist::is_v4;

/// The name of the table of a bridge.
pub(crate) fn table(bridge: &str) -> String {
    format!("corten-{bridge}")
}

/// One family's rules.
pub(crate) struct Table {
    pub family: &'static str,
    pub name: String,
    /// As nft prints it too.
    rule: String,
}

impl Table {
    /// The script that makes the table anew, whatever was there.
    pub(crate) fn script(&self) -> String {
        let Table { family, name, rule } = self;
        format!(
            "add table {family} {name}\ndelete table {family} {name}\nadd table {family} {name}\n\
             add chain {family} {name} postrouting {{ type nat hook postrouting priority srcnat; }}\n\
             add rule {family} {name} postrouting {rule}\n"
        )
    }

    /// Whether nft's listing of the table shows these rules and no others.
    pub(crate) fn is_in(&self, listing: &str) -> bool {
        let mut lines = listing.lines().map(str::trim).filter(|l| !l.is_empty() && *l != "}");
        let head = format!("table {} {} {{", self.family, self.name);
        lines.next() == Some(head.as_str())
            && lines.next() == Some("chain postrouting {")
            && lines.next().is_some_and(|l| l.starts_with("type nat hook postrouting "))
            && lines.next().is_some_and(|l| l.starts_with(&self.rule))
            && lines.next().is_none()
    }
}

/// The rules that are wanted, one table a family; none without anything to masquerade.
pub(crate) fn tables(options: &Options) -> Vec<Table> {
    let mut tables = Vec::new();
    if !options.masquerade {
        return tables;
    }
    for (family, v4, multicast) in [("ip", true, "224.0.0.0/4"), ("ip6", false, "ff00::/8")] {
        let of_family = |cidr: &&String| is_v4(cidr).is_ok_and(|is| is == v4);
        let cluster = options.cluster_cidrs.iter().find(of_family);
        let Some(pods) = options.pod_cidrs.iter().find(of_family) else { continue };
        let inside = cluster.unwrap_or(pods);
        let rule = format!(
            "{family} saddr {pods} {family} daddr != {inside} {family} daddr != {multicast} masquerade fully-random"
        );
        tables.push(Table { family, name: table(&options.bridge), rule });
    }
    tables
}

/// The script that removes the rules, whether they are there or not.
pub(crate) fn removal(bridge: &str) -> String {
    let table = table(bridge);
    ["ip", "ip6"].map(|f| format!("add table {f} {table}\ndelete table {f} {table}\n")).concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_traffic_to_the_outside() {
        let mut options = crate::conflist::tests::options(&["10.244.1.0/24"]);
        let script = |options: &Options| tables(options).iter().map(Table::script).collect::<String>();
        let rules = script(&options);
        assert!(rules.contains("ip saddr 10.244.1.0/24 ip daddr != 10.244.1.0/24"), "{rules}");
        options.cluster_cidrs = vec!["10.244.0.0/16".to_owned()];
        let rules = script(&options);
        assert!(rules.contains("ip saddr 10.244.1.0/24 ip daddr != 10.244.0.0/16"), "{rules}");
        assert!(!rules.contains("ip6"), "{rules}");
        options.masquerade = false;
        assert_eq!(script(&options), "");
    }
}
