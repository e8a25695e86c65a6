//! Which nodes a daemon set's pods belong on.
// k8s: pkg/controller/daemon/daemon_controller.go nodeShouldRunDaemonPod

use reconcile::StrMap;
use serde::Deserialize;

use crate::core::affinity::Affinity;
use crate::core::node::{Node, Taint};
use crate::core::pod::Toleration;
use crate::core::tainteviction::tolerates;
use crate::shared::template::Template;

/// What every daemon pod tolerates: trouble of its node does not move it.
// k8s: pkg/controller/daemon/util/daemonset_util.go AddOrUpdateDaemonPodTolerations
const TOLERATED: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];
/// What those tolerate as well that use the node's own network.
const WITHOUT_NETWORK: (&str, &str) = ("node.kubernetes.io/network-unavailable", "NoSchedule");

/// What a template says of nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    node_name: Box<str>,
    node_selector: StrMap,
    affinity: Affinity,
    /// The template's and those of every daemon pod.
    pub tolerations: Vec<Toleration>,
}

/// Whether a daemon pod belongs on a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fit {
    /// One is to be made if there is none.
    pub run: bool,
    /// One that is there may stay.
    pub stay: bool,
}

impl Placement {
    /// Reads a template.
    #[must_use]
    pub fn of(template: &Template) -> Self {
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Head {
            spec: Spec,
        }
        #[derive(Deserialize, Default)]
        #[serde(rename_all = "camelCase", default)]
        struct Spec {
            node_name: Box<str>,
            node_selector: Option<StrMap>,
            affinity: Option<Affinity>,
            tolerations: Option<Vec<Toleration>>,
            host_network: bool,
        }
        let Spec { node_name, node_selector, affinity, tolerations, host_network } =
            template.read::<Head>().spec;
        let mut tolerations = tolerations.unwrap_or_default();
        let more = host_network.then_some(WITHOUT_NETWORK);
        for (key, effect) in TOLERATED.into_iter().chain(more) {
            put(&mut tolerations, key, effect);
        }
        Placement {
            node_name,
            node_selector: node_selector.unwrap_or_default(),
            affinity: affinity.unwrap_or_default(),
            tolerations,
        }
    }

    /// Whether a pod belongs on that node.
    #[must_use]
    pub fn fit(&self, node: &Node) -> Fit {
        let named = self.node_name.is_empty() || *self.node_name == *node.metadata.name;
        let labels = &node.metadata.labels;
        let selected = self.node_selector.iter().all(|(k, v)| labels.get(k) == Some(v));
        if !named || !selected || !self.affinity.allows(node) {
            return Fit::default();
        }
        let tolerated = |t: &Taint| self.tolerations.iter().any(|x| tolerates(x, t));
        let bears = |effect: &str| node.spec.taints.iter().filter(|t| &*t.effect == effect).all(tolerated);
        let stay = bears("NoExecute");
        Fit { run: stay && bears("NoSchedule"), stay }
    }
}

/// Tolerates that taint, for ever: one of the same taint with an end is replaced.
// k8s: pkg/apis/core/v1/helper/helpers.go AddOrUpdateTolerationInPodSpec
fn put(tolerations: &mut Vec<Toleration>, key: &str, effect: &str) {
    let wanted = Toleration {
        key: key.into(),
        operator: "Exists".into(),
        effect: effect.into(),
        ..Toleration::default()
    };
    let mut found = false;
    for t in tolerations.iter_mut() {
        let same = Toleration { toleration_seconds: None, ..t.clone() } == wanted;
        if same {
            t.toleration_seconds = None;
            found = true;
        }
    }
    if !found {
        tolerations.push(wanted);
    }
}
