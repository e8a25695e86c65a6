//! An engine by hand: plans, answers, waits.

use super::*;
use crate::{ObjectMeta, Projection};
use meta::Gvr;

const THINGS: Gvr = Gvr::new("", "v1", "things");

#[derive(serde::Deserialize)]
struct Thing {
    metadata: ObjectMeta,
}

impl Projection for Thing {
    const GVR: Gvr = THINGS;

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}

/// Wants a thing of its name.
struct Maker;

impl Controller for Maker {
    type State = bool;
    type Memory = ();

    fn name(&self) -> &'static str {
        "maker"
    }

    fn interests(&self, i: &mut Interests) {
        i.own::<Thing>();
    }

    fn observe(&self, key: &Key, caches: &Caches, _: &Answers) -> Option<bool> {
        Some(caches.kind::<Thing>().by_key(key).is_some())
    }

    fn reconcile(&self, there: &bool, _: &mut (), _: Timestamp) -> Plan {
        let create = || Action::create(THINGS, "n", "x", &serde_json::json!({}));
        if *there { Plan::default() } else { Plan::of(vec![create()]) }
    }
}

/// A create got no answer; then the key had something else to do. What it needs to know to repeat that create
/// under its name is still there.
#[test]
fn a_create_of_unknown_outcome_is_remembered() {
    struct Distracted;
    impl Controller for Distracted {
        type State = (u64, Vec<Failure>);
        type Memory = ();

        fn name(&self) -> &'static str {
            "distracted"
        }

        fn interests(&self, i: &mut Interests) {
            i.own::<Thing>();
        }

        fn observe(&self, key: &Key, caches: &Caches, answers: &Answers) -> Option<Self::State> {
            let revision = caches.kind::<Thing>().by_key(key)?.metadata.resource_version;
            Some((revision, answers.failures.clone()))
        }

        fn reconcile(&self, (revision, failures): &Self::State, _: &mut (), _: Timestamp) -> Plan {
            match (revision, failures.is_empty()) {
                (1, _) => Plan::of(vec![Action::create(THINGS, "n", "y", &serde_json::json!({}))]),
                (2, false) => Plan::of(vec![Action::get(THINGS, "n", "z")]),
                (3, false) => Plan::of(vec![Action::create(THINGS, "n", "again", &serde_json::json!({}))]),
                _ => Plan::default(),
            }
        }
    }
    let mut caches = Caches::default();
    caches.kind_mut::<Thing>().replace(Vec::new(), 0);
    let mut engine = Engine::new(Distracted, EngineConfig::default()).without_gate();
    engine.start(&caches);
    let mut now = Timestamp::UNIX_EPOCH;
    let mut verbs = Vec::new();
    for revision in 1..=3 {
        now = time::after(now, Duration::from_secs(3600));
        let text =
            format!(r#"{{"metadata": {{"name": "x", "namespace": "n", "resourceVersion": "{revision}"}}}}"#);
        let cache = caches.any_mut(std::any::TypeId::of::<Thing>()).expect("made above");
        let change = cache.upsert_bytes(text.as_bytes()).expect("a thing").expect("it is new");
        engine.on_change(&change, &caches);
        let Some(work) = engine.next(now, &caches) else { break };
        verbs.push(format!("{} {}", work.op.verb(), work.op.target().1));
        let lost = Err(Status::timeout("no answer in time"));
        let result = if revision == 2 { Ok(Answer::Revision(0)) } else { lost };
        engine.done(work.id, result, now);
    }
    assert_eq!(verbs, ["create y", "get z", "create again"]);
}

/// After these refusals of a create the key must not be decided on caches that may lack what is there.
#[test]
fn a_create_that_may_have_happened_is_looked_for() {
    for (refusal, looks) in [
        (Status::timeout("no answer in time"), true),
        (Status::already_exists(&THINGS, "x"), true),
        (Status::forbidden(&THINGS, "x", "exceeded quota"), false),
    ] {
        let mut caches = Caches::default();
        caches.kind_mut::<Thing>().replace(Vec::new(), 1);
        let mut engine = Engine::new(Maker, EngineConfig::default());
        engine.enqueue(Key::new("n", "x"));
        engine.start(&caches);
        let mut now = Timestamp::UNIX_EPOCH;
        let first = engine.next(now, &caches).expect("it is missing");
        assert_eq!(first.op.verb(), "create");
        engine.done(first.id, Err(refusal.clone()), now);
        now = time::after(now, Duration::from_secs(3600));
        let second = engine.next(now, &caches).expect("it is still missing");
        assert_eq!(second.op.verb(), if looks { "revision" } else { "create" }, "{refusal}");
        if !looks {
            continue;
        }
        engine.done(second.id, Ok(Answer::Revision(5)), now);
        assert!(engine.next(now, &caches).is_none(), "{refusal}: the caches are at revision 1");
        let thing = r#"{"metadata": {"name": "x", "namespace": "n", "resourceVersion": "5"}}"#;
        let cache = caches.any_mut(std::any::TypeId::of::<Thing>()).expect("made above");
        let change = cache.upsert_bytes(thing.as_bytes()).expect("a thing").expect("it is new");
        engine.on_change(&change, &caches);
        assert!(engine.next(now, &caches).is_none() && engine.idle(), "{refusal}: it is there");
    }
}

