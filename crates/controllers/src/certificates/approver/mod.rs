//! Approver: grants kubelets' and service proxies' requests for client certificates when the asking user may (a
//! SubjectAccessReview says so), and their requests for serving certificates when every name asked for is one of
//! the asking node's own. It never denies: what it does not grant waits for a person.
//!
//! The proxies' part is ours, and so is the last one: upstream leaves serving certificates to a person. The names are compared with the
//! Node's `status.addresses`, which the node writes itself. So that no node can take on another's part, names of the
//! API server and of loopback are never granted, nor what another node says is its own.
// k8s: pkg/controller/certificates/approver/sarapprove.go

use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use meta::Gvr;
use reconcile::{Action, Answer, Answers, Caches, Controller, Interests, Key, KeySink, Plan};
use serde_json::{Value, json};

use super::{
    Authority, CLIENT, KUBELET_CLIENT, KUBELET_SERVING, NODE_USER_PREFIX, NODES_GROUP, SigningRequest,
    Wanted, check_kubelet_client, check_kubelet_serving, is_proxy_client,
};
use crate::core::node::Node;
use crate::core::service::Service;
use crate::discovery::endpointslice::types::{EndpointSlice, SERVICE_NAME};

const REVIEWS: Gvr = Gvr::new("authorization.k8s.io", "v1", "subjectaccessreviews");
/// The Service of the API server: namespace and name.
const API_SERVICE: (&str, &str) = ("default", "kubernetes");
const SELF_MESSAGE: &str = "Auto approving self kubelet client certificate after SubjectAccessReview.";
const NODE_MESSAGE: &str = "Auto approving kubelet client certificate after SubjectAccessReview.";
const PROXY_MESSAGE: &str = "Auto approving kube-proxy client certificate after SubjectAccessReview.";
const SERVING_MESSAGE: &str =
    "Auto approving kubelet serving certificate: all its names are addresses of the requesting node.";

/// The controller. Its keys are requests.
pub struct Approver {
    pub authority: Arc<dyn Authority>,
}

/// A question about the asking user, and its answer when there is one.
#[derive(Clone, Debug)]
pub struct Review {
    pub question: Value,
    pub message: &'static str,
    pub allowed: Option<bool>,
}

/// What a decision on a request depends on.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub request: Arc<SigningRequest>,
    /// `None`: it cannot be read.
    pub wanted: Option<Wanted>,
    pub reviews: Vec<Review>,
    /// The node that asks for itself.
    pub node: Option<Arc<Node>>,
    /// A name asked for that is the API server's, loopback's or another node's.
    pub foreign_name: Option<String>,
}

/// The reviews that could grant a request for a client certificate.
fn reviews(r: &SigningRequest, w: &Wanted, answers: &Answers) -> Vec<Review> {
    let kubelet = r.spec.signer_name == KUBELET_CLIENT && check_kubelet_client(w, &r.spec.usages).is_ok();
    let proxy = r.spec.signer_name == CLIENT && is_proxy_client(w, &r.spec.usages);
    let own = kubelet && r.spec.username == w.common_name;
    let candidates = [
        ("selfnodeclient", SELF_MESSAGE, own),
        ("nodeclient", NODE_MESSAGE, kubelet),
        ("kubeproxyclient", PROXY_MESSAGE, proxy),
    ];
    let applicable = candidates.into_iter().filter(|(_, _, applies)| *applies);
    applicable
        .map(|(subresource, message, _)| {
            let question = json!({
                "kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1",
                "spec": {
                    "user": r.spec.username, "uid": r.spec.uid, "groups": r.spec.groups, "extra": r.spec.extra,
                    "resourceAttributes": {
                        "group": "certificates.k8s.io", "resource": "certificatesigningrequests",
                        "verb": "create", "subresource": subresource,
                    },
                },
            });
            let allowed = match answers.reviewed(&REVIEWS, &question) {
                Some(Ok(Answer::Object(bytes))) => {
                    let review: Value = serde_json::from_slice(bytes).unwrap_or_default();
                    Some(review["status"]["allowed"] == true)
                }
                Some(_) => Some(false),
                None => None,
            };
            Review { question, message, allowed }
        })
        .collect()
}

/// Whether all names of a request are addresses of the node.
fn are_own(w: &Wanted, node: &Node) -> bool {
    let addresses = &node.status.addresses;
    let ip = |ip: &IpAddr| {
        addresses.iter().any(|a| a.kind.ends_with("IP") && a.address.parse::<IpAddr>().as_ref() == Ok(ip))
    };
    let name = |n: &String| {
        *n == *node.metadata.name || addresses.iter().any(|a| !a.kind.ends_with("IP") && *a.address == **n)
    };
    w.ip_addresses.iter().all(ip) && w.dns_names.iter().all(name)
}

