//! Tables for the worker: pods on a runtime in memory, on virtual time.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use serde_json::{Value, json};

use super::probes::Verdict;
use super::task::{Change, Effect, Finished, Image, Input, Outcome, Resized, Task, Why};
use super::view::{CState, ContainerView, SandboxView, View};
use super::{NodeFacts, Stage, Worker};
use crate::spec::PodExt;
use crate::spec::container::hash;

/// A runtime that does at once what it is told.
pub(crate) struct Sim {
    pub worker: Worker,
    pub now: Timestamp,
    runtime: View,
    status: Option<PodStatus>,
    /// Statuses that went out.
    writes: u32,
    /// Finalizers keep the API object.
    held: bool,
    /// Everything the worker did, in order.
    log: Vec<String>,
    /// Exit codes of containers that end as soon as they start.
    exits: BTreeMap<String, i32>,
    image_error: Option<Why>,
    verdicts: BTreeMap<String, Verdict>,
    /// The kind of task that fails: `kill`, `stop`, `drop`, `remove`.
    broken: &'static str,
    /// The runtime tells no end of containers.
    endless: bool,
    finished: bool,
    forgotten: bool,
}

fn pod(spec: Value) -> Pod {
    serde_json::from_value(
        json!({"metadata": {"name": "p", "namespace": "n", "uid": "u", "generation": 1}, "spec": spec}),
    )
    .unwrap()
}

impl Sim {
    pub fn new(spec: Value) -> Sim {
        Sim::of(pod(spec), View::default())
    }

    fn of(pod: Pod, runtime: View) -> Sim {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let node = Arc::new(NodeFacts {
            host_ips: vec!["1.1.1.1".into()],
            runtime: "containerd".into(),
            ..NodeFacts::default()
        });
        Sim {
            worker: Worker::new(Arc::new(pod), node, None, now),
            now,
            runtime,
            status: None,
            writes: 0,
            held: false,
            log: Vec::new(),
            exits: BTreeMap::new(),
            image_error: None,
            verdicts: BTreeMap::new(),
            broken: "-",
            endless: false,
            finished: false,
            forgotten: false,
        }
    }

    fn nanos(&self) -> i64 {
        i64::try_from(self.now.as_nanosecond()).unwrap()
    }

    /// Takes an input and all that follows from it at once.
    pub fn feed(&mut self, input: Input) {
        let mut queue = std::collections::VecDeque::from([input]);
        let mut steps = 0;
        while let Some(i) = queue.pop_front() {
            steps += 1;
            assert!(steps < 1000, "it does not settle: {:?}", self.log);
            for e in self.worker.step(i, self.now) {
                match e {
                    Effect::Do(task) => {
                        let outcome = self.perform(&task);
                        queue.push_back(Input::Done(task, outcome));
                    }
                    Effect::Event { reason, .. } => self.log.push(format!("event {reason}")),
                    Effect::Status(s) => {
                        self.status = Some(*s);
                        self.writes += 1;
                    }
                    Effect::Forget => self.forgotten = true,
                }
            }
        }
    }

