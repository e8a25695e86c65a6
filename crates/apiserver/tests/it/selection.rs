//! Field selectors of every kind that upstream lets be selected by more than name and namespace.

use serde_json::{Value as Json, json};

use crate::harness::World;

/// How many objects a field selector finds; the code of the answer when it is not taken.
fn found(w: &World, resource: &str, selector: &str) -> Result<usize, u16> {
    let answer = w.list(resource, "default", &format!("fieldSelector={selector}"));
    if answer.code != 200 {
        return Err(answer.code);
    }
    Ok(answer.json()["items"].as_array().map_or(0, Vec::len))
}

fn made(w: &World, resource: &str, namespace: &str, object: &Json, status: &Json) {
    w.create(resource, namespace, object).expect(201);
    if !status.is_null() {
        let name = object["metadata"]["name"].as_str().unwrap();
        let patch = json!({"status": status});
        w.patch(resource, namespace, &format!("{name}/status"), "merge", &patch).expect(200);
    }
}

#[test]
fn what_stock_components_select_by() {
    let w = World::new();
    let template = json!({"metadata": {"labels": {"a": "b"}},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}});
    let job = json!({"metadata": {"name": "j"}, "spec": {"template": template}});
    made(&w, "batch/jobs", "default", &job, &json!({"succeeded": 1, "startTime": "2026-01-02T03:04:05Z"}));
    let event = json!({"metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "namespace": "default"},
        "reason": "R", "type": "Normal", "reportingComponent": "kubelet", "reportingInstance": "n"});
    made(&w, "events", "default", &event, &Json::Null);
    for (resource, selector, want) in [
        ("batch/jobs", "status.successful=1", Ok(1)),
        ("batch/jobs", "status.successful=0", Ok(0)),
        ("batch/jobs", "status.succeeded=1", Err(400)),
        // An event without a source was made by who reports it.
        ("events", "source=kubelet", Ok(1)),
        ("events", "source=other", Ok(0)),
        ("events.k8s.io/events", "reportingController=kubelet", Ok(1)),
        ("events.k8s.io/events", "regarding.kind=Pod", Ok(1)),
        ("events.k8s.io/events", "source=kubelet", Err(400)),
        ("pods", "spec.host=", Ok(0)),
        ("pods", "status.podIPs=", Ok(0)),
        ("replicationcontrollers", "status.replicas=0", Ok(0)),
        ("certificates.k8s.io/podcertificaterequests", "spec.nodeName=n", Ok(0)),
        ("certificates.k8s.io/podcertificaterequests", "spec.podName=n", Ok(0)),
        ("certificates.k8s.io/podcertificaterequests", "spec.signerName=n", Ok(0)),
        ("configmaps", "data=x", Err(400)),
    ] {
        assert_eq!(found(&w, resource, selector), want, "{resource} {selector}");
    }
}

#[test]
fn cluster_scoped_kinds() {
    let w = World::new();
    let slice = json!({"metadata": {"name": "s"}, "spec": {"driver": "d.example.com", "nodeName": "n",
        "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1}}});
    made(&w, "resource.k8s.io/resourceslices", "", &slice, &Json::Null);
    let count = |resource: &str, selector: &str| {
        let answer = w.list(resource, "", &format!("fieldSelector={selector}"));
        (answer.code == 200).then(|| answer.json()["items"].as_array().map_or(0, Vec::len))
    };
    for (resource, selector, want) in [
        ("resource.k8s.io/resourceslices", "spec.nodeName=n", Some(1)),
        ("resource.k8s.io/resourceslices", "spec.driver!=d.example.com", Some(0)),
        ("resource.k8s.io/resourceslices", "spec.pool.name=p", Some(1)),
        ("certificates.k8s.io/clustertrustbundles", "spec.signerName=x", Some(0)),
        ("namespaces", "metadata.name=default", Some(1)),
        ("namespaces", "name=default", None),
    ] {
        assert_eq!(count(resource, selector), want, "{resource} {selector}");
    }
}
