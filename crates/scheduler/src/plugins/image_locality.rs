//! Prefers nodes that have the pod's images already, the larger and the more widely spread the better.
// k8s: pkg/scheduler/framework/plugins/imagelocality/image_locality.go

use crate::framework::{ClusterEvent, MAX_SCORE, Plugin};
use crate::pod::normalized;
use crate::snapshot::NodeInfo;

pub struct ImageLocality;

const MIN_BYTES: i64 = 23 << 20;
const MAX_BYTES_PER_CONTAINER: i64 = 1000 << 20;

/// The size of an image that the node has; `image` has a tag or digest.
#[must_use]
pub fn size(node: &NodeInfo, image: &str) -> i64 {
    let images = node.node.as_ref().map_or(&[][..], |n| &n.status.images);
    let same = |name: &str| name == image || (image.ends_with(":latest") && *normalized(name) == *image);
    images.iter().find(|i| i.names.iter().any(|n| same(n))).map_or(0, |i| i.size_bytes)
}

/// The score of a node: the sizes of the pod's images there, each with the part of all nodes that have it.
#[must_use]
pub fn score(sizes: impl Iterator<Item = (i64, f64)>, containers: usize) -> i64 {
    let sum: i64 = sizes.map(|(size, part)| (size as f64 * part) as i64).sum();
    let most = MAX_BYTES_PER_CONTAINER * i64::try_from(containers.max(1)).unwrap_or(1);
    (sum.clamp(MIN_BYTES, most) - MIN_BYTES) * MAX_SCORE / (most - MIN_BYTES)
}

impl Plugin for ImageLocality {
    fn name(&self) -> &'static str {
        "ImageLocality"
    }

    fn weight(&self) -> i64 {
        1
    }

    fn helped_by(&self, _event: ClusterEvent) -> bool {
        false
    }
}
