//! PodTemplate.

use crate::kind::Kind;

/// `v1` PodTemplate.
pub static KIND: Kind = Kind::namespaced_kind("", "v1", "PodTemplate", "podtemplates", "podtemplate");
