//! Pod GC: removes pods that nobody else will: too many finished ones, those of nodes that are gone, those that are
//! being deleted on nodes that are said to be out of service, and those that were deleted before they got a node.
// k8s: pkg/controller/podgc/gc_controller.go

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use reconcile::{Action, Answers, Caches, Controller, Delta, Interests, Key, KeySink, Op, Plan, time};
use serde_json::{Value, json};

use crate::core::node::{NODES, Node};
use crate::core::pod::{self, PODS, Pod};

const PERIOD: Duration = Duration::from_secs(20);
/// How long a node must be gone before its pods are removed.
const QUARANTINE: Duration = Duration::from_secs(40);
/// The key of the regular look at all pods; other keys are `node/<name>`.
const SWEEP: &str = "sweep";
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// The controller.
pub struct PodGc {
    /// Finished pods that may stay; 0: all.
    pub terminated_threshold: usize,
}

impl Default for PodGc {
    fn default() -> Self {
        PodGc { terminated_threshold: 12_500 }
    }
}

/// What a decision depends on.
#[derive(Clone, Debug)]
pub enum State {
    /// The pods that must go now: finished ones beyond the threshold, deleted ones on a node out of service, and
    /// deleted ones without a node.
    Sweep { terminated: Vec<Arc<Pod>>, stranded: Vec<Arc<Pod>>, unscheduled: Vec<Arc<Pod>> },
    /// The pods of a node that the caches do not have. `gone`: what a live read said.
    Orphans { node: String, pods: Vec<Arc<Pod>>, gone: Option<bool> },
}

/// Whether somebody says that the node does not run and will not come back to its pods.
fn out_of_service(n: &Node) -> bool {
    n.ready_status() != "True" && n.spec.taints.iter().any(|t| &*t.key == OUT_OF_SERVICE)
}

fn orphaned(delta: &Delta<Pod>, caches: &Caches, sink: &mut KeySink) {
    let Some(p) = &delta.new else { return };
    let node = &p.spec.node_name;
    if !node.is_empty() && caches.kind::<Node>().get("", node).is_none() {
        sink.add_after(Key::new("node", node), QUARANTINE);
    }
}

impl Controller for PodGc {
    type State = State;
    type Memory = ();

    fn name(&self) -> &'static str {
        "pod-garbage-collector"
    }

    fn interests(&self, i: &mut Interests) {
        i.at_start(Key::new("", SWEEP));
        i.on::<Pod>(orphaned);
        i.on::<Node>(|delta, _, sink| {
            if let (Some(old), None) = (&delta.old, &delta.new) {
                sink.add_after(Key::new("node", &old.metadata.name), QUARANTINE);
            }
        });
    }

    fn observe(&self, key: &Key, caches: &Caches, answers: &Answers) -> Option<State> {
        let pods = caches.kind::<Pod>();
        if &*key.namespace == "node" {
            let orphans: Vec<Arc<Pod>> = pods.by_index(pod::BY_NODE, &key.name).cloned().collect();
            if orphans.is_empty() || caches.kind::<Node>().get("", &key.name).is_some() {
                return None;
            }
            let gone = answers.got(&NODES, "", &key.name).map(|a| matches!(a, Err(e) if e.code == 404));
            return Some(State::Orphans { node: key.name.to_string(), pods: orphans, gone });
        }
        let unscheduled =
            pods.by_index(pod::BY_NODE, "").filter(|p| p.metadata.deleting()).cloned().collect();
        let nodes = caches.kind::<Node>().iter().filter(|n| out_of_service(n));
        let stranded = nodes.flat_map(|n| pods.by_index(pod::BY_NODE, &n.metadata.name));
        let stranded = stranded.filter(|p| p.metadata.deleting()).cloned().collect();
        let mut terminated: Vec<Arc<Pod>> = Vec::new();
        if self.terminated_threshold > 0 {
            terminated.extend(pods.iter().filter(|p| p.finished() && !p.metadata.deleting()).cloned());
            let excess = terminated.len().saturating_sub(self.terminated_threshold);
            if excess > 0 {
                // Evicted ones first, then the oldest.
                terminated.sort_by_key(|p| {
                    (&*p.status.reason != "Evicted", p.metadata.creation_timestamp, p.metadata.key())
                });
            }
            terminated.truncate(excess);
        }
        Some(State::Sweep { terminated, stranded, unscheduled })
    }

    fn reconcile(&self, state: &State, _: &mut (), now: Timestamp) -> Plan {
        match state {
            State::Sweep { terminated, stranded, unscheduled } => {
                let mut plan = Plan::at(time::after(now, PERIOD));
                remove(terminated.iter().chain(stranded).chain(unscheduled), None, &mut plan);
                plan
            }
            State::Orphans { node, gone: None, .. } => Plan::of(vec![Action::get(NODES, "", node)]),
            State::Orphans { gone: Some(false), .. } => Plan::at(time::after(now, QUARANTINE)),
            State::Orphans { pods, gone: Some(true), .. } => {
                let mut plan = Plan::default();
                let condition = json!([{
                    "type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC",
                    "message": "PodGC: node no longer exists", "lastTransitionTime": time::rfc3339(now),
                }]);
                remove(pods.iter(), Some(&condition), &mut plan);
                plan
            }
        }
    }
}

