//! The world: virtual time, the API server over its store, the processes, and the faulty road between them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use apiserver::{Config, Server};
use bytes::Bytes;
use client::Local;
use control::{Executor, Ports, RawEvent};
use jiff::Timestamp;
use meta::{Handler, Status, User};
use reconcile::time::after;
use reconcile::{Answer, Op};
use store::EventSink;
use store::mem::MemStore;
use sys::{Clock, ManualClock, SeededEntropy};

use crate::faults::Faults;
use crate::feed::{Feed, FeedId, Stage, Taken, Woken, now};
use crate::judge::Seen;
use crate::process::{Note, Outgoing, Process};
use crate::rng::Rng;
use crate::timer::VirtualTimer;
use crate::truth::{Recorder, Sender, Truth};

/// The first moment of every run.
const START: &str = "2026-01-02T03:04:05Z";
/// After this long an operation counts as lost: the longest wait of a client here.
const TIMEOUT_MS: (i64, i64) = (500, 10_000);

enum Event {
    /// A process may have something to do.
    Turn(usize, u64),
    /// A request reaches the server.
    Arrive(u64),
    Answer(u64, Result<Answer, Status>),
    Step(FeedId),
    Listed(FeedId, Vec<Bytes>, u64),
    /// Somebody waits for a revision.
    Impatient(FeedId, u64),
    Restart(usize, u64),
    ServerUp,
    /// A step of those who act from outside.
    Outside,
}

struct Call {
    slot: usize,
    epoch: u64,
    token: u64,
    op: Arc<Op>,
    user: User,
    decided: Option<(&'static str, Seen)>,
    /// Milliseconds that the answer takes; `None` when it is lost.
    back: Option<i64>,
    /// Events that are still to come: arrival and answer.
    left: u8,
}

/// A place for a process.
pub struct Slot {
    pub name: String,
    user: User,
    process: Option<Box<dyn Process>>,
    /// What a restart begins with while the process is down.
    next: Option<Box<dyn Process>>,
    epoch: u64,
    feeds: Vec<Feed>,
    wake: Option<i64>,
    /// Cut off from the API.
    pub cut: bool,
}

impl Slot {
    /// Whether the process runs or will start again.
    #[must_use]
    pub fn alive(&self) -> bool {
        self.process.is_some() || self.next.is_some()
    }
}

/// See the module.
pub struct World {
    pub clock: Arc<ManualClock>,
    pub rng: Rng,
    pub faults: Faults,
    pub slots: Vec<Slot>,
    pub truth: Truth,
    pub trace: Option<String>,
    /// What was found wrong.
    pub broken: Option<String>,
    /// Writes of components, but for heartbeats.
    pub writes: u64,
    pub steps: u64,
    /// Whether nothing but rolling updates takes pods away.
    pub calm: bool,
    /// Whom controllers may ask outside the API.
    pub ports: Ports,
    store: Arc<MemStore>,
    recorder: Arc<Recorder>,
    _sink: Arc<dyn EventSink>,
    server: Option<Arc<Server>>,
    timer: Arc<VirtualTimer>,
    entropy: Arc<SeededEntropy>,
    woken: Arc<Woken>,
    queue: BTreeMap<(i64, u64), Event>,
    sequence: u64,
    calls: BTreeMap<u64, Call>,
    ring_changes: usize,
}

impl World {
    /// A cluster with an API server and nothing else.
    ///
    /// # Panics
    /// When the API server does not start.
    #[must_use]
    pub fn new(seed: u64, trace: bool) -> Self {
        let start: Timestamp = START.parse().expect("a constant");
        let clock = Arc::new(ManualClock::new(start));
        let store = Arc::new(MemStore::default());
        let recorder = Arc::new(Recorder::default());
        let sink: Arc<dyn EventSink> = recorder.clone();
        store::Store::subscribe(&*store, &sink);
        let mut rng = Rng::new(seed);
        let mut world = World {
            timer: Arc::new(VirtualTimer::new(clock.clone())),
            clock,
            faults: Faults::none(),
            slots: Vec::new(),
            truth: Truth::default(),
            trace: trace.then(String::new),
            broken: None,
            writes: 0,
            steps: 0,
            calm: false,
            ports: Ports::default(),
            store,
            recorder,
            _sink: sink,
            server: None,
            entropy: Arc::new(SeededEntropy::new(rng.next())),
            woken: Arc::default(),
            queue: BTreeMap::new(),
            sequence: 0,
            calls: BTreeMap::new(),
            ring_changes: [12, 60, 400, 8192][usize::try_from(rng.below(4)).unwrap_or(0)],
            rng,
        };
        world.server_up();
        world.settle();
        world
    }

