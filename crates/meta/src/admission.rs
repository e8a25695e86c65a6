//! What is known of a request that was let in. It is made once, before the body is read, and lives until the end
//! of the answer.

use std::fmt;
use std::sync::Arc;

use crate::User;

/// Who asks, and how that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub user: User,
    pub proof: Proof,
}

/// How somebody has shown who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Not at all: nothing was presented.
    None,
    /// A component in this process.
    InProcess,
    Certificate,
    /// A token of a service account that was made on request and expires.
    ServiceAccountToken,
    /// The token of a service account that a Secret holds.
    SecretToken,
    BootstrapToken,
    /// Somebody else speaks in this name and may.
    Impersonation,
}

/// The answer of an authorizer, with its reason, which may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Allow(String),
    /// Forbidden, whatever others would say.
    Deny(String),
    /// Neither; others are asked, and when nobody allows it, it is forbidden.
    NoOpinion(String),
}

impl Decision {
    /// Whether it is allowed.
    #[must_use]
    pub fn allowed(&self) -> bool {
        matches!(self, Decision::Allow(_))
    }

    /// Whether it is forbidden for good.
    #[must_use]
    pub fn denied(&self) -> bool {
        matches!(self, Decision::Deny(_))
    }

    /// Why, possibly empty.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Decision::Allow(r) | Decision::Deny(r) | Decision::NoOpinion(r) => r,
        }
    }
}

/// Room for one request among those that run, given back on drop.
pub struct Ticket(#[expect(dead_code, reason = "it is only held")] Box<dyn Send + Sync>);

impl Ticket {
    /// Over what gives the room back when it is dropped.
    #[must_use]
    pub fn new(room: impl Send + Sync + 'static) -> Self {
        Ticket(Box::new(room))
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ticket")
    }
}

/// What is known of a request that was let in.
#[derive(Debug)]
pub struct Admission {
    /// In whose name it is answered.
    pub identity: Arc<Identity>,
    /// Who speaks in that name, when it is somebody else.
    pub impersonator: Option<Arc<Identity>>,
    /// The request's name in audit logs, shared with the client as the header `Audit-Id`.
    pub audit_id: String,
    pub decision: Decision,
    /// `None` for requests that last by their nature.
    pub ticket: Option<Ticket>,
}

impl Admission {
    /// In whose name the request is answered.
    #[must_use]
    pub fn user(&self) -> &User {
        &self.identity.user
    }
}
