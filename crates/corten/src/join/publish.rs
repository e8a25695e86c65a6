//! What a control plane keeps in its API so that nodes can join, under kubeadm's names: the bootstrap token, who
//! may ask for certificates, and `kube-public/cluster-info`, which anybody may read.
//!
//! The controllers sign `cluster-info` with the token, as kubeadm's are, for machines that kubeadm has join; ours check
//! the authority's hash.
// k8s: cmd/kubeadm/app/phases/bootstraptoken/node/tlsbootstrap.go, clusterinfo/clusterinfo.go

use std::net::IpAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use control::Context;
use meta::{Gvr, Status};
use serde_json::{Value, json};

use super::token::JoinToken;
use crate::addons::put;

const RETRY: Duration = Duration::from_secs(1);
const RBAC: &str = "rbac.authorization.k8s.io";
/// The group of machines with a token of a control plane.
const JOINING: &str = "system:bootstrappers:kubeadm:default-node-token";
const NODES: &str = "system:nodes";
/// May have certificates of the service proxy.
const PROXY_CLIENT: &str = "corten:certificatesigningrequests:kubeproxyclient";
/// Namespace and name of what joining machines read first.
pub const INFO: (&str, &str) = ("kube-public", "cluster-info");

/// What is published.
#[derive(Clone, Debug)]
pub struct Published {
    pub token: JoinToken,
    pub ca_pem: String,
    /// `https://192.0.2.1:6443`.
    pub server: String,
    pub cluster_cidr: String,
    pub cluster_dns: IpAddr,
    pub cluster_domain: String,
}

/// Makes or mends the objects; tries again until it has worked or the context is stopped.
pub async fn ensure(ctx: &Context, published: &Published) {
    loop {
        match all(ctx, published).await {
            Ok(()) => return,
            Err(e) => tracing::warn!("what nodes need to join: {e}"),
        }
        if !ctx.sleep(RETRY).await {
            return;
        }
    }
}

async fn all(ctx: &Context, p: &Published) -> Result<(), Status> {
    put(ctx, &Gvr::new("", "v1", "secrets"), secret(&p.token)).await?;
    for (plural, object) in rules() {
        put(ctx, &Gvr::new(RBAC, "v1", plural), object).await?;
    }
    // Last: who has read it finds the rest.
    put(ctx, &Gvr::new("", "v1", "configmaps"), info(p)).await
}

// k8s: staging/src/k8s.io/cluster-bootstrap/token/api/types.go
fn secret(token: &JoinToken) -> Value {
    let data = [
        ("description", "The token in agent.token of the control plane's state directory."),
        ("token-id", &token.id),
        ("token-secret", &token.secret),
        ("usage-bootstrap-authentication", "true"),
        ("usage-bootstrap-signing", "true"),
        ("auth-extra-groups", JOINING),
    ];
    let data: serde_json::Map<String, Value> =
        data.into_iter().map(|(k, v)| (k.to_owned(), STANDARD.encode(v).into())).collect();
    json!({"kind": "Secret", "apiVersion": "v1",
        "metadata": {"name": format!("bootstrap-token-{}", token.id), "namespace": "kube-system"},
        "type": "bootstrap.kubernetes.io/token", "data": data})
}

fn info(p: &Published) -> Value {
    let kubeconfig = json!({"kind": "Config", "apiVersion": "v1", "clusters": [{"name": "", "cluster": {
        "certificate-authority-data": STANDARD.encode(&p.ca_pem), "server": p.server}}],
        "contexts": [], "current-context": "", "users": [], "preferences": {}});
    json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": INFO.1, "namespace": INFO.0},
    "data": {
        "kubeconfig": kubeconfig.to_string(),
        "clusterCIDR": p.cluster_cidr,
        "clusterDNS": p.cluster_dns.to_string(),
        "clusterDomain": p.cluster_domain,
    }})
}

fn binding(name: &str, role: &str, subject: Value) -> (&'static str, Value) {
    let object = json!({"kind": "ClusterRoleBinding", "apiVersion": format!("{RBAC}/v1"), "metadata": {"name": name},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role}, "subjects": [subject]});
    ("clusterrolebindings", object)
}

fn rules() -> Vec<(&'static str, Value)> {
    let group = |name: &str| json!({"apiGroup": RBAC, "kind": "Group", "name": name});
    let client = "system:certificates.k8s.io:certificatesigningrequests";
    let reader = "kubeadm:bootstrap-signer-clusterinfo";
    let meta = json!({"name": reader, "namespace": INFO.0});
    let v1 = format!("{RBAC}/v1");
    let approver =
        json!({"kind": "ServiceAccount", "name": "certificate-controller", "namespace": "kube-system"});
    vec![
        // Ask for a certificate, and have it granted.
        binding("kubeadm:kubelet-bootstrap", "system:node-bootstrapper", group(JOINING)),
        binding("kubeadm:node-autoapprove-bootstrap", &format!("{client}:nodeclient"), group(JOINING)),
        binding(
            "kubeadm:node-autoapprove-certificate-rotation",
            &format!("{client}:selfnodeclient"),
            group(NODES),
        ),
        // See whether the name is taken.
        (
            "clusterroles",
            json!({"kind": "ClusterRole", "apiVersion": v1, "metadata": {"name": "kubeadm:get-nodes"},
            "rules": [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]}]}),
        ),
        binding("kubeadm:get-nodes", "kubeadm:get-nodes", group(JOINING)),
        // The service proxy of an agent is a user of its own, whose certificate the node asks for; the approver asks
        // whether it may.
        (
            "clusterroles",
            json!({"kind": "ClusterRole", "apiVersion": v1, "metadata": {"name": PROXY_CLIENT}, "rules": [
            {"apiGroups": ["certificates.k8s.io"], "resources": ["certificatesigningrequests/kubeproxyclient"],
                "verbs": ["create"]}]}),
        ),
        binding(PROXY_CLIENT, PROXY_CLIENT, group(NODES)),
        binding(
            "corten:kube-apiserver-client-approver",
            "system:certificates.k8s.io:kube-apiserver-client-approver",
            approver.clone(),
        ),
        // Upstream leaves kubelets' serving certificates to a person; our approver compares their names.
        binding(
            "corten:kubelet-serving-approver",
            "system:certificates.k8s.io:kubelet-serving-approver",
            approver,
        ),
        (
            "roles",
            json!({"kind": "Role", "apiVersion": v1, "metadata": meta, "rules": [
            {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": [INFO.1], "verbs": ["get"]}]}),
        ),
        (
            "rolebindings",
            json!({"kind": "RoleBinding", "apiVersion": v1, "metadata": meta,
            "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": reader},
            "subjects": [{"apiGroup": RBAC, "kind": "User", "name": "system:anonymous"}, group(JOINING), group(NODES)]}),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a node may read of others is what the node authorizer says.
    #[test]
    fn nodes_are_bound_to_nothing_but_their_certificates_and_the_cluster_info() {
        let rules = rules();
        let bound = rules.iter().filter(|(_, o)| {
            o["subjects"].as_array().is_some_and(|all| all.iter().any(|s| s["name"] == NODES))
        });
        let mut roles: Vec<&str> = bound.filter_map(|(_, o)| o["roleRef"]["name"].as_str()).collect();
        roles.sort_unstable();
        let own = "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient";
        assert_eq!(roles, [PROXY_CLIENT, "kubeadm:bootstrap-signer-clusterinfo", own]);
    }
}
