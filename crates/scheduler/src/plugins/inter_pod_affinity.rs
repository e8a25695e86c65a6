//! Pods that want to be near or far from other pods, and placed pods that keep others away.
// k8s: pkg/scheduler/framework/plugins/interpodaffinity/{filtering,scoring}.go

use std::collections::{HashMap, HashSet};

use crate::framework::{ClusterEvent, MAX_SCORE, Plugin, Rejection, State};
use crate::model::{PodAffinity, PodTerm};
use crate::pod::PodInfo;
use crate::snapshot::{NodeInfo, Snapshot};

pub struct InterPodAffinity;

const NAME: &str = "InterPodAffinity";

/// A topology domain: label key and value.
type Domain = (Box<str>, Box<str>);

#[derive(Default)]
struct Required {
    /// Domains that placed pods keep this pod out of.
    repelled: HashSet<Domain>,
    /// Domains with a pod that this pod keeps away from.
    avoided: HashSet<Domain>,
    /// For each affinity term the domains that have a matching pod.
    wanted: Vec<(Box<str>, HashSet<Box<str>>)>,
    /// The first pod of a group may go anywhere.
    first_of_group: bool,
}

fn matches(term: &PodTerm, owner: &PodInfo, other: &PodInfo) -> bool {
    let namespace: &str = &other.key.namespace;
    let all = term.namespace_selector.as_ref().is_some_and(reconcile::LabelSelector::is_empty);
    let own = term.namespaces.is_empty() && term.namespace_selector.is_none();
    let in_scope = all
        || term.namespaces.iter().any(|n| **n == *namespace)
        || (own && owner.key.namespace == other.key.namespace);
    in_scope && term.label_selector.as_ref().is_some_and(|s| s.matches(&other.labels))
}

fn affinity(pod: &PodInfo) -> Option<&PodAffinity> {
    pod.affinity.as_ref()?.pod_affinity.as_ref()
}

fn anti_affinity(pod: &PodInfo) -> Option<&PodAffinity> {
    pod.affinity.as_ref()?.pod_anti_affinity.as_ref()
}

fn required(a: Option<&PodAffinity>) -> &[PodTerm] {
    a.map_or(&[], |a| &a.required)
}

fn repelled(pod: &PodInfo, snapshot: &Snapshot) -> HashSet<Domain> {
    let mut out = HashSet::new();
    for (uid, node) in &snapshot.repelling {
        let Some(node) = snapshot.node(node) else { continue };
        let Some(other) = node.pods.get(uid) else { continue };
        for term in required(anti_affinity(other)).iter().filter(|t| matches(t, other, pod)) {
            if let Some(value) = node.label(&term.topology_key) {
                out.insert((term.topology_key.clone(), value.into()));
            }
        }
    }
    out
}

impl Plugin for InterPodAffinity {
    fn name(&self) -> &'static str {
        NAME
    }

    fn pre_filter(&self, pod: &PodInfo, snapshot: &Snapshot) -> Option<State> {
        let (near, far) = (required(affinity(pod)), required(anti_affinity(pod)));
        let mut state = Required { repelled: repelled(pod, snapshot), ..Required::default() };
        if near.is_empty() && far.is_empty() && state.repelled.is_empty() {
            return None;
        }
        state.wanted = near.iter().map(|t| (t.topology_key.clone(), HashSet::new())).collect();
        for (node, other) in snapshot.pods() {
            for term in far.iter().filter(|t| matches(t, pod, other)) {
                if let Some(value) = node.label(&term.topology_key) {
                    state.avoided.insert((term.topology_key.clone(), value.into()));
                }
            }
            if near.is_empty() || !near.iter().all(|t| matches(t, pod, other)) {
                continue;
            }
            for (key, domains) in &mut state.wanted {
                if let Some(value) = node.label(key) {
                    domains.insert(value.into());
                }
            }
        }
        state.first_of_group =
            state.wanted.iter().all(|(_, d)| d.is_empty()) && near.iter().all(|t| matches(t, pod, pod));
        Some(Box::new(state))
    }

    fn filter(&self, _pod: &PodInfo, node: &NodeInfo, state: &State) -> Result<(), Rejection> {
        let Some(state) = state.downcast_ref::<Required>() else { return Ok(()) };
        let in_domain = |(key, value): &Domain| node.label(key) == Some(value);
        for (key, domains) in &state.wanted {
            let near = node.label(key).is_some_and(|v| domains.contains(v) || state.first_of_group);
            if !near {
                return Err(Rejection::unresolvable(NAME, "node(s) didn't match pod affinity rules"));
            }
        }
        if state.avoided.iter().any(in_domain) {
            return Err(Rejection::new(NAME, "node(s) didn't match pod anti-affinity rules"));
        }
        if state.repelled.iter().any(in_domain) {
            return Err(Rejection::new(NAME, "node(s) didn't satisfy existing pods anti-affinity rules"));
        }
        Ok(())
    }

    fn weight(&self) -> i64 {
        2
    }

    fn pre_score(&self, pod: &PodInfo, snapshot: &Snapshot, _feasible: &[usize]) -> Option<State> {
        let near = affinity(pod).map_or(&[][..], |a| &a.preferred);
        let far = anti_affinity(pod).map_or(&[][..], |a| &a.preferred);
        if near.is_empty() && far.is_empty() {
            return None;
        }
        let mut scores: HashMap<Domain, i64> = HashMap::new();
        for (node, other) in snapshot.pods() {
            let terms = near.iter().map(|t| (t, 1)).chain(far.iter().map(|t| (t, -1)));
            for (term, sign) in terms.filter(|(t, _)| matches(&t.pod_affinity_term, pod, other)) {
                let key = &term.pod_affinity_term.topology_key;
                if let Some(value) = node.label(key) {
                    *scores.entry((key.clone(), value.into())).or_default() += sign * term.weight;
                }
            }
        }
        (!scores.is_empty()).then(|| Box::new(scores) as State)
    }

    fn score(&self, _pod: &PodInfo, node: &NodeInfo, state: &State) -> i64 {
        let Some(scores) = state.downcast_ref::<HashMap<Domain, i64>>() else { return 0 };
        scores.iter().filter(|((key, value), _)| node.label(key) == Some(value)).map(|(_, s)| s).sum()
    }

    fn normalize(&self, scores: &mut [i64]) {
        let (min, max) =
            (scores.iter().copied().min().unwrap_or(0), scores.iter().copied().max().unwrap_or(0));
        for s in scores {
            *s = if max == min { 0 } else { MAX_SCORE * (*s - min) / (max - min) };
        }
    }

    fn helped_by(&self, event: ClusterEvent) -> bool {
        !matches!(event, ClusterEvent::NodeAllocatable | ClusterEvent::NodeTaints)
    }
}