    /// Lets so many seconds pass, waking the worker as it wants.
    pub fn pass(&mut self, seconds: i64) {
        let end = self.now + SignedDuration::from_secs(seconds);
        while let Some(at) = self.worker.wake().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            self.feed(Input::Tick);
        }
        self.now = end;
    }

    fn perform(&mut self, task: &Task) -> Outcome {
        match task {
            Task::Inspect { .. } => return Outcome::View(Ok(self.runtime.clone())),
            Task::Probe { container, kind, .. } => {
                let key = format!("{}/{container}", kind.title());
                return Outcome::Probe(self.verdicts.get(&key).cloned().unwrap_or(Verdict::Success));
            }
            Task::Refresh => return Outcome::Prepared(Ok(())),
            _ => {}
        }
        if let Some(failed) = self.fail(task) {
            return failed;
        }
        match task {
            Task::Prepare => {
                self.log.push("prepare".into());
                Outcome::Prepared(Ok(()))
            }
            Task::RunSandbox { attempt } => {
                self.log.push(format!("sandbox {attempt}"));
                let s = SandboxView {
                    id: format!("s{attempt}"),
                    attempt: *attempt,
                    ready: true,
                    created_at: self.nanos(),
                    ips: vec![format!("10.0.0.{}", attempt + 1)],
                };
                self.runtime.sandboxes.insert(0, s.clone());
                Outcome::Sandbox(Ok(s))
            }
            Task::StopSandbox { id } => {
                self.log.push(format!("stop {id}"));
                self.runtime.sandboxes.iter_mut().filter(|s| s.id == *id).for_each(|s| s.ready = false);
                Outcome::SandboxStopped(Ok(()))
            }
            Task::RemoveSandbox { id } => {
                self.runtime.sandboxes.retain(|s| s.id != *id);
                self.runtime.containers.retain(|c| c.sandbox_id != *id);
                Outcome::SandboxRemoved(Ok(()))
            }
            Task::Image { container } => {
                self.log.push(format!("image {container}"));
                Outcome::Image(self.image_error.clone().map_or(Ok(Image::default()), Err))
            }
            Task::Start { container, sandbox, restart_count, .. } => {
                self.start(container, &sandbox.id, *restart_count)
            }
            Task::PostStart { .. } => Outcome::PostStart(Ok(())),
            Task::Kill { container, id, grace_seconds, .. } => {
                self.log.push(format!("kill {container} {grace_seconds}"));
                self.exit(id, 137);
                Outcome::Killed(Ok(self.runtime.by_id(id).cloned()))
            }
            Task::Resize { changes } => self.resize(changes),
            Task::Remove { id } => {
                self.log.push(format!("remove {id}"));
                self.runtime.containers.retain(|c| c.id != *id);
                Outcome::Removed(Ok(()))
            }
            Task::Cleanup { logs } => {
                self.log.push(format!("cleanup {logs}"));
                Outcome::Cleaned(Ok(()))
            }
            Task::Finish { status } => {
                self.status = Some((**status).clone());
                self.finished = true;
                Outcome::Finished(Ok(if self.held { Finished::Held } else { Finished::Gone }))
            }
            Task::Inspect { .. } | Task::Refresh | Task::Probe { .. } => unreachable!("handled above"),
        }
    }

    fn resize(&mut self, changes: &[Change]) -> Outcome {
        let pod = self.worker.pod().clone();
        let of = |c: &Change| pod.container(&c.container).unwrap().resources.clone();
        self.log.extend(changes.iter().map(|c| format!("resize {} {}", c.container, c.restart)));
        let done = changes.iter().map(|c| of(c).unwrap_or_default()).collect();
        Outcome::Resized(match &self.image_error {
            Some(why) => Resized::Pending(why.clone()),
            None => Resized::Done(done),
        })
    }

    /// The answer to a task that is to fail.
    fn fail(&mut self, task: &Task) -> Option<Outcome> {
        if let Task::Kill { container, pre_stop, message, .. } = task {
            self.log.extend(pre_stop.then(|| format!("hook {container}")));
            self.log.extend((!message.is_empty()).then(|| "event Killing".to_owned()));
        }
        let no = || Err("no".to_owned());
        let (line, outcome) = match (self.broken, task) {
            ("start", Task::Start { container, sandbox, restart_count, .. }) => {
                // Made, but its program is not there.
                self.start(container, &sandbox.id, *restart_count);
                let id = format!("{container}-{restart_count}");
                let now = self.nanos();
                for c in self.runtime.containers.iter_mut().filter(|c| c.id == id) {
                    (c.state, c.exit_code, c.started_at, c.finished_at) = (CState::Exited, 128, 0, now);
                    c.reason = "StartError".to_owned();
                }
                return Some(Outcome::Started(Err(Why::new("RunContainerError", "no such program"))));
            }
            ("kill", Task::Kill { id, .. }) => (format!("kill {id}"), Outcome::Killed(Err("no".to_owned()))),
            ("stop", Task::StopSandbox { id }) => (format!("stop {id}"), Outcome::SandboxStopped(no())),
            ("drop", Task::RemoveSandbox { id }) => (format!("drop {id}"), Outcome::SandboxRemoved(no())),
            ("remove", Task::Remove { id }) => (format!("remove {id}"), Outcome::Removed(no())),
            _ => return None,
        };
        self.log.push(line);
        Some(outcome)
    }

    fn start(&mut self, name: &str, sandbox: &str, count: u32) -> Outcome {
        self.log.push(format!("start {name} {count}"));
        let spec = self.worker.pod().container(name).unwrap();
        let mut v = running(name, sandbox, count, self.nanos());
        v.hash = hash(&spec);
        if let Some(code) = self.exits.get(name) {
            v.state = CState::Exited;
            v.exit_code = *code;
            v.finished_at = if self.endless { 0 } else { self.nanos() };
        }
        self.runtime.put(v.clone());
        Outcome::Started(Ok(v))
    }

    fn exit(&mut self, id: &str, code: i32) {
        let now = self.nanos();
        for c in self.runtime.containers.iter_mut().filter(|c| c.id == id && c.state == CState::Running) {
            c.state = CState::Exited;
            c.exit_code = code;
            c.finished_at = now;
        }
    }

    /// A container ends by itself and the next list shows it.
    fn ends(&mut self, id: &str, code: i32) {
        self.exit(id, code);
        self.feed(Input::Outline(self.runtime.outline()));
    }

    fn took(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log).into_iter().filter(|l| !l.starts_with("event")).collect()
    }

    fn phase(&self) -> &str {
        self.status.as_ref().and_then(|s| s.phase.as_deref()).unwrap_or_default()
    }

    fn condition(&self, kind: &str) -> (String, String) {
        let c = self
            .status
            .as_ref()
            .and_then(|s| s.conditions.as_ref())
            .unwrap()
            .iter()
            .find(|c| c.type_ == kind)
            .unwrap();
        (c.status.clone(), c.message.clone().unwrap_or_default())
    }

    fn waiting(&self, i: usize) -> String {
        let all = self.status.as_ref().and_then(|s| s.container_statuses.as_ref()).unwrap();
        all[i]
            .state
            .as_ref()
            .and_then(|s| s.waiting.as_ref())
            .and_then(|w| w.reason.clone())
            .unwrap_or_default()
    }

    fn delete(&mut self, grace: i64) {
        let mut pod = (**self.worker.pod()).clone();
        pod.metadata.deletion_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(self.now));
        pod.metadata.deletion_grace_period_seconds = Some(grace);
        self.feed(Input::Pod(Arc::new(pod)));
    }
}

