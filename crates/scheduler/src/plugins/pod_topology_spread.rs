//! Topology spread constraints; for pods without any, a soft spread over nodes and zones among the pods of
//! the same owner (upstream derives the same defaults from Services and controllers).
// k8s: pkg/scheduler/framework/plugins/podtopologyspread/{filtering,scoring}.go

use std::collections::BTreeMap;
use std::sync::Arc;

use reconcile::LabelSelector;

use crate::columns::{Columns, Tally};
use crate::framework::{ClusterEvent, MAX_SCORE, Plugin, Rejection};
use crate::model::SpreadConstraint;
use crate::plugins::{node_affinity, taint_toleration};
use crate::pod::{Identity, Part, PodInfo, Wants};
use crate::snapshot::{NodeInfo, World};

pub struct PodTopologySpread;

const NAME: &str = "PodTopologySpread";
const HOSTNAME: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";
/// Topology keys and skews of pods that do not say how to spread.
const DEFAULTS: [(&str, i64); 2] = [(HOSTNAME, 3), (ZONE, 5)];

static NO_LABEL: Rejection = Rejection::unresolvable(
    NAME,
    "node(s) didn't match pod topology spread constraints (missing required label)",
);
static SKEWED: Rejection = Rejection::new(NAME, "node(s) didn't match pod topology spread constraints");

impl Plugin for PodTopologySpread {
    fn name(&self) -> &'static str {
        NAME
    }

    fn weight(&self) -> i64 {
        2
    }

    fn helped_by(&self, event: ClusterEvent) -> bool {
        event != ClusterEvent::NodeAllocatable
    }
}

/// Which pods count.
#[derive(Debug)]
enum Counted {
    Labels(Option<LabelSelector>),
    /// Those of one owner.
    Siblings(Arc<str>),
}

impl Counted {
    fn counts(&self, identity: &Identity, wants: &Wants) -> bool {
        match self {
            Counted::Labels(Some(s)) => !s.is_empty() && s.matches(&identity.labels),
            Counted::Labels(None) => false,
            Counted::Siblings(owner) => wants.siblings == *owner,
        }
    }

    /// Whether the pod itself will count.
    fn takes(&self, pod: &PodInfo) -> bool {
        match self {
            Counted::Labels(selector) => selector.as_ref().is_some_and(|s| s.matches(&pod.identity.labels)),
            Counted::Siblings(_) => true,
        }
    }
}

/// The counts of one constraint.
#[derive(Debug)]
struct Constraint {
    column: usize,
    hostname: bool,
    counted: Counted,
    max_skew: i64,
    min_domains: usize,
    by_affinity: bool,
    by_taints: bool,
    /// Every node with the label counts, so that no account of nodes is kept.
    open: bool,
    /// Matching pods by domain.
    pods: Tally,
    /// How many domains have how many pods, not counting those without any.
    levels: BTreeMap<i64, usize>,
    /// How many domains have pods.
    occupied: usize,
    /// By domain how many nodes count, and how many domains have one. Not when open.
    nodes: Tally,
    present: usize,
    /// Whether the node in the slot counts. Not when open.
    eligible: Vec<bool>,
    /// Matching pods by slot, whether the node counts or not. For host names only.
    on_node: Tally,
}

impl Constraint {
    fn new(column: usize, key: &str, counted: Counted, max_skew: i64) -> Self {
        Constraint {
            column,
            hostname: key == HOSTNAME,
            counted,
            max_skew,
            min_domains: 1,
            by_affinity: true,
            by_taints: false,
            open: true,
            pods: Tally::default(),
            levels: BTreeMap::new(),
            occupied: 0,
            nodes: Tally::default(),
            present: 0,
            eligible: Vec::new(),
            on_node: Tally::default(),
        }
    }

    fn of(c: &SpreadConstraint, world: &mut World) -> Self {
        let column = world.columns.of(&c.topology_key, world.nodes);
        let counted = Counted::Labels(c.label_selector.clone());
        Constraint {
            min_domains: c.min_domains.and_then(|n| usize::try_from(n).ok()).unwrap_or(1),
            by_affinity: c.node_affinity_policy.as_deref() != Some("Ignore"),
            by_taints: c.node_taints_policy.as_deref() == Some("Honor"),
            ..Constraint::new(column, &c.topology_key, counted, c.max_skew)
        }
    }

