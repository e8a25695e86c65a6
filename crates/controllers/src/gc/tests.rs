use super::*;
use meta::Gvr;
use reconcile::{Op, OwnerReference, ResourceInfo};

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
        misplaced: vec![],
        listed: true,
        groups_lacking: false,
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
        ..state(vec![], vec![])
    };
    assert_eq!(does(&s(true)), Vec::<String>::new());
    let done = does(&s(false));
    assert!(done[0].contains("\"finalizers\":null"), "{done:?}");
    assert_eq!(does(&State { listed: false, ..s(false) }), Vec::<String>::new());
    assert_eq!(does(&State { groups_lacking: true, ..s(false) }), done);
}

#[test]
fn orphaning_frees_dependents_first() {
    let s = State {
        node: node("x", &[], &[ORPHAN, "mine"], true),
        dependents: vec![node("c", &[owner("x", true), owner("y", false)], &[], false)],
        ..state(vec![], vec![])
    };
    let plan = GarbageCollector.reconcile(&s, &mut (), Timestamp::UNIX_EPOCH);
    assert_eq!(plan.steps.len(), 2);
    let done = does(&s);
    assert!(
        done[0].starts_with("patch c") && done[0].contains("\"y\"") && !done[0].contains("\"uid\":\"x\"")
    );
    assert!(done[1].contains("[\"mine\"]"));
    // A dependent may be where nobody has looked.
    for s in [State { listed: false, ..s.clone() }, State { groups_lacking: true, ..s.clone() }] {
        let plan = GarbageCollector.reconcile(&s, &mut (), Timestamp::UNIX_EPOCH);
        assert!(plan.steps.is_empty() && plan.retry);
    }
}

fn served(group: &'static str, name: &'static str, kind: &str, namespaced: bool) -> ResourceInfo {
    let verbs = ["list", "watch", "delete"].map(str::to_owned).to_vec();
    ResourceInfo { gvr: Gvr::new(group, "v1", name), kind: kind.into(), namespaced, verbs }
}

