//! The cluster's certificates and keys in one directory: made at first start, used again at the next, made
//! anew when they near their end, also in a running process, or no longer fit. It must never touch what it cannot read: that is an error to be
//! looked at by a person.
//!
//! ```text
//! <dir>/ca.crt, ca.key        the cluster's certificate authority (ECDSA P-256, 10 years)
//! <dir>/sa.pub, sa.key        signs service account tokens (ES256)
//! <dir>/<name>.crt, .key      one certificate each (1 year)
//! ```

mod files;
mod inspect;
mod lone;
mod request;
mod stub;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};

pub use inspect::{Facts, user_of_certificate};
pub use lone::self_signed;
pub use request::{Signer, Wanted, facts, make_request, new_key, public_key_hash, read_request};
pub use stub::{Stub, stub_request};

const DAY: u64 = 24 * 3600;
const CA_LIFE: Duration = Duration::from_secs(10 * 365 * DAY);
const LEAF_LIFE: Duration = Duration::from_secs(365 * DAY);
/// A certificate with less than this left, which is when two thirds of its life are over, is made anew.
const RENEW_BEFORE: Duration = Duration::from_secs(120 * DAY);
/// Clocks of other machines may be behind by this much.
const SKEW: Duration = Duration::from_secs(3600);

/// What can be wrong with the directory.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{path} is damaged ({why}); {advice}")]
    Damaged { path: PathBuf, why: String, advice: &'static str },
    #[error("{path} is missing while {other} is there; restore it, or remove both to start over")]
    Missing { path: PathBuf, other: PathBuf },
    #[error("the certificate authority {path} ended at {ended}; a new one has to be made")]
    CaEnded { path: PathBuf, ended: Timestamp },
    #[error("a certificate cannot be made: {0}")]
    Make(#[from] rcgen::Error),
}

pub(crate) const LEAF_ADVICE: &str = "remove it and it is made anew";
pub(crate) const CA_ADVICE: &str =
    "restore it from a backup; a new authority makes every certificate of this cluster void";

/// A certificate (with its chain) and its key in PEM.
#[derive(Clone)]
pub struct Pair {
    pub cert_pem: String,
    pub key_pem: String,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pair")
    }
}

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    Client,
    Server,
}

/// A certificate that is wanted.
#[derive(Clone, Debug)]
pub struct Leaf<'a> {
    /// File name without its ending.
    pub file: &'a str,
    pub common_name: &'a str,
    /// One at most: the group of a client.
    pub organization: &'a str,
    pub usage: Usage,
    /// DNS names and addresses.
    pub names: Vec<String>,
}

impl<'a> Leaf<'a> {
    /// A client certificate for this user and group.
    #[must_use]
    pub fn client(file: &'a str, common_name: &'a str, organization: &'a str) -> Self {
        Leaf { file, common_name, organization, usage: Usage::Client, names: Vec::new() }
    }

    /// A serving certificate for these names.
    #[must_use]
    pub fn server(file: &'a str, common_name: &'a str, names: Vec<String>) -> Self {
        Leaf { file, common_name, organization: "", usage: Usage::Server, names }
    }
}

/// Who the API server is to kubelets: no administrator, but bound to `system:kubelet-api-admin`.
pub const KUBELET_CLIENT: &str = "kube-apiserver-kubelet-client";

/// The client certificates of a control plane: file, user, group.
// k8s: cmd/kubeadm/app/phases/kubeconfig/kubeconfig.go, cmd/kubeadm/app/phases/certs/certlist.go
pub const CLIENTS: [(&str, &str, &str); 5] = [
    ("admin", "kubernetes-admin", "system:masters"),
    ("apiserver-kubelet-client", KUBELET_CLIENT, ""),
    ("kube-scheduler", "system:kube-scheduler", ""),
    ("kube-controller-manager", "system:kube-controller-manager", ""),
    ("kube-proxy", "system:kube-proxy", ""),
];

/// The names that the API server is reached by inside and outside the cluster, sorted, each once.
#[must_use]
pub fn apiserver_names(domain: &str, service_ip: IpAddr, extra: &[String]) -> Vec<String> {
    let mut names: Vec<String> =
        ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost", "127.0.0.1", "::1"]
            .map(str::to_owned)
            .to_vec();
    names.push(format!("kubernetes.default.svc.{domain}"));
    names.push(service_ip.to_string());
    names.extend(extra.iter().filter(|n| !n.is_empty()).cloned());
    names.sort();
    names.dedup();
    names
}

/// The directory with its authority.
pub struct Pki {
    dir: PathBuf,
    ca_pem: String,
    ca_facts: Facts,
    issuer: Issuer<'static, KeyPair>,
    sa: Pair,
    /// What this process has asked for, and so has to be renewed.
    asked: Mutex<Vec<Asked>>,
}

