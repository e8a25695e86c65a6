//! RuntimeClass: a pod that names a class gets its overhead and goes where the class has its runtime.
// k8s: plugin/pkg/admission/runtimeclass/admission.go

use std::collections::BTreeMap;

use kinds::core::pod;
use meta::{Gvr, Quantity, Status};
use schema::{Map, Value};
use serde::Deserialize;

use crate::request::Reply;
use crate::storage::{AdmissionRequest, Call, Op, Plugin, object, peek};

#[derive(Deserialize, Default)]
#[serde(default)]
struct Class {
    overhead: Option<Overhead>,
    scheduling: Option<Scheduling>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Overhead {
    pod_fixed: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Scheduling {
    node_selector: BTreeMap<String, String>,
    tolerations: Vec<BTreeMap<String, serde_json::Value>>,
}

pub(in crate::admission) struct RuntimeClass;

impl Plugin for RuntimeClass {
    fn name(&self) -> &'static str {
        "RuntimeClass"
    }

    fn mutate<'a>(&'a self, request: &'a mut AdmissionRequest<'_>) -> Reply<'a, Result<(), Status>> {
        if request.operation != Op::Create || !request.is_whole(&pod::KIND) {
            return Reply::now(Ok(()));
        }
        Reply::now(create(request.call, request.object))
    }
}

/// Completes a new pod.
fn create(call: &Call<'_>, pod: &mut Value) -> Result<(), Status> {
    let name = pod.str_at(&["spec", "runtimeClassName"]).to_owned();
    let class = if name.is_empty() {
        Ok(None)
    } else {
        let resource = call.state.registry()?.find(&Gvr::new("node.k8s.io", "v1", "runtimeclasses"))?;
        let found = resource.cache.get(&resource.key("", &name));
        found
            .map(|entry| Some(peek::project::<Class>(entry.object_bytes())))
            .ok_or_else(|| format!("pod rejected: RuntimeClass \"{name}\" not found"))
    };
    class
        .and_then(|class| apply(pod, class.as_ref()))
        .map_err(|why| Status::forbidden(&call.resource.gvr, object::text(pod, "name"), &why))
}

fn apply(pod: &mut Value, class: Option<&Class>) -> Result<(), String> {
    overhead(pod, class.and_then(|c| c.overhead.as_ref()))?;
    match class.and_then(|c| c.scheduling.as_ref()) {
        Some(scheduling) => schedule(pod, scheduling),
        None => Ok(()),
    }
}

fn overhead(pod: &mut Value, wanted: Option<&Overhead>) -> Result<(), String> {
    let given = pod.at(&["spec", "overhead"]).and_then(Value::as_map).filter(|m| !m.is_empty());
    match (wanted, given) {
        (None, None) => Ok(()),
        (None, Some(_)) => {
            Err("pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
                .to_owned())
        }
        (Some(wanted), Some(given)) if !same(&wanted.pod_fixed, given) => {
            Err("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead".to_owned())
        }
        (Some(wanted), _) => {
            let mut map = Map::new();
            for (k, v) in &wanted.pod_fixed {
                map.set(k.clone(), v.clone());
            }
            pod.set_at(&["spec", "overhead"], Value::Map(map));
            Ok(())
        }
    }
}

fn same(wanted: &BTreeMap<String, String>, given: &Map) -> bool {
    let amount = |text: &str| text.parse::<Quantity>().ok();
    wanted.len() == given.len()
        && given
            .iter()
            .all(|(k, v)| wanted.get(k).is_some_and(|w| v.as_str().is_some_and(|v| amount(v) == amount(w))))
}

fn schedule(pod: &mut Value, scheduling: &Scheduling) -> Result<(), String> {
    for (key, wanted) in &scheduling.node_selector {
        let given = pod.str_at(&["spec", "nodeSelector", key]);
        if !given.is_empty() && given != wanted {
            return Err(format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {wanted}; pod.spec.nodeSelector[{key}] = {given}"
            ));
        }
    }
    let Some(spec) = pod.get_mut("spec").and_then(Value::as_map_mut) else { return Ok(()) };
    if !scheduling.node_selector.is_empty()
        && let Some(selector) = spec.entry("nodeSelector", || Value::Map(Map::new())).as_map_mut()
    {
        for (key, wanted) in &scheduling.node_selector {
            selector.set(key.clone(), wanted.clone());
        }
    }
    if !scheduling.tolerations.is_empty()
        && let Some(list) = spec.entry("tolerations", || Value::List(Vec::new())).as_list_mut()
    {
        for toleration in scheduling.tolerations.iter().map(value_of) {
            if !list.contains(&toleration) {
                list.push(toleration);
            }
        }
    }
    Ok(())
}

fn value_of(toleration: &BTreeMap<String, serde_json::Value>) -> Value {
    let mut map = Map::new();
    for (k, v) in toleration {
        match v {
            serde_json::Value::String(s) => map.set(k.clone(), s.clone()),
            serde_json::Value::Number(n) => map.set(k.clone(), n.as_i64().unwrap_or_default()),
            _ => {}
        }
    }
    Value::Map(map)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::object::map;

    fn class(json: serde_json::Value) -> Class {
        serde_json::from_value(json).expect("a class")
    }

    #[test]
    fn overheads() {
        let of = |text: &str| map([("cpu", text.into())]);
        let with = serde_json::json!({"overhead": {"podFixed": {"cpu": "10m"}}});
        let cases = [
            (None, None, Ok(None)),
            (Some(serde_json::json!({})), None, Ok(None)),
            (Some(with.clone()), None, Ok(Some("10m"))),
            (Some(with.clone()), Some("0.01"), Ok(Some("10m"))),
            (Some(with), Some("1"), Err("doesn't match")),
            (Some(serde_json::json!({})), Some("1"), Err("without corresponding")),
            (None, Some("1"), Err("without corresponding")),
        ];
        for (json, given, want) in cases {
            let mut pod = map([("spec", map([]))]);
            if let Some(given) = given {
                pod.set_at(&["spec", "overhead"], of(given));
            }
            let result = apply(&mut pod, json.clone().map(class).as_ref());
            match want {
                Err(part) => assert!(result.is_err_and(|e| e.contains(part)), "{json:?} {given:?}"),
                Ok(want) => {
                    assert_eq!(result, Ok(()), "{json:?} {given:?}");
                    let shown = pod.str_at(&["spec", "overhead", "cpu"]);
                    assert_eq!(shown, want.unwrap_or_default(), "{json:?} {given:?}");
                }
            }
        }
    }

    #[test]
    fn the_class_says_where() {
        let class = class(serde_json::json!({"scheduling": {"nodeSelector": {"disk": "ssd"},
            "tolerations": [{"key": "k", "operator": "Exists", "tolerationSeconds": 3}]}}));
        let mut pod = map([("spec", map([]))]);
        for _ in 0..2 {
            assert_eq!(apply(&mut pod, Some(&class)), Ok(()));
        }
        assert_eq!(pod.str_at(&["spec", "nodeSelector", "disk"]), "ssd");
        let tolerations = pod.list_at(&["spec", "tolerations"]);
        assert_eq!((tolerations.len(), tolerations[0].int_at(&["tolerationSeconds"])), (1, Some(3)));
        pod.set_at(&["spec", "nodeSelector", "disk"], "hdd");
        let why = apply(&mut pod, Some(&class)).expect_err("a conflict");
        assert!(why.contains("pod.spec.nodeSelector[disk] = hdd"), "{why}");
    }
}
