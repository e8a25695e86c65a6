//! The road over HTTPS. It must never retry: whoever asked knows whether that is safe.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use meta::{BoxFuture, Credentials, Request, Response, Status};
use parking_lot::Mutex;
use sys::Clock;
use wire::tls::{TlsError, client_config};
use wire::transport::{BadAddress, Failure, Transport, Upgraded};

use crate::{Client, api};

/// A token file is read again after this time.
// k8s: staging/src/k8s.io/client-go/transport/token_source.go NewCachedFileTokenSource
const TOKEN_LIFE: Duration = Duration::from_secs(60);

/// Where a server is and how this client shows itself there.
#[derive(Clone, Default)]
pub struct Endpoint {
    /// `https://host:port`.
    pub server: String,
    /// Verifies the server; required for https unless `insecure`.
    pub ca_pem: Option<Vec<u8>>,
    /// Takes any server certificate.
    pub insecure: bool,
    /// Expected in the server's certificate instead of the host.
    pub server_name: Option<String>,
    /// Certificate and key.
    pub client_pem: Option<(Vec<u8>, Vec<u8>)>,
    pub token: Token,
    /// What commands use when none is named; empty: `default`.
    pub namespace: String,
}

/// A bearer token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Token {
    #[default]
    None,
    Text(String),
    /// A file that may be replaced while it is used.
    File(PathBuf),
}

/// Why an endpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    #[error(transparent)]
    Address(#[from] BadAddress),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("no certificate authority is given for {0}; the system's are not used")]
    NoAuthority(String),
}

/// A client of a server elsewhere.
pub struct Remote {
    transport: Transport,
    token: Token,
    /// The header made of the token file, and when (monotonic).
    cached: Mutex<Option<(Duration, HeaderValue)>>,
    user_agent: String,
    clock: Arc<dyn Clock>,
}

impl Remote {
    /// Connects when the first request is sent.
    ///
    /// # Errors
    /// When the endpoint's address, certificates or keys cannot be used.
    pub fn new(endpoint: &Endpoint, user_agent: &str, clock: Arc<dyn Clock>) -> Result<Self, EndpointError> {
        let is_https = endpoint.server.starts_with("https:");
        if is_https && endpoint.ca_pem.is_none() && !endpoint.insecure {
            return Err(EndpointError::NoAuthority(endpoint.server.clone()));
        }
        let ca = endpoint.ca_pem.as_deref().filter(|_| !endpoint.insecure);
        let own = endpoint.client_pem.as_ref().map(|(c, k)| (c.as_slice(), k.as_slice()));
        let tls = client_config(ca, own)?;
        Ok(Remote {
            transport: Transport::new(&endpoint.server, tls, endpoint.server_name.as_deref())?,
            token: endpoint.token.clone(),
            cached: Mutex::new(None),
            user_agent: user_agent.to_owned(),
            clock,
        })
    }

    /// Sends a request that asks for an upgrade (`exec`, `port-forward`): the connection, or the server's
    /// Status.
    ///
    /// # Errors
    /// The server's Status, or one for a failure on the way.
    pub async fn upgrade(&self, mut request: Request) -> Result<Upgraded, Status> {
        let authorization = self.prepare(&mut request)?;
        match self.transport.upgrade(request, authorization).await.map_err(status)? {
            Ok(upgraded) => Ok(upgraded),
            Err(response) => {
                api::check(response).await?;
                Err(Status::internal("the server did not upgrade the connection"))
            }
        }
    }

    fn prepare(&self, request: &mut Request) -> Result<Option<HeaderValue>, Status> {
        if request.user_agent.is_empty() {
            request.user_agent.clone_from(&self.user_agent);
        }
        if let Credentials::Bearer(token) = &request.credentials {
            return header(token).map(Some);
        }
        match &self.token {
            Token::None => Ok(None),
            Token::Text(token) => header(token).map(Some),
            Token::File(path) => self.token_from(path).map(Some),
        }
    }

    fn token_from(&self, path: &PathBuf) -> Result<HeaderValue, Status> {
        let now = self.clock.monotonic();
        let mut cached = self.cached.lock();
        if let Some((at, value)) = &*cached
            && now.saturating_sub(*at) < TOKEN_LIFE
        {
            return Ok(value.clone());
        }
        match std::fs::read_to_string(path) {
            Ok(text) => {
                let value = header(text.trim())?;
                *cached = Some((now, value.clone()));
                Ok(value)
            }
            Err(e) => match &*cached {
                // Better the old one, for as long as the server takes it.
                Some((_, value)) => Ok(value.clone()),
                None => Err(Status::unavailable(format!("the token file {}: {e}", path.display()))),
            },
        }
    }

    /// After a 401 the token file is read again at once.
    fn forget_token(&self) {
        if let Some((at, _)) = &mut *self.cached.lock() {
            *at = at.saturating_sub(TOKEN_LIFE);
        }
    }
}

impl Client for Remote {
    fn send(&self, mut request: Request) -> BoxFuture<'_, Result<Response, Status>> {
        Box::pin(async move {
            let authorization = self.prepare(&mut request)?;
            let response = self.transport.send(request, authorization).await.map_err(status)?;
            if response.code == 401 {
                self.forget_token();
            }
            api::check(response).await
        })
    }
}

fn header(token: &str) -> Result<HeaderValue, Status> {
    HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| Status::unavailable("the bearer token has characters that cannot be sent"))
}

fn status(failure: Failure) -> Status {
    match failure {
        Failure::NotSent(why) => Status::unavailable(why),
        Failure::Unknown(why) => Status::failure(504, "Timeout", why),
    }
}
