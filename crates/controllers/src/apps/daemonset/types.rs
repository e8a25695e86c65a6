//! What is read of daemon sets.

use meta::{Gvr, IntOrString};
use reconcile::{LabelSelector, ObjectMeta, Projection};
use serde::{Deserialize, Deserializer};

use super::place::Placement;
pub use crate::apps::types::{RollingUpdate, Strategy};
use crate::shared::revision::Data;
use crate::shared::template::Template;
use crate::shared::workload::Workload;

/// `daemonsets`.
pub const DAEMON_SETS: Gvr = Gvr::new("apps", "v1", "daemonsets");
/// The annotation that counts a daemon set's templates; older than revisions.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

/// A daemon set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DaemonSet {
    pub metadata: ObjectMeta,
    pub spec: DaemonSetSpec,
    pub status: DaemonSetStatus,
    /// What its template says of nodes.
    pub placement: Placement,
    /// What a revision of its template holds.
    pub data: Data,
}

/// Its specification.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DaemonSetSpec {
    pub selector: LabelSelector,
    pub template: Template,
    pub update_strategy: Strategy,
    pub min_ready_seconds: i32,
    pub revision_history_limit: Option<i32>,
}

/// Its status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DaemonSetStatus {
    pub current_number_scheduled: i32,
    pub number_misscheduled: i32,
    pub desired_number_scheduled: i32,
    pub number_ready: i32,
    pub observed_generation: i64,
    pub updated_number_scheduled: i32,
    pub number_available: i32,
    pub number_unavailable: i32,
    pub collision_count: Option<i32>,
}

impl<'de> Deserialize<'de> for DaemonSet {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Whole {
            metadata: ObjectMeta,
            spec: DaemonSetSpec,
            status: DaemonSetStatus,
        }
        let Whole { metadata, spec, status } = Whole::deserialize(d)?;
        let (placement, data) = (Placement::of(&spec.template), Data::of(&spec.template));
        Ok(DaemonSet { metadata, spec, status, placement, data })
    }
}

impl Projection for DaemonSet {
    const GVR: Gvr = DAEMON_SETS;

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}

impl Workload for DaemonSet {
    const API_VERSION: &'static str = "apps/v1";
    const KIND: &'static str = "DaemonSet";

    fn selector(&self) -> &LabelSelector {
        &self.spec.selector
    }
}

impl DaemonSet {
    /// The number of its template, by the older way of counting.
    // k8s: pkg/controller/daemon/util/daemonset_util.go GetTemplateGeneration
    #[must_use]
    pub fn template_generation(&self) -> Option<i64> {
        self.metadata.annotations.get(TEMPLATE_GENERATION)?.parse().ok()
    }

    /// Whether pods are replaced when the template changes.
    #[must_use]
    pub fn rolling(&self) -> bool {
        &*self.spec.update_strategy.kind == "RollingUpdate"
    }

    /// On how many of `nodes` nodes there may be a second pod, and on how many none that is available.
    // k8s: pkg/controller/daemon/update.go updatedDesiredNodeCounts
    #[must_use]
    pub fn limits(&self, nodes: usize) -> (usize, usize) {
        let roll = self.spec.update_strategy.rolling_update.as_ref().filter(|_| self.rolling());
        let n = i32::try_from(nodes).unwrap_or(i32::MAX);
        let scaled = |v: Option<&IntOrString>| {
            let number = v.and_then(|v| v.scaled(n, true).ok()).unwrap_or(0);
            usize::try_from(number).unwrap_or(0)
        };
        let surge = scaled(roll.and_then(|r| r.max_surge.as_ref()));
        let unavailable = scaled(roll.and_then(|r| r.max_unavailable.as_ref()));
        // Both zero would never get anywhere.
        (surge, if surge == 0 { unavailable.max(1) } else { unavailable })
    }

    /// Whether there may be two pods on a node.
    #[must_use]
    pub fn surges(&self) -> bool {
        self.limits(1).0 > 0
    }
}
