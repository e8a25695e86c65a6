//! IPAddress.

use crate::kind::{Kind, NameRule};

/// `networking.k8s.io/v1` IPAddress.
pub static KIND: Kind =
    Kind::cluster_kind("networking.k8s.io", "v1", "IPAddress", "ipaddresses", "ipaddress")
        .with_short_names(&["ip"])
        .with_names(NameRule::Ip);
