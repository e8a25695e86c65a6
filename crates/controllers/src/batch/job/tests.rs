use std::collections::BTreeMap;

use super::*;
use meta::Status;
use reconcile::{Failure, Step};
use serde_json::{Value, json};

use crate::testing::merge;

const START: &str = "2026-01-01T00:00:00Z";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(START.parse::<Timestamp>().unwrap().as_second() + seconds).unwrap()
}

/// A job and its pods as a server has them; plans are carried out on it.
struct World {
    job: Value,
    pods: BTreeMap<String, Value>,
    memory: Failures,
    failures: Vec<Failure>,
    events: Vec<String>,
    now: i64,
    uids: u32,
    /// The writes from here on fail; each is counted down.
    fail: Vec<usize>,
    writes: usize,
}

impl World {
    fn new(spec: &Value) -> Self {
        let job = json!({
            "metadata": {"name": "j", "namespace": "d", "uid": "job", "generation": 1, "resourceVersion": "1"},
            "spec": {"parallelism": 1, "completions": 1, "backoffLimit": 6, "completionMode": "NonIndexed",
                "selector": {"matchLabels": {"u": "job"}}, "podReplacementPolicy": "TerminatingOrFailed",
                "template": {"metadata": {"labels": {"u": "job"}}, "spec": {"restartPolicy": "Never",
                    "containers": [{"name": "c"}]}}},
        });
        let mut w = World {
            job,
            pods: BTreeMap::new(),
            memory: Failures::default(),
            failures: vec![],
            events: vec![],
            now: 0,
            uids: 0,
            fail: vec![],
            writes: 0,
        };
        merge(&mut w.job["spec"], spec);
        w
    }

    fn job(&self) -> Job {
        meta::json::read(self.job.to_string().as_bytes()).unwrap()
    }

    fn state(&self) -> JobState {
        let pod = |v: &Value| {
            let mut p: Pod = meta::json::read(v.to_string().as_bytes()).unwrap();
            reconcile::Projection::compact(&mut p);
            Arc::new(p)
        };
        let pods = self.pods.values().map(pod).collect();
        JobState { job: Arc::new(self.job()), pods, failures: self.failures.clone(), ..JobState::default() }
    }

    fn plan(&mut self) -> Plan {
        if self.job().finished() {
            return Plan::default();
        }
        Jobs.reconcile(&State::Job(self.state()), &mut self.memory, at(self.now))
    }

    /// Decides and does until there is nothing more to do now.
    fn settle(&mut self) {
        for _ in 0..200 {
            let plan = self.plan();
            self.events.extend(plan.events.iter().map(|e| e.reason.to_owned()));
            let again = plan.requeue_at.is_some_and(|t| t <= at(self.now));
            let idle = plan.steps.is_empty();
            self.carry_out(plan.steps);
            if idle && !again {
                return;
            }
        }
        panic!("does not come to rest: {}", self.job);
    }

