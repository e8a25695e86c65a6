//! The search for the best node for one pod.
// k8s: pkg/scheduler/schedule_one.go

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::framework::{FitError, Plugin, Rejection, Ties};
use crate::ledgers::{Around, Limits};
use crate::plugins::{self, AFFINITY, IMAGES, SCORING, SPREAD, image_locality, node_affinity};
use crate::pod::PodInfo;
use crate::sheets::Sheet;
use crate::snapshot::{NodeInfo, Snapshot, World};

const MIN_FEASIBLE_NODES: usize = 100;
const MIN_PERCENT: usize = 5;

/// Pods that nodes are being emptied for, by node.
pub type Nominated = BTreeMap<Box<str>, Vec<Arc<PodInfo>>>;

/// Counted for nodes that a pod does not even name.
static NOT_NAMED: Rejection =
    Rejection::unresolvable("NodeAffinity", "node(s) didn't satisfy plugin(s) [NodeAffinity]");

/// How many feasible nodes are enough to choose from.
// k8s: pkg/scheduler/schedule_one.go numFeasibleNodesToFind
fn enough(nodes: usize) -> usize {
    if nodes < MIN_FEASIBLE_NODES {
        return nodes;
    }
    let percent = 50_usize.saturating_sub(nodes / 125).max(MIN_PERCENT);
    (nodes * percent / 100).max(MIN_FEASIBLE_NODES)
}

/// What is said about a node.
enum Verdict {
    Fits,
    /// A number that the sheet knows.
    Needs(u16),
    Around(&'static Rejection),
    /// Pods that are to come to the node keep this one off.
    Guests(Rejection),
}

/// One pod, the cluster around it, and what is known already about pods like it.
pub struct Cycle<'a> {
    pub pod: &'a PodInfo,
    pub world: World<'a>,
    around: Around,
    limits: Limits,
    sheet: &'a mut Sheet,
    /// Pods of at least equal priority that are nominated to nodes, by slot.
    guests: HashMap<usize, Vec<Arc<PodInfo>>>,
    /// Which part of the nodes has each image of the pod; empty when none has any.
    images: Vec<f64>,
}