    /// Virtual time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Virtual time in milliseconds of the epoch.
    #[must_use]
    pub fn millis(&self) -> i64 {
        self.now().as_millisecond()
    }

    /// Adds a line to the trace. The text is made only when somebody wants it.
    pub fn say(&mut self, line: impl FnOnce() -> String) {
        let at = self.millis() % 100_000_000;
        if let Some(t) = &mut self.trace {
            let _ = writeln!(t, "{at:>9} {}", line());
        }
    }

    /// Notes the first thing that is wrong.
    pub fn fail(&mut self, why: String) {
        self.say(|| format!("BROKEN {why}"));
        self.broken.get_or_insert(why);
    }

    fn after(&mut self, millis: i64, event: Event) {
        self.sequence += 1;
        self.queue.insert((self.millis() + millis.max(0), self.sequence), event);
    }

    /// Lets those outside act after so many milliseconds.
    pub fn call_outside(&mut self, millis: i64) {
        self.after(millis, Event::Outside);
    }

    // ---- the API server ----

    fn server_up(&mut self) {
        let config = Config {
            cache_limits: watchcache::Limits {
                ring_changes: self.ring_changes,
                ..watchcache::Limits::default()
            },
            ..Config::new(self.store.clone(), self.clock.clone(), self.entropy.clone(), self.timer.clone())
        };
        let server = Server::new(config).expect("the configuration is good");
        if let Err(e) = now(server.bootstrap()) {
            self.fail(format!("the API server does not start: {e}"));
        }
        self.server = Some(server);
        self.say(|| "API server up".to_owned());
    }

    /// Crashes the API server; it comes back over the same store.
    pub fn crash_server(&mut self, down_ms: i64) {
        if self.server.take().is_none() {
            return;
        }
        self.say(|| "API server crashed".to_owned());
        for slot in 0..self.slots.len() {
            self.break_watches(slot);
        }
        self.after(down_ms, Event::ServerUp);
    }

    fn break_watches(&mut self, slot: usize) {
        let epoch = self.slots[slot].epoch;
        for feed in 0..self.slots[slot].feeds.len() {
            let f = &mut self.slots[slot].feeds[feed];
            if matches!(f.stage, Stage::Open(_)) {
                f.stage = Stage::Watch;
                let planned = std::mem::replace(&mut f.planned, true);
                if !planned {
                    let delay = self.rng.delay(1, 1000);
                    self.after(delay, Event::Step((slot, epoch, feed)));
                }
            }
        }
    }

    fn local(&self, user: &User) -> Option<Local> {
        let handler: Arc<dyn Handler> = self.server.clone()?;
        Some(Local::new(handler, user.clone(), "sim"))
    }

    /// Does an operation at once, as a user with all rights on a good road.
    ///
    /// # Errors
    /// The server's Status.
    pub fn admin(&mut self, op: &Op) -> Result<Answer, Status> {
        let user = User::new("admin", &["system:masters"]);
        let local = self.local(&user).ok_or_else(|| Status::unavailable("the server is down"))?;
        let result = now(control::execute(&local, op));
        self.say(|| format!("user: {}", line(op, &result)));
        self.settle();
        result
    }

