//! Who owns whom: one small node for every object of every kind, for garbage collection.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use meta::Gvr;

use crate::{Change, ChangeKind, Key, ObjectMeta, OwnerReference, Partial, ResourceInfo};

/// Whether the graph has the objects of a resource. Events own nothing and are owned by nothing that matters.
// k8s: pkg/controller/garbagecollector/graph_builder.go DefaultIgnoredResources
#[must_use]
pub fn followed(r: &ResourceInfo) -> bool {
    let events = r.gvr.resource == "events" && (r.gvr.group.is_empty() || r.gvr.group == "events.k8s.io");
    r.can("list") && r.can("watch") && r.can("delete") && !events
}

/// An object in the graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub gvr: Arc<Gvr>,
    pub kind: Arc<str>,
    pub namespace: Arc<str>,
    pub name: Arc<str>,
    pub uid: Arc<str>,
    pub resource_version: u64,
    pub owners: Box<[OwnerReference]>,
    pub finalizers: Box<[Box<str>]>,
    pub deleting: bool,
}

impl Node {
    /// Whether the finalizer is there.
    #[must_use]
    pub fn has_finalizer(&self, name: &str) -> bool {
        self.finalizers.iter().any(|f| **f == *name)
    }

    /// Whether nothing is different but the revision.
    fn owns_as(&self, other: &Node) -> bool {
        Node { resource_version: self.resource_version, ..other.clone() } == *self
    }
}

/// All objects by UID, with owners' dependents.
#[derive(Debug, Default)]
pub struct Graph {
    nodes: BTreeMap<Arc<str>, Arc<Node>>,
    dependents: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
    names: BTreeMap<Arc<Gvr>, BTreeMap<Key, Arc<str>>>,
    seen: BTreeMap<Arc<Gvr>, u64>,
    synced: BTreeSet<Arc<Gvr>>,
}

impl Graph {
    /// A node.
    #[must_use]
    pub fn get(&self, uid: &str) -> Option<&Arc<Node>> {
        self.nodes.get(uid)
    }

    /// The nodes that name `uid` as an owner.
    pub fn dependents(&self, uid: &str) -> impl Iterator<Item = &Arc<Node>> {
        self.dependents.get(uid).into_iter().flatten().filter_map(|u| self.nodes.get(u))
    }

    /// All nodes.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.nodes.values()
    }

    /// The number of nodes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The newest revision applied of a resource, `None` when it is not followed.
    #[must_use]
    pub fn seen(&self, gvr: &Gvr) -> Option<u64> {
        self.seen.get(gvr).copied()
    }

    /// Whether the resource has been listed.
    #[must_use]
    pub fn synced(&self, gvr: &Gvr) -> bool {
        self.synced.contains(gvr)
    }

    /// The node at a name.
    #[must_use]
    pub fn at(&self, gvr: &Gvr, key: &Key) -> Option<&Arc<Node>> {
        self.nodes.get(self.names.get(gvr)?.get(key)?)
    }

    /// Applies an added or modified object. A change that says nothing about ownership is only progress.
    pub fn upsert(&mut self, gvr: &Arc<Gvr>, kind: &Arc<str>, m: ObjectMeta) -> Vec<Change> {
        let key = m.key();
        self.note(gvr, m.resource_version);
        let mut changes = Vec::new();
        let names = self.names.entry(gvr.clone()).or_default();
        // A new object of an old name: the old one is gone.
        if names.get(&key).is_some_and(|u| *u != m.uid) {
            changes.extend(self.remove(gvr, &key, 0));
        }
        self.names.entry(gvr.clone()).or_default().insert(key, m.uid.clone());
        let node = Arc::new(Node {
            gvr: gvr.clone(),
            kind: kind.clone(),
            namespace: m.namespace,
            name: m.name,
            uid: m.uid.clone(),
            resource_version: m.resource_version,
            owners: m.owner_references,
            finalizers: m.finalizers,
            deleting: m.deletion_timestamp.is_some(),
        });
        let old = self.nodes.insert(m.uid.clone(), node.clone());
        if let Some(o) = &old {
            if o.owns_as(&node) {
                changes.push(Change::progress(gvr.as_ref().clone()));
                return changes;
            }
            self.unlink(o);
        }
        for o in &node.owners {
            self.dependents.entry(o.uid.clone()).or_default().insert(m.uid.clone());
        }
        changes.push(change(gvr, &node));
        changes
    }

    /// Takes an object out. `revision`: of the deletion, 0 when unknown.
    pub fn remove(&mut self, gvr: &Arc<Gvr>, key: &Key, revision: u64) -> Option<Change> {
        self.note(gvr, revision);
        let uid = self.names.get_mut(gvr)?.remove(key)?;
        // The same object may have come in another version of its group meanwhile.
        if self.nodes.get(&uid).is_some_and(|n| n.gvr != *gvr) {
            return None;
        }
        let node = self.nodes.remove(&uid)?;
        self.unlink(&node);
        Some(change(gvr, &node))
    }

    /// Replaces all objects of a resource.
    pub fn replace(
        &mut self,
        gvr: &Arc<Gvr>,
        kind: &Arc<str>,
        items: Vec<Partial>,
        revision: u64,
    ) -> Vec<Change> {
        let mut gone: BTreeSet<Key> =
            self.names.get(gvr).map(|n| n.keys().cloned().collect()).unwrap_or_default();
        let mut out = Vec::new();
        for p in items {
            gone.remove(&p.metadata.key());
            out.extend(self.upsert(gvr, kind, p.metadata));
        }
        for key in gone {
            out.extend(self.remove(gvr, &key, 0));
        }
        self.note(gvr, revision);
        self.synced.insert(gvr.clone());
        out.extend(self.ownerless(gvr, kind));
        out
    }

    /// The objects that name an owner of this kind which the graph does not have. A list that lacks the owner
    /// is all that ever tells of its end when it came and went, or was read live, before that list.
    fn ownerless(&self, gvr: &Gvr, kind: &str) -> Vec<Change> {
        let missing = self.dependents.iter().filter(|(owner, _)| !self.nodes.contains_key(*owner));
        missing
            .flat_map(|(owner, uids)| uids.iter().filter_map(|u| self.nodes.get(u)).map(move |n| (owner, n)))
            .filter(|(owner, n)| n.owners.iter().any(|o| o.uid == **owner && o.is_a(&gvr.group, kind)))
            .map(|(_, n)| change(&n.gvr, n))
            .collect()
    }

    /// Forgets a resource that is no longer served.
    pub fn forget(&mut self, gvr: &Arc<Gvr>) -> Vec<Change> {
        let out = self.replace(gvr, &"".into(), Vec::new(), 0);
        self.seen.remove(gvr);
        self.synced.remove(gvr);
        out
    }

    /// Notes that everything up to `revision` has been applied.
    pub fn note(&mut self, gvr: &Arc<Gvr>, revision: u64) {
        let seen = self.seen.entry(gvr.clone()).or_insert(0);
        *seen = (*seen).max(revision);
    }

    fn unlink(&mut self, node: &Node) {
        for o in &node.owners {
            let Some(set) = self.dependents.get_mut(&o.uid) else { continue };
            set.remove(&node.uid);
            if set.is_empty() {
                self.dependents.remove(&o.uid);
            }
        }
    }
}

