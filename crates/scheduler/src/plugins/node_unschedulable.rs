//! Keeps pods off cordoned nodes unless they tolerate the taint that stands for it.
// k8s: pkg/scheduler/framework/plugins/nodeunschedulable/node_unschedulable.go

use crate::framework::{ClusterEvent, Plugin, Rejection, State};
use crate::model::Taint;
use crate::plugins::taint_toleration::tolerated;
use crate::pod::PodInfo;
use crate::snapshot::{NodeInfo, Snapshot};

pub struct NodeUnschedulable;

const NAME: &str = "NodeUnschedulable";

impl Plugin for NodeUnschedulable {
    fn name(&self) -> &'static str {
        NAME
    }

    fn pre_filter(&self, _pod: &PodInfo, _snapshot: &Snapshot) -> Option<State> {
        Some(Box::new(()))
    }

    fn filter(&self, pod: &PodInfo, node: &NodeInfo, _state: &State) -> Result<(), Rejection> {
        if !node.node.as_ref().is_some_and(|n| n.spec.unschedulable) {
            return Ok(());
        }
        let taint = Taint {
            key: "node.kubernetes.io/unschedulable".into(),
            value: "".into(),
            effect: "NoSchedule".into(),
        };
        if tolerated(&taint, &pod.tolerations) {
            Ok(())
        } else {
            Err(Rejection::unresolvable(NAME, "node(s) were unschedulable"))
        }
    }

    fn helped_by(&self, event: ClusterEvent) -> bool {
        matches!(event, ClusterEvent::NodeAdded | ClusterEvent::NodeTaints)
    }
}
