use super::*;
use meta::Status;
use reconcile::{Failure, Op};
use serde_json::{Value, json};

/// `* * * * *` made at midnight of 2026-01-01, with changes at paths of the spec and the status.
fn cron(changes: &[(&str, Value)]) -> Arc<CronJob> {
    let mut v = json!({
        "metadata": {"name": "c", "namespace": "d", "uid": "cj", "creationTimestamp": "2026-01-01T00:00:30Z"},
        "spec": {"schedule": "*/10 * * * *", "concurrencyPolicy": "Allow", "jobTemplate": {
            "metadata": {"labels": {"a": "b"}}, "spec": {"template": {}}}},
        "status": {},
    });
    for (path, value) in changes {
        let (parent, field) = path.rsplit_once('/').unwrap();
        v.pointer_mut(parent).unwrap()[field] = value.clone();
    }
    Arc::new(meta::json::read(v.to_string().as_bytes()).unwrap())
}

fn job(name: &str, at: &str, end: Option<&str>) -> Arc<Job> {
    let conditions = end.map(|kind| json!([{"type": kind, "status": "True"}]));
    let v = json!({
        "metadata": {"name": name, "namespace": "d", "uid": name, "annotations": {children::SCHEDULED_AT: at}},
        "status": {"conditions": conditions, "startTime": at, "completionTime": end.map(|_| at)},
    });
    Arc::new(meta::json::read(v.to_string().as_bytes()).unwrap())
}

fn active(name: &str) -> Value {
    json!({"kind": "Job", "apiVersion": "batch/v1", "name": name, "namespace": "d", "uid": name})
}

fn decide(state: &State, now: &str) -> Plan {
    CronJobs.reconcile(state, &mut Followed::default(), now.parse().unwrap())
}

/// What a plan does, in short: operations, then events.
fn said(plan: &Plan) -> Vec<String> {
    let op = |op: &Op| match op {
        Op::Patch { body, .. } => {
            let v: Value = serde_json::from_slice(body).unwrap();
            let names = v.pointer("/status/active").and_then(Value::as_array).into_iter().flatten();
            let names: Vec<&str> = names.map(|r| r["name"].as_str().unwrap()).collect();
            format!(
                "status [{}] {}",
                names.join(","),
                v["status"]["lastScheduleTime"].as_str().unwrap_or("-")
            )
        }
        other => format!("{} {}", other.verb(), other.target().1),
    };
    let events = plan.events.iter().map(|e| e.reason.to_owned());
    plan.actions().map(|a| op(&a.op)).chain(events).collect()
}

/// 2026-01-01T00:10:00Z is minute 29453770 of the epoch.
const TEN: &str = "c-29453770";
const TEN_AT: &str = "2026-01-01T00:10:00Z";

