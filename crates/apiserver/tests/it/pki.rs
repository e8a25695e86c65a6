//! Certificates and requests for them, as tests need them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, IsCa, KeyPair};
use serde_json::{Value as Json, json};

/// The certificate of an authority in PEM.
pub fn authority() -> String {
    let mut p = CertificateParams::default();
    p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    p.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
}

/// The spec of a CertificateSigningRequest.
pub fn signing_request() -> Json {
    let made = CertificateParams::default().serialize_request(&KeyPair::generate().unwrap()).unwrap();
    let request = STANDARD.encode(made.pem().unwrap());
    json!({"request": request, "signerName": "example.com/s", "usages": ["client auth"]})
}

/// The spec of a PodCertificateRequest over a new key.
pub fn pod_request(signer: &str) -> Json {
    pod_request_of(signer, &KeyPair::generate().unwrap())
}

/// The same over a given key.
pub fn pod_request_of(signer: &str, key: &KeyPair) -> Json {
    let mut stub = CertificateParams::default();
    stub.distinguished_name = DistinguishedName::new();
    let stub = stub.serialize_request(key).unwrap();
    json!({"signerName": signer, "podName": "p", "podUID": "1", "serviceAccountName": "default",
        "serviceAccountUID": "2", "nodeName": "n", "nodeUID": "3", "maxExpirationSeconds": 86400,
        "stubPKCS10Request": STANDARD.encode(stub.der())})
}
