//! Client certificates: the common name is the user, every organization is a group. Wire has verified the
//! chain; this must never decide about trust.

use std::collections::HashMap;

use bytes::Bytes;
use meta::{Status, User};
use parking_lot::Mutex;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Most certificates whose user is remembered.
const LIMIT_KNOWN: usize = 1024;

/// Users of certificates that were read before.
#[derive(Default)]
pub struct Known(Mutex<HashMap<Bytes, User>>);

impl Known {
    /// As [`user`], reading each certificate once.
    ///
    /// # Errors
    /// 401 as [`user`].
    pub fn user(&self, der: &Bytes) -> Result<User, Status> {
        if let Some(known) = self.0.lock().get(der) {
            return Ok(known.clone());
        }
        let found = user(der)?;
        let mut known = self.0.lock();
        if known.len() >= LIMIT_KNOWN {
            known.clear();
        }
        known.insert(der.clone(), found.clone());
        Ok(found)
    }
}

/// The user that a DER certificate names.
///
/// # Errors
/// 401 when it cannot be read or has no common name.
// k8s: staging/src/k8s.io/apiserver/pkg/authentication/request/x509/x509.go CommonNameUserConversion
pub fn user(der: &[u8]) -> Result<User, Status> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_| Status::unauthorized())?;
    let subject = certificate.subject();
    let name = subject
        .iter_common_name()
        .filter_map(|a| a.as_str().ok())
        .last()
        .filter(|n| !n.is_empty())
        .ok_or_else(Status::unauthorized)?;
    let groups: Vec<&str> = subject.iter_organization().filter_map(|a| a.as_str().ok()).collect();
    Ok(User::new(name, &groups))
}