/// A ReplicaSet `o` in namespace `n` and a Node `o` are there; what names them, and how, varies.
#[test]
fn an_owner_is_the_object_that_kind_name_uid_and_namespace_fit() {
    let resources = vec![
        served("apps", "replicasets", "ReplicaSet", true),
        served("", "nodes", "Node", false),
        served("", "configmaps", "ConfigMap", true),
    ];
    let mut caches = Caches::default();
    caches.discovery = reconcile::Discovery::new(resources, vec![], vec![]);
    let meta = |text: &str| -> reconcile::ObjectMeta { serde_json::from_str(text).expect("metadata") };
    let sets = Arc::new(Gvr::new("apps", "v1", "replicasets"));
    let nodes = Arc::new(Gvr::new("", "v1", "nodes"));
    let set = meta(r#"{"name": "o", "namespace": "n", "uid": "set", "resourceVersion": "2"}"#);
    caches.graph.upsert(&sets, &"ReplicaSet".into(), set);
    let host = meta(r#"{"name": "o", "uid": "host", "resourceVersion": "2"}"#);
    caches.graph.upsert(&nodes, &"Node".into(), host);
    let (stays, goes, nothing) = ("", "get o; delete Background at 3", "");
    for (namespace, (api_version, kind, name, uid), does, event) in [
        ("n", ("apps/v1", "ReplicaSet", "o", "set"), stays, false),
        ("n", ("v1", "Node", "o", "host"), stays, false),
        ("", ("v1", "Node", "o", "host"), stays, false),
        // The UID is somebody's, but not of that name or kind.
        ("n", ("apps/v1", "ReplicaSet", "p", "set"), "get p; delete Background at 3", false),
        ("n", ("v1", "ConfigMap", "o", "set"), goes, false),
        ("n", ("v1", "Node", "o", "set"), goes, false),
        // The owner lives elsewhere.
        ("m", ("apps/v1", "ReplicaSet", "o", "set"), goes, true),
        ("", ("apps/v1", "ReplicaSet", "o", "set"), nothing, true),
        ("", ("apps/v1", "ReplicaSet", "gone", "gone"), nothing, false),
        // A kind that is not served now.
        ("n", ("batch/v1", "Job", "o", "set"), nothing, false),
    ] {
        let what = format!("{namespace:?} {api_version} {kind} {name} {uid}");
        let reference =
            OwnerReference { api_version: api_version.into(), kind: kind.into(), ..owner(uid, true) };
        let reference = OwnerReference { name: name.into(), ..reference };
        let mut x = (*node("x", &[reference], &[], false)).clone();
        x.namespace = namespace.into();
        let m = format!(
            r#"{{"name": "x", "namespace": "{namespace}", "uid": "x", "resourceVersion": "3", "ownerReferences": {}}}"#,
            serde_json::to_string(&x.owners).unwrap()
        );
        caches.graph.upsert(&x.gvr, &x.kind, meta(&m));
        let (mut answers, mut done, mut events) = (Answers::default(), Vec::new(), Vec::new());
        for _ in 0..2 {
            let key = Key { namespace: "".into(), name: "x".into() };
            let state = GarbageCollector.observe(&key, &caches, &answers).unwrap();
            done.extend(self::does(&state));
            let plan = GarbageCollector.reconcile(&state, &mut (), Timestamp::UNIX_EPOCH);
            events.extend(plan.events.iter().cloned());
            // Nobody of that name and kind is there.
            let gets = plan.actions().filter(|a| a.op.is_read());
            let missing = |op: &Op| Err(meta::Status::not_found(op.gvr(), op.target().1));
            answers.reads = gets.map(|a| (a.op.clone(), missing(&a.op))).collect();
            if answers.reads.is_empty() {
                break;
            }
        }
        assert_eq!(done.join("; "), does, "{what}");
        assert_eq!(events.len(), usize::from(event), "{what}: {events:?}");
        for e in events {
            assert_eq!(e.reason, "OwnerRefInvalidNamespace");
            let text = format!(
                "ownerRef [{api_version}/{kind}, namespace: {namespace}, name: {name}, uid: {uid}] does not exist in namespace \"{namespace}\""
            );
            assert_eq!((e.message, e.regarding.kind, e.regarding.uid), (text, "Pod".into(), "x".into()));
        }
    }
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
    // A kind of that name in another group is not the owner's.
    let others = Arc::new(Gvr::new("example.com", "v1", "replicasets"));
    assert!(graph.replace(&others, &"ReplicaSet".into(), Vec::new(), 9).is_empty());
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

/// A group that cannot be discovered holds up no foreground deletion, whatever was once known of it; a resource that is
/// discovered and not listed yet does, and orphans wait for both.
#[test]
fn a_broken_group_holds_up_no_foreground_deletion() {
    let sets = served("apps", "replicasets", "ReplicaSet", true);
    let widgets = served("broken.example.com", "widgets", "Widget", true);
    let before = reconcile::Discovery::new(vec![sets.clone(), widgets.clone()], vec![], vec![]);
    let failed = vec!["broken.example.com/v1".to_owned()];
    let now = reconcile::Discovery::new(vec![sets.clone()], vec![], failed).keeping(&before);
    for (discovery, finalizer, widgets_listed, goes) in [
        (&before, FOREGROUND, false, false),
        (&before, FOREGROUND, true, true),
        (&now, FOREGROUND, false, true),
        (&now, FOREGROUND, true, true),
        (&before, ORPHAN, false, false),
        (&now, ORPHAN, false, false),
        (&now, ORPHAN, true, true),
    ] {
        let mut caches = Caches::default();
        caches.discovery = discovery.clone();
        let m = format!(
            r#"{{"name": "o", "namespace": "n", "uid": "o", "resourceVersion": "3",
                "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["{finalizer}"]}}"#
        );
        let owner = Partial { metadata: serde_json::from_str(&m).unwrap(), ..Partial::default() };
        caches.graph.replace(&Arc::new(sets.gvr.clone()), &sets.kind, vec![owner], 3);
        if widgets_listed {
            caches.graph.replace(&Arc::new(widgets.gvr.clone()), &widgets.kind, Vec::new(), 3);
        }
        let key = Key { namespace: "".into(), name: "o".into() };
        let state = GarbageCollector.observe(&key, &caches, &Answers::default()).unwrap();
        let what = format!("{finalizer}, failed {:?}, listed {widgets_listed}", discovery.failed);
        assert_eq!(!self::does(&state).is_empty(), goes, "{what}");
    }
}
