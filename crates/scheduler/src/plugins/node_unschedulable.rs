//! Keeps pods off cordoned nodes unless they tolerate the taint that stands for it.
// k8s: pkg/scheduler/framework/plugins/nodeunschedulable/node_unschedulable.go

use crate::framework::{ClusterEvent, Plugin, Rejection};
use crate::model::Taint;
use crate::plugins::taint_toleration::tolerated;
use crate::pod::Needs;
use crate::snapshot::NodeInfo;

pub struct NodeUnschedulable;

const NAME: &str = "NodeUnschedulable";

impl Plugin for NodeUnschedulable {
    fn name(&self) -> &'static str {
        NAME
    }

    fn filter(&self, needs: &Needs, node: &NodeInfo) -> Result<(), Rejection> {
        if !node.node.as_ref().is_some_and(|n| n.spec.unschedulable) {
            return Ok(());
        }
        let taint = Taint {
            key: "node.kubernetes.io/unschedulable".into(),
            value: "".into(),
            effect: "NoSchedule".into(),
        };
        if tolerated(&taint, &needs.tolerations) {
            Ok(())
        } else {
            Err(Rejection::unresolvable(NAME, "node(s) were unschedulable"))
        }
    }

    fn helped_by(&self, event: ClusterEvent) -> bool {
        matches!(event, ClusterEvent::NodeAdded | ClusterEvent::NodeTaints)
    }
}
