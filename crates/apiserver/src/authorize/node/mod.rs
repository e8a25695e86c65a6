//! What a kubelet may do: its own node, and what the pods on its node refer to. Pure questions over the [`Graph`].
//! What is in a body is left to the admission plugin `node`, which sees it.
// k8s: plugin/pkg/auth/authorizer/node/node_authorizer.go

mod graph;
mod mirror;
mod references;

pub use graph::{Graph, Source};
use meta::{Decision, User};
pub(crate) use mirror::api_reference;
use references::Kind;
pub(crate) use references::MIRROR;

use super::rbac::Rule;
use crate::request::{Attributes, What};

/// The namespace of the leases of nodes.
pub(crate) const LEASES: &str = "kube-node-lease";

/// The answers to nodes.
#[derive(Debug, Default)]
pub struct NodeAuthorizer {
    pub graph: Graph,
    rules: Vec<Rule>,
}

/// A question of a node about a resource.
struct Asked<'a> {
    node: &'a str,
    verb: &'a str,
    sub: &'a str,
    namespace: &'a str,
    name: &'a str,
    attributes: &'a Attributes,
}

type Answer = Result<(), String>;

fn no(why: impl Into<String>) -> Answer {
    Err(why.into())
}

impl NodeAuthorizer {
    /// With an empty graph; `rules` is what any node may do besides (the `system:node` role).
    #[must_use]
    pub fn new(rules: Vec<Rule>) -> Self {
        NodeAuthorizer { graph: Graph::default(), rules }
    }

    /// Whether a node may do it; no opinion about others.
    #[must_use]
    pub fn authorize(&self, a: &Attributes) -> Decision {
        let Some(node) = node_name(&a.user) else { return Decision::NoOpinion(String::new()) };
        if node.is_empty() {
            let user = meta::field::quoted(&a.user.name);
            return Decision::NoOpinion(format!("unknown node for user {user}"));
        }
        let answer = match &a.target {
            What::Resource { group, resource, subresource, namespace, name, .. } => {
                let asked = Asked { node, verb: &a.verb, sub: subresource, namespace, name, attributes: a };
                self.resource(group, resource, &asked)
            }
            What::Path(_) => None,
        };
        match answer {
            Some(Ok(())) => Decision::Allow(String::new()),
            Some(Err(why)) => Decision::NoOpinion(why),
            None if self.rules.iter().any(|r| r.allows(&a.verb, &a.target)) => Decision::Allow(String::new()),
            None => Decision::NoOpinion(String::new()),
        }
    }

    /// `None` where nodes are not told apart.
    fn resource(&self, group: &str, resource: &str, q: &Asked<'_>) -> Option<Answer> {
        Some(match (group, resource) {
            ("", "secrets") => self.read(Kind::Secret, q),
            ("", "configmaps") => self.read(Kind::ConfigMap, q),
            ("", "persistentvolumeclaims") if q.sub == "status" => self.claim_status(q),
            ("", "persistentvolumeclaims") => get(q).and_then(|()| self.related(Kind::Claim, q)),
            ("", "persistentvolumes") => get(q).and_then(|()| found(q, self.graph.mounts(q.node, q.name))),
            ("resource.k8s.io", "resourceclaims") => {
                get(q).and_then(|()| self.related(Kind::ResourceClaim, q))
            }
            ("storage.k8s.io", "volumeattachments") => {
                get(q).and_then(|()| self.owned(Source::VolumeAttachment, q))
            }
            ("", "serviceaccounts") if q.verb == "get" && q.sub.is_empty() => self.read(Kind::Account, q),
            ("", "serviceaccounts") => self.token(q),
            ("coordination.k8s.io", "leases") => lease(q),
            ("storage.k8s.io", "csinodes") => csi_node(q),
            ("resource.k8s.io", "resourceslices") => self.slice(q),
            ("", "nodes") => own_node(q),
            ("", "pods") => self.pod(q),
            ("certificates.k8s.io", "podcertificaterequests") => self.certificate_request(q),
            _ => return None,
        })
    }

    fn related(&self, kind: Kind, q: &Asked<'_>) -> Answer {
        found(q, self.graph.uses(q.node, kind, q.namespace, q.name))
    }

    fn owned(&self, source: Source, q: &Asked<'_>) -> Answer {
        found(q, self.graph.owns(q.node, source, q.namespace, q.name))
    }

    /// Reads of single objects, lists and watches of them included.
    fn read(&self, kind: Kind, q: &Asked<'_>) -> Answer {
        if !is_read(q.verb) {
            return no("can only read resources of this type");
        }
        if !q.sub.is_empty() {
            return no("cannot read subresource");
        }
        if q.namespace.is_empty() {
            return no("can only read namespaced object of this type");
        }
        self.related(kind, q)
    }

    fn claim_status(&self, q: &Asked<'_>) -> Answer {
        if !matches!(q.verb, "update" | "patch") {
            return no("can only get/update/patch this type");
        }
        self.related(Kind::Claim, q)
    }