    /// Nodes that count came to a domain (1) or go (-1).
    fn add_node(&mut self, domain: usize, sign: i64) {
        let before = self.nodes.get(domain) > 0;
        self.nodes.add(domain, sign);
        match (before, self.nodes.get(domain) > 0) {
            (false, true) => self.present += 1,
            (true, false) => self.present -= 1,
            _ => {}
        }
    }

    /// Matching pods came to a domain or go.
    fn add_pods(&mut self, domain: usize, pods: i64) {
        let before = self.pods.get(domain);
        if before > 0
            && let Some(n) = self.levels.get_mut(&before)
        {
            self.occupied -= 1;
            *n -= 1;
            if *n == 0 {
                self.levels.remove(&before);
            }
        }
        self.pods.add(domain, pods);
        if before + pods > 0 {
            self.occupied += 1;
            *self.levels.entry(before + pods).or_default() += 1;
        }
    }

    fn admits(&self, wants: &Wants, node: &NodeInfo) -> bool {
        let Some(needs) = &wants.nodes else { return true };
        (!self.by_affinity || node_affinity::allowed(needs, node))
            && (!self.by_taints || taint_toleration::untolerated(needs, node).is_none())
    }

    /// The most pods that a domain may have for one more.
    fn limit(&self, pod: &PodInfo, columns: &Columns) -> i64 {
        let present = if self.open { columns.present(self.column) } else { self.present };
        let least = if present < self.min_domains || self.occupied < present {
            0
        } else {
            self.levels.keys().next().copied().unwrap_or(i64::from(i32::MAX))
        };
        self.max_skew.saturating_add(least).saturating_sub(i64::from(self.counted.takes(pod)))
    }
}

/// The counts of all constraints of pods with equal wants.
#[derive(Debug)]
pub struct Spread {
    wants: Part<Wants>,
    hard: Vec<Constraint>,
    soft: Vec<Constraint>,
}

impl Spread {
    /// Without nodes and pods yet; `None` when nothing is to be spread.
    pub fn new(wants: &Part<Wants>, world: &mut World) -> Option<Self> {
        let (mut hard, mut soft) = (Vec::new(), Vec::new());
        for c in &wants.spread {
            let group = if &*c.when_unsatisfiable == "ScheduleAnyway" { &mut soft } else { &mut hard };
            group.push(Constraint::of(c, world));
        }
        if !wants.siblings.is_empty() {
            soft.extend(DEFAULTS.iter().map(|(key, skew)| {
                let column = world.columns.of(key, world.nodes);
                Constraint::new(column, key, Counted::Siblings(wants.siblings.clone()), *skew)
            }));
        }
        let picky = wants.nodes.as_ref().is_some_and(|n| {
            !n.node_selector.is_empty() || n.node_affinity.as_ref().is_some_and(|a| a.required.is_some())
        });
        for group in [&mut hard, &mut soft] {
            // With several keys a node needs all the labels, unless the pod does not say how to spread.
            let single = group.len() == 1 || !wants.siblings.is_empty();
            group.iter_mut().for_each(|c| c.open = single && !c.by_taints && !(picky && c.by_affinity));
        }
        (!hard.is_empty() || !soft.is_empty()).then(|| Spread { wants: wants.clone(), hard, soft })
    }

    /// Whether nodes count only with all the labels. Not so for pods that do not say how to spread.
    fn needs_all(&self) -> bool {
        self.wants.siblings.is_empty()
    }

    /// A node came.
    pub fn node_in(&mut self, slot: usize, node: &NodeInfo, columns: &Columns) {
        let needs_all = self.needs_all();
        for group in [&mut self.hard, &mut self.soft] {
            let complete = !needs_all || group.iter().all(|c| columns.at(c.column, slot).is_some());
            for c in group.iter_mut().filter(|c| !c.open) {
                let domain = columns.at(c.column, slot).filter(|_| complete && c.admits(&self.wants, node));
                if c.eligible.len() <= slot {
                    c.eligible.resize(slot + 1, false);
                }
                c.eligible[slot] = domain.is_some();
                if let Some(domain) = domain {
                    c.add_node(domain, 1);
                }
            }
        }
    }

    /// A node goes; its pods have gone before.
    pub fn node_out(&mut self, slot: usize, columns: &Columns) {
        for c in self.hard.iter_mut().chain(&mut self.soft) {
            let counted = c.eligible.get_mut(slot).is_some_and(std::mem::take);
            if let Some(domain) = columns.at(c.column, slot).filter(|_| counted) {
                c.add_node(domain, -1);
            }
        }
    }

