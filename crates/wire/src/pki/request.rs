//! Certificate signing requests: made by who wants a certificate, read by who decides, signed by the authority.
//! Nothing here decides whether a request may be granted.

use std::net::IpAddr;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use rcgen::{
    CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType, SerialNumber,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate};

use super::{Facts, PkiError, inspect};

/// Certificates begin this much before they are signed, for clocks that are behind.
// k8s: pkg/controller/certificates/signer/signer.go sign
const BACKDATE: Duration = Duration::from_secs(5 * 60);
/// Bytes of a serial number.
const SERIAL_BYTES: usize = 16;

/// What a request asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    pub common_name: String,
    pub organizations: Vec<String>,
    pub dns_names: Vec<String>,
    pub ip_addresses: Vec<IpAddr>,
    /// How many names of other kinds (mail, URI, ...) are asked for.
    pub other_names: usize,
}

/// A new private key in PEM (ECDSA P-256).
///
/// # Errors
/// When the machine has no randomness.
pub fn new_key() -> Result<String, PkiError> {
    Ok(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?.serialize_pem())
}

/// A request in PEM for a certificate with these names over a private key.
///
/// # Errors
/// When the key cannot be used or a name is not one.
pub fn make_request(
    key_pem: &str,
    common_name: &str,
    organization: &str,
    names: &[String],
) -> Result<String, PkiError> {
    let key = KeyPair::from_pem(key_pem)?;
    let mut p = CertificateParams::default();
    p.distinguished_name = DistinguishedName::new();
    if !organization.is_empty() {
        p.distinguished_name.push(DnType::OrganizationName, organization);
    }
    p.distinguished_name.push(DnType::CommonName, common_name);
    for name in names {
        p.subject_alt_names.push(match name.parse() {
            Ok(ip) => SanType::IpAddress(ip),
            Err(_) => SanType::DnsName(name.as_str().try_into()?),
        });
    }
    Ok(p.serialize_request(&key)?.pem()?)
}

/// Reads a request in PEM. Its signature is checked when it is signed.
///
/// # Errors
/// Why it is none.
// k8s: pkg/apis/certificates/helpers.go ParseCSR
pub fn read_request(pem: &str) -> Result<Wanted, String> {
    let der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes())
        .map_err(|_| "PEM block type must be CERTIFICATE REQUEST".to_owned())?;
    let (_, request) = X509CertificationRequest::from_der(&der).map_err(|e| e.to_string())?;
    let subject = inspect::subject(&request.certification_request_info.subject)?;
    let mut wanted = Wanted {
        common_name: subject.common_name,
        organizations: subject.organizations,
        ..Wanted::default()
    };
    for extension in request.requested_extensions().into_iter().flatten() {
        let ParsedExtension::SubjectAlternativeName(san) = extension else { continue };
        for name in &san.general_names {
            match name {
                GeneralName::DNSName(n) => wanted.dns_names.push((*n).to_owned()),
                GeneralName::IPAddress(bytes) => match address(bytes) {
                    Some(ip) => wanted.ip_addresses.push(ip),
                    None => wanted.other_names += 1,
                },
                _ => wanted.other_names += 1,
            }
        }
    }
    Ok(wanted)
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from);
    v4.or_else(|| <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from))
}

/// The hash by which a joining machine knows the authority: `sha256:` and the hex SHA-256 of the public key of a
/// certificate in PEM (its SubjectPublicKeyInfo), as kubeadm's `--discovery-token-ca-cert-hash`.
///
/// # Errors
/// When it is no certificate.
// k8s: cmd/kubeadm/app/util/pubkeypin/pubkeypin.go Hash
pub fn public_key_hash(cert_pem: &str) -> Result<String, String> {
    let der = CertificateDer::from_pem_slice(cert_pem.as_bytes()).map_err(|e| e.to_string())?;
    let (_, cert) = X509Certificate::from_der(&der).map_err(|e| e.to_string())?;
    let hash = digest(&SHA256, cert.public_key().raw);
    let hex: String = hash.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    Ok(format!("sha256:{hex}"))
}