/// Whether the API server or loopback is meant by a DNS name.
fn is_reserved(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    ["kubernetes", "localhost"].contains(&name.as_str())
        || name.starts_with("kubernetes.")
        || name.ends_with(".localhost")
}

fn same_ip(text: &str, ip: IpAddr) -> bool {
    text.parse::<IpAddr>().is_ok_and(|t| t.to_canonical() == ip.to_canonical())
}

/// Whether the address is one that the API server is reached by: that of the `kubernetes` Service, which is the
/// first of the service range, or one behind it, where API servers advertise themselves.
fn is_api_server(ip: IpAddr, caches: &Caches) -> bool {
    let service = caches.kind::<Service>().get(API_SERVICE.0, API_SERVICE.1);
    let mut slices = caches.kind::<EndpointSlice>().iter().filter(|s| {
        *s.metadata.namespace == *API_SERVICE.0 && s.metadata.labels.get(SERVICE_NAME) == Some(API_SERVICE.1)
    });
    service.is_some_and(|s| same_ip(&s.spec.cluster_ip, ip))
        || slices.any(|s| s.endpoints.iter().flat_map(|e| &e.addresses).any(|a| same_ip(a, ip)))
}

/// A name of the request that cannot be `node`'s, whatever that says of itself.
fn foreign_name(w: &Wanted, node: &str, caches: &Caches) -> Option<String> {
    let others: Vec<&Arc<Node>> =
        caches.kind::<Node>().iter().filter(|n| *n.metadata.name != *node).collect();
    let claimed = |is: &dyn Fn(&str) -> bool| {
        others.iter().any(|n| is(&n.metadata.name) || n.status.addresses.iter().any(|a| is(&a.address)))
    };
    let dns = w.dns_names.iter().find(|n| {
        let plain = n.trim_end_matches('.');
        is_reserved(n) || claimed(&|of: &str| of.trim_end_matches('.').eq_ignore_ascii_case(plain))
    });
    let ip = w.ip_addresses.iter().find(|ip| {
        let plain = ip.to_canonical();
        plain.is_loopback()
            || plain.is_unspecified()
            || is_api_server(plain, caches)
            || claimed(&|of: &str| same_ip(of, plain))
    });
    dns.cloned().or_else(|| ip.map(ToString::to_string))
}

fn ask_again(caches: &Caches, sink: &mut KeySink) {
    let waiting = caches.kind::<SigningRequest>().iter();
    for r in waiting.filter(|r| r.spec.signer_name == KUBELET_SERVING && r.status.conditions.is_empty()) {
        sink.add(r.metadata.key());
    }
}

impl Controller for Approver {
    type State = State;
    type Memory = ();

    fn name(&self) -> &'static str {
        "certificatesigningrequest-approving-controller"
    }

    fn interests(&self, i: &mut Interests) {
        i.own::<SigningRequest>();
        i.on::<Node>(|delta, caches, sink| {
            let addresses = |n: &Option<Arc<Node>>| n.as_ref().map(|n| n.status.addresses.clone());
            if addresses(&delta.old) == addresses(&delta.new) {
                return;
            }
            ask_again(caches, sink);
        });
        // Only looked up: what they take from a node is decided once.
        i.on::<Service>(|_, _, _| {});
        i.on::<EndpointSlice>(|_, _, _| {});
    }

    fn observe(&self, key: &Key, caches: &Caches, answers: &Answers) -> Option<State> {
        let request = caches.kind::<SigningRequest>().by_key(key)?.clone();
        let decided =
            request.is("Approved") || request.is("Denied") || !request.status.certificate.is_empty();
        if decided || ![KUBELET_CLIENT, KUBELET_SERVING, CLIENT].contains(&request.spec.signer_name.as_str())
        {
            return None;
        }
        let wanted = self.authority.read(&request.pem()).ok();
        let reviews = wanted.as_ref().map(|w| reviews(&request, w, answers)).unwrap_or_default();
        let node = request.spec.username.strip_prefix(NODE_USER_PREFIX);
        let node = node.and_then(|name| caches.kind::<Node>().get("", name).cloned());
        let foreign_name = match (&wanted, &node) {
            (Some(w), Some(n)) => foreign_name(w, &n.metadata.name, caches),
            _ => None,
        };
        Some(State { request, wanted, reviews, node, foreign_name })
    }

    fn reconcile(&self, state: &State, _: &mut (), now: Timestamp) -> Plan {
        let (r, Some(w)) = (&state.request, &state.wanted) else { return Plan::default() };
        let approve = |message: &str| {
            Plan::of(vec![r.add_condition("approval", "Approved", "AutoApproved", message, now)])
        };
        if r.spec.signer_name == KUBELET_SERVING {
            let itself = r.spec.username == w.common_name && r.spec.groups.iter().any(|g| g == NODES_GROUP);
            let granted = itself
                && check_kubelet_serving(w, &r.spec.usages).is_ok()
                && state.node.as_ref().is_some_and(|n| are_own(w, n))
                && state.foreign_name.is_none();
            return if granted { approve(SERVING_MESSAGE) } else { Plan::default() };
        }
        if let Some(review) = state.reviews.iter().find(|v| v.allowed == Some(true)) {
            return approve(review.message);
        }
        let open = state.reviews.iter().filter(|v| v.allowed.is_none());
        let questions: Vec<Action> = open.map(|v| Action::review(REVIEWS, &v.question)).collect();
        // When all are answered with no, the bindings that allow it may still come.
        Plan { retry: questions.is_empty() && !state.reviews.is_empty(), ..Plan::of(questions) }
    }
}

