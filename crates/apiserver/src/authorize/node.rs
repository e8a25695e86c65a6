//! What a kubelet may do: its own node, and what the pods on its node refer to. The graph is kept from stored
//! pods; the question is pure.
// k8s: plugin/pkg/auth/authorizer/node/node_authorizer.go

use std::collections::HashMap;
use std::sync::Arc;

use meta::{Status, User};
use schema::Value;
use serde::Deserialize;

use super::rbac::Rule;
use super::{Attributes, Decision, What};

/// What [`references`] calls a projected token.
pub(crate) const TOKEN: &str = "serviceaccounts/token";

/// What a pod may refer to, as plural, namespace and name.
type Target = (&'static str, String, String);

#[derive(Debug)]
struct Pod {
    node: String,
    targets: Vec<Target>,
}

/// Pods with the nodes they are bound to and what they refer to.
#[derive(Debug, Default)]
pub struct Graph {
    /// By namespace and name.
    pods: HashMap<(String, String), Pod>,
    /// How many pods of a node refer to a target.
    uses: HashMap<Target, HashMap<String, usize>>,
    rules: Arc<Vec<Rule>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct PodObject {
    spec: PodSpec,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct PodSpec {
    node_name: String,
    service_account_name: String,
    image_pull_secrets: Option<Vec<Named>>,
    containers: Option<Vec<Container>>,
    init_containers: Option<Vec<Container>>,
    ephemeral_containers: Option<Vec<Container>>,
    volumes: Option<Vec<Volume>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Named {
    name: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Container {
    env: Option<Vec<Env>>,
    env_from: Option<Vec<EnvFrom>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Env {
    value_from: Option<ValueFrom>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ValueFrom {
    config_map_key_ref: Option<Named>,
    secret_key_ref: Option<Named>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct EnvFrom {
    config_map_ref: Option<Named>,
    secret_ref: Option<Named>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Volume {
    name: String,
    secret: Option<SecretVolume>,
    config_map: Option<Named>,
    persistent_volume_claim: Option<Claim>,
    projected: Option<Projected>,
    ephemeral: Option<serde::de::IgnoredAny>,
    csi: Option<Csi>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct SecretVolume {
    secret_name: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Claim {
    claim_name: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Projected {
    sources: Option<Vec<Source>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Source {
    secret: Option<Named>,
    config_map: Option<Named>,
    service_account_token: Option<serde::de::IgnoredAny>,
    cluster_trust_bundle: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Csi {
    node_publish_secret_ref: Option<Named>,
}

fn all<T>(list: &Option<Vec<T>>) -> impl Iterator<Item = &T> {
    list.iter().flatten()
}

fn targets(namespace: &str, name: &str, spec: &PodSpec) -> Vec<Target> {
    let mut secrets: Vec<&str> = all(&spec.image_pull_secrets).map(|n| n.name.as_str()).collect();
    let mut maps: Vec<&str> = Vec::new();
    let mut claims: Vec<String> = Vec::new();
    let containers =
        all(&spec.containers).chain(all(&spec.init_containers)).chain(all(&spec.ephemeral_containers));
    for c in containers {
        for v in all(&c.env).filter_map(|e| e.value_from.as_ref()) {
            secrets.extend(v.secret_key_ref.iter().map(|n| n.name.as_str()));
            maps.extend(v.config_map_key_ref.iter().map(|n| n.name.as_str()));
        }
        for e in all(&c.env_from) {
            secrets.extend(e.secret_ref.iter().map(|n| n.name.as_str()));
            maps.extend(e.config_map_ref.iter().map(|n| n.name.as_str()));
        }
    }
    for v in all(&spec.volumes) {
        secrets.extend(v.secret.iter().map(|s| s.secret_name.as_str()));
        maps.extend(v.config_map.iter().map(|n| n.name.as_str()));
        claims.extend(v.persistent_volume_claim.iter().map(|c| c.claim_name.clone()));
        if v.ephemeral.is_some() {
            claims.push(format!("{name}-{}", v.name));
        }
        secrets
            .extend(v.csi.iter().filter_map(|c| c.node_publish_secret_ref.as_ref()).map(|n| n.name.as_str()));
        for s in v.projected.iter().flat_map(|p| all(&p.sources)) {
            secrets.extend(s.secret.iter().map(|n| n.name.as_str()));
            maps.extend(s.config_map.iter().map(|n| n.name.as_str()));
        }
    }
    let ns = namespace.to_owned();
    let mut out: Vec<Target> = secrets.into_iter().map(|n| ("secrets", ns.clone(), n.to_owned())).collect();
    out.extend(maps.into_iter().map(|n| ("configmaps", ns.clone(), n.to_owned())));
    out.extend(claims.into_iter().map(|n| ("persistentvolumeclaims", ns.clone(), n)));
    if !spec.service_account_name.is_empty() {
        out.push(("serviceaccounts", ns.clone(), spec.service_account_name.clone()));
    }
    out.push(("pods", ns, name.to_owned()));
    out.sort();
    out.dedup();
    out
}

/// The plurals of what a pod refers to, itself apart, in order; a projected token is `serviceaccounts/token`.
///
/// # Errors
/// 400 when the pod does not have the form of one.
pub(crate) fn references(pod: &Value) -> Result<Vec<&'static str>, Status> {
    let spec = serde_json::from_slice::<PodObject>(&schema::encode_plain(pod))
        .map_err(|e| Status::bad_request(format!("the pod cannot be read: {e}")))?
        .spec;
    let mut found: Vec<&'static str> =
        targets("", "", &spec).into_iter().map(|(plural, ..)| plural).filter(|p| *p != "pods").collect();
    for source in all(&spec.volumes).filter_map(|v| v.projected.as_ref()).flat_map(|p| all(&p.sources)) {
        found.extend(source.service_account_token.iter().map(|_| TOKEN));
        found.extend(source.cluster_trust_bundle.iter().map(|_| "clustertrustbundles"));
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

impl Graph {
    /// An empty graph; `rules` is what any node may do besides (the `system:node` role).
    #[must_use]
    pub fn new(rules: Vec<Rule>) -> Self {
        Graph { rules: Arc::new(rules), ..Graph::default() }
    }

    /// Takes over a stored pod; `None` means that it is gone.
    pub fn apply(&mut self, namespace: &str, name: &str, object: Option<&[u8]>) {
        let key = (namespace.to_owned(), name.to_owned());
        let Some(bytes) = object else {
            self.remove(&key);
            return;
        };
        // What a bound pod refers to does not change, ephemeral containers apart, which may not refer.
        if self.pods.contains_key(&key) {
            return;
        }
        let Ok(pod) = serde_json::from_slice::<PodObject>(bytes) else { return };
        if pod.spec.node_name.is_empty() {
            return;
        }
        let targets = targets(namespace, name, &pod.spec);
        for t in &targets {
            *self.uses.entry(t.clone()).or_default().entry(pod.spec.node_name.clone()).or_default() += 1;
        }
        self.pods.insert(key, Pod { node: pod.spec.node_name, targets });
    }

    fn remove(&mut self, key: &(String, String)) {
        let Some(pod) = self.pods.remove(key) else { return };
        for t in pod.targets {
            let Some(nodes) = self.uses.get_mut(&t) else { continue };
            if let Some(count) = nodes.get_mut(&pod.node) {
                *count -= 1;
                if *count == 0 {
                    nodes.remove(&pod.node);
                }
            }
            if nodes.is_empty() {
                self.uses.remove(&t);
            }
        }
    }

    fn related(&self, node: &str, resource: &'static str, namespace: &str, name: &str) -> bool {
        let key = (resource, namespace.to_owned(), name.to_owned());
        self.uses.get(&key).is_some_and(|nodes| nodes.contains_key(node))
    }

    /// Whether a node may do it.
    #[must_use]
    pub fn authorize(&self, a: &Attributes) -> Decision {
        let Some(node) = node_name(&a.user) else { return Decision::NoOpinion(String::new()) };
        let no = |why: String| Decision::NoOpinion(why);
        let yes = || Decision::Allow(String::new());
        let What::Resource { group, resource, subresource, namespace, name, .. } = &a.target else {
            return no(String::new());
        };
        let verb = a.verb.as_str();
        let read = matches!(verb, "get" | "list" | "watch");
        match (group.as_str(), resource.as_str(), subresource.as_str()) {
            ("", r @ ("secrets" | "configmaps"), _) => {
                if !read {
                    return no("can only read resources of this type".to_owned());
                }
                if name.is_empty() {
                    return no("can only read namespaced object of this type".to_owned());
                }
                let kind = if r == "secrets" { "secrets" } else { "configmaps" };
                self.decide(node, kind, namespace, name)
            }
            ("", "persistentvolumeclaims", "") if verb == "get" => {
                self.decide(node, "persistentvolumeclaims", namespace, name)
            }
            ("", "serviceaccounts", "token") => {
                if verb != "create" {
                    return no("can only create tokens for individual service accounts".to_owned());
                }
                self.decide(node, "serviceaccounts", namespace, name)
            }
            ("coordination.k8s.io", "leases", _) => {
                if namespace != "kube-node-lease" {
                    return no(
                        "can only access leases in the \"kube-node-lease\" system namespace".to_owned()
                    );
                }
                if verb != "create" && name != node {
                    return no(
                        "can only access node lease with the same name as the requesting node".to_owned()
                    );
                }
                if matches!(verb, "get" | "create" | "update" | "patch" | "delete") {
                    yes()
                } else {
                    no("can only get, create, update, patch, or delete a node lease".to_owned())
                }
            }
            ("storage.k8s.io", "csinodes", _) if verb != "create" && name != node => {
                no("can only access CSINode with the same name as the requesting node".to_owned())
            }
            ("", "nodes", _) if read && name != node => {
                no(format!("node '{node}' cannot read '{name}', only its own Node object"))
            }
            ("", "nodes", _) if matches!(verb, "update" | "patch") && name != node => {
                no(format!("node '{node}' is not allowed to modify node '{name}'"))
            }
            ("", "pods", "") if verb == "get" => self.decide(node, "pods", namespace, name),
            _ if self.rules.iter().any(|r| r.allows(verb, &a.target)) => yes(),
            _ => no(String::new()),
        }
    }

    fn decide(&self, node: &str, resource: &'static str, namespace: &str, name: &str) -> Decision {
        if self.related(node, resource, namespace, name) {
            return Decision::Allow(String::new());
        }
        Decision::NoOpinion(format!("no relationship found between node '{node}' and this object"))
    }
}

/// The node that a user is, when it is one.
#[must_use]
pub fn node_name(user: &User) -> Option<&str> {
    let name = user.name.strip_prefix("system:node:").filter(|n| !n.is_empty())?;
    user.in_group("system:nodes").then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(graph: &Graph, verb: &str, group: &str, resource: &str, namespace: &str, name: &str) -> bool {
        let (resource, sub) = resource.split_once('/').unwrap_or((resource, ""));
        graph
            .authorize(&Attributes {
                user: User::new("system:node:n1", &["system:nodes"]),
                verb: verb.into(),
                target: What::Resource {
                    group: group.into(),
                    version: "v1".into(),
                    resource: resource.into(),
                    subresource: sub.into(),
                    namespace: namespace.into(),
                    name: name.into(),
                },
            })
            .allowed()
    }

    #[test]
    fn follows_pods() {
        let rules =
            super::super::policy::roles().into_iter().find(|r| r.name == "system:node").unwrap().rules;
        let mut g = Graph::new(rules);
        let pod = |node: &str| {
            format!(
                r#"{{"spec":{{"nodeName":"{node}","serviceAccountName":"sa","containers":[{{"env":[{{"valueFrom":{{"secretKeyRef":{{"name":"s1","key":"k"}}}}}}]}}],"volumes":[{{"name":"v","configMap":{{"name":"c1"}}}}]}}}}"#
            )
        };
        g.apply("ns", "p", Some(pod("n1").as_bytes()));
        g.apply("ns", "q", Some(pod("n2").replace("s1", "s2").as_bytes()));
        let cases = [
            ("get", "", "secrets", "ns", "s1", true),
            ("get", "", "secrets", "ns", "s2", false),
            ("list", "", "secrets", "ns", "", false),
            ("get", "", "configmaps", "ns", "c1", true),
            ("create", "", "serviceaccounts/token", "ns", "sa", true),
            ("create", "", "serviceaccounts/token", "ns", "other", false),
            ("get", "", "nodes", "", "n1", true),
            ("get", "", "nodes", "", "n2", false),
            ("patch", "", "nodes/status", "", "n1", true),
            ("patch", "", "nodes/status", "", "n2", false),
            ("update", "coordination.k8s.io", "leases", "kube-node-lease", "n1", true),
            ("update", "coordination.k8s.io", "leases", "kube-node-lease", "n2", false),
            ("get", "", "pods", "ns", "p", true),
            ("list", "", "pods", "", "", true),
            ("list", "", "services", "", "", true),
            ("delete", "apps", "deployments", "ns", "d", false),
        ];
        for (verb, group, resource, ns, name, want) in cases {
            assert_eq!(ask(&g, verb, group, resource, ns, name), want, "{verb} {resource} {name}");
        }
        g.apply("ns", "p", None);
        assert!(!ask(&g, "get", "", "secrets", "ns", "s1"));
        assert!(g.uses.keys().all(|(_, _, n)| n != "s1"));
    }
}
