//! Pods that want to be near or far from other pods, and placed pods that want the same of the pod in question.
// k8s: pkg/scheduler/framework/plugins/interpodaffinity/{filtering,scoring}.go

use crate::columns::{Columns, Tally};
use crate::framework::{ClusterEvent, MAX_SCORE, Plugin, Rejection};
use crate::model::{PodTerm, PreferredPodTerm};
use crate::pod::{Identity, Part, PodInfo, Wants};
use crate::snapshot::{Namespaces, World};

pub struct InterPodAffinity;

const NAME: &str = "InterPodAffinity";
/// What a required term of a placed pod counts in scores.
const HARD_WEIGHT: i64 = 1;

static NOT_NEAR: Rejection = Rejection::unresolvable(NAME, "node(s) didn't match pod affinity rules");
static NOT_FAR: Rejection = Rejection::new(NAME, "node(s) didn't match pod anti-affinity rules");
static REPELLED: Rejection = Rejection::new(NAME, "node(s) didn't satisfy existing pods anti-affinity rules");

impl Plugin for InterPodAffinity {
    fn name(&self) -> &'static str {
        NAME
    }

    fn weight(&self) -> i64 {
        2
    }

    fn normalize(&self, scores: &mut [i64]) {
        let (min, max) =
            (scores.iter().copied().min().unwrap_or(0), scores.iter().copied().max().unwrap_or(0));
        for s in scores {
            let part = (*s - min) as f64 / (max - min) as f64;
            *s = if max == min { 0 } else { (MAX_SCORE as f64 * part) as i64 };
        }
    }

    fn helped_by(&self, event: ClusterEvent) -> bool {
        !matches!(event, ClusterEvent::NodeAllocatable | ClusterEvent::NodeTaints)
    }
}

/// Whether a term of a pod in namespace `owner` means the pod that `other` describes.
fn matches(term: &PodTerm, owner: &str, other: &Identity, namespaces: &Namespaces) -> bool {
    let in_scope = if term.namespaces.is_empty() && term.namespace_selector.is_none() {
        *other.namespace == *owner
    } else {
        term.namespaces.iter().any(|n| **n == *other.namespace)
            || term.namespace_selector.as_ref().is_some_and(|s| namespaces.selected(s, &other.namespace))
    };
    in_scope && term.label_selector.as_ref().is_some_and(|s| s.matches(&other.labels))
}

/// Numbers by topology key and domain.
#[derive(Debug, Default)]
struct ByKey(Vec<(usize, Tally)>);

impl ByKey {
    fn add(&mut self, column: usize, domain: usize, amount: i64) {
        match self.0.iter_mut().find(|(c, _)| *c == column) {
            Some((_, tally)) => tally.add(domain, amount),
            None => {
                let mut tally = Tally::default();
                tally.add(domain, amount);
                self.0.push((column, tally));
            }
        }
    }

    fn get(&self, column: usize, domain: usize) -> i64 {
        self.0.iter().find(|(c, _)| *c == column).map_or(0, |(_, t)| t.get(domain))
    }

    fn any(&self, slot: usize, columns: &Columns) -> bool {
        self.0.iter().any(|(c, t)| columns.at(*c, slot).is_some_and(|d| t.get(d) > 0))
    }

    fn add_to(&self, scores: &mut [i64], feasible: &[usize], columns: &Columns) {
        for (column, tally) in &self.0 {
            for (score, slot) in scores.iter_mut().zip(feasible) {
                *score += columns.at(*column, *slot).map_or(0, |d| tally.get(d));
            }
        }
    }
}

/// Where the pods are that equal pods want to be near or far from.
#[derive(Debug)]
pub struct Sought {
    wants: Part<Wants>,
    /// The topology key of each required term, and of each preferred one with its weight.
    near: Vec<usize>,
    far: Vec<usize>,
    liked: Vec<(usize, i64)>,
    disliked: Vec<(usize, i64)>,
    near_pods: ByKey,
    /// All pods in `near_pods`.
    near_total: i64,
    far_pods: ByKey,
    scores: ByKey,
}

impl Sought {
    /// Without pods yet; `None` when there are no terms.
    pub fn new(wants: &Part<Wants>, world: &mut World) -> Option<Self> {
        if !wants.has_terms() {
            return None;
        }
        let mut of = |term: &PodTerm| world.columns.of(&term.topology_key, world.nodes);
        let near = wants.near.required.iter().map(&mut of).collect();
        let far = wants.far.required.iter().map(&mut of).collect();
        let mut weighed = |t: &PreferredPodTerm| (of(&t.pod_affinity_term), t.weight);
        let liked = wants.near.preferred.iter().map(&mut weighed).collect();
        let disliked = wants.far.preferred.iter().map(&mut weighed).collect();
        Some(Sought {
            wants: wants.clone(),
            near,
            far,
            liked,
            disliked,
            near_pods: ByKey::default(),
            near_total: 0,
            far_pods: ByKey::default(),
            scores: ByKey::default(),
        })
    }
}