#[test]
fn what_is_due_is_made() {
    let policy = |p: &str| ("/spec/concurrencyPolicy", json!(p));
    let running = ("/status/active", json!([active("old")]));
    let state = |changes: &[(&str, Value)], jobs: &[Arc<Job>]| State {
        cronjob: cron(changes),
        jobs: jobs.to_vec(),
        ..State::default()
    };
    let old = || job("old", "2025-12-31T00:00:00Z", None);
    let create = format!("create {TEN}");
    let cases: Vec<(State, &str, Vec<&str>)> = vec![
        (state(&[], &[]), "2026-01-01T00:09:59Z", vec![]),
        (state(&[], &[]), "2026-01-01T00:10:00Z", vec![&create]),
        (state(&[], &[]), "2026-01-01T00:19:59Z", vec![&create]),
        (state(&[("/status/lastScheduleTime", json!(TEN_AT))], &[]), "2026-01-01T00:19:59Z", vec![]),
        (state(&[("/spec/suspend", json!(true))], &[]), "2026-01-01T00:10:00Z", vec![]),
        // The clock went back behind the last time.
        (state(&[("/status/lastScheduleTime", json!(TEN_AT))], &[]), "2025-12-01T00:00:00Z", vec![]),
        // Far too many were missed: one is made.
        (state(&[], &[]), "2026-02-01T00:01:00Z", vec!["create c-29498400", "TooManyMissedTimes"]),
        (
            state(&[("/spec/startingDeadlineSeconds", json!(200))], &[]),
            "2026-02-01T00:01:00Z",
            vec!["create c-29498400"],
        ),
        (state(&[("/spec/startingDeadlineSeconds", json!(59))], &[]), "2026-01-01T00:10:59.5Z", vec![]),
        (state(&[policy("Allow"), running.clone()], &[old()]), "2026-01-01T00:10:00Z", vec![&create]),
        (
            state(&[policy("Forbid"), running.clone()], &[old()]),
            "2026-01-01T00:10:00Z",
            vec!["JobAlreadyActive"],
        ),
        (
            state(&[policy("Replace"), running], &[old()]),
            "2026-01-01T00:10:00Z",
            vec!["delete old", "status [] -", &create],
        ),
        // Schedules and zones that nobody can follow.
        (
            state(&[("/spec/timeZone", json!("Mars/Base"))], &[]),
            "2026-01-01T00:10:00Z",
            vec!["UnknownTimeZone"],
        ),
        (state(&[("/spec/schedule", json!("x"))], &[]), "2026-01-01T00:10:00Z", vec!["UnparseableSchedule"]),
        (
            state(&[("/spec/schedule", json!("0 0 31 2 *"))], &[]),
            "2026-01-01T00:10:00Z",
            vec!["InvalidSchedule"],
        ),
        (
            state(&[("/spec/schedule", json!("TZ=UTC */10 * * * *"))], &[]),
            "2026-01-01T00:10:00Z",
            vec![&create, "UnsupportedSchedule"],
        ),
    ];
    for (state, now, want) in cases {
        assert_eq!(said(&decide(&state, now)), want, "{now} {state:?}");
    }
}

#[test]
fn a_job_says_for_which_time_it_is_in_the_zone() {
    let s = State { cronjob: cron(&[("/spec/timeZone", json!("Asia/Kolkata"))]), ..State::default() };
    let plan = decide(&s, TEN_AT);
    let Some(Op::Create { body, .. }) = plan.actions().map(|a| &a.op).next() else { panic!("{plan:?}") };
    let body: Value = serde_json::from_slice(body).unwrap();
    assert_eq!(body["metadata"]["annotations"][children::SCHEDULED_AT], "2026-01-01T05:40:00+05:30");
    assert_eq!(body["metadata"]["labels"], json!({"a": "b"}));
    assert_eq!(body["metadata"]["ownerReferences"][0]["uid"], "cj");
    assert_eq!(plan.requeue_at, Some(TEN_AT.parse().unwrap()), "the job is put into the status at once");
    assert_eq!(
        decide(&s, "2026-01-01T00:05:00Z").requeue_at,
        Some("2026-01-01T00:10:00.1Z".parse().unwrap())
    );
}

