//! TTL after finished: deletes jobs some time after their end, with what they own. The time counts as the server knows
//! it last, not as the caches do: it may have been put off.
// k8s: pkg/controller/ttlafterfinished/ttlafterfinished_controller.go

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use meta::Status;
use reconcile::{Action, Answer, Answers, Caches, Controller, Interests, Key, Op, Plan, time};

use super::types::{JOBS, Job};

/// The controller.
pub struct TtlAfterFinished;

/// What a decision on a job depends on.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub job: Arc<Job>,
    /// The job as the server has it; `None` when it has not been asked.
    pub fresh: Option<Result<Box<Job>, Status>>,
}

/// When a job is to go; `None`: never, as far as can be told.
fn expires(job: &Job) -> Option<Timestamp> {
    if job.metadata.deleting() {
        return None;
    }
    let ttl = u64::try_from(job.spec.ttl_seconds_after_finished?).unwrap_or(0);
    Some(time::after(job.end()?.last_transition_time?, Duration::from_secs(ttl)))
}

fn fresh(answers: &Answers, key: &Key) -> Option<Result<Box<Job>, Status>> {
    Some(match answers.got(&JOBS, &key.namespace, &key.name)? {
        Ok(Answer::Object(bytes)) => meta::json::read(bytes).map_err(|e| Status::internal(e.to_string())),
        Ok(_) => Err(Status::internal("not an object")),
        Err(status) => Err(status.clone()),
    })
}

fn delete(job: &Job) -> Action {
    let mut action = Action::delete(JOBS, &job.metadata);
    if let Op::Delete { propagation, .. } = &mut action.op {
        *propagation = Some("Foreground");
    }
    action
}

impl Controller for TtlAfterFinished {
    type State = State;
    type Memory = ();

    fn name(&self) -> &'static str {
        "ttl-after-finished-controller"
    }

    fn interests(&self, i: &mut Interests) {
        i.on::<Job>(|delta, _, sink| {
            if let Some(job) = delta.new.as_ref().filter(|j| expires(j).is_some()) {
                sink.add(job.metadata.key());
            }
        });
    }

    fn observe(&self, key: &Key, caches: &Caches, answers: &Answers) -> Option<State> {
        let job = caches.kind::<Job>().by_key(key)?.clone();
        expires(&job)?;
        Some(State { job, fresh: fresh(answers, key) })
    }

    fn reconcile(&self, state: &State, (): &mut (), now: Timestamp) -> Plan {
        let m = &state.job.metadata;
        match expires(&state.job) {
            None => return Plan::default(),
            Some(at) if at > now => return Plan::at(at),
            Some(_) => {}
        }
        match &state.fresh {
            None => Plan::of(vec![Action::get(JOBS, &m.namespace, &m.name)]),
            Some(Err(status)) => Plan { retry: !status.is("NotFound"), ..Plan::default() },
            Some(Ok(job)) => match expires(job) {
                None => Plan::default(),
                Some(at) if at > now => Plan::at(at),
                Some(_) => Plan::of(vec![delete(job)]),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn job(uid: &str, ttl: &Value, conditions: &Value) -> Job {
        let text = json!({
            "metadata": {"name": "j", "namespace": "d", "uid": uid},
            "spec": {"ttlSecondsAfterFinished": ttl}, "status": {"conditions": conditions},
        });
        meta::json::read(text.to_string().as_bytes()).unwrap()
    }

    fn ended(kind: &str) -> Value {
        json!([{"type": kind, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}])
    }

    fn decide(job: &Job, fresh: Option<Result<Box<Job>, Status>>, now: &str) -> Plan {
        let state = State { job: Arc::new(job.clone()), fresh };
        TtlAfterFinished.reconcile(&state, &mut (), now.parse().unwrap())
    }

    #[test]
    fn times() {
        for (ttl, conditions, want) in [
            (json!(60), ended("Complete"), Some("2026-01-01T00:01:00Z")),
            (json!(60), ended("Failed"), Some("2026-01-01T00:01:00Z")),
            (json!(0), ended("Complete"), Some("2026-01-01T00:00:00Z")),
            (json!(i32::MAX), ended("Complete"), Some("2094-01-19T03:14:07Z")),
            (Value::Null, ended("Complete"), None),
            (json!(60), ended("Suspended"), None),
            (json!(60), json!([{"type": "Complete", "status": "True"}]), None),
            (json!(60), json!([{"type": "Complete", "status": "False"}]), None),
        ] {
            let want = want.map(|t| t.parse::<Timestamp>().unwrap());
            assert_eq!(expires(&job("u", &ttl, &conditions)), want, "{ttl} {conditions}");
        }
    }

    #[test]
    fn the_servers_word_counts() {
        let cached = job("u", &json!(60), &ended("Complete"));
        let late = "2026-01-01T00:01:00Z";
        assert_eq!(decide(&cached, None, "2026-01-01T00:00:59Z"), Plan::at(late.parse().unwrap()));
        // A clock that went back makes it wait longer.
        assert_eq!(decide(&cached, None, "2025-01-01T00:00:00Z"), Plan::at(late.parse().unwrap()));
        assert_eq!(decide(&cached, None, late), Plan::of(vec![Action::get(JOBS, "d", "j")]));
        let longer = job("u", &json!(90), &ended("Complete"));
        let put_off = decide(&cached, Some(Ok(Box::new(longer))), late);
        assert_eq!(put_off, Plan::at("2026-01-01T00:01:30Z".parse().unwrap()));
        let taken_back = job("u", &Value::Null, &ended("Complete"));
        assert!(decide(&cached, Some(Ok(Box::new(taken_back))), late).is_empty());
        assert!(decide(&cached, Some(Err(Status::not_found(&JOBS, "j"))), late).is_empty());
        assert!(decide(&cached, Some(Err(Status::timeout("lost"))), late).retry);
    }

    #[test]
    fn what_is_deleted_is_what_was_read() {
        let cached = job("u", &json!(60), &ended("Complete"));
        let other = job("v", &json!(60), &ended("Complete"));
        let plan = decide(&cached, Some(Ok(Box::new(other))), "2026-01-01T00:02:00Z");
        let Some(Op::Delete { uid, propagation, .. }) = plan.actions().next().map(|a| &a.op) else {
            panic!("{plan:?}")
        };
        assert_eq!((uid.as_deref(), *propagation), (Some("v"), Some("Foreground")));
    }
}
