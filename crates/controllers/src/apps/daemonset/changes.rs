//! Pods to make and to delete.
// k8s: pkg/controller/daemon/daemon_controller.go syncNodes

use std::collections::BTreeSet;

use reconcile::{Action, EventRecord, Plan};
use serde_json::{Value, json};

use super::state::{Memory, POD_GENERATION, View};
use crate::core::pod::{PODS, Pod};
use crate::shared::names;
use crate::shared::revision::REVISION_HASH;
use crate::shared::workload::Workload;

/// At most so many pods are created, and as many deleted, by one decision.
// k8s: daemon_controller.go BurstReplicas
pub const BURST_REPLICAS: usize = 250;

/// What is to happen.
#[derive(Debug, Default)]
pub(super) struct Changes<'a> {
    /// Nodes that get a pod.
    pub(super) create: Vec<&'a str>,
    pub(super) delete: Vec<&'a Pod>,
}

impl Changes<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.create.is_empty() && self.delete.is_empty()
    }

    /// Puts them into a plan. Pods go even when others could not be made.
    pub(super) fn plan(&self, view: &View<'_>, memory: &Memory, plan: &mut Plan) {
        plan.slow_start(creations(view, memory, &self.create));
        plan.always(self.delete.iter().take(BURST_REPLICAS).map(|p| deletion(view, p)).collect());
    }
}

fn deletion(view: &View<'_>, p: &Pod) -> Action {
    let message = format!("Deleted pod: {}", p.metadata.name);
    Action::delete(PODS, &p.metadata)
        .on_ok(EventRecord::normal(view.ds.about(), "SuccessfulDelete", message))
        .on_err(EventRecord::warning(view.ds.about(), "FailedDelete", "Error deleting: {error}"))
}

fn creations(view: &View<'_>, memory: &Memory, nodes: &[&str]) -> Vec<Action> {
    if nodes.is_empty() {
        return Vec::new();
    }
    let ds = view.ds;
    let m = &ds.metadata;
    let refused = names::refused(&view.state.failures);
    let mut used: BTreeSet<String> = view.state.pods.iter().map(|p| p.metadata.name.to_string()).collect();
    let mut body = template(view);
    let make = |node: &&str| {
        // The name follows from the node and the pods it had, so that a create that lands late meets its repetition.
        let name = names::one(m, memory.names(view, node), &refused, &mut used);
        body["metadata"]["name"] = name.as_str().into();
        let at = json!([{"key": "metadata.name", "operator": "In", "values": [node]}]);
        pin(&mut body["spec"]["affinity"], &json!([{"matchFields": at}]));
        Action::create(PODS, &m.namespace, &name, &body)
            .on_ok(EventRecord::normal(ds.about(), "SuccessfulCreate", "Created pod: {name}"))
            .on_err(EventRecord::warning(ds.about(), "FailedCreate", "Error creating: {error}"))
    };
    nodes.iter().take(BURST_REPLICAS).map(make).collect()
}

/// A pod of the template for no node yet.
// k8s: pkg/controller/daemon/util/daemonset_util.go CreatePodTemplate
fn template(view: &View<'_>) -> Value {
    let ds = view.ds;
    let mut body = ds.spec.template.pod(&ds.metadata, ds.reference());
    if !body["metadata"]["labels"].is_object() {
        body["metadata"]["labels"] = json!({});
    }
    if let Some(generation) = ds.template_generation() {
        body["metadata"]["labels"][POD_GENERATION] = generation.to_string().into();
    }
    if !view.hash.is_empty() {
        body["metadata"]["labels"][REVISION_HASH] = view.hash.into();
    }
    body["spec"]["tolerations"] = json!(ds.placement.tolerations);
    body
}

/// Replaces the required node affinity, which the node is known to meet.
// k8s: pkg/controller/daemon/util/daemonset_util.go ReplaceDaemonSetPodNodeNameNodeAffinity
fn pin(affinity: &mut Value, terms: &Value) {
    if !affinity.is_object() {
        *affinity = json!({});
    }
    let node = &mut affinity["nodeAffinity"];
    if !node.is_object() {
        *node = json!({});
    }
    node["requiredDuringSchedulingIgnoredDuringExecution"] = json!({"nodeSelectorTerms": terms});
}