#[test]
fn what_was_made_is_noted_once() {
    let noted = [("/status/active", json!([active(TEN)])), ("/status/lastScheduleTime", json!(TEN_AT))];
    let cases: Vec<(State, Vec<String>)> = vec![
        // Made, and the process died before it said so.
        (
            State { cronjob: cron(&[]), jobs: vec![job(TEN, TEN_AT, None)], ..State::default() },
            vec![format!("status [{TEN}] {TEN_AT}")],
        ),
        // It has come to its end meanwhile.
        (
            State { cronjob: cron(&[]), jobs: vec![job(TEN, TEN_AT, Some("Complete"))], ..State::default() },
            vec![format!("status [] {TEN_AT}"), "SawCompletedJob".to_owned()],
        ),
        (State { cronjob: cron(&noted), jobs: vec![job(TEN, TEN_AT, None)], ..State::default() }, vec![]),
        // Somebody's job that names the cron job as its owner.
        (
            State {
                cronjob: cron(&noted),
                jobs: vec![job(TEN, TEN_AT, None), job("x", TEN_AT, None)],
                ..State::default()
            },
            vec!["UnexpectedJob".to_owned()],
        ),
        // Not in the caches: the server is asked, and believed.
        (State { cronjob: cron(&noted), ..State::default() }, vec![format!("get {TEN}")]),
        (
            State { cronjob: cron(&noted), asked: [(TEN.into(), Found::Gone)].into(), ..State::default() },
            vec![format!("status [] {TEN_AT}"), "MissingJob".to_owned()],
        ),
        (
            State { cronjob: cron(&noted), asked: [(TEN.into(), Found::There)].into(), ..State::default() },
            vec![],
        ),
    ];
    for (state, want) in cases {
        assert_eq!(said(&decide(&state, "2026-01-01T00:11:00Z")), want, "{state:?}");
    }
    let unknown =
        State { cronjob: cron(&noted), asked: [(TEN.into(), Found::Unknown)].into(), ..State::default() };
    assert!(decide(&unknown, "2026-01-01T00:11:00Z").retry);
}

#[test]
fn a_name_that_somebody_has_is_passed_over() {
    let op = Op::Create { gvr: JOBS, namespace: "d".into(), name: TEN.into(), body: vec![] };
    let failure = Failure { op, status: Status::already_exists(&JOBS, TEN) };
    let state = State { cronjob: cron(&[]), failures: vec![failure], ..State::default() };
    let plan = decide(&state, TEN_AT);
    assert_eq!(said(&plan), Vec::<String>::new());
    assert_eq!(plan.requeue_at, Some("2026-01-01T00:20:00.1Z".parse().unwrap()));
}

#[test]
fn a_new_schedule_does_not_bring_up_what_it_would_have_had() {
    let mut followed = Followed::default();
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let before = State { cronjob: cron(&[("/spec/schedule", json!("0 0 1 1 *"))]), ..State::default() };
    assert_eq!(
        said(&CronJobs.reconcile(&before, &mut followed, at("2026-01-01T00:15:00Z"))),
        Vec::<String>::new()
    );
    let after = State { cronjob: cron(&[]), ..State::default() };
    let plan = CronJobs.reconcile(&after, &mut followed, at("2026-01-01T00:15:00Z"));
    assert_eq!((said(&plan), plan.requeue_at), (vec![], Some(at("2026-01-01T00:20:00.1Z"))));
    let plan = CronJobs.reconcile(&after, &mut followed, at("2026-01-01T00:20:00.1Z"));
    assert_eq!(said(&plan), ["create c-29453780"]);
}

#[test]
fn the_history_is_kept_short() {
    let limits = [("/spec/successfulJobsHistoryLimit", json!(1)), ("/spec/failedJobsHistoryLimit", json!(0))];
    let jobs = vec![
        job("b", "2025-12-02T00:00:00Z", Some("Complete")),
        job("a", "2025-12-03T00:00:00Z", Some("Complete")),
        job("c", "2025-12-01T00:00:00Z", Some("Complete")),
        job("f", "2025-12-01T00:00:00Z", Some("Failed")),
        job("g", "2025-12-01T00:00:00Z", None),
    ];
    let state = State { cronjob: cron(&limits), jobs, ..State::default() };
    let plan = decide(&state, "2026-01-01T00:01:00Z");
    assert_eq!(said(&plan), ["status [] -", "UnexpectedJob"], "first is noted when one succeeded last");
    let noted = ("/status/lastSuccessfulTime", json!("2025-12-03T00:00:00Z"));
    let [good, bad] = limits;
    let state = State { cronjob: cron(&[good, bad, noted]), ..state };
    let plan = decide(&state, "2026-01-01T00:01:00Z");
    assert_eq!(said(&plan), ["delete c", "delete b", "delete f", "UnexpectedJob"]);
}
