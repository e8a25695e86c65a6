//! The driver's core for one controller, without I/O and without a clock: queue, back-off, timers, the order
//! and fan-out of a plan's actions, and the revision gate. Given the same calls it does the same things.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use meta::Status;

use crate::action::{ambiguous, namespace_terminating};
use crate::controller::{Decide, Decider};
use crate::queue::Queue;
use crate::waits::{Parked, Scope, Wait};
use crate::{
    Action, Answer, Answers, Backoff, Bucket, Caches, Change, ChangeKind, Controller, EventRecord, Failure,
    Interests, Key, KeySink, Op, Partial, Plan, Step, time,
};

/// How many rounds of reads a key may ask for before it must wait as after a failure.
const READ_ROUNDS: u32 = 32;
/// How many failures are kept for the log.
const LOG_LIMIT: usize = 64;

/// Limits of an engine.
#[derive(Clone, Copy, Debug)]
pub struct EngineConfig {
    /// Keys whose plans run at the same time.
    pub workers: usize,
    /// Operations sent and not yet answered.
    pub in_flight: usize,
    pub backoff: Backoff,
    /// Retries a second over all keys, and how many may come at once.
    pub retries_per_second: f64,
    pub retry_burst: f64,
    /// Whether keys wait for their own writes. Only the simulation turns this off, to show what it is for.
    pub gate: bool,
}

impl Default for EngineConfig {
    fn default() -> Self {
        EngineConfig {
            workers: 5,
            in_flight: 30,
            backoff: Backoff::default(),
            retries_per_second: 10.0,
            retry_burst: 100.0,
            gate: true,
        }
    }
}

/// Names an operation that was given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkId(pub u64);

/// One operation to do. Its result goes to [`Engine::done`].
#[derive(Clone, Debug)]
pub struct Work {
    pub id: WorkId,
    pub key: Key,
    pub op: Arc<Op>,
}

#[derive(Default)]
struct KeyState {
    running: Option<Run>,
    dirty: bool,
    failures: u32,
    read_rounds: u32,
    answers: Answers,
    waits: Vec<Wait>,
}

/// A plan on its way.
#[derive(Default)]
struct Run {
    steps: VecDeque<Step>,
    pending: VecDeque<Action>,
    slow_start: bool,
    batch: usize,
    unanswered: usize,
    failed: bool,
    step_failed: bool,
    had_reads: bool,
    /// Whether it has sent anything, and whether a create.
    sent: bool,
    created: bool,
    answers: Answers,
    requeue_at: Option<Timestamp>,
    retry: bool,
    retry_after: Duration,
}

struct Sent {
    key: Key,
    op: Arc<Op>,
    on_ok: Option<EventRecord>,
    on_err: Option<EventRecord>,
    tolerate: &'static [&'static str],
}

/// See the module.
pub struct Engine {
    name: &'static str,
    controller: Box<dyn Decide>,
    interests: Interests,
    scope: Scope,
    config: EngineConfig,
    queue: Queue,
    /// Keys asked for with a delay, until the time is known.
    delayed: Vec<(Key, Duration)>,
    keys: BTreeMap<Key, KeyState>,
    parked: Parked,
    outbox: VecDeque<WorkId>,
    sent: BTreeMap<WorkId, Sent>,
    unanswered: usize,
    running: usize,
    next_id: u64,
    bucket: Bucket,
    events: Vec<EventRecord>,
    failures: Vec<(Key, Arc<Op>, Status)>,
    started: bool,
}

impl Engine {
    /// An engine for one controller.
    #[must_use]
    pub fn new<C: Controller>(controller: C, config: EngineConfig) -> Self {
        let mut interests = Interests::default();
        controller.interests(&mut interests);
        let scope = Scope { projections: interests.projections(), graph: interests.graph };
        Engine {
            name: controller.name(),
            controller: Box::new(Decider::new(controller)),
            interests,
            scope,
            config,
            queue: Queue::default(),
            delayed: Vec::new(),
            keys: BTreeMap::new(),
            parked: Parked::default(),
            outbox: VecDeque::new(),
            sent: BTreeMap::new(),
            unanswered: 0,
            running: 0,
            next_id: 0,
            bucket: Bucket::new(config.retries_per_second, config.retry_burst),
            events: Vec::new(),
            failures: Vec::new(),
            started: false,
        }
    }

