//! A write by a kubelet, and what its checks have in common. It must never decide one.

use meta::{Gvr, Status};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::storage::{Call, peek};

pub(super) const PODS: Gvr = Gvr::new("", "v1", "pods");
pub(super) const NODES: Gvr = Gvr::new("", "v1", "nodes");

/// A write by a kubelet.
pub(super) struct Write<'a> {
    pub(super) call: &'a Call<'a>,
    pub(super) node: &'a str,
    /// Of the object that is written.
    pub(super) name: &'a str,
}

impl Write<'_> {
    pub(super) fn refuse(&self, why: &str) -> Result<(), Status> {
        Err(Status::forbidden(&self.call.resource.gvr, self.name, why))
    }

    /// A stored object.
    pub(super) fn stored<T: DeserializeOwned + Default>(
        &self,
        gvr: &Gvr,
        namespace: &str,
        name: &str,
    ) -> Result<Option<T>, Status> {
        let resource = self.call.state.registry()?.find(gvr)?;
        let entry = resource.cache.get(&resource.key(namespace, name));
        Ok(entry.map(|e| peek::project(e.object_bytes())))
    }
}

/// That an object is not there, in the words of upstream's caches: they name one object, not the resource.
// k8s: staging/src/k8s.io/client-go/listers NewNotFound
pub(super) fn not_found(gvr: &Gvr, name: &str) -> Status {
    let one = gvr.resource.trim_end_matches('s').to_owned();
    Status::not_found(&Gvr { resource: one.into(), ..gvr.clone() }, name)
}

/// What of a pod the checks look at.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Pod {
    pub(super) metadata: peek::Metadata,
    pub(super) spec: PodSpec,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodSpec {
    pub(super) node_name: String,
}
