//! What controllers read of deployments and replica sets.

use meta::{Gvr, IntOrString};
use reconcile::{IndexSink, LabelSelector, ObjectMeta, Projection};
use serde::Deserialize;

use crate::core::condition::Condition;
pub use crate::shared::template::{POD_TEMPLATE_HASH, Template};
pub use crate::shared::workload::{BY_CONTROLLER, BY_ORPHAN};
use crate::shared::workload::{Workload, index_by_owner};

/// `deployments`.
pub const DEPLOYMENTS: Gvr = Gvr::new("apps", "v1", "deployments");
/// `replicasets`.
pub const REPLICASETS: Gvr = Gvr::new("apps", "v1", "replicasets");
/// A replica set.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ReplicaSet {
    pub metadata: ObjectMeta,
    pub spec: ReplicaSetSpec,
    pub status: ReplicaSetStatus,
}

/// Its specification.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReplicaSetSpec {
    pub replicas: Option<i32>,
    pub min_ready_seconds: i32,
    pub selector: LabelSelector,
    pub template: Template,
}

/// Its status.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReplicaSetStatus {
    pub replicas: i32,
    pub fully_labeled_replicas: i32,
    pub ready_replicas: i32,
    pub available_replicas: i32,
    pub terminating_replicas: Option<i32>,
    pub observed_generation: i64,
    pub conditions: Vec<Condition>,
}

impl ReplicaSet {
    /// Wanted pods.
    #[must_use]
    pub fn replicas(&self) -> i32 {
        self.spec.replicas.unwrap_or(1).max(0)
    }

    /// A number in an annotation.
    #[must_use]
    pub fn annotated(&self, key: &str) -> Option<i32> {
        self.metadata.annotations.get(key)?.parse().ok()
    }
}

impl Projection for ReplicaSet {
    const GVR: Gvr = REPLICASETS;

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn indexes(&self, sink: &mut IndexSink) {
        index_by_owner(&self.metadata, sink);
    }
}

impl Workload for ReplicaSet {
    const API_VERSION: &'static str = "apps/v1";
    const KIND: &'static str = "ReplicaSet";

    fn selector(&self) -> &LabelSelector {
        &self.spec.selector
    }
}

/// A deployment.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Deployment {
    pub metadata: ObjectMeta,
    pub spec: DeploymentSpec,
    pub status: DeploymentStatus,
}

/// Its specification.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeploymentSpec {
    pub replicas: Option<i32>,
    pub selector: LabelSelector,
    pub template: Template,
    pub strategy: Strategy,
    pub min_ready_seconds: i32,
    pub revision_history_limit: Option<i32>,
    pub paused: bool,
    pub progress_deadline_seconds: Option<i32>,
}

/// How pods are replaced.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Strategy {
    #[serde(rename = "type")]
    pub kind: Box<str>,
    pub rolling_update: Option<RollingUpdate>,
}

/// How many more and how many fewer pods a rolling update may have.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RollingUpdate {
    pub max_surge: Option<IntOrString>,
    pub max_unavailable: Option<IntOrString>,
}

/// Its status.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeploymentStatus {
    pub observed_generation: i64,
    pub replicas: i32,
    pub updated_replicas: i32,
    pub ready_replicas: i32,
    pub available_replicas: i32,
    pub unavailable_replicas: i32,
    pub terminating_replicas: Option<i32>,
    pub collision_count: Option<i32>,
    pub conditions: Vec<Condition>,
}

impl Projection for Deployment {
    const GVR: Gvr = DEPLOYMENTS;

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}

impl Workload for Deployment {
    const API_VERSION: &'static str = "apps/v1";
    const KIND: &'static str = "Deployment";

    fn selector(&self) -> &LabelSelector {
        &self.spec.selector
    }
}

impl Deployment {
    /// Wanted pods.
    #[must_use]
    pub fn replicas(&self) -> i32 {
        self.spec.replicas.unwrap_or(1).max(0)
    }

    /// Whether pods are replaced step by step.
    #[must_use]
    pub fn rolling(&self) -> bool {
        &*self.spec.strategy.kind != "Recreate"
    }

    /// Surge and unavailability as numbers.
    // k8s: pkg/controller/deployment/util/deployment_util.go ResolveFenceposts
    fn fenceposts(&self) -> (i32, i32) {
        let n = self.replicas();
        let roll = self.spec.strategy.rolling_update.clone().unwrap_or_default();
        let scaled = |v: Option<IntOrString>, up: bool| {
            v.unwrap_or_else(|| "25%".into()).scaled(n, up).unwrap_or(0).max(0)
        };
        let (surge, unavailable) = (scaled(roll.max_surge, true), scaled(roll.max_unavailable, false));
        // Both zero would never get anywhere.
        if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable) }
    }

    /// How many pods there may be above the wanted number.
    #[must_use]
    pub fn max_surge(&self) -> i32 {
        if self.rolling() { self.fenceposts().0 } else { 0 }
    }

    /// How many of the wanted pods may be unavailable.
    #[must_use]
    pub fn max_unavailable(&self) -> i32 {
        if !self.rolling() || self.replicas() == 0 { 0 } else { self.fenceposts().1.min(self.replicas()) }
    }

    /// The deadline for progress, if there is one, in seconds.
    #[must_use]
    pub fn progress_deadline(&self) -> Option<i32> {
        self.spec.progress_deadline_seconds.filter(|s| *s != i32::MAX)
    }
}