    fn carry_out(&mut self, steps: Vec<Step>) {
        self.failures.clear();
        for step in steps.into_iter() {
            if !self.failures.is_empty() && !step.always {
                continue;
            }
            for action in step.actions {
                self.writes += 1;
                if self.fail.contains(&self.writes) {
                    let status = Status::internal("no");
                    self.failures.push(Failure { op: action.op.clone(), status });
                    continue;
                }
                self.events.extend(action.on_ok.map(|e| e.reason.to_owned()));
                self.apply(&action.op);
            }
        }
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Create { name, body, .. } => {
                let mut pod: Value = serde_json::from_slice(body).unwrap();
                self.uids += 1;
                pod["metadata"]["uid"] = format!("p{}", self.uids).into();
                pod["metadata"]["creationTimestamp"] = at(self.now).to_string().into();
                pod["status"] = json!({"phase": "Pending"});
                assert!(self.pods.insert(name.clone(), pod).is_none(), "{name} is there");
            }
            Op::Patch { gvr, body, .. } if *gvr == JOBS => {
                let body: Value = serde_json::from_slice(body).unwrap();
                assert_eq!(body["metadata"]["resourceVersion"], self.job["metadata"]["resourceVersion"]);
                merge(&mut self.job["status"], &body["status"]);
                let next = self.job().metadata.resource_version + 1;
                self.job["metadata"]["resourceVersion"] = next.to_string().into();
            }
            Op::Patch { name, body, .. } => {
                let body: Value = serde_json::from_slice(body).unwrap();
                assert_eq!(body["metadata"]["$deleteFromPrimitiveList/finalizers"], json!([TRACKING]));
                let pod = self.pods.get_mut(name).unwrap();
                pod["metadata"]["finalizers"] = json!([]);
                self.collect(name);
            }
            Op::Delete { name, .. } => {
                let pod = self.pods.get_mut(name).unwrap();
                pod["metadata"]["deletionTimestamp"] = at(self.now).to_string().into();
                self.collect(name);
            }
            other => panic!("{other:?}"),
        }
    }

    /// Removes what is deleted and held by nobody: a node agent that ends pods at once.
    fn collect(&mut self, name: &str) {
        let m = &self.pods[name]["metadata"];
        if m.get("deletionTimestamp").is_some() && m["finalizers"] == json!([]) {
            self.pods.remove(name);
        }
    }

    fn running(&self) -> Vec<String> {
        let runs = |p: &Value| {
            matches!(p["status"]["phase"].as_str(), Some("Pending" | "Running"))
                && p["metadata"].get("deletionTimestamp").is_none()
        };
        self.pods.iter().filter(|(_, p)| runs(p)).map(|(n, _)| n.clone()).collect()
    }

    /// The first pod that runs, of an index if one is given, comes to its end.
    fn end(&mut self, index: Option<i64>, phase: &str, exit_code: i32) {
        let of =
            |p: &Value| p.pointer("/metadata/labels").and_then(|l| l[INDEX].as_str()?.parse::<i64>().ok());
        let name =
            self.running().into_iter().find(|n| index.is_none() || of(&self.pods[n]) == index).unwrap();
        self.pods.get_mut(&name).unwrap()["status"] = json!({"phase": phase, "containerStatuses": [{"name": "c",
            "state": {"terminated": {"exitCode": exit_code, "finishedAt": at(self.now).to_string()}}}]});
    }

    fn status(&self) -> (i64, i64, i64) {
        let n =
            |field: &str| self.job.pointer(&format!("/status/{field}")).and_then(Value::as_i64).unwrap_or(0);
        (n("active"), n("succeeded"), n("failed"))
    }

    fn conditions(&self) -> Vec<String> {
        let job = self.job();
        let c = job.status.conditions.iter().filter(|c| &*c.status == "True");
        c.map(|c| format!("{} {}", c.kind, c.reason)).collect()
    }
}

#[test]
fn a_job_runs_to_its_end() {
    let mut w = World::new(&json!({"parallelism": 2, "completions": 3}));
    w.settle();
    assert_eq!((w.running().len(), w.status()), (2, (2, 0, 0)));
    let pod = w.pods.values().next().unwrap();
    assert_eq!(pod["metadata"]["finalizers"], json!([TRACKING]));
    assert_eq!(pod["metadata"]["ownerReferences"][0]["uid"], "job");
    assert_eq!(pod["metadata"]["generateName"], "j-");
    assert!(pod["metadata"]["name"].as_str().unwrap().starts_with("j-"));
    w.end(None, "Succeeded", 0);
    w.settle();
    assert_eq!((w.running().len(), w.status()), (2, (2, 1, 0)));
    w.end(None, "Succeeded", 0);
    w.end(None, "Succeeded", 0);
    w.settle();
    assert_eq!(w.status(), (0, 3, 0));
    assert_eq!(w.conditions(), ["SuccessCriteriaMet CompletionsReached", "Complete CompletionsReached"]);
    assert_eq!(w.events.last().map(String::as_str), Some("Completed"));
    assert_eq!(w.job.pointer("/status/uncountedTerminatedPods"), Some(&json!({})));
    assert!(w.pods.values().all(|p| p["metadata"]["finalizers"] == json!([])));
}