    /// Reads discovery, of these resources only.
    ///
    /// # Panics
    /// When the server does not answer.
    #[must_use]
    pub fn discovery(&self) -> reconcile::Discovery {
        let user = User::new("admin", &["system:masters"]);
        let local = self.local(&user).expect("the server is up");
        now(control::discover(&local)).expect("discovery is served")
    }

    // ---- processes ----

    /// Starts a process in a place of its own.
    pub fn start(&mut self, name: &str, user: User, process: Box<dyn Process>) -> usize {
        let (name, slot) = (name.to_owned(), self.slots.len());
        let feeds = Vec::new();
        self.slots.push(Slot {
            name,
            user,
            process: None,
            next: None,
            epoch: 0,
            feeds,
            wake: None,
            cut: false,
        });
        self.begin(slot, process);
        slot
    }

    fn begin(&mut self, slot: usize, process: Box<dyn Process>) {
        let feeds: Vec<Feed> = process.feeds().into_iter().map(Feed::new).collect();
        let n = feeds.len();
        let s = &mut self.slots[slot];
        (s.process, s.next, s.feeds, s.wake) = (Some(process), None, feeds, None);
        let epoch = s.epoch;
        for feed in 0..n {
            self.slots[slot].feeds[feed].planned = true;
            let delay = self.rng.delay(1, self.faults.delay_ms);
            self.after(delay, Event::Step((slot, epoch, feed)));
        }
        self.after(0, Event::Turn(slot, epoch));
    }

    /// Crashes a process. After `down_ms` it starts again as `with`, or as what it becomes after a restart.
    pub fn crash(&mut self, slot: usize, down_ms: i64, with: Option<Box<dyn Process>>) {
        let seed = self.rng.next();
        let at = after(self.now(), Duration::from_millis(down_ms.unsigned_abs()));
        let s = &mut self.slots[slot];
        let Some(old) = s.process.take() else { return };
        s.epoch += 1;
        s.feeds.clear();
        s.next = Some(with.unwrap_or_else(|| old.restarted(seed, at)));
        let (epoch, name) = (s.epoch, s.name.clone());
        self.say(|| format!("{name} crashed"));
        self.after(down_ms, Event::Restart(slot, epoch));
    }

    /// Takes a process away for good.
    pub fn remove(&mut self, slot: usize) {
        let s = &mut self.slots[slot];
        (s.process, s.next) = (None, None);
        s.epoch += 1;
        s.feeds.clear();
    }

    /// Cuts a process off from the API, or joins it again.
    pub fn partition(&mut self, slot: usize, cut: bool) {
        self.slots[slot].cut = cut;
        let name = self.slots[slot].name.clone();
        self.say(|| format!("{name} {}", if cut { "cut off" } else { "joined again" }));
        if cut {
            self.break_watches(slot);
        }
    }

    /// The first process that is not at rest.
    #[must_use]
    pub fn busy(&self) -> Option<String> {
        self.slots.iter().filter_map(|s| s.process.as_ref()).find_map(|p| p.busy())
    }

    fn turn(&mut self, slot: usize) {
        let now = self.now();
        let mut out = Vec::new();
        let s = &mut self.slots[slot];
        let Some(process) = &mut s.process else { return };
        process.turn(now, &mut out);
        let (notes, wake) = (process.notes(), process.next_wake());
        for note in notes {
            match note {
                Note::Line(text) => self.say(|| text),
                Note::Broken(text) => self.fail(text),
            }
        }
        for o in out {
            self.send(slot, o);
        }
        let Some(wake) = wake.filter(|t| *t > now) else { return };
        // Rounded up: what is due is due then.
        let at = wake.as_millisecond() + i64::from(wake.subsec_nanosecond() % 1_000_000 != 0);
        let s = &mut self.slots[slot];
        if s.wake.is_none_or(|w| w > at || w <= now.as_millisecond()) {
            s.wake = Some(at);
            let epoch = s.epoch;
            self.after(at - now.as_millisecond(), Event::Turn(slot, epoch));
        }
    }

