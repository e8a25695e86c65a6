//! What a write is answered with besides the object: values that are taken and will not do what the user means.
//! The texts are upstream's. Here is what several kinds share; what one kind says stands in its file.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use meta::{Path, Quantity, name};
use schema::Value;

use crate::operation::Operation;

/// A write that was valid.
#[derive(Clone, Copy, Debug)]
pub struct Write<'a> {
    pub new: &'a Value,
    /// Not on a create.
    pub old: Option<&'a Value>,
    pub operation: Operation,
}

/// What a kind says to a write.
pub type Warnings = fn(&Write<'_>) -> Vec<String>;

impl Write<'_> {
    /// Whether it makes the object.
    #[must_use]
    pub fn creates(&self) -> bool {
        self.operation == Operation::Create
    }

    /// Whether it writes the object itself, and not its status.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.operation != Operation::UpdateStatus
    }

    /// Whether it makes the object or changes what is at this path.
    #[must_use]
    pub fn changes(&self, path: &[&str]) -> bool {
        self.is_whole() && self.old.is_none_or(|old| old.at(path) != self.new.at(path))
    }
}

/// What no kind of its own says.
pub(crate) fn none(_: &Write<'_>) -> Vec<String> {
    Vec::new()
}

/// The texts at a path that is a list of them.
pub(crate) fn texts<'a>(o: &'a Value, path: &[&str]) -> impl Iterator<Item = (usize, &'a str)> {
    o.list_at(path).iter().enumerate().map(|(i, v)| (i, v.as_str().unwrap_or("")))
}

/// An object that pods are named after.
pub(crate) fn names_pods(out: &mut Vec<String>, o: &Value) {
    let msgs = name::dns1123_label(o.str_at(&["metadata", "name"]));
    if !msgs.is_empty() {
        out.push(format!(
            "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; \
             a DNS label is recommended: [{}]",
            msgs.join(" ")
        ));
    }
}

// k8s: pkg/api/node/util.go deprecatedNodeLabels
const NODE_LABELS: &[(&str, &str)] = &[
    ("beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"),
    ("beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"),
    (
        "failure-domain.beta.kubernetes.io/region",
        "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead",
    ),
    (
        "failure-domain.beta.kubernetes.io/zone",
        "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead",
    ),
    (
        "beta.kubernetes.io/instance-type",
        "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead",
    ),
    ("app.kubernetes.io/created-by", "deprecated since v1.9"),
    (
        "scheduler.alpha.kubernetes.io/preferAvoidPods",
        "deprecated since v1.22; use Taints and Tolerations instead",
    ),
    ("node-role.kubernetes.io/master", "use \"node-role.kubernetes.io/control-plane\" instead"),
];

/// What is said about a label of nodes that is no longer to be used.
pub(crate) fn node_label(key: &str) -> Option<&'static str> {
    NODE_LABELS.iter().find(|(label, _)| *label == key).map(|(_, why)| *why)
}

/// `matchExpressions` of a selector of nodes.
// k8s: pkg/api/node/util.go GetWarningsForNodeSelectorTerm
pub(crate) fn node_expressions(out: &mut Vec<String>, term: &Value, values: bool, path: &Path) {
    for (i, e) in term.list_at(&["matchExpressions"]).iter().enumerate() {
        let at = path.child("matchExpressions").index(i);
        let key = e.str_at(&["key"]);
        if let Some(why) = node_label(key) {
            out.push(format!("{}: {key} is {why}", at.child("key")));
        }
        for (n, value) in texts(e, &["values"]).filter(|_| values) {
            let at = at.child("values").index(n);
            out.extend(name::label_value(value).iter().map(|why| format!("{at}: {value} is invalid, {why}")));
        }
    }
}

/// The quantities of these names in a map, when they are no whole numbers of bytes.
pub(crate) fn fractional(out: &mut Vec<String>, quantities: Option<&Value>, names: &[&str], path: &Path) {
    for name in names {
        let Some(text) = quantities.and_then(|q| q.get(name)).and_then(Value::as_str) else { continue };
        let Ok(quantity) = text.parse::<Quantity>() else { continue };
        let milli = quantity.milli_value();
        if milli != i64::MAX && milli % 1000 != 0 {
            let at = path.key(name);
            out.push(format!("{at}: fractional byte value \"{quantity}\" is invalid, must be an integer"));
        }
    }
}