fn delete_now(p: &Pod) -> Action {
    let mut action = Action::delete(PODS, &p.metadata);
    if let Op::Delete { grace_period_seconds, .. } = &mut action.op {
        *grace_period_seconds = Some(0);
    }
    action
}

/// Plans pods to be deleted, and those that have not come to their end to be failed before, with these conditions:
/// nobody else tells of their end. What is failed when another pod's patch is refused has come to its end by the next
/// decision, and then waits for nobody.
// k8s: pkg/controller/podgc/gc_controller.go markFailedAndDeletePodWithCondition
fn remove<'a>(pods: impl Iterator<Item = &'a Arc<Pod>> + Clone, conditions: Option<&Value>, plan: &mut Plan) {
    let failed = |p: &Arc<Pod>| {
        let mut body = json!({"metadata": {"uid": p.metadata.uid}, "status": {"phase": "Failed"}});
        if let Some(conditions) = conditions {
            body["status"]["conditions"] = conditions.clone();
        }
        Action::strategic_patch(PODS, &p.metadata.key(), "status", &body).tolerate(&["NotFound"])
    };
    let unfinished = pods.clone().filter(|p| !p.finished());
    plan.step(pods.filter(|p| p.finished()).map(|p| delete_now(p)).collect());
    plan.always(unfinished.clone().map(failed).collect());
    plan.step(unfinished.map(|p| delete_now(p)).collect());
}

#[cfg(test)]
mod tests {
    use super::*;
    use reconcile::{Answer, Engine, EngineConfig};