#[cfg(test)]
mod tests {
    use reconcile::Op;

    use super::*;
    use std::time::Duration;

    #[derive(Debug)]
    struct Fixed(Wanted);

    impl Authority for Fixed {
        fn read(&self, _: &str) -> Result<Wanted, String> {
            Ok(self.0.clone())
        }

        fn sign(&self, _: &str, _: &[String], _: Duration, _: &str, _: Timestamp) -> Result<String, String> {
            Err("not asked".to_owned())
        }
    }

    fn wanted(names: &[&str], ips: &[&str]) -> Wanted {
        Wanted {
            common_name: "system:node:n1".to_owned(),
            organizations: vec!["system:nodes".to_owned()],
            dns_names: names.iter().map(|n| (*n).to_owned()).collect(),
            ip_addresses: ips.iter().map(|i| i.parse().unwrap()).collect(),
            other_names: 0,
        }
    }

    fn caches(signer: &str, usage: &str, user: &str, group: &str) -> Caches {
        let request = json!({
            "metadata": {"name": "r", "resourceVersion": "3"},
            "spec": {"signerName": signer, "usages": ["digital signature", usage], "username": user, "groups": [group]},
        });
        let node = json!({"metadata": {"name": "n1"}, "status": {"addresses": [
            {"type": "InternalIP", "address": "192.0.2.1"}, {"type": "Hostname", "address": "host1"}]}});
        let mut caches = Caches::default();
        caches.kind_mut::<Service>();
        caches.kind_mut::<EndpointSlice>();
        caches.kind_mut::<SigningRequest>().upsert(serde_json::from_value(request).unwrap());
        caches.kind_mut::<Node>().upsert(serde_json::from_value(node).unwrap());
        caches
    }

    fn decide(c: &Approver, caches: &Caches, answers: &Answers) -> Plan {
        let state = c.observe(&Key::new("", "r"), caches, answers);
        state.map(|s| c.reconcile(&s, &mut (), Timestamp::UNIX_EPOCH)).unwrap_or_default()
    }

    fn is_approval(plan: &Plan) -> bool {
        plan.actions().any(|a| matches!(&a.op, Op::Update { sub: "approval", .. }))
    }

    #[test]
    fn serving_certificates_for_own_names_only() {
        let cases: [(&[&str], &[&str], &str, &str, bool); 6] = [
            (&["n1", "host1"], &["192.0.2.1"], "system:node:n1", "system:nodes", true),
            (&["n1"], &["192.0.2.2"], "system:node:n1", "system:nodes", false),
            (&["n2"], &[], "system:node:n1", "system:nodes", false),
            (&["n1"], &[], "system:node:n2", "system:nodes", false),
            (&["n1"], &[], "system:node:n1", "others", false),
            (&[], &[], "system:node:n1", "system:nodes", false),
        ];
        for (names, ips, user, group, granted) in cases {
            let c = Approver { authority: Arc::new(Fixed(wanted(names, ips))) };
            let caches = caches(KUBELET_SERVING, "server auth", user, group);
            let plan = decide(&c, &caches, &Answers::default());
            assert_eq!(is_approval(&plan), granted, "{names:?} {ips:?} {user} {group}");
        }
    }