fn running(name: &str, sandbox: &str, count: u32, at: i64) -> ContainerView {
    ContainerView {
        id: format!("{name}-{count}"),
        name: name.to_owned(),
        sandbox_id: sandbox.to_owned(),
        state: CState::Running,
        created_at: at,
        started_at: at,
        finished_at: 0,
        exit_code: 0,
        reason: String::new(),
        message: String::new(),
        image: "i".into(),
        image_id: "sha256:1".into(),
        restart_count: count,
        hash: String::new(),
        user: None,
    }
}

#[test]
fn a_pod_starts_in_order_and_is_ready() {
    let mut s = Sim::new(json!({"containers": [{"name": "a"}, {"name": "b"}]}));
    s.feed(Input::Tick);
    assert_eq!(s.took(), ["prepare", "sandbox 0", "image a", "image b", "start a 0", "start b 0"]);
    assert_eq!(s.phase(), "Running");
    for c in ["Ready", "ContainersReady", "Initialized", "PodReadyToStartContainers", "PodScheduled"] {
        assert_eq!(s.condition(c).0, "True", "{c}");
    }
    let status = s.status.clone().unwrap();
    assert_eq!(status.pod_ip.as_deref(), Some("10.0.0.1"));
    assert_eq!(status.container_statuses.unwrap()[0].container_id.as_deref(), Some("containerd://a-0"));
    assert_eq!(status.observed_generation, Some(1));
}

#[test]
fn init_containers_and_sidecars_go_first() {
    let mut s = Sim::new(json!({
        "initContainers": [{"name": "i1"}, {"name": "side", "restartPolicy": "Always"}, {"name": "i2"}],
        "containers": [{"name": "c"}]}));
    s.feed(Input::Tick);
    assert_eq!(s.took(), ["prepare", "sandbox 0", "image i1", "start i1 0"]);
    assert_eq!((s.phase(), s.waiting(0).as_str()), ("Pending", "PodInitializing"));
    assert_eq!(s.condition("Initialized").1, "containers with incomplete status: [i1 side i2]");
    s.ends("i1-0", 0);
    assert_eq!(s.took(), ["image side", "start side 0", "image i2", "start i2 0"]);
    s.ends("i2-0", 0);
    assert_eq!(s.took(), ["image c", "start c 0"]);
    assert_eq!((s.phase(), s.condition("Ready").0.as_str()), ("Running", "True"));
    // A sidecar that ends runs again; finished init containers do not.
    s.ends("side-0", 0);
    assert_eq!(s.took(), ["image side", "start side 1"]);
}

#[test]
fn a_failed_init_container_follows_the_policy() {
    for (policy, phase, again) in [("Never", "Failed", false), ("Always", "Pending", true)] {
        let mut s = Sim::new(
            json!({"restartPolicy": policy, "initContainers": [{"name": "i"}], "containers": [{"name": "c"}]}),
        );
        s.feed(Input::Tick);
        s.ends("i-0", 1);
        assert_eq!(s.phase(), phase, "{policy}");
        assert_eq!(s.took().contains(&"start i 1".to_owned()), again, "{policy}");
    }
}

