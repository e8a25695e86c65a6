//! The roads of a node's parts to the API.

use control::Context;

/// The identities of a node's two parts.
pub struct Roads {
    pub kubelet: Context,
    pub proxy: Context,
}
