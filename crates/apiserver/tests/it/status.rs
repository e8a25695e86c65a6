//! Writes to `status`: what they change besides it, and what they do not.

use meta::Verb;
use serde_json::{Value as Json, json};

use crate::harness::{Answer, World};

fn status(w: &World, resource: &str, namespace: &str, name: &str, patch: &Json) -> Answer {
    let mut r = w.request(Verb::Patch, resource, namespace, name);
    let meta::Target::Resource { subresource, .. } = &mut r.target else { unreachable!() };
    *subresource = "status".into();
    r.content_type = "application/merge-patch+json".into();
    r.body = patch.to_string().into();
    w.send(r)
}

#[test]
fn metadata_of_status_writes() {
    let w = World::new();
    let template =
        json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let deployment = json!({"metadata": {"name": "x"}, "spec": {
        "replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": template,
    }});
    let service =
        json!({"metadata": {"name": "x"}, "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}});
    let attachment = json!({"metadata": {"name": "x"}, "spec": {
        "attacher": "a", "nodeName": "n", "source": {"persistentVolumeName": "v"},
    }});
    w.create("services", "default", &service).expect(201);
    w.create("apps/deployments", "default", &deployment).expect(201);
    w.create("storage.k8s.io/volumeattachments", "", &attachment).expect(201);
    // Whether a status write changes annotations, and labels.
    let cases = [
        ("namespaces", "", "default", true, true),
        ("services", "default", "x", true, true),
        ("apps/deployments", "default", "x", true, false),
        ("storage.k8s.io/volumeattachments", "", "x", false, false),
    ];
    for (resource, namespace, name, annotations, labels) in cases {
        let patch = json!({
            "metadata": {"annotations": {"n": "v"}, "labels": {"l": "v"}},
            "spec": {"replicas": 5, "type": "NodePort", "attacher": "other"},
        });
        let before = w.get(resource, namespace, name).expect(200).json();
        let got = status(&w, resource, namespace, name, &patch).expect(200).json();
        assert_eq!(got["metadata"]["annotations"]["n"] == "v", annotations, "{resource}");
        assert_eq!(got["metadata"]["labels"]["l"] == "v", labels, "{resource}");
        assert_eq!(got["spec"], before["spec"], "{resource}");
        assert_eq!(got["metadata"]["generation"], before["metadata"]["generation"], "{resource}");
    }
}
