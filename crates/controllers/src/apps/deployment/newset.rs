//! The replica set with the deployment's template: its name, its making, its annotations, its revision.
// k8s: pkg/controller/deployment/sync.go getNewReplicaSet

use jiff::Timestamp;
use reconcile::{Action, EventRecord, Op, Plan, StrMap};
use serde_json::{Map, Value, json};

use super::state::{DESIRED_REPLICAS, MAX_REPLICAS, REVISION, REVISION_HISTORY, Sets, State};
use super::status::{self, progressing};
use crate::apps::types::{DEPLOYMENTS, Deployment, POD_TEMPLATE_HASH, REPLICASETS, ReplicaSet};
use crate::core::condition;
use crate::owners::controller_ref;
use crate::safe::{Fnv, encode};

/// Annotations of a deployment that are not handed down.
const SKIPPED: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    DESIRED_REPLICAS,
    MAX_REPLICAS,
    "deprecated.deployment.rollback.to",
];

fn hash(d: &Deployment) -> String {
    let mut f = Fnv::default();
    f.value(&d.spec.template.bare());
    if let Some(n) = d.status.collision_count {
        f.text(&n.to_string());
    }
    encode(&f.finish().to_string())
}

/// The name of the replica set for the deployment's template.
pub(crate) fn name(d: &Deployment) -> String {
    format!("{}-{}", d.metadata.name, hash(d))
}

fn revision(rs: &ReplicaSet) -> i64 {
    rs.metadata.annotations.get(REVISION).and_then(|v| v.parse().ok()).unwrap_or(0)
}

fn next_revision(sets: &Sets<'_>) -> i64 {
    sets.old.iter().map(|rs| revision(rs)).max().unwrap_or(0) + 1
}

fn handed_down(d: &Deployment) -> impl Iterator<Item = (&str, &str)> {
    d.metadata.annotations.iter().filter(|(k, _)| !SKIPPED.contains(k))
}

/// How many pods the new replica set may have now.
// k8s: util/deployment_util.go NewRSNewReplicas
pub(crate) fn allowed_replicas(d: &Deployment, sets: &Sets<'_>) -> i32 {
    if !d.rolling() {
        return d.replicas();
    }
    let current = sets.new.map_or(0, |rs| rs.replicas());
    // Upstream counts what the replica sets should have. Counting what they still have as well keeps the
    // promise of maxSurge also while one of them has not shrunk yet.
    if !sets.heard() {
        return current;
    }
    let pods: i32 = sets.all().map(|rs| rs.replicas().max(rs.status.replicas)).sum();
    let room = d.replicas() + d.max_surge() - pods;
    if room <= 0 { current } else { current + room.min(d.replicas() - current) }
}

/// Brings annotations and `minReadySeconds` of the new replica set, and the deployment's revision and first
/// Progressing condition, up to date. True: something was planned, decide again afterwards.
pub(crate) fn sync_existing(state: &State, sets: &Sets<'_>, now: Timestamp, plan: &mut Plan) -> bool {
    let d = &state.d;
    let Some(rs) = sets.new else { return false };
    let wanted = next_revision(sets);
    let changes = annotation_changes(d, rs, wanted);
    if !changes.is_empty() || rs.spec.min_ready_seconds != d.spec.min_ready_seconds {
        let body = json!({
            "metadata": {
                "uid": rs.metadata.uid, "resourceVersion": rs.metadata.resource_version.to_string(),
                "annotations": changes,
            },
            "spec": {"minReadySeconds": d.spec.min_ready_seconds},
        });
        plan.step(vec![Action::merge_patch(REPLICASETS, &rs.metadata.key(), "", &body)]);
        return true;
    }
    if d.metadata.annotations.get(REVISION) != rs.metadata.annotations.get(REVISION) {
        let revision = rs.metadata.annotations.get(REVISION);
        plan.step(vec![set_revision(d, revision)]);
        return true;
    }
    if d.progress_deadline().is_some() && condition::find(&d.status.conditions, "Progressing").is_none() {
        let mut conditions = d.status.conditions.clone();
        let message = format!("Found new replica set \"{}\"", rs.metadata.name);
        condition::set(&mut conditions, progressing("True", "FoundNewReplicaSet", message, now));
        plan.step(vec![status::conditions_only(d, &conditions)]);
        return true;
    }
    false
}

fn set_revision(d: &Deployment, revision: Option<&str>) -> Action {
    let body = json!({"metadata": {"uid": d.metadata.uid, "annotations": {REVISION: revision}}});
    Action::merge_patch(DEPLOYMENTS, &d.metadata.key(), "", &body)
}

