//! What a certificate says. It must never trust it: the caller decides.

use std::net::IpAddr;
use std::path::Path;

use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate, X509Name};

use super::PkiError;

/// The parts of a certificate that decide whether it can be used again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    pub common_name: String,
    /// The first one.
    pub organization: String,
    /// DNS names and addresses, sorted, each once.
    pub names: Vec<String>,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    /// The raw key, without its algorithm.
    pub public_key: Vec<u8>,
    pub subject_key_id: Vec<u8>,
    pub authority_key_id: Vec<u8>,
}

/// The user that a verified client certificate (DER) stands for: its common name, and its organizations as groups.
#[must_use]
pub fn user_of_certificate(der: &[u8]) -> Option<meta::User> {
    let (_, cert) = X509Certificate::from_der(der).ok()?;
    let name = cert.subject().iter_common_name().next()?.as_str().ok()?;
    let groups: Vec<&str> = cert.subject().iter_organization().filter_map(|o| o.as_str().ok()).collect();
    Some(meta::User::new(name, &groups))
}

/// Reads the first certificate of PEM text.
pub(super) fn facts(path: &Path, pem: &str, advice: &'static str) -> Result<Facts, PkiError> {
    let damaged = |why: String| PkiError::Damaged { path: path.to_owned(), why, advice };
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|e| damaged(e.to_string()))?;
    read(&der).map_err(damaged)
}

pub(super) fn read(der: &[u8]) -> Result<Facts, String> {
    let (_, cert) = X509Certificate::from_der(der).map_err(|e| e.to_string())?;
    let time = |t: x509_parser::time::ASN1Time| {
        Timestamp::from_second(t.timestamp()).map_err(|_| "its time is out of range".to_owned())
    };
    let mut facts = Facts {
        common_name: first(cert.subject().iter_common_name()),
        organization: organization(cert.subject()),
        names: Vec::new(),
        not_before: time(cert.validity().not_before)?,
        not_after: time(cert.validity().not_after)?,
        public_key: cert.public_key().subject_public_key.data.to_vec(),
        subject_key_id: Vec::new(),
        authority_key_id: Vec::new(),
    };
    for extension in cert.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => facts.subject_key_id = id.0.to_vec(),
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                facts.authority_key_id = id.key_identifier.as_ref().map(|k| k.0.to_vec()).unwrap_or_default();
            }
            ParsedExtension::SubjectAlternativeName(san) => {
                facts.names = san.general_names.iter().filter_map(name).collect();
            }
            _ => {}
        }
    }
    facts.names.sort();
    facts.names.dedup();
    Ok(facts)
}

fn organization(subject: &X509Name<'_>) -> String {
    first(subject.iter_organization())
}

fn first<'a>(mut values: impl Iterator<Item = &'a x509_parser::x509::AttributeTypeAndValue<'a>>) -> String {
    values.next().and_then(|v| v.as_str().ok()).unwrap_or_default().to_owned()
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(n) => Some((*n).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|b| IpAddr::from(b).to_string()),
            16 => <[u8; 16]>::try_from(*bytes).ok().map(|b| IpAddr::from(b).to_string()),
            _ => None,
        },
        _ => None,
    }
}
