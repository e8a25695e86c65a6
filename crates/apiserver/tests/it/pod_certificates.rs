//! A pod's certificate request and its answer, as a signer gives it.

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use serde_json::{Value as Json, json};

use crate::harness::World;
use crate::{pki, pods};

const PLURAL: &str = "certificates.k8s.io/podcertificaterequests";

/// The status with a certificate over a key for a day from now on (2026-01-02T03:04:05Z).
fn issued(key: &KeyPair) -> Json {
    let mut p = CertificateParams::default();
    let now = date_time_ymd(2026, 1, 2) + std::time::Duration::from_secs(3 * 3600 + 4 * 60 + 5);
    (p.not_before, p.not_after) = (now, now + std::time::Duration::from_secs(86_400));
    let condition = json!({"type": "Issued", "status": "True", "reason": "R", "message": "m",
        "lastTransitionTime": "2026-01-02T03:04:05Z"});
    json!({"status": {
        "conditions": [condition], "certificateChain": p.self_signed(key).unwrap().pem(),
        "notBefore": "2026-01-02T03:04:05Z", "notAfter": "2026-01-03T03:04:05Z",
        "beginRefreshAt": "2026-01-02T15:00:00Z",
    }})
}

#[test]
fn a_certificate_is_put_in_once_and_in_time() {
    let w = World::new();
    let key = KeyPair::generate().unwrap();
    for name in ["a", "b"] {
        let request = json!({"metadata": {"name": name}, "spec": pki::pod_request_of("a.b/c", &key)});
        w.create(PLURAL, "default", &request).expect(201);
    }
    let put =
        |name: &str, status: &Json| w.patch(PLURAL, "default", &format!("{name}/status"), "merge", status);
    let status = issued(&key);
    let another = put("a", &issued(&KeyPair::generate().unwrap())).expect(422).message();
    assert!(another.ends_with("leaf certificate was not issued to the requested public key"), "{another}");
    w.pass(299);
    put("a", &status).expect(200);
    assert_eq!(
        w.get(PLURAL, "default", "a").at("/status/certificateChain"),
        status["status"]["certificateChain"]
    );
    w.pass(1);
    let late = put("b", &status).expect(422).message();
    assert!(late.ends_with("must be set to within 5 minutes of kube-apiserver's current time"), "{late}");
    // What was put in stays, whenever somebody looks at it again.
    put("a", &status).expect(200);
    let again =
        put("a", &json!({"status": {"beginRefreshAt": "2026-01-02T16:00:00Z"}})).expect(422).message();
    assert!(again.ends_with("immutable after PodCertificateRequest is issued, denied, or failed"), "{again}");
    w.patch(PLURAL, "default", "a", "merge", &json!({"spec": {"podName": "q"}})).expect(422);
}

/// What the node agent does for the volumes of its pods.
#[test]
fn a_kubelet_asks_for_its_own_pods_and_reads_trust_bundles() {
    let w = World::new();
    pods::account(&w);
    let [kubelet, other] = ["n1", "n2"].map(|name| {
        pods::node(&w, name);
        w.by(&format!("system:node:{name}"), &["system:nodes"])
    });
    let source = json!({"podCertificate": {"signerName": "a.b/c", "keyType": "ED25519", "keyPath": "k"}});
    let pod = json!({"metadata": {"name": "p"}, "spec": {
        "nodeName": "n1", "serviceAccountName": "default", "containers": [{"name": "c", "image": "i"}],
        "volumes": [{"name": "v", "projected": {"sources": [source]}}]}});
    w.create("pods", "default", &pod).expect(201);
    let mut spec = pki::pod_request("a.b/c");
    spec["nodeName"] = "n1".into();
    for (field, plural, namespace, name) in [
        ("podUID", "pods", "default", "p"),
        ("serviceAccountUID", "serviceaccounts", "default", "default"),
        ("nodeUID", "nodes", "", "n1"),
    ] {
        spec[field] = kubelet.get(plural, namespace, name).expect(200).at("/metadata/uid").into();
    }
    let ask = |who: &World, change: Json| {
        let mut request = json!({"metadata": {"generateName": "req-"}, "spec": spec.clone()});
        request["spec"].as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        who.create(PLURAL, "default", &request)
    };
    let name = ask(&kubelet, json!({})).expect(201).at("/metadata/name");
    ask(&kubelet, json!({"signerName": "a.b/d"})).expect(403);
    ask(&other, json!({})).expect(403);
    kubelet.get(PLURAL, "default", &name).expect(200);
    other.get(PLURAL, "default", &name).expect(403);
    kubelet.patch(PLURAL, "default", &format!("{name}/status"), "merge", &json!({"status": {}})).expect(403);
    let plural = "certificates.k8s.io/clustertrustbundles";
    let bundle = json!({"metadata": {"name": "a.b:c:x", "labels": {"l": "v"}},
        "spec": {"signerName": "a.b/c", "trustBundle": pki::authority()}});
    w.create(plural, "", &bundle).expect(201);
    kubelet.get(plural, "", "a.b:c:x").expect(200);
    for (labels, count) in [("l=v", 1), ("l=w", 0), ("", 1)] {
        let query = format!("fieldSelector=spec.signerName=a.b/c&labelSelector={labels}&limit=16");
        let found = kubelet.list(plural, "", &query).expect(200).json();
        assert_eq!(found["items"].as_array().unwrap().len(), count, "{labels}");
    }
    kubelet.create(plural, "", &bundle).expect(403);
}
