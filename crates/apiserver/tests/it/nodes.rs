//! What kubelets may write: their node, pictures of static pods, status, leases, tokens and requests.

use apiserver::Config;
use meta::Verb;
use serde_json::{Value as Json, json};

use crate::harness::{Answer, World};
use crate::pods;

/// A world with node `n1`, and its kubelet.
fn world() -> (World, World) {
    world_with(|_| {})
}

fn world_with(change: impl FnOnce(&mut Config)) -> (World, World) {
    let w = World::with(change);
    pods::account(&w);
    pods::node(&w, "n1");
    let kubelet = w.by("system:node:n1", &["system:nodes"]);
    (w, kubelet)
}

fn uid(w: &World, resource: &str, namespace: &str, name: &str) -> String {
    w.get(resource, namespace, name).expect(200).at("/metadata/uid")
}

#[track_caller]
fn refused(answer: &Answer, why: &str) {
    assert_eq!(answer.code, 403, "{}", answer.text());
    assert!(answer.message().ends_with(why), "{}", answer.message());
}

fn node_patch(who: &World, name: &str, patch: Json) -> Answer {
    who.patch("nodes", "", name, "merge", &patch)
}

#[test]
fn a_kubelet_makes_only_its_own_node() {
    let w = World::new();
    let kubelet = w.by("system:node:n1", &["system:nodes"]);
    let node = |name: &str, labels: Json| {
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels},
            "spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}})
    };
    let made = kubelet.create("nodes", "", &node("n2", json!({})));
    refused(&made, "node \"n1\" is not allowed to modify node \"n2\"");
    let labels = json!({"node-restriction.kubernetes.io/a": "", "node-role.kubernetes.io/b": "", "own": ""});
    let why = "node \"n1\" is not allowed to set the following labels: node-restriction.kubernetes.io/a, node-role.kubernetes.io/b";
    refused(&kubelet.create("nodes", "", &node("n1", labels)), why);
    let labels = json!({"kubernetes.io/hostname": "n1", "node.kubernetes.io/x": "y", "own": ""});
    kubelet.create("nodes", "", &node("n1", labels)).expect(201);
    let nobody = w.by("system:node:", &["system:nodes", "system:masters"]);
    let made = nobody.create("nodes", "", &node("n3", json!({})));
    refused(&made, "could not determine node from user \"system:node:\"");
}

#[test]
fn a_kubelet_changes_nothing_that_steers_pods_or_deletion() {
    let (w, kubelet) = world();
    pods::node(&w, "n2");
    let owner = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "1"}]);
    let cases = [
        (json!({"metadata": {"labels": {"own": "x", "kubernetes.io/arch": "arm64"}}}), ""),
        (
            json!({"metadata": {"labels": {"node-role.kubernetes.io/control-plane": ""}}}),
            "is not allowed to modify labels: node-role.kubernetes.io/control-plane",
        ),
        (json!({"spec": {"taints": []}}), "node \"n1\" is not allowed to modify taints"),
        (
            json!({"metadata": {"ownerReferences": owner}}),
            "node \"n1\" is not allowed to modify ownerReferences",
        ),
    ];
    for (patch, why) in cases {
        for name in ["n1", "n1/status"] {
            let got = node_patch(&kubelet, name, patch.clone());
            if why.is_empty() {
                assert_eq!(got.code, 200, "{name}: {}", got.text());
            } else {
                refused(&got, why);
            }
        }
    }
    let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    node_patch(&kubelet, "n1/status", ready.clone()).expect(200);
    refused(&node_patch(&kubelet, "n2/status", ready), "node \"n1\" is not allowed to modify node \"n2\"");
    // Others may.
    node_patch(&w, "n1", json!({"metadata": {"labels": {"node-role.kubernetes.io/worker": ""}}})).expect(200);
    let gone = json!({"metadata": {"labels": {"node-role.kubernetes.io/worker": null}}});
    refused(
        &node_patch(&kubelet, "n1", gone),
        "is not allowed to modify labels: node-role.kubernetes.io/worker",
    );
}

