//! What is read of disruption budgets. The whole object is kept too: what is written is all of it, since the
//! controller may replace the status and not patch it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use meta::{Gvr, IntOrString};
use reconcile::{LabelSelector, ObjectMeta, ObjectReference, Projection};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::core::condition::Condition;

/// `poddisruptionbudgets`.
pub const BUDGETS: Gvr = Gvr::new("policy", "v1", "poddisruptionbudgets");

/// A disruption budget.
#[derive(Clone, Debug, Default)]
pub struct Budget {
    pub metadata: ObjectMeta,
    pub spec: Spec,
    pub status: Status,
    object: Value,
}

/// Its specification.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Spec {
    pub min_available: Option<IntOrString>,
    pub max_unavailable: Option<IntOrString>,
    /// Without one it selects nothing; an empty one selects every pod of the namespace.
    pub selector: Option<LabelSelector>,
}

/// Its status.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    pub observed_generation: i64,
    /// The pods whose eviction was granted, and when.
    pub disrupted_pods: BTreeMap<Box<str>, Option<Timestamp>>,
    pub disruptions_allowed: i32,
    pub current_healthy: i32,
    pub desired_healthy: i32,
    pub expected_pods: i32,
    pub conditions: Vec<Condition>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Parts {
    metadata: ObjectMeta,
    spec: Spec,
    status: Status,
}

impl<'de> Deserialize<'de> for Budget {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let object = Value::deserialize(d)?;
        let Parts { metadata, spec, status } = meta::json::of(&object).map_err(D::Error::custom)?;
        Ok(Budget { metadata, spec, status, object })
    }
}

impl Projection for Budget {
    const GVR: Gvr = BUDGETS;

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}

impl Budget {
    /// Whether it is about an object with this metadata.
    #[must_use]
    pub fn selects(&self, m: &ObjectMeta) -> bool {
        self.spec.selector.as_ref().is_some_and(|s| s.matches(&m.labels))
    }

    /// Whether it is about a part of the pods that their owners want, and not about a number.
    #[must_use]
    pub fn asks_owners(&self) -> bool {
        self.spec.max_unavailable.is_some() || matches!(self.spec.min_available, Some(IntOrString::Str(_)))
    }

    /// For events about it.
    pub(super) fn about(&self) -> ObjectReference {
        ObjectReference::to("policy/v1", "PodDisruptionBudget", &self.metadata)
    }

    /// The conditions with everything that they hold.
    pub(super) fn whole_conditions(&self) -> Vec<Value> {
        self.object["status"]["conditions"].as_array().cloned().unwrap_or_default()
    }

    /// The status with everything that it holds.
    pub(super) fn whole_status(&self) -> &Value {
        &self.object["status"]
    }

    /// The whole object with another status.
    pub(super) fn with_status(&self, status: Value) -> Value {
        let mut object = self.object.clone();
        object["kind"] = "PodDisruptionBudget".into();
        object["apiVersion"] = "policy/v1".into();
        object["status"] = status;
        object
    }
}
