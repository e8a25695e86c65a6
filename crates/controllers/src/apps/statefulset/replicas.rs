//! The pods that are wanted, in the order of their numbers, and those that are not wanted any more, in the opposite
//! order. A set that is not parallel waits at each pod until it is there for good.
// k8s: pkg/controller/statefulset/stateful_set_control.go processReplica, processCondemned

use jiff::Timestamp;
use reconcile::{Action, EventRecord, Plan};

use super::claims::Holder;
use super::make;
use super::revisions::Chosen;
use super::state::{LIMIT, Members, State, ready, unavailable};
use crate::core::pod::Pod;
use crate::shared::workload::Workload;

/// What is done about one pod, in this order.
#[derive(Default)]
struct Work {
    claims: Vec<Action>,
    pod: Option<Action>,
    owners: Vec<Action>,
    events: Vec<EventRecord>,
    /// Where pods wait for each other, the next one waits.
    waits: bool,
    /// It cannot be done now.
    failed: bool,
}

impl Work {
    fn waiting() -> Self {
        Work { waits: true, ..Work::default() }
    }

    fn idle(&self) -> bool {
        self.claims.is_empty() && self.pod.is_none() && self.owners.is_empty() && !self.failed
    }
}

/// Pods that are worked on at the same time: more and more, as long as it goes well.
// k8s: pkg/controller/statefulset/stateful_set_control.go slowStartBatch
struct Batches {
    works: Vec<Work>,
    size: usize,
    grow: bool,
}

impl Batches {
    /// Whether it may go on.
    fn add(&mut self, work: Work, plan: &mut Plan) -> bool {
        if !work.idle() {
            self.works.push(work);
        }
        if self.works.len() < self.size {
            return true;
        }
        if self.grow {
            self.size = (self.size * 2).min(LIMIT);
        }
        self.flush(plan)
    }

    fn flush(&mut self, plan: &mut Plan) -> bool {
        let mut steps = [Vec::new(), Vec::new(), Vec::new()];
        let mut well = true;
        for work in self.works.drain(..) {
            well &= !work.failed;
            plan.events.extend(work.events);
            steps[0].extend(work.claims);
            steps[1].extend(work.pod);
            steps[2].extend(work.owners);
        }
        steps.into_iter().for_each(|s| plan.step(s));
        plan.retry |= !well;
        well
    }
}

/// A decision on the pods of a set.
pub(super) struct Round<'a> {
    pub state: &'a State,
    pub members: &'a Members<'a>,
    pub chosen: &'a Chosen,
    pub now: Timestamp,
}

impl Round<'_> {
    fn available(&self, p: &Pod) -> bool {
        p.available(self.state.set.spec.min_ready_seconds, self.now)
    }

    /// Plans what is to be done about the wanted pods. Whether the others come next.
    pub(super) fn wanted(&self, plan: &mut Plan) -> bool {
        let set = &self.state.set;
        let parallel = set.parallel();
        let mut batches = Batches { works: Vec::new(), size: 1, grow: parallel };
        let mut missing = 0;
        for n in set.wanted() {
            let pod = self.members.wanted.get(&n);
            missing += usize::from(pod.is_none());
            if missing > LIMIT {
                // The rest when these are there.
                batches.flush(plan);
                return false;
            }
            let work = match pod {
                Some(pod) => self.present(n, pod),
                None => self.missing(n),
            };
            let waits = work.waits && !parallel;
            if !batches.add(work, plan) || waits {
                return false;
            }
        }
        batches.flush(plan)
    }

    fn missing(&self, n: i64) -> Work {
        let set = &self.state.set;
        let holder = Holder::new(self.state, n, "");
        if holder.waits_for_old() {
            return Work::waiting();
        }
        if self.state.taken.contains(&n) {
            return Work { failed: true, ..Work::waiting() };
        }
        let claims = holder.create();
        let going = holder.going();
        if !going.is_empty() {
            let why = match &going[..] {
                [one] => one.clone(),
                several => format!("[{}]", several.join(", ")),
            };
            let message = format!(
                "Create Pod {} in StatefulSet {} failed error: {why}",
                holder.name, set.metadata.name
            );
            let events = vec![EventRecord::warning(set.about(), "FailedCreate", message)];
            return Work { claims, events, failed: true, ..Work::waiting() };
        }
        Work {
            claims,
            pod: Some(make::create(set, self.chosen, n)),
            owners: holder.settle(),
            events: holder.conflicts(),
            ..Work::waiting()
        }
    }

    fn present(&self, n: i64, pod: &Pod) -> Work {
        let set = &self.state.set;
        if pod.finished() {
            // A new one is made when it is gone.
            let delete = (!pod.metadata.deleting()).then(|| make::delete(set, pod));
            return Work { pod: delete, ..Work::waiting() };
        }
        let holder = Holder::new(self.state, n, &pod.metadata.uid);
        let mut work = Work::default();
        let pending = &*pod.status.phase == "Pending";
        if pending {
            work.claims = holder.create();
            work.failed = !holder.going().is_empty();
        }
        let waits = pod.metadata.deleting() || !ready(pod) || !self.available(pod);
        work.waits = waits || work.failed;
        if !pending && waits && !set.parallel() {
            return work;
        }
        work.owners = holder.settle();
        if pending || !work.owners.is_empty() {
            work.events = holder.conflicts();
        }
        if work.failed || (waits && !set.parallel()) {
            return work;
        }
        work.pod = make::mend(set, pod, n);
        if work.claims.is_empty() && !make::has_volumes(set, pod) {
            work.claims = holder.create();
        }
        work
    }

    /// Plans which of the pods that are not wanted go. Whether updates come next.
    pub(super) fn condemned(&self, plan: &mut Plan) -> bool {
        let condemned = &self.members.condemned;
        let mut owners = Vec::new();
        for (n, pod) in condemned {
            let holder = Holder::new(self.state, *n, &pod.metadata.uid);
            let changes = holder.settle();
            if !changes.is_empty() {
                plan.events.extend(holder.conflicts());
                owners.extend(changes);
            }
        }
        plan.step(owners);
        let set = &self.state.set;
        if set.parallel() {
            let there = condemned.iter().filter(|(_, p)| !p.metadata.deleting());
            plan.slow_start(there.map(|(_, p)| make::delete(set, p)).collect());
            return true;
        }
        let Some((_, pod)) = condemned.first() else { return true };
        let healthy = ready(pod) && self.available(pod);
        if !pod.metadata.deleting() && (healthy || self.first_unavailable(pod)) {
            plan.step(vec![make::delete(set, pod)]);
        }
        false
    }

    /// Whether all pods before this condemned one are available. Those that are wanted are, else it would not be its
    /// turn.
    fn first_unavailable(&self, pod: &Pod) -> bool {
        let first =
            self.members.condemned.iter().rev().find(|(_, p)| unavailable(&self.state.set, p, self.now));
        first.is_some_and(|(_, p)| p.metadata.uid == pod.metadata.uid)
    }
}