    /// The same engine with the gate off: see [`EngineConfig::gate`].
    #[must_use]
    pub fn without_gate(mut self) -> Self {
        self.config.gate = false;
        self
    }

    /// The controller's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What it reads: the driver follows these.
    #[must_use]
    pub fn interests(&self) -> &Interests {
        &self.interests
    }

    /// Whether everything it reads has been listed, so that [`Engine::start`] may be called.
    #[must_use]
    pub fn ready(&self, caches: &Caches) -> bool {
        caches.synced(&self.scope.projections)
            && (!self.interests.discovery && !self.interests.graph || caches.discovery.synced())
    }

    /// Starts deciding: every object in the caches counts as new. The caches must have been listed (from the
    /// server's newest revision) after the last writer before this engine stopped; that list is the gate at
    /// the start.
    pub fn start(&mut self, caches: &Caches) {
        self.started = true;
        for key in std::mem::take(&mut self.interests.at_start) {
            self.queue.push(key);
        }
        let mut sink = KeySink::default();
        for p in &self.scope.projections {
            let Some(cache) = caches.any(*p) else { continue };
            cache
                .replay(&mut |change| self.interests.maps.iter().for_each(|m| m(&change, caches, &mut sink)));
        }
        if self.interests.graph {
            for node in caches.graph.iter() {
                let change = crate::graph::change(&node.gvr, node);
                self.interests.maps.iter().for_each(|m| m(&change, caches, &mut sink));
            }
        }
        if self.interests.discovery {
            let change = Change::discovery();
            self.interests.maps.iter().for_each(|m| m(&change, caches, &mut sink));
        }
        self.take(sink);
    }

    /// Takes note of a change that `caches` already hold.
    pub fn on_change(&mut self, change: &Change, caches: &Caches) {
        if !self.started {
            return;
        }
        if self.parked.len() > 0 {
            let object = Key { namespace: change.namespace.clone(), name: change.name.clone() };
            let seen = self.scope.seen(caches, &change.gvr);
            for key in self.parked.release(&change.gvr, &object, seen) {
                self.queue.push(key);
            }
        }
        if matches!(change.kind, ChangeKind::Progress) {
            return;
        }
        let mut sink = KeySink::default();
        self.interests.maps.iter().for_each(|m| m(change, caches, &mut sink));
        self.take(sink);
    }

    fn take(&mut self, sink: KeySink) {
        sink.0.into_iter().for_each(|k| self.queue.push(k));
        self.delayed.extend(sink.1);
    }

    /// Asks for a decision on a key.
    pub fn enqueue(&mut self, key: Key) {
        self.queue.push(key);
    }

    /// The next operation to do now, if any. Decides keys as needed; a decision that plans nothing costs no
    /// operation.
    pub fn next(&mut self, now: Timestamp, caches: &Caches) -> Option<Work> {
        if !self.started {
            return None;
        }
        for (key, delay) in std::mem::take(&mut self.delayed) {
            self.queue.push_at(key, time::after(now, delay));
        }
        self.queue.tick(now);
        while self.unanswered < self.config.in_flight {
            if let Some(id) = self.outbox.pop_front() {
                let Some(sent) = self.sent.get(&id) else { continue };
                self.unanswered += 1;
                return Some(Work { id, key: sent.key.clone(), op: sent.op.clone() });
            }
            if self.running >= self.config.workers {
                return None;
            }
            let key = self.queue.pop()?;
            self.decide(key, now, caches);
        }
        None
    }

    /// When [`Engine::next`] may have something to do without any other call before.
    #[must_use]
    pub fn next_wake(&self) -> Option<Timestamp> {
        if !self.started || self.running >= self.config.workers {
            return None;
        }
        if self.queue.ready_len() > 0 || !self.outbox.is_empty() || !self.delayed.is_empty() {
            return Some(Timestamp::MIN);
        }
        self.queue.next_due()
    }

    /// Whether nothing is queued, running or held. Timers may be pending.
    #[must_use]
    pub fn idle(&self) -> bool {
        self.queue.ready_len() == 0 && self.running == 0 && self.parked.len() == 0
    }

    /// Ready, delayed, held and running keys, for metrics.
    #[must_use]
    pub fn depth(&self) -> [usize; 4] {
        [self.queue.ready_len(), self.queue.delayed_len(), self.parked.len(), self.running]
    }

    /// Events to record since the last call.
    pub fn take_events(&mut self) -> Vec<EventRecord> {
        std::mem::take(&mut self.events)
    }

