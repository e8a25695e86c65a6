//! Namespace: empties a namespace that is being deleted, then lets it go.
//!
//! Works over discovery, so it covers kinds that it has never heard of. Lists everything, deletes what is
//! there (pods first, the rest when they are gone), and removes the `kubernetes` finalizer only after live
//! lists of every resource came back empty and discovery was whole.
// k8s: pkg/controller/namespace/deletion/namespaced_resources_deleter.go

mod conditions;
mod state;
pub mod types;

use std::time::Duration;

use jiff::Timestamp;
use meta::{Gvr, Status};
use reconcile::{
    Action, Answer, Answers, Caches, Controller, Interests, Key, Op, Partial, Plan, ResourceInfo, time,
};
use serde_json::json;

pub use self::state::{Content, State};
use self::types::{NAMESPACES, Namespace};
use crate::core::pod::PODS;

const FINALIZER: &str = "kubernetes";
/// Items looked at in one list; the rest comes with the next round.
const LIST_LIMIT: u32 = 500;
/// How soon it is looked again when something was deleted just now.
const SOON: Duration = Duration::from_millis(200);

/// The controller.
pub struct Namespaces;

fn unreadable(gvr: &Gvr, why: &str) -> Status {
    Status::internal(format!("cannot read the list of {}.{}: {why}", gvr.resource, gvr.group))
}

fn emptied(r: &ResourceInfo) -> bool {
    r.namespaced && r.can("list") && (r.can("deletecollection") || r.can("delete"))
}

impl Controller for Namespaces {
    type State = State;
    type Memory = ();

    fn name(&self) -> &'static str {
        "namespace-controller"
    }

    fn interests(&self, i: &mut Interests) {
        i.own::<Namespace>();
        i.on_discovery(|_, _| {});
    }

    fn observe(&self, key: &Key, caches: &Caches, answers: &Answers) -> Option<State> {
        let ns = caches.kind::<Namespace>().by_key(key).filter(|n| n.metadata.deleting())?.clone();
        let resources: Vec<ResourceInfo> =
            caches.discovery.resources().iter().filter(|r| emptied(r)).cloned().collect();
        let content = resources
            .iter()
            .filter_map(|r| {
                let items = match answers.listed(&r.gvr, &key.name)? {
                    // One item that cannot be read is content all the same: the namespace must not go.
                    Ok(Answer::List { items, .. }) => items
                        .iter()
                        .map(|b| Partial::parse(b).map_err(|e| unreadable(&r.gvr, &e.to_string())))
                        .collect(),
                    Ok(_) => Err(unreadable(&r.gvr, "the answer is no list")),
                    // No longer served, or never really.
                    Err(e) if e.code == 404 || e.code == 405 => Ok(Vec::new()),
                    Err(e) => Err(e.clone()),
                };
                Some(Content { resource: r.clone(), items })
            })
            .collect();
        let undiscovered = caches.discovery.failed.clone();
        Some(State { ns, resources, undiscovered, content, failures: answers.failures.clone() })
    }

    fn reconcile(&self, state: &State, _: &mut (), now: Timestamp) -> Plan {
        let ns = &state.ns;
        if &*ns.status.phase != "Terminating" {
            let status = json!({"phase": "Terminating"});
            return Plan::of(vec![Action::status_patch(NAMESPACES, &ns.metadata, &status)]);
        }
        if !ns.spec.finalizers.iter().any(|f| &**f == FINALIZER) {
            return Plan::default();
        }
        // Discovery may have grown since the lists were made: what was never listed is not known to be empty.
        if state.content.len() < state.resources.len() {
            return Plan::of(state.resources.iter().map(|r| list(&r.gvr, &ns.metadata.name)).collect());
        }
        let empty = state.content.iter().all(|c| c.items.as_ref().is_ok_and(Vec::is_empty));
        let mut plan = Plan::default();
        let conditions = conditions::compute(state, now);
        if conditions != ns.status.conditions && !(empty && ns.status.conditions.is_empty()) {
            let status = json!({"conditions": conditions});
            plan.step(vec![Action::status_patch(NAMESPACES, &ns.metadata, &status).tolerate(&["Conflict"])]);
        }
        if empty && state.undiscovered.is_empty() {
            plan.steps.clear();
            plan.step(vec![finalize(ns)]);
            return plan;
        }
        plan.step(deletions(state));
        plan.retry = state.content.iter().any(|c| c.items.is_err()) || !state.undiscovered.is_empty();
        plan.requeue_by(time::after(now, patience(state, now)));
        plan
    }
}

fn list(gvr: &Gvr, namespace: &str) -> Action {
    let namespace = namespace.to_owned();
    let selector = String::new();
    Op::List { gvr: gvr.clone(), namespace, selector, metadata_only: true, limit: LIST_LIMIT }.into()
}

fn finalize(ns: &Namespace) -> Action {
    let rest: Vec<&str> = ns.spec.finalizers.iter().map(AsRef::as_ref).filter(|f| *f != FINALIZER).collect();
    let body = json!({
        "kind": "Namespace", "apiVersion": "v1", "metadata": ns.metadata, "spec": {"finalizers": rest},
    });
    Action::update(NAMESPACES, &ns.metadata.key(), "finalize", &body).tolerate(&["NotFound"])
}

