//! The CNI network configuration list, a pure function of the options.

use std::net::IpAddr;

use serde_json::json;

use crate::{Error, Options};

/// The configuration as JSON: bridge and host-local for addresses, portmap for host ports.
///
/// Errors: no or an unreadable pod CIDR.
pub fn conflist(options: &Options) -> Result<String, Error> {
    if options.pod_cidrs.is_empty() {
        return Err(Error::Invalid("no pod CIDR".into()));
    }
    let mut ranges = Vec::new();
    let mut routes = Vec::new();
    for cidr in &options.pod_cidrs {
        let any = if is_v4(cidr)? { "0.0.0.0/0" } else { "::/0" };
        ranges.push(json!([{ "subnet": cidr }]));
        routes.push(json!({ "dst": any }));
    }
    let mut bridge = json!({
        "type": "bridge",
        "bridge": options.bridge,
        "isGateway": true,
        // The plugin would hide pods from the pods of other nodes: [`crate::masquerade`] does not.
        "ipMasq": false,
        "hairpinMode": true,
        "ipam": {
            "type": "host-local",
            "dataDir": options.data_dir,
            "ranges": ranges,
            "routes": routes,
        },
    });
    if let Some(mtu) = options.mtu {
        bridge["mtu"] = json!(mtu);
    }
    let portmap = json!({ "type": "portmap", "capabilities": { "portMappings": true }, "snat": true });
    let list = json!({ "cniVersion": "0.4.0", "name": "corten", "plugins": [bridge, portmap] });
    Ok(format!("{list:#}\n"))
}

/// Whether the CIDR is an IPv4 one.
pub(crate) fn is_v4(cidr: &str) -> Result<bool, Error> {
    let parsed = cidr.split_once('/').and_then(|(address, length)| {
        let address: IpAddr = address.parse().ok()?;
        let length: u8 = length.parse().ok()?;
        (length <= if address.is_ipv4() { 32 } else { 128 }).then_some(address.is_ipv4())
    });
    parsed.ok_or_else(|| Error::Invalid(format!("{cidr:?} is not a CIDR")))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn options(cidrs: &[&str]) -> Options {
        Options {
            bridge: "cni-test0".into(),
            pod_cidrs: cidrs.iter().map(|cidr| (*cidr).to_owned()).collect(),
            mtu: Some(1450),
            conf_dir: "/d/net.d".into(),
            data_dir: "/d/networks".into(),
            bin_dir: None,
            masquerade: true,
            cluster_cidrs: Vec::new(),
            netns: None,
        }
    }

    #[test]
    fn both_families_have_a_range_and_a_route() {
        let text = conflist(&options(&["10.244.0.0/24", "fd00:10::/64"])).unwrap();
        let list: serde_json::Value = serde_json::from_str(&text).unwrap();
        let bridge = &list["plugins"][0];
        assert_eq!(bridge["bridge"], "cni-test0");
        assert_eq!(bridge["mtu"], 1450);
        assert_eq!(bridge["ipam"]["ranges"][1][0]["subnet"], "fd00:10::/64");
        assert_eq!(bridge["ipam"]["routes"][1]["dst"], "::/0");
        assert_eq!(bridge["ipam"]["dataDir"], "/d/networks");
        assert_eq!(list["plugins"][1]["type"], "portmap");
    }

    #[test]
    fn a_bad_cidr_is_named() {
        for bad in ["10.0.0.0", "10.0.0.0/33", "x/8", "fd00::/129"] {
            let error = conflist(&options(&[bad])).unwrap_err().to_string();
            assert_eq!(error, format!("pod network: {bad:?} is not a CIDR"));
        }
        assert!(conflist(&options(&[])).is_err());
    }
}
