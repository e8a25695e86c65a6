//! Prefers nodes that have the pod's images already, the larger the better.
// k8s: pkg/scheduler/framework/plugins/imagelocality/image_locality.go

use std::collections::HashMap;

use crate::framework::{ClusterEvent, MAX_SCORE, Plugin, State};
use crate::pod::PodInfo;
use crate::snapshot::{NodeInfo, Snapshot};

pub struct ImageLocality;

const MIN_BYTES: i64 = 23 << 20;
const MAX_BYTES_PER_CONTAINER: i64 = 1000 << 20;

/// How many nodes have an image of the pod, by the pod's spelling of its name; and how many nodes there are.
struct Spread {
    having: HashMap<Box<str>, i64>,
    nodes: i64,
}

fn size(node: &NodeInfo, image: &str) -> Option<i64> {
    let node = node.node.as_ref()?;
    let wanted = normalized(image);
    let found = node.status.images.iter().find(|i| i.names.iter().any(|n| normalized(n) == wanted))?;
    Some(found.size_bytes)
}

/// An image without tag or digest is `latest`.
fn normalized(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    if last.contains(':') || last.contains('@') { image.to_owned() } else { format!("{image}:latest") }
}

impl Plugin for ImageLocality {
    fn name(&self) -> &'static str {
        "ImageLocality"
    }

    fn weight(&self) -> i64 {
        1
    }

    fn pre_score(&self, pod: &PodInfo, snapshot: &Snapshot, feasible: &[usize]) -> Option<State> {
        let mut having: HashMap<Box<str>, i64> = HashMap::new();
        for at in feasible {
            let node = &snapshot.nodes[*at];
            if node.node.as_ref().is_none_or(|n| n.status.images.is_empty()) {
                continue;
            }
            for image in &pod.images {
                if size(node, image).is_some() {
                    *having.entry(image.clone()).or_default() += 1;
                }
            }
        }
        let nodes = i64::try_from(feasible.len()).unwrap_or(i64::MAX);
        (!having.is_empty()).then(|| Box::new(Spread { having, nodes }) as State)
    }

    fn score(&self, pod: &PodInfo, node: &NodeInfo, state: &State) -> i64 {
        let Some(spread) = state.downcast_ref::<Spread>() else { return 0 };
        let sum: i64 = pod
            .images
            .iter()
            .filter_map(|i| Some(size(node, i)? * spread.having.get(i)? / spread.nodes.max(1)))
            .sum();
        let most = MAX_BYTES_PER_CONTAINER * i64::try_from(pod.images.len().max(1)).unwrap_or(1);
        (sum.clamp(MIN_BYTES, most) - MIN_BYTES) * MAX_SCORE / (most - MIN_BYTES)
    }

    fn helped_by(&self, _event: ClusterEvent) -> bool {
        false
    }
}