#[test]
fn restart_policies_give_phases() {
    let cases = [
        ("Never", 0, "Succeeded"),
        ("Never", 1, "Failed"),
        ("OnFailure", 0, "Succeeded"),
        ("OnFailure", 1, "Running"),
        ("Always", 0, "Running"),
    ];
    for (policy, code, phase) in cases {
        let mut s = Sim::new(json!({"restartPolicy": policy, "containers": [{"name": "c"}]}));
        s.feed(Input::Tick);
        s.took();
        s.ends("c-0", code);
        assert_eq!(s.phase(), phase, "{policy} {code}");
        let over = phase != "Running";
        assert_eq!(s.worker.stage() == Stage::Ended, over, "{policy} {code}");
        let took = s.took();
        assert_eq!(took.contains(&"start c 1".to_owned()), !over, "{policy} {code}: {took:?}");
        assert_eq!(took.contains(&"cleanup false".to_owned()), over, "{policy} {code}: {took:?}");
    }
}

#[test]
fn a_program_that_is_missing_is_a_start_error() {
    for (policy, phase, starts) in [("Never", "Failed", 1), ("Always", "Running", 2)] {
        let mut s = Sim::new(json!({"restartPolicy": policy, "containers": [{"name": "c"}]}));
        s.broken = "start";
        s.feed(Input::Tick);
        assert_eq!(s.phase(), phase, "{policy}");
        let took = s.took();
        for step in ["image c", "start c"] {
            let count = took.iter().filter(|l| l.starts_with(step)).count();
            assert_eq!(count, starts, "{policy} {step}: {took:?}");
        }
        let status = &s.status.as_ref().unwrap().container_statuses.as_ref().unwrap()[0];
        let both = [status.state.as_ref(), status.last_state.as_ref()];
        let end = both.into_iter().flatten().find_map(|s| s.terminated.as_ref()).unwrap();
        assert_eq!((end.exit_code, end.reason.as_deref()), (128, Some("StartError")), "{policy}");
        assert_eq!(end.started_at.as_ref().map(|t| t.0), Some(Timestamp::UNIX_EPOCH), "{policy}");
        let waits = if policy == "Always" { "CrashLoopBackOff" } else { "" };
        assert_eq!(s.waiting(0), waits, "{policy}");
    }
}

#[test]
fn running_containers_are_resized_in_place_or_anew() {
    let spec = |cpu: &str, memory: &str| {
        json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu, "memory": memory}},
            "resizePolicy": [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]}]})
    };
    let mut s = Sim::new(spec("1", "1Gi"));
    s.feed(Input::Tick);
    s.took();
    let shown = |s: &Sim, name: &str| {
        let status = s.status.clone().unwrap().container_statuses.unwrap().remove(0);
        status.allocated_resources.unwrap().remove(name).unwrap().0
    };
    let change = |s: &mut Sim, spec: Value| {
        let mut pod = (**s.worker.pod()).clone();
        pod.spec = serde_json::from_value(spec).unwrap();
        pod.metadata.generation = pod.metadata.generation.map(|g| g + 1);
        s.feed(Input::Pod(Arc::new(pod)));
    };
    let has =
        |s: &Sim, kind: &str| s.status.as_ref().unwrap().conditions.iter().flatten().any(|c| c.type_ == kind);
    // The same amount in other words is no change.
    change(&mut s, spec("1000m", "1Gi"));
    assert_eq!(s.took(), [""; 0]);
    change(&mut s, spec("2", "1Gi"));
    assert_eq!((s.took(), shown(&s, "cpu")), (vec!["resize c false".to_owned()], "2".to_owned()));
    change(&mut s, spec("2", "2Gi"));
    assert_eq!(s.took(), ["resize c true", "kill c 30", "image c", "start c 1"]);
    assert_eq!(shown(&s, "memory"), "2Gi");
    assert!(!has(&s, "PodResizeInProgress") && !has(&s, "PodResizePending"));
    // What the node has no room for waits, and what runs is shown as it is.
    s.image_error = Some(Why::new("Deferred", "no room"));
    change(&mut s, spec("3", "2Gi"));
    s.pass(11);
    assert_eq!(s.took(), ["resize c false", "resize c false"]);
    assert!(has(&s, "PodResizePending"));
    assert_eq!(shown(&s, "cpu"), "2");
    s.image_error = None;
    s.pass(11);
    assert_eq!((s.took().len(), shown(&s, "cpu")), (1, "3".to_owned()));
    assert!(!has(&s, "PodResizePending"));
}

