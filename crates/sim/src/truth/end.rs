//! What must hold when faults have ended and everything had its time: nothing is missing, nothing is left.

use std::collections::{BTreeMap, BTreeSet};

use controllers::apps::types::Deployment;
use reconcile::{Key, StrMap};
use serde_json::Value;

use super::{DeploymentTruth, PodTruth, Truth, rules};

type Rest = Result<(), String>;

impl Truth {
    /// Whether the cluster is at rest where it should be.
    ///
    /// # Errors
    /// The first thing that is not.
    pub fn converged(&self) -> Rest {
        self.owners()?;
        for (key, o) in &self.all {
            if o.meta.deleting() {
                return Err(format!("{key} is still being deleted, finalizers {:?}", o.meta.finalizers));
            }
        }
        for p in self.pods.values() {
            self.pod_at_rest(p)?;
        }
        for d in self.deployments.values() {
            self.deployment_at_rest(d)?;
        }
        for (key, s) in &self.sets {
            if s.set.metadata.controller().is_none() {
                return Err(format!("replica set {key} belongs to nobody"));
            }
        }
        for (name, n) in &self.nodes {
            if !n.ready || n.tainted || n.unschedulable {
                return Err(format!("node {name}: ready {}, tainted {}", n.ready, n.tainted));
            }
        }
        self.leases()?;
        self.endpoints()
    }

    /// Every owner that is named is there: what had none left is collected.
    fn owners(&self) -> Rest {
        let uids: BTreeSet<&str> = self.all.values().map(|o| &*o.meta.uid).collect();
        for (key, o) in &self.all {
            let owners = &o.meta.owner_references;
            if !owners.is_empty() && !owners.iter().any(|r| uids.contains(&*r.uid)) {
                return Err(format!("{key} is left although its owner {} is gone", owners[0].name));
            }
        }
        Ok(())
    }

    fn pod_at_rest(&self, p: &PodTruth) -> Rest {
        let key = p.pod.metadata.key();
        if p.pod.metadata.controller().is_none() {
            return Err(format!("pod {key} belongs to nobody"));
        }
        let node = &*p.pod.spec.node_name;
        if !self.nodes.contains_key(node) {
            return Err(format!("pod {key} is bound to {node:?}, which is not there"));
        }
        if p.pod.finished() || !p.pod.ready() {
            return Err(format!("pod {key} on {node} is {} and not ready", p.pod.status.phase));
        }
        Ok(())
    }

    fn deployment_at_rest(&self, truth: &DeploymentTruth) -> Rest {
        let d = &truth.deployment;
        let (key, n) = (d.metadata.key(), d.replicas());
        let s = &d.status;
        let numbers = [s.replicas, s.updated_replicas, s.ready_replicas, s.available_replicas];
        if s.observed_generation != d.metadata.generation || numbers.iter().any(|x| *x != n) {
            return Err(format!(
                "deployment {key} wants {n}: replicas, updated, ready, available are {numbers:?}, generation {} seen {}",
                d.metadata.generation, s.observed_generation
            ));
        }
        if s.unavailable_replicas != 0 {
            return Err(format!("deployment {key} counts {} unavailable pods", s.unavailable_replicas));
        }
        let mut idle = 0;
        let mut total = 0;
        for set in self.sets_of(&d.metadata.uid) {
            let wants = usize::try_from(set.replicas.now).unwrap_or(0);
            let has = self.pods_of(&set.set.metadata.uid).count();
            if wants != has {
                return Err(format!(
                    "replica set {} wants {wants} pods and has {has}",
                    set.set.metadata.name
                ));
            }
            let st = &set.set.status;
            if usize::try_from(st.replicas).ok() != Some(has) || st.available_replicas != st.replicas {
                return Err(format!("the status of replica set {} is behind", set.set.metadata.name));
            }
            idle += usize::from(wants == 0);
            total += has;
        }
        if i32::try_from(total).ok() != Some(n) {
            return Err(format!("deployment {key} wants {n} pods and has {total}"));
        }
        let kept = d.spec.revision_history_limit.unwrap_or(10);
        if i32::try_from(idle).unwrap_or(i32::MAX) > kept.saturating_add(i32::from(n == 0)) {
            return Err(format!("deployment {key} keeps {idle} old replica sets, {kept} are asked for"));
        }
        Ok(())
    }

    fn leases(&self) -> Rest {
        let heartbeats = self.all.iter().filter(|(_, o)| &*o.meta.namespace == "kube-node-lease");
        for (key, o) in heartbeats.filter(|(_, o)| &*o.kind == "Lease") {
            if !self.nodes.contains_key(&*o.meta.name) {
                return Err(format!("{key} is left although its node is gone"));
            }
        }
        Ok(())
    }

    /// The endpoint slices of a service lead to its ready pods and nowhere else.
    fn endpoints(&self) -> Rest {
        let mut found: BTreeMap<Key, BTreeSet<String>> = BTreeMap::new();
        for (key, slice) in &self.slices {
            let text = |p: &str| slice.pointer(p).and_then(Value::as_str).unwrap_or_default();
            let service =
                Key::new(text("/metadata/namespace"), text("/metadata/labels/kubernetes.io~1service-name"));
            if !self.services.contains_key(&service) {
                return Err(format!("{key} is left although its service is gone"));
            }
            let into = found.entry(service).or_default();
            for e in slice["endpoints"].as_array().into_iter().flatten() {
                if e["conditions"]["ready"] == true {
                    let addresses = e["addresses"].as_array().into_iter().flatten();
                    into.extend(addresses.filter_map(Value::as_str).map(str::to_owned));
                }
            }
        }
        for (key, service) in &self.services {
            let Some(selector) = service["spec"]["selector"].as_object().filter(|s| !s.is_empty()) else {
                continue;
            };
            let selector: StrMap =
                selector.iter().map(|(k, v)| (k.as_str(), v.as_str().unwrap_or_default())).collect();
            let matches = |p: &&PodTruth| {
                p.pod.metadata.namespace == key.namespace
                    && selector.iter().all(|(k, v)| p.pod.metadata.labels.get(k) == Some(v))
            };
            let ready = self.pods.values().filter(matches).filter(|p| p.pod.ready());
            let want: BTreeSet<String> = ready.map(|p| p.pod.status.pod_ip.to_string()).collect();
            let has = found.remove(key).unwrap_or_default();
            if want != has {
                return Err(format!("service {key} leads to {has:?}, its ready pods are {want:?}"));
            }
        }
        Ok(())
    }

    /// Deployments that are there and not being deleted.
    pub fn live_deployments(&self) -> impl Iterator<Item = &Deployment> {
        self.deployments.values().map(|d| &d.deployment).filter(|d| !d.metadata.deleting())
    }

    /// Whether a store key is that of a heartbeat, which never rests.
    #[must_use]
    pub fn is_heartbeat(key: &str) -> bool {
        rules::heartbeat(key)
    }
}