    fn pod(name: &str, phase: &str) -> Arc<Pod> {
        let text = format!(
            r#"{{"metadata":{{"name":"{name}","namespace":"n","uid":"{name}"}},"spec":{{"nodeName":"gone"}},
                "status":{{"phase":"{phase}"}}}}"#
        );
        Arc::new(serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn pods_of_a_node_that_is_really_gone_are_failed_and_deleted() {
        let now = Timestamp::UNIX_EPOCH;
        let state = |gone| State::Orphans {
            node: "gone".into(),
            pods: vec![pod("a", "Running"), pod("b", "Succeeded")],
            gone,
        };
        let verbs = |s| {
            PodGc::default().reconcile(&s, &mut (), now).actions().map(|a| a.op.verb()).collect::<Vec<_>>()
        };
        assert_eq!(verbs(state(None)), vec!["get"]);
        assert_eq!(verbs(state(Some(false))), Vec::<&str>::new());
        assert_eq!(verbs(state(Some(true))), vec!["delete", "patch", "delete"]);
    }

    /// One of two running pods cannot be failed: all others go, and it alone is tried again.
    #[test]
    fn a_pod_that_cannot_be_failed_holds_up_no_other() {
        let mut caches = Caches::default();
        caches.kind_mut::<Node>().replace(Vec::new(), 1);
        let pods = [("bad", "Running"), ("done", "Succeeded"), ("good", "Running")];
        caches.kind_mut::<Pod>().replace(pods.map(|(n, phase)| (*pod(n, phase)).clone()).into(), 1);
        let mut engine = Engine::new(PodGc::default(), EngineConfig::default());
        engine.start(&caches);
        engine.enqueue(Key::new("node", "gone"));
        let (mut gone, mut now, mut revision) = (Vec::new(), Timestamp::UNIX_EPOCH, 1);
        for _ in 0..50 {
            let Some(work) = engine.next(now, &caches) else {
                now = time::after(now, Duration::from_millis(50));
                continue;
            };
            let name = work.op.target().1.to_owned();
            let key = Key::new("n", &name);
            let result = match &*work.op {
                Op::Patch { .. } if name == "bad" => Err(meta::Status::internal("a webhook says no")),
                Op::Patch { .. } => {
                    revision += 1;
                    let mut p = (*pod(&name, "Failed")).clone();
                    p.metadata.resource_version = revision;
                    caches.kind_mut::<Pod>().upsert(p);
                    let text =
                        format!(r#"{{"metadata": {{"name": "{name}", "resourceVersion": "{revision}"}}}}"#);
                    Ok(Answer::Object(text.into()))
                }
                Op::Delete { .. } => {
                    revision += 1;
                    caches.kind_mut::<Pod>().remove(&key, revision);
                    gone.push(name);
                    Ok(Answer::Object("{}".into()))
                }
                Op::Revision { .. } => Ok(Answer::Revision(revision)),
                _ => Err(meta::Status::not_found(&NODES, "gone")),
            };
            engine.done(work.id, result, now);
        }
        assert_eq!(gone, ["done", "good"]);
    }

    #[test]
    fn finished_pods_beyond_the_threshold_go_evicted_first() {
        let mut caches = Caches::default();
        caches.kind_mut::<Node>();
        for (name, reason) in [("a", ""), ("b", "Evicted"), ("c", "")] {
            let mut p = (*pod(name, "Failed")).clone();
            p.status.reason = reason.into();
            caches.kind_mut::<Pod>().upsert(p);
        }
        let gc = PodGc { terminated_threshold: 2 };
        let state = gc.observe(&Key::new("", SWEEP), &caches, &Answers::default()).unwrap();
        let plan = gc.reconcile(&state, &mut (), Timestamp::UNIX_EPOCH);
        let gone: Vec<_> = plan.actions().map(|a| a.op.target().1.to_owned()).collect();
        assert_eq!(gone, vec!["b"]);
    }

    #[test]
    fn deleted_pods_that_no_node_will_end_are_failed_first() {
        let out = r#"[{"key":"node.kubernetes.io/out-of-service","effect":"NoExecute"}]"#;
        for (node, taints, ready, goes) in [
            ("a", out, "Unknown", true),
            ("a", out, "True", false),
            ("a", "[]", "Unknown", false),
            ("", "[]", "True", true),
        ] {
            let mut caches = Caches::default();
            let text = format!(
                r#"{{"metadata":{{"name":"a"}},"spec":{{"taints":{taints}}},
                    "status":{{"conditions":[{{"type":"Ready","status":"{ready}"}}]}}}}"#
            );
            caches.kind_mut::<Node>().upsert(serde_json::from_str(&text).unwrap());
            for (name, deleting) in [("going", true), ("staying", false)] {
                let mut p = (*pod(name, "Running")).clone();
                p.spec.node_name = node.into();
                p.metadata.deletion_timestamp = deleting.then_some(Timestamp::UNIX_EPOCH);
                caches.kind_mut::<Pod>().upsert(p);
            }
            let gc = PodGc::default();
            let state = gc.observe(&Key::new("", SWEEP), &caches, &Answers::default()).unwrap();
            let plan = gc.reconcile(&state, &mut (), Timestamp::UNIX_EPOCH);
            let done: Vec<_> = plan.actions().map(|a| (a.op.verb(), a.op.target().1)).collect();
            let want: &[_] = if goes { &[("patch", "going"), ("delete", "going")] } else { &[] };
            assert_eq!(done, want, "{node} {taints} {ready}");
        }
    }
}