/// Counts the decisions on a key, and asks for what it has not been told.
struct Curious;

impl Controller for Curious {
    type State = Vec<(Op, Result<Answer, Status>)>;
    type Memory = u32;

    fn name(&self) -> &'static str {
        "curious"
    }

    fn interests(&self, i: &mut Interests) {
        i.own::<Thing>();
    }

    fn observe(&self, key: &Key, caches: &Caches, answers: &Answers) -> Option<Self::State> {
        caches.kind::<Thing>().by_key(key)?;
        let weather = answers.asked("weather", &serde_json::json!({"of": *key.name}));
        let scale = answers.got_sub(&THINGS, "n", &key.name, "scale");
        assert!(answers.got(&THINGS, "n", &key.name).is_none(), "a subresource is not the object");
        let red = answers.selected(&THINGS, "n", "colour=red");
        assert!(answers.listed(&THINGS, "n").is_none(), "some are not all");
        assert_eq!((weather.is_some(), scale.is_some()), (red.is_some(), red.is_some()));
        Some(answers.reads.clone())
    }

    fn reconcile(&self, reads: &Self::State, decisions: &mut u32, _: Timestamp) -> Plan {
        *decisions += 1;
        if *decisions > 2 {
            let body = serde_json::json!({"decisions": *decisions, "reads": reads.len()});
            return Plan::of(vec![Action::create(THINGS, "n", "told", &body)]);
        }
        if !reads.is_empty() {
            return Plan::default();
        }
        let (namespace, selector) = ("n".to_owned(), "colour=red".to_owned());
        Plan::of(vec![
            Action::ask("weather", &serde_json::json!({"of": "x"})),
            Action::get_sub(THINGS, "n", "x", "scale"),
            Op::List { gvr: THINGS, namespace, selector, metadata_only: false, limit: 0 }.into(),
        ])
    }
}

fn hear(engine: &mut Engine, caches: &mut Caches, revision: u64, there: bool) {
    let text =
        format!(r#"{{"metadata": {{"name": "x", "namespace": "n", "resourceVersion": "{revision}"}}}}"#);
    let cache = caches.any_mut(std::any::TypeId::of::<Thing>()).expect("made before");
    let change =
        if there { cache.upsert_bytes(text.as_bytes()) } else { cache.delete_bytes(text.as_bytes()) };
    let change = change.expect("a thing").expect("something changes");
    engine.on_change(&change, caches);
}

/// What a port, a subresource and a selective list answer comes back as state; the memory is one key's, lives from
/// decision to decision and ends with the object.
#[test]
fn a_key_has_a_memory_and_gets_answers_to_what_it_asks() {
    let mut caches = Caches::default();
    caches.kind_mut::<Thing>().replace(Vec::new(), 0);
    let mut engine = Engine::new(Curious, EngineConfig::default()).without_gate();
    engine.start(&caches);
    let now = Timestamp::UNIX_EPOCH;
    let mut revision = 0;
    for life in 0..2 {
        revision += 1;
        hear(&mut engine, &mut caches, revision, true);
        let asked: Vec<Work> = std::iter::from_fn(|| engine.next(now, &caches)).collect();
        let asked_for: Vec<_> = asked.iter().map(|w| (w.op.verb(), w.op.subresource())).collect();
        assert_eq!(asked_for, [("ask", ""), ("get", "scale"), ("list", "")], "life {life}");
        for w in asked {
            engine.done(w.id, Ok(Answer::Object("{}".into())), now);
        }
        assert!(engine.next(now, &caches).is_none(), "it knows enough");
        revision += 1;
        hear(&mut engine, &mut caches, revision, true);
        let told = engine.next(now, &caches).expect("the third decision");
        let Op::Create { body, .. } = &*told.op else { panic!("{:?}", told.op) };
        assert_eq!(String::from_utf8_lossy(body), r#"{"decisions":3,"reads":0}"#, "life {life}");
        engine.done(told.id, Ok(Answer::Object("{}".into())), now);
        revision += 1;
        hear(&mut engine, &mut caches, revision, false);
        assert!(engine.next(now, &caches).is_none() && engine.idle(), "it is gone");
    }
}
