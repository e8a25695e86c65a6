//! ExtendedResourceToleration: a pod that asks for an extended resource tolerates nodes that are kept for it.
// k8s: plugin/pkg/admission/extendedresourcetoleration/admission.go

use std::collections::BTreeSet;

use kinds::core::pod;
use kinds::core::pod_spec::is_extended_resource;
use meta::Status;
use schema::{Map, Value};

use crate::request::Reply;
use crate::storage::object::map;
use crate::storage::{AdmissionRequest, Op, Plugin};

pub(in crate::admission) struct ExtendedResourceToleration;

impl Plugin for ExtendedResourceToleration {
    fn name(&self) -> &'static str {
        "ExtendedResourceToleration"
    }

    fn mutate<'a>(&'a self, request: &'a mut AdmissionRequest<'_>) -> Reply<'a, Result<(), Status>> {
        if request.operation != Op::Delete && request.is_whole(&pod::KIND) {
            tolerate(request.object);
        }
        Reply::now(Ok(()))
    }
}

fn tolerate(pod: &mut Value) {
    let containers = ["containers", "initContainers"].iter().flat_map(|list| pod.list_at(&["spec", list]));
    let lists = containers.filter_map(|c| c.at(&["resources", "requests"]).and_then(Value::as_map));
    let names: BTreeSet<String> = lists
        .flat_map(Map::iter)
        .map(|(name, _)| name)
        .filter(|n| is_extended_resource(n))
        .map(str::to_owned)
        .collect();
    if names.is_empty() {
        return;
    }
    let Some(spec) = pod.get_mut("spec").and_then(Value::as_map_mut) else { return };
    let Some(list) = spec.entry("tolerations", || Value::List(Vec::new())).as_list_mut() else { return };
    for name in names {
        let toleration = map([
            ("key", name.as_str().into()),
            ("operator", "Exists".into()),
            ("effect", "NoSchedule".into()),
        ]);
        if !list.contains(&toleration) {
            list.push(toleration);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerations_of_what_is_asked_for() {
        let json = br#"{"spec":{"containers":[{"resources":{"requests":{"cpu":"1","example.com/b":"1"}}}],
            "initContainers":[{"resources":{"requests":{"example.com/a":"1"}}}]}}"#;
        let mut pod = schema::decode_plain(json).unwrap();
        for _ in 0..2 {
            tolerate(&mut pod);
            let keys: Vec<_> =
                pod.list_at(&["spec", "tolerations"]).iter().map(|t| t.str_at(&["key"])).collect();
            assert_eq!(keys, ["example.com/a", "example.com/b"]);
        }
    }
}
