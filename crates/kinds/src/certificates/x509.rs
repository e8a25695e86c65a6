//! What a validation sees of certificates and of requests for them. Nothing here decides whom to trust.
// As Go's crypto/x509 reads them, in whose words upstream says what is wrong.

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use meta::pem::{self, Block};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521, OID_PKCS1_RSAENCRYPTION,
    OID_PKCS1_SHA1WITHRSA, OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA, OID_PKCS1_SHA512WITHRSA,
    OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384, OID_SIG_ECDSA_WITH_SHA512, OID_SIG_ED25519,
};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use x509_parser::public_key::PublicKey;
use x509_parser::x509::{AlgorithmIdentifier, SubjectPublicKeyInfo};

/// The label of certificates.
pub const CERTIFICATE: &str = "CERTIFICATE";
const REQUEST: &str = "CERTIFICATE REQUEST";

/// The kinds of keys that upstream knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    Rsa { bits: usize },
    P256,
    P384,
    P521,
    Ed25519,
    Other,
}

/// A public key. Two are the same key when they are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub kind: KeyKind,
    bytes: Vec<u8>,
}

impl Key {
    fn of(info: &SubjectPublicKeyInfo<'_>) -> Self {
        let algorithm = &info.algorithm.algorithm;
        let kind = if *algorithm == OID_PKCS1_RSAENCRYPTION {
            match info.parsed() {
                Ok(PublicKey::RSA(key)) => KeyKind::Rsa { bits: key.key_size() },
                _ => KeyKind::Other,
            }
        } else if *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
            curve(info)
        } else if *algorithm == OID_SIG_ED25519 {
            KeyKind::Ed25519
        } else {
            KeyKind::Other
        };
        Key { kind, bytes: info.subject_public_key.data.to_vec() }
    }
}

fn curve(info: &SubjectPublicKeyInfo<'_>) -> KeyKind {
    let Some(Ok(oid)) = info.algorithm.parameters.as_ref().map(|p| p.as_oid()) else { return KeyKind::Other };
    let known =
        [(OID_EC_P256, KeyKind::P256), (OID_NIST_EC_P384, KeyKind::P384), (OID_NIST_EC_P521, KeyKind::P521)];
    known.into_iter().find(|(o, _)| *o == oid).map_or(KeyKind::Other, |(_, kind)| kind)
}

/// What a certificate says.
#[derive(Clone, Debug)]
pub struct Certificate {
    pub key: Key,
    pub is_ca: bool,
    pub dns_names: Vec<String>,
    pub emails: Vec<String>,
    /// Seconds since 1970.
    pub not_before: i64,
    pub not_after: i64,
}

/// Reads one certificate in DER; `None` when it is none, or not alone.
#[must_use]
pub fn certificate(der: &[u8]) -> Option<Certificate> {
    let (rest, c) = X509Certificate::from_der(der).ok()?;
    if !rest.is_empty() {
        return None;
    }
    let is_ca = c.basic_constraints().ok()?.is_some_and(|b| b.value.ca);
    let (mut dns_names, mut emails) = (Vec::new(), Vec::new());
    for name in c.subject_alternative_name().ok()?.iter().flat_map(|s| &s.value.general_names) {
        match name {
            GeneralName::DNSName(n) => dns_names.push((*n).to_owned()),
            GeneralName::RFC822Name(n) => emails.push((*n).to_owned()),
            _ => {}
        }
    }
    let validity = c.validity();
    let (not_before, not_after) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    Some(Certificate { key: Key::of(c.public_key()), is_ca, dns_names, emails, not_before, not_after })
}

/// Reads a request in DER and verifies that it is signed with its own key, which is given.
///
/// # Errors
/// Why it is none, or not signed so.
pub fn request(der: &[u8]) -> Result<Key, String> {
    let (rest, request) = X509CertificationRequest::from_der(der).map_err(|e| format!("x509: {e}"))?;
    if !rest.is_empty() {
        return Err("asn1: syntax error: trailing data".to_owned());
    }
    let info = &request.certification_request_info;
    let key = Key::of(&info.subject_pki);
    let Some(algorithm) = algorithm(&request.signature_algorithm, key.kind) else {
        return Err("x509: cannot verify signature: algorithm unimplemented".to_owned());
    };
    UnparsedPublicKey::new(algorithm, &key.bytes).verify(info.raw, &request.signature_value.data).map_err(
        |_| match key.kind {
            KeyKind::Rsa { .. } => "crypto/rsa: verification error".to_owned(),
            KeyKind::Ed25519 => "x509: Ed25519 verification failure".to_owned(),
            _ => "x509: ECDSA verification failure".to_owned(),
        },
    )?;
    Ok(key)
}

/// The same of a request in PEM.
///
/// # Errors
/// Why it is none, or not signed with its own key.
// k8s: pkg/apis/certificates/helpers.go ParseCSR
pub fn pem_request(text: &str) -> Result<Key, String> {
    match pem::blocks(text).next() {
        Some(Block { label, contents, .. }) if label == REQUEST => request(&contents),
        _ => Err("PEM block type must be CERTIFICATE REQUEST".to_owned()),
    }
}

