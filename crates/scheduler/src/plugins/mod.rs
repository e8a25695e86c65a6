//! The plugins, one file each, in the order in which they filter.

mod balanced_allocation;
pub mod image_locality;
pub mod inter_pod_affinity;
pub mod node_affinity;
mod node_ports;
mod node_resources_fit;
mod node_unschedulable;
pub mod pod_topology_spread;
mod taint_toleration;

use crate::framework::{Plugin, Rejection};
use crate::pod::Needs;
use crate::snapshot::NodeInfo;

/// Every plugin. Names and weights are upstream's defaults.
pub static ALL: &[&dyn Plugin] = &[
    &node_unschedulable::NodeUnschedulable,
    &taint_toleration::TaintToleration,
    &node_affinity::NodeAffinity,
    &node_ports::NodePorts,
    &node_resources_fit::NodeResourcesFit,
    &SPREAD,
    &AFFINITY,
    &balanced_allocation::BalancedAllocation,
    &IMAGES,
];

/// The plugins that look at more than a pod's needs and a node.
pub static SPREAD: pod_topology_spread::PodTopologySpread = pod_topology_spread::PodTopologySpread;
pub static AFFINITY: inter_pod_affinity::InterPodAffinity = inter_pod_affinity::InterPodAffinity;
pub static IMAGES: image_locality::ImageLocality = image_locality::ImageLocality;

/// The plugins that score a node by a pod's needs alone.
pub static SCORING: [&dyn Plugin; 4] = [
    &taint_toleration::TaintToleration,
    &node_affinity::NodeAffinity,
    &node_resources_fit::NodeResourcesFit,
    &balanced_allocation::BalancedAllocation,
];

/// Whether a pod's needs allow the node.
///
/// # Errors
/// The first rejection.
pub fn filter(needs: &Needs, node: &NodeInfo) -> Result<(), Rejection> {
    ALL.iter().try_for_each(|p| p.filter(needs, node))
}

/// The plugin of that name.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static dyn Plugin> {
    ALL.iter().copied().find(|p| p.name() == name)
}
