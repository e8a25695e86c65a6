//! Pods of a stateful set: how they are made, changed and deleted.
// k8s: pkg/controller/statefulset/stateful_set_utils.go newVersionedStatefulSetPod, updateIdentity, updateStorage

use reconcile::{Action, EventRecord};
use serde_json::{Value, json};

use super::revisions::Chosen;
use super::types::{StatefulSet, claim_name};
use crate::core::pod::{PODS, Pod};
use crate::shared::revision::REVISION_HASH;
use crate::shared::workload::Workload;

/// The label with a pod's name.
pub const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
/// The label with a pod's number.
pub const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

/// Creates a pod.
pub(super) fn create(set: &StatefulSet, chosen: &Chosen, ordinal: i64) -> Action {
    let name = set.pod_name(ordinal);
    let body = body(set, chosen, ordinal, &name);
    told(set, &name, ["Create", "SuccessfulCreate", "FailedCreate"], |ns| {
        Action::create(PODS, ns, &name, &body)
    })
}

/// Deletes a pod.
pub(super) fn delete(set: &StatefulSet, pod: &Pod) -> Action {
    told(set, &pod.metadata.name, ["Delete", "SuccessfulDelete", "FailedDelete"], |_| {
        Action::delete(PODS, &pod.metadata)
    })
}

// k8s: pkg/controller/statefulset/stateful_pod_control.go recordPodEvent
fn told(
    set: &StatefulSet,
    pod: &str,
    [verb, ok, err]: [&'static str; 3],
    action: impl Fn(&str) -> Action,
) -> Action {
    let what = format!("{verb} Pod {pod} in StatefulSet {}", set.metadata.name);
    action(&set.metadata.namespace)
        .on_ok(EventRecord::normal(set.about(), ok, format!("{what} successful")))
        .on_err(EventRecord::warning(set.about(), err, format!("{what} failed error: {{error}}")))
}

/// Whether a missing pod is made as pods were before the template changed.
fn of_before(set: &StatefulSet, ordinal: i64) -> bool {
    let kind = &*set.spec.update_strategy.kind;
    match &set.spec.update_strategy.rolling_update {
        Some(_) => ordinal < set.partition(),
        None => kind == "RollingUpdate" && ordinal < set.first() + i64::from(set.status.current_replicas),
    }
}

fn body(set: &StatefulSet, chosen: &Chosen, ordinal: i64, name: &str) -> Value {
    let (template, revision) = if of_before(set, ordinal) {
        (&chosen.before, &chosen.current)
    } else {
        (&set.spec.template, &chosen.update)
    };
    let mut pod = template.pod(&set.metadata, set.reference());
    pod["metadata"]["name"] = name.into();
    if !pod["metadata"]["labels"].is_object() {
        pod["metadata"]["labels"] = json!({});
    }
    let labels = &mut pod["metadata"]["labels"];
    labels[POD_NAME] = name.into();
    labels[POD_INDEX] = ordinal.to_string().into();
    labels[REVISION_HASH] = revision.as_str().into();
    if !pod["spec"].is_object() {
        pod["spec"] = json!({});
    }
    pod["spec"]["hostname"] = name.into();
    pod["spec"]["subdomain"] = json!(set.spec.service_name);
    let mut volumes = claim_volumes(set, name);
    let own = |v: &Value| !set.spec.volume_claim_templates.iter().any(|t| v["name"] == *t.name);
    if let Some(Value::Array(others)) = pod["spec"].get_mut("volumes").map(Value::take) {
        volumes.extend(others.into_iter().filter(own));
    }
    if !volumes.is_empty() {
        pod["spec"]["volumes"] = volumes.into();
    }
    pod
}

fn claim_volumes(set: &StatefulSet, pod: &str) -> Vec<Value> {
    let templates = set.spec.volume_claim_templates.iter();
    templates
        .map(|t| json!({"name": t.name, "persistentVolumeClaim": {"claimName": claim_name(t, pod)}}))
        .collect()
}

// k8s: pkg/controller/statefulset/stateful_set_utils.go identityMatches
fn knows_itself(pod: &Pod) -> bool {
    pod.metadata.labels.get(POD_NAME) == Some(&*pod.metadata.name)
}

/// Whether it has its claims as volumes.
// k8s: pkg/controller/statefulset/stateful_set_utils.go storageMatches
pub(super) fn has_volumes(set: &StatefulSet, pod: &Pod) -> bool {
    set.spec.volume_claim_templates.iter().all(|t| {
        let wanted = claim_name(t, &pod.metadata.name);
        let named = pod.spec.volumes.iter().rfind(|v| v.name == t.name);
        named.and_then(|v| v.claim()).is_some_and(|c| c == wanted)
    })
}

/// Gives a pod the labels and volumes that it must have, if it has not.
pub(super) fn mend(set: &StatefulSet, pod: &Pod, ordinal: i64) -> Option<Action> {
    let (labels, volumes) = (knows_itself(pod), has_volumes(set, pod));
    if labels && volumes {
        return None;
    }
    let m = &pod.metadata;
    let mut body = json!({"metadata": {"uid": m.uid}});
    if !labels {
        body["metadata"]["labels"] = json!({POD_NAME: m.name, POD_INDEX: ordinal.to_string()});
    }
    if !volumes {
        // The server refuses it, as it refuses upstream's: users read why.
        let mut wanted = claim_volumes(set, &m.name);
        wanted.iter_mut().for_each(|v| v["$retainKeys"] = json!(["name", "persistentVolumeClaim"]));
        body["spec"] = json!({"volumes": wanted});
    }
    Some(told(set, &m.name, ["Update", "SuccessfulUpdate", "FailedUpdate"], |_| {
        Action::strategic_patch(PODS, &m.key(), "", &body)
    }))
}
