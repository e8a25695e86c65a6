//! The road inside one process: the same handler just behind TLS and authentication.

use std::sync::Arc;

use meta::{BoxFuture, Credentials, Handler, Request, Response, Status, User};

use crate::{Client, api};

/// A client with its own identity in front of a handler in this process.
#[derive(Clone)]
pub struct Local {
    handler: Arc<dyn Handler>,
    user: User,
    user_agent: String,
}

impl Local {
    /// `user_agent` is what audit and metrics show for this component.
    #[must_use]
    pub fn new(handler: Arc<dyn Handler>, user: User, user_agent: &str) -> Self {
        Local { handler, user, user_agent: user_agent.to_owned() }
    }
}

impl Client for Local {
    fn send(&self, mut request: Request) -> BoxFuture<'_, Result<Response, Status>> {
        request.credentials = Credentials::Internal(self.user.clone());
        request.user_agent.clone_from(&self.user_agent);
        Box::pin(async move { api::check(self.handler.handle(request).await).await })
    }
}
