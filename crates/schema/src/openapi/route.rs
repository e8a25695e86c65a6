//! What the documents are made of.

use meta::Gvk;

/// A resource or subresource that is served.
#[derive(Clone, Debug)]
pub struct Route {
    pub group: String,
    pub version: String,
    /// `deployments`.
    pub plural: String,
    /// Kind of the resource: `Deployment`.
    pub kind: String,
    /// `scale`; empty for the resource itself.
    pub subresource: String,
    pub namespaced: bool,
    /// What goes in and out: the kind itself, or that of the subresource (`autoscaling/v1 Scale`).
    pub object: Gvk,
    /// Whether a deletion answers with the object and not with a Status.
    pub returns_deleted: bool,
    /// As discovery lists them.
    pub verbs: Vec<String>,
}
