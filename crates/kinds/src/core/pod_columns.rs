//! The table of pods: the words that `kubectl get pods` shows.
// k8s: pkg/printers/internalversion/printers.go printPod

use jiff::Timestamp;
use schema::Value;

use crate::columns::{AGE, NAME, text, text_or, wide};
use crate::kind::{Cell, Column};

pub const COLUMNS: &[Column] = &[
    NAME,
    text("Ready", "Ready containers and all containers.", |o, _| {
        let s = Summary::of(o);
        Cell::Text(format!("{}/{}", s.ready, s.total))
    }),
    text("Status", "What the pod does now.", |o, _| Cell::Text(Summary::of(o).reason)),
    text("Restarts", "How often containers were restarted, and when last.", |o, now| {
        Cell::Text(Summary::of(o).restarts_text(now))
    }),
    AGE,
    wide("IP", "The first address of the pod.", |o, _| match o.list_at(&["status", "podIPs"]).first() {
        Some(ip) => text_or(ip, &["ip"], "<none>"),
        None => text_or(o, &["status", "podIP"], "<none>"),
    }),
    wide("Node", "The node that the pod is on.", |o, _| text_or(o, &["spec", "nodeName"], "<none>")),
    wide("Nominated Node", "The node where the pod may preempt others.", |o, _| {
        text_or(o, &["status", "nominatedNodeName"], "<none>")
    }),
    wide("Readiness Gates", "Conditions that readiness waits for, and how many hold.", |o, _| {
        Cell::Text(readiness_gates(o))
    }),
];

fn readiness_gates(o: &Value) -> String {
    let gates = o.list_at(&["spec", "readinessGates"]);
    if gates.is_empty() {
        return "<none>".to_owned();
    }
    let met = gates.iter().filter(|g| condition_is_true(o, g.str_at(&["conditionType"]))).count();
    format!("{met}/{}", gates.len())
}

fn condition_is_true(o: &Value, kind: &str) -> bool {
    let conditions = o.list_at(&["status", "conditions"]);
    conditions.iter().any(|c| c.str_at(&["type"]) == kind && c.str_at(&["status"]) == "True")
}

#[derive(Default)]
struct Summary {
    reason: String,
    ready: usize,
    total: usize,
    restarts: i64,
    last_restart: Option<Timestamp>,
}

impl Summary {
    fn of(o: &Value) -> Self {
        let init = o.list_at(&["spec", "initContainers"]);
        let sidecars: Vec<&str> = init
            .iter()
            .filter(|c| c.str_at(&["restartPolicy"]) == "Always")
            .map(|c| c.str_at(&["name"]))
            .collect();
        let mut s = Summary {
            reason: o.str_at(&["status", "phase"]).to_owned(),
            total: o.list_at(&["spec", "containers"]).len() + sidecars.len(),
            ..Summary::default()
        };
        let own_reason = o.str_at(&["status", "reason"]);
        if !own_reason.is_empty() {
            s.reason = own_reason.to_owned();
        }
        let gated =
            |c: &Value| c.str_at(&["type"]) == "PodScheduled" && c.str_at(&["reason"]) == "SchedulingGated";
        if o.list_at(&["status", "conditions"]).iter().any(gated) {
            "SchedulingGated".clone_into(&mut s.reason);
        }
        let mut of_sidecars = Summary::default();
        let initializing = s.init_containers(o, &sidecars, &mut of_sidecars);
        if !initializing || condition_is_true(o, "Initialized") {
            s.restarts = of_sidecars.restarts;
            s.last_restart = of_sidecars.last_restart;
            s.containers(o);
        }
        if !o.str_at(&["metadata", "deletionTimestamp"]).is_empty() {
            if own_reason == "NodeLost" {
                "Unknown".clone_into(&mut s.reason);
            } else if !matches!(o.str_at(&["status", "phase"]), "Failed" | "Succeeded") {
                "Terminating".clone_into(&mut s.reason);
            }
        }
        s
    }

    fn count_restarts(&mut self, status: &Value) {
        self.restarts += status.int_at(&["restartCount"]).unwrap_or(0);
        let finished = status.str_at(&["lastState", "terminated", "finishedAt"]);
        self.last_restart = self.last_restart.max(meta::time::parse(finished));
    }

    /// Goes through the init containers up to the first that is not done; whether there is one.
    fn init_containers(&mut self, o: &Value, sidecars: &[&str], of_sidecars: &mut Summary) -> bool {
        for (i, status) in o.list_at(&["status", "initContainerStatuses"]).iter().enumerate() {
            self.count_restarts(status);
            let sidecar = sidecars.contains(&status.str_at(&["name"]));
            if sidecar {
                of_sidecars.count_restarts(status);
            }
            let terminated = status.at(&["state", "terminated"]);
            let waiting = status.str_at(&["state", "waiting", "reason"]);
            if terminated.is_some_and(|t| t.int_at(&["exitCode"]).unwrap_or(0) == 0) {
                continue;
            }
            if sidecar && status.bool_at(&["started"]) == Some(true) {
                self.ready += usize::from(status.bool_at(&["ready"]) == Some(true));
                continue;
            }
            self.reason = match terminated {
                Some(t) => format!("Init:{}", termination(t)),
                None if !waiting.is_empty() && waiting != "PodInitializing" => format!("Init:{waiting}"),
                None => format!("Init:{i}/{}", o.list_at(&["spec", "initContainers"]).len()),
            };
            return true;
        }
        false
    }

