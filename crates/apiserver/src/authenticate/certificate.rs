//! Client certificates: the common name is the user, every organization is a group. Wire has verified the
//! chain; this must never decide about trust.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use meta::{Credentials, Identity, Proof, Request, Status, User};
use parking_lot::Mutex;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::oid_registry::{OID_X509_COMMON_NAME, OID_X509_ORGANIZATION_NAME};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::X509Name;

use super::union::{Authenticator, Finding, known};
use crate::request::Reply;

/// Most certificates whose user is remembered.
const LIMIT_KNOWN: usize = 1024;

/// Reads each certificate once.
#[derive(Default)]
pub struct Certificates(Mutex<HashMap<Bytes, Arc<Identity>>>);

impl Certificates {
    fn identity(&self, der: &Bytes) -> Result<Arc<Identity>, String> {
        if let Some(known) = self.0.lock().get(der) {
            return Ok(known.clone());
        }
        let found = known(user(der).map_err(|e| e.message)?, Proof::Certificate);
        let mut all = self.0.lock();
        if all.len() >= LIMIT_KNOWN {
            all.clear();
        }
        all.insert(der.clone(), found.clone());
        Ok(found)
    }
}

impl Authenticator for Certificates {
    fn authenticate<'a>(&'a self, request: &'a Request) -> Reply<'a, Finding> {
        Reply::now(match &request.credentials {
            Credentials::Certificate(der) => self.identity(der).map(Some),
            _ => Ok(None),
        })
    }
}

/// The user that a DER certificate names.
///
/// # Errors
/// 401 when it cannot be read or has no common name.
// k8s: staging/src/k8s.io/apiserver/pkg/authentication/request/x509/x509.go CommonNameUserConversion
pub fn user(der: &[u8]) -> Result<User, Status> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_| Status::unauthorized())?;
    let subject = subject(certificate.subject()).map_err(|_| Status::unauthorized())?;
    if subject.common_name.is_empty() {
        return Err(Status::unauthorized());
    }
    let groups: Vec<&str> = subject.organizations.iter().map(String::as_str).collect();
    Ok(User::new(&subject.common_name, &groups))
}

/// Whom a certificate, or a request for one, names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// The last one; empty when there is none.
    pub common_name: String,
    pub organizations: Vec<String>,
}

/// Reads a name.
///
/// # Errors
/// When a part of it is no text, or not of the type that it says: it could be anything.
fn subject(name: &X509Name<'_>) -> Result<Subject, String> {
    let mut out = Subject::default();
    for part in name.iter_attributes() {
        let value = part.attr_value();
        let text = stdx::asn1::text(value.tag().0, value.data)
            .ok_or_else(|| "x509: invalid RDNSequence: invalid attribute value".to_owned())?;
        if *part.attr_type() == OID_X509_COMMON_NAME {
            out.common_name = text;
        } else if *part.attr_type() == OID_X509_ORGANIZATION_NAME {
            out.organizations.push(text);
        }
    }
    Ok(out)
}

/// Whom a request in PEM names. Its signature is not looked at.
///
/// # Errors
/// Why it is no request.
// k8s: pkg/apis/certificates/helpers.go ParseCSR
pub fn subject_of_request(pem: &[u8]) -> Result<Subject, String> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem)
        .ok()
        .filter(|(_, pem)| pem.label == "CERTIFICATE REQUEST")
        .ok_or_else(|| "PEM block type must be CERTIFICATE REQUEST".to_owned())?;
    let (_, request) = X509CertificationRequest::from_der(&pem.contents).map_err(|e| e.to_string())?;
    subject(&request.certification_request_info.subject)
}
