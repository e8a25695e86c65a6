//! TLS of the server side: certificates, optional client certificates, who the peer is. A client certificate
//! that cannot be verified does not break the handshake; the request that comes with it is answered 401,
//! as upstream does. It must never decide what a peer may do.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use parking_lot::Mutex;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme};

/// How long a verified client certificate is believed on an open connection.
const REVERIFY: Duration = Duration::from_secs(60);

/// TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("the {what} cannot be read as PEM: {why}")]
    Pem { what: &'static str, why: String },
    #[error("the {0} holds nothing")]
    Empty(&'static str),
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
    #[error("the client CA cannot be used: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

/// The one crypto provider.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: std::sync::OnceLock<Arc<CryptoProvider>> = std::sync::OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(aws_lc_rs::default_provider())))
}

/// All certificates in PEM text.
///
/// # Errors
/// When it is not PEM or has none.
pub fn certificates(what: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.map_err(|e| TlsError::Pem { what, why: e.to_string() })?;
    if all.is_empty() { Err(TlsError::Empty(what)) } else { Ok(all) }
}

/// The first private key in PEM text.
///
/// # Errors
/// When it is not PEM or has none.
pub fn private_key(what: &'static str, pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|e| TlsError::Pem { what, why: e.to_string() })
}

/// Trust in the certificates of PEM text.
///
/// # Errors
/// When one of them cannot be a trust anchor.
pub fn roots(what: &'static str, pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for c in certificates(what, pem)? {
        store.add(c)?;
    }
    Ok(store)
}

/// The server's certificate, which can be replaced while it serves.
#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// The server side of TLS.
pub struct Tls {
    pub(crate) config: Arc<ServerConfig>,
    current: Arc<Current>,
    clients: Option<Arc<dyn ClientCertVerifier>>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// TLS 1.2 and 1.3 with this certificate chain and key. With `client_ca_pem` clients may show a
    /// certificate of one of those CAs.
    ///
    /// # Errors
    /// When one of them cannot be read or key and certificate do not fit.
    pub fn new(cert_pem: &[u8], key_pem: &[u8], client_ca_pem: Option<&[u8]>) -> Result<Self, TlsError> {
        let current = Arc::new(Current(ArcSwap::from_pointee(certified(cert_pem, key_pem)?)));
        let clients = match client_ca_pem {
            Some(pem) => {
                let roots = Arc::new(roots("client CA", pem)?);
                Some(WebPkiClientVerifier::builder_with_provider(roots, provider()).build()?)
            }
            None => None,
        };
        let builder =
            ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
        let builder = match &clients {
            Some(inner) => builder.with_client_cert_verifier(Arc::new(Lenient { inner: Arc::clone(inner) })),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::<Current>::clone(&current));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        config.send_tls13_tickets = 1;
        Ok(Tls { config: Arc::new(config), current, clients })
    }

    /// New connections get this certificate.
    ///
    /// # Errors
    /// As [`Tls::new`]; the old one stays.
    pub fn replace(&self, cert_pem: &[u8], key_pem: &[u8]) -> Result<(), TlsError> {
        self.current.0.store(Arc::new(certified(cert_pem, key_pem)?));
        Ok(())
    }

    /// Who is at the other end of a finished handshake.
    pub(crate) fn peer(&self, connection: &rustls::ServerConnection) -> Peer {
        let (Some(verifier), Some(chain)) = (&self.clients, connection.peer_certificates()) else {
            return Peer::default();
        };
        if chain.is_empty() {
            return Peer::default();
        }
        Peer(Some(Box::new(Shown {
            leaf: Bytes::copy_from_slice(&chain[0]),
            chain: chain.iter().map(|c| c.clone().into_owned()).collect(),
            verifier: Arc::clone(verifier),
            verified: Mutex::new(None),
        })))
    }
}

fn certified(cert_pem: &[u8], key_pem: &[u8]) -> Result<CertifiedKey, TlsError> {
    let chain = certificates("serving certificate", cert_pem)?;
    let key = private_key("serving key", key_pem)?;
    Ok(CertifiedKey::from_der(chain, key, &provider())?)
}

/// What the peer has shown of itself.
#[derive(Default)]
pub(crate) struct Peer(Option<Box<Shown>>);

struct Shown {
    leaf: Bytes,
    chain: Vec<CertificateDer<'static>>,
    verifier: Arc<dyn ClientCertVerifier>,
    /// When (seconds) it was last looked at, and what came out.
    verified: Mutex<Option<(i64, bool)>>,
}

/// What a client certificate is worth now.
#[derive(Debug)]
pub(crate) enum PeerCertificate {
    None,
    Good(Bytes),
    Bad,
}

impl Peer {
    /// No certificate was shown.
    pub(crate) fn is_unknown(&self) -> bool {
        self.0.is_none()
    }

    /// `now` is wall-clock time in seconds.
    pub(crate) fn certificate(&self, now: i64) -> PeerCertificate {
        let Some(shown) = &self.0 else { return PeerCertificate::None };
        let mut verified = shown.verified.lock();
        let good = match *verified {
            Some((at, good)) if now.abs_diff(at) < REVERIFY.as_secs() => good,
            _ => {
                let good = shown.verify(now);
                *verified = Some((now, good));
                good
            }
        };
        if good { PeerCertificate::Good(shown.leaf.clone()) } else { PeerCertificate::Bad }
    }
}

impl Shown {
    fn verify(&self, now: i64) -> bool {
        let at = UnixTime::since_unix_epoch(Duration::from_secs(now.max(0).unsigned_abs()));
        match self.verifier.verify_client_cert(&self.chain[0], &self.chain[1..], at) {
            Ok(_) => true,
            Err(error) => {
                tracing::info!(%error, "client certificate not verified");
                false
            }
        }
    }
}

/// Lets any chain pass the handshake whose key the peer has; [`Peer::certificate`] verifies it.
#[derive(Debug)]
struct Lenient {
    inner: Arc<dyn ClientCertVerifier>,
}

impl ClientCertVerifier for Lenient {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// The client side of TLS: trust in `ca_pem` (any certificate without it) and, if given, an own certificate
/// and key.
///
/// # Errors
/// When one of them cannot be read or key and certificate do not fit.
pub fn client_config(
    ca_pem: Option<&[u8]>,
    own_pem: Option<(&[u8], &[u8])>,
) -> Result<rustls::ClientConfig, TlsError> {
    let builder =
        rustls::ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let builder = match ca_pem {
        Some(pem) => builder.with_root_certificates(roots("certificate authority", pem)?),
        None => builder.dangerous().with_custom_certificate_verifier(Arc::new(Any)),
    };
    Ok(match own_pem {
        Some((cert, key)) => builder.with_client_auth_cert(
            certificates("client certificate", cert)?,
            private_key("client key", key)?,
        )?,
        None => builder.with_no_client_auth(),
    })
}

/// Takes any server certificate whose key the server has.
#[derive(Debug)]
struct Any;

impl rustls::client::danger::ServerCertVerifier for Any {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &rustls::pki_types::ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
