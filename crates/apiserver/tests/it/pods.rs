//! Pods: admission, binding, eviction, logs, scale.

use meta::{Body, Verb};
use serde_json::{Value as Json, json};

use crate::harness::{World, parse_query};

pub fn pod(name: &str) -> Json {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    })
}

pub fn account(w: &World) {
    let object = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    w.create("serviceaccounts", "default", &object).expect(201);
}

pub fn node(w: &World, name: &str) {
    let object = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}});
    let made = w.create("nodes", "", &object).expect(201);
    assert_eq!(made.at("/spec/taints/0/key"), "node.kubernetes.io/not-ready");
    let status = json!({"status": {
        "addresses": [{"type": "InternalIP", "address": "192.0.2.7"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
    }});
    w.patch("nodes", "", &format!("{name}/status"), "merge", &status).expect(200);
}

pub fn bind(w: &World, pod: &str, node: &str) -> crate::harness::Answer {
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod},
        "target": {"kind": "Node", "name": node}});
    w.post("pods", "default", &format!("{pod}/binding"), &binding)
}

#[test]
fn a_pod_is_completed_by_admission() {
    let w = World::new();
    let refused = w.create("pods", "default", &pod("p")).expect(403);
    assert_eq!(
        refused.message(),
        "pods \"p\" is forbidden: error looking up service account default/default: serviceaccount \"default\" not found"
    );
    account(&w);
    let made = w.create("pods", "default", &pod("p")).expect(201).json();
    assert_eq!(made["spec"]["serviceAccountName"], "default");
    let volume = made["spec"]["volumes"][0]["name"].as_str().unwrap();
    assert!(volume.starts_with("kube-api-access-"));
    assert_eq!(made["spec"]["containers"][0]["volumeMounts"][0]["name"], volume);
    assert_eq!(made["spec"]["tolerations"].as_array().unwrap().len(), 2);
    assert_eq!(made["spec"]["priority"], 0);
    assert_eq!(made["status"]["phase"], "Pending");
    let mut critical = pod("q");
    critical["spec"]["priorityClassName"] = "system-node-critical".into();
    assert_eq!(w.create("pods", "default", &critical).expect(201).at("/spec/priority"), "2000001000");
    critical["metadata"]["name"] = "r".into();
    critical["spec"]["priorityClassName"] = "none".into();
    assert!(
        w.create("pods", "default", &critical)
            .expect(403)
            .message()
            .contains("no PriorityClass with name none was found")
    );
}

#[test]
fn binding_happens_once() {
    let w = World::new();
    account(&w);
    node(&w, "n1");
    w.create("pods", "default", &pod("p")).expect(201);
    bind(&w, "p", "").expect(422);
    bind(&w, "p", "n1").expect(201);
    let bound = w.get("pods", "default", "p").json();
    assert_eq!(bound["spec"]["nodeName"], "n1");
    assert_eq!(bound["status"]["conditions"][0]["type"], "PodScheduled");
    let again = bind(&w, "p", "n2").expect(409);
    assert_eq!(
        again.message(),
        "Operation cannot be fulfilled on pods/binding \"p\": pod p is already assigned to node \"n1\""
    );
    bind(&w, "none", "n1").expect(404);
    let on_node = w.list("pods", "", "fieldSelector=spec.nodeName=n1").expect(200).json();
    assert_eq!(on_node["items"].as_array().unwrap().len(), 1);
}

#[test]
fn pods_end_gracefully() {
    let w = World::new();
    account(&w);
    w.create("pods", "default", &pod("a")).expect(201);
    // Not on a node: nobody has to stop it.
    w.delete("pods", "default", "a", &Json::Null).expect(200);
    w.get("pods", "default", "a").expect(404);
    w.create("pods", "default", &pod("b")).expect(201);
    bind(&w, "b", "n1").expect(201);
    let ending = w.delete("pods", "default", "b", &Json::Null).expect(200).json();
    assert_eq!(ending["metadata"]["deletionTimestamp"], "2026-01-02T03:04:35Z");
    assert_eq!(ending["metadata"]["deletionGracePeriodSeconds"], 30);
    let shorter = w.delete("pods", "default", "b", &json!({"gracePeriodSeconds": 5})).expect(200).json();
    assert_eq!(shorter["metadata"]["deletionGracePeriodSeconds"], 5);
    w.delete("pods", "default", "b", &json!({"gracePeriodSeconds": 0})).expect(200);
    w.get("pods", "default", "b").expect(404);
}