    /// Failures since the last call, for the log; only the first few are kept.
    pub fn take_failures(&mut self) -> Vec<(Key, Arc<Op>, Status)> {
        std::mem::take(&mut self.failures)
    }

    fn decide(&mut self, key: Key, now: Timestamp, caches: &Caches) {
        let state = self.keys.entry(key.clone()).or_default();
        if state.running.is_some() {
            state.dirty = true;
            return;
        }
        state.waits.retain(|w| !self.scope.over(w, caches));
        if let Some(Wait::Ask { gvr }) = state.waits.iter().find(|w| matches!(w, Wait::Ask { .. })) {
            let ask = Plan::of(vec![Op::Revision { gvr: gvr.clone() }.into()]);
            let answers = state.answers.clone();
            self.begin(key.clone(), ask, now);
            // The gate's own question must not hide what the controller has to know.
            if let Some(run) = self.keys.get_mut(&key).and_then(|s| s.running.as_mut()) {
                run.answers = answers;
            }
            return;
        }
        if let Some(wait) = state.waits.first() {
            self.parked.park(key, wait);
            return;
        }
        let answers = std::mem::take(&mut state.answers);
        let plan = self.controller.decide(&key, caches, &answers, now);
        state.answers.failures = answers.failures;
        match plan {
            None => {
                self.keys.remove(&key);
            }
            Some(plan) => self.begin(key, plan, now),
        }
    }

    fn begin(&mut self, key: Key, plan: Plan, now: Timestamp) {
        self.events.extend(plan.events);
        let run = Run {
            steps: plan.steps.into(),
            requeue_at: plan.requeue_at,
            retry: plan.retry,
            ..Run::default()
        };
        self.keys.entry(key.clone()).or_default().running = Some(run);
        self.running += 1;
        self.advance(&key, now);
    }

    /// Sends the next batch of a running plan, or finishes it.
    fn advance(&mut self, key: &Key, now: Timestamp) {
        let Some(run) = self.keys.get_mut(key).and_then(|s| s.running.as_mut()) else { return };
        if run.unanswered > 0 {
            return;
        }
        if run.slow_start && run.step_failed {
            run.pending.clear();
        }
        while run.pending.is_empty() {
            let Some(step) = run.steps.pop_front() else { return self.finish(key, now) };
            if run.failed && !step.always {
                continue;
            }
            run.pending = step.actions.into();
            (run.slow_start, run.batch, run.step_failed) = (step.slow_start, 1, false);
        }
        let n = if run.slow_start { run.batch.min(run.pending.len()) } else { run.pending.len() };
        run.batch = run.batch.saturating_mul(2);
        run.unanswered = n;
        for action in run.pending.drain(..n) {
            self.next_id += 1;
            let id = WorkId(self.next_id);
            run.sent = true;
            run.created |= matches!(action.op, Op::Create { .. });
            run.had_reads |= action.op.is_read() && !matches!(action.op, Op::Revision { .. });
            let sent = Sent {
                key: key.clone(),
                op: Arc::new(action.op),
                on_ok: action.on_ok,
                on_err: action.on_err,
                tolerate: action.tolerate,
            };
            self.sent.insert(id, sent);
            self.outbox.push_back(id);
        }
    }

    /// Takes the result of an operation.
    pub fn done(&mut self, id: WorkId, result: Result<Answer, Status>, now: Timestamp) {
        let Some(sent) = self.sent.remove(&id) else { return };
        self.unanswered = self.unanswered.saturating_sub(1);
        let key = sent.key.clone();
        let Some(state) = self.keys.get_mut(&key) else { return };
        let Some(run) = state.running.as_mut() else { return };
        run.unanswered = run.unanswered.saturating_sub(1);
        match &*sent.op {
            Op::Revision { gvr } => match result {
                Ok(Answer::Revision(revision)) => {
                    state.waits.retain(|w| !matches!(w, Wait::Ask { gvr: g } if g == gvr));
                    Wait::add(&mut state.waits, Wait::Seen { gvr: gvr.clone(), revision });
                    state.dirty = true;
                }
                Ok(_) => run.failed = true,
                Err(status) => {
                    run.failed = true;
                    log(&mut self.failures, &sent, status);
                }
            },
            op if op.is_read() => run.answers.reads.push((op.clone(), result)),
            _ => self.wrote(sent, result),
        }
        self.advance(&key, now);
    }

