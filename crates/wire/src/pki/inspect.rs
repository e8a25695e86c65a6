//! What a certificate says. It must never trust it: the caller decides.

use std::net::IpAddr;
use std::path::Path;

use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::oid_registry::{OID_X509_COMMON_NAME, OID_X509_ORGANIZATION_NAME};
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
    let subject = subject(cert.subject()).ok().filter(|s| !s.common_name.is_empty())?;
    let groups: Vec<&str> = subject.organizations.iter().map(String::as_str).collect();
    Some(meta::User::new(&subject.common_name, &groups))
}

/// Whom a name stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Subject {
    /// The last one, as everywhere; empty when there is none.
    pub common_name: String,
    pub organizations: Vec<String>,
    /// How many attributes the name has.
    pub parts: usize,
}

/// Reads a name; says why when a part of it is no text, or not of the type that it says.
pub(super) fn subject(name: &X509Name<'_>) -> Result<Subject, String> {
    let mut out = Subject::default();
    for part in name.iter_attributes() {
        let value = part.attr_value();
        let text = stdx::asn1::text(value.tag().0, value.data)
            .ok_or_else(|| "x509: invalid RDNSequence: invalid attribute value".to_owned())?;
        out.parts += 1;
        if *part.attr_type() == OID_X509_COMMON_NAME {
            out.common_name = text;
        } else if *part.attr_type() == OID_X509_ORGANIZATION_NAME {
            out.organizations.push(text);
        }
    }
    Ok(out)
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
    let subject = subject(cert.subject())?;
    let mut facts = Facts {
        common_name: subject.common_name,
        organization: subject.organizations.into_iter().next().unwrap_or_default(),
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
