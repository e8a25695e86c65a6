//! What the controller reads of stateful sets and of their claims.

use meta::{Gvr, IntOrString};
use reconcile::{LabelSelector, ObjectMeta, Projection, StrMap};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::shared::template::Template;
use crate::shared::workload::Workload;

/// `statefulsets`.
pub const STATEFULSETS: Gvr = Gvr::new("apps", "v1", "statefulsets");
/// `persistentvolumeclaims`.
pub const CLAIMS: Gvr = Gvr::new("", "v1", "persistentvolumeclaims");

/// A stateful set.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct StatefulSet {
    pub metadata: ObjectMeta,
    pub spec: StatefulSetSpec,
    pub status: StatefulSetStatus,
}

/// Its specification.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StatefulSetSpec {
    pub replicas: Option<i32>,
    pub selector: LabelSelector,
    pub template: Template,
    pub volume_claim_templates: Vec<ClaimTemplate>,
    pub service_name: Box<str>,
    pub pod_management_policy: Box<str>,
    pub update_strategy: UpdateStrategy,
    pub revision_history_limit: Option<i32>,
    pub min_ready_seconds: i32,
    pub persistent_volume_claim_retention_policy: RetentionPolicy,
    pub ordinals: Ordinals,
}

/// How pods are replaced.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UpdateStrategy {
    #[serde(rename = "type")]
    pub kind: Box<str>,
    pub rolling_update: Option<RollingUpdate>,
}

/// From which replica on pods are replaced, and how many may be unavailable meanwhile.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RollingUpdate {
    pub partition: i32,
    pub max_unavailable: Option<IntOrString>,
}

/// What becomes of claims when their set or their pod goes.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RetentionPolicy {
    pub when_deleted: Box<str>,
    pub when_scaled: Box<str>,
}

/// How pods are numbered.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Ordinals {
    pub start: i32,
}

/// The template of a claim that each pod gets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClaimTemplate {
    pub name: Box<str>,
    whole: Template,
}

impl ClaimTemplate {
    /// As a value.
    #[must_use]
    pub fn value(&self) -> Value {
        self.whole.value()
    }

    /// Its labels.
    #[must_use]
    pub fn labels(&self) -> &StrMap {
        &self.whole.labels
    }
}

impl<'de> Deserialize<'de> for ClaimTemplate {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Head {
            metadata: HeadMeta,
        }
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct HeadMeta {
            name: Box<str>,
        }
        let whole = Template::deserialize(d)?;
        let head: Head = whole.read();
        Ok(ClaimTemplate { name: head.metadata.name, whole })
    }
}

/// Its status.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StatefulSetStatus {
    pub observed_generation: i64,
    pub replicas: i32,
    pub ready_replicas: i32,
    pub available_replicas: i32,
    pub current_replicas: i32,
    pub updated_replicas: i32,
    pub current_revision: Box<str>,
    pub update_revision: Box<str>,
    pub collision_count: Option<i32>,
}

impl StatefulSet {
    /// Wanted pods.
    #[must_use]
    pub fn replicas(&self) -> i64 {
        self.spec.replicas.unwrap_or(1).max(0).into()
    }

    /// The number of the first pod.
    #[must_use]
    pub fn first(&self) -> i64 {
        self.spec.ordinals.start.into()
    }

    /// The numbers of the pods that are wanted.
    #[must_use]
    pub fn wanted(&self) -> std::ops::Range<i64> {
        self.first()..self.first() + self.replicas()
    }

    /// Whether pods are made and deleted without waiting for each other.
    #[must_use]
    pub fn parallel(&self) -> bool {
        &*self.spec.pod_management_policy == "Parallel"
    }

    /// Whether pods of older templates are replaced.
    #[must_use]
    pub fn rolling(&self) -> bool {
        !matches!(&*self.spec.update_strategy.kind, "OnDelete" | "Recreate")
    }

    /// The number of the first pod that is replaced.
    #[must_use]
    pub fn partition(&self) -> i64 {
        let roll = self.spec.update_strategy.rolling_update.as_ref();
        self.first() + roll.map_or(0, |r| i64::from(r.partition))
    }

    /// How many pods may be unavailable during an update.
    // k8s: pkg/controller/statefulset/stateful_set_utils.go getStatefulSetMaxUnavailable
    #[must_use]
    pub fn max_unavailable(&self) -> i64 {
        let given =
            self.spec.update_strategy.rolling_update.as_ref().and_then(|r| r.max_unavailable.as_ref());
        let wanted = self.spec.replicas.unwrap_or(1).max(0);
        given.and_then(|m| m.scaled(wanted, false).ok()).unwrap_or(1).max(1).into()
    }

    /// The name of its pod of that number.
    #[must_use]
    pub fn pod_name(&self, ordinal: i64) -> String {
        format!("{}-{ordinal}", self.metadata.name)
    }

    /// The number of the pod with that name; `None` when it is no name of its pods.
    // k8s: pkg/controller/statefulset/stateful_set_utils.go getParentNameAndOrdinal
    #[must_use]
    pub fn ordinal(&self, pod: &str) -> Option<i64> {
        let digits = pod.strip_prefix(&*self.metadata.name)?.strip_prefix('-')?;
        let n: i32 = digits.parse().ok()?;
        // Only names that it would give: "web-01" is none.
        (digits == n.to_string()).then_some(n.into())
    }

    /// The pod that a claim of that name is for.
    #[must_use]
    pub fn pod_of_claim<'c>(&self, claim: &'c str) -> Option<&'c str> {
        let of = |t: &ClaimTemplate| claim.strip_prefix(&*t.name)?.strip_prefix('-');
        self.spec.volume_claim_templates.iter().filter_map(of).find(|pod| self.ordinal(pod).is_some())
    }
}

/// The name of a pod's claim.
// k8s: pkg/controller/statefulset/stateful_set_utils.go getPersistentVolumeClaimName
#[must_use]
pub fn claim_name(template: &ClaimTemplate, pod: &str) -> String {
    format!("{}-{pod}", template.name)
}

impl Projection for StatefulSet {
    const GVR: Gvr = STATEFULSETS;

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}

impl Workload for StatefulSet {
    const API_VERSION: &'static str = "apps/v1";
    const KIND: &'static str = "StatefulSet";

    fn selector(&self) -> &LabelSelector {
        &self.spec.selector
    }
}

/// A claim: whose it is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Claim {
    pub metadata: ObjectMeta,
}

impl Projection for Claim {
    const GVR: Gvr = CLAIMS;

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn compact(&mut self) {
        self.metadata.annotations = StrMap::default();
        self.metadata.labels = StrMap::default();
        self.metadata.finalizers = Box::default();
    }
}
