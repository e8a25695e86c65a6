//! Requests without credentials. It must never take credentials that are no good.

use std::sync::{Arc, LazyLock};

use meta::{Credentials, Identity, Proof, Request, User};

use super::union::{Authenticator, Finding};
use crate::request::{ANONYMOUS, Reply, UNAUTHENTICATED};

static NOBODY: LazyLock<Arc<Identity>> = LazyLock::new(|| {
    Arc::new(Identity { user: User::new(ANONYMOUS, &[UNAUTHENTICATED]), proof: Proof::None })
});

/// Lets everybody be `system:anonymous`.
pub struct Anonymous;

impl Authenticator for Anonymous {
    fn authenticate<'a>(&'a self, request: &'a Request) -> Reply<'a, Finding> {
        let nothing = matches!(request.credentials, Credentials::None);
        Reply::now(Ok(nothing.then(|| NOBODY.clone())))
    }
}