#[test]
fn logs_and_exec_lead_to_the_kubelet() {
    let w = World::new();
    account(&w);
    node(&w, "n1");
    let mut two = pod("p");
    two["spec"]["containers"] = json!([{"name": "a", "image": "i"}, {"name": "b", "image": "i"}]);
    w.create("pods", "default", &two).expect(201);
    let choose = w.get("pods", "default", "p/log").expect(400);
    assert_eq!(choose.message(), "a container name must be specified for pod p, choose one of: [a b]");
    bind(&w, "p", "n1").expect(201);
    let path = |verb, sub: &str, query: &str| {
        let mut r = w.request(verb, "pods", "default", &format!("p/{sub}"));
        r.query = parse_query(query);
        match w.raw(r).body {
            Body::Tunnel(t) => format!("{}://{}:{}{}", t.scheme, t.host, t.port, t.path_and_query),
            Body::Full(b) => String::from_utf8_lossy(&b).into_owned(),
            _ => panic!("no tunnel"),
        }
    };
    let base = "https://192.0.2.7:10250";
    assert_eq!(
        path(Verb::Get, "log", "container=a&follow=true&tailLines=5"),
        format!("{base}/containerLogs/default/p/a?follow=true&tailLines=5")
    );
    assert_eq!(
        path(Verb::Connect, "exec", "container=b&command=sh&command=-c&stdin=true&stdout=true"),
        format!("{base}/exec/default/p/b?input=1&output=1&command=sh&command=-c")
    );
    assert_eq!(path(Verb::Connect, "portforward", ""), format!("{base}/portForward/default/p"));
    assert!(path(Verb::Get, "log", "container=z").contains("container z is not valid for pod p"));
    assert!(
        path(Verb::Get, "log", "container=a&tailLines=-1").contains("must be greater than or equal to 0")
    );
}

#[test]
fn what_creation_has_put_in_comes_back_when_an_update_leaves_it_out() {
    let w = World::new();
    account(&w);
    w.create("pods", "default", &pod("p")).expect(201);
    let mut changed = w.get("pods", "default", "p").json();
    for field in ["priority", "preemptionPolicy"] {
        assert!(changed["spec"].as_object_mut().unwrap().remove(field).is_some(), "{field}");
    }
    changed["spec"]["tolerations"] =
        json!([{"key": "a", "operator": "Equal", "value": "b", "effect": "NoSchedule"}]);
    let updated = w.update("pods", "default", "p", &changed).expect(200);
    assert_eq!(updated.at("/spec/tolerations/0/key"), "a");
    assert_eq!(updated.at("/spec/tolerations/1/key"), "node.kubernetes.io/not-ready");
    assert_eq!(updated.at("/spec/tolerations/2/key"), "node.kubernetes.io/unreachable");
    assert_eq!(updated.at("/spec/priority"), "0");
    assert_eq!(updated.at("/spec/preemptionPolicy"), "PreemptLowerPriority");
    assert_eq!(updated.at("/metadata/generation"), "2");
    // Another one than the class says is no omission.
    changed["spec"]["priority"] = 7.into();
    changed["metadata"]["resourceVersion"] = updated.at("/metadata/resourceVersion").into();
    w.update("pods", "default", "p", &changed).expect(422);
}