#[test]
fn a_node_can_be_updated() {
    let (w, _) = world();
    let mut node = w.get("nodes", "", "n1").expect(200).json();
    node["spec"]["unschedulable"] = true.into();
    node["spec"]["taints"] = json!([{"key": "k", "value": "v", "effect": "NoSchedule"}]);
    node["metadata"]["labels"]["zone"] = "a".into();
    node["status"]["phase"] = "Running".into();
    let updated = w.update("nodes", "", "n1", &node).expect(200).json();
    assert_eq!(updated["spec"]["unschedulable"], true);
    assert_eq!(updated["spec"]["taints"], node["spec"]["taints"]);
    assert_eq!(updated["metadata"]["labels"]["zone"], "a");
    assert!(updated["status"]["phase"].is_null(), "the status has a path of its own");
    assert_eq!(updated["status"]["addresses"], node["status"]["addresses"]);
    // Its pods' range is set once.
    let mut ranged = updated.clone();
    ranged["spec"]["podCIDR"] = "10.1.0.0/24".into();
    ranged["spec"]["podCIDRs"] = json!(["10.1.0.0/24"]);
    let ranged = w.update("nodes", "", "n1", &ranged).expect(200).json();
    let mut other = ranged.clone();
    other["spec"]["podCIDR"] = "10.2.0.0/24".into();
    other["spec"]["podCIDRs"] = json!(["10.2.0.0/24"]);
    let why = w.update("nodes", "", "n1", &other).expect(422).message();
    assert!(why.contains("spec.podCIDR"), "{why}");
    for (field, value, path) in [
        ("providerID", json!("p"), ""),
        ("providerID", json!("q"), "spec.providerID"),
        ("taints", json!([{"key": "k", "effect": "Sometimes"}]), "metadata.taints[0].effect"),
        (
            "taints",
            json!([{"key": "k", "effect": "NoSchedule"}, {"key": "k", "effect": "NoSchedule"}]),
            "metadata.taints[1]",
        ),
    ] {
        let patched = node_patch(&w, "n1", json!({"spec": {field: value}}));
        let want = if path.is_empty() { 200 } else { 422 };
        assert_eq!(patched.code, want, "{field}: {}", patched.text());
        assert!(path.is_empty() || patched.message().contains(path), "{}", patched.message());
    }
    w.update("nodes", "", "n1", &updated).expect(409);
    let mut status = w.get("nodes", "", "n1").expect(200).json();
    status["status"]["nodeInfo"]["kubeletVersion"] = "v1.37.2".into();
    status["spec"]["unschedulable"] = false.into();
    let status = w.update("nodes", "", "n1/status", &status).expect(200).json();
    assert_eq!(status["status"]["nodeInfo"]["kubeletVersion"], "v1.37.2");
    assert_eq!(status["spec"]["unschedulable"], true, "the rest has a path of its own");
}

