use bytes::Bytes;
use meta::Status;
use reconcile::Op;

use super::*;

const TYPE: &str = "kubernetes.io/service-account-token";

fn controller() -> ServiceAccountTokens {
    ServiceAccountTokens { root_ca: "ca".into() }
}

fn account(uid: &str, secrets: &Value) -> Value {
    json!({"metadata": {"name": "a", "namespace": "n", "uid": uid, "resourceVersion": "5"}, "secrets": secrets})
}

fn secret(annotations: &Value, data: &Value) -> Value {
    json!({
        "metadata": {"name": "s", "namespace": "n", "uid": "u", "resourceVersion": "7", "annotations": annotations},
        "type": TYPE, "data": data,
    })
}

fn caches(account: Option<Value>, secret: Option<Value>) -> Caches {
    let mut caches = Caches::default();
    caches.kind_mut::<ServiceAccount>();
    caches.kind_mut::<Secret>();
    if let Some(a) = account {
        caches.kind_mut::<ServiceAccount>().upsert(meta::json::of(a).unwrap());
    }
    if let Some(s) = secret {
        caches.kind_mut::<Secret>().upsert(meta::json::of(s).unwrap());
    }
    caches
}

/// One decision, with what came back from the last one.
fn decide(caches: &Caches, owner: &mut Owner, answers: &Answers) -> Option<Plan> {
    let state = controller().observe(&Key::new("n", "s"), caches, answers)?;
    Some(controller().reconcile(&state, owner, Timestamp::UNIX_EPOCH))
}

fn only(plan: &Plan) -> &Op {
    let mut all = plan.actions();
    let first = all.next().expect("an action");
    assert!(all.next().is_none(), "{plan:?}");
    &first.op
}

fn body(op: &Op) -> Value {
    match op {
        Op::Patch { body, .. } => serde_json::from_slice(body).unwrap(),
        other => panic!("no patch: {other:?}"),
    }
}

fn named() -> Value {
    json!({"kubernetes.io/service-account.name": "a"})
}

#[test]
fn a_secret_is_filled_with_what_it_lacks() {
    let caches = caches(Some(account("x", &Value::Null)), Some(secret(&named(), &Value::Null)));
    let mut owner = Owner::default();
    let plan = decide(&caches, &mut owner, &Answers::default()).unwrap();
    let asked = only(&plan).clone();
    let Op::Ask { port: PORT, question } = &asked else { panic!("{plan:?}") };
    let question: Value = serde_json::from_slice(question).unwrap();
    assert_eq!(question, json!({"namespace": "n", "account": "a", "uid": "x", "secret": "s"}));

    let said = Ok(Answer::Object(Bytes::from_static(b"\"tok\"")));
    let answers = Answers { reads: vec![(asked.clone(), said)], ..Answers::default() };
    let plan = decide(&caches, &mut owner, &answers).unwrap();
    let patch = body(only(&plan));
    assert_eq!(patch["data"], json!({"ca.crt": "Y2E=", "namespace": "bg==", "token": "dG9r"}));
    assert_eq!(
        patch["metadata"],
        json!({"uid": "u", "resourceVersion": "7", "annotations": {
            "kubernetes.io/service-account.name": "a", "kubernetes.io/service-account.uid": "x"}})
    );
    let refused = Answers { reads: vec![(asked, Err(Status::unavailable("no key")))], ..Answers::default() };
    let plan = decide(&caches, &mut owner, &refused).unwrap();
    assert!(plan.retry && plan.steps.is_empty());
}

#[test]
fn what_is_there_stays_and_another_ca_is_replaced() {
    let of = |ca: &str| json!({"ca.crt": ca, "namespace": "bg==", "token": "dG9r"});
    let plan = |ca: &str| {
        let caches = caches(Some(account("x", &json!([]))), Some(secret(&named(), &of(ca))));
        decide(&caches, &mut Owner::default(), &Answers::default()).unwrap()
    };
    assert_eq!(plan("Y2E="), Plan::default());
    assert_eq!(body(only(&plan("b2xk")))["data"], json!({"ca.crt": "Y2E="}));
}

#[test]
fn a_secret_without_its_account_goes_when_a_live_read_says_so() {
    let of_x = json!({"kubernetes.io/service-account.name": "a", "kubernetes.io/service-account.uid": "x"});
    let object = |uid: &str| Ok(Answer::Object(account(uid, &json!([])).to_string().into_bytes().into()));
    let missing = || Err(Status::not_found(&SERVICEACCOUNTS, "a"));
    let failed = || Err(Status::internal("no"));
    // The account of the caches, the annotations, what the live read says, whether the Secret goes.
    let cases = [
        (None, named(), missing(), true),
        (None, named(), object("y"), false),
        (Some("y"), of_x.clone(), object("y"), true),
        (Some("y"), of_x.clone(), object("x"), false),
        (None, named(), failed(), false),
    ];
    for (cached, annotations, answer, goes) in cases {
        let caches =
            caches(cached.map(|uid| account(uid, &json!([]))), Some(secret(&annotations, &json!({}))));
        let mut owner = Owner::default();
        let first = decide(&caches, &mut owner, &Answers::default()).unwrap();
        let get = only(&first).clone();
        assert!(matches!(&get, Op::Get { name, .. } if name == "a"), "{get:?}");
        let answers = Answers { reads: vec![(get, answer.clone())], ..Answers::default() };
        let plan = decide(&caches, &mut owner, &answers).unwrap();
        assert_eq!(plan.retry, !goes, "{annotations} {answer:?}");
        let deleted =
            plan.actions().any(|a| matches!(&a.op, Op::Delete { uid: Some(uid), .. } if &**uid == "u"));
        assert_eq!(deleted, goes, "{annotations} {answer:?}");
    }
}

#[test]
fn other_secrets_are_left_alone() {
    let mut other = secret(&named(), &json!({}));
    other["type"] = "Opaque".into();
    let caches = caches(Some(account("x", &json!([]))), Some(other));
    assert!(decide(&caches, &mut Owner::default(), &Answers::default()).is_none());
    assert!(caches.kind::<Secret>().by_key(&Key::new("n", "s")).is_some_and(|s| !s.data.token));
}

#[test]
fn an_account_no_longer_names_a_token_that_is_gone() {
    let secrets = json!([{"name": "other"}, {"name": "s"}]);
    let caches = caches(Some(account("x", &secrets)), None);
    // Only one that was seen to be this account's.
    assert_eq!(decide(&caches, &mut Owner::default(), &Answers::default()), Some(Plan::default()));
    for (uid, taken) in [("", true), ("x", true), ("y", false)] {
        let mut owner = Owner { name: "a".to_owned(), uid: uid.to_owned() };
        let plan = decide(&caches, &mut owner, &Answers::default()).unwrap();
        assert_eq!(!plan.steps.is_empty(), taken, "{uid}");
        if taken {
            assert_eq!(body(only(&plan))["secrets"], json!([{"name": "other"}]), "{uid}");
        }
        // What others name the same way is nothing to remember for ever.
        assert_eq!((plan.requeue_at.is_some(), owner != Owner::default()), (taken, taken), "{uid}");
    }
}