    /// Takes the result of a write.
    fn wrote(&mut self, sent: Sent, result: Result<Answer, Status>) {
        let Some(state) = self.keys.get_mut(&sent.key) else { return };
        let Some(run) = state.running.as_mut() else { return };
        match result {
            Ok(answer) => {
                let object = match &answer {
                    Answer::Object(bytes) => Partial::parse(bytes).ok(),
                    _ => None,
                };
                if let Some(wait) = wait_after(&sent.op, object.as_ref()) {
                    Wait::add(&mut state.waits, wait);
                }
                if let Some(e) = sent.on_ok {
                    self.events.push(e.filled(object.as_ref(), sent.op.target().1, ""));
                }
            }
            Err(status) if sent.tolerate.iter().any(|r| status.is(r)) => {
                if let Some(wait) = wait_after(&sent.op, None) {
                    Wait::add(&mut state.waits, wait);
                }
            }
            Err(status) => {
                run.failed = true;
                run.step_failed = true;
                // What is in the way of a create may be the key's own: one that was given up and landed late.
                // It must be in the caches before the key is decided again.
                let in_the_way = matches!(&*sent.op, Op::Create { .. }) && status.is("AlreadyExists");
                if ambiguous(&status) || in_the_way {
                    Wait::add(&mut state.waits, Wait::Ask { gvr: sent.op.gvr().clone() });
                }
                let seconds = status.details.as_ref().and_then(|d| d.retry_after_seconds).unwrap_or(0);
                run.retry_after = run.retry_after.max(Duration::from_secs(u64::from(seconds)));
                log(&mut self.failures, &sent, status.clone());
                if let Some(e) = sent.on_err
                    && !namespace_terminating(&status)
                {
                    self.events.push(e.filled(None, sent.op.target().1, &status.message));
                }
                run.answers.failures.push(Failure { op: (*sent.op).clone(), status });
            }
        }
        if !self.config.gate {
            state.waits.clear();
        }
    }

    fn finish(&mut self, key: &Key, now: Timestamp) {
        let Some(state) = self.keys.get_mut(key) else { return };
        let Some(run) = state.running.take() else { return };
        self.running -= 1;
        let before = std::mem::replace(&mut state.answers, run.answers);
        // A create of unknown outcome is not forgotten over a plan that had something else to do first.
        if run.sent && !run.created {
            for f in before.failures {
                let unknown = matches!(f.op, Op::Create { .. }) && ambiguous(&f.status);
                if unknown && !state.answers.failures.contains(&f) {
                    state.answers.failures.push(f);
                }
            }
        }
        let mut again = std::mem::take(&mut state.dirty);
        let mut failed = run.failed || run.retry;
        if run.had_reads && !failed {
            state.read_rounds += 1;
            failed = state.read_rounds > READ_ROUNDS;
            again |= !failed;
        } else {
            state.read_rounds = 0;
        }
        if failed {
            let delay = self.config.backoff.delay(state.failures).max(self.bucket.reserve(now));
            state.failures = state.failures.saturating_add(1);
            self.queue.push_at(key.clone(), time::after(now, delay.max(run.retry_after)));
        } else if !again {
            state.failures = 0;
        }
        if let Some(at) = run.requeue_at {
            self.queue.push_at(key.clone(), at);
        }
        if state.waits.is_empty() && state.failures == 0 && state.answers == Answers::default() {
            self.keys.remove(key);
        }
        if again {
            self.queue.push(key.clone());
        }
    }
}

fn wait_after(op: &Op, object: Option<&Partial>) -> Option<Wait> {
    match op {
        Op::Create { gvr, .. } | Op::Update { gvr, .. } | Op::Patch { gvr, .. } => {
            let revision = object.map_or(0, |p| p.metadata.resource_version);
            (revision > 0).then(|| Wait::Seen { gvr: gvr.clone(), revision })
        }
        Op::Delete { gvr, namespace, name, uid: Some(uid), .. } => {
            Some(Wait::Gone { gvr: gvr.clone(), key: Key::new(namespace, name), uid: uid.clone() })
        }
        _ => None,
    }
}

fn log(failures: &mut Vec<(Key, Arc<Op>, Status)>, sent: &Sent, status: Status) {
    if failures.len() < LOG_LIMIT {
        failures.push((sent.key.clone(), sent.op.clone(), status));
    }
}

#[cfg(test)]
mod tests;