    // ---- operations ----

    fn send(&mut self, slot: usize, o: Outgoing) {
        let s = &self.slots[slot];
        let user = match &o.user {
            Some(name) => User::new(name, &["system:serviceaccounts", "system:serviceaccounts:kube-system"]),
            None => s.user.clone(),
        };
        let (epoch, cut) = (s.epoch, s.cut);
        self.sequence += 1;
        let id = self.sequence;
        let f = self.faults;
        let there = self.rng.delay(1, f.delay_ms);
        let back = self.rng.delay(1, f.delay_ms);
        let give_up = self.rng.delay(TIMEOUT_MS.0, TIMEOUT_MS.1);
        let (token, op, decided) = (o.token, o.op, o.decided);
        let mut call = Call { slot, epoch, token, op, user, decided, back: Some(back), left: 2 };
        let lost = || Err(Status::timeout("no answer in time"));
        let fate = self.rng.below(1000);
        // A kubelet's status that lands late makes a ready pod unready for a while: no calm.
        let late = if self.calm && self.slots[slot].name.starts_with("node-") { 0 } else { f.late };
        if cut || fate < f.lose_request {
            call.left = 1;
            self.after(give_up, Event::Answer(id, lost()));
        } else if fate < f.lose_request + f.lose_answer {
            call.back = None;
            self.after(there, Event::Arrive(id));
            self.after(there.max(give_up), Event::Answer(id, lost()));
        } else if fate < f.lose_request + f.lose_answer + late {
            call.back = None;
            let more = self.rng.delay(1, 8000);
            self.after(give_up, Event::Answer(id, lost()));
            self.after(give_up + more, Event::Arrive(id));
        } else {
            self.after(there, Event::Arrive(id));
        }
        self.calls.insert(id, call);
    }

    fn arrive(&mut self, id: u64) {
        let Some(call) = self.calls.get(&id) else { return };
        let (op, back, slot, decided) = (call.op.clone(), call.back, call.slot, call.decided);
        let late = back.is_none() && call.left == 1;
        let abandoned = back.is_none() && self.slots[slot].epoch != call.epoch;
        let result = match self.local(&call.user) {
            None => Err(Status::unavailable("connection refused")),
            Some(local) => now(Executor::new(Arc::new(local), self.ports.clone()).execute(&op)),
        };
        let heartbeat = op.gvr().resource == "leases" || op.gvr().resource == "nodes";
        self.writes += u64::from(!op.is_read() && !heartbeat);
        let name = self.slots[slot].name.clone();
        self.say(|| {
            let fate = if back.is_none() { " (unheard)" } else { "" };
            format!("{name}: {}{fate}", line(&op, &result))
        });
        let (who, seen) = decided.unwrap_or(("", Seen::ALL));
        self.truth.sender = Sender { who, seen, late, abandoned };
        self.settle();
        self.truth.sender = Sender::default();
        self.settle_call(id);
        if let Some(back) = back {
            self.after(back, Event::Answer(id, result));
        }
    }

    fn settle_call(&mut self, id: u64) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.left -= 1;
        if call.left == 0 {
            self.calls.remove(&id);
        }
    }

    fn answered(&mut self, id: u64, result: Result<Answer, Status>) {
        let Some(call) = self.calls.get(&id) else { return };
        let (slot, epoch, token, op) = (call.slot, call.epoch, call.token, call.op.clone());
        self.settle_call(id);
        if self.slots[slot].epoch != epoch {
            return;
        }
        if let Ok(Answer::Revision(revision)) = &result {
            for feed in 0..self.slots[slot].feeds.len() {
                if self.slots[slot].feeds[feed].spec.gvr == *op.gvr() {
                    self.after(1000, Event::Impatient((slot, epoch, feed), *revision));
                }
            }
        }
        let now = self.now();
        if let Some(p) = &mut self.slots[slot].process {
            p.answer(token, result, now);
        }
        self.turn(slot);
    }

