use super::*;
use reconcile::{Op, OwnerReference};

fn owner(uid: &str, block: bool) -> OwnerReference {
    OwnerReference {
        api_version: "apps/v1".into(),
        kind: "ReplicaSet".into(),
        name: uid.into(),
        uid: uid.into(),
        controller: Some(true),
        block_owner_deletion: Some(block),
    }
}

fn node(uid: &str, owners: &[OwnerReference], finalizers: &[&str], deleting: bool) -> Arc<Node> {
    Arc::new(Node {
        gvr: Arc::new(Gvr::new("", "v1", "pods")),
        kind: "Pod".into(),
        namespace: "n".into(),
        name: uid.into(),
        uid: uid.into(),
        resource_version: 3,
        owners: owners.into(),
        finalizers: finalizers.iter().map(|f| (*f).into()).collect(),
        deleting,
    })
}

fn state(owners: Vec<Owner>, dependents: Vec<Arc<Node>>) -> State {
    let refs: Vec<OwnerReference> = (0..owners.len()).map(|i| owner(&format!("o{i}"), true)).collect();
    State {
        node: node("x", &refs, &[], false),
        owners: refs.into_iter().zip(owners).collect(),
        dependents,
        whole: true,
    }
}

fn does(s: &State) -> Vec<String> {
    let describe = |op: &Op| match op {
        Op::Delete { propagation, resource_version, .. } => {
            format!("delete {} at {}", propagation.unwrap_or(""), resource_version.unwrap_or(0))
        }
        Op::Patch { name, body, .. } => format!("patch {name} {}", String::from_utf8_lossy(body)),
        other => format!("{} {}", other.verb(), other.target().1),
    };
    GarbageCollector.reconcile(s, &mut (), Timestamp::UNIX_EPOCH).actions().map(|a| describe(&a.op)).collect()
}

#[test]
fn an_object_lives_as_long_as_one_owner() {
    let ask = Owner::Ask { gvr: Gvr::new("apps", "v1", "replicasets"), namespace: "n".into() };
    let solid = Owner::Present { waiting: false };
    let waiting = Owner::Present { waiting: true };
    assert_eq!(does(&state(vec![ask], vec![])), ["get o0"]);
    assert_eq!(does(&state(vec![Owner::Unknown], vec![])), Vec::<String>::new());
    assert_eq!(does(&state(vec![solid.clone()], vec![])), Vec::<String>::new());
    assert_eq!(does(&state(vec![Owner::Absent], vec![])), ["delete Background at 3"]);
    assert_eq!(does(&state(vec![waiting.clone()], vec![])), ["delete Background at 3"]);
    let child = || vec![node("c", &[owner("x", true)], &[], false)];
    assert_eq!(does(&state(vec![waiting], child())), ["delete Foreground at 3"]);
    let kept = does(&state(vec![solid, Owner::Absent], vec![]));
    assert!(kept[0].starts_with("patch x") && kept[0].contains("\"o0\"") && !kept[0].contains("\"o1\""));
}

#[test]
fn foreground_waits_for_blocking_dependents_only() {
    let s = |block| State {
        node: node("x", &[], &[FOREGROUND], true),
        owners: vec![],
        dependents: vec![node("c", &[owner("x", block)], &[], false)],
        whole: true,
    };
    assert_eq!(does(&s(true)), Vec::<String>::new());
    let done = does(&s(false));
    assert!(done[0].contains("\"finalizers\":null"), "{done:?}");
    assert_eq!(does(&State { whole: false, ..s(false) }), Vec::<String>::new());
}

#[test]
fn orphaning_frees_dependents_first() {
    let s = State {
        node: node("x", &[], &[ORPHAN, "mine"], true),
        owners: vec![],
        dependents: vec![node("c", &[owner("x", true), owner("y", false)], &[], false)],
        whole: true,
    };
    let plan = GarbageCollector.reconcile(&s, &mut (), Timestamp::UNIX_EPOCH);
    assert_eq!(plan.steps.len(), 2);
    let done = does(&s);
    assert!(
        done[0].starts_with("patch c") && done[0].contains("\"y\"") && !done[0].contains("\"uid\":\"x\"")
    );
    assert!(done[1].contains("[\"mine\"]"));
}

#[test]
fn an_owner_that_the_graph_never_had_is_not_forgotten() {
    let pods = Arc::new(Gvr::new("", "v1", "pods"));
    let sets = Arc::new(Gvr::new("apps", "v1", "replicasets"));
    let mut graph = reconcile::graph::Graph::default();
    let meta = |text: &str| -> reconcile::ObjectMeta { serde_json::from_str(text).expect("metadata") };
    let pod = r#"{"name": "p", "namespace": "n", "uid": "p", "resourceVersion": "5", "ownerReferences": [
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "o", "uid": "o"}]}"#;
    graph.upsert(&pods, &"Pod".into(), meta(pod));
    // The first list of the owner's kind does not have it: the dependent must be decided on again.
    let changes = graph.replace(&sets, &"ReplicaSet".into(), Vec::new(), 9);
    let names: Vec<&str> = changes.iter().map(|c| &*c.name).collect();
    assert_eq!(names, ["p"]);
    assert!(graph.replace(&sets, &"Deployment".into(), Vec::new(), 9).is_empty());
}

/// Found by the simulation (seed 43 once): a live read of an owner that was gone again before the graph's list.
#[test]
fn an_answer_of_the_past_is_asked_for_again() {
    let sets = Gvr::new("apps", "v1", "replicasets");
    let info = reconcile::ResourceInfo {
        gvr: sets.clone(),
        kind: "ReplicaSet".into(),
        namespaced: true,
        verbs: Vec::new(),
    };
    for (graph_at, read_at, listed, stands) in
        [(9, 5, true, false), (9, 9, true, false), (9, 12, true, true), (9, 5, false, true)]
    {
        let mut caches = Caches::default();
        caches.discovery = reconcile::Discovery::new(vec![info.clone()], Vec::new(), Vec::new());
        if listed {
            caches.graph.replace(&Arc::new(sets.clone()), &"ReplicaSet".into(), Vec::new(), graph_at);
        }
        let get = Op::Get { gvr: sets.clone(), namespace: "n".into(), name: "o".into(), sub: "" };
        let text = format!(r#"{{"metadata": {{"name": "o", "uid": "o", "resourceVersion": "{read_at}"}}}}"#);
        let answers = Answers { reads: vec![(get, Ok(Answer::Object(text.into())))], failures: Vec::new() };
        let found = look_up(&owner("o", true), &node("x", &[], &[], false), &caches, &answers);
        let present = matches!(found, Owner::Present { .. });
        assert_eq!(present, stands, "graph at {graph_at}, read at {read_at}, listed {listed}: {found:?}");
    }
}