/// What a certificate in PEM says.
///
/// # Errors
/// When it is no certificate.
pub fn facts(cert_pem: &str) -> Result<Facts, String> {
    let der = CertificateDer::from_pem_slice(cert_pem.as_bytes()).map_err(|e| e.to_string())?;
    inspect::read(&der)
}

/// An authority that signs requests: its certificate and key.
pub struct Signer {
    ca_pem: String,
    ca_ends: Timestamp,
    issuer: Issuer<'static, KeyPair>,
}

impl Signer {
    /// From certificate and key in PEM.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn from_pem(ca_pem: &str, key_pem: &str) -> Result<Self, String> {
        let key = KeyPair::from_pem(key_pem).map_err(|e| format!("the authority's key: {e}"))?;
        let issuer = Issuer::from_ca_cert_pem(ca_pem, key).map_err(|e| format!("the authority: {e}"))?;
        Ok(Signer { ca_pem: ca_pem.to_owned(), ca_ends: facts(ca_pem)?.not_after, issuer })
    }

    /// The authority's certificate.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The certificate in PEM for a request, valid for `life` from `now` on, or as long as the authority is.
    /// `usages` are those of the API (`client auth`); the request's own wishes for usages are not heard. The same
    /// `seed` (the UID of the request's object, say) gives the same serial number.
    ///
    /// # Errors
    /// When the request is damaged, not signed with its own key, or asks for what is not supported.
    // k8s: pkg/controller/certificates/authority/authority.go Sign
    pub fn sign(
        &self,
        request_pem: &str,
        usages: &[String],
        life: Duration,
        seed: &str,
        now: Timestamp,
    ) -> Result<String, String> {
        let der = CertificateSigningRequestDer::from_pem_slice(request_pem.as_bytes())
            .map_err(|_| "PEM block type must be CERTIFICATE REQUEST".to_owned())?;
        let mut request = CertificateSigningRequestParams::from_der(&der).map_err(|e| e.to_string())?;
        let (_, raw) = X509CertificationRequest::from_der(&der).map_err(|e| e.to_string())?;
        if request.public_key.subject_public_key_info() != raw.certification_request_info.subject_pki.raw {
            return Err("keys of this kind are not supported yet".to_owned());
        }
        let asked = inspect::subject(&raw.certification_request_info.subject)?;
        let p = &mut request.params;
        // A name is taken over as a map: what is there twice would be lost, and somebody else be named.
        if asked.parts != p.distinguished_name.iter().count() {
            return Err("requests with several values of one kind in the subject (organizations, say) are not supported yet".to_owned());
        }
        (p.key_usages, p.extended_key_usages) = usages_of(usages)?;
        p.is_ca = IsCa::ExplicitNoCa;
        p.use_authority_key_identifier_extension = true;
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        let start = Duration::from_secs(now.as_second().max(0).unsigned_abs()).saturating_sub(BACKDATE);
        let ca_ends = Duration::from_secs(self.ca_ends.as_second().max(0).unsigned_abs());
        p.not_before = epoch + start;
        p.not_after = epoch + (start + life).min(ca_ends);
        let mut serial = digest(&SHA256, seed.as_bytes()).as_ref()[..SERIAL_BYTES].to_vec();
        // Positive and not shorter than it looks.
        serial[0] = serial[0] & 0x3f | 0x40;
        p.serial_number = Some(SerialNumber::from(serial));
        let signed = request.signed_by(&self.issuer).map_err(|e| e.to_string())?;
        let (_, made) = X509Certificate::from_der(signed.der()).map_err(|e| e.to_string())?;
        if inspect::subject(made.subject())? != asked {
            return Err("the subject of the request cannot be put into a certificate as it is".to_owned());
        }
        Ok(signed.pem())
    }
}

type Usages = (Vec<KeyUsagePurpose>, Vec<ExtendedKeyUsagePurpose>);

