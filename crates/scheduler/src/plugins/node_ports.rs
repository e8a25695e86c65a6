//! Host ports must be free.
// k8s: pkg/scheduler/framework/plugins/nodeports/node_ports.go

use crate::framework::{ClusterEvent, Plugin, Rejection};
use crate::pod::Needs;
use crate::snapshot::NodeInfo;

pub struct NodePorts;

const NAME: &str = "NodePorts";

impl Plugin for NodePorts {
    fn name(&self) -> &'static str {
        NAME
    }

    fn filter(&self, needs: &Needs, node: &NodeInfo) -> Result<(), Rejection> {
        if needs.ports.is_empty() {
            return Ok(());
        }
        let mut taken = node.pods.values().flat_map(|p| &p.needs.ports);
        if taken.any(|t| needs.ports.iter().any(|p| p.conflicts(t))) {
            return Err(Rejection::new(NAME, "node(s) didn't have free ports for the requested pod ports"));
        }
        Ok(())
    }

    fn helped_by(&self, event: ClusterEvent) -> bool {
        matches!(event, ClusterEvent::NodeAdded | ClusterEvent::PodRemoved)
    }
}
