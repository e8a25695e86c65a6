//! The cluster's authority behind the controllers' view of it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use controllers::certificates::{Authority, Wanted};
use jiff::Timestamp;
use wire::pki::Signer;

/// Certificate and key of the authority.
struct Files(Signer);

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority")
    }
}

/// The authority in a certificate's and a key's file.
///
/// # Errors
/// When they cannot be read.
pub fn from_files(cert: &Path, key: &Path) -> Result<Arc<dyn Authority>> {
    let read = |path: &Path| std::fs::read_to_string(path).with_context(|| path.display().to_string());
    let signer = Signer::from_pem(&read(cert)?, &read(key)?);
    Ok(Arc::new(Files(signer.map_err(|e| anyhow!("{}: {e}", cert.display()))?)))
}

impl Authority for Files {
    fn read(&self, request_pem: &str) -> Result<Wanted, String> {
        let w = wire::pki::read_request(request_pem)?;
        Ok(Wanted {
            common_name: w.common_name,
            organizations: w.organizations,
            dns_names: w.dns_names,
            ip_addresses: w.ip_addresses,
            other_names: w.other_names,
        })
    }

    fn sign(
        &self,
        request_pem: &str,
        usages: &[String],
        life: Duration,
        seed: &str,
        now: Timestamp,
    ) -> Result<String, String> {
        self.0.sign(request_pem, usages, life, seed, now)
    }
}