/// The change of a node, as engines are told of it.
pub(crate) fn change(gvr: &Gvr, node: &Node) -> Change {
    Change {
        gvr: gvr.clone(),
        kind: ChangeKind::Graph {
            uid: node.uid.clone(),
            owners: node.owners.iter().map(|o| o.uid.clone()).collect(),
        },
        namespace: node.namespace.clone(),
        name: node.name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(text: &str) -> ObjectMeta {
        serde_json::from_str(text).unwrap()
    }

    /// Pods change their status all day; whoever decides on owners is not asked again each time.
    #[test]
    fn only_what_concerns_ownership_is_a_change() {
        let (pods, kind) = (Arc::new(Gvr::new("", "v1", "pods")), Arc::from("Pod"));
        let mut graph = Graph::default();
        for (text, told) in [
            (r#"{"name":"p","uid":"p","resourceVersion":"1"}"#, true),
            (r#"{"name":"p","uid":"p","resourceVersion":"2","labels":{"a":"b"}}"#, false),
            (r#"{"name":"p","uid":"p","resourceVersion":"3","ownerReferences":[{"uid":"o"}]}"#, true),
            (
                r#"{"name":"p","uid":"p","resourceVersion":"4","ownerReferences":[{"uid":"o","name":"n"}]}"#,
                true,
            ),
            (r#"{"name":"p","uid":"p","resourceVersion":"5","finalizers":["f"]}"#, true),
            (r#"{"name":"p","uid":"q","resourceVersion":"6","finalizers":["f"]}"#, true),
        ] {
            let m = meta(text);
            let (uid, revision) = (m.uid.clone(), m.resource_version);
            let changes = graph.upsert(&pods, &kind, m);
            let concerns = changes.iter().any(|c| matches!(c.kind, ChangeKind::Graph { .. }));
            assert_eq!(concerns, told, "{text}");
            assert_eq!(changes.len(), if revision == 6 { 2 } else { 1 }, "{text}");
            assert_eq!(graph.get(&uid).map(|n| n.resource_version), Some(revision), "{text}");
        }
    }

    #[test]
    fn an_object_that_is_followed_in_another_version_is_not_gone() {
        let (old, new) = (Gvr::new("g", "v1beta1", "things"), Gvr::new("g", "v1", "things"));
        let (old, new, kind) = (Arc::new(old), Arc::new(new), Arc::from("Thing"));
        let mut graph = Graph::default();
        let thing = || meta(r#"{"name":"t","uid":"t","resourceVersion":"1"}"#);
        graph.upsert(&old, &kind, thing());
        graph.upsert(&new, &kind, thing());
        assert!(graph.forget(&old).is_empty());
        assert_eq!(graph.get("t").map(|n| n.gvr.clone()), Some(new));
    }
}
