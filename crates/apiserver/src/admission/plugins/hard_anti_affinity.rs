//! LimitPodHardAntiAffinityTopology: no pod keeps others away from more than a node.
// k8s: plugin/pkg/admission/antiaffinity/admission.go

use kinds::core::pod;
use meta::Status;

use crate::request::Reply;
use crate::storage::{AdmissionRequest, Op, Plugin};

const HOSTNAME: &str = "kubernetes.io/hostname";

pub(in crate::admission) struct LimitPodHardAntiAffinityTopology;

impl Plugin for LimitPodHardAntiAffinityTopology {
    fn name(&self) -> &'static str {
        "LimitPodHardAntiAffinityTopology"
    }

    fn validate<'a>(&'a self, request: &'a AdmissionRequest<'_>) -> Reply<'a, Result<(), Status>> {
        if request.operation == Op::Delete || !request.is_whole(&pod::KIND) {
            return Reply::now(Ok(()));
        }
        let path = ["spec", "affinity", "podAntiAffinity", "requiredDuringSchedulingIgnoredDuringExecution"];
        let keys = request.object.list_at(&path).iter().map(|term| term.str_at(&["topologyKey"]));
        Reply::now(match keys.into_iter().find(|key| *key != HOSTNAME) {
            None => Ok(()),
            Some(key) => Err(request.forbidden(&format!(
                "affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey {key} but only key {HOSTNAME} is allowed"
            ))),
        })
    }
}
