//! What a kubelet may say about its own node: not what would draw other workloads to it, and nothing that lets it
//! be deleted with another object.

use meta::Status;
use schema::{Map, Value};

use super::write::Write;

/// Labels that kubelets may set though they are of Kubernetes' own domains.
// k8s: staging/src/k8s.io/kubelet/pkg/apis/well_known_labels.go
const LABELS: [&str; 11] = [
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/instance-type",
    "beta.kubernetes.io/os",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "kubernetes.io/arch",
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "node.kubernetes.io/instance-type",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
];

/// A kubelet may write no other node.
pub(super) fn named(w: &Write<'_>) -> Result<(), Status> {
    if w.name == w.node {
        return Ok(());
    }
    w.refuse(&format!("node \"{}\" is not allowed to modify node \"{}\"", w.node, w.name))
}

pub(super) fn create(w: &Write<'_>, new: &Value) -> Result<(), Status> {
    named(w)?;
    if new.at(&["spec", "configSource"]).is_some() {
        return w.refuse(&format!(
            "node \"{}\" is not allowed to create pods with a non-nil configSource",
            w.node
        ));
    }
    let forbidden = forbidden(new, &Value::Null);
    if forbidden.is_empty() {
        return Ok(());
    }
    w.refuse(&format!("node \"{}\" is not allowed to set the following labels: {}", w.node, forbidden))
}

pub(super) fn update(w: &Write<'_>, new: &Value, old: &Value) -> Result<(), Status> {
    named(w)?;
    let source = new.at(&["spec", "configSource"]);
    if source.is_some() && source != old.at(&["spec", "configSource"]) {
        return w.refuse(&format!(
            "node \"{}\" is not allowed to update configSource to a new non-nil configSource",
            w.node
        ));
    }
    for (path, what) in [(["spec", "taints"], "taints"), (["metadata", "ownerReferences"], "ownerReferences")]
    {
        if new.list_at(&path) != old.list_at(&path) {
            return w.refuse(&format!("node \"{}\" is not allowed to modify {what}", w.node));
        }
    }
    let forbidden = forbidden(new, old);
    if forbidden.is_empty() {
        return Ok(());
    }
    w.refuse(&format!("is not allowed to modify labels: {forbidden}"))
}

/// The labels that differ and that a kubelet may not touch.
fn forbidden(new: &Value, old: &Value) -> String {
    let labels =
        |o: &Value| o.at(&["metadata", "labels"]).and_then(Value::as_map).cloned().unwrap_or_default();
    let (new, old) = (labels(new), labels(old));
    let lacking = |a: &Map, b: &Map| -> Vec<String> {
        a.iter().filter(|(k, v)| b.get(k) != Some(*v) && is_forbidden(k)).map(|(k, _)| k.to_owned()).collect()
    };
    let mut keys = lacking(&new, &old);
    keys.extend(lacking(&old, &new));
    keys.sort();
    keys.dedup();
    keys.join(", ")
}

fn is_forbidden(label: &str) -> bool {
    let domain = label.split_once('/').map_or("", |(domain, _)| domain);
    let within =
        |parent: &str| domain.strip_suffix(parent).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    let of_kubelets =
        LABELS.contains(&label) || within("kubelet.kubernetes.io") || within("node.kubernetes.io");
    within("node-restriction.kubernetes.io") || (within("kubernetes.io") || within("k8s.io")) && !of_kubelets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_kubernetes_are_not_the_kubelets() {
        let cases = [
            ("app", false),
            ("example.com/a", false),
            ("notkubernetes.io/a", false),
            ("kubernetes.io/hostname", false),
            ("kubernetes.io/other", true),
            ("node-role.kubernetes.io/control-plane", true),
            ("node.kubernetes.io/anything", false),
            ("a.node.kubernetes.io/anything", false),
            ("kubelet.kubernetes.io/anything", false),
            ("node-restriction.kubernetes.io/a", true),
            ("a.node-restriction.kubernetes.io/a", true),
            ("k8s.io/a", true),
            ("x.k8s.io/a", true),
            ("notk8s.io/a", false),
        ];
        for (label, want) in cases {
            assert_eq!(is_forbidden(label), want, "{label}");
        }
    }
}
