//! TaintNodesByCondition: a new node is ready only when it says so.
// k8s: plugin/pkg/admission/nodetaint/admission.go

use kinds::core::node;
use meta::Status;
use schema::Value;

use crate::request::Reply;
use crate::storage::object::map;
use crate::storage::{AdmissionRequest, Op, Plugin};

const NOT_READY: &str = "node.kubernetes.io/not-ready";

pub(in crate::admission) struct TaintNodesByCondition;

impl Plugin for TaintNodesByCondition {
    fn name(&self) -> &'static str {
        "TaintNodesByCondition"
    }

    fn mutate<'a>(&'a self, request: &'a mut AdmissionRequest<'_>) -> Reply<'a, Result<(), Status>> {
        if request.operation == Op::Create && request.is_whole(&node::KIND) {
            taint(request.object);
        }
        Reply::now(Ok(()))
    }
}

/// Nothing is scheduled to a new node before it has reported itself ready.
fn taint(node: &mut Value) {
    let has = node
        .list_at(&["spec", "taints"])
        .iter()
        .any(|t| t.str_at(&["key"]) == NOT_READY && t.str_at(&["effect"]) == "NoSchedule");
    let Some(object) = node.as_map_mut().filter(|_| !has) else { return };
    let spec = object.entry("spec", || map([]));
    let Some(spec) = spec.as_map_mut() else { return };
    if let Some(taints) = spec.entry("taints", || Value::List(Vec::new())).as_list_mut() {
        taints.push(map([("key", NOT_READY.into()), ("effect", "NoSchedule".into())]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taints_once() {
        let mut node = map([]);
        taint(&mut node);
        taint(&mut node);
        assert_eq!(node.list_at(&["spec", "taints"]).len(), 1);
    }
}
