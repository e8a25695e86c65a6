//! Garbage collector: deletes what has lost all its owners, and carries out the foreground and orphan
//! policies of deletions.
//!
//! Works on the ownership graph over every resource that discovery knows. An owner that the graph does not
//! have counts as gone only after a live read said so.
// k8s: pkg/controller/garbagecollector/garbagecollector.go

mod delete;
mod finalize;
mod state;

use std::sync::Arc;

use jiff::Timestamp;
use reconcile::graph::{Node, followed};
use reconcile::{
    Answer, Answers, Caches, Controller, Interests, Key, KeySink, OwnerReference, Partial, Plan,
};

pub use self::state::{FOREGROUND, ORPHAN, Owner, State};

/// The controller. Its keys are UIDs.
pub struct GarbageCollector;

fn concerned(uid: &Arc<str>, owners: &[Arc<str>], caches: &Caches, sink: &mut KeySink) {
    let graph = &caches.graph;
    let node = graph.get(uid);
    if node.is_some_and(|n| !n.owners.is_empty() || n.deleting) {
        sink.add(Key { namespace: "".into(), name: uid.clone() });
    }
    for d in graph.dependents(uid) {
        if node.is_none_or(|n| n.deleting || !reaches(n, d)) {
            sink.add(Key { namespace: "".into(), name: d.uid.clone() });
        }
    }
    for o in owners.iter().filter_map(|o| graph.get(o)).filter(|o| o.deleting) {
        sink.add(Key { namespace: "".into(), name: o.uid.clone() });
    }
}

/// Whether an object may be owned by this one: an owner in a namespace owns nothing outside of it.
fn reaches(owner: &Node, dependent: &Node) -> bool {
    owner.namespace.is_empty() || owner.namespace == dependent.namespace
}

/// What is known of the owner that a reference names by kind, name and UID. Only an object that all three fit
/// is that owner; for others the server is asked, as for those that the graph does not have.
// k8s: pkg/controller/garbagecollector/garbagecollector.go isDangling
fn look_up(o: &OwnerReference, node: &Node, caches: &Caches, answers: &Answers) -> Owner {
    let present = |deleting: bool, foreground: bool| Owner::Present { waiting: deleting && foreground };
    let Some(r) = caches.discovery.by_kind(&o.api_version, &o.kind) else { return Owner::Unknown };
    let known = caches.graph.get(&o.uid);
    let fits = |n: &&Arc<Node>| {
        n.gvr.group == r.gvr.group
            && n.gvr.resource == r.gvr.resource
            && *n.name == *o.name
            && reaches(n, node)
    };
    if let Some(owner) = known.filter(fits) {
        return present(owner.deleting, owner.has_finalizer(FOREGROUND));
    }
    if r.namespaced && node.namespace.is_empty() {
        return Owner::Unknowable;
    }
    let namespace = if r.namespaced { &*node.namespace } else { "" };
    let ask = || Owner::Ask { gvr: r.gvr.clone(), namespace: namespace.to_owned() };
    // The graph has gone beyond the state that the owner was read in, and does not have it: the answer is of
    // the past, and no event will correct it.
    let passed = |p: &Partial| {
        if known.is_some() {
            return false;
        }
        let seen = caches.graph.seen(&r.gvr).filter(|_| caches.graph.synced(&r.gvr));
        seen.is_some_and(|s| s >= p.metadata.resource_version)
    };
    match answers.got(&r.gvr, namespace, &o.name) {
        None => ask(),
        Some(Ok(Answer::Object(bytes))) => match Partial::parse(bytes) {
            Ok(p) if p.metadata.uid == o.uid && passed(&p) => ask(),
            Ok(p) if p.metadata.uid == o.uid => {
                present(p.metadata.deleting(), p.metadata.has_finalizer(FOREGROUND))
            }
            Ok(_) => Owner::Absent,
            Err(_) => Owner::Unknown,
        },
        Some(Err(e)) if e.code == 404 => Owner::Absent,
        Some(_) => Owner::Unknown,
    }
}

impl Controller for GarbageCollector {
    type State = State;
    type Memory = ();

    fn name(&self) -> &'static str {
        "garbage-collector-controller"
    }

    fn interests(&self, i: &mut Interests) {
        i.on_graph(concerned);
        i.on_discovery(|caches, sink| {
            // A kind that is served now may be an owner that could not be looked up before.
            for n in caches.graph.iter().filter(|n| !n.owners.is_empty() || n.deleting) {
                sink.add(Key { namespace: "".into(), name: n.uid.clone() });
            }
        });
    }

    fn observe(&self, key: &Key, caches: &Caches, answers: &Answers) -> Option<State> {
        let node = caches.graph.get(&key.name)?.clone();
        let owners = node.owners.iter().map(|o| (o.clone(), look_up(o, &node, caches, answers))).collect();
        let elsewhere = |o: &&OwnerReference| caches.graph.get(&o.uid).is_some_and(|n| !reaches(n, &node));
        let discovery = &caches.discovery;
        let all = discovery.resources().iter().filter(|r| followed(r));
        let unlisted = all.filter(|r| !caches.graph.synced(&r.gvr));
        // What is known from before of a group that cannot be read now, and was never listed, is not known.
        // k8s: garbagecollector.go Sync
        let (lost, awaited): (Vec<_>, Vec<_>) =
            unlisted.partition(|r| discovery.failed.contains(&r.gvr.api_version()));
        Some(State {
            owners,
            misplaced: node.owners.iter().filter(elsewhere).cloned().collect(),
            dependents: caches.graph.dependents(&node.uid).cloned().collect(),
            listed: awaited.is_empty(),
            groups_lacking: discovery.lacks_groups() || !lost.is_empty(),
            node,
        })
    }

    fn reconcile(&self, state: &State, _: &mut (), _: Timestamp) -> Plan {
        let n = &state.node;
        if n.deleting && n.has_finalizer(ORPHAN) {
            return finalize::orphan(state);
        }
        if n.deleting && n.has_finalizer(FOREGROUND) {
            return finalize::foreground(state);
        }
        if n.deleting || state.owners.is_empty() {
            return Plan::default();
        }
        delete::decide(state)
    }
}

#[cfg(test)]
mod tests;
