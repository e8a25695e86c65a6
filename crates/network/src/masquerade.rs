//! Rules that hide pods behind their node when they talk to the world outside the cluster. Pods of other nodes
//! see each other's own addresses. The table is ours alone; it must never hold anything else.

use crate::Options;
use crate::conflist::is_v4;

/// The name of the table of a bridge.
pub(crate) fn table(bridge: &str) -> String {
    format!("corten-{bridge}")
}

/// The script that makes the rules anew, whatever was there; empty without anything to masquerade.
pub(crate) fn script(options: &Options) -> String {
    if !options.masquerade {
        return String::new();
    }
    let table = table(&options.bridge);
    let mut script = String::new();
    for (family, v4, multicast) in [("ip", true, "224.0.0.0/4"), ("ip6", false, "ff00::/8")] {
        let of_family = |cidr: &&String| is_v4(cidr).is_ok_and(|is| is == v4);
        let cluster = options.cluster_cidrs.iter().find(of_family);
        let Some(pods) = options.pod_cidrs.iter().find(of_family) else { continue };
        let inside = cluster.unwrap_or(pods);
        script.push_str(&format!(
            "add table {family} {table}\ndelete table {family} {table}\nadd table {family} {table}\n\
             add chain {family} {table} postrouting {{ type nat hook postrouting priority srcnat; }}\n\
             add rule {family} {table} postrouting {family} saddr {pods} {family} daddr != {inside} \
             {family} daddr != {multicast} masquerade fully-random\n"
        ));
    }
    script
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
