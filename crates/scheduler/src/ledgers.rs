//! What equal pods find around them, counted once and kept up to date pod by pod and node by node: by wants (whom the
//! pod looks for) and by identity (who looks for the pod). A ledger that is not used for long is forgotten.

use std::collections::HashMap;

use crate::framework::Rejection;
use crate::plugins::inter_pod_affinity::{Seekers, Sought};
use crate::plugins::pod_topology_spread::Spread;
use crate::pod::{Identity, Part, PodInfo, Wants};
use crate::snapshot::{NodeInfo, World};

/// So many of each kind are kept.
const LIMIT: usize = 64;

/// Whom pods with equal wants look for.
#[derive(Debug)]
pub struct Own {
    spread: Option<Spread>,
    sought: Option<Sought>,
    used: u64,
}

impl Own {
    fn new(wants: &Part<Wants>, world: &mut World) -> Self {
        let mut own = Own { spread: Spread::new(wants, world), sought: Sought::new(wants, world), used: 0 };
        let there = |slot: usize| world.nodes[slot].node.is_some();
        if own.spread.as_ref().is_some_and(Spread::counts_nodes) {
            for slot in (0..world.nodes.len()).filter(|slot| there(*slot)) {
                own.node_in(slot, &world.nodes[slot], world);
            }
        }
        for kin in world.kin.values() {
            let slots = kin.slots.iter().filter(|(slot, _)| there(**slot));
            let staying = slots.clone().map(|(slot, n)| (*slot, n.all - n.leaving));
            let all = slots.map(|(slot, n)| (*slot, n.all));
            own.pods(&kin.identity, &kin.wants, staying, all, world);
        }
        own
    }

    fn node_in(&mut self, slot: usize, node: &NodeInfo, world: &World) {
        if let Some(spread) = &mut self.spread {
            spread.node_in(slot, node, world.columns);
        }
    }

    fn node_out(&mut self, slot: usize, world: &World) {
        if let Some(spread) = &mut self.spread {
            spread.node_out(slot, world.columns);
        }
    }

    fn pod(&mut self, pod: &PodInfo, slot: usize, sign: i64, world: &World) {
        let all = std::iter::once((slot, sign));
        let staying = all.clone().filter(|_| !pod.deleting);
        self.pods(&pod.identity, &pod.wants, staying, all, world);
    }

    /// Pods that are alike but for whether they stay.
    fn pods(
        &mut self,
        identity: &Identity,
        wants: &Wants,
        staying: impl Iterator<Item = (usize, i64)> + Clone,
        all: impl Iterator<Item = (usize, i64)> + Clone,
        world: &World,
    ) {
        if let Some(spread) = &mut self.spread {
            spread.pods(identity, wants, staying, world.columns);
        }
        if let Some(sought) = &mut self.sought {
            sought.pods(identity, all, world.columns, world.namespaces);
        }
    }
}

/// Who looks for pods of one identity.
#[derive(Debug)]
struct Foreign {
    seekers: Seekers,
    used: u64,
}

impl Foreign {
    fn new(pod: &PodInfo, world: &mut World) -> Self {
        let mut seekers = Seekers::new(&pod.identity);
        for others in world.seekers.values() {
            let slots = others.slots.iter().filter(|(slot, _)| world.nodes[**slot].node.is_some());
            let slots: Vec<(usize, i64)> = slots.map(|(slot, n)| (*slot, *n)).collect();
            seekers.pods(&others.wants, &slots, world);
        }
        Foreign { seekers, used: 0 }
    }
}

/// All ledgers.
#[derive(Debug, Default)]
pub struct Ledgers {
    own: HashMap<u64, Own>,
    foreign: HashMap<u64, Foreign>,
    clock: u64,
}

impl Ledgers {
    /// A node came, or its labels or taints are new.
    pub fn node_in(&mut self, slot: usize, world: &World) {
        self.own.values_mut().for_each(|l| l.node_in(slot, &world.nodes[slot], world));
    }

    /// A node goes, or its labels or taints are about to change; its pods have gone before.
    pub fn node_out(&mut self, slot: usize, world: &World) {
        self.own.values_mut().for_each(|l| l.node_out(slot, world));
    }

    /// A pod came (1) or goes (-1).
    pub fn pod(&mut self, pod: &PodInfo, slot: usize, sign: i64, world: &mut World) {
        self.own.values_mut().for_each(|l| l.pod(pod, slot, sign, world));
        if pod.wants.has_terms() {
            self.foreign.values_mut().for_each(|l| l.seekers.pods(&pod.wants, &[(slot, sign)], world));
        }
    }