#[test]
fn ephemeral_containers_run_once() {
    let mut s = Sim::new(json!({"initContainers": [{"name": "i"}], "containers": [{"name": "c"}]}));
    s.feed(Input::Tick);
    s.took();
    let mut pod = (**s.worker.pod()).clone();
    pod.spec.as_mut().unwrap().ephemeral_containers =
        serde_json::from_value(json!([{"name": "e", "image": "i", "targetContainerName": "c"}])).unwrap();
    s.feed(Input::Pod(Arc::new(pod)));
    // It does not wait for the init containers.
    assert_eq!(s.took(), ["image e", "start e 0"]);
    let shown =
        |s: &Sim| s.status.as_ref().unwrap().ephemeral_container_statuses.as_ref().unwrap()[0].clone();
    assert!(shown(&s).state.unwrap().running.is_some() && !shown(&s).ready);
    s.ends("e-0", 3);
    assert_eq!(s.took(), [""; 0]);
    assert_eq!(shown(&s).state.unwrap().terminated.map(|t| t.exit_code), Some(3));
    s.ends("i-0", 0);
    assert_eq!((s.took().len(), s.phase()), (2, "Running"));
    s.delete(1);
    assert!(s.finished);
}

#[test]
fn crashing_containers_wait_longer_each_time() {
    let mut s = Sim::new(json!({"containers": [{"name": "c"}]}));
    s.exits.insert("c".into(), 1);
    let begun = s.now;
    s.feed(Input::Tick);
    assert_eq!(s.waiting(0), "CrashLoopBackOff");
    assert_eq!(s.phase(), "Running");
    let mut starts: Vec<i64> = s.took().iter().filter(|l| l.starts_with("start")).map(|_| 0).collect();
    for _ in 0..1000 {
        s.pass(1);
        for l in s.took() {
            if l.starts_with("start") {
                starts.push(s.now.duration_since(begun).as_secs());
            }
        }
    }
    // The first two came at once; then 10, 20, 40, 80, 160, 300 s apart.
    assert_eq!(starts, [0, 0, 10, 30, 70, 150, 310, 610, 910]);
}

#[test]
fn a_container_without_an_end_starts_again_after_its_delay() {
    let mut s = Sim::new(json!({"containers": [{"name": "c"}]}));
    s.exits.insert("c".into(), 1);
    s.endless = true;
    s.feed(Input::Tick);
    s.pass(35);
    let starts = s.took().iter().filter(|l| l.starts_with("start")).count();
    assert_eq!(starts, 4, "two at once, then after 10 and 20 s");
}

#[test]
fn what_cannot_be_stopped_or_removed_is_tried_again_with_delays() {
    let hook = json!({"preStop": {"exec": {"command": ["x"]}}});
    for broken in ["kill", "stop", "drop"] {
        let mut s = Sim::new(json!({"containers": [{"name": "c", "lifecycle": hook}]}));
        s.feed(Input::Tick);
        s.log.clear();
        s.broken = broken;
        s.delete(5);
        let tries = |s: &Sim| s.log.iter().filter(|l| l.starts_with(broken)).count();
        assert_eq!(tries(&s), 1, "{broken}: {:?}", s.log);
        // After 0.5, 1, 2, 4 and 8 s.
        s.pass(20);
        assert_eq!(tries(&s), 6, "{broken}: {:?}", s.log);
        s.broken = "-";
        s.pass(20);
        assert!(s.finished && s.forgotten, "{broken}: {:?}", s.log);
        for once in ["hook c", "event Killing"] {
            assert_eq!(s.log.iter().filter(|l| *l == once).count(), 1, "{broken} {once}: {:?}", s.log);
        }
    }
}

#[test]
fn a_failed_kill_or_removal_of_a_running_pod_is_tried_again_with_delays() {
    let probe = json!({"periodSeconds": 1, "failureThreshold": 1, "exec": {"command": ["x"]}});
    let mut s = Sim::new(json!({"containers": [{"name": "c", "livenessProbe": probe}]}));
    s.feed(Input::Tick);
    s.took();
    s.broken = "kill";
    s.verdicts.insert("Liveness/c".into(), Verdict::Failure("dead".into()));
    s.pass(10);
    let kills = s.took().len();
    assert!((3..=6).contains(&kills), "{kills}");
    s.broken = "-";
    s.verdicts.clear();
    s.pass(10);
    assert_eq!(s.took(), ["kill c 30", "image c", "start c 1"]);
    let mut s = Sim::new(json!({"containers": [{"name": "c"}]}));
    s.exits.insert("c".into(), 1);
    s.broken = "remove";
    s.feed(Input::Tick);
    s.pass(40);
    let removals = s.took().iter().filter(|l| l.starts_with("remove")).count();
    assert!((3..=9).contains(&removals), "{removals}");
}