/// A [`Leaf`] of its own.
struct Asked {
    file: String,
    common_name: String,
    organization: String,
    usage: Usage,
    names: Vec<String>,
}

impl Asked {
    fn new(leaf: &Leaf<'_>) -> Self {
        Asked {
            file: leaf.file.to_owned(),
            common_name: leaf.common_name.to_owned(),
            organization: leaf.organization.to_owned(),
            usage: leaf.usage,
            names: leaf.names.clone(),
        }
    }

    fn leaf(&self) -> Leaf<'_> {
        Leaf {
            file: &self.file,
            common_name: &self.common_name,
            organization: &self.organization,
            usage: self.usage,
            names: self.names.clone(),
        }
    }
}

/// A certificate that was made anew, or could not be.
#[derive(Debug)]
pub struct Renewed {
    /// [`Leaf::file`].
    pub file: String,
    pub pair: Result<Pair, PkiError>,
}

impl Pki {
    /// Opens the directory, or makes it with a new authority and service account key.
    ///
    /// # Errors
    /// When files are damaged, only half there, or cannot be read or written.
    pub fn open(dir: &Path, now: Timestamp) -> Result<Self, PkiError> {
        files::make_dir(dir)?;
        let (ca_pem, key) = authority(dir, now)?;
        let ca_facts = inspect::facts(&dir.join("ca.crt"), &ca_pem, CA_ADVICE)?;
        if ca_facts.not_after <= now {
            return Err(PkiError::CaEnded { path: dir.join("ca.crt"), ended: ca_facts.not_after });
        }
        if ca_facts.public_key != key.public_key_raw() {
            let why = "it is not the key of ca.crt".to_owned();
            return Err(PkiError::Damaged { path: dir.join("ca.key"), why, advice: CA_ADVICE });
        }
        let issuer = Issuer::from_ca_cert_pem(&ca_pem, key)?;
        let sa = service_account_key(dir)?;
        let asked = Mutex::new(Vec::new());
        Ok(Pki { dir: dir.to_owned(), ca_pem, ca_facts, issuer, sa, asked })
    }

    /// The authority's certificate.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Where the authority's certificate and key are; what signs CSRs reads them there.
    #[must_use]
    pub fn ca_files(&self) -> (PathBuf, PathBuf) {
        (self.dir.join("ca.crt"), self.dir.join("ca.key"))
    }

    /// Public key (`cert_pem`) and private key that sign service account tokens, ECDSA P-256.
    #[must_use]
    pub fn service_account_key(&self) -> &Pair {
        &self.sa
    }

    /// The certificate, from its files or made anew. From now on [`Pki::renew`] looks after it.
    ///
    /// # Errors
    /// When its files are damaged or cannot be written, or a name is not one.
    pub fn leaf(&self, leaf: &Leaf<'_>, now: Timestamp) -> Result<Pair, PkiError> {
        let (pair, _) = self.ensure(leaf, now)?;
        let mut asked = self.asked.lock();
        asked.retain(|other| other.file != leaf.file);
        asked.push(Asked::new(leaf));
        Ok(pair)
    }

    /// Makes those certificates anew that were asked for and are due at `now`; their keys stay, and so do the
    /// authority and the service account key. What is not due, or was renewed before, is not among the answer.
    #[must_use]
    pub fn renew(&self, now: Timestamp) -> Vec<Renewed> {
        let asked = self.asked.lock();
        let mut renewed = Vec::new();
        for one in asked.iter() {
            match self.ensure(&one.leaf(), now) {
                Ok((_, false)) => {}
                Ok((pair, true)) => renewed.push(Renewed { file: one.file.clone(), pair: Ok(pair) }),
                Err(error) => renewed.push(Renewed { file: one.file.clone(), pair: Err(error) }),
            }
        }
        renewed
    }

    /// The certificate, and whether it was made just now.
    fn ensure(&self, leaf: &Leaf<'_>, now: Timestamp) -> Result<(Pair, bool), PkiError> {
        let cert_path = self.dir.join(format!("{}.crt", leaf.file));
        let key_path = self.dir.join(format!("{}.key", leaf.file));
        let key = load_key(&key_path, LEAF_ADVICE)?;
        if let (Some(cert_pem), Some(key)) = (files::read(&cert_path)?, &key) {
            let facts = inspect::facts(&cert_path, &cert_pem, LEAF_ADVICE)?;
            if self.fits(&facts, leaf, key, now) {
                return Ok((Pair { cert_pem, key_pem: key.serialize_pem() }, false));
            }
        }
        let key = match key {
            Some(key) => key,
            None => {
                let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
                files::write(&key_path, &key.serialize_pem(), files::Kind::Key, files::Sync::No)?;
                key
            }
        };
        let cert_pem = leaf_params(leaf, now)?.signed_by(&key, &self.issuer)?.pem();
        files::write(&cert_path, &cert_pem, files::Kind::Public, files::Sync::No)?;
        Ok((Pair { cert_pem, key_pem: key.serialize_pem() }, true))
    }

