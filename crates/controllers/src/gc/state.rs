//! What a decision on an object is made from.

use std::sync::Arc;

use meta::Gvr;
use reconcile::OwnerReference;
use reconcile::graph::Node;

/// The finalizer of a foreground deletion.
pub const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer of a deletion that leaves dependents.
pub const ORPHAN: &str = "orphan";

/// What is known of an owner.
#[derive(Clone, Debug, PartialEq)]
pub enum Owner {
    /// It is there. `waiting`: it is being deleted in the foreground and waits for its dependents.
    Present {
        waiting: bool,
    },
    Absent,
    /// It must be read live.
    Ask {
        gvr: Gvr,
        namespace: String,
    },
    /// Its kind is not served, or reading it failed: nothing can be said now.
    Unknown,
    /// It is of a kind that lives in namespaces, and the object that names it lives in none: nothing can ever
    /// be said.
    Unknowable,
}

/// What a decision on an object depends on.
#[derive(Clone, Debug)]
pub struct State {
    pub node: Arc<Node>,
    pub owners: Vec<(OwnerReference, Owner)>,
    /// References to objects that live in another namespace than this one.
    pub misplaced: Vec<OwnerReference>,
    pub dependents: Vec<Arc<Node>>,
    /// Whether the graph has been filled with every resource that is known to be served.
    pub listed: bool,
    /// Whether some group could not be discovered, so that its resources are not known, or not listed.
    pub groups_lacking: bool,
}
