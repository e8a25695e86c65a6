//! Audit: what each request is called. It must never look at what is asked.

use meta::Request;
use sys::{Entropy, Uuids};

/// The header in which a client and the server tell each other the id.
pub const HEADER: &str = "audit-id";

/// Makes ids.
pub struct Ids(Uuids);

impl Ids {
    /// A source of its own.
    #[must_use]
    pub fn new(entropy: &dyn Entropy) -> Self {
        Ids(Uuids::new(entropy))
    }

    /// The id of a request: the client's own, or a new one.
    // k8s: staging/src/k8s.io/apiserver/pkg/endpoints/filters/audit_init.go
    pub fn of(&self, request: &Request) -> String {
        match request.header(HEADER).filter(|id| !id.is_empty()) {
            Some(id) => id.to_owned(),
            None => self.0.make(),
        }
    }
}
