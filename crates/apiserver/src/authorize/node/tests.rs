use meta::fields::Selector;
use serde_json::json;

use super::*;

fn authorizer() -> NodeAuthorizer {
    let node = crate::authorize::policy::roles().into_iter().find(|r| r.name == "system:node");
    NodeAuthorizer::new(node.expect("the role is there").rules)
}

/// Asks as node `n1` for `GROUP/RESOURCE[/SUB] NAMESPACE/NAME`, maybe with a field selector.
fn ask(n: &NodeAuthorizer, verb: &str, what: &str, object: &str, fields: &str) -> Decision {
    let mut parts = what.splitn(3, '/');
    let mut part = || parts.next().unwrap_or_default().to_owned();
    let (group, resource, subresource) = (part(), part(), part());
    let (namespace, name) = object.split_once('/').unwrap_or(("", object));
    n.authorize(&Attributes {
        user: User::new("system:node:n1", &["system:nodes"]),
        verb: verb.into(),
        target: What::Resource {
            group,
            version: "v1".into(),
            resource,
            subresource,
            namespace: namespace.into(),
            name: name.into(),
        },
        fields: Selector::parse(fields).expect("a selector"),
        ..Attributes::default()
    })
}

fn put(n: &mut NodeAuthorizer, source: Source, namespace: &str, name: &str, object: serde_json::Value) {
    n.graph.apply(source, namespace, name, Some(object.to_string().as_bytes()));
}

fn secret(name: &str) -> serde_json::Value {
    json!({"name": "c", "env": [{"name": "E", "valueFrom": {"secretKeyRef": {"name": name, "key": "k"}}}]})
}

fn pod(node: &str, suffix: &str) -> serde_json::Value {
    let named = |n: &str| format!("{n}-{suffix}");
    json!({
        "spec": {
            "nodeName": node,
            "serviceAccountName": named("account"),
            "containers": [secret(&named("env"))],
            "volumes": [
                {"name": "m", "configMap": {"name": named("map")}},
                {"name": "c", "persistentVolumeClaim": {"claimName": named("claim")}},
                {"name": "e", "ephemeral": {"volumeClaimTemplate": {}}},
                {"name": "f", "cephfs": {"secretRef": {"name": named("ceph")}}},
                {"name": "t", "projected": {"sources": [{"secret": {"name": named("projected")}}]}},
            ],
            "resourceClaims": [
                {"name": "own", "resourceClaimName": named("device")},
                {"name": "made", "resourceClaimTemplateName": "template"},
            ],
        },
        "status": {"resourceClaimStatuses": [{"name": "made", "resourceClaimName": named("made")}],
            "extendedResourceClaimStatus": {"resourceClaimName": named("extended")}},
    })
}

fn filled() -> NodeAuthorizer {
    let mut n = authorizer();
    put(&mut n, Source::Pod, "ns", "p", pod("n1", "one"));
    put(&mut n, Source::Pod, "ns", "q", pod("n2", "two"));
    for which in ["one", "two"] {
        let csi = json!({"driver": "d", "nodeStageSecretRef": {"namespace": "drivers", "name": format!("stage-{which}")},
            "controllerPublishSecretRef": {"namespace": "drivers", "name": format!("controller-{which}")}});
        let claim = json!({"namespace": "ns", "name": format!("claim-{which}")});
        let volume = json!({"spec": {"claimRef": claim, "csi": csi}});
        put(&mut n, Source::PersistentVolume, "", &format!("volume-{which}"), volume);
    }
    let of_node = |node: &str| json!({"spec": {"nodeName": node}});
    for (name, node) in [("one", "n1"), ("two", "n2")] {
        put(&mut n, Source::VolumeAttachment, "", name, of_node(node));
        put(&mut n, Source::ResourceSlice, "", name, of_node(node));
        put(&mut n, Source::PodCertificateRequest, "ns", name, of_node(node));
    }
    n
}