/// Whichever write fails, each pod counts once and none more than wanted is made.
#[test]
fn failed_writes_lose_nothing_and_count_nothing_twice() {
    for indexed in [false, true] {
        let mode = if indexed { "Indexed" } else { "NonIndexed" };
        for fail in 1..40 {
            let mut w = World::new(&json!({"parallelism": 3, "completions": 5, "completionMode": mode}));
            w.fail = vec![fail, fail + 3];
            for round in 0..6 {
                w.settle();
                assert!(w.running().len() <= 3, "{mode} {fail}");
                if round == 1 && !w.running().is_empty() {
                    w.end(None, "Failed", 1);
                    w.settle();
                    w.now += 20;
                    w.settle();
                }
                for _ in 0..w.running().len().min(2) {
                    w.end(None, "Succeeded", 0);
                }
            }
            w.settle();
            assert_eq!(w.status(), (0, 5, 1), "{mode} {fail}");
            assert_eq!(w.conditions().len(), 2, "{mode} {fail}: {:?}", w.conditions());
        }
    }
}

#[test]
fn pods_are_replaced_later_and_later() {
    let mut w = World::new(&json!({"backoffLimit": 3}));
    for (wait, failed) in [(10, 1), (20, 2), (40, 3)] {
        w.settle();
        w.end(None, "Failed", 1);
        w.settle();
        assert_eq!((w.running().len(), w.status()), (0, (0, 0, failed)));
        assert_eq!(w.plan().requeue_at, Some(at(w.now + wait)));
        w.now += wait - 1;
        w.settle();
        assert_eq!(w.running().len(), 0);
        w.now += 1;
    }
    w.settle();
    w.end(None, "Failed", 1);
    w.settle();
    assert_eq!(w.conditions(), ["FailureTarget BackoffLimitExceeded", "Failed BackoffLimitExceeded"]);
    assert_eq!(w.status(), (0, 0, 4));
    assert_eq!(w.events.last().map(String::as_str), Some("BackoffLimitExceeded"));
}

#[test]
fn indexes_have_their_own_limits() {
    let mut w = World::new(&json!({
        "parallelism": 3, "completions": 3, "completionMode": "Indexed", "backoffLimit": 100,
        "backoffLimitPerIndex": 1,
    }));
    w.settle();
    let first = w.pods.iter().next().unwrap();
    assert!(first.0.starts_with("j-0-"), "{}", first.0);
    assert_eq!(first.1["spec"]["hostname"], "j-0");
    assert_eq!(first.1["metadata"]["annotations"], json!({INDEX: "0", FAILED_BEFORE: "0"}));
    assert_eq!(first.1["metadata"]["generateName"], "j-0-");
    assert_eq!(first.1["spec"]["containers"][0]["env"][0]["name"], "JOB_COMPLETION_INDEX");
    w.end(Some(1), "Failed", 1);
    w.settle();
    assert_eq!(w.status(), (2, 0, 0), "the failed pod waits for the next one, which has its count");
    w.now += 10;
    w.settle();
    assert_eq!(w.status(), (3, 0, 1));
    let second =
        w.pods.iter().find(|(n, p)| n.starts_with("j-1-") && p["status"]["phase"] == "Pending").unwrap();
    assert_eq!(second.1["metadata"]["annotations"][FAILED_BEFORE], "1");
    w.end(Some(1), "Failed", 1);
    w.end(Some(0), "Succeeded", 0);
    w.end(Some(2), "Succeeded", 0);
    w.settle();
    assert_eq!(w.job.pointer("/status/completedIndexes"), Some(&json!("0,2")));
    assert_eq!(w.job.pointer("/status/failedIndexes"), Some(&json!("1")));
    assert_eq!(w.conditions(), ["FailureTarget FailedIndexes", "Failed FailedIndexes"]);
}

