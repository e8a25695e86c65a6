//! An object that manages others through a selector: which of them are its own, and whom a change of one concerns.
// k8s: pkg/controller/controller_utils.go FilterPodsByOwner

use std::sync::Arc;

use meta::Gvr;
use reconcile::{
    Caches, Delta, IndexSink, Key, KeySink, LabelSelector, ObjectMeta, ObjectReference, Projection,
};
use serde_json::Value;

use crate::owners::{self, Claimer};

/// Index: objects by the UID of their managing owner.
pub const BY_CONTROLLER: &str = "controller";
/// Index: objects without a managing owner, by namespace.
pub const BY_ORPHAN: &str = "orphan";

/// Puts an object under its managing owner, or among the orphans of its namespace.
pub fn index_by_owner(m: &ObjectMeta, sink: &mut IndexSink) {
    match m.controller() {
        Some(o) => sink.add(BY_CONTROLLER, &o.uid),
        None => sink.add(BY_ORPHAN, &m.namespace),
    }
}

/// A kind whose objects manage others.
pub trait Workload: Projection {
    /// As in `apiVersion`.
    const API_VERSION: &'static str;
    /// As in `kind`.
    const KIND: &'static str;

    /// What it selects. An empty selector selects nothing.
    fn selector(&self) -> &LabelSelector;

    /// For events about it.
    fn about(&self) -> ObjectReference {
        ObjectReference::to(Self::API_VERSION, Self::KIND, self.meta())
    }

    /// The `ownerReferences` entry of what it manages.
    fn reference(&self) -> Value {
        owners::controller_ref(Self::API_VERSION, Self::KIND, self.meta())
    }

    /// Its side of claiming objects of a resource.
    fn claimer(&self, gvr: Gvr) -> Claimer<'_> {
        Claimer {
            owner: self.meta(),
            owner_gvr: Self::GVR,
            owner_api_version: Self::API_VERSION,
            owner_kind: Self::KIND,
            selector: self.selector(),
            gvr,
        }
    }

    /// Whether it selects these labels.
    fn selects(&self, m: &ObjectMeta) -> bool {
        !self.selector().is_empty() && self.selector().matches(&m.labels)
    }
}

/// The workloads of kind `W` that a changed object concerns: its owners, or those that may adopt it.
pub fn concerned<W: Workload, D: Projection>(delta: &Delta<D>, caches: &Caches, sink: &mut KeySink) {
    let group = W::GVR.group;
    for d in delta.both() {
        let m = d.meta();
        match m.controller() {
            Some(o) if o.is_a(&group, W::KIND) => sink.add(Key::new(&m.namespace, &o.name)),
            Some(_) => {}
            None => {
                for w in caches.kind::<W>().list(&m.namespace).filter(|w| w.selects(m)) {
                    sink.add(w.meta().key());
                }
            }
        }
    }
}

/// The objects that `w` manages, and those that nobody manages and that it selects. The projection must use
/// [`index_by_owner`].
#[must_use]
pub fn dependents<W: Workload, D: Projection>(w: &W, caches: &Caches) -> Vec<Arc<D>> {
    let cached = caches.kind::<D>();
    let mut out: Vec<Arc<D>> = cached.by_index(BY_CONTROLLER, &w.meta().uid).cloned().collect();
    let orphans = cached.by_index(BY_ORPHAN, &w.meta().namespace);
    out.extend(orphans.filter(|d| w.selects(d.meta())).cloned());
    out
}
