//! Admission plugins as clients see them: what they put in, what they refuse, in which order, and which are on.

use apiserver::Config;
use serde_json::{Value as Json, json};

use crate::harness::{Answer, World};
use crate::pods::{account, bind, node, pod};

fn with(enabled: &[&str], disabled: &[&str]) -> World {
    let own = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    let w = World::with(|config: &mut Config| {
        config.admission.enabled.extend(own(enabled));
        config.admission.disabled.extend(own(disabled));
    });
    account(&w);
    w
}

#[track_caller]
fn forbidden(answer: &Answer, message: &str) {
    assert_eq!(answer.code, 403, "{}", answer.text());
    assert_eq!(answer.message(), message);
}

fn limits(w: &World, limit: Json) {
    let object = json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "l"}, "spec": {"limits": [limit]}});
    let made = w.create("limitranges", "default", &object).expect(201);
    assert!(made.warnings.is_empty(), "{:?}", made.warnings);
}

fn claim(name: &str, size: &str) -> Json {
    json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}})
}

#[test]
fn plugins_are_switched_on_and_off() {
    let w = with(&[], &["Priority", "ServiceAccount"]);
    let made = w.create("pods", "default", &pod("p")).expect(201).json();
    assert!(made["spec"].get("priority").is_none() && made["spec"].get("volumes").is_none(), "{made}");
    let w = with(&["AlwaysPullImages", "DenyServiceExternalIPs"], &[]);
    let mut never = pod("p");
    never["spec"]["containers"][0]["imagePullPolicy"] = "Never".into();
    let made = w.create("pods", "default", &never).expect(201);
    assert_eq!(made.at("/spec/containers/0/imagePullPolicy"), "Always");
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
        "spec": {"ports": [{"port": 80}], "externalIPs": ["1.1.1.1"]}});
    forbidden(
        &w.create("services", "default", &service),
        "services \"s\" is forbidden: Use of external IPs is denied by admission control",
    );
}

#[test]
fn without_the_lifecycle_namespaces_need_not_be_there() {
    let w = with(&[], &["NamespaceLifecycle"]);
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}});
    w.create("configmaps", "nowhere", &map).expect(201);
    let w = with(&[], &[]);
    w.create("configmaps", "nowhere", &map).expect(404);
}

#[test]
fn actions_pass_the_plugins_too() {
    let w = World::new();
    let space = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ends"}});
    w.create("namespaces", "", &space).expect(201);
    let object = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    w.create("serviceaccounts", "ends", &object).expect(201);
    w.create("pods", "ends", &pod("p")).expect(201);
    w.delete("namespaces", "", "ends", &Json::Null).expect(200);
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}});
    let refused = w.post("pods", "ends", "p/eviction", &eviction);
    forbidden(
        &refused,
        "pods \"p\" is forbidden: unable to create new content in namespace ends because it is being terminated",
    );
    assert_eq!(refused.at("/details/causes/0/reason"), "NamespaceTerminating");
}

#[test]
fn limits_of_a_namespace() {
    let w = with(&[], &[]);
    limits(
        &w,
        json!({"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "100m"}, "max": {"cpu": "2"}}),
    );
    let made = w.create("pods", "default", &pod("p")).expect(201).json();
    let resources = &made["spec"]["containers"][0]["resources"];
    assert_eq!(resources, &json!({"limits": {"cpu": "1"}, "requests": {"cpu": "100m"}}));
    assert_eq!(
        made["metadata"]["annotations"]["kubernetes.io/limit-ranger"],
        "LimitRanger plugin set: cpu request for container c; cpu limit for container c"
    );
    let mut large = pod("large");
    large["spec"]["containers"][0]["resources"] = json!({"limits": {"cpu": "3"}});
    forbidden(
        &w.create("pods", "default", &large),
        "pods \"large\" is forbidden: maximum cpu usage per Container is 2, but limit is 3",
    );
    let resize = json!({"spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": "3"}}}]}});
    forbidden(
        &w.patch("pods", "default", "p/resize", "strategic-merge", &resize),
        "pods \"p\" is forbidden: maximum cpu usage per Container is 2, but limit is 3",
    );
}