/// An address as Go's older readers take it: parts of an IPv4 address may begin with zeros.
// k8s: k8s.io/utils/net ParseIPSloppy
fn sloppy(text: &str) -> Option<IpAddr> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(ip);
    }
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let parts: Option<Vec<u8>> =
        text.split('.').map(|part| part.parse().ok().filter(|_| digits(part))).collect();
    let four: [u8; 4] = parts?.try_into().ok()?;
    Some(IpAddr::V4(Ipv4Addr::from(four)))
}

/// The IPv4 address in an IPv6 one that stands for it.
fn mapped(ip: IpAddr) -> Option<Ipv4Addr> {
    match ip {
        IpAddr::V6(six) => six.to_ipv4_mapped(),
        IpAddr::V4(_) => None,
    }
}

/// An address in an unusual form.
// k8s: staging/src/k8s.io/apimachinery/pkg/util/validation/ip.go GetWarningsForIP
pub(crate) fn ip(out: &mut Vec<String>, path: &Path, value: &str) {
    let Some(ip) = sloppy(value) else { return };
    let plain = mapped(ip).map_or(ip, IpAddr::V4);
    if value.parse::<IpAddr>().is_err() || plain != ip {
        out.push(format!("{path}: non-standard IP address \"{value}\" is invalid: use \"{plain}\""));
    } else if ip.is_ipv6() && ip.to_string() != value {
        out.push(format!(
            "{path}: IPv6 address \"{value}\" should be in RFC 5952 canonical format (\"{ip}\")"
        ));
    }
}

/// The addresses that a load balancer has told.
pub(crate) fn load_balancer_ips(out: &mut Vec<String>, o: &Value) {
    let path = Path::new("status").child("loadBalancer").child("ingress");
    for (i, ingress) in o.list_at(&["status", "loadBalancer", "ingress"]).iter().enumerate() {
        ip(out, &path.index(i), ingress.str_at(&["ip"]));
    }
}

/// The address with the bits beyond the prefix cleared.
fn network(ip: IpAddr, bits: u32) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(bits)).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(ip.to_bits() & mask))
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(bits)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & mask))
        }
    }
}

