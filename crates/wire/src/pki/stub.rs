//! Requests for certificates that name nobody: all that one says is a key, and that its maker has it.

use aws_lc_rs::signature::Ed25519KeyPair;
use rcgen::{
    CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
    PKCS_ECDSA_P521_SHA512, PKCS_ED25519, PKCS_RSA_SHA256, RsaKeySize,
};
use rustls_pki_types::PrivatePkcs8KeyDer;

/// A new private key and the request that is signed with it.
pub struct Stub {
    pub key_pem: String,
    pub request_der: Vec<u8>,
}

/// Makes a key of one of the types that pods ask for (`ECDSAP256`, ...), and its request. RSA keys take a second.
///
/// # Errors
/// For types that nobody knows.
// k8s: pkg/kubelet/podcertificate/podcertificatemanager.go generateKeyAndProof
pub fn stub_request(key_type: &str) -> Result<Stub, String> {
    let made = match key_type {
        "RSA3072" => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_3072),
        "RSA4096" => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_4096),
        "ECDSAP256" => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
        "ECDSAP384" => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
        "ECDSAP521" => KeyPair::generate_for(&PKCS_ECDSA_P521_SHA512),
        "ED25519" => ed25519()?,
        other => return Err(format!("unknown key type {other:?}")),
    };
    let key = made.map_err(|e| format!("a key of type {key_type} cannot be made: {e}"))?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let request = params.serialize_request(&key).map_err(|e| format!("a request cannot be made: {e}"))?;
    Ok(Stub { key_pem: key.serialize_pem(), request_der: request.der().to_vec() })
}

/// In the older form without the public key, which all libraries read.
fn ed25519() -> Result<Result<KeyPair, rcgen::Error>, String> {
    let fail = |_| "a key of type ED25519 cannot be made".to_owned();
    let der = Ed25519KeyPair::generate().and_then(|k| k.to_pkcs8v1()).map_err(fail)?;
    Ok(KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(der.as_ref()), &PKCS_ED25519))
}

#[cfg(test)]
mod tests {
    use x509_parser::certification_request::X509CertificationRequest;
    use x509_parser::prelude::FromDer;

    use super::*;

    #[test]
    fn requests_say_nothing_but_the_key() {
        for (key_type, key_bytes) in
            [("ECDSAP256", 65), ("ECDSAP384", 97), ("ECDSAP521", 133), ("ED25519", 32), ("RSA3072", 398)]
        {
            let stub = stub_request(key_type).unwrap();
            let (rest, request) = X509CertificationRequest::from_der(&stub.request_der).unwrap();
            assert!(rest.is_empty(), "{key_type}");
            let info = &request.certification_request_info;
            assert_eq!(info.subject.iter().count(), 0, "{key_type}");
            assert_eq!(request.requested_extensions().map(Iterator::count), None, "{key_type}");
            assert_eq!(info.subject_pki.subject_public_key.data.len(), key_bytes, "{key_type}");
            // The key in the file is the key in the request.
            let key = KeyPair::from_pem(&stub.key_pem).unwrap();
            assert_eq!(key.public_key_raw(), &*info.subject_pki.subject_public_key.data, "{key_type}");
            assert!(stub.key_pem.starts_with("-----BEGIN PRIVATE KEY-----\n"), "{key_type}");
        }
        assert_eq!(stub_request("DSA").err().unwrap(), "unknown key type \"DSA\"");
    }
}
