use reconcile::Op;
use serde_json::{Value, json};

use super::*;

const SERVICE: &str = r#"{"metadata":{"name":"s","namespace":"n","uid":"s"},"spec":{"clusterIP":"10.0.0.1",
    "selector":{"a":"b"},"ports":[{"port":80,"targetPort":8080}]}}"#;

fn service(target_port: u16) -> Arc<Service> {
    let text = SERVICE.replace("8080", &target_port.to_string());
    Arc::new(meta::json::read(text.as_bytes()).unwrap())
}

fn backends(count: usize) -> Vec<Backend> {
    let pod = |i: usize| {
        let ip = format!("10.1.{}.{}", i / 250, i % 250 + 1);
        json!({
            "metadata": {"name": format!("p{i:03}"), "namespace": "n", "uid": format!("p{i:03}")},
            "spec": {"nodeName": "x"},
            "status": {"podIP": ip, "podIPs": [{"ip": ip}], "conditions": [{"type": "Ready", "status": "True"}]},
        })
    };
    (0..count)
        .map(|i| Backend {
            pod: Arc::new(serde_json::from_value(pod(i)).unwrap()),
            node_known: true,
            zone: None,
        })
        .collect()
}

/// Does what a plan says to the slices, one action after the other; tells the actions and, after each, how many
/// endpoints there are.
fn apply(state: &mut State) -> Vec<(String, usize)> {
    let plan = EndpointSlices.reconcile(state, &mut (), Timestamp::UNIX_EPOCH);
    let mut out = Vec::new();
    let actions: Vec<Op> = plan.actions().map(|a| a.op.clone()).collect();
    for op in actions {
        let name = op.target().1.to_owned();
        state.slices.retain(|s| *s.metadata.name != *name);
        if let Op::Create { body, .. } | Op::Update { body, .. } = &op {
            let mut body: Value = serde_json::from_slice(body).unwrap();
            body["metadata"]["uid"] = name.as_str().into();
            state.slices.push(Arc::new(serde_json::from_value(body).unwrap()));
        }
        let endpoints = state.slices.iter().map(|s| s.endpoints.len()).sum();
        out.push((op.verb().to_owned(), endpoints));
    }
    out
}

fn summary(state: &State) -> Vec<(usize, Vec<i32>)> {
    let mut all: Vec<(usize, Vec<i32>)> =
        state.slices.iter().map(|s| (s.endpoints.len(), s.ports.iter().map(|p| p.port).collect())).collect();
    all.sort();
    all
}

/// From that many pods behind one target port to that many behind another.
#[test]
fn slices_are_taken_over_and_no_endpoint_is_missed_meanwhile() {
    let p = |port: i32| vec![port];
    for (before, after, verbs, end) in [
        ((0, 8080), (0, 8080), &[][..], vec![(0, vec![])]),
        ((0, 8080), (3, 8080), &["update"], vec![(3, p(8080))]),
        ((3, 8080), (3, 9090), &["update"], vec![(3, p(9090))]),
        ((3, 8080), (0, 8080), &["update"], vec![(0, vec![])]),
        ((150, 8080), (150, 9090), &["update", "update"], vec![(50, p(9090)), (100, p(9090))]),
        ((150, 8080), (20, 9090), &["update", "delete"], vec![(20, p(9090))]),
        ((20, 8080), (150, 9090), &["create", "update"], vec![(50, p(9090)), (100, p(9090))]),
        ((100, 8080), (101, 8080), &["create"], vec![(1, p(8080)), (100, p(8080))]),
        ((50, 8080), (60, 8080), &["update"], vec![(60, p(8080))]),
        ((150, 8080), (150, 8080), &[], vec![(50, p(8080)), (100, p(8080))]),
    ] {
        let what = format!("{before:?} {after:?}");
        let mut state = State { service: service(before.1), pods: backends(before.0), slices: vec![] };
        apply(&mut state);
        (state.service, state.pods) = (service(after.1), backends(after.0));
        let steps = apply(&mut state);
        assert_eq!(steps.iter().map(|s| &*s.0).collect::<Vec<_>>(), verbs, "{what}");
        let least = before.0.min(after.0);
        assert!(steps.iter().all(|(_, endpoints)| *endpoints >= least), "{what}: {steps:?}");
        assert_eq!(summary(&state), end, "{what}");
        assert_eq!(apply(&mut state), [], "{what}");
    }
}

/// After a failure the steps that follow are left out: what goes, goes last.
#[test]
fn deletes_come_after_all_else() {
    let mut state = State { service: service(8080), pods: backends(150), slices: vec![] };
    apply(&mut state);
    // The service was made anew under its name: its slices are of no use to the new one.
    let mut new = (*service(9090)).clone();
    new.metadata.uid = "t".into();
    state.service = Arc::new(new);
    let plan = EndpointSlices.reconcile(&state, &mut (), Timestamp::UNIX_EPOCH);
    let steps: Vec<Vec<&str>> =
        plan.steps.iter().map(|s| s.actions.iter().map(|a| a.op.verb()).collect()).collect();
    assert_eq!(steps, [vec!["create"; 2], vec!["delete"; 2]]);
    // A service that goes gets no new slices.
    let mut going = (*service(8080)).clone();
    going.metadata.deletion_timestamp = Some(Timestamp::UNIX_EPOCH);
    let state = State { service: Arc::new(going), pods: backends(3), slices: vec![] };
    assert!(EndpointSlices.reconcile(&state, &mut (), Timestamp::UNIX_EPOCH).steps.is_empty());
}

#[test]
fn a_pod_without_the_named_port_is_an_endpoint_without_ports_and_one_without_a_node_waits() {
    let named: Arc<Service> =
        Arc::new(meta::json::read(SERVICE.replace("8080", "\"web\"").as_bytes()).unwrap());
    let mut state = State { service: named.clone(), pods: backends(2), slices: vec![] };
    apply(&mut state);
    assert_eq!(summary(&state), [(2, vec![])]);
    state.pods[0].node_known = false;
    assert!(EndpointSlices.reconcile(&state, &mut (), Timestamp::UNIX_EPOCH).retry);
    apply(&mut state);
    assert_eq!(summary(&state), [(1, vec![])]);
    let mut published = (*named).clone();
    published.spec.publish_not_ready_addresses = true;
    state.service = Arc::new(published);
    assert!(!EndpointSlices.reconcile(&state, &mut (), Timestamp::UNIX_EPOCH).retry);
    apply(&mut state);
    assert_eq!(summary(&state), [(2, vec![])]);
}