    fn containers(&mut self, o: &Value) {
        let mut running = false;
        for status in o.list_at(&["status", "containerStatuses"]).iter().rev() {
            self.count_restarts(status);
            let waiting = status.str_at(&["state", "waiting", "reason"]);
            if !waiting.is_empty() {
                waiting.clone_into(&mut self.reason);
            } else if let Some(t) = status.at(&["state", "terminated"]) {
                self.reason = termination(t);
            } else if status.bool_at(&["ready"]) == Some(true) && status.at(&["state", "running"]).is_some() {
                running = true;
                self.ready += 1;
            }
        }
        if self.reason == "Completed" && running {
            self.reason = if condition_is_true(o, "Ready") { "Running" } else { "NotReady" }.to_owned();
        }
    }

    fn restarts_text(&self, now: Timestamp) -> String {
        match self.last_restart {
            Some(t) if self.restarts != 0 => {
                let ago = meta::time::human_duration(meta::time::seconds_between(t, now));
                format!("{} ({ago} ago)", self.restarts)
            }
            _ => self.restarts.to_string(),
        }
    }
}

fn termination(t: &Value) -> String {
    let reason = t.str_at(&["reason"]);
    let signal = t.int_at(&["signal"]).unwrap_or(0);
    if !reason.is_empty() {
        reason.to_owned()
    } else if signal != 0 {
        format!("Signal:{signal}")
    } else {
        format!("ExitCode:{}", t.int_at(&["exitCode"]).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{row, yaml};

    #[test]
    fn rows() {
        let two = "metadata: {name: p, creationTimestamp: '2026-01-01T00:00:00Z'}\nspec: {nodeName: m, containers: [{}, {}], initContainers: [{name: i}, {name: j}]}\n";
        let table: &[(&str, &str, &str, &str)] = &[
            ("status: {phase: Pending}", "0/2", "Pending", "0"),
            (
                "status: {phase: Running, containerStatuses: [{ready: true, state: {running: {}}}, {ready: true, state: {running: {}}, restartCount: 2, lastState: {terminated: {finishedAt: '2026-01-01T00:55:00Z'}}}]}",
                "2/2",
                "Running",
                "2 (5m ago)",
            ),
            (
                "status: {phase: Pending, initContainerStatuses: [{name: i, state: {terminated: {exitCode: 0}}}, {name: j, state: {running: {}}}]}",
                "0/2",
                "Init:1/2",
                "0",
            ),
            (
                "status: {phase: Pending, initContainerStatuses: [{name: i, restartCount: 1, state: {waiting: {reason: CrashLoopBackOff}}}]}",
                "0/2",
                "Init:CrashLoopBackOff",
                "1",
            ),
            (
                "status: {phase: Running, containerStatuses: [{state: {waiting: {reason: CrashLoopBackOff}}, restartCount: 3}, {state: {terminated: {exitCode: 3}}}]}",
                "0/2",
                "CrashLoopBackOff",
                "3",
            ),
            (
                "status: {phase: Failed, containerStatuses: [{state: {terminated: {exitCode: 137, signal: 9}}}]}",
                "0/2",
                "Signal:9",
                "0",
            ),
            (
                "status: {phase: Succeeded, containerStatuses: [{state: {terminated: {reason: Completed}}}]}",
                "0/2",
                "Completed",
                "0",
            ),
            ("status: {phase: Failed, reason: Evicted}", "0/2", "Evicted", "0"),
        ];
        for (status, ready, state, restarts) in table {
            let o = yaml(&format!("{two}{status}"));
            let r = row(&super::super::pod::KIND, &o, "2026-01-01T01:00:00Z");
            assert_eq!(r[1].1, *ready, "{status}");
            assert_eq!(r[2].1, *state, "{status}");
            assert_eq!(r[3].1, *restarts, "{status}");
            assert_eq!((r[4].1.as_str(), r[5].1.as_str(), r[6].1.as_str()), ("60m", "<none>", "m"));
        }
        let mut o = yaml(&format!("{two}status: {{phase: Running}}"));
        o.set_at(&["metadata", "deletionTimestamp"], "2026-01-01T00:59:00Z");
        assert_eq!(row(&super::super::pod::KIND, &o, "2026-01-01T01:00:00Z")[2].1, "Terminating");
    }
}