    #[test]
    fn names_of_others_are_not_granted_even_if_the_node_claims_them() {
        let addresses = [
            ("Hostname", "kubernetes.default.svc"),
            ("Hostname", "Kubernetes"),
            ("Hostname", "localhost"),
            ("Hostname", "n2"),
            ("Hostname", "HOST2"),
            ("Hostname", "kubernetes-worker"),
            ("InternalIP", "127.0.0.1"),
            ("InternalIP", "::1"),
            ("InternalIP", "::ffff:127.0.0.1"),
            ("InternalIP", "10.96.0.1"),
            ("InternalIP", "192.0.2.100"),
            ("InternalIP", "192.0.2.2"),
            ("InternalIP", "192.0.2.3"),
        ];
        for (kind, address) in addresses {
            let granted = ["kubernetes-worker", "192.0.2.3"].contains(&address);
            let (names, ips): (&[&str], &[&str]) =
                if kind == "Hostname" { (&[address], &[]) } else { (&["n1"], &[address]) };
            let mut caches = caches(KUBELET_SERVING, "server auth", "system:node:n1", "system:nodes");
            let node =
                |name: &str, list: Value| json!({"metadata": {"name": name}, "status": {"addresses": list}});
            for n in [
                node("n1", json!([{"type": kind, "address": address}])),
                node(
                    "n2",
                    json!([{"type": "InternalIP", "address": "192.0.2.2"},
                    {"type": "Hostname", "address": "host2"}]),
                ),
            ] {
                caches.kind_mut::<Node>().upsert(serde_json::from_value(n).unwrap());
            }
            let meta = json!({"namespace": "default", "name": "kubernetes",
                "labels": {"kubernetes.io/service-name": "kubernetes"}});
            let service = json!({"metadata": meta, "spec": {"clusterIP": "10.96.0.1"}});
            let slice = json!({"metadata": meta, "addressType": "IPv4",
                "endpoints": [{"addresses": ["192.0.2.100"]}]});
            caches.kind_mut::<Service>().upsert(serde_json::from_value(service).unwrap());
            caches.kind_mut::<EndpointSlice>().upsert(serde_json::from_value(slice).unwrap());
            let c = Approver { authority: Arc::new(Fixed(wanted(names, ips))) };
            let plan = decide(&c, &caches, &Answers::default());
            assert_eq!(is_approval(&plan), granted, "{address}");
        }
    }

    #[test]
    fn client_certificates_after_a_review() {
        let c = Approver { authority: Arc::new(Fixed(wanted(&[], &[]))) };
        let caches = caches(KUBELET_CLIENT, "client auth", "system:bootstrap:abcdef", "system:bootstrappers");
        let asked = decide(&c, &caches, &Answers::default());
        let ops: Vec<Op> = asked.actions().map(|a| a.op.clone()).collect();
        assert!(
            matches!(&ops[..], [Op::Review { body, .. }] if String::from_utf8_lossy(body).contains("\"nodeclient\""))
        );
        for (allowed, approved) in [(true, true), (false, false)] {
            let body = json!({"status": {"allowed": allowed}}).to_string();
            let reads = vec![(ops[0].clone(), Ok(Answer::Object(body.into())))];
            let plan = decide(&c, &caches, &Answers { reads, ..Answers::default() });
            assert_eq!((is_approval(&plan), plan.retry), (approved, !approved));
        }
    }

    #[test]
    fn names_in_a_client_request_are_not_granted() {
        let c = Approver { authority: Arc::new(Fixed(wanted(&["n1"], &[]))) };
        let caches = caches(KUBELET_CLIENT, "client auth", "system:bootstrap:abcdef", "system:bootstrappers");
        assert!(decide(&c, &caches, &Answers::default()).is_empty());
    }

    #[test]
    fn certificates_of_service_proxies_after_a_review() {
        let proxy = Wanted { common_name: "system:kube-proxy".to_owned(), ..Wanted::default() };
        let masters = Wanted { organizations: vec!["system:masters".to_owned()], ..proxy.clone() };
        let named = Wanted { dns_names: vec!["n1".to_owned()], ..proxy.clone() };
        let other = Wanted { common_name: "system:kube-scheduler".to_owned(), ..Wanted::default() };
        for (wanted, usage, asked) in [
            (proxy.clone(), "client auth", true),
            (proxy, "server auth", false),
            (masters, "client auth", false),
            (named, "client auth", false),
            (other, "client auth", false),
        ] {
            let c = Approver { authority: Arc::new(Fixed(wanted.clone())) };
            let caches = caches(CLIENT, usage, "system:node:n1", "system:nodes");
            let plan = decide(&c, &caches, &Answers::default());
            let questions: Vec<Op> = plan.actions().map(|a| a.op.clone()).collect();
            let subresource = "\"kubeproxyclient\"";
            let is_asked = matches!(&questions[..], [Op::Review { body, .. }]
                if String::from_utf8_lossy(body).contains(subresource));
            assert_eq!(is_asked, asked, "{wanted:?} {usage}");
            assert!(asked || questions.is_empty(), "{questions:?}");
        }
    }
}
