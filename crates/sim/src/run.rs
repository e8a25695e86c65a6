//! One run: set up, act with faults, heal, come to rest.

use std::sync::Arc;

use controllers::Registration;
use jiff::Timestamp;
use meta::User;
use reconcile::{Engine, EngineConfig};

use crate::faults::Faults;
use crate::judge::Judge;
use crate::outside::Outside;
use crate::process::{Manager, Schedule};
use crate::rng::Rng;
use crate::world::World;

/// How long people and mischance act, in milliseconds.
const CHAOS_MS: (i64, i64) = (40_000, 240_000);
/// How long everything may take to come to rest.
const REST_MS: i64 = 1_800_000;
/// How long nothing may be written when everything is at rest.
const QUIET_MS: i64 = 60_000;

/// What a run is about.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub seed: u64,
    pub trace: bool,
    pub mutation: Mutation,
}

/// A mistake made on purpose, to show that the simulation notices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mutation {
    #[default]
    None,
    /// Controllers do not wait for their own writes.
    NoGate,
    /// The scheduler does not count what it has decided before it sees it.
    ForgetfulScheduler,
    /// The deployment controller takes every status of a replica set for the newest.
    CredulousDeployments,
}

impl Options {
    /// The run of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        Options { seed, trace: false, mutation: Mutation::None }
    }
}

/// How a run ended.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What was found wrong, if anything.
    pub broken: Option<String>,
    pub trace: String,
    pub steps: u64,
    pub pods_created: u64,
    pub pods_bound: u64,
    pub revisions: u64,
    /// Pods taken away while their deployment's availability counted.
    pub weighed: u64,
    /// Virtual seconds.
    pub seconds: i64,
}

/// The resources that occur here: what the garbage collector follows and the namespace controller empties.
const RESOURCES: [&str; 17] = [
    "pods",
    "services",
    "endpoints",
    "configmaps",
    "secrets",
    "serviceaccounts",
    "nodes",
    "namespaces",
    "deployments",
    "replicasets",
    "endpointslices",
    "leases",
    "controllerrevisions",
    "jobs",
    "cronjobs",
    "statefulsets",
    "persistentvolumeclaims",
];

/// All controllers; those that replace pods have a judge behind them.
fn engines(mutation: Mutation, judge: &Judge) -> Vec<(Engine, &'static str)> {
    let config = controllers::Config::new("a certificate");
    let all = controllers::all(&config).into_iter();
    let credulous = mutation == Mutation::CredulousDeployments;
    let watched = |r: Registration| {
        let engine = match r.name {
            "deployment-controller" => Engine::new(judge.deployments(credulous), EngineConfig::default()),
            "replicaset-controller" => Engine::new(judge.replica_sets(), EngineConfig::default()),
            _ => r.engine,
        };
        let gate = mutation != Mutation::NoGate;
        (if gate { engine } else { engine.without_gate() }, r.service_account)
    };
    all.map(watched).collect()
}

/// Runs a seed to its end or to the first broken rule.
#[must_use]
pub fn run(o: Options) -> Outcome {
    let mut rng = Rng::new(o.seed);
    let mut w = World::new(rng.next(), o.trace);
    let began = w.millis();
    let calm = rng.permille(250);
    let faults = Faults::draw(&mut rng);
    w.calm = calm;
    let discovery = restricted(&w.discovery());
    let judge = Judge::default();
    let watched = judge.clone();
    let make = Arc::new(move |_| engines(o.mutation, &watched));
    let manager = Manager::new(make, judge, discovery, w.now());
    let manager = w.start("manager", User::new("system:kube-controller-manager", &[]), Box::new(manager));
    let scheduler = Schedule::new(rng.next(), o.mutation == Mutation::ForgetfulScheduler);
    let scheduler = w.start("scheduler", User::new("system:kube-scheduler", &[]), Box::new(scheduler));
    let end = began + rng.range(CHAOS_MS.0, CHAOS_MS.1);
    let ends = Timestamp::from_millisecond(end).unwrap_or(Timestamp::MAX);
    let mut outside = Outside::new(rng.fork(), calm, ends, manager, scheduler);
    outside.set_up(&mut w);
    w.faults = if calm { faults.without_node_failures() } else { faults };
    w.say(|| format!("calm {calm}, {faults:?}"));
    w.call_outside(1000);
    while w.run(end) {
        let next = outside.act(&mut w);
        w.call_outside(next);
    }
    if w.broken.is_none() {
        come_to_rest(&mut w, &mut outside);
    }
    Outcome {
        broken: w.broken.take(),
        steps: w.steps,
        pods_created: w.truth.created,
        pods_bound: w.truth.bound,
        revisions: w.truth.revision,
        weighed: w.truth.weighed,
        seconds: (w.millis() - began) / 1000,
        trace: w.trace.take().unwrap_or_default(),
    }
}

fn pass(w: &mut World, millis: i64) {
    let until = w.millis() + millis;
    // Those outside do not act any more.
    while w.run(until) {}
}

fn come_to_rest(w: &mut World, outside: &mut Outside) {
    w.faults = Faults::none();
    w.say(|| "the faults end".to_owned());
    w.calm = false;
    pass(w, 30_000);
    outside.heal(w);
    pass(w, 60_000);
    let deadline = w.millis() + REST_MS;
    let mut left = String::new();
    while w.broken.is_none() && w.millis() < deadline {
        outside.sweep(w);
        pass(w, 10_000);
        match w.truth.converged().and_then(|()| w.busy().map_or(Ok(()), Err)) {
            Ok(()) => return stay_at_rest(w),
            Err(why) => left = format!("{why}; {}", w.busy().unwrap_or_default()),
        }
    }
    w.fail(format!("not at rest after {} s: {left}", REST_MS / 1000));
}

/// Nothing is written once there is nothing left to do.
fn stay_at_rest(w: &mut World) {
    let before = w.writes;
    pass(w, QUIET_MS);
    if w.broken.is_some() {
        return;
    }
    if w.writes > before {
        let n = w.writes - before;
        return w.fail(format!("{n} writes in {} s although everything was at rest", QUIET_MS / 1000));
    }
    if let Err(why) = w.truth.converged() {
        w.fail(format!("it was at rest, and then: {why}"));
    }
}

fn restricted(all: &reconcile::Discovery) -> reconcile::Discovery {
    let wanted = |r: &&reconcile::ResourceInfo| RESOURCES.contains(&&*r.gvr.resource);
    let some = all.resources().iter().filter(wanted).cloned().collect();
    reconcile::Discovery::new(some, Vec::new(), Vec::new())
}