#[test]
fn failed_pulls_back_off() {
    let mut s = Sim::new(json!({"containers": [{"name": "c", "image": "x"}]}));
    s.image_error = Some(Why::new("ErrImagePull", "no such host"));
    s.feed(Input::Tick);
    assert_eq!((s.phase(), s.waiting(0).as_str()), ("Pending", "ErrImagePull"));
    s.pass(3);
    assert_eq!(s.waiting(0), "ImagePullBackOff");
    s.took();
    s.image_error = None;
    s.pass(6);
    assert!(s.took().is_empty());
    s.pass(2);
    assert_eq!(s.took(), ["image c", "start c 0"]);
    assert_eq!(s.phase(), "Running");
}

#[test]
fn probes_decide_over_readiness_and_life() {
    let probe = json!({"periodSeconds": 1, "failureThreshold": 2, "exec": {"command": ["x"]}});
    let mut s = Sim::new(json!({"terminationGracePeriodSeconds": 7, "containers": [
        {"name": "c", "readinessProbe": probe, "livenessProbe": probe, "startupProbe": probe}]}));
    s.verdicts.insert("Readiness/c".into(), Verdict::Failure("503".into()));
    s.feed(Input::Tick);
    s.pass(5);
    assert_eq!(s.condition("Ready"), ("False".into(), "containers with unready status: [c]".into()));
    s.verdicts.clear();
    s.pass(2);
    assert_eq!(s.condition("Ready").0, "True");
    s.took();
    s.verdicts.insert("Liveness/c".into(), Verdict::Failure("dead".into()));
    s.pass(1);
    assert!(s.took().is_empty(), "one failure is not enough");
    s.pass(1);
    assert_eq!(s.took(), ["kill c 7", "image c", "start c 1"]);
    assert_eq!(s.status.clone().unwrap().container_statuses.unwrap()[0].restart_count, 1);
}

#[test]
fn a_startup_probe_holds_the_others_back() {
    let probe = json!({"periodSeconds": 1, "exec": {"command": ["x"]}});
    let mut s = Sim::new(json!({"containers": [{"name": "c", "livenessProbe": probe,
        "startupProbe": {"periodSeconds": 1, "failureThreshold": 5, "exec": {"command": ["x"]}}}]}));
    s.verdicts.insert("Startup/c".into(), Verdict::Failure("not yet".into()));
    s.verdicts.insert("Liveness/c".into(), Verdict::Failure("no".into()));
    s.feed(Input::Tick);
    s.pass(3);
    assert_eq!(s.condition("Ready").0, "False");
    assert!(!s.took().iter().any(|l| l.starts_with("kill")));
    s.pass(3);
    assert!(s.took().contains(&"kill c 30".to_owned()), "five failures end it");
}

#[test]
fn deletion_stops_cleans_and_finishes() {
    let mut s = Sim::new(
        json!({"initContainers": [{"name": "side", "restartPolicy": "Always"}], "containers": [{"name": "c"}]}),
    );
    s.feed(Input::Tick);
    s.took();
    s.delete(5);
    assert_eq!(s.took(), ["kill c 5", "kill side 5", "stop s0", "cleanup false", "cleanup true"]);
    assert!(s.finished && s.forgotten);
    assert_eq!(s.phase(), "Failed");
    assert!(s.runtime.sandboxes.is_empty());
}

#[test]
fn a_pod_that_vanished_is_removed_without_a_word() {
    let mut s = Sim::new(json!({"terminationGracePeriodSeconds": 9, "containers": [{"name": "c"}]}));
    s.feed(Input::Tick);
    s.took();
    s.feed(Input::Gone);
    assert_eq!(s.took(), ["kill c 9", "stop s0", "cleanup false", "cleanup true"]);
    assert!(!s.finished && s.forgotten);
}

#[test]
fn a_new_agent_takes_up_what_runs() {
    let spec = json!({"containers": [{"name": "c", "image": "i"}]});
    let at = 1_699_999_000_000_000_000;
    let mut c = running("c", "s0", 2, at);
    c.hash = hash(&pod(spec.clone()).container("c").unwrap());
    let sandbox = SandboxView {
        id: "s0".into(),
        attempt: 0,
        ready: true,
        created_at: at,
        ips: vec!["10.0.0.9".into()],
    };
    let mut s = Sim::of(pod(spec), View { sandboxes: vec![sandbox], containers: vec![c] });
    s.feed(Input::Tick);
    assert_eq!(s.took(), ["prepare"]);
    let status = s.status.clone().unwrap();
    assert_eq!(status.pod_ip.as_deref(), Some("10.0.0.9"));
    assert_eq!(status.container_statuses.unwrap()[0].restart_count, 2);
    assert_eq!(s.condition("Ready").0, "True");
}

