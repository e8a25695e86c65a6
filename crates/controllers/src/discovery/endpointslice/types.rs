//! What controllers read and write of endpoint slices.

use meta::Gvr;
use reconcile::{IndexSink, ObjectMeta, Projection};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::core::service::EndpointPort;

/// `endpointslices`.
pub const ENDPOINTSLICES: Gvr = Gvr::new("discovery.k8s.io", "v1", "endpointslices");
/// The label that names the service.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// The label that names the maker.
pub const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// This maker.
pub const MANAGER: &str = "endpointslice-controller.k8s.io";
/// Index: slices by `namespace/service`.
pub const BY_SERVICE: &str = "service";

/// An endpoint slice.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointSlice {
    pub metadata: ObjectMeta,
    pub address_type: Box<str>,
    pub endpoints: Vec<Endpoint>,
    pub ports: Vec<EndpointPort>,
}

/// One endpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Endpoint {
    pub addresses: Vec<String>,
    pub conditions: Conditions,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_ref: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hints: Option<Value>,
}

impl Endpoint {
    /// The UID of the pod behind it.
    #[must_use]
    pub fn target_uid(&self) -> Option<&str> {
        self.target_ref.as_ref()?.get("uid")?.as_str()
    }
}

/// Whether an endpoint takes traffic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Conditions {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serving: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terminating: Option<bool>,
}

impl EndpointSlice {
    /// Whether this controller made it.
    #[must_use]
    pub fn ours(&self) -> bool {
        self.metadata.labels.get(MANAGED_BY) == Some(MANAGER)
    }
}

impl Projection for EndpointSlice {
    const GVR: Gvr = ENDPOINTSLICES;

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn indexes(&self, sink: &mut IndexSink) {
        if let Some(service) = self.metadata.labels.get(SERVICE_NAME) {
            sink.add(BY_SERVICE, &format!("{}/{service}", self.metadata.namespace));
        }
    }
}