    // ---- feeds ----

    fn feed(&mut self, (slot, epoch, feed): FeedId) -> Option<&mut Feed> {
        let s = self.slots.get_mut(slot).filter(|s| s.epoch == epoch)?;
        s.feeds.get_mut(feed)
    }

    fn plan(&mut self, id: FeedId, millis: i64) {
        let Some(f) = self.feed(id) else { return };
        if !std::mem::replace(&mut f.planned, true) {
            self.after(millis, Event::Step(id));
        }
    }

    fn lag(&mut self) -> i64 {
        let f = self.faults;
        if self.rng.permille(f.stall) { self.rng.range(1000, 20_000) } else { self.rng.delay(0, f.delay_ms) }
    }

    fn retry(&mut self, id: FeedId) {
        let Some(f) = self.feed(id) else { return };
        f.failures += 1;
        let base = 100i64 << f.failures.min(6);
        let millis = self.rng.range(base, base * 2);
        self.plan(id, millis);
    }

    fn step(&mut self, id: FeedId) {
        let Some(f) = self.feed(id) else { return };
        f.planned = false;
        if matches!(f.stage, Stage::Open(_)) {
            return self.pump(id);
        }
        let listing = matches!(f.stage, Stage::List);
        if matches!(f.stage, Stage::Listing) {
            return;
        }
        let slot = &self.slots[id.0];
        let lost = slot.cut || self.rng.permille(self.faults.lose_request + self.faults.lose_answer);
        let local = self.local(&slot.user).filter(|_| !lost);
        let Some(local) = local else { return self.retry(id) };
        let limit = if self.rng.permille(100) { 3 } else { 0 };
        let Some(f) = self.feed(id) else { return };
        if listing {
            match f.list(&local, limit) {
                Ok((items, revision)) => {
                    f.stage = Stage::Listing;
                    let delay = self.lag();
                    self.after(delay, Event::Listed(id, items, revision));
                }
                Err(e) => {
                    let gvr = f.spec.gvr.clone();
                    self.say(|| format!("list {gvr}: {e}"));
                    self.retry(id);
                }
            }
            return;
        }
        match f.watch(&local) {
            Ok(()) => {
                f.failures = 0;
                let delay = self.lag();
                self.plan(id, delay);
            }
            Err(e) => {
                if e.code == 410 {
                    f.stage = Stage::List;
                }
                let gvr = f.spec.gvr.clone();
                self.say(|| format!("watch {gvr}: {e}"));
                self.retry(id);
            }
        }
    }

    fn listed(&mut self, id: FeedId, items: Vec<Bytes>, revision: u64) {
        let Some(f) = self.feed(id) else { return };
        if revision < f.revision {
            let why = format!("a list of {} went from revision {} to {revision}", f.spec.gvr, f.revision);
            return self.fail(why);
        }
        (f.stage, f.revision, f.failures) = (Stage::Watch, revision, 0);
        self.deliver(id, RawEvent::Replaced { items, revision });
        let delay = self.rng.delay(0, self.faults.delay_ms);
        self.plan(id, delay);
        self.turn(id.0);
    }

    fn deliver(&mut self, id: FeedId, event: RawEvent) {
        let now = self.now();
        if let Some(p) = &mut self.slots[id.0].process {
            p.apply(id.2, event, now);
        }
    }

    fn pump(&mut self, id: FeedId) {
        let most = 1 + self.rng.below(12);
        let woken = self.woken.clone();
        for _ in 0..most {
            let Some(f) = self.feed(id) else { return };
            match f.take(id, &woken) {
                Taken::Event(event) => self.deliver(id, event),
                Taken::Nothing => {
                    self.turn(id.0);
                    return self.mishap(id);
                }
                Taken::End(relist) => {
                    f.stage = if relist { Stage::List } else { Stage::Watch };
                    self.turn(id.0);
                    let delay = self.rng.range(50, 1000);
                    return self.plan(id, delay);
                }
                Taken::Broken(why) => return self.fail(why),
            }
        }
        self.turn(id.0);
        let lag = self.lag();
        self.plan(id, lag);
    }

