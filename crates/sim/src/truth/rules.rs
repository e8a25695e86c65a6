//! The rules that hold at every change.

use controllers::apps::types::{Deployment, ReplicaSet};
use meta::IntOrString;
use reconcile::{Key, ObjectMeta, Partial};
use store::Event;

use super::{DeploymentTruth, Past, PodTruth, Truth, split};

type Kept = Result<(), String>;

/// `25%` rounded up or down, or a number.
fn scaled(v: Option<&IntOrString>, of: i64, up: bool) -> i64 {
    match v {
        Some(IntOrString::Int(n)) => i64::from(*n),
        Some(text) => {
            let percent: i64 = text.to_string().trim_end_matches('%').parse().unwrap_or(0);
            if up { (of * percent + 99) / 100 } else { of * percent / 100 }
        }
        None => scaled(Some(&IntOrString::from("25%")), of, up),
    }
}

/// The most and the fewest pods that the strategy allows.
pub(crate) fn bounds(d: &Deployment) -> (i64, i64) {
    let n = i64::from(d.spec.replicas.unwrap_or(1));
    if &*d.spec.strategy.kind == "Recreate" {
        return (n, 0);
    }
    let roll = d.spec.strategy.rolling_update.as_ref();
    let surge = scaled(roll.and_then(|r| r.max_surge.as_ref()), n, true);
    let mut missing = scaled(roll.and_then(|r| r.max_unavailable.as_ref()), n, false);
    if surge == 0 && missing == 0 {
        missing = 1;
    }
    (n + surge, (n - missing).max(0))
}

impl Truth {
    /// A namespaced object is made only in a namespace that is there and open.
    pub(super) fn created(&self, e: &Event, p: &Partial) -> Kept {
        let namespace = &p.metadata.namespace;
        if namespace.is_empty() {
            return Ok(());
        }
        match self.all.get(&format!("/registry/namespaces/{namespace}")) {
            None => Err(format!("{} was created and namespace {namespace} is not there", e.key)),
            Some(ns) if ns.meta.deleting() => {
                Err(format!("{} was created and namespace {namespace} is being deleted", e.key))
            }
            Some(_) => Ok(()),
        }
    }

    pub(super) fn pod_changed(&mut self, key: Key, mut new: PodTruth, at: i64) -> Kept {
        let was = self.pods.get(&key);
        new.bound = match was.filter(|o| o.pod.spec.node_name == new.pod.spec.node_name) {
            Some(o) => o.bound,
            None => (self.revision, self.sender.unheard()),
        };
        let old = self.pods.insert(key.clone(), new.clone());
        let meta = &new.pod.metadata;
        let old_node = old.as_ref().map_or("", |o| &*o.pod.spec.node_name).to_owned();
        if let Some(o) = &old
            && o.pod.metadata.uid != meta.uid
        {
            return Err(format!("pod {key} got another UID in place"));
        }
        let node = &*new.pod.spec.node_name;
        if node != old_node {
            if !old_node.is_empty() {
                return Err(format!("pod {key} went from node {old_node} to {node:?}"));
            }
            self.bound += 1;
            self.room(&key, node)?;
        }
        if old.is_none() {
            self.created += 1;
            // What a crashed process still had on the road its successor cannot know. A create that was repeated
            // can land a second time, late, when its pod has come and gone. The surplus is deleted.
            let unforeseen = self.sender.abandoned || (self.sender.late && self.gone.contains(&key));
            if !unforeseen {
                self.not_too_many(&key, meta)?;
            }
            return Ok(());
        }
        old.map_or(Ok(()), |old| self.availability(&old, Some(&new), at))
    }

    /// A node has room for all pods that are bound to it, as far as the scheduler can know: a bind that lands
    /// after its sender gave up cannot know who came in between, nor those who come before it is seen. The
    /// kubelet refuses what is too much.
    fn room(&self, key: &Key, name: &str) -> Kept {
        let Some(node) = self.nodes.get(name) else { return Ok(()) };
        let known = |p: &PodTruth| {
            let (at, unheard) = p.bound;
            at <= self.sender.seen.pods || !(unheard || self.sender.late) || p.info.key == *key
        };
        let here = |p: &&PodTruth| &*p.pod.spec.node_name == name && !p.pod.finished() && known(p);
        let here: Vec<&PodTruth> = self.pods.values().filter(here).collect();
        if i64::try_from(here.len()).unwrap_or(i64::MAX) > node.pods {
            return Err(format!(
                "{} pods are bound to {name}, the last {key}; it takes {}",
                here.len(),
                node.pods
            ));
        }
        let cpu: i64 = here.iter().map(|p| p.info.needs.requests.milli_cpu).sum();
        let memory: i64 = here.iter().map(|p| p.info.needs.requests.memory).sum();
        if cpu > node.room.milli_cpu || memory > node.room.memory {
            return Err(format!("{cpu}m CPU and {memory} bytes are asked of {name} since {key} was bound"));
        }
        for (i, a) in here.iter().enumerate() {
            for b in &here[..i] {
                if a.info.needs.ports.iter().any(|p| b.info.needs.ports.iter().any(|q| p.conflicts(q))) {
                    return Err(format!("{} and {} share a host port on {name}", a.info.key, b.info.key));
                }
            }
        }
        Ok(())
    }