impl Sought {
    /// Pods came to slots or go from them: how many to or from each.
    pub fn pods(
        &mut self,
        identity: &Identity,
        slots: impl Iterator<Item = (usize, i64)> + Clone,
        columns: &Columns,
        namespaces: &Namespaces,
    ) {
        let Sought { wants, near_pods, near_total, far_pods, scores, .. } = self;
        let means = |term: &PodTerm| matches(term, &wants.namespace, identity, namespaces);
        let domains = |column: usize| {
            slots.clone().filter_map(move |(slot, pods)| Some((columns.at(column, slot)?, pods)))
        };
        if !self.near.is_empty() && wants.near.required.iter().all(means) {
            for column in &self.near {
                for (domain, pods) in domains(*column) {
                    near_pods.add(*column, domain, pods);
                    *near_total += pods;
                }
            }
        }
        for (_, column) in wants.far.required.iter().zip(&self.far).filter(|(t, _)| means(t)) {
            domains(*column).for_each(|(domain, pods)| far_pods.add(*column, domain, pods));
        }
        for (terms, keys, sign) in
            [(&wants.near.preferred, &self.liked, 1), (&wants.far.preferred, &self.disliked, -1)]
        {
            for (_, (column, weight)) in terms.iter().zip(keys).filter(|(t, _)| means(&t.pod_affinity_term)) {
                domains(*column).for_each(|(d, pods)| scores.add(*column, d, sign * weight * pods));
            }
        }
    }

    /// Whether the pod may be the first of a group that wants to be together.
    #[must_use]
    pub fn first(&self, pod: &PodInfo, namespaces: &Namespaces) -> bool {
        let means = |term: &PodTerm| matches(term, &self.wants.namespace, &pod.identity, namespaces);
        !self.near.is_empty() && self.near_total == 0 && self.wants.near.required.iter().all(means)
    }

    /// Whether a pod may go to the node.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, slot: usize, first: bool, columns: &Columns) -> Result<(), &'static Rejection> {
        for column in &self.near {
            let domain = columns.at(*column, slot).ok_or(&NOT_NEAR)?;
            if !first && self.near_pods.get(*column, domain) <= 0 {
                return Err(&NOT_NEAR);
            }
        }
        if self.far_pods.any(slot, columns) { Err(&NOT_FAR) } else { Ok(()) }
    }

    /// Adds raw scores.
    pub fn score(&self, scores: &mut [i64], feasible: &[usize], columns: &Columns) {
        self.scores.add_to(scores, feasible, columns);
    }

    /// Whether terms look at labels of namespaces.
    #[must_use]
    pub fn reads_namespaces(&self) -> bool {
        let reads = |t: &PodTerm| t.namespace_selector.as_ref().is_some_and(|s| !s.is_empty());
        self.wants.terms().any(reads)
    }
}

/// Where the pods are that want pods of one identity near or far.
#[derive(Debug)]
pub struct Seekers {
    identity: Part<Identity>,
    repelled: ByKey,
    scores: ByKey,
}

impl Seekers {
    /// Without pods yet.
    #[must_use]
    pub fn new(identity: &Part<Identity>) -> Self {
        Seekers { identity: identity.clone(), repelled: ByKey::default(), scores: ByKey::default() }
    }

    /// Pods with these wants came to slots, or go from them: how many to or from each.
    pub fn pods(&mut self, wants: &Wants, slots: &[(usize, i64)], world: &mut World) {
        let Seekers { identity, repelled, scores } = self;
        let mut count = |term: &PodTerm, weight: i64, into: &mut ByKey| {
            if !matches(term, &wants.namespace, identity, world.namespaces) {
                return;
            }
            let column = world.columns.of(&term.topology_key, world.nodes);
            for (slot, pods) in slots {
                if let Some(domain) = world.columns.at(column, *slot) {
                    into.add(column, domain, pods * weight);
                }
            }
        };
        wants.far.required.iter().for_each(|t| count(t, 1, repelled));
        wants.near.required.iter().for_each(|t| count(t, HARD_WEIGHT, scores));
        wants.near.preferred.iter().for_each(|t| count(&t.pod_affinity_term, t.weight, scores));
        wants.far.preferred.iter().for_each(|t| count(&t.pod_affinity_term, -t.weight, scores));
    }

    /// Whether the pod may go to the node.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, slot: usize, columns: &Columns) -> Result<(), &'static Rejection> {
        if self.repelled.any(slot, columns) { Err(&REPELLED) } else { Ok(()) }
    }

    /// Adds raw scores.
    pub fn score(&self, scores: &mut [i64], feasible: &[usize], columns: &Columns) {
        self.scores.add_to(scores, feasible, columns);
    }
}
