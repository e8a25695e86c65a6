//! PodTopologyLabels: a pod says in which zone and region its node stands.
// k8s: plugin/pkg/admission/podtopologylabels/admission.go

use std::collections::BTreeMap;

use kinds::core::{node, pod};
use meta::Status;
use schema::{Map, Value};
use serde::Deserialize;

use crate::admission::known;
use crate::request::Reply;
use crate::storage::{AdmissionRequest, Op, Plugin};

const LABELS: [&str; 2] = ["topology.kubernetes.io/zone", "topology.kubernetes.io/region"];

pub(in crate::admission) struct PodTopologyLabels;

impl Plugin for PodTopologyLabels {
    fn name(&self) -> &'static str {
        "PodTopologyLabels"
    }

    fn mutate<'a>(&'a self, request: &'a mut AdmissionRequest<'_>) -> Reply<'a, Result<(), Status>> {
        if request.operation != Op::Create || !request.is_of(&pod::KIND) {
            return Reply::now(Ok(()));
        }
        let node = match request.call.subresource {
            "" => request.object.str_at(&["spec", "nodeName"]),
            "binding" if request.object.str_at(&["target", "kind"]) == "Node" => {
                request.object.str_at(&["target", "name"])
            }
            _ => "",
        };
        if node.is_empty() {
            return Reply::now(Ok(()));
        }
        let found = known::one::<Node>(request.call, &node::KIND, "", node);
        Reply::now(found.map(|node| label(request.object, &node.unwrap_or_default())))
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Node {
    metadata: Metadata,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Metadata {
    labels: Option<BTreeMap<String, String>>,
}

/// Labels that the object has stay.
fn label(object: &mut Value, node: &Node) {
    let Some(labels) = &node.metadata.labels else { return };
    let found = LABELS.iter().filter_map(|key| Some((*key, labels.get(*key)?)));
    let missing: Vec<_> =
        found.filter(|(key, _)| object.at(&["metadata", "labels", key]).is_none()).collect();
    if missing.is_empty() {
        return;
    }
    let Some(metadata) = object.as_map_mut().map(|o| o.entry("metadata", || Value::Map(Map::new()))) else {
        return;
    };
    let own = metadata.as_map_mut().map(|m| m.entry("labels", || Value::Map(Map::new())));
    if let Some(own) = own.and_then(Value::as_map_mut) {
        for (key, value) in missing {
            own.set(key, value.as_str());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_put_in_and_stay() {
        let node: Node = serde_json::from_value(serde_json::json!({"metadata": {"labels": {
            "topology.kubernetes.io/zone": "z", "topology.kubernetes.io/region": "r", "other": "o"}}}))
        .unwrap();
        let cases = [
            ("{}", r#"{"topology.kubernetes.io/zone":"z","topology.kubernetes.io/region":"r"}"#),
            (
                r#"{"metadata":{"labels":{"topology.kubernetes.io/zone":"own"}}}"#,
                r#"{"topology.kubernetes.io/zone":"own","topology.kubernetes.io/region":"r"}"#,
            ),
        ];
        for (object, want) in cases {
            let value = |json: &str| schema::decode_plain(json.as_bytes()).unwrap();
            let mut object = value(object);
            label(&mut object, &node);
            assert_eq!(object.at(&["metadata", "labels"]), Some(&value(want)));
            let before = object.clone();
            label(&mut object, &Node::default());
            assert_eq!(object, before);
        }
    }
}