fn algorithm(
    of: &AlgorithmIdentifier<'_>,
    key: KeyKind,
) -> Option<&'static (dyn VerificationAlgorithm + 'static)> {
    let oid = &of.algorithm;
    let found: &'static dyn VerificationAlgorithm = match key {
        KeyKind::Rsa { .. } if *oid == OID_PKCS1_SHA1WITHRSA => {
            &signature::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY
        }
        KeyKind::Rsa { .. } if *oid == OID_PKCS1_SHA256WITHRSA => {
            &signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY
        }
        KeyKind::Rsa { .. } if *oid == OID_PKCS1_SHA384WITHRSA => &signature::RSA_PKCS1_2048_8192_SHA384,
        KeyKind::Rsa { .. } if *oid == OID_PKCS1_SHA512WITHRSA => {
            &signature::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY
        }
        KeyKind::Ed25519 if *oid == OID_SIG_ED25519 => &signature::ED25519,
        KeyKind::P256 if *oid == OID_SIG_ECDSA_WITH_SHA256 => &signature::ECDSA_P256_SHA256_ASN1,
        KeyKind::P256 if *oid == OID_SIG_ECDSA_WITH_SHA384 => &signature::ECDSA_P256_SHA384_ASN1,
        KeyKind::P256 if *oid == OID_SIG_ECDSA_WITH_SHA512 => &signature::ECDSA_P256_SHA512_ASN1,
        KeyKind::P384 if *oid == OID_SIG_ECDSA_WITH_SHA256 => &signature::ECDSA_P384_SHA256_ASN1,
        KeyKind::P384 if *oid == OID_SIG_ECDSA_WITH_SHA384 => &signature::ECDSA_P384_SHA384_ASN1,
        KeyKind::P384 if *oid == OID_SIG_ECDSA_WITH_SHA512 => &signature::ECDSA_P384_SHA512_ASN1,
        KeyKind::P521 if *oid == OID_SIG_ECDSA_WITH_SHA256 => &signature::ECDSA_P521_SHA256_ASN1,
        KeyKind::P521 if *oid == OID_SIG_ECDSA_WITH_SHA384 => &signature::ECDSA_P521_SHA384_ASN1,
        KeyKind::P521 if *oid == OID_SIG_ECDSA_WITH_SHA512 => &signature::ECDSA_P521_SHA512_ASN1,
        _ => return None,
    };
    Some(found)
}

/// What is wrong with certificates in PEM; nothing is fine.
///
/// # Errors
/// The first thing that is wrong.
// k8s: pkg/apis/certificates/validation/validation.go validateCertificate
pub fn certificates(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Ok(());
    }
    let mut blocks = 0;
    for block in pem::blocks(text) {
        if block.label != CERTIFICATE {
            let label = meta::field::quoted(&block.label);
            return Err(format!("only CERTIFICATE PEM blocks are allowed, found {label}"));
        }
        if block.has_headers {
            return Err("no PEM block headers are permitted".to_owned());
        }
        blocks += 1;
        let mut rest = block.contents.as_slice();
        if rest.is_empty() {
            return Err("found CERTIFICATE PEM block containing 0 certificates".to_owned());
        }
        while !rest.is_empty() {
            (rest, _) =
                X509Certificate::from_der(rest).map_err(|_| "x509: malformed certificate".to_owned())?;
        }
    }
    if blocks == 0 {
        return Err("must contain at least one CERTIFICATE PEM block".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rcgen::{
        CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512,
        PKCS_ED25519, PKCS_RSA_SHA256, PKCS_RSA_SHA512, RsaKeySize,
    };

    use super::*;

    #[test]
    fn requests_are_signed_with_their_own_key() {
        let pair = |a| KeyPair::generate_for(a).unwrap();
        let rsa = |a, size| KeyPair::generate_rsa_for(a, size).unwrap();
        let keys = [
            (pair(&PKCS_ECDSA_P256_SHA256), KeyKind::P256),
            (pair(&PKCS_ECDSA_P384_SHA384), KeyKind::P384),
            (pair(&PKCS_ECDSA_P521_SHA512), KeyKind::P521),
            (pair(&PKCS_ED25519), KeyKind::Ed25519),
            (rsa(&PKCS_RSA_SHA256, RsaKeySize::_2048), KeyKind::Rsa { bits: 2048 }),
            (rsa(&PKCS_RSA_SHA512, RsaKeySize::_3072), KeyKind::Rsa { bits: 3072 }),
        ];
        for (pair, kind) in keys {
            let made = CertificateParams::default().serialize_request(&pair).unwrap();
            let der = made.der().to_vec();
            assert_eq!(request(&der).map(|k| k.kind), Ok(kind));
            assert_eq!(pem_request(&made.pem().unwrap()).map(|k| k.kind), Ok(kind));
            // The signature is last.
            let mut forged = der.clone();
            *forged.last_mut().unwrap() ^= 1;
            assert!(request(&forged).unwrap_err().contains("verification"), "{kind:?}");
            assert!(request(&[der.as_slice(), &[0]].concat()).is_err());
            assert!(request(&der[..der.len() - 1]).is_err());
            let own = CertificateParams::default().self_signed(&pair).unwrap();
            assert_eq!(certificate(own.der()).map(|c| c.key.kind), Some(kind));
        }
    }
}
