//! Reflectors and the driver against a scripted server.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod scripted;

use std::sync::Arc;
use std::time::Duration;

use control::{
    CancellationToken, Context, Controllers, Election, Informers, Port, Ports, Recorder, ReflectEvent,
    Selection, elect, reflect,
};
use jiff::Timestamp;
use meta::{Gvr, Status, Verb};
use reconcile::{
    Action, Answer, Answers, Caches, Controller, Engine, EngineConfig, Interests, Key, ObjectMeta, Plan,
    Projection,
};
use scripted::Scripted;
use serde::Deserialize;
use serde_json::json;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Thing {
    metadata: ObjectMeta,
    size: i64,
    status: serde_json::Value,
}

/// The runtime's virtual time as a clock.
struct Virtual(tokio::time::Instant);

impl sys::Clock for Virtual {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH.checked_add(self.monotonic()).unwrap()
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

fn context(server: &Arc<Scripted>) -> Context {
    let clock = Arc::new(Virtual(tokio::time::Instant::now()));
    Context { clock, ..Context::new(server.clone()) }
}

const THINGS: Gvr = Gvr::new("example.com", "v1", "things");

impl Projection for Thing {
    const GVR: Gvr = THINGS;

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}

async fn next(r: &mut tokio::sync::mpsc::Receiver<ReflectEvent<Thing>>) -> String {
    match tokio::time::timeout(Duration::from_secs(20), r.recv()).await.unwrap().unwrap() {
        ReflectEvent::Applied(new, old) => {
            format!("{} {:?}->{}", new.metadata.name, old.map(|o| o.size), new.size)
        }
        ReflectEvent::Deleted(old) => format!("{} gone", old.metadata.name),
        ReflectEvent::Synced => "synced".to_owned(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_reflector_lists_watches_and_lists_again_when_expired() {
    let server = Arc::new(Scripted::default());
    server.put("a", json!({"size": 1}));
    server.refuse(Verb::List, 2, Status::unavailable("starting"));
    let mut r = reflect::<Thing>(&context(&server), Selection::default());
    assert_eq!(next(&mut r).await, "a None->1");
    assert_eq!(next(&mut r).await, "synced");
    server.put("a", json!({"size": 2}));
    server.put("b", json!({"size": 1}));
    assert_eq!(next(&mut r).await, "a Some(1)->2");
    assert_eq!(next(&mut r).await, "b None->1");
    server.remove("a");
    assert_eq!(next(&mut r).await, "a gone");
    // What happens while the watch is broken and its revision expires is seen by the new list.
    server.refuse(Verb::Watch, 1, Status::expired("too old"));
    server.break_watches();
    server.remove("b");
    server.put("c", json!({"size": 7}));
    assert_eq!(next(&mut r).await, "c None->7");
    assert_eq!(next(&mut r).await, "b gone");
    assert_eq!(next(&mut r).await, "synced");
}

/// Writes `status.seen` = `size`.
struct Copier;

impl Controller for Copier {
    type State = Arc<Thing>;
    type Memory = ();

    fn name(&self) -> &'static str {
        "copier"
    }

    fn interests(&self, i: &mut Interests) {
        i.own::<Thing>();
    }

    fn observe(&self, key: &Key, caches: &Caches, _: &Answers) -> Option<Arc<Thing>> {
        caches.kind::<Thing>().by_key(key).cloned()
    }

    fn reconcile(&self, t: &Arc<Thing>, _: &mut (), _: Timestamp) -> Plan {
        if t.status["seen"] == t.size {
            return Plan::default();
        }
        Plan::of(vec![Action::status_patch(THINGS, &t.metadata, &json!({"seen": t.size}))])
    }
}

/// Waits until it holds. The clock is virtual: it moves on when everything else waits.
async fn within(seconds: u64, what: &str, holds: &dyn Fn() -> bool) {
    let end = tokio::time::Instant::now() + Duration::from_secs(seconds);
    while !holds() {
        assert!(tokio::time::Instant::now() < end, "not within {seconds} s: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_driver_converges_through_errors_and_forbidden_patches() {
    let server = Arc::new(Scripted::default());
    for i in 0..20 {
        server.put(&format!("t{i}"), json!({"size": i}));
    }
    server.refuse(Verb::Patch, 1000, Status::forbidden(&THINGS, "", "no patches here"));
    server.refuse(Verb::Update, 3, Status::timeout("lost"));
    let ctx = context(&server);
    let (informers, recorder) = (Informers::new(&ctx), Recorder::new(&ctx, ""));
    let mut controllers = Controllers::default();
    controllers.add(Engine::new(Copier, EngineConfig::default()), &ctx);
    let running = tokio::spawn(async move { controllers.run(&informers, &recorder).await });
    let all = || (0..20).all(|i| server.object(&format!("t{i}")).unwrap()["status"]["seen"] == i);
    within(100, "all copies", &all).await;
    server.put("t3", json!({"size": 33}));
    within(100, "the change", &|| server.object("t3").unwrap()["status"]["seen"] == 33).await;
    ctx.stop.cancel();
    running.await.unwrap();
}

/// Writes into `status.load` what the port `load` says of a thing.
struct Meter;

impl Controller for Meter {
    type State = (Arc<Thing>, Option<Result<Answer, Status>>);
    type Memory = ();

    fn name(&self) -> &'static str {
        "meter"
    }

    fn interests(&self, i: &mut Interests) {
        i.own::<Thing>();
    }

    fn observe(&self, key: &Key, caches: &Caches, answers: &Answers) -> Option<Self::State> {
        let thing = caches.kind::<Thing>().by_key(key)?.clone();
        let answer = answers.asked("load", &json!(*key.name)).cloned();
        Some((thing, answer))
    }

    fn reconcile(&self, (t, answer): &Self::State, _: &mut (), _: Timestamp) -> Plan {
        match answer {
            _ if !t.status["load"].is_null() => Plan::default(),
            None => Plan::of(vec![Action::ask("load", &json!(*t.metadata.name))]),
            Some(Ok(Answer::Object(b))) => {
                let load: serde_json::Value = serde_json::from_slice(b).unwrap();
                Plan::of(vec![Action::status_patch(THINGS, &t.metadata, &json!({"load": load}))])
            }
            Some(_) => Plan { retry: true, ..Plan::default() },
        }
    }
}

/// Says how long a name is, but not at once.
#[derive(Default)]
struct Lengths(std::sync::atomic::AtomicU32);

impl Port for Lengths {
    fn ask(&self, question: bytes::Bytes) -> meta::BoxFuture<'_, Result<bytes::Bytes, Status>> {
        let before = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Box::pin(async move {
            if before < 2 {
                return Err(Status::unavailable("not yet"));
            }
            let name: String = serde_json::from_slice(&question).unwrap();
            Ok(name.len().to_string().into())
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_port_outside_the_api_is_asked_until_it_answers() {
    let server = Arc::new(Scripted::default());
    server.put("four", json!({}));
    server.refuse(Verb::Patch, 1000, Status::forbidden(&THINGS, "", "no patches here"));
    let ctx = context(&server);
    let ctx = Context { ports: Ports::default().with("load", Arc::new(Lengths::default())), ..ctx };
    let (informers, recorder) = (Informers::new(&ctx), Recorder::new(&ctx, ""));
    let mut controllers = Controllers::default();
    controllers.add(Engine::new(Meter, EngineConfig::default()), &ctx);
    let running = tokio::spawn(async move { controllers.run(&informers, &recorder).await });
    within(100, "the answer", &|| server.object("four").unwrap()["status"]["load"] == 4).await;
    ctx.stop.cancel();
    running.await.unwrap();
}

/// Reads discovery or the ownership graph, and decides nothing.
struct Reader {
    graph: bool,
}

impl Controller for Reader {
    type State = ();
    type Memory = ();

    fn name(&self) -> &'static str {
        "reader"
    }

    fn interests(&self, i: &mut Interests) {
        match self.graph {
            true => i.on_graph(|_, _, _, _| {}),
            false => i.on_discovery(|_, _| {}),
        }
    }

    fn observe(&self, _: &Key, _: &Caches, _: &Answers) -> Option<()> {
        None
    }

    fn reconcile(&self, (): &(), _: &mut (), _: Timestamp) -> Plan {
        Plan::default()
    }
}

/// The graph is followed at once, also when another engine had discovery read long before.
#[tokio::test(start_paused = true)]
async fn the_graph_is_followed_by_whoever_comes_late() {
    let server = Arc::new(Scripted::default());
    server.put("a", json!({"size": 1}));
    let ctx = context(&server);
    let (informers, recorder) = (Informers::new(&ctx), Recorder::new(&ctx, ""));
    let start = |graph: bool| {
        let (ctx, informers, recorder) = (ctx.clone(), informers.clone(), recorder.clone());
        let engine = Engine::new(Reader { graph }, EngineConfig::default());
        tokio::spawn(async move { control::run(engine, &ctx, &informers, &recorder).await })
    };
    let first = start(false);
    within(1, "discovery", &|| informers.caches().discovery.synced()).await;
    let second = start(true);
    within(1, "the graph", &|| informers.caches().graph.get("a").is_some()).await;
    ctx.stop.cancel();
    first.await.unwrap();
    second.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_deposed_leader_does_not_wait_for_answers_that_do_not_come() {
    let server = Arc::new(Scripted::default());
    server.put("boss", json!({"spec": {"holderIdentity": ""}}));
    let ctx = context(&server);
    let election = Election::new("", "boss", "me");
    let began = tokio::time::Instant::now();
    let lead = |stop: CancellationToken| {
        server.refuse(Verb::Update, usize::MAX, Status::unavailable("gone"));
        async move {
            stop.cancelled().await;
            // An operation that the server has forgotten.
            std::future::pending::<()>().await;
        }
    };
    let end = tokio::time::timeout(Duration::from_secs(60), elect(&ctx, &election, lead)).await;
    assert_eq!(end, Ok(true), "leadership must be lost, and said to be");
    let limit = election.renew_deadline + election.retry_period * 3;
    assert!(began.elapsed() <= limit, "{:?}", began.elapsed());
}

/// Panics as soon as it sees a thing.
struct Broken;

impl Controller for Broken {
    type State = Arc<Thing>;
    type Memory = ();

    fn name(&self) -> &'static str {
        "broken"
    }

    fn interests(&self, i: &mut Interests) {
        i.own::<Thing>();
    }

    fn observe(&self, key: &Key, caches: &Caches, _: &Answers) -> Option<Arc<Thing>> {
        caches.kind::<Thing>().by_key(key).cloned()
    }

    fn reconcile(&self, _: &Arc<Thing>, _: &mut (), _: Timestamp) -> Plan {
        panic!("a mistake in a controller");
    }
}

#[tokio::test(start_paused = true)]
async fn controllers_end_together_when_one_breaks_off() {
    let server = Arc::new(Scripted::default());
    server.put("a", json!({"size": 1}));
    let ctx = context(&server);
    let mut controllers = Controllers::default();
    controllers.add(Engine::new(Broken, EngineConfig::default()), &ctx);
    controllers.add(Engine::new(Copier, EngineConfig::default()), &ctx);
    let (informers, recorder) = (Informers::new(&ctx), Recorder::new(&ctx, ""));
    let end = tokio::time::timeout(Duration::from_secs(60), controllers.run(&informers, &recorder)).await;
    assert!(end.is_ok(), "going on without one of them would go unnoticed");
    assert!(!ctx.stop.is_cancelled());
}
