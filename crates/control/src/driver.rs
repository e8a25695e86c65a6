//! Runs engines over a client: one task for each controller, its operations as tasks of their own.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use jiff::Timestamp;
use meta::Status;
use parking_lot::Mutex;
use reconcile::{Answer, Engine, EventRecord, Key, Op, Work, WorkId};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::execute::Executor;
use crate::informers::Seat;
use crate::{Context, Informers, Recorder};

/// After this long an operation counts as lost: it may have happened.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(60);

/// Controllers to run together, each with the context (identity) that it writes with.
#[derive(Default)]
pub struct Controllers {
    list: Vec<(Engine, Context)>,
}

impl Controllers {
    /// Adds one.
    pub fn add(&mut self, engine: Engine, ctx: &Context) {
        self.list.push((engine, ctx.clone()));
    }

    /// Runs them until their contexts are stopped. What was sent is waited for. When one breaks off, the others end too:
    /// whoever runs them starts them all anew, rather than going on without one.
    pub async fn run(self, informers: &Informers, recorder: &Recorder) {
        let mut all = JoinSet::new();
        let mut names = HashMap::new();
        for (engine, ctx) in self.list {
            let name = engine.name();
            let recorder = recorder.for_client(&ctx);
            let informers = informers.clone();
            let task = all.spawn(async move { run(engine, &ctx, &informers, &recorder).await });
            names.insert(task.id(), name);
        }
        while let Some(end) = all.join_next().await {
            if let Err(e) = end {
                let name = names.get(&e.id()).copied().unwrap_or_default();
                tracing::error!("{name} broke off: {e}; the controllers end");
                all.shutdown().await;
            }
        }
    }
}

type Done = (WorkId, Result<Answer, Status>);

/// Runs one engine until the context is stopped, then waits for what was sent.
pub async fn run(engine: Engine, ctx: &Context, informers: &Informers, recorder: &Recorder) {
    informers.follow_all(&engine);
    let name = engine.name();
    let seat = Arc::new(Seat { engine: Mutex::new(engine), wake: Notify::new() });
    if !informers.seat(&seat).await {
        return;
    }
    tracing::debug!("{name} started");
    let executor = Arc::new(Executor::new(ctx.client.clone(), ctx.ports.clone()));
    let mut works: JoinSet<Done> = JoinSet::new();
    loop {
        let turn = turn(&seat, ctx, informers);
        for work in turn.works {
            start(&mut works, &executor, informers, work);
        }
        turn.events.into_iter().for_each(|e| recorder.record(name, e));
        for (key, op, status) in turn.failures {
            let (_, object) = op.target();
            tracing::info!("{name} {key}: {} {} {object}: {status}", op.verb(), op.gvr());
        }
        tokio::select! {
            () = ctx.stop.cancelled() => break,
            () = seat.wake.notified() => {}
            Some(done) = works.join_next() => finish(&seat, ctx, done),
            () = tokio::time::sleep(turn.sleep) => {}
        }
        // All answers that are there, before deciding again.
        while let Some(done) = works.try_join_next() {
            finish(&seat, ctx, done);
        }
    }
    informers.unseat(&seat);
    while works.join_next().await.is_some() {}
    tracing::debug!("{name} stopped");
}

struct Turn {
    works: Vec<Work>,
    events: Vec<EventRecord>,
    failures: Vec<(Key, Arc<Op>, Status)>,
    sleep: Duration,
}

fn turn(seat: &Seat, ctx: &Context, informers: &Informers) -> Turn {
    let now = ctx.now();
    let caches = informers.caches();
    let mut engine = seat.engine.lock();
    let works = std::iter::from_fn(|| engine.next(now, &caches)).collect();
    Turn {
        works,
        events: engine.take_events(),
        failures: engine.take_failures(),
        sleep: engine.next_wake().map_or(Duration::from_secs(3600), |at| until(now, at)),
    }
}

fn until(now: Timestamp, at: Timestamp) -> Duration {
    // A ready key that may not run yet waits for an answer, not for time.
    if at == Timestamp::MIN {
        return Duration::from_secs(3600);
    }
    let micros = at.as_microsecond().saturating_sub(now.as_microsecond());
    Duration::from_micros(u64::try_from(micros).unwrap_or(0)).min(Duration::from_secs(3600))
}

fn start(works: &mut JoinSet<Done>, executor: &Arc<Executor>, informers: &Informers, work: Work) {
    let executor = executor.clone();
    let informers = informers.clone();
    works.spawn(async move {
        let sent = async {
            match &*work.op {
                op @ Op::Revision { .. } => informers.revision(op).await,
                op => executor.execute(op).await,
            }
        };
        let sent = AssertUnwindSafe(sent).catch_unwind();
        let result = match tokio::time::timeout(OPERATION_TIMEOUT, sent).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Status::internal("the client broke off")),
            Err(_) => Err(Status::timeout("no answer in time")),
        };
        if let Ok(Answer::Revision(revision)) = &result {
            informers.require(work.op.gvr(), *revision);
        }
        (work.id, result)
    });
}

fn finish(seat: &Seat, ctx: &Context, done: Result<Done, tokio::task::JoinError>) {
    match done {
        Ok((id, result)) => seat.engine.lock().done(id, result, ctx.now()),
        Err(e) => tracing::error!("an operation broke off: {e}"),
    }
}
