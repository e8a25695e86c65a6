//! Clients that act as service accounts, so that each controller of a process apart has its own rights and no more.
// k8s: staging/src/k8s.io/controller-manager/pkg/clientbuilder/client_builder_dynamic.go

use std::sync::Arc;
use std::time::Duration;

use client::{Api, Client, Endpoint, Remote, Token};
use jiff::Timestamp;
use meta::{BoxFuture, Gvr, Request, Response, Status};
use serde_json::{Value, json};
use sys::{Clock, SystemClock};
use tokio::sync::Mutex;

use crate::remote::user_agent;

const ACCOUNTS: Gvr = Gvr::new("", "v1", "serviceaccounts");
const NAMESPACE: &str = "kube-system";
/// How long a token is asked for, and after how much of that the next one is.
const TOKEN_LIFE: Duration = Duration::from_secs(3600);
const RENEW_AFTER: Duration = Duration::from_secs(2880);

/// A client of one service account in `kube-system`, which is made when it is missing.
pub struct AccountClient {
    root: Arc<dyn Client>,
    endpoint: Endpoint,
    account: String,
    held: Mutex<Option<Held>>,
}

struct Held {
    client: Arc<Remote>,
    renew_at: Timestamp,
}

impl AccountClient {
    /// `root` asks for tokens; `endpoint` says where the server is.
    #[must_use]
    pub fn new(root: Arc<dyn Client>, endpoint: &Endpoint, account: &str) -> Self {
        let endpoint = Endpoint { client_pem: None, token: Token::None, ..endpoint.clone() };
        AccountClient { root, endpoint, account: account.to_owned(), held: Mutex::new(None) }
    }

    async fn current(&self) -> Result<Arc<Remote>, Status> {
        let mut held = self.held.lock().await;
        let now = SystemClock.now();
        if let Some(held) = held.as_ref().filter(|h| now < h.renew_at) {
            return Ok(Arc::clone(&held.client));
        }
        let endpoint = Endpoint { token: Token::Text(self.token().await?), ..self.endpoint.clone() };
        let remote = Remote::new(&endpoint, &user_agent(&self.account), Arc::new(SystemClock));
        let client = Arc::new(remote.map_err(|e| Status::internal(e.to_string()))?);
        let renew_at = reconcile::time::after(now, RENEW_AFTER);
        *held = Some(Held { client: Arc::clone(&client), renew_at });
        Ok(client)
    }

    async fn token(&self) -> Result<String, Status> {
        let api = Api::new(self.root.as_ref(), ACCOUNTS, NAMESPACE);
        let request = json!({"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1",
            "spec": {"expirationSeconds": TOKEN_LIFE.as_secs()}})
        .to_string()
        .into_bytes();
        let answer = match api.create_subresource(&self.account, "token", request.clone()).await {
            Err(e) if e.is("NotFound") => {
                let account = json!({"kind": "ServiceAccount", "apiVersion": "v1",
                    "metadata": {"name": self.account, "namespace": NAMESPACE}});
                match api.create(account.to_string().into_bytes()).await {
                    Err(e) if !e.is("AlreadyExists") => return Err(e),
                    _ => api.create_subresource(&self.account, "token", request).await?,
                }
            }
            other => other?,
        };
        let answer: Value = serde_json::from_slice(&answer).map_err(|e| Status::internal(e.to_string()))?;
        let token = answer["status"]["token"].as_str();
        token.map(str::to_owned).ok_or_else(|| Status::internal("the answer holds no token"))
    }
}

impl Client for AccountClient {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, Status>> {
        Box::pin(async move {
            let answer = self.current().await?.send(request).await;
            if answer.as_ref().is_err_and(|e| e.code == 401) {
                // The account was made anew, or the server has another key: the next request gets a new token.
                *self.held.lock().await = None;
            }
            answer
        })
    }
}