#[test]
fn nodes_reach_what_their_pods_refer_to() {
    let n = filled();
    let related: [(&str, &str, &str); 16] = [
        ("get", "/secrets", "ns/env-"),
        ("list", "/secrets", "ns/env-"),
        ("watch", "/secrets", "ns/projected-"),
        ("get", "/secrets", "ns/ceph-"),
        ("get", "/secrets", "drivers/stage-"),
        ("get", "/configmaps", "ns/map-"),
        ("get", "/persistentvolumeclaims", "ns/claim-"),
        ("patch", "/persistentvolumeclaims/status", "ns/claim-"),
        ("get", "/persistentvolumes", "volume-"),
        ("get", "/serviceaccounts", "ns/account-"),
        ("create", "/serviceaccounts/token", "ns/account-"),
        ("get", "resource.k8s.io/resourceclaims", "ns/device-"),
        ("get", "resource.k8s.io/resourceclaims", "ns/made-"),
        ("get", "resource.k8s.io/resourceclaims", "ns/extended-"),
        ("get", "storage.k8s.io/volumeattachments", ""),
        ("get", "certificates.k8s.io/podcertificaterequests", "ns/"),
    ];
    for (verb, what, object) in related {
        for (which, want) in [("one", true), ("two", false)] {
            let got = ask(&n, verb, what, &format!("{object}{which}"), "");
            assert_eq!(got.allowed(), want, "{verb} {what} {object}{which}");
            let why = if want { "" } else { "no relationship found between node 'n1' and this object" };
            assert_eq!(got.reason(), why, "{verb} {what} {object}{which}");
        }
    }
    assert!(ask(&n, "get", "/persistentvolumeclaims", "ns/p-e", "").allowed());
    assert!(!ask(&n, "get", "/secrets", "drivers/controller-one", "").allowed());
    assert!(!ask(&n, "get", "/secrets", "other/env-one", "").allowed());
}

#[test]
fn verbs_and_selectors_are_upstreams() {
    let n = filled();
    let (leases, csi, slices) =
        ("coordination.k8s.io/leases", "storage.k8s.io/csinodes", "resource.k8s.io/resourceslices");
    let requests = "certificates.k8s.io/podcertificaterequests";
    let cases: &[(&str, &str, &str, &str, bool)] = &[
        ("list", "/secrets", "ns/", "", false),
        ("update", "/secrets", "ns/env-one", "", false),
        ("list", "/persistentvolumeclaims", "ns/claim-one", "", false),
        ("get", "/persistentvolumeclaims/status", "ns/claim-one", "", false),
        ("list", "/persistentvolumes", "volume-one", "", false),
        ("list", "/serviceaccounts", "ns/account-one", "", false),
        ("create", "/serviceaccounts/token", "ns/other", "", false),
        // Nodes.
        ("get", "/nodes", "n1", "", true),
        ("watch", "/nodes", "n1", "metadata.name=n1", true),
        ("list", "/nodes", "", "", false),
        ("get", "/nodes", "n2", "", false),
        ("patch", "/nodes/status", "n1", "", true),
        ("create", "/nodes", "", "", true),
        ("delete", "/nodes", "n1", "", false),
        ("get", "/nodes/proxy", "n1", "", false),
        // Pods.
        ("get", "/pods", "ns/p", "", true),
        ("get", "/pods", "ns/q", "", false),
        ("get", "/pods/log", "ns/p", "", false),
        ("list", "/pods", "", "", false),
        ("list", "/pods", "", "spec.nodeName=n1", true),
        ("watch", "/pods", "", "spec.nodeName=n1,status.phase!=Failed", true),
        ("list", "/pods", "", "spec.nodeName=n2", false),
        ("list", "/pods", "", "spec.nodeName!=n1", false),
        ("list", "/pods", "", "status.phase=n1", false),
        ("watch", "/pods", "ns/p", "metadata.name=p", true),
        ("watch", "/pods", "ns/q", "metadata.name=q", false),
        ("deletecollection", "/pods", "ns/", "spec.nodeName=n1", false),
        ("delete", "/pods", "ns/q", "", true),
        ("patch", "/pods", "ns/p", "", false),
        ("patch", "/pods/status", "ns/p", "", true),
        ("create", "/pods/eviction", "ns/p", "", true),
        ("create", "/pods/binding", "ns/p", "", false),
        // Leases and CSINodes.
        ("update", leases, "kube-node-lease/n1", "", true),
        ("update", leases, "kube-node-lease/n2", "", false),
        ("create", leases, "kube-node-lease/", "", true),
        ("get", leases, "kube-system/n1", "", false),
        ("list", leases, "kube-node-lease/", "", false),
        ("patch", csi, "n1", "", true),
        ("patch", csi, "n2", "", false),
        ("list", csi, "", "", false),
        ("patch", "storage.k8s.io/csinodes/status", "n1", "", false),
        // Device slices and certificate requests.
        ("create", slices, "", "", true),
        ("update", slices, "one", "", true),
        ("update", slices, "two", "", false),
        ("list", slices, "", "", false),
        ("watch", slices, "", "nodeName=n1", true),
        ("deletecollection", slices, "", "nodeName=n2", false),
        ("create", requests, "ns/", "", true),
        ("list", requests, "ns/", "spec.nodeName=n1", true),
        ("list", requests, "ns/", "", false),
        ("delete", requests, "ns/one", "", false),
        ("update", "certificates.k8s.io/podcertificaterequests/status", "ns/one", "", false),
        // The rest is the role's.
        ("list", "/services", "", "", true),
        ("list", "certificates.k8s.io/clustertrustbundles", "", "", true),
        ("create", "events.k8s.io/events", "ns/", "", true),
        ("list", "discovery.k8s.io/endpointslices", "", "", false),
        ("delete", "apps/deployments", "ns/d", "", false),
    ];
    for (verb, what, object, fields, want) in cases {
        let got = ask(&n, verb, what, object, fields);
        assert_eq!(got.allowed(), *want, "{verb} {what} {object} {fields}: {}", got.reason());
    }
}