#[test]
fn limits_of_claims() {
    let w = with(&[], &[]);
    limits(
        &w,
        json!({"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}}),
    );
    w.create("persistentvolumeclaims", "default", &claim("ok", "1Gi")).expect(201);
    forbidden(
        &w.create("persistentvolumeclaims", "default", &claim("c", "3Gi")),
        "persistentvolumeclaims \"c\" is forbidden: maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi",
    );
}

#[test]
fn default_classes() {
    let w = with(&[], &[]);
    let none = w.create("persistentvolumeclaims", "default", &claim("a", "1Gi")).expect(201);
    assert_eq!(none.at("/spec/storageClassName"), "");
    let storage = |name: &str, mark: &str| {
        json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "provisioner": "example.com/p", "allowVolumeExpansion": true,
            "metadata": {"name": name, "annotations": {"storageclass.kubernetes.io/is-default-class": mark}}})
    };
    w.create("storage.k8s.io/storageclasses", "", &storage("first", "true")).expect(201);
    w.pass(1);
    w.create("storage.k8s.io/storageclasses", "", &storage("second", "true")).expect(201);
    w.create("storage.k8s.io/storageclasses", "", &storage("third", "false")).expect(201);
    let made = w.create("persistentvolumeclaims", "default", &claim("b", "1Gi")).expect(201);
    assert_eq!(made.at("/spec/storageClassName"), "second");
    let mut own = claim("c", "1Gi");
    own["spec"]["storageClassName"] = "".into();
    let made = w.create("persistentvolumeclaims", "default", &own).expect(201);
    assert_eq!(made.json()["spec"]["storageClassName"], "");
    let class = json!({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "spec": {"controller": "example.com/c"},
        "metadata": {"name": "in", "annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}}});
    w.create("networking.k8s.io/ingressclasses", "", &class).expect(201);
    let backend = json!({"service": {"name": "s", "port": {"number": 80}}});
    let ingress = |name: &str| json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": name}, "spec": {"defaultBackend": backend}});
    let made = w.create("networking.k8s.io/ingresses", "default", &ingress("i")).expect(201);
    assert_eq!(made.at("/spec/ingressClassName"), "in");
    let mut old = ingress("j");
    old["metadata"]["annotations"] = json!({"kubernetes.io/ingress.class": "x"});
    let made = w.create("networking.k8s.io/ingresses", "default", &old).expect(201);
    assert_eq!(made.at("/spec/ingressClassName"), "");
}

#[test]
fn claims_grow_when_their_class_lets_them() {
    let w = with(&[], &[]);
    let class = |name: &str, grows: bool| {
        json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "provisioner": "example.com/p",
            "allowVolumeExpansion": grows, "metadata": {"name": name}})
    };
    for (name, grows) in [("grows", true), ("stays", false)] {
        w.create("storage.k8s.io/storageclasses", "", &class(name, grows)).expect(201);
        let mut object = claim(name, "1Gi");
        object["spec"]["storageClassName"] = name.into();
        object["spec"]["volumeName"] = "v".into();
        w.create("persistentvolumeclaims", "default", &object).expect(201);
    }
    let larger = json!({"spec": {"resources": {"requests": {"storage": "2Gi"}}}});
    let grow = |name: &str| w.patch("persistentvolumeclaims", "default", name, "merge", &larger);
    let bound = json!({"status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}});
    for name in ["grows", "stays"] {
        let unbound = grow(name);
        assert!(
            unbound.code == 422
                || unbound.message().ends_with("Only bound persistent volume claims can be expanded")
        );
        w.patch("persistentvolumeclaims", "default", &format!("{name}/status"), "merge", &bound).expect(200);
    }
    grow("grows").expect(200);
    forbidden(
        &grow("stays"),
        "persistentvolumeclaims \"stays\" is forbidden: only dynamically provisioned pvc can be resized and the \
         storageclass that provisions the pvc must support resize",
    );
}

#[test]
fn pods_say_where_their_node_stands() {
    let w = with(&[], &[]);
    node(&w, "n1");
    let zone = json!({"metadata": {"labels": {"topology.kubernetes.io/zone": "z", "topology.kubernetes.io/region": "r"}}});
    w.patch("nodes", "", "n1", "merge", &zone).expect(200);
    w.create("pods", "default", &pod("p")).expect(201);
    bind(&w, "p", "n1").expect(201);
    let labels = &w.get("pods", "default", "p").json()["metadata"]["labels"];
    let want = json!({"app": "p", "topology.kubernetes.io/zone": "z", "topology.kubernetes.io/region": "r"});
    assert_eq!(labels, &want);
    let mut placed = pod("q");
    placed["spec"]["nodeName"] = "n1".into();
    let made = w.create("pods", "default", &placed).expect(201);
    assert_eq!(made.at("/metadata/labels/topology.kubernetes.io~1zone"), "z");
}

#[test]
fn pods_are_not_resized_beyond_their_node() {
    let w = with(&[], &[]);
    node(&w, "n1");
    let system = json!({"metadata": {"labels": {"kubernetes.io/os": "linux"}}});
    w.patch("nodes", "", "n1", "merge", &system).expect(200);
    let status = json!({"status": {"allocatable": {"cpu": "2", "memory": "1Gi"}, "capacity": {"cpu": "2", "memory": "1Gi"}}});
    w.patch("nodes", "", "n1/status", "merge", &status).expect(200);
    let mut object = pod("p");
    object["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "1"}});
    w.create("pods", "default", &object).expect(201);
    bind(&w, "p", "n1").expect(201);
    let to =
        |cpu: &str| json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}});
    w.patch("pods", "default", "p/resize", "strategic-merge", &to("2")).expect(200);
    forbidden(
        &w.patch("pods", "default", "p/resize", "strategic-merge", &to("3")),
        "pods \"p\" is forbidden: Node didn't have enough allocatable resources: cpu, requested: 3000, allocatable: 2000",
    );
}

#[test]
fn one_priority_class_is_the_default() {
    let w = with(&[], &[]);
    let class = |name: &str, default: bool| {
        json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": 1,
            "globalDefault": default})
    };
    w.create("scheduling.k8s.io/priorityclasses", "", &class("first", true)).expect(201);
    forbidden(
        &w.create("scheduling.k8s.io/priorityclasses", "", &class("second", true)),
        "priorityclasses.scheduling.k8s.io \"second\" is forbidden: PriorityClass first is already marked as default. \
         Only one default can exist",
    );
    let told = json!({"description": "d"});
    w.patch("scheduling.k8s.io/priorityclasses", "", "first", "merge", &told).expect(200);
}