/// A range in an unusual form.
// k8s: staging/src/k8s.io/apimachinery/pkg/util/validation/ip.go GetWarningsForCIDR
pub(crate) fn cidr(out: &mut Vec<String>, path: &Path, value: &str) {
    let Some((address, prefix)) = value.split_once('/') else { return };
    let (Some(given), Ok(bits)) = (sloppy(address), prefix.parse::<u32>()) else { return };
    // Of an IPv4 address in IPv6 form the prefix counts the whole IPv6 address.
    let (ip, length) = match mapped(given) {
        Some(four) => (IpAddr::V4(four), bits.saturating_sub(96)),
        None => (given, bits),
    };
    let whole = if ip.is_ipv4() { 32 } else { 128 };
    let range = network(ip, length);
    let before = out.len();
    if range != ip {
        out.push(format!(
            "{path}: CIDR value \"{value}\" is ambiguous in this context (should be \"{range}/{length}\" or \
             \"{ip}/{whole}\"?)"
        ));
    }
    let odd_prefix = prefix.len() > 1 && prefix.starts_with('0');
    if address.parse::<IpAddr>().is_err() || odd_prefix || mapped(given).is_some() {
        out.push(format!("{path}: non-standard CIDR value \"{value}\" is invalid: use \"{range}/{length}\""));
    } else if out.len() == before && ip.is_ipv6() && format!("{ip}/{bits}") != value {
        out.push(format!(
            "{path}: IPv6 CIDR value \"{value}\" should be in RFC 5952 canonical format (\"{ip}/{bits}\")"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // k8s: staging/src/k8s.io/apimachinery/pkg/util/validation/ip_test.go
    #[test]
    fn addresses_in_unusual_forms_are_named() {
        let path = Path::new("f");
        let table: &[(&str, &str)] = &[
            ("192.12.2.2", ""),
            ("::2001:db8", ""),
            ("2001:db8::2", ""),
            ("192.012.2.2", "f: non-standard IP address \"192.012.2.2\" is invalid: use \"192.12.2.2\""),
            (
                "::ffff:192.12.2.2",
                "f: non-standard IP address \"::ffff:192.12.2.2\" is invalid: use \"192.12.2.2\"",
            ),
            (
                "2001:DB8::2",
                "f: IPv6 address \"2001:DB8::2\" should be in RFC 5952 canonical format (\"2001:db8::2\")",
            ),
            ("none", ""),
        ];
        for (value, want) in table {
            let mut out = Vec::new();
            ip(&mut out, &path, value);
            assert_eq!(out.join("|"), *want, "{value}");
        }
    }

    #[test]
    fn ranges_in_unusual_forms_are_named() {
        let path = Path::new("f");
        let table: &[(&str, &[&str])] = &[
            ("192.12.2.0/24", &[]),
            ("2001:db8::/64", &[]),
            ("0.0.0.0/0", &[]),
            (
                "192.12.2.5/24",
                &[
                    "f: CIDR value \"192.12.2.5/24\" is ambiguous in this context (should be \"192.12.2.0/24\" or \"192.12.2.5/32\"?)",
                ],
            ),
            (
                "192.012.2.0/24",
                &["f: non-standard CIDR value \"192.012.2.0/24\" is invalid: use \"192.12.2.0/24\""],
            ),
            (
                "::ffff:192.12.2.0/120",
                &["f: non-standard CIDR value \"::ffff:192.12.2.0/120\" is invalid: use \"192.12.2.0/24\""],
            ),
            (
                "192.012.2.8/24",
                &[
                    "f: CIDR value \"192.012.2.8/24\" is ambiguous in this context (should be \"192.12.2.0/24\" or \"192.12.2.8/32\"?)",
                    "f: non-standard CIDR value \"192.012.2.8/24\" is invalid: use \"192.12.2.0/24\"",
                ],
            ),
            (
                "2001:DB8::/64",
                &[
                    "f: IPv6 CIDR value \"2001:DB8::/64\" should be in RFC 5952 canonical format (\"2001:db8::/64\")",
                ],
            ),
        ];
        for (value, want) in table {
            let mut out = Vec::new();
            cidr(&mut out, &path, value);
            assert_eq!(out, *want, "{value}");
        }
    }

    static TOLD: &[(&crate::Kind, &str, &[&str])] = &[
        (
            &crate::core::node::KIND,
            "{spec: {configSource: {}, externalID: x, podCIDRs: [10.0.0.1/24]}}",
            &[
                "spec.configSource: the feature is removed",
                "spec.externalID: this field is deprecated, and is unused by Kubernetes",
                "spec.podCIDRs[0]: CIDR value \"10.0.0.1/24\" is ambiguous in this context (should be \"10.0.0.0/24\" or \"10.0.0.1/32\"?)",
            ],
        ),
        (
            &crate::core::persistent_volume::KIND,
            "{metadata: {annotations: {volume.beta.kubernetes.io/mount-options: x}}, spec: {persistentVolumeReclaimPolicy: Recycle, rbd: {}, nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: beta.kubernetes.io/os}]}]}}}}",
            &[
                "metadata.annotations[volume.beta.kubernetes.io/mount-options]: deprecated since v1.31; use \"mountOptions\" attribute instead",
                "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.",
                "spec.nodeAffinity.required.nodeSelectorTerms[0].matchExpressions[0].key: beta.kubernetes.io/os is deprecated since v1.14; use \"kubernetes.io/os\" instead",
                "spec.rbd: deprecated in v1.28, non-functional in v1.31+",
            ],
        ),
        (
            &crate::core::persistent_volume_claim::KIND,
            "{metadata: {annotations: {volume.beta.kubernetes.io/storage-class: x}}, spec: {resources: {limits: {storage: 1m}}}}",
            &[
                "metadata.annotations[volume.beta.kubernetes.io/storage-class]: deprecated since v1.8; use \"storageClassName\" attribute instead",
                "spec.resources.limits[storage]: fractional byte value \"1m\" is invalid, must be an integer",
            ],
        ),
        (
            &crate::core::resource_quota::KIND,
            "{spec: {hard: {cpu: '2', limits.cpu: '1', requests.memory: 1Gi, limits.memory: 1Gi}}}",
            &["ResourceQuota cpu (2) should be less than limits.cpu (1)"],
        ),
        (
            &crate::core::service_account::KIND,
            "{metadata: {annotations: {kubernetes.io/enforce-mountable-secrets: 'true'}}}",
            &[
                "metadata.annotations[kubernetes.io/enforce-mountable-secrets]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets",
            ],
        ),
        (
            &crate::core::endpoints::KIND,
            "{subsets: [{addresses: [{ip: 1.2.3.4}], notReadyAddresses: [{ip: '::A'}]}]}",
            &[
                "subsets[0].notReadyAddresses[0].ip: IPv6 address \"::A\" should be in RFC 5952 canonical format (\"::a\")",
            ],
        ),
        (
            &crate::storage::csi_driver::KIND,
            "{spec: {tokenRequests: [{audience: a}]}}",
            &[
                "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent possible logging of tokens in volume attributes",
            ],
        ),
        (
            &crate::storage::csi_storage_capacity::KIND,
            "{nodeTopology: {matchLabels: {beta.kubernetes.io/os: x}}}",
            &[
                "nodeTopology.matchLabels.beta.kubernetes.io/os: deprecated since v1.14; use \"kubernetes.io/os\" instead",
            ],
        ),
        (
            &crate::storage::storage_class::KIND,
            "{allowedTopologies: [{matchLabelExpressions: [{key: beta.kubernetes.io/os}]}]}",
            &[
                "allowedTopologies[0].matchLabelExpressions[0].key: deprecated since v1.14; use \"kubernetes.io/os\" instead",
            ],
        ),
        (
            &crate::node::runtime_class::KIND,
            "{scheduling: {nodeSelector: {node-role.kubernetes.io/master: ''}}}",
            &["scheduling.nodeSelector: use \"node-role.kubernetes.io/control-plane\" instead"],
        ),
        (
            &crate::networking::network_policy::KIND,
            "{spec: {egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.1/16]}}]}]}}",
            &[
                "spec.egress[0].to[0].ipBlock.except[0]: CIDR value \"10.0.0.1/16\" is ambiguous in this context (should be \"10.0.0.0/16\" or \"10.0.0.1/32\"?)",
            ],
        ),
        (
            &crate::networking::ingress::KIND,
            "{metadata: {annotations: {kubernetes.io/ingress.class: x}}, spec: {}}",
            &[
                "annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead",
            ],
        ),
        (
            &crate::discovery::endpoint_slice::KIND,
            "{addressType: FQDN, endpoints: [{addresses: [a.b]}]}",
            &["spec.addressType: FQDN endpoints are deprecated"],
        ),
        (
            &crate::resource::resource_slice::KIND,
            "{spec: {driver: A.b}}",
            &["spec.driver: driver names should be lowercase; \"A.b\" contains uppercase characters"],
        ),
        (
            &crate::admissionregistration::validating_webhook_configuration::KIND,
            "{webhooks: [{rules: [{apiGroups: ['', authentication.k8s.io], resources: [pods, tokenreviews, tokenreviews]}, {apiGroups: ['*'], resources: [tokenreviews]}]}]}",
            &[
                "webhooks[0].rules[0]: tokenreviews.authentication.k8s.io is excluded from admission webhooks; this rule will have no effect",
            ],
        ),
    ];

    /// Objects of kinds that say something of their own, and what is said at their creation.
    #[test]
    fn kinds_say_what_is_not_to_be_used_any_more() {
        for (kind, text, want) in TOLD {
            let new = crate::testing::yaml(text);
            let said = (kind.warnings)(&Write { new: &new, old: None, operation: Operation::Create });
            assert_eq!(said, *want, "{text}");
        }
    }
}