fn mirror(w: &World, name: &str) -> Json {
    let mut pod = pods::pod(name);
    pod["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
    pod["metadata"]["ownerReferences"] = json!([{"apiVersion": "v1", "kind": "Node", "name": "n1",
        "uid": uid(w, "nodes", "", "n1"), "controller": true}]);
    pod["spec"]["nodeName"] = "n1".into();
    pod
}

#[test]
fn mirror_pods_belong_to_their_node() {
    let (w, kubelet) = world();
    let good = mirror(&w, "bad");
    let with = |pointer: &str, value: Json| {
        let mut pod = good.clone();
        *pod.pointer_mut(pointer).unwrap() = value;
        pod
    };
    let owner = good["metadata"]["ownerReferences"][0].clone();
    let own = |field: &str, value: Json| {
        let mut owner = owner.clone();
        owner[field] = value;
        with("/metadata/ownerReferences", json!([owner]))
    };
    let itself = "node \"n1\" can only create pods with an owner reference set to itself";
    let cases = [
        (
            with("/metadata/annotations", json!({})),
            "pod does not have \"kubernetes.io/config.mirror\" annotation, node \"n1\" can only create mirror pods",
        ),
        (
            with("/spec/nodeName", "n2".into()),
            "node \"n1\" can only create pods with spec.nodeName set to itself",
        ),
        (with("/metadata/ownerReferences", json!([])), itself),
        (own("name", "n2".into()), itself),
        (own("kind", "Pod".into()), itself),
        (
            own("controller", false.into()),
            "node \"n1\" can only create pods with a controller owner reference set to itself",
        ),
        (
            own("blockOwnerDeletion", true.into()),
            "node \"n1\" must not set blockOwnerDeletion on an owner reference",
        ),
    ];
    for (pod, why) in cases {
        refused(&kubelet.create("pods", "default", &pod), why);
    }
    let made = kubelet.create("pods", "default", &own("uid", "other".into())).expect(403);
    assert!(made.message().contains("node n1 UID mismatch: expected other got "), "{}", made.message());
    let mut second = owner.clone();
    second["uid"] = "2".into();
    second["controller"] = false.into();
    let made = kubelet.create("pods", "default", &with("/metadata/ownerReferences", json!([owner, second])));
    refused(&made, "node \"n1\" can only create pods with a single owner reference set to itself");
    kubelet.create("pods", "default", &mirror(&w, "good")).expect(201);
    // It may be taken away again, but not changed.
    let label = json!({"metadata": {"labels": {"a": "b"}}});
    kubelet.patch("pods", "default", "good", "merge", &label).expect(403);
    kubelet.delete("pods", "default", "good", &json!({"gracePeriodSeconds": 0})).expect(200);
}

/// A volume.
fn named(name: &str, mut source: Json) -> Json {
    source["name"] = name.into();
    json!([source])
}

#[test]
fn mirror_pods_refer_to_nothing() {
    let (w, node) = world();
    let env = |from: Json| json!([{"name": "E", "valueFrom": from}]);
    let volume = |source: Json| named("v", source);
    let projected = |source: Json| named("v", json!({"projected": {"sources": [source]}}));
    let key = json!({"name": "x", "key": "k"});
    let container = "/spec/containers/0";
    let template =
        json!({"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    let bundle = json!({"clusterTrustBundle": {"name": "b", "path": "p"}});
    let certificate = json!({"podCertificate": {"signerName": "example.com/s", "keyType": "ED25519", "credentialBundlePath": "c"}});
    let cases = [
        (container, "env", env(json!({"secretKeyRef": key})), "secrets"),
        (container, "env", env(json!({"configMapKeyRef": key})), "configmaps"),
        (container, "envFrom", json!([{"secretRef": {"name": "x"}}]), "secrets"),
        (container, "envFrom", json!([{"configMapRef": {"name": "x"}}]), "configmaps"),
        ("/spec", "imagePullSecrets", json!([{"name": "x"}]), "secrets"),
        ("/spec", "serviceAccountName", "x".into(), "serviceaccounts"),
        ("/spec", "resourceClaims", json!([{"name": "c", "resourceClaimName": "x"}]), "resourceclaims"),
        ("/spec", "volumes", volume(json!({"secret": {"secretName": "x"}})), "secrets"),
        ("/spec", "volumes", volume(json!({"configMap": {"name": "x"}})), "configmaps"),
        (
            "/spec",
            "volumes",
            volume(json!({"persistentVolumeClaim": {"claimName": "x"}})),
            "persistentvolumeclaims",
        ),
        (
            "/spec",
            "volumes",
            volume(json!({"ephemeral": {"volumeClaimTemplate": template}})),
            "persistentvolumeclaims (via ephemeral volumes)",
        ),
        ("/spec", "volumes", projected(json!({"secret": {"name": "x"}})), "secrets"),
        ("/spec", "volumes", projected(json!({"configMap": {"name": "x"}})), "configmaps"),
        ("/spec", "volumes", projected(bundle), "clustertrustbundles"),
        ("/spec", "volumes", projected(certificate), "podcertificates"),
        ("/spec", "volumes", volume(json!({"csi": {"driver": "d"}})), "csidrivers (via CSI volumes)"),
        ("/spec", "volumes", volume(json!({"azureFile": {"secretName": "x", "shareName": "s"}})), "secrets"),
        (
            "/spec",
            "volumes",
            volume(json!({"csi": {"driver": "d", "nodePublishSecretRef": {"name": "x"}}})),
            "secrets",
        ),
    ];
    for (at, field, value, what) in cases {
        let mut pod = mirror(&w, "bad");
        pod.pointer_mut(at).unwrap()[field] = value;
        // The plugin for accounts is asked before the one for nodes, and whoever writes.
        let accounts = match what {
            "secrets" => "a mirror pod may not reference secrets",
            "serviceaccounts" => "a mirror pod may not reference service accounts",
            _ => {
                let why = format!("node \"n1\" can not create pods that reference {what}");
                refused(&node.create("pods", "default", &pod), &why);
                continue;
            }
        };
        refused(&node.create("pods", "default", &pod), accounts);
        refused(&w.create("pods", "default", &pod), accounts);
    }
    let mut pod = mirror(&w, "bad");
    pod["spec"]["volumes"] = projected(json!({"serviceAccountToken": {"path": "t"}}));
    for user in [&w, &node] {
        let why = "a mirror pod may not use ServiceAccountToken volume projections";
        refused(&user.create("pods", "default", &pod), why);
    }
}

#[test]
fn nodes_alone_refuse_what_mirror_pods_refer_to() {
    let (w, node) = world_with(|config| config.admission.disabled.push("ServiceAccount".to_owned()));
    for (field, value, what) in [
        ("imagePullSecrets", json!([{"name": "x"}]), "secrets"),
        ("serviceAccountName", json!("x"), "serviceaccounts"),
        (
            "volumes",
            json!([{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]),
            "serviceaccounts (via projected volumes)",
        ),
    ] {
        let mut pod = mirror(&w, "bad");
        pod["spec"][field] = value;
        let why = format!("node \"n1\" can not create pods that reference {what}");
        refused(&node.create("pods", "default", &pod), &why);
    }
}

#[test]
fn status_eviction_and_deletion_are_for_own_pods() {
    let (w, kubelet) = world();
    pods::node(&w, "n2");
    for (pod, node) in [("mine", "n1"), ("other", "n2")] {
        w.create("pods", "default", &pods::pod(pod)).expect(201);
        pods::bind(&w, pod, node).expect(201);
    }
    let status =
        |pod: &str, patch: Json| kubelet.patch("pods", "default", &format!("{pod}/status"), "merge", &patch);
    let running = json!({"status": {"phase": "Running"}});
    status("mine", running.clone()).expect(200);
    refused(
        &status("other", running),
        "node \"n1\" can only update pod status for pods with spec.nodeName set to itself",
    );
    let cases = [
        (json!({"metadata": {"labels": {"a": "b"}}}), "node \"n1\" cannot update labels through pod status"),
        (
            json!({"status": {"resourceClaimStatuses": [{"name": "c", "resourceClaimName": "x"}]}}),
            "node \"n1\" cannot update resource claim statues",
        ),
        (
            json!({"status": {"extendedResourceClaimStatus": {"resourceClaimName": "x", "requestMappings": []}}}),
            "node \"n1\" cannot update extended resource claim status",
        ),
    ];
    for (patch, why) in cases {
        refused(&status("mine", patch), why);
    }
    let evict = |pod: &str| {
        let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}});
        kubelet.post("pods", "default", &format!("{pod}/eviction"), &eviction)
    };
    refused(&evict("other"), "node n1 can only evict pods with spec.nodeName set to itself");
    let gone = kubelet.delete("pods", "default", "other", &Json::Null);
    refused(&gone, "node \"n1\" can only delete pods with spec.nodeName set to itself");
    evict("mine").expect(201);
    w.get("pods", "default", "other").expect(200);
}

#[test]
fn leases_csi_nodes_and_device_slices_are_own() {
    let (w, kubelet) = world();
    let lease = |name: &str| json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}});
    let same = "can only access node lease with the same name as the requesting node";
    refused(&kubelet.create("coordination.k8s.io/leases", "kube-node-lease", &lease("n2")), same);
    kubelet.create("coordination.k8s.io/leases", "kube-node-lease", &lease("n1")).expect(201);
    let csi = |name: &str| json!({"apiVersion": "storage.k8s.io/v1", "kind": "CSINode", "metadata": {"name": name}, "spec": {"drivers": []}});
    let same = "can only access CSINode with the same name as the requesting node";
    refused(&kubelet.create("storage.k8s.io/csinodes", "", &csi("n2")), same);
    kubelet.create("storage.k8s.io/csinodes", "", &csi("n1")).expect(201);
    let slice = |name: &str, node: &str| {
        json!({"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": {"name": name},
            "spec": {"driver": "d.example.com", "nodeName": node, "devices": [],
                "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1}}})
    };
    let same = "can only create ResourceSlice with the same NodeName as the requesting node";
    refused(&kubelet.create("resource.k8s.io/resourceslices", "", &slice("b", "n2")), same);
    kubelet.create("resource.k8s.io/resourceslices", "", &slice("a", "n1")).expect(201);
    w.create("resource.k8s.io/resourceslices", "", &slice("b", "n2")).expect(201);
    kubelet.get("resource.k8s.io/resourceslices", "", "a").expect(200);
    kubelet.get("resource.k8s.io/resourceslices", "", "b").expect(403);
    kubelet.delete("resource.k8s.io/resourceslices", "", "b", &Json::Null).expect(403);
    kubelet.delete("resource.k8s.io/resourceslices", "", "a", &Json::Null).expect(200);
}

#[test]
fn a_kubelet_lists_its_own_node_and_pods_only() {
    let (w, kubelet) = world();
    pods::node(&w, "n2");
    w.create("pods", "default", &pods::pod("p")).expect(201);
    pods::bind(&w, "p", "n1").expect(201);
    for (resource, query, code) in [
        ("nodes", "", 403),
        ("nodes", "fieldSelector=metadata.name=n2", 403),
        ("nodes", "fieldSelector=metadata.name=n1", 200),
        ("pods", "", 403),
        ("pods", "fieldSelector=spec.nodeName=n2", 403),
        ("pods", "fieldSelector=spec.nodeName!=n1", 403),
        ("pods", "fieldSelector=spec.nodeName=n1", 200),
        ("secrets", "", 403),
    ] {
        let listed = kubelet.list(resource, "", query);
        assert_eq!(listed.code, code, "{resource} {query}: {}", listed.text());
        let mut r = kubelet.request(Verb::Watch, resource, "", "");
        r.query = crate::harness::parse_query(query);
        assert_eq!(kubelet.raw(r).code, code, "watch {resource} {query}");
    }
    let refused = kubelet.list("pods", "", "");
    assert!(
        refused.message().ends_with("can only list/watch pods with spec.nodeName field selector"),
        "{}",
        refused.message()
    );
}
