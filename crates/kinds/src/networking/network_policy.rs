//! NetworkPolicy: which traffic pods may have.

use meta::Path;
use schema::Value;

use crate::columns::{AGE, NAME, selector_text, text};
use crate::defaults::{each, text as text_default};
use crate::kind::{Cell, Column, Kind, Strategy};
use crate::shape::{Check, Rule, rule};
use crate::warnings::{self, Write};

/// `networking.k8s.io/v1` NetworkPolicy.
pub static KIND: Kind =
    Kind::namespaced_kind("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", "networkpolicy")
        .with_short_names(&["netpol"])
        .with_columns(COLUMNS)
        .with_warnings(told)
        .with_strategy(&NetworkPolicyStrategy)
        .with_rules(RULES)
        .with_generation();

const PROTOCOLS: Check = Check::Word(&["SCTP", "TCP", "UDP"]);

// k8s: pkg/apis/networking/validation/validation.go ValidateNetworkPolicySpec
const RULES: &[Rule] = &[
    rule("spec.ingress[].ports[].protocol", PROTOCOLS),
    rule("spec.ingress[].from[]", Check::Required("must specify a peer")),
    rule("spec.egress[].ports[].protocol", PROTOCOLS),
    rule("spec.egress[].to[]", Check::Required("must specify a peer")),
    rule("spec.policyTypes", Check::Words(&["Egress", "Ingress"])),
];

const COLUMNS: &[Column] = &[
    NAME,
    text("Pod-Selector", "The pods that it is for.", |o, _| {
        Cell::Text(selector_text(o.at(&["spec", "podSelector"])))
    }),
    AGE,
];

struct NetworkPolicyStrategy;

impl Strategy for NetworkPolicyStrategy {
    // k8s: pkg/apis/networking/v1/defaults.go SetDefaults_NetworkPolicy
    fn default_fields(&self, o: &mut Value) {
        if o.list_at(&["spec", "policyTypes"]).is_empty() {
            let mut types = vec![Value::from("Ingress")];
            if !o.list_at(&["spec", "egress"]).is_empty() {
                types.push(Value::from("Egress"));
            }
            o.set_at(&["spec", "policyTypes"], types);
        }
        for direction in ["ingress", "egress"] {
            each(o, &["spec", direction], |r| each(r, &["ports"], |p| text_default(p, "protocol", "TCP")));
        }
    }
}

// k8s: pkg/registry/networking/networkpolicy/strategy.go networkPolicyWarnings
fn told(w: &Write<'_>) -> Vec<String> {
    let mut out = Vec::new();
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for (i, rule) in w.new.list_at(&["spec", direction]).iter().enumerate() {
            let path = Path::new("spec").child(direction).index(i).child(peers);
            for (n, peer) in rule.list_at(&[peers]).iter().enumerate() {
                let path = path.index(n).child("ipBlock");
                warnings::cidr(&mut out, &path.child("cidr"), peer.str_at(&["ipBlock", "cidr"]));
                for (k, except) in warnings::texts(peer, &["ipBlock", "except"]) {
                    warnings::cidr(&mut out, &path.child("except").index(k), except);
                }
            }
        }
    }
    out
}
