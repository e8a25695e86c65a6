//! A pod's certificate request and its answer, as a signer gives it.

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use serde_json::{Value as Json, json};

use crate::harness::World;
use crate::pki;

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