#[test]
fn policies_say_what_an_end_means() {
    let rule = |action: &str| {
        let codes = json!({"operator": "In", "values": [3]});
        json!({"rules": [{"action": action, "onExitCodes": codes}]})
    };
    for (action, code, status, condition) in [
        ("FailJob", 3, (0, 0, 2), "Failed PodFailurePolicy"),
        ("FailJob", 4, (1, 0, 1), ""),
        ("Ignore", 3, (1, 0, 0), ""),
        ("Count", 3, (1, 0, 1), ""),
    ] {
        let spec = json!({"parallelism": 2, "completions": 2, "backoffLimit": 1,
            "podReplacementPolicy": "Failed", "podFailurePolicy": rule(action)});
        let mut w = World::new(&spec);
        w.settle();
        w.end(None, "Failed", code);
        w.settle();
        assert_eq!(
            (w.status(), w.conditions().last().cloned().unwrap_or_default().as_str()),
            (status, condition),
            "{action} {code}"
        );
    }
    let mut w = World::new(&json!({"completionMode": "Indexed", "parallelism": 4, "completions": 4,
        "successPolicy": {"rules": [{"succeededIndexes": "0,2-3", "succeededCount": 2}]}}));
    w.settle();
    w.end(Some(1), "Succeeded", 0);
    w.end(Some(2), "Succeeded", 0);
    w.settle();
    assert_eq!(w.conditions(), Vec::<String>::new());
    w.end(Some(3), "Succeeded", 0);
    w.settle();
    assert_eq!(w.conditions(), ["SuccessCriteriaMet SuccessPolicy", "Complete SuccessPolicy"]);
    assert_eq!(w.status(), (0, 3, 0));
}

#[test]
fn a_job_stops_and_goes_on() {
    let mut w = World::new(&json!({"parallelism": 2, "completions": 4, "activeDeadlineSeconds": 30}));
    w.settle();
    assert_eq!(w.job.pointer("/status/startTime"), Some(&json!(START)));
    w.job["spec"]["suspend"] = json!(true);
    w.settle();
    assert_eq!((w.status(), w.pods.len()), ((0, 0, 0), 0), "they do not count as failed");
    assert_eq!(w.conditions(), ["Suspended JobSuspended"]);
    assert_eq!(w.job.pointer("/status/startTime"), None);
    w.now = 100;
    w.settle();
    w.job["spec"]["suspend"] = json!(false);
    w.settle();
    assert_eq!((w.status(), w.conditions()), ((2, 0, 0), vec![]));
    assert_eq!(w.plan().requeue_at, Some(at(130)));
    w.now = 130;
    w.settle();
    assert_eq!(w.conditions(), ["FailureTarget DeadlineExceeded", "Failed DeadlineExceeded"]);
    assert_eq!((w.status(), w.pods.len()), ((0, 0, 2), 0));
    let told = w.events.iter().filter(|e| !e.ends_with("Create") && !e.ends_with("Delete"));
    assert_eq!(told.collect::<Vec<_>>(), ["Suspended", "Resumed", "DeadlineExceeded"]);
}

/// Pods that are deleted by force, with the finalizer taken off by somebody, after they were noted.
#[test]
fn what_was_noted_counts_though_its_pod_is_gone() {
    let mut w = World::new(&json!({"parallelism": 1, "completions": 2}));
    w.settle();
    w.end(None, "Succeeded", 0);
    let plan = w.plan();
    // The process dies after the first write.
    w.carry_out(plan.steps.into_iter().take(1).collect());
    assert_eq!(w.job.pointer("/status/uncountedTerminatedPods/succeeded"), Some(&json!(["p1"])));
    w.pods.clear();
    w.memory = Failures::default();
    w.settle();
    assert_eq!(w.status(), (1, 1, 0));
}

#[test]
fn one_decision_does_only_so_much() {
    let huge = json!({"parallelism": i32::MAX, "completions": i32::MAX});
    let mut indexed = huge.clone();
    indexed["completionMode"] = json!("Indexed");
    for spec in [huge, indexed] {
        let mut w = World::new(&spec);
        let plan = w.plan();
        assert_eq!(plan.actions().filter(|a| matches!(a.op, Op::Create { .. })).count(), STEP_LIMIT);
        assert!(plan.requeue_at.is_some());
    }
    let mut w = World::new(&json!({"parallelism": 1200, "completions": 1200}));
    w.settle();
    assert_eq!(w.running().len(), 1200);
    let began = w.writes;
    for p in w.pods.values_mut() {
        p["status"]["phase"] = "Succeeded".into();
    }
    let plan = w.plan();
    assert_eq!(plan.actions().filter(|a| is_untracking(&a.op)).count(), STEP_LIMIT);
    w.settle();
    assert_eq!((w.status(), w.conditions().len()), ((0, 1200, 0), 2));
    assert!(w.writes - began < 1210, "a pod and a step each cost one write: {}", w.writes - began);
    let mut w = World::new(&json!({"parallelism": 1200, "completions": 1200, "activeDeadlineSeconds": 5}));
    w.settle();
    w.now = 5;
    let plan = w.plan();
    assert_eq!(plan.actions().filter(|a| matches!(a.op, Op::Delete { .. })).count(), STEP_LIMIT);
    w.settle();
    assert_eq!((w.status(), w.pods.len()), ((0, 0, 1200), 0));
    assert_eq!(w.conditions(), ["FailureTarget DeadlineExceeded", "Failed DeadlineExceeded"]);
}

