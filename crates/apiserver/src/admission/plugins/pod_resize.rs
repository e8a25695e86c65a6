//! PodResizeValidator: a pod is not resized beyond what its node has, nor where nodes cannot do it.
// k8s: plugin/pkg/admission/podresize/admission.go

use std::collections::BTreeMap;

use kinds::core::{node, pod};
use meta::field::quoted;
use meta::{Quantity, Status};
use schema::Value;
use serde::Deserialize;

use super::pod_resources::{Amounts, add, amounts, of_pod};
use crate::admission::known;
use crate::request::Reply;
use crate::storage::{AdmissionRequest, Op, Plugin};

pub(in crate::admission) struct PodResizeValidator;

impl Plugin for PodResizeValidator {
    fn name(&self) -> &'static str {
        "PodResizeValidator"
    }

    fn validate<'a>(&'a self, request: &'a AdmissionRequest<'_>) -> Reply<'a, Result<(), Status>> {
        let is_resize = request.operation == Op::Update && request.call.subresource == "resize";
        let Some(old) = request.old.filter(|_| is_resize && request.is_of(&pod::KIND)) else {
            return Reply::now(Ok(()));
        };
        Reply::now(check(request, old))
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Node {
    metadata: Metadata,
    status: NodeStatus,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Metadata {
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct NodeStatus {
    allocatable: Option<BTreeMap<String, String>>,
}

fn check(request: &AdmissionRequest<'_>, old: &Value) -> Result<(), Status> {
    let generation = |o: &Value| o.int_at(&["metadata", "generation"]);
    let name = request.object.str_at(&["spec", "nodeName"]);
    if name.is_empty() || generation(request.object) == generation(old) {
        return Ok(());
    }
    let Some(node) = known::one::<Node>(request.call, &node::KIND, "", name)? else {
        return Err(request.forbidden(&format!("node {} not found", quoted(name))));
    };
    match beyond(request.object, &node).or_else(|| other_system(name, &node)) {
        None => Ok(()),
        Some(why) => Err(request.forbidden(&why)),
    }
}

/// What the pod asks for beyond what the node has in all.
fn beyond(pod: &Value, node: &Node) -> Option<String> {
    let mut asked = of_pod(pod, "requests");
    let overhead: Amounts = amounts(pod.at(&["spec", "overhead"]));
    add(&mut asked, &overhead);
    let has = |name: &str| -> Quantity {
        let text = node.status.allocatable.as_ref().and_then(|a| a.get(name));
        text.and_then(|t| t.parse().ok()).unwrap_or_default()
    };
    let told: Vec<String> = ["cpu", "memory"]
        .into_iter()
        .filter_map(|name| {
            let count = |q: Quantity| if name == "cpu" { q.milli_value() } else { q.value() };
            let wanted = count(asked.get(name).copied().unwrap_or_default());
            let allocatable = count(has(name));
            (wanted > allocatable).then(|| format!("{name}, requested: {wanted}, allocatable: {allocatable}"))
        })
        .collect();
    (!told.is_empty()).then(|| format!("Node didn't have enough allocatable resources: {}", told.join("; ")))
}

fn other_system(name: &str, node: &Node) -> Option<String> {
    let system = node.metadata.labels.as_ref().and_then(|l| l.get("kubernetes.io/os"));
    let system = system.map_or("", |s| s);
    (system != "linux").then(|| {
        format!("pod resize is only supported on linux nodes, node {} is {}", quoted(name), quoted(system))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beyond_a_node() {
        let node: Node = serde_json::from_value(serde_json::json!({
            "metadata": {"labels": {"kubernetes.io/os": "linux"}},
            "status": {"allocatable": {"cpu": "2", "memory": "1Gi"}}}))
        .unwrap();
        let cases = [
            (r#"{"cpu":"2","memory":"1Gi"}"#, None),
            (
                r#"{"cpu":"2500m","memory":"1Gi"}"#,
                Some(
                    "Node didn't have enough allocatable resources: cpu, requested: 2500, allocatable: 2000",
                ),
            ),
            (
                r#"{"cpu":"3","memory":"2Gi"}"#,
                Some(
                    "Node didn't have enough allocatable resources: cpu, requested: 3000, allocatable: 2000; \
                     memory, requested: 2147483648, allocatable: 1073741824",
                ),
            ),
        ];
        for (requests, want) in cases {
            let json = format!(r#"{{"spec":{{"containers":[{{"resources":{{"requests":{requests}}}}}]}}}}"#);
            let pod = schema::decode_plain(json.as_bytes()).unwrap();
            assert_eq!(beyond(&pod, &node).as_deref(), want, "{requests}");
        }
        assert_eq!(other_system("n", &node), None);
        assert_eq!(
            other_system("n", &Node::default()).as_deref(),
            Some("pod resize is only supported on linux nodes, node \"n\" is \"\"")
        );
    }
}