    /// Labels of a namespace have changed.
    pub fn namespaces_changed(&mut self) {
        self.own.retain(|_, l| !l.sought.as_ref().is_some_and(Sought::reads_namespaces));
        self.foreign.clear();
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.own.clear();
        self.foreign.clear();
    }

    /// Takes out what concerns a pod. It must be put back before anything else happens.
    pub fn take(&mut self, pod: &PodInfo, world: &mut World) -> Around {
        let wants = &pod.wants;
        let own =
            (!wants.is_empty()).then(|| self.own.remove(&wants.id).unwrap_or_else(|| Own::new(wants, world)));
        let foreign = (!world.seekers.is_empty())
            .then(|| self.foreign.remove(&pod.identity.id).unwrap_or_else(|| Foreign::new(pod, world)));
        Around { own, foreign }
    }

    /// Puts back what was taken out.
    pub fn put(&mut self, pod: &PodInfo, around: Around) {
        self.clock += 1;
        if let Some(own) = around.own {
            make_room(&mut self.own, |l| l.used);
            self.own.insert(pod.wants.id, Own { used: self.clock, ..own });
        }
        if let Some(foreign) = around.foreign {
            make_room(&mut self.foreign, |l| l.used);
            self.foreign.insert(pod.identity.id, Foreign { used: self.clock, ..foreign });
        }
    }
}

/// Forgets the one used least lately when there are too many.
fn make_room<T>(ledgers: &mut HashMap<u64, T>, used: fn(&T) -> u64) {
    if ledgers.len() >= LIMIT
        && let Some(id) = ledgers.iter().min_by_key(|(_, l)| used(l)).map(|(id, _)| *id)
    {
        ledgers.remove(&id);
    }
}

/// What one pod finds around it.
#[derive(Debug)]
pub struct Around {
    own: Option<Own>,
    foreign: Option<Foreign>,
}

/// What does not depend on the node.
#[derive(Debug, Default)]
pub struct Limits {
    spread: Vec<i64>,
    first: bool,
}

impl Around {
    /// As if a pod had come (1) or gone (-1), for trying out.
    pub fn pod(&mut self, pod: &PodInfo, slot: usize, sign: i64, world: &mut World) {
        if let Some(own) = &mut self.own {
            own.pod(pod, slot, sign, world);
        }
        if pod.wants.has_terms()
            && let Some(foreign) = &mut self.foreign
        {
            foreign.seekers.pods(&pod.wants, &[(slot, sign)], world);
        }
    }

    /// Whether no node is better or worse for what is around it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.own.is_none() && self.foreign.is_none()
    }

    fn spread(&self) -> Option<&Spread> {
        self.own.as_ref()?.spread.as_ref()
    }

    fn sought(&self) -> Option<&Sought> {
        self.own.as_ref()?.sought.as_ref()
    }

    /// What [`Around::check`] compares with.
    #[must_use]
    pub fn limits(&self, pod: &PodInfo, world: &World) -> Limits {
        Limits {
            spread: self.spread().map(|s| s.limits(pod, world.columns)).unwrap_or_default(),
            first: self.sought().is_some_and(|s| s.first(pod, world.namespaces)),
        }
    }

    /// Whether the pod may go to the node.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, slot: usize, limits: &Limits, world: &World) -> Result<(), &'static Rejection> {
        if let Some(spread) = self.spread() {
            spread.check(slot, &limits.spread, world.columns)?;
        }
        if let Some(sought) = self.sought() {
            sought.check(slot, limits.first, world.columns)?;
        }
        self.foreign.as_ref().map_or(Ok(()), |f| f.seekers.check(slot, world.columns))
    }

    /// Scores for spreading, of 0..=100.
    #[must_use]
    pub fn spread_scores(&self, feasible: &[usize], world: &World) -> Option<Vec<i64>> {
        self.spread()?.scores(feasible, world.columns)
    }

    /// Raw scores for affinity.
    pub fn affinity_scores(&self, scores: &mut [i64], feasible: &[usize], world: &World) {
        if let Some(sought) = self.sought() {
            sought.score(scores, feasible, world.columns);
        }
        if let Some(foreign) = &self.foreign {
            foreign.seekers.score(scores, feasible, world.columns);
        }
    }
}
