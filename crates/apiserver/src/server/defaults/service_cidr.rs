//! The ServiceCIDR of the range that the server was started with.
// k8s: pkg/controlplane/controller/defaultservicecidr/default_servicecidr_controller.go

use std::net::Ipv4Addr;

use serde_json::{Value as Json, json};

pub const NAME: &str = "kubernetes";

/// The object for a range.
pub fn object(cidr: &str) -> Json {
    json!({
        "kind": "ServiceCIDR", "apiVersion": "networking.k8s.io/v1",
        "metadata": {"name": NAME}, "spec": {"cidrs": [network(cidr)]},
    })
}

/// The object with a condition that it is ready, when it lacks one; `None` where nothing is to be said: the
/// condition is there, the object is going, or is about another range.
pub fn ready(stored: &Json, cidr: &str, now: &str) -> Option<Json> {
    let conditions = stored["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let of_ready = conditions.iter().find(|c| c["type"] == "Ready");
    let known = of_ready.is_some_and(|c| c["status"] == "True" || c["status"] == "False");
    if known || !stored["metadata"]["deletionTimestamp"].is_null() || !is_about(stored, cidr) {
        return None;
    }
    let mut conditions: Vec<Json> = conditions.into_iter().filter(|c| c["type"] != "Ready").collect();
    conditions.push(json!({
        "type": "Ready", "status": "True", "reason": "", "lastTransitionTime": now,
        "message": "Kubernetes default Service CIDR is ready",
    }));
    let mut new = stored.clone();
    new["status"]["conditions"] = conditions.into();
    Some(new)
}

/// Whether the stored object is about this range.
pub fn is_about(stored: &Json, cidr: &str) -> bool {
    stored["spec"]["cidrs"] == json!([network(cidr)])
}

/// A range with the address of its network.
fn network(cidr: &str) -> String {
    let parsed = cidr.split_once('/').and_then(|(address, bits)| {
        let (address, bits) = (address.parse::<Ipv4Addr>().ok()?, bits.parse::<u32>().ok()?);
        let mask = u32::MAX.checked_shl(32u32.checked_sub(bits)?).unwrap_or(0);
        Some(format!("{}/{bits}", Ipv4Addr::from(u32::from(address) & mask)))
    });
    parsed.unwrap_or_else(|| cidr.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_written_with_their_network() {
        for (given, want) in [
            ("10.96.0.0/12", "10.96.0.0/12"),
            ("10.96.0.7/16", "10.96.0.0/16"),
            ("10.0.0.1/32", "10.0.0.1/32"),
            ("1.2.3.4/0", "0.0.0.0/0"),
        ] {
            assert_eq!(network(given), want);
        }
    }

    #[test]
    fn readiness_is_said_once_and_of_the_own_range_only() {
        let fresh = object("10.0.0.0/24");
        let told = ready(&fresh, "10.0.0.0/24", "now").expect("told");
        assert_eq!(told["status"]["conditions"][0]["status"], "True");
        assert_eq!(ready(&told, "10.0.0.0/24", "later"), None);
        assert_eq!(ready(&fresh, "10.1.0.0/24", "now"), None);
        let mut denied = told.clone();
        denied["status"]["conditions"][0]["status"] = "False".into();
        assert_eq!(ready(&denied, "10.0.0.0/24", "later"), None);
        let mut going = fresh;
        going["metadata"]["deletionTimestamp"] = "now".into();
        assert_eq!(ready(&going, "10.0.0.0/24", "now"), None);
    }
}
