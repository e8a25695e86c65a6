//! Every stored kind, through the same verbs, by one piece of code.

use meta::Verb;
use serde_json::{Value as Json, json};

use crate::harness::{Answer, World};
use crate::pki;

/// A small object that the kind's validation takes; `None` where the general one does.
fn minimal(kind: &kinds::Kind) -> Json {
    let template =
        json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let selector = json!({"matchLabels": {"a": "b"}});
    let extra = match (&*kind.group, &*kind.kind) {
        ("", "Pod") => json!({"spec": {"containers": [{"name": "c", "image": "i"}]}}),
        ("", "ReplicationController") => json!({"spec": {"selector": {"a": "b"}, "template": template}}),
        ("", "PodTemplate") => json!({"template": template}),
        ("", "Service") => json!({"spec": {"ports": [{"port": 80}]}}),
        ("apps", "DaemonSet" | "Deployment" | "ReplicaSet" | "StatefulSet") => {
            json!({"spec": {"selector": selector, "template": template, "serviceName": "s"}})
        }
        ("apps", "ControllerRevision") => json!({"revision": 1, "data": {}}),
        ("batch", "Job") => {
            let mut t = template.clone();
            t["spec"]["restartPolicy"] = "Never".into();
            json!({"spec": {"template": t}})
        }
        ("", "Event") => json!({"involvedObject": {"namespace": "default"}}),
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => {
            json!({"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}})
        }
        ("discovery.k8s.io", _) => json!({"addressType": "IPv4", "endpoints": []}),
        ("scheduling.k8s.io", _) => json!({"value": 5}),
        ("networking.k8s.io", "Ingress") => {
            json!({"spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}})
        }
        ("networking.k8s.io", "IngressClass") => json!({"spec": {"controller": "example.com/c"}}),
        ("networking.k8s.io", "ServiceCIDR") => json!({"spec": {"cidrs": ["10.0.0.0/24"]}}),
        ("node.k8s.io", _) => json!({"handler": "h"}),
        ("storage.k8s.io", "StorageClass") => json!({"provisioner": "p"}),
        ("storage.k8s.io", "VolumeAttributesClass") => json!({"driverName": "d", "parameters": {"a": "b"}}),
        ("storage.k8s.io", "CSIStorageCapacity") => json!({"storageClassName": "c"}),
        ("storage.k8s.io", "VolumeAttachment") => {
            json!({"spec": {"attacher": "a", "nodeName": "n", "source": {"persistentVolumeName": "v"}}})
        }
        ("certificates.k8s.io", "CertificateSigningRequest") => json!({"spec": pki::signing_request()}),
        ("certificates.k8s.io", "PodCertificateRequest") => json!({"spec": pki::pod_request("a.b/c")}),
        ("certificates.k8s.io", _) => json!({"spec": {"trustBundle": pki::authority()}}),
        ("apiregistration.k8s.io", _) => json!({"spec": {"groupPriorityMinimum": 1, "versionPriority": 1}}),
        ("flowcontrol.apiserver.k8s.io", "FlowSchema") => {
            json!({"spec": {"priorityLevelConfiguration": {"name": "global-default"}}})
        }
        ("flowcontrol.apiserver.k8s.io", _) => json!({"spec": {"type": "Limited", "limited": {}}}),
        _ => json!({}),
    };
    let mut object = json!({
        "kind": kind.kind, "apiVersion": kind.gvr().api_version(), "metadata": {"name": "x1"},
    });
    for (k, v) in extra.as_object().unwrap() {
        object[k] = v.clone();
    }
    object
}

fn send(w: &World, kind: &kinds::Kind, verb: Verb, name: &str, body: &Json) -> Answer {
    let namespace = if kind.namespaced() { "default" } else { "" };
    let mut r = w.request(verb, "x", namespace, name);
    let meta::Target::Resource { gvr, .. } = &mut r.target else { unreachable!() };
    *gvr = kind.gvr();
    if !body.is_null() {
        r.content_type = match verb {
            Verb::Patch => "application/merge-patch+json".into(),
            _ => "application/json".into(),
        };
        r.body = body.to_string().into();
    }
    w.send(r)
}

#[test]
fn every_stored_kind_answers_every_read() {
    let w = World::new();
    for kind in kinds::all().iter().filter(|k| k.is_stored()) {
        let list = send(&w, kind, Verb::List, "", &Json::Null);
        assert_eq!(list.code, 200, "{}: {}", kind.kind, list.text());
        assert_eq!(list.at("/kind"), format!("{}List", kind.kind));
        assert_eq!(send(&w, kind, Verb::Get, "none", &Json::Null).code, 404, "{}", kind.kind);
        let mut r = w.request(Verb::List, "x", "", "");
        let meta::Target::Resource { gvr, .. } = &mut r.target else { unreachable!() };
        *gvr = kind.gvr();
        r.accept = "application/json;as=Table;v=v1;g=meta.k8s.io".into();
        assert_eq!(w.send(r).code, 200, "{}", kind.kind);
    }
}

/// The kinds whose minimal object is not enough.
const REFUSED: &[&str] = &[
    "customresourcedefinitions.apiextensions.k8s.io",
    "horizontalpodautoscalers.autoscaling",
    "horizontalpodautoscalers.autoscaling",
    "cronjobs.batch",
    "persistentvolumes",
    "persistentvolumeclaims",
    "events.events.k8s.io",
    "ipaddresses.networking.k8s.io",
];

/// A kind whose minimal object is refused must say why in a Status; one that is taken can be read, patched and
/// deleted again.
#[test]
fn every_stored_kind_takes_or_refuses_clearly() {
    let w = World::new();
    crate::pods::account(&w);
    let mut refused = Vec::new();
    for kind in kinds::all().iter().filter(|k| k.is_stored()) {
        let made = send(&w, kind, Verb::Create, "", &minimal(kind));
        if made.code != 201 {
            assert!(matches!(made.code, 400 | 403 | 422), "{}: {}", kind.kind, made.text());
            assert_eq!(made.at("/kind"), "Status", "{}", kind.kind);
            refused.push(kind.gvr().group_resource());
            continue;
        }
        let got = send(&w, kind, Verb::Get, "x1", &Json::Null);
        assert_eq!((got.code, &got.body), (200, &made.body), "{}", kind.kind);
        assert_eq!(got.at("/apiVersion"), kind.gvr().api_version());
        let again = send(&w, kind, Verb::Update, "x1", &got.json());
        assert_eq!(again.code, 200, "{}: {}", kind.kind, again.text());
        assert_eq!(again.json(), got.json(), "{}", kind.kind);
        let label = json!({"metadata": {"labels": {"l": "v"}}});
        let patched = send(&w, kind, Verb::Patch, "x1", &label);
        assert_eq!(patched.code, 200, "{}: {}", kind.kind, patched.text());
        assert_eq!(patched.at("/metadata/labels/l"), "v", "{}", kind.kind);
        let options = json!({"gracePeriodSeconds": 0});
        assert_eq!(send(&w, kind, Verb::Delete, "x1", &options).code, 200, "{}", kind.kind);
    }
    assert_eq!(refused, REFUSED);
}

#[test]
fn events_have_two_names() {
    let w = World::new();
    let event = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "reason": "R", "type": "Normal", "message": "m",
        "involvedObject": {"kind": "Pod", "namespace": "default", "name": "p"}, "source": {"component": "test"},
    });
    w.create("events", "default", &event).expect(201);
    let other = w.get("events.k8s.io/events", "default", "e").expect(200).json();
    assert_eq!(other["apiVersion"], "events.k8s.io/v1");
    assert_eq!((&other["note"], &other["regarding"]["name"]), (&json!("m"), &json!("p")));
    let listed = w.list("events.k8s.io/events", "default", "").expect(200).json();
    assert_eq!(listed["items"][0]["regarding"]["name"], "p");
    for (query, count) in
        [("involvedObject.name=p", 1), ("involvedObject.name=q", 0), ("source=test", 1), ("type!=Normal", 0)]
    {
        let got = w.list("events", "default", &format!("fieldSelector={query}")).expect(200).json();
        assert_eq!(got["items"].as_array().unwrap().len(), count, "{query}");
    }
}

/// Upstream's objects with every field set, where the reference data is at hand.
fn fixtures() -> Option<Vec<(String, Vec<u8>)>> {
    let dir = reference::find("k8s-api/fixtures")?;
    let entries = std::fs::read_dir(&dir).expect("the fixtures can be listed");
    let mut out: Vec<(String, Vec<u8>)> = entries
        .filter_map(|e| e.ok()?.file_name().into_string().ok())
        .filter(|name| name.contains(".v1."))
        .filter_map(|name| Some((name.clone(), std::fs::read(dir.join(&name)).ok()?)))
        .collect();
    out.sort();
    Some(out)
}

/// Whatever a client sends as an object, it gets an answer that is an object or a Status.
#[test]
fn full_objects_never_break_the_server() {
    let Some(fixtures) = fixtures() else { return };
    let w = World::new();
    let mut sent = 0;
    for (name, bytes) in fixtures {
        let content_type = match name.rsplit('.').next() {
            Some("json") => "application/json",
            Some("yaml") => "application/yaml",
            _ => "application/vnd.kubernetes.protobuf",
        };
        // The JSON form gets past the checks of metadata into what its kind does.
        let bytes = match serde_json::from_slice::<Json>(&bytes) {
            Ok(mut object) if content_type == "application/json" => {
                object["metadata"] = json!({"name": "name-value", "namespace": "default"});
                object.to_string().into_bytes()
            }
            _ => bytes,
        };
        let wanted = name.split('.').rev().nth(1).unwrap_or_default().to_owned();
        for kind in kinds::all().iter().filter(|k| k.kind == wanted) {
            for (verb, object) in
                [(Verb::Create, ""), (Verb::Update, "name-value"), (Verb::Patch, "name-value")]
            {
                let namespace = if kind.namespaced() { "default" } else { "" };
                let mut r = w.request(verb, "x", namespace, object);
                let meta::Target::Resource { gvr, .. } = &mut r.target else { unreachable!() };
                *gvr = kind.gvr();
                r.content_type = if verb == Verb::Patch {
                    "application/merge-patch+json".into()
                } else {
                    content_type.into()
                };
                r.body = bytes.clone().into();
                let got = w.send(r);
                assert!(
                    got.code != 500 || got.message().contains("resourceVersion should not be set"),
                    "{name} {verb:?}: {}",
                    got.text()
                );
                assert!(!got.at("/kind").is_empty(), "{name}");
                sent += 1;
            }
        }
    }
    assert!(sent > 500, "only {sent} requests");
}