    fn fits(&self, facts: &Facts, leaf: &Leaf<'_>, key: &KeyPair, now: Timestamp) -> bool {
        let mut names = leaf.names.clone();
        names.sort();
        names.dedup();
        facts.public_key == key.public_key_raw()
            && facts.common_name == leaf.common_name
            && facts.organization == leaf.organization
            && facts.names == names
            && facts.authority_key_id == self.ca_facts.subject_key_id
            && facts.not_before <= now
            && facts.not_after.duration_since(now).as_secs() > RENEW_BEFORE.as_secs().cast_signed()
    }
}

fn leaf_params(leaf: &Leaf<'_>, now: Timestamp) -> Result<CertificateParams, PkiError> {
    let mut p = params(now, LEAF_LIFE);
    p.distinguished_name.push(DnType::CommonName, leaf.common_name);
    if !leaf.organization.is_empty() {
        p.distinguished_name.push(DnType::OrganizationName, leaf.organization);
    }
    for name in &leaf.names {
        p.subject_alt_names.push(match IpAddr::from_str(name) {
            Ok(ip) => SanType::IpAddress(ip),
            Err(_) => SanType::DnsName(name.as_str().try_into()?),
        });
    }
    p.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    p.extended_key_usages = vec![match leaf.usage {
        Usage::Client => ExtendedKeyUsagePurpose::ClientAuth,
        Usage::Server => ExtendedKeyUsagePurpose::ServerAuth,
    }];
    p.use_authority_key_identifier_extension = true;
    Ok(p)
}

fn params(now: Timestamp, life: Duration) -> CertificateParams {
    let mut p = CertificateParams::default();
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let now = Duration::from_secs(now.as_second().max(0).unsigned_abs());
    p.not_before = epoch + now.saturating_sub(SKEW);
    p.not_after = epoch + (now + life);
    p.distinguished_name = rcgen::DistinguishedName::new();
    p
}

/// Reads or makes `ca.crt` and `ca.key`. The key is written first: a crash between leaves a key that the
/// next start uses.
fn authority(dir: &Path, now: Timestamp) -> Result<(String, KeyPair), PkiError> {
    let (cert_path, key_path) = (dir.join("ca.crt"), dir.join("ca.key"));
    let key = load_key(&key_path, CA_ADVICE)?;
    match (files::read(&cert_path)?, key) {
        (Some(cert), Some(key)) => Ok((cert, key)),
        (Some(_), None) => Err(PkiError::Missing { path: key_path, other: cert_path }),
        (None, key) => {
            let key = match key {
                Some(key) => key,
                None => {
                    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
                    files::write(&key_path, &key.serialize_pem(), files::Kind::Key, files::Sync::Yes)?;
                    key
                }
            };
            let mut p = params(now, CA_LIFE);
            p.distinguished_name.push(DnType::CommonName, "kubernetes");
            p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            p.key_usages = vec![
                KeyUsagePurpose::DigitalSignature,
                KeyUsagePurpose::KeyEncipherment,
                KeyUsagePurpose::KeyCertSign,
            ];
            let cert = p.self_signed(&key)?.pem();
            files::write(&cert_path, &cert, files::Kind::Public, files::Sync::Yes)?;
            Ok((cert, key))
        }
    }
}

fn service_account_key(dir: &Path) -> Result<Pair, PkiError> {
    let (public_path, key_path) = (dir.join("sa.pub"), dir.join("sa.key"));
    let (key, fresh) = match load_key(&key_path, CA_ADVICE)? {
        Some(key) => (key, false),
        None => (KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?, true),
    };
    if fresh {
        if files::read(&public_path)?.is_some() {
            return Err(PkiError::Missing { path: key_path, other: public_path });
        }
        files::write(&key_path, &key.serialize_pem(), files::Kind::Key, files::Sync::Yes)?;
    }
    let public = key.public_key_pem();
    if files::read(&public_path)?.as_ref() != Some(&public) {
        files::write(&public_path, &public, files::Kind::Public, files::Sync::Yes)?;
    }
    Ok(Pair { cert_pem: public, key_pem: key.serialize_pem() })
}

fn load_key(path: &Path, advice: &'static str) -> Result<Option<KeyPair>, PkiError> {
    let Some(pem) = files::read(path)? else { return Ok(None) };
    match KeyPair::from_pem(&pem) {
        Ok(key) => Ok(Some(key)),
        Err(e) => Err(PkiError::Damaged { path: path.to_owned(), why: e.to_string(), advice }),
    }
}