#[test]
fn an_indexed_job_shrinks_and_grows() {
    let mut w = World::new(&json!({"parallelism": 4, "completions": 4, "completionMode": "Indexed"}));
    w.settle();
    w.end(Some(0), "Succeeded", 0);
    w.end(Some(3), "Succeeded", 0);
    w.settle();
    merge(&mut w.job["spec"], &json!({"parallelism": 2, "completions": 2}));
    w.settle();
    assert_eq!((w.status(), w.job.pointer("/status/completedIndexes")), ((1, 1, 0), Some(&json!("0"))));
    merge(&mut w.job["spec"], &json!({"parallelism": 3, "completions": 3}));
    w.settle();
    assert_eq!(w.status(), (2, 1, 0));
}

#[test]
fn a_pod_that_goes_is_replaced_as_the_policy_says() {
    for (policy, active) in [("TerminatingOrFailed", 1), ("Failed", 0)] {
        let mut w = World::new(&json!({"podReplacementPolicy": policy}));
        w.settle();
        let p = w.pods.values_mut().next().unwrap();
        p["metadata"]["deletionTimestamp"] = at(0).to_string().into();
        w.now = 30;
        w.settle();
        assert_eq!(w.running().len(), active, "{policy}");
    }
}

fn caches() -> Caches {
    let mut caches = Caches::default();
    caches.register(reconcile::KindDecl::of::<Job>());
    caches.register(reconcile::KindDecl::of::<Pod>());
    caches
}

#[test]
fn a_job_of_somebody_else_is_left_alone() {
    let mut caches = caches();
    let mut w = World::new(&json!({"managedBy": "example.com/other"}));
    let key = Key::new("d", "j");
    for (managed, want) in [("example.com/other", false), ("kubernetes.io/job-controller", true)] {
        w.job["spec"]["managedBy"] = managed.into();
        caches.kind_mut::<Job>().upsert(w.job());
        assert_eq!(Jobs.observe(&key, &caches, &Answers::default()).is_some(), want, "{managed}");
    }
}

#[test]
fn pods_that_were_left_behind_are_let_go() {
    let mut w = World::new(&json!({}));
    w.settle();
    let state = w.state();
    let pod = |owned: bool| {
        let mut p = (*state.pods[0]).clone();
        if !owned {
            p.metadata.owner_references = Box::default();
        }
        p
    };
    let finished = |w: &World| {
        let mut job = w.job();
        job.status.conditions.push(crate::core::condition::Condition::new("Complete", "True", "", "", at(0)));
        job
    };
    for (pod, job, left) in [
        (pod(true), Some(w.job()), false),
        (pod(true), Some(finished(&w)), true),
        (pod(true), None, true),
        (pod(false), Some(w.job()), true),
    ] {
        let mut caches = caches();
        let key = left_behind(&pod);
        caches.kind_mut::<Pod>().upsert(pod);
        job.into_iter().for_each(|j| drop(caches.kind_mut::<Job>().upsert(j)));
        let seen = Jobs.observe(&key, &caches, &Answers::default());
        assert_eq!(seen.is_some(), left);
        if let Some(state) = seen {
            let plan = Jobs.reconcile(&state, &mut Failures::default(), at(0));
            assert!(plan.actions().all(|a| is_untracking(&a.op)) && plan.actions().count() == 1);
        }
    }
}