#[test]
fn only_nodes_with_a_name_are_answered() {
    let n = filled();
    let mut a = Attributes {
        user: User::new("system:node:n1", &["other"]),
        verb: "list".into(),
        target: What::Resource {
            group: String::new(),
            version: "v1".into(),
            resource: "services".into(),
            subresource: String::new(),
            namespace: String::new(),
            name: String::new(),
        },
        ..Attributes::default()
    };
    assert_eq!(n.authorize(&a), Decision::NoOpinion(String::new()));
    a.user = User::new("system:node:", &["system:nodes"]);
    let why = "unknown node for user \"system:node:\"";
    assert_eq!(n.authorize(&a), Decision::NoOpinion(why.to_owned()));
    a.user = User::new("system:node:n9", &["system:nodes"]);
    assert!(n.authorize(&a).allowed());
}

#[test]
fn what_pods_gain_later_counts_and_what_is_gone_does_not() {
    let mut n = authorizer();
    let reads = |n: &NodeAuthorizer, what: &str, object: &str| ask(n, "get", what, object, "").allowed();
    let mut pod = json!({"spec": {"containers": [secret("s")], "resourceClaims": [
        {"name": "made", "resourceClaimTemplateName": "template"}]}});
    put(&mut n, Source::Pod, "ns", "p", pod.clone());
    assert!(!reads(&n, "/secrets", "ns/s"), "not bound yet");
    pod["spec"]["nodeName"] = "n1".into();
    put(&mut n, Source::Pod, "ns", "p", pod.clone());
    assert!(reads(&n, "/secrets", "ns/s"));
    pod["spec"]["ephemeralContainers"] = json!([secret("later")]);
    pod["status"]["resourceClaimStatuses"] = json!([{"name": "made", "resourceClaimName": "c"}]);
    put(&mut n, Source::Pod, "ns", "p", pod.clone());
    assert!(reads(&n, "/secrets", "ns/later"));
    assert!(reads(&n, "resource.k8s.io/resourceclaims", "ns/c"));
    pod["status"] = json!({});
    put(&mut n, Source::Pod, "ns", "p", pod);
    assert!(!reads(&n, "resource.k8s.io/resourceclaims", "ns/c"));
    n.graph.apply(Source::Pod, "ns", "p", None);
    assert!(n.graph.is_empty(), "{:?}", n.graph);

    let mut n = filled();
    n.graph.apply(Source::PersistentVolume, "", "volume-one", None);
    assert!(!reads(&n, "/persistentvolumes", "volume-one"));
    assert!(!reads(&n, "/secrets", "drivers/stage-one"));
    n.graph.apply(Source::VolumeAttachment, "", "one", None);
    assert!(!reads(&n, "storage.k8s.io/volumeattachments", "one"));
}

#[test]
fn mirror_pods_give_their_node_nothing() {
    let mut n = authorizer();
    let mut mirror = pod("n1", "one");
    mirror["metadata"] = json!({"annotations": {MIRROR: "x"}});
    put(&mut n, Source::Pod, "ns", "p", mirror);
    assert!(ask(&n, "get", "/pods", "ns/p", "").allowed());
    for (what, object) in [
        ("/secrets", "ns/env-one"),
        ("/configmaps", "ns/map-one"),
        ("/persistentvolumeclaims", "ns/claim-one"),
        ("resource.k8s.io/resourceclaims", "ns/device-one"),
        ("resource.k8s.io/resourceclaims", "ns/extended-one"),
        ("/serviceaccounts", "ns/account-one"),
    ] {
        assert!(!ask(&n, "get", what, object, "").allowed(), "{what} {object}");
    }
}

#[test]
fn the_graphs_keys_are_those_of_its_kinds() {
    for (prefix, source) in Source::ALL {
        assert!(kinds::all().iter().any(|k| k.is_stored() && k.prefix() == prefix), "{source:?}");
    }
}