#[test]
fn scale_changes_replicas() {
    let w = World::new();
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "d"}},
            "template": {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    let made = w.create("apps/deployments", "default", &deployment).expect(201);
    assert_eq!(made.at("/metadata/generation"), "1");
    let scale = w.get("apps/deployments", "default", "d/scale").expect(200).json();
    assert_eq!((scale["kind"].as_str(), &scale["spec"]["replicas"]), (Some("Scale"), &json!(2)));
    assert_eq!(scale["status"]["selector"], "app=d");
    let patched = w
        .patch("apps/deployments", "default", "d/scale", "merge", &json!({"spec": {"replicas": 5}}))
        .expect(200);
    assert_eq!(patched.at("/spec/replicas"), "5");
    let after = w.get("apps/deployments", "default", "d").json();
    assert_eq!((&after["spec"]["replicas"], &after["metadata"]["generation"]), (&json!(5), &json!(2)));
    w.patch("apps/deployments", "default", "d/scale", "merge", &json!({"spec": {"replicas": -1}}))
        .expect(422);
    let mut stale = scale.clone();
    stale["spec"]["replicas"] = 9.into();
    w.update("apps/deployments", "default", "d/scale", &stale).expect(409);
}

#[test]
fn generated_names_are_free() {
    let w = World::new();
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "x-"}});
    let mut names = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let name = w.create("configmaps", "default", &object).expect(201).at("/metadata/name");
        assert!(name.starts_with("x-") && name.len() == 7, "{name}");
        assert!(names.insert(name));
    }
}

/// An account that names what its pods may mount.
#[test]
fn pods_use_only_secrets_that_their_account_lets_them() {
    let w = World::new();
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "default", "annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}},
        "secrets": [{"name": "mine"}], "imagePullSecrets": [{"name": "pull"}]});
    w.create("serviceaccounts", "default", &account).expect(201);
    let variable =
        |name: &str| json!({"name": "V", "valueFrom": {"secretKeyRef": {"name": name, "key": "k"}}});
    let with = |name: &str, secret: &str, how: &str| {
        let mut pod = pod(name);
        let c = &mut pod["spec"]["containers"][0];
        match how {
            "env" => c["env"] = json!([variable(secret)]),
            "envFrom" => c["envFrom"] = json!([{"secretRef": {"name": secret}}]),
            "pull" => pod["spec"]["imagePullSecrets"] = json!([{"name": secret}]),
            _ => pod["spec"]["volumes"] = json!([{"name": "v", "secret": {"secretName": secret}}]),
        }
        pod
    };
    let because = "is not allowed because service account default does not reference that secret";
    for (how, why) in [
        ("volume", format!("volume with secret.secretName=\"other\" {because}")),
        ("env", format!("container c with envVar V referencing secret.secretName=\"other\" {because}")),
        ("envFrom", format!("container c with envFrom referencing secret.secretName=\"other\" {because}")),
        (
            "pull",
            "imagePullSecrets[0].name=\"other\" is not allowed because service account default does not reference \
             that imagePullSecret"
                .to_owned(),
        ),
    ] {
        let refused = w.create("pods", "default", &with("p", "other", how)).expect(403).message();
        assert_eq!(refused, format!("pods \"p\" is forbidden: {why}"));
        let good = if how == "pull" { "pull" } else { "mine" };
        w.create("pods", "default", &with(&format!("{}-good", how.to_lowercase()), good, how)).expect(201);
    }
    let debug = |secret: &str| json!({"spec": {"ephemeralContainers": [{"name": "e", "image": "i", "env": [variable(secret)]}]}});
    let add = |secret: &str| {
        w.patch("pods", "default", "env-good/ephemeralcontainers", "strategic-merge", &debug(secret))
    };
    let refused = add("other").expect(403).message();
    assert!(refused.contains("ephemeral container e with envVar V"), "{refused}");
    add("mine").expect(200);
}

/// A profile that an annotation names is the container's, and whoever writes it is told.
#[test]
fn a_profile_in_an_annotation_becomes_the_field() {
    let w = World::new();
    account(&w);
    let mut object = pod("p");
    object["metadata"]["annotations"] =
        json!({"container.apparmor.security.beta.kubernetes.io/c": "localhost/mine"});
    let made = w.create("pods", "default", &object).expect(201);
    let profile = &made.json()["spec"]["containers"][0]["securityContext"]["appArmorProfile"];
    assert_eq!(*profile, json!({"type": "Localhost", "localhostProfile": "mine"}));
}