#[test]
fn a_lost_sandbox_is_made_anew() {
    let mut s = Sim::new(json!({"initContainers": [{"name": "i"}], "containers": [{"name": "c"}]}));
    s.exits.insert("i".into(), 0);
    s.feed(Input::Tick);
    s.took();
    s.runtime.sandboxes[0].ready = false;
    s.exit("c-0", 137);
    s.now += SignedDuration::from_secs(1);
    s.feed(Input::Outline(s.runtime.outline()));
    assert_eq!(s.took(), ["sandbox 1", "image i", "start i 1", "image c", "start c 1"]);
    assert_eq!(s.status.clone().unwrap().pod_ip.as_deref(), Some("10.0.0.2"));
}

#[test]
fn a_sandbox_that_failed_half_way_keeps_its_name_and_the_next_gets_another() {
    // What containerd shows of one whose network could not be set up: it was never created.
    const NEVER: i64 = -6_795_364_578_871_345_152;
    let sandbox = |attempt: u32, created_at: i64| SandboxView {
        id: format!("s{attempt}"),
        attempt,
        ready: false,
        created_at,
        ips: vec![],
    };
    let spec = json!({"containers": [{"name": "c"}]});
    let view = View {
        sandboxes: vec![sandbox(1, NEVER), sandbox(0, 1_699_999_000_000_000_000)],
        containers: vec![],
    };
    let mut s = Sim::of(pod(spec), view);
    s.feed(Input::Tick);
    let took = s.took();
    assert!(took.contains(&"sandbox 2".to_owned()), "{took:?}");
    assert!(!took.contains(&"sandbox 1".to_owned()), "{took:?}");
    assert_eq!(s.condition("Ready").0, "True");
    s.pass(60);
    let left: Vec<u32> = s.runtime.sandboxes.iter().map(|s| s.attempt).collect();
    assert_eq!(left, [2], "the others are removed");
}

#[test]
fn a_changed_image_replaces_the_container() {
    let mut s = Sim::new(json!({"containers": [{"name": "c", "image": "a"}]}));
    s.feed(Input::Tick);
    s.took();
    s.feed(Input::Pod(Arc::new(pod(json!({"containers": [{"name": "c", "image": "b"}]})))));
    assert_eq!(s.took(), ["kill c 30", "image c", "start c 1"]);
}

#[test]
fn old_dead_containers_are_dropped() {
    let mut s = Sim::new(json!({"containers": [{"name": "c"}]}));
    s.exits.insert("c".into(), 1);
    s.feed(Input::Tick);
    s.pass(1000);
    assert_eq!(s.runtime.containers.len(), 2);
}

#[test]
fn a_deadline_ends_the_pod() {
    let mut s = Sim::new(json!({"activeDeadlineSeconds": 5, "containers": [{"name": "c"}]}));
    s.feed(Input::Tick);
    s.pass(4);
    assert_eq!(s.phase(), "Running");
    s.pass(2);
    assert_eq!(
        (s.phase(), s.status.clone().unwrap().reason.as_deref()),
        ("Failed", Some("DeadlineExceeded"))
    );
    assert_eq!(s.worker.stage(), Stage::Ended);
}

#[test]
fn a_refused_pod_fails_and_touches_nothing() {
    let now = Timestamp::from_second(1).unwrap();
    let why = Some(Why::new("OutOfcpu", "no cpu"));
    let mut s = Sim::new(json!({"containers": [{"name": "c"}]}));
    s.worker = Worker::new(s.worker.pod().clone(), Arc::default(), why, now);
    s.feed(Input::Tick);
    assert_eq!(s.took(), ["cleanup false"]);
    assert_eq!((s.phase(), s.status.clone().unwrap().reason.as_deref()), ("Failed", Some("OutOfcpu")));
}

#[test]
fn a_refused_pod_tells_nothing_of_containers() {
    let now = Timestamp::from_second(1).unwrap();
    let why = Why::new("OutOfcpu", "Pod was rejected: no cpu");
    let spec = json!({"initContainers": [{"name": "i"}], "containers": [{"name": "c"}]});
    let bare = |s: &Sim| {
        let status = s.status.clone().unwrap();
        assert_eq!((status.phase.as_deref(), status.reason.as_deref()), (Some("Failed"), Some("OutOfcpu")));
        assert_eq!(status.message.as_deref(), Some("Pod was rejected: no cpu"));
        assert_eq!((status.container_statuses, status.init_container_statuses), (None, None));
        assert_eq!((status.conditions, status.host_ip), (None, None));
        assert_eq!(status.qos_class.as_deref(), Some("BestEffort"));
    };
    let mut s = Sim::new(spec.clone());
    s.worker = Worker::new(s.worker.pod().clone(), Arc::default(), Some(why), now);
    s.feed(Input::Tick);
    bare(&s);
    // Another agent, later, finds it so and leaves it so.
    let mut again = pod(spec);
    again.status = s.status.clone();
    let mut s = Sim::of(again, View::default());
    s.feed(Input::Tick);
    assert_eq!(s.took(), ["cleanup false"]);
    bare(&s);
}