fn alive(c: &Content) -> impl Iterator<Item = &Partial> {
    c.items.iter().flatten().filter(|p| !p.metadata.deleting())
}

/// Deletes what is there and not yet being deleted: pods before everything else.
fn deletions(state: &State) -> Vec<Action> {
    let ns = &state.ns.metadata.name;
    let has_pods = |c: &&Content| c.resource.gvr == PODS && c.items.as_ref().is_ok_and(|i| !i.is_empty());
    let pods = state.content.iter().find(has_pods);
    let round: Vec<&Content> = pods.map_or_else(|| state.content.iter().collect(), |p| vec![p]);
    let mut out = Vec::new();
    for c in round.into_iter().filter(|c| alive(c).next().is_some()) {
        let gvr = c.resource.gvr.clone();
        if c.resource.can("deletecollection") {
            let op = Op::DeleteCollection { gvr, namespace: ns.to_string() };
            out.push(Action::from(op).tolerate(&["NotFound"]));
        } else {
            out.extend(alive(c).map(|p| Action::delete(gvr.clone(), &p.metadata)));
        }
    }
    out
}

/// How long to wait before looking again: what is left may need its grace period, or somebody's finalizer.
fn patience(state: &State, now: Timestamp) -> Duration {
    if state.content.iter().any(|c| alive(c).next().is_some()) {
        return SOON;
    }
    let left = state.content.iter().flat_map(|c| c.items.iter().flatten());
    let seconds = left
        .map(|p| p.metadata.deletion_timestamp.map_or(0.0, |t| time::seconds_between(now, t)))
        .fold(0.0f64, f64::max);
    Duration::from_secs_f64((seconds / 2.0 + 1.0).clamp(1.0, 15.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use reconcile::Discovery;

    fn resource(plural: &'static str, kind: &str) -> ResourceInfo {
        let verbs = ["list", "delete", "deletecollection"].map(str::to_owned).to_vec();
        ResourceInfo { gvr: Gvr::new("", "v1", plural), kind: kind.into(), namespaced: true, verbs }
    }

    fn world(resources: Vec<ResourceInfo>) -> Caches {
        let mut caches = Caches::default();
        caches.discovery = Discovery::new(resources, vec![], vec![]);
        let namespace = json!({"metadata": {"name": "n", "deletionTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Terminating"}});
        caches.kind_mut::<Namespace>().upsert(serde_json::from_value(namespace).unwrap());
        caches
    }

    fn decide(caches: &Caches, answers: &Answers) -> (State, Plan) {
        let state = Namespaces.observe(&Key::new("", "n"), caches, answers).unwrap();
        let plan = Namespaces.reconcile(&state, &mut (), Timestamp::UNIX_EPOCH);
        (state, plan)
    }

    fn finalizes(plan: &Plan) -> bool {
        plan.actions().any(|a| matches!(&a.op, Op::Update { sub: "finalize", .. }))
    }

    #[test]
    fn what_discovery_learns_after_the_lists_is_listed_before_the_namespace_goes() {
        let (maps, secrets) = (resource("configmaps", "ConfigMap"), resource("secrets", "Secret"));
        let nothing = || Ok(Answer::List { revision: 1, items: Vec::new(), more: false });
        let mut answers = Answers { reads: vec![(list(&maps.gvr, "n").op, nothing())], ..Answers::default() };
        let caches = world(vec![maps.clone(), secrets.clone()]);
        let (_, plan) = decide(&caches, &answers);
        let lists = |gvr: &Gvr| plan.actions().any(|a| matches!(&a.op, Op::List { gvr: g, .. } if g == gvr));
        assert!(!finalizes(&plan) && lists(&maps.gvr) && lists(&secrets.gvr));
        answers.reads.push((list(&secrets.gvr, "n").op, nothing()));
        assert!(finalizes(&decide(&caches, &answers).1));
    }

    #[test]
    fn only_an_empty_namespace_is_let_go() {
        let good = r#"{"metadata":{"name":"a","namespace":"n","uid":"u"}}"#;
        let bad = r#"{"metadata":{"name":7}}"#;
        let cases: [(&[&str], bool, bool); 4] =
            [(&[], true, false), (&[good], false, false), (&[bad], false, true), (&[good, bad], false, true)];
        let resource = resource("configmaps", "ConfigMap");
        let gvr = resource.gvr.clone();
        let caches = world(vec![resource]);
        for (items, finalized, retried) in cases {
            let items = items.iter().map(|i| i.to_string().into()).collect();
            let reads = vec![(list(&gvr, "n").op, Ok(Answer::List { revision: 1, items, more: false }))];
            let answers = Answers { reads, ..Answers::default() };
            let (state, plan) = decide(&caches, &answers);
            assert_eq!((finalizes(&plan), plan.retry), (finalized, retried), "{:?}", state.content);
        }
    }
}