    /// A replica set makes no pod beyond the number that it was told.
    fn not_too_many(&self, key: &Key, meta: &ObjectMeta) -> Kept {
        let Some(owner) = meta.controller().filter(|o| &*o.kind == "ReplicaSet") else { return Ok(()) };
        let Some(set) = self.sets.values().find(|s| s.set.metadata.uid == owner.uid) else { return Ok(()) };
        let active = self.pods_of(&owner.uid).filter(|p| p.pod.active()).count();
        let most = set.replicas.most(self.sender.seen.replica_sets);
        if i64::try_from(active).unwrap_or(i64::MAX) > most {
            return Err(format!(
                "pod {key} is number {active} of replica set {}, which wants {most}",
                owner.name
            ));
        }
        Ok(())
    }

    pub(super) fn set_changed(&mut self, key: Key, new: ReplicaSet) -> Kept {
        let old = self.sets.remove(&key).filter(|o| o.set.metadata.uid == new.metadata.uid);
        let wants = i64::from(new.spec.replicas.unwrap_or(1));
        let before = old.as_ref().map(|o| o.replicas.now);
        let owner = |r: &ReplicaSet| r.metadata.controller().map(|o| o.uid.clone());
        let was_owned = old.as_ref().and_then(|o| owner(&o.set));
        if let Some(o) = &old {
            let same = o.set.spec == new.spec;
            generation(&key, &o.set.metadata, &new.metadata, same)?;
        }
        let mut truth = old.unwrap_or_default();
        match before {
            Some(_) => truth.replicas.set(wants, self.revision),
            None => truth.replicas.now = wants,
        }
        truth.set = new;
        let owned = owner(&truth.set);
        let deployment = self.deployment_of(&truth.set.metadata);
        self.sets.insert(key.clone(), truth);
        let shrunk = before.is_some_and(|b| wants < b);
        if was_owned != owned || (shrunk && self.sender.unheard()) {
            self.unsettle(deployment);
        }
        let Some(uid) = owned else { return Ok(()) };
        let had = if was_owned.as_ref() == Some(&uid) { before.unwrap_or(0) } else { 0 };
        if wants > had && self.sender.unheard() {
            self.surprises.push((self.revision, uid.clone(), wants - had));
        }
        if wants > before.unwrap_or(0) { self.no_surge(&key, &uid) } else { Ok(()) }
    }

    /// What came to a deployment or a replica set without the knowledge of who decides next.
    fn surprise(&self, uid: &str, seen: u64) -> i64 {
        let new = self.surprises.iter().filter(|(at, of, _)| **of == *uid && *at > seen);
        new.map(|(_, _, n)| *n).sum()
    }

    /// The replica sets of a deployment together want no more than its strategy allows.
    fn no_surge(&self, key: &Key, uid: &str) -> Kept {
        let Some(d) = self.deployments.values().find(|d| *d.deployment.metadata.uid == *uid) else {
            return Ok(());
        };
        let seen = self.sender.seen;
        let wanted: i64 = self.sets_of(uid).map(|s| s.replicas.now).sum();
        let most = d.most.most(seen.deployments) + self.surprise(uid, seen.replica_sets);
        if wanted > most {
            let name = d.deployment.metadata.key();
            return Err(format!(
                "{key} grew: the replica sets of {name} want {wanted} pods, allowed are {most}"
            ));
        }
        Ok(())
    }

    pub(super) fn deployment_changed(&mut self, key: Key, new: Deployment, at: i64) -> Kept {
        let old = self.deployments.remove(&key).filter(|o| o.deployment.metadata.uid == new.metadata.uid);
        let (most, least) = bounds(&new);
        let mut truth = match old {
            Some(mut o) => {
                let annotations = |d: &Deployment| d.metadata.annotations.clone();
                // k8s: pkg/registry/apps/deployment/strategy.go PrepareForUpdate counts annotations too.
                let same = o.deployment.spec == new.spec && annotations(&o.deployment) == annotations(&new);
                generation(&key, &o.deployment.metadata, &new.metadata, same)?;
                o.most.set(most, self.revision);
                o
            }
            None => DeploymentTruth {
                most: Past { now: most, ..Past::default() },
                least,
                ..DeploymentTruth::default()
            },
        };
        let same = (truth.least, bounds(&truth.deployment).0) == (least, most);
        truth.settled = (truth.settled && same) || self.is_settled(&new, at);
        truth.least = least;
        truth.deployment = new;
        self.deployments.insert(key, truth);
        Ok(())
    }
}

/// A generation counts the changes of a spec, and only those.
fn generation(key: &Key, old: &ObjectMeta, new: &ObjectMeta, same_spec: bool) -> Kept {
    let began = old.deletion_timestamp.is_none() && new.deletion_timestamp.is_some();
    let steps = new.generation - old.generation;
    let good = if same_spec { steps == 0 || (began && steps == 1) } else { steps == 1 };
    if good {
        return Ok(());
    }
    let what = if same_spec { "did not change" } else { "changed" };
    Err(format!(
        "the spec of {key} {what} and its generation went from {} to {}",
        old.generation, new.generation
    ))
}

/// Whether the store key is one of a heartbeat.
#[must_use]
pub(super) fn heartbeat(key: &str) -> bool {
    matches!(split(key).0, "leases" | "minions" | "nodes")
}