#[test]
fn what_somebody_else_wrote_over_our_status_is_written_again() {
    let mut s = Sim::new(json!({"containers": [{"name": "c"}]}));
    s.feed(Input::Tick);
    s.feed(Input::Written(10));
    let pod_at = |s: &Sim, revision: u64, ready: &str| {
        let mut pod = (**s.worker.pod()).clone();
        pod.metadata.resource_version = Some(revision.to_string());
        pod.status = s.status.clone();
        let conditions = pod.status.as_mut().unwrap().conditions.as_mut().unwrap();
        conditions.iter_mut().filter(|c| c.type_ == "Ready").for_each(|c| c.status = ready.to_owned());
        Arc::new(pod)
    };
    // (revision of the version seen, its Ready, whether we write again)
    let cases = [
        (9, "False", false),
        (10, "True", false),
        (11, "False", true),
        (12, "True", false),
        (13, "False", true),
    ];
    for (revision, ready, again) in cases {
        let before = s.writes;
        let version = pod_at(&s, revision, ready);
        s.feed(Input::Pod(version));
        assert_eq!(s.writes > before, again, "{revision} {ready}");
        assert_eq!(s.condition("Ready").0, "True");
        if again {
            s.feed(Input::Written(revision + 1));
        }
    }
    // While a write is on its way its outcome is awaited: the version may be older than it.
    s.ends("c-0", 1);
    let before = s.writes;
    let version = pod_at(&s, 99, "Unknown");
    s.feed(Input::Pod(version));
    assert_eq!(s.writes, before);
    s.feed(Input::Written(98));
    assert_eq!(s.writes, before + 1);
}

#[test]
fn a_startup_probe_does_not_run_again_for_a_new_agent() {
    let probe = json!({"periodSeconds": 1, "failureThreshold": 1, "exec": {"command": ["x"]}});
    let spec = json!({"containers": [{"name": "c", "startupProbe": probe, "livenessProbe": probe}]});
    let mut s = Sim::new(spec);
    s.feed(Input::Tick);
    s.pass(2);
    // (what the API says of the container, whether its startup probe runs)
    for (id, started, runs) in [("c-0", true, false), ("c-0", false, true), ("c-9", true, true)] {
        let mut pod = (**s.worker.pod()).clone();
        pod.status = s.status.clone();
        let one = &mut pod.status.as_mut().unwrap().container_statuses.as_mut().unwrap()[0];
        one.container_id = Some(format!("containerd://{id}"));
        one.started = Some(started);
        let mut new = Sim::of(pod, s.runtime.clone());
        new.now = s.now;
        new.verdicts.insert("Startup/c".into(), Verdict::Failure("only at the start".into()));
        new.feed(Input::Tick);
        let killed = new.took().iter().any(|l| l.starts_with("kill"));
        assert_eq!(killed, runs, "{id} {started}");
    }
}

#[test]
fn finalizers_keep_the_object_and_nothing_else() {
    let mut s = Sim::new(json!({"containers": [{"name": "c"}]}));
    s.feed(Input::Tick);
    s.held = true;
    s.delete(5);
    assert!(s.finished && !s.forgotten && s.runtime.sandboxes.is_empty());
    assert_eq!(s.worker.stage(), Stage::Held);
    s.took();
    let (pod, writes) = (s.worker.pod().clone(), s.writes);
    // Each version of it that comes is still this worker's, and gives it nothing to do.
    s.feed(Input::Pod(pod));
    s.pass(600);
    assert_eq!((s.took(), s.writes), (Vec::new(), writes));
    s.feed(Input::Gone);
    assert!(s.forgotten);
}

#[test]
fn an_old_view_does_not_undo_an_answer() {
    let mut s = Sim::new(json!({"containers": [{"name": "c"}]}));
    let early = s.worker.step(Input::Tick, s.now);
    let Some(Effect::Do(Task::Inspect { epoch })) = early.first() else { panic!("{early:?}") };
    let view = Outcome::View(Ok(View::default()));
    let inspect = Task::Inspect { epoch: *epoch };
    s.feed(Input::Done(inspect.clone(), view.clone()));
    assert!(s.took().contains(&"start c 0".to_owned()));
    // The same, empty, view arrives again, late.
    s.feed(Input::Done(inspect, view));
    assert!(s.took().is_empty(), "nothing is started twice");
}
