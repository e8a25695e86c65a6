//! The admission plugins, one file each. None knows another.

pub(super) mod always_pull_images;
pub(super) mod certificate_approval;
pub(super) mod certificate_signing;
pub(super) mod certificate_subject_restriction;
pub(super) mod cluster_trust_bundle_attest;
mod default_class;
pub(super) mod default_ingress_class;
pub(super) mod default_storage_class;
pub(super) mod default_toleration_seconds;
pub(super) mod deny_service_external_ips;
pub(super) mod extended_resource_toleration;
pub(super) mod hard_anti_affinity;
pub(super) mod limit_ranger;
mod mountable;
pub(super) mod namespace_lifecycle;
pub(super) mod node_restriction;
pub(super) mod node_taint;
pub(super) mod pod_resize;
mod pod_resources;
pub(super) mod pod_topology_labels;
pub(super) mod priority;
pub(super) mod runtime_class;
pub(super) mod service_account;
pub(super) mod signers;
pub(super) mod volume_claim_resize;

/// Several errors as one, in upstream's form.
// k8s: staging/src/k8s.io/apimachinery/pkg/util/errors/errors.go Aggregate
fn aggregate(mut errors: Vec<String>) -> Option<String> {
    let mut seen = std::collections::BTreeSet::new();
    errors.retain(|e| seen.insert(e.clone()));
    match errors.len() {
        0 => None,
        1 => errors.pop(),
        _ => Some(format!("[{}]", errors.join(", "))),
    }
}
