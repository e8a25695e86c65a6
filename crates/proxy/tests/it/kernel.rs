//! What the kernel lists is compared with what was written.

use proxy::kernel::Listing;
use proxy::{Ruleset, diff};
use serde_json::json;

use crate::{cluster_ip, in_namespace, loading, local, made, nft, up};

fn read(text: &str) -> Listing {
    let mut listing = Listing::default();
    text.lines().for_each(|l| listing.line(l));
    listing
}

fn states() -> [Ruleset; 4] {
    let many: Vec<_> = (1..60).map(|n| up(&format!("10.244.0.{n}"))).collect();
    let sticky = json!({"type": "ClusterIP", "clusterIP": "10.96.0.9", "sessionAffinity": "ClientIP",
        "ports": (1..40).map(|n| json!({"name": format!("p{n}"), "port": n})).collect::<Vec<_>>()});
    [
        made(cluster_ip(), json!([])),
        made(cluster_ip(), json!(many)),
        made(sticky, json!([up("10.244.0.2")])),
        made(local(), json!([up("10.244.0.3"), {"addresses": ["10.244.1.2"], "nodeName": "n2"}])),
    ]
}

#[test]
fn what_was_written_is_found_again() {
    for want in states() {
        let text = nft(&[diff(None, &want)]);
        assert_eq!(read(&text).difference(&want), None, "{text}");
    }
}

#[test]
fn what_others_did_to_the_rules_is_noticed() {
    let [.., want] = states();
    let t = "ip corten-proxy";
    let harmless = [
        "true".to_owned(),
        "nft add table ip other; nft add chain ip other c; nft add rule ip other c drop".to_owned(),
    ];
    let harmful = [
        "nft flush ruleset".to_owned(),
        format!("nft delete table {t}"),
        format!("nft flush chain {t} services"),
        format!("nft flush table {t}"),
        format!("nft add rule {t} nat-output accept"),
        format!("nft insert rule {t} filter-forward accept"),
        format!("nft delete element {t} cluster-ips {{ 10.96.0.9 }}"),
        format!("nft add element {t} dead-ips {{ 10.96.0.9 . tcp . 80 : drop }}"),
        format!("nft add chain {t} more"),
        format!("nft add set {t} more '{{ type ipv4_addr; }}'"),
        // The numbers stay the same.
        format!("nft flush chain {t} reject-dead; nft add rule {t} reject-dead accept"),
        format!("nft flush chain {t} nat-prerouting; nft add rule {t} nat-prerouting jump firewall"),
    ];
    let cases = harmless.iter().map(|c| (c, false)).chain(harmful.iter().map(|c| (c, true)));
    for (command, is_noticed) in cases {
        let list = "nft -s list table ip corten-proxy 2>/dev/null || true\n";
        let script = format!("{}{list}echo ====\n{command}\n{list}", loading(&[diff(None, &want)]));
        let out = in_namespace(&script);
        let (before, after) = out.split_once("====").unwrap();
        let (before, after) = (read(before), read(after));
        let differs = after.difference(&want).is_some() || before.fingerprint() != after.fingerprint();
        assert_eq!(differs, is_noticed, "{command}: {:?}", after.difference(&want));
    }
}