impl<'a> Cycle<'a> {
    /// Begins; [`Cycle::end`] gives back what must go back to the snapshot.
    pub fn new(
        pod: &'a PodInfo,
        snapshot: &'a mut Snapshot,
        sheet: &'a mut Sheet,
        nominated: &Nominated,
    ) -> Cycle<'a> {
        snapshot.settle();
        let mut guests = HashMap::new();
        for (node, pods) in nominated {
            let stronger = pods.iter().filter(|p| p.uid != pod.uid && p.priority >= pod.priority);
            let stronger: Vec<Arc<PodInfo>> = stronger.cloned().collect();
            if let Some(slot) = snapshot.slot(node).filter(|_| !stronger.is_empty()) {
                guests.insert(slot, stronger);
            }
        }
        let mut images: Vec<f64> = pod.needs.images.iter().map(|i| snapshot.image_part(i)).collect();
        if images.iter().all(|part| *part == 0.0) {
            images.clear();
        }
        let around = snapshot.around(pod);
        let world = snapshot.world();
        let limits = around.limits(pod, &world);
        Cycle { pod, world, around, limits, sheet, guests, images }
    }

    /// Ends the search.
    #[must_use]
    pub fn end(self) -> Around {
        self.around
    }

    fn judge(&mut self, slot: usize) -> Verdict {
        if !self.guests.is_empty()
            && self.guests.contains_key(&slot)
            && let Err(rejection) = self.with_guests(slot, &self.world.nodes[slot])
        {
            return Verdict::Guests(rejection);
        }
        let entry = self.sheet.look(&self.pod.needs, slot, &self.world.nodes[slot]);
        if entry.verdict != 0 {
            return Verdict::Needs(entry.verdict);
        }
        if self.around.is_empty() {
            return Verdict::Fits;
        }
        self.around.check(slot, &self.limits, &self.world).map_or_else(Verdict::Around, |()| Verdict::Fits)
    }

    /// Whether the pod fits when the pods that are to come have come.
    fn with_guests(&mut self, slot: usize, node: &NodeInfo) -> Result<(), Rejection> {
        let Some(guests) = self.guests.get(&slot) else { return Ok(()) };
        let mut node = node.clone();
        for guest in guests {
            node.add(guest.clone());
            self.around.pod(guest, slot, 1, &mut self.world);
        }
        let fits = self.fits_alone(slot, &node);
        for guest in self.guests.get(&slot).into_iter().flatten() {
            self.around.pod(guest, slot, -1, &mut self.world);
        }
        fits
    }

    fn fits_alone(&self, slot: usize, node: &NodeInfo) -> Result<(), Rejection> {
        plugins::filter(&self.pod.needs, node)?;
        let limits = self.around.limits(self.pod, &self.world);
        self.around.check(slot, &limits, &self.world).map_err(Clone::clone)
    }

    /// Whether the pod fits on a node that is changed for trial.
    ///
    /// # Errors
    /// Why not.
    pub fn fits(&mut self, slot: usize, node: &NodeInfo) -> Result<(), Rejection> {
        self.with_guests(slot, node)?;
        self.fits_alone(slot, node)
    }

    /// For trial, as if a pod had come (1) to the node in a slot or gone (-1) from it.
    pub fn assume(&mut self, pod: &PodInfo, slot: usize, sign: i64) {
        self.around.pod(pod, slot, sign, &mut self.world);
    }

    /// Finds the best node. `start` is where the search begins and is moved on, so that all nodes get their turn when
    /// not all are looked at. `nominated` is the node that was emptied for the pod.
    ///
    /// # Errors
    /// Why no node will do.
    pub fn search(
        &mut self,
        nominated: Option<usize>,
        start: &mut usize,
        ties: &mut Ties,
    ) -> Result<usize, FitError> {
        if let Some(slot) = nominated.filter(|slot| self.world.nodes[*slot].node.is_some())
            && matches!(self.judge(slot), Verdict::Fits)
        {
            return Ok(slot);
        }
        let named = node_affinity::named(&self.pod.needs);
        if named.as_ref().is_some_and(BTreeSet::is_empty) {
            return Err(FitError {
                nodes: self.world.order.len(),
                plugins: vec![NOT_NAMED.plugin],
                conflict: Some("pod affinity terms conflict"),
                ..FitError::default()
            });
        }
        let named: Option<Vec<usize>> =
            named.map(|names| names.into_iter().filter_map(|n| self.world.present(n)).collect());
        let slots = named.as_deref().unwrap_or(self.world.order);
        let wanted = enough(slots.len());
        let mut feasible = Vec::with_capacity(wanted);
        let from = if slots.is_empty() { 0 } else { *start % slots.len() };
        let mut looked = 0;
        for slot in slots[from..].iter().chain(&slots[..from]) {
            looked += 1;
            if matches!(self.judge(*slot), Verdict::Fits) {
                feasible.push(*slot);
                if feasible.len() >= wanted {
                    break;
                }
            }
        }
        *start = (*start + looked) % self.world.order.len().max(1);
        match feasible.as_slice() {
            [] => Err(self.error(slots)),
            [one] => Ok(*one),
            many => Ok(self.best(many, ties)),
        }
    }

    fn error(&mut self, slots: &[usize]) -> FitError {
        let mut error = FitError { nodes: self.world.order.len(), ..FitError::default() };
        let mut by_needs: Vec<usize> = Vec::new();
        let mut by_others: Vec<(&'static Rejection, usize)> = Vec::new();
        for slot in slots {
            let unresolvable = match self.judge(*slot) {
                Verdict::Fits => continue,
                Verdict::Needs(verdict) => {
                    let at = usize::from(verdict);
                    if by_needs.len() <= at {
                        by_needs.resize(at + 1, 0);
                    }
                    by_needs[at] += 1;
                    self.sheet.rejection(verdict).is_some_and(|r| r.unresolvable)
                }
                Verdict::Around(rejection) => {
                    match by_others.iter_mut().find(|(r, _)| std::ptr::eq(*r, rejection)) {
                        Some((_, n)) => *n += 1,
                        None => by_others.push((rejection, 1)),
                    }
                    rejection.unresolvable
                }
                Verdict::Guests(rejection) => {
                    error.count(&rejection, 1);
                    rejection.unresolvable
                }
            };
            if !unresolvable {
                error.resolvable.push(*slot);
            }
        }
        for (verdict, nodes) in (0..).zip(by_needs).filter(|(_, n)| *n > 0) {
            if let Some(rejection) = self.sheet.rejection(verdict) {
                error.count(rejection, nodes);
            }
        }
        by_others.into_iter().for_each(|(rejection, nodes)| error.count(rejection, nodes));
        if slots.len() < error.nodes {
            let rest = error.nodes - slots.len();
            error.count(&NOT_NAMED, rest);
        }
        error
    }

    fn best(&self, feasible: &[usize], ties: &mut Ties) -> usize {
        let totals = self.totals(feasible);
        let top = totals.iter().copied().max().unwrap_or(0);
        let winners = totals.iter().filter(|t| **t == top).count();
        let chosen = ties.below(winners);
        let mut best = totals.iter().zip(feasible).filter(|(t, _)| **t == top).map(|(_, slot)| *slot);
        best.nth(chosen).unwrap_or(feasible[0])
    }

    /// The weighed sum of all scores for each feasible node.
    fn totals(&self, feasible: &[usize]) -> Vec<i64> {
        let mut totals = vec![0_i64; feasible.len()];
        let mut scores = vec![0_i64; feasible.len()];
        let mut add = |plugin: &dyn Plugin, scores: &[i64]| {
            for (total, score) in totals.iter_mut().zip(scores) {
                *total += plugin.weight() * score;
            }
        };
        for (number, plugin) in SCORING.into_iter().enumerate().filter(|(_, p)| p.scores(&self.pod.needs)) {
            for (score, slot) in scores.iter_mut().zip(feasible) {
                *score = i64::from(self.sheet.entry(*slot).scores[number]);
            }
            plugin.normalize(&mut scores);
            add(plugin, &scores);
        }
        if !self.images.is_empty() {
            for (score, slot) in scores.iter_mut().zip(feasible) {
                let sizes = self.sheet.sizes(*slot, self.images.len()).iter().copied();
                *score = image_locality::score(sizes.zip(self.images.iter().copied()), self.images.len());
            }
            add(&IMAGES, &scores);
        }
        if let Some(scores) = self.around.spread_scores(feasible, &self.world) {
            add(&SPREAD, &scores);
        }
        if !self.around.is_empty() {
            scores.fill(0);
            self.around.affinity_scores(&mut scores, feasible, &self.world);
            AFFINITY.normalize(&mut scores);
            add(&AFFINITY, &scores);
        }
        totals
    }
}
