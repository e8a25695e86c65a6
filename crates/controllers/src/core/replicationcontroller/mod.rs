//! ReplicationController: keeps as many pods of its template as it is told. It is the replica set's older form, with
//! a selector of equalities, and is decided on as one.
// k8s: pkg/controller/replication/replication_controller.go

use std::sync::Arc;

use jiff::Timestamp;
use meta::Gvr;
use reconcile::{
    Answers, Caches, Controller, IndexSink, Interests, Key, LabelSelector, ObjectMeta, Plan, Projection,
    StrMap,
};
use serde::{Deserialize, Deserializer};

use crate::apps::replicaset::{self, State};
use crate::apps::types::{ReplicaSet, ReplicaSetSpec, ReplicaSetStatus, Template};
use crate::core::pod::Pod;
use crate::shared::workload::{Workload, concerned, index_by_owner};

/// `replicationcontrollers`.
pub const REPLICATION_CONTROLLERS: Gvr = Gvr::new("", "v1", "replicationcontrollers");

/// A replication controller, as the replica set that it amounts to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReplicationController {
    pub set: Arc<ReplicaSet>,
}

impl<'de> Deserialize<'de> for ReplicationController {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Whole {
            metadata: ObjectMeta,
            spec: Spec,
            status: ReplicaSetStatus,
        }
        #[derive(Deserialize, Default)]
        #[serde(rename_all = "camelCase", default)]
        struct Spec {
            replicas: Option<i32>,
            min_ready_seconds: i32,
            selector: StrMap,
            template: Option<Template>,
        }
        let Whole { metadata, spec, status } = Whole::deserialize(d)?;
        let spec = ReplicaSetSpec {
            replicas: spec.replicas,
            min_ready_seconds: spec.min_ready_seconds,
            selector: LabelSelector::of_labels(&spec.selector),
            template: spec.template.unwrap_or_default(),
        };
        Ok(ReplicationController { set: Arc::new(ReplicaSet { metadata, spec, status }) })
    }
}

impl Projection for ReplicationController {
    const GVR: Gvr = REPLICATION_CONTROLLERS;

    fn meta(&self) -> &ObjectMeta {
        &self.set.metadata
    }

    fn indexes(&self, sink: &mut IndexSink) {
        index_by_owner(self.meta(), sink);
    }
}

impl Workload for ReplicationController {
    const API_VERSION: &'static str = "v1";
    const KIND: &'static str = "ReplicationController";

    fn selector(&self) -> &LabelSelector {
        &self.set.spec.selector
    }
}

/// The controller.
pub struct ReplicationControllers;

impl Controller for ReplicationControllers {
    type State = State;
    type Memory = ();

    fn name(&self) -> &'static str {
        "replication-controller"
    }

    fn interests(&self, i: &mut Interests) {
        i.own::<ReplicationController>();
        i.on::<Pod>(concerned::<ReplicationController, Pod>);
    }

    fn observe(&self, key: &Key, caches: &Caches, answers: &Answers) -> Option<State> {
        let rc = caches.kind::<ReplicationController>().by_key(key)?;
        Some(replicaset::observe(&**rc, &rc.set, caches, answers))
    }

    fn reconcile(&self, state: &State, _: &mut (), now: Timestamp) -> Plan {
        replicaset::decide(state, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reconcile::Op;
    use serde_json::{Value, json};

    fn caches(objects: &[Value]) -> Caches {
        let mut caches = Caches::default();
        let rc = json!({
            "metadata": {"name": "web", "namespace": "d", "uid": "rc", "generation": 2},
            "spec": {"replicas": 2, "selector": {"a": "b"},
                "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": []}}},
            "status": {"replicas": 0},
        });
        caches.kind_mut::<ReplicationController>().upsert(serde_json::from_value(rc).unwrap());
        for o in objects {
            caches.kind_mut::<Pod>().upsert(serde_json::from_value(o.clone()).unwrap());
        }
        caches.kind_mut::<Pod>();
        caches
    }

    fn plan(objects: &[Value]) -> Plan {
        let state =
            ReplicationControllers.observe(&Key::new("d", "web"), &caches(objects), &Answers::default());
        ReplicationControllers.reconcile(&state.unwrap(), &mut (), "2026-01-02T00:00:00Z".parse().unwrap())
    }

    #[test]
    fn it_makes_pods_of_its_own_kind() {
        let plan = plan(&[]);
        let pods: Vec<Value> = plan
            .actions()
            .filter_map(|a| match &a.op {
                Op::Create { body, .. } => serde_json::from_slice(body).ok(),
                _ => None,
            })
            .collect();
        assert_eq!(pods.len(), 2);
        let owner = &pods[0]["metadata"]["ownerReferences"][0];
        assert_eq!((&owner["apiVersion"], &owner["kind"]), (&json!("v1"), &json!("ReplicationController")));
        assert_eq!(pods[0]["metadata"]["labels"], json!({"a": "b"}));
        let event = plan.actions().next().unwrap().on_ok.as_ref().unwrap();
        assert_eq!((&*event.regarding.kind, event.reason), ("ReplicationController", "SuccessfulCreate"));
        let Op::Patch { gvr, sub, body, .. } = &plan.actions().last().unwrap().op else { panic!("{plan:?}") };
        assert_eq!((gvr, *sub), (&REPLICATION_CONTROLLERS, "status"));
        let status: Value = serde_json::from_slice(body).unwrap();
        assert_eq!(status["status"]["observedGeneration"], 2);
        assert!(status["status"]["terminatingReplicas"].is_null(), "the kind has no such field");
    }

    #[test]
    fn an_orphan_is_adopted_only_after_the_owner_was_read() {
        let orphan = json!({
            "metadata": {"name": "p", "namespace": "d", "uid": "p", "labels": {"a": "b"}},
            "status": {"phase": "Running"},
        });
        let plan = plan(&[orphan]);
        let ops: Vec<&Op> = plan.actions().map(|a| &a.op).collect();
        assert!(matches!(ops[..], [Op::Get { gvr, .. }] if *gvr == REPLICATION_CONTROLLERS), "{ops:?}");
    }
}