    /// Whether all nodes need to be looked at to begin with.
    #[must_use]
    pub fn counts_nodes(&self) -> bool {
        self.hard.iter().chain(&self.soft).any(|c| !c.open)
    }

    /// Pods that stay came to slots or go from them: how many to or from each.
    pub fn pods(
        &mut self,
        identity: &Identity,
        wants: &Wants,
        slots: impl Iterator<Item = (usize, i64)> + Clone,
        columns: &Columns,
    ) {
        if identity.namespace != self.wants.namespace {
            return;
        }
        for c in self.hard.iter_mut().chain(&mut self.soft) {
            if !c.counted.counts(identity, wants) {
                continue;
            }
            for (slot, pods) in slots.clone() {
                if c.hostname {
                    c.on_node.add(slot, pods);
                }
                if let Some(domain) = columns.at(c.column, slot)
                    && (c.open || c.eligible.get(slot) == Some(&true))
                {
                    c.add_pods(domain, pods);
                }
            }
        }
    }

    /// What [`Spread::check`] compares with, for one pod.
    #[must_use]
    pub fn limits(&self, pod: &PodInfo, columns: &Columns) -> Vec<i64> {
        self.hard.iter().map(|c| c.limit(pod, columns)).collect()
    }

    /// Whether the pod may go to the node.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, slot: usize, limits: &[i64], columns: &Columns) -> Result<(), &'static Rejection> {
        for (c, limit) in self.hard.iter().zip(limits) {
            let domain = columns.at(c.column, slot).ok_or(&NO_LABEL)?;
            if c.pods.get(domain) > *limit {
                return Err(&SKEWED);
            }
        }
        Ok(())
    }

    /// Scores of 0..=100: the fewer matching pods in a node's domains, the better. `None` without soft constraints.
    #[must_use]
    pub fn scores(&self, feasible: &[usize], columns: &Columns) -> Option<Vec<i64>> {
        if self.soft.is_empty() {
            return None;
        }
        let needs_all = self.needs_all();
        let scored =
            |slot: usize| !needs_all || self.soft.iter().all(|c| columns.at(c.column, slot).is_some());
        let scored: Vec<bool> = feasible.iter().map(|slot| scored(*slot)).collect();
        let mut raw = vec![0.0_f64; feasible.len()];
        for c in &self.soft {
            let weight = weight(c.domains_of(feasible, &scored, columns));
            for (score, slot) in raw.iter_mut().zip(feasible) {
                let Some(domain) = columns.at(c.column, *slot) else { continue };
                let here = if c.hostname { c.on_node.get(*slot) } else { c.pods.get(domain) };
                *score += here as f64 * weight + c.max_skew.saturating_sub(1) as f64;
            }
        }
        let raw: Vec<i64> = raw.iter().map(|s| s.round() as i64).collect();
        Some(normalized(&raw, &scored))
    }
}

impl Constraint {
    /// How many domains the feasible nodes are in. Nodes without the label are one of them together.
    fn domains_of(&self, feasible: &[usize], scored: &[bool], columns: &Columns) -> usize {
        if self.hostname {
            return scored.iter().filter(|s| **s).count();
        }
        let mut seen = Vec::new();
        let mut count = 0;
        for (slot, _) in feasible.iter().zip(scored).filter(|(_, s)| **s) {
            let domain = columns.at(self.column, *slot).map_or(0, |d| d + 1);
            if seen.len() <= domain {
                seen.resize(domain + 1, false);
            }
            count += usize::from(!std::mem::replace(&mut seen[domain], true));
        }
        count
    }
}

/// Domains weigh by the logarithm of their number.
fn weight(domains: usize) -> f64 {
    (domains as f64 + 2.0).ln()
}

fn normalized(raw: &[i64], scored: &[bool]) -> Vec<i64> {
    let of = || raw.iter().zip(scored).filter(|(_, s)| **s).map(|(r, _)| *r);
    let (min, max) = (of().min().unwrap_or(0), of().max().unwrap_or(0));
    let one = |(raw, scored): (&i64, &bool)| match (*scored, max) {
        (false, _) => 0,
        (true, 0) => MAX_SCORE,
        (true, _) => MAX_SCORE * (max + min - raw) / max,
    };
    raw.iter().zip(scored).map(one).collect()
}