/// The API's names of usages as those of certificates.
// k8s: pkg/controller/certificates/authority/policies.go keyUsagesFromStrings
fn usages_of(names: &[String]) -> Result<Usages, String> {
    let (mut plain, mut extended) = (Vec::new(), Vec::new());
    for name in names {
        match name.as_str() {
            "signing" | "digital signature" => plain.push(KeyUsagePurpose::DigitalSignature),
            "content commitment" => plain.push(KeyUsagePurpose::ContentCommitment),
            "key encipherment" => plain.push(KeyUsagePurpose::KeyEncipherment),
            "key agreement" => plain.push(KeyUsagePurpose::KeyAgreement),
            "data encipherment" => plain.push(KeyUsagePurpose::DataEncipherment),
            "cert sign" => plain.push(KeyUsagePurpose::KeyCertSign),
            "crl sign" => plain.push(KeyUsagePurpose::CrlSign),
            "encipher only" => plain.push(KeyUsagePurpose::EncipherOnly),
            "decipher only" => plain.push(KeyUsagePurpose::DecipherOnly),
            "any" => extended.push(ExtendedKeyUsagePurpose::Any),
            "server auth" => extended.push(ExtendedKeyUsagePurpose::ServerAuth),
            "client auth" => extended.push(ExtendedKeyUsagePurpose::ClientAuth),
            "code signing" => extended.push(ExtendedKeyUsagePurpose::CodeSigning),
            "email protection" | "s/mime" => extended.push(ExtendedKeyUsagePurpose::EmailProtection),
            "timestamping" => extended.push(ExtendedKeyUsagePurpose::TimeStamping),
            "ocsp signing" => extended.push(ExtendedKeyUsagePurpose::OcspSigning),
            other => return Err(format!("unrecognized usage values: [{other:?}]")),
        }
    }
    Ok((plain, extended))
}

#[cfg(test)]
mod tests {
    use super::super::Pki;
    use super::*;

    fn signer(dir: &std::path::Path, now: Timestamp) -> Signer {
        let pki = Pki::open(dir, now).unwrap();
        let (cert, key) = pki.ca_files();
        let read = |p| std::fs::read_to_string(p).unwrap();
        Signer::from_pem(&read(cert), &read(key)).unwrap()
    }

    #[test]
    fn a_request_becomes_a_certificate() {
        let dir = std::env::temp_dir().join(format!("corten-request-{}", std::process::id()));
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let signer = signer(&dir, now);
        let key = new_key().unwrap();
        let names = ["node-1".to_owned(), "192.0.2.2".to_owned()];
        let pem = make_request(&key, "system:node:node-1", "system:nodes", &names).unwrap();
        let wanted = read_request(&pem).unwrap();
        assert_eq!(wanted.common_name, "system:node:node-1");
        assert_eq!(wanted.organizations, ["system:nodes"]);
        assert_eq!(wanted.dns_names, ["node-1"]);
        assert_eq!(wanted.ip_addresses, ["192.0.2.2".parse::<IpAddr>().unwrap()]);
        let usages = ["digital signature".to_owned(), "client auth".to_owned()];
        let life = Duration::from_secs(3600);
        let cert = signer.sign(&pem, &usages, life, "uid-1", now).unwrap();
        assert_eq!(facts(&cert).unwrap().not_after.to_string(), "2026-01-01T00:55:00Z");
        let der = CertificateDer::from_pem_slice(cert.as_bytes()).unwrap();
        let (_, x509) = X509Certificate::from_der(&der).unwrap();
        assert_eq!(x509.subject().iter_common_name().next().unwrap().as_str(), Ok("system:node:node-1"));
        let extended = x509.extended_key_usage().unwrap().unwrap();
        assert!(extended.value.client_auth && !extended.value.server_auth);
        assert!(signer.sign(&pem, &["fly".to_owned()], life, "", now).is_err());
        let ca = CertificateDer::from_pem_slice(signer.ca_pem().as_bytes()).unwrap();
        let (_, ca) = X509Certificate::from_der(&ca).unwrap();
        x509.verify_signature(Some(ca.public_key())).unwrap();
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn damaged_requests_are_refused() {
        for bad in ["", "x", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"]
        {
            assert!(read_request(bad).is_err(), "{bad:?}");
            assert!(public_key_hash(bad).is_err(), "{bad:?}");
        }
    }
}
