//! Approver: grants kubelets' requests for client certificates when the asking user may (a
//! SubjectAccessReview says so), and their requests for serving certificates when every name asked for is one of
//! the asking node's own. It never denies: what it does not grant waits for a person.
//!
//! The second part is ours: upstream leaves serving certificates to a person. The names are compared with the
//! Node's `status.addresses`, which the node writes itself, so it proves no more than that a node asks for itself.
// k8s: pkg/controller/certificates/approver/sarapprove.go

use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use meta::Gvr;
use reconcile::{Action, Answer, Answers, Caches, Controller, Interests, Key, Plan};
use serde_json::{Value, json};

use super::{
    Authority, KUBELET_CLIENT, KUBELET_SERVING, NODE_USER_PREFIX, NODES_GROUP, SigningRequest, Wanted,
    check_kubelet_client, check_kubelet_serving,
};
use crate::core::node::Node;

const REVIEWS: Gvr = Gvr::new("authorization.k8s.io", "v1", "subjectaccessreviews");
const SELF_MESSAGE: &str = "Auto approving self kubelet client certificate after SubjectAccessReview.";
const NODE_MESSAGE: &str = "Auto approving kubelet client certificate after SubjectAccessReview.";
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
}

/// The reviews that could grant a request for a client certificate.
fn reviews(r: &SigningRequest, w: &Wanted, answers: &Answers) -> Vec<Review> {
    if r.spec.signer_name != KUBELET_CLIENT || check_kubelet_client(w, &r.spec.usages).is_err() {
        return Vec::new();
    }
    let own = r.spec.username == w.common_name;
    let candidates = [("selfnodeclient", SELF_MESSAGE, own), ("nodeclient", NODE_MESSAGE, true)];
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

impl Controller for Approver {
    type State = State;

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
            let waiting = caches.kind::<SigningRequest>().iter();
            for r in
                waiting.filter(|r| r.spec.signer_name == KUBELET_SERVING && r.status.conditions.is_empty())
            {
                sink.add(r.metadata.key());
            }
        });
    }

    fn observe(&self, key: &Key, caches: &Caches, answers: &Answers) -> Option<State> {
        let request = caches.kind::<SigningRequest>().by_key(key)?.clone();
        let decided =
            request.is("Approved") || request.is("Denied") || !request.status.certificate.is_empty();
        if decided || ![KUBELET_CLIENT, KUBELET_SERVING].contains(&request.spec.signer_name.as_str()) {
            return None;
        }
        let wanted = self.authority.read(&request.pem()).ok();
        let reviews = wanted.as_ref().map(|w| reviews(&request, w, answers)).unwrap_or_default();
        let node = request.spec.username.strip_prefix(NODE_USER_PREFIX);
        let node = node.and_then(|name| caches.kind::<Node>().get("", name).cloned());
        Some(State { request, wanted, reviews, node })
    }

    fn reconcile(&self, state: &State, now: Timestamp) -> Plan {
        let (r, Some(w)) = (&state.request, &state.wanted) else { return Plan::default() };
        let approve = |message: &str| {
            Plan::of(vec![r.add_condition("approval", "Approved", "AutoApproved", message, now)])
        };
        if r.spec.signer_name == KUBELET_SERVING {
            let itself = r.spec.username == w.common_name && r.spec.groups.iter().any(|g| g == NODES_GROUP);
            let granted = itself
                && check_kubelet_serving(w, &r.spec.usages).is_ok()
                && state.node.as_ref().is_some_and(|n| are_own(w, n));
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
        caches.kind_mut::<SigningRequest>().upsert(serde_json::from_value(request).unwrap());
        caches.kind_mut::<Node>().upsert(serde_json::from_value(node).unwrap());
        caches
    }

    fn decide(c: &Approver, caches: &Caches, answers: &Answers) -> Plan {
        let state = c.observe(&Key::new("", "r"), caches, answers);
        state.map(|s| c.reconcile(&s, Timestamp::UNIX_EPOCH)).unwrap_or_default()
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
}
