//! The pod's conditions.
// k8s: pkg/kubelet/status/generate.go

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, PodCondition, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::whole_seconds;
use crate::spec::{PodExt, is_sidecar};
use crate::worker::{Stage, Worker};

/// Conditions that are there only while they are true.
const PENDING: &str = "PodResizePending";
const IN_PROGRESS: &str = "PodResizeInProgress";
pub(super) const PASSING: [&str; 2] = [PENDING, IN_PROGRESS];
/// All conditions that this agent writes.
pub(super) const OWN: [&str; 7] = [
    PENDING,
    IN_PROGRESS,
    "PodReadyToStartContainers",
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
];

struct Verdict {
    ok: bool,
    reason: &'static str,
    message: String,
}

impl Verdict {
    fn yes() -> Self {
        Verdict { ok: true, reason: "", message: String::new() }
    }
    fn no(reason: &'static str, message: String) -> Self {
        Verdict { ok: false, reason, message }
    }
}

/// The agent's own conditions, in upstream's order.
pub(super) fn all(
    w: &Worker,
    phase: &str,
    init: &[ContainerStatus],
    main: &[ContainerStatus],
    before: Option<&PodStatus>,
    now: Timestamp,
) -> Vec<PodCondition> {
    let containers = containers_ready(w, phase, main);
    let ready = pod_ready(w, &containers);
    let mut all = Vec::new();
    if let Some(why) = &w.resize.pending {
        let mut pending = condition(w, PENDING, Verdict::yes(), before, now);
        pending.reason = Some(why.reason.clone());
        pending.message = Some(why.message.clone());
        all.push(pending);
    } else if let Some(error) = &w.resize.in_progress {
        let mut running = condition(w, IN_PROGRESS, Verdict::yes(), before, now);
        running.reason = error.as_ref().map(|_| "Error".to_owned());
        running.message.clone_from(error);
        all.push(running);
    }
    let list = [
        ("PodReadyToStartContainers", sandbox_ready(w)),
        ("Initialized", initialized(w, phase, init)),
        ("Ready", ready),
        ("ContainersReady", containers),
        ("PodScheduled", Verdict::yes()),
    ];
    all.extend(list.into_iter().map(|(kind, v)| condition(w, kind, v, before, now)));
    all
}

fn condition(w: &Worker, kind: &str, v: Verdict, before: Option<&PodStatus>, now: Timestamp) -> PodCondition {
    let status = if v.ok { "True" } else { "False" };
    let old = before.and_then(|b| b.conditions.as_ref()).into_iter().flatten().find(|c| c.type_ == kind);
    let kept = old.filter(|o| o.status == status).and_then(|o| o.last_transition_time.clone());
    PodCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: (!v.reason.is_empty()).then(|| v.reason.to_owned()),
        message: (!v.message.is_empty()).then_some(v.message),
        last_transition_time: Some(kept.unwrap_or(Time(whole_seconds(now)))),
        observed_generation: w.pod.metadata.generation,
        ..PodCondition::default()
    }
}

fn sandbox_ready(w: &Worker) -> Verdict {
    let ready = w.view.as_ref().and_then(|v| v.ready_sandbox());
    if ready.is_some_and(|s| w.pod.host_network() || !s.ips.is_empty()) {
        Verdict::yes()
    } else {
        Verdict::no("", String::new())
    }
}

fn names(list: &[&str]) -> String {
    format!("[{}]", list.join(" "))
}

fn initialized(w: &Worker, phase: &str, init: &[ContainerStatus]) -> Verdict {
    if phase == "Succeeded" {
        return Verdict { ok: true, reason: "PodCompleted", message: String::new() };
    }
    let specs = w.pod.sp().init_containers.as_deref().unwrap_or_default();
    let started = w.view.as_ref().and_then(|v| v.sandboxes.first()).is_some_and(|s| w.initialized(&s.id));
    let incomplete: Vec<&str> = specs
        .iter()
        .zip(init)
        .filter(|(c, s)| if is_sidecar(c) { s.started != Some(true) && !started } else { !s.ready })
        .map(|(c, _)| c.name.as_str())
        .collect();
    if incomplete.is_empty() || (started && w.stage == Stage::Syncing) {
        return Verdict::yes();
    }
    Verdict::no(
        "ContainersNotInitialized",
        format!("containers with incomplete status: {}", names(&incomplete)),
    )
}

fn containers_ready(w: &Worker, phase: &str, main: &[ContainerStatus]) -> Verdict {
    match phase {
        "Succeeded" => return Verdict::no("PodCompleted", String::new()),
        "Failed" => return Verdict::no("PodFailed", String::new()),
        _ => {}
    }
    let init = w.pod.sp().init_containers.as_deref().unwrap_or_default();
    let mut unready: Vec<&str> = Vec::new();
    for c in init.iter().filter(|c| is_sidecar(c)) {
        let v = w.view.as_ref().and_then(|v| v.latest(&c.name));
        let up = v.is_some_and(|v| {
            v.state == crate::worker::view::CState::Running
                && w.is_started(&c.name, &v.id)
                && w.probe_ok(&c.name, &v.id, crate::worker::probes::Kind::Readiness)
        });
        if !up {
            unready.push(&c.name);
        }
    }
    unready.extend(main.iter().filter(|s| !s.ready).map(|s| s.name.as_str()));
    if unready.is_empty() {
        Verdict::yes()
    } else {
        Verdict::no("ContainersNotReady", format!("containers with unready status: {}", names(&unready)))
    }
}

fn pod_ready(w: &Worker, containers: &Verdict) -> Verdict {
    if !containers.ok {
        return Verdict::no(containers.reason, containers.message.clone());
    }
    let have = w.pod.status.as_ref().and_then(|s| s.conditions.as_deref()).unwrap_or_default();
    let mut problems = Vec::new();
    for gate in w.pod.sp().readiness_gates.iter().flatten() {
        match have.iter().find(|c| c.type_ == gate.condition_type) {
            None => problems.push(format!(
                "corresponding condition of pod readiness gate \"{}\" does not exist.",
                gate.condition_type
            )),
            Some(c) if c.status != "True" => problems.push(format!(
                "the status of pod readiness gate \"{}\" is not \"True\", but {}",
                gate.condition_type, c.status
            )),
            Some(_) => {}
        }
    }
    if problems.is_empty() {
        Verdict::yes()
    } else {
        Verdict::no("ReadinessGatesNotReady", problems.join(", "))
    }
}
