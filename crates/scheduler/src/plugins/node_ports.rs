//! Host ports must be free.
// k8s: pkg/scheduler/framework/plugins/nodeports/node_ports.go

use crate::framework::{ClusterEvent, Plugin, Rejection, State};
use crate::pod::PodInfo;
use crate::snapshot::{NodeInfo, Snapshot};

pub struct NodePorts;

const NAME: &str = "NodePorts";

impl Plugin for NodePorts {
    fn name(&self) -> &'static str {
        NAME
    }

    fn pre_filter(&self, pod: &PodInfo, _snapshot: &Snapshot) -> Option<State> {
        (!pod.ports.is_empty()).then(|| Box::new(()) as State)
    }

    fn filter(&self, pod: &PodInfo, node: &NodeInfo, _state: &State) -> Result<(), Rejection> {
        let mut taken = node.pods.values().flat_map(|p| &p.ports);
        if taken.any(|t| pod.ports.iter().any(|p| p.conflicts(t))) {
            return Err(Rejection::new(NAME, "node(s) didn't have free ports for the requested pod ports"));
        }
        Ok(())
    }

    fn helped_by(&self, event: ClusterEvent) -> bool {
        matches!(event, ClusterEvent::NodeAdded | ClusterEvent::PodRemoved)
    }
}