    fn token(&self, q: &Asked<'_>) -> Answer {
        if q.verb != "create" || q.name.is_empty() {
            return no("can only create tokens for individual service accounts");
        }
        if q.sub != "token" {
            return no("can only create token subresource of serviceaccount");
        }
        self.related(Kind::Account, q)
    }

    fn slice(&self, q: &Asked<'_>) -> Answer {
        if !q.sub.is_empty() {
            return no("cannot authorize ResourceSlice subresources");
        }
        match q.verb {
            "create" => Ok(()),
            "get" | "update" | "patch" | "delete" => self.owned(Source::ResourceSlice, q),
            "watch" | "list" | "deletecollection" if selects(q, "nodeName") => Ok(()),
            "watch" | "list" | "deletecollection" => {
                no("can only list/watch/deletecollection resourceslices with nodeName field selector")
            }
            _ => no(
                "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, deletecollection",
            ),
        }
    }

    fn pod(&self, q: &Asked<'_>) -> Answer {
        match (q.sub, q.verb) {
            ("", "get") => self.related(Kind::Pod, q),
            ("", "list" | "watch") if selects(q, "spec.nodeName") => Ok(()),
            ("", "list" | "watch") if !q.name.is_empty() => self.related(Kind::Pod, q),
            ("", "list" | "watch") => no("can only list/watch pods with spec.nodeName field selector"),
            ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => Ok(()),
            _ => no(""),
        }
    }

    fn certificate_request(&self, q: &Asked<'_>) -> Answer {
        if !q.sub.is_empty() {
            return no("nodes may not access the status subresource of PodCertificateRequests");
        }
        match q.verb {
            "create" => Ok(()),
            "get" => self.owned(Source::PodCertificateRequest, q),
            "list" | "watch" if selects(q, "spec.nodeName") => Ok(()),
            "list" | "watch" => no("can only list/watch podcertificaterequests with nodeName field selector"),
            verb => no(format!("nodes may not {verb} podcertificaterequests")),
        }
    }
}

fn is_read(verb: &str) -> bool {
    matches!(verb, "get" | "list" | "watch")
}

/// Whether the request is for what has the node's name in this field.
fn selects(q: &Asked<'_>, field: &str) -> bool {
    q.attributes.fields.exact(field) == Some(q.node)
}

fn found(q: &Asked<'_>, found: bool) -> Answer {
    if q.name.is_empty() {
        return no("No Object name found");
    }
    if found {
        Ok(())
    } else {
        no(format!("no relationship found between node '{}' and this object", q.node))
    }
}

fn get(q: &Asked<'_>) -> Answer {
    if q.verb != "get" {
        return no("can only get individual resources of this type");
    }
    if q.sub.is_empty() { Ok(()) } else { no("cannot get subresource") }
}

// The name of a lease or CSINode that is made is not known yet: admission looks at it.
fn lease(q: &Asked<'_>) -> Answer {
    if !matches!(q.verb, "get" | "create" | "update" | "patch" | "delete") {
        return no("can only get, create, update, patch, or delete a node lease");
    }
    if q.namespace != LEASES {
        return no(format!("can only access leases in the \"{LEASES}\" system namespace"));
    }
    if q.verb != "create" && q.name != q.node {
        return no("can only access node lease with the same name as the requesting node");
    }
    Ok(())
}

fn csi_node(q: &Asked<'_>) -> Answer {
    match q.sub {
        "" if !matches!(q.verb, "get" | "create" | "update" | "patch" | "delete") => {
            no("can only get, create, update, patch, or delete a CSINode")
        }
        "" if q.verb != "create" && q.name != q.node => {
            no("can only access CSINode with the same name as the requesting node")
        }
        "" => Ok(()),
        "status" => no("CSINode status access requires CSIVolumeHealth feature"),
        _ => no("cannot authorize CSINode subresources"),
    }
}

/// The name is compared as such, so that a kubelet may look for its node before that is made.
fn own_node(q: &Asked<'_>) -> Answer {
    match (q.sub, q.verb) {
        ("", "create" | "update" | "patch") | ("status", "update" | "patch") => Ok(()),
        ("", "get" | "list" | "watch") if q.name == q.node => Ok(()),
        ("", "get" | "list" | "watch") if q.name.is_empty() => {
            no(format!("node '{}' cannot read all nodes, only its own Node object", q.node))
        }
        ("", "get" | "list" | "watch") => {
            no(format!("node '{}' cannot read '{}', only its own Node object", q.node, q.name))
        }
        _ => no(""),
    }
}

/// The node that a user is, when it is one; an empty name is that of a node nobody knows.
// k8s: pkg/auth/nodeidentifier/default.go NodeIdentity
#[must_use]
pub fn node_name(user: &User) -> Option<&str> {
    let name = user.name.strip_prefix("system:node:")?;
    user.in_group("system:nodes").then_some(name)
}

#[cfg(test)]
mod tests;