// k8s: util/deployment_util.go SetNewReplicaSetAnnotations
fn annotation_changes(d: &Deployment, rs: &ReplicaSet, wanted: i64) -> Map<String, Value> {
    let have: &StrMap = &rs.metadata.annotations;
    let mut changes: Map<String, Value> = handed_down(d)
        .filter(|(k, v)| have.get(k) != Some(v))
        .map(|(k, v)| (k.to_owned(), v.into()))
        .collect();
    if revision(rs) < wanted {
        changes.insert(REVISION.to_owned(), wanted.to_string().into());
        // It had a revision before: this is a rollback to it.
        if let Some(before) = have.get(REVISION) {
            let history = match have.get(REVISION_HISTORY) {
                None | Some("") => before.to_owned(),
                Some(h) => format!("{h},{before}"),
            };
            changes.insert(REVISION_HISTORY.to_owned(), history.into());
        }
    }
    changes
}

/// Plans the new replica set.
pub(crate) fn create(state: &State, sets: &Sets<'_>, now: Timestamp, plan: &mut Plan) {
    let d = &state.d;
    let name = name(d);
    if state.taken.is_some() {
        // The name belongs to another template or another owner: count up, so that the hash differs.
        let count = d.status.collision_count.unwrap_or(0) + 1;
        let body = json!({"collisionCount": count});
        plan.step(vec![Action::status_patch(DEPLOYMENTS, &d.metadata, &body)]);
        return;
    }
    let replicas = allowed_replicas(d, sets);
    let revision = next_revision(sets).to_string();
    let body = body(d, &name, replicas, &revision);
    let message = format!("Scaled up replica set {name} from 0 to {replicas}");
    let failed = format!("Failed to create new replica set \"{name}\": {{error}}");
    let mut action = Action::create(REPLICASETS, &d.metadata.namespace, &name, &body)
        .on_err(EventRecord::warning(state.about(), "ReplicaSetCreateError", failed));
    if replicas > 0 {
        action = action.on_ok(EventRecord::normal(state.about(), "ScalingReplicaSet", message));
    }
    plan.step(vec![action]);
    let conditions = d.status.conditions.clone();
    if d.progress_deadline().is_some() {
        let refused = state.failures.iter().find(|f| {
            matches!(&f.op, Op::Create { name: n, .. } if *n == name) && !f.status.is("AlreadyExists")
        });
        if let Some(f) = refused {
            let message = format!("Failed to create new replica set \"{name}\": {}", f.status.message);
            let mut failed = conditions.clone();
            condition::set(&mut failed, progressing("False", "ReplicaSetCreateError", message, now));
            if failed != conditions {
                plan.steps.clear();
                plan.step(vec![status::conditions_only(d, &failed)]);
                plan.retry = true;
                return;
            }
        }
        let mut made = conditions;
        let message = format!("Created new replica set \"{name}\"");
        condition::set(&mut made, progressing("True", "NewReplicaSetCreated", message, now));
        plan.step(vec![status::conditions_only(d, &made)]);
    }
}

fn body(d: &Deployment, name: &str, replicas: i32, revision: &str) -> Value {
    let hash = hash(d);
    let mut template = d.spec.template.value();
    if !template.get("metadata").is_some_and(Value::is_object) {
        template["metadata"] = json!({});
    }
    if !template["metadata"].get("labels").is_some_and(Value::is_object) {
        template["metadata"]["labels"] = json!({});
    }
    template["metadata"]["labels"][POD_TEMPLATE_HASH] = hash.as_str().into();
    let mut selector = d.spec.selector.clone();
    selector.match_labels = selector.match_labels.with(POD_TEMPLATE_HASH, &hash);
    let numbers = [
        (REVISION, revision.to_owned()),
        (DESIRED_REPLICAS, d.replicas().to_string()),
        (MAX_REPLICAS, (d.replicas() + d.max_surge()).to_string()),
    ];
    let annotations: StrMap = handed_down(d)
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .chain(numbers.into_iter().map(|(k, v)| (k.to_owned(), v)))
        .collect();
    json!({
        "kind": "ReplicaSet", "apiVersion": "apps/v1",
        "metadata": {
            "name": name, "namespace": d.metadata.namespace,
            "labels": template["metadata"]["labels"], "annotations": annotations,
            "ownerReferences": [controller_ref("apps/v1", "Deployment", &d.metadata)],
        },
        "spec": {
            "replicas": replicas, "minReadySeconds": d.spec.min_ready_seconds,
            "selector": selector, "template": template,
        },
    })
}
