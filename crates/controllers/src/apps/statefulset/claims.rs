//! The claims of a pod: how they are made, and whom they belong to, which says when they go.
// k8s: pkg/controller/statefulset/stateful_set_utils.go isClaimOwnerUpToDate, updateClaimOwnerRefForSetAndPod

use reconcile::{Action, EventRecord, OwnerReference, StrMap};
use serde_json::{Value, json};

use super::state::State;
use super::types::{CLAIMS, Claim, ClaimTemplate, StatefulSet, claim_name};
use crate::shared::workload::Workload;

/// A pod as its claims know it.
pub(super) struct Holder<'a> {
    state: &'a State,
    pub name: String,
    /// Empty while the pod is not there.
    uid: &'a str,
    /// Whether the set wants a pod of its number.
    wanted: bool,
}

fn names(o: &OwnerReference, api_version: &str, kind: &str, name: &str) -> bool {
    *o.api_version == *api_version && *o.kind == *kind && *o.name == *name
}

impl<'a> Holder<'a> {
    pub(super) fn new(state: &'a State, ordinal: i64, uid: &'a str) -> Self {
        let wanted = state.set.wanted().contains(&ordinal);
        Holder { state, name: state.set.pod_name(ordinal), uid, wanted }
    }

    fn set(&self) -> &'a StatefulSet {
        &self.state.set
    }

    /// Its claims: the template, the name, what is there.
    fn all(&self) -> impl Iterator<Item = (&'a ClaimTemplate, String, Option<&'a Claim>)> {
        self.set().spec.volume_claim_templates.iter().map(move |t| {
            let name = claim_name(t, &self.name);
            let there = self.state.claims.get(&name).map(|c| &**c);
            (t, name, there)
        })
    }

    fn deleted_with_set(&self) -> bool {
        &*self.set().spec.persistent_volume_claim_retention_policy.when_deleted == "Delete"
    }

    fn deleted_with_pod(&self) -> bool {
        &*self.set().spec.persistent_volume_claim_retention_policy.when_scaled == "Delete"
    }

    fn names_set(&self, o: &OwnerReference) -> bool {
        names(o, StatefulSet::API_VERSION, StatefulSet::KIND, &self.set().metadata.name)
    }

    fn names_pod(&self, o: &OwnerReference) -> bool {
        names(o, "v1", "Pod", &self.name)
    }

    /// Whether the set and the pod are owners.
    fn owned(&self, c: &Claim) -> (bool, bool) {
        let has = |uid: &str| !uid.is_empty() && c.metadata.owner_references.iter().any(|o| *o.uid == *uid);
        (has(&self.set().metadata.uid), has(self.uid))
    }

    /// Whether set and pod are to be owners.
    fn owners(&self) -> (bool, bool) {
        let gone = !self.wanted;
        match (self.deleted_with_set(), self.deleted_with_pod()) {
            (false, false) => (false, false),
            (true, false) => (true, false),
            (false, true) => (false, gone),
            (true, true) => (!gone, gone),
        }
    }

    fn stale_pod(&self, c: &Claim) -> bool {
        c.metadata.owner_references.iter().find(|o| self.names_pod(o)).is_some_and(|o| *o.uid != *self.uid)
    }

    fn stale(&self, c: &Claim) -> bool {
        let set = c.metadata.owner_references.iter().find(|o| self.names_set(o));
        set.is_some_and(|o| o.uid != self.set().metadata.uid) || self.stale_pod(c)
    }

    /// Whether somebody else manages the claim.
    fn foreign(&self, c: &Claim) -> bool {
        if !self.deleted_with_set() && !self.deleted_with_pod() {
            return false;
        }
        c.metadata.owner_references.iter().any(|o| {
            if self.names_set(o) {
                o.uid != self.set().metadata.uid
            } else if self.names_pod(o) {
                *o.uid != *self.uid
            } else {
                o.controller == Some(true)
            }
        })
    }

    fn up_to_date(&self, c: &Claim) -> bool {
        if self.stale(c) {
            return true;
        }
        let owned = self.owned(c);
        if self.foreign(c) {
            return owned == (false, false);
        }
        let ours = |o: &&OwnerReference| {
            o.uid == self.set().metadata.uid || (!self.uid.is_empty() && *o.uid == *self.uid)
        };
        let manage = c.metadata.owner_references.iter().filter(ours).all(|o| o.controller == Some(true));
        manage && owned == self.owners()
    }

    /// Whether a claim still waits for the end of a pod that was here before.
    // k8s: pkg/controller/statefulset/stateful_pod_control.go PodClaimIsStale
    pub(super) fn waits_for_old(&self) -> bool {
        self.deleted_with_pod() && self.all().any(|(_, _, c)| c.is_some_and(|c| self.stale_pod(c)))
    }

    /// Those of its claims that are on their way out: the pod cannot have them.
    pub(super) fn going(&self) -> Vec<String> {
        let going = self.all().filter(|(_, _, c)| c.is_some_and(|c| c.metadata.deleting()));
        going.map(|(_, name, _)| format!("pvc {name} is being deleted")).collect()
    }

    /// Makes those that are missing.
    // k8s: pkg/controller/statefulset/stateful_pod_control.go createPersistentVolumeClaims
    pub(super) fn create(&self) -> Vec<Action> {
        let missing = self.all().filter(|(_, _, c)| c.is_none());
        missing.map(|(t, name, _)| self.create_one(t, &name)).collect()
    }

    fn create_one(&self, template: &ClaimTemplate, name: &str) -> Action {
        let set = self.set();
        let m = &set.metadata;
        let mut body = template.value();
        if let Some(claim) = body.as_object_mut() {
            claim.remove("status");
        }
        (body["kind"], body["apiVersion"]) = ("PersistentVolumeClaim".into(), "v1".into());
        (body["metadata"]["name"], body["metadata"]["namespace"]) = (name.into(), json!(m.namespace));
        let labels: StrMap = template.labels().iter().chain(set.spec.selector.match_labels.iter()).collect();
        if !labels.is_empty() {
            body["metadata"]["labels"] = json!(labels);
        }
        // Upstream makes it first and says whose it is later. Both at once leaves no time between them.
        if self.owners().0 {
            body["metadata"]["ownerReferences"] = json!([set.reference()]);
        }
        let (pod, of) = (&self.name, &m.name);
        let made = format!("Create Claim {name} Pod {pod} in StatefulSet {of} success");
        let failed = format!("Create Claim {name} for Pod {pod} in StatefulSet {of} failed error: {{error}}");
        Action::create(CLAIMS, &m.namespace, name, &body)
            .on_ok(EventRecord::normal(set.about(), "SuccessfulCreate", made))
            .on_err(EventRecord::warning(set.about(), "FailedCreate", failed))
    }

    /// Says whose they are, where that has changed.
    // k8s: pkg/controller/statefulset/stateful_pod_control.go UpdatePodClaimForRetentionPolicy
    pub(super) fn settle(&self) -> Vec<Action> {
        let there = self.all().filter_map(|(_, name, c)| Some((name, c?)));
        there.filter(|(_, c)| !self.up_to_date(c)).map(|(name, c)| self.settle_one(&name, c)).collect()
    }

    fn settle_one(&self, name: &str, c: &Claim) -> Action {
        let set = self.set();
        let others = c.metadata.owner_references.iter().filter(|o| !self.names_set(o) && !self.names_pod(o));
        let mut owners: Vec<Value> = others.map(|o| json!(o)).collect();
        if !self.foreign(c) {
            let (with_set, with_pod) = self.owners();
            if with_set {
                owners.push(set.reference());
            }
            if with_pod {
                owners.push(json!({
                    "apiVersion": "v1", "kind": "Pod", "name": self.name, "uid": self.uid,
                    "controller": true, "blockOwnerDeletion": true,
                }));
            }
        }
        let m = &c.metadata;
        let body = json!({"metadata": {
            "uid": m.uid, "resourceVersion": m.resource_version.to_string(), "ownerReferences": owners,
        }});
        let failed = format!(
            "Update Pod {} in StatefulSet {} failed error: could not update claim {name} for delete policy \
             ownerRefs: {{error}}",
            self.name, set.metadata.name
        );
        Action::merge_patch(CLAIMS, &m.key(), "", &body).on_err(EventRecord::warning(
            set.about(),
            "FailedUpdate",
            failed,
        ))
    }

    /// What users are told about claims that somebody else manages.
    pub(super) fn conflicts(&self) -> Vec<EventRecord> {
        let foreign = self.all().filter(|(_, _, c)| c.is_some_and(|c| self.foreign(c)));
        let tell = |name: String| {
            let message = format!(
                "PersistentVolumeClaim {name} has a conflicting OwnerReference that acts as a manging \
                 controller, the retention policy is ignored for this claim"
            );
            EventRecord::warning(self.set().about(), "ConflictingController", message)
        };
        foreign.map(|(_, name, _)| tell(name)).collect()
    }
}