    /// What may happen to a watch after it has delivered.
    fn mishap(&mut self, id: FeedId) {
        let cut = self.rng.permille(self.faults.cut);
        let expire = self.rng.permille(self.faults.expire);
        let Some(f) = self.feed(id) else { return };
        if cut || expire {
            f.stage = if expire { Stage::List } else { Stage::Watch };
            let delay = self.rng.delay(10, 5000);
            self.plan(id, delay);
        }
    }

    // ---- time ----

    fn handle(&mut self, event: Event) -> bool {
        match event {
            Event::Turn(slot, epoch) if self.slots[slot].epoch == epoch => self.turn(slot),
            Event::Turn(..) => {}
            Event::Arrive(id) => self.arrive(id),
            Event::Answer(id, result) => self.answered(id, result),
            Event::Step(id) => self.step(id),
            Event::Listed(id, items, revision) => self.listed(id, items, revision),
            Event::Impatient(id, revision) => {
                let Some(f) = self.feed(id) else { return false };
                if f.revision < revision && !matches!(f.stage, Stage::Listing) {
                    f.stage = Stage::List;
                    self.plan(id, 1);
                }
            }
            Event::Restart(slot, epoch) if self.slots[slot].epoch == epoch => {
                if let Some(next) = self.slots[slot].next.take() {
                    let name = self.slots[slot].name.clone();
                    self.say(|| format!("{name} starts again"));
                    self.begin(slot, next);
                }
            }
            Event::Restart(..) => {}
            Event::ServerUp => self.server_up(),
            Event::Outside => return true,
        }
        false
    }

    /// Takes in what the store has told and wakes watches.
    fn settle(&mut self) {
        let at = self.millis();
        for e in self.recorder.take() {
            if let Err(why) = self.truth.apply(&e, at) {
                self.fail(why);
            }
        }
        for id in self.woken.take() {
            let lag = self.lag();
            self.plan(id, lag);
        }
    }

    /// Lets time pass until those outside are to act (true) or until `until` (false).
    pub fn run(&mut self, until: i64) -> bool {
        while self.broken.is_none() {
            let queued = self.queue.first_key_value().map(|((at, _), _)| *at);
            let timer = self.timer.next();
            let at = [queued, timer].into_iter().flatten().min().unwrap_or(i64::MAX);
            if at > until {
                self.advance(until);
                return false;
            }
            self.advance(at);
            self.timer.fire();
            self.settle();
            self.steps += 1;
            if queued == Some(at)
                && let Some((_, event)) = self.queue.pop_first()
                && self.handle(event)
            {
                self.settle();
                return true;
            }
            self.settle();
        }
        false
    }

    fn advance(&self, to: i64) {
        let by = u64::try_from(to - self.millis()).unwrap_or(0);
        self.clock.advance(Duration::from_millis(by));
    }
}

fn line(op: &Op, result: &Result<Answer, Status>) -> String {
    let (ns, name) = op.target();
    let sub = op.subresource();
    let outcome = match result {
        Ok(Answer::Object(b)) => {
            let p = reconcile::Partial::parse(b).unwrap_or_default();
            format!("ok {} {}", p.metadata.name, p.metadata.resource_version)
        }
        Ok(Answer::Revision(r)) => format!("revision {r}"),
        Ok(Answer::List { items, revision, .. }) => format!("{} items at {revision}", items.len()),
        Err(e) => e.to_string(),
    };
    format!("{} {} {ns}/{name} {sub} -> {outcome}", op.verb(), op.gvr().resource)
}
