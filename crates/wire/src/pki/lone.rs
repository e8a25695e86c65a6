//! A certificate of nobody's authority, as upstream's components make for their own servers when they are given none.
// k8s: staging/src/k8s.io/client-go/util/cert/cert.go GenerateSelfSignedCertKey

use std::net::IpAddr;

use jiff::Timestamp;
use rcgen::{DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType};

use super::{LEAF_LIFE, Pair, PkiError, params};

/// A self-signed server certificate for `host` and the addresses, valid for a year from `now` on. It is not kept.
///
/// # Errors
/// When `host` cannot stand in a certificate.
pub fn self_signed(host: &str, addresses: &[IpAddr], now: Timestamp) -> Result<Pair, PkiError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut p = params(now, LEAF_LIFE);
    p.distinguished_name.push(DnType::CommonName, format!("{host}@{}", now.as_second()));
    p.subject_alt_names.push(SanType::DnsName(host.try_into()?));
    p.subject_alt_names.extend(addresses.iter().map(|a| SanType::IpAddress(*a)));
    p.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(Pair { cert_pem: p.self_signed(&key)?.pem(), key_pem: key.serialize_pem() })
}
