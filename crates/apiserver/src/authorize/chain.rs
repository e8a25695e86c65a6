//! The authorizers together, as the configuration names them.

use std::sync::Arc;

use super::AuthIndex;
use crate::request::{Attributes, Authorizer, Decision, MASTERS};

/// Asks for whoever is not above all rules.
pub struct Chain {
    /// `None`: everybody may do everything.
    pub index: Option<Arc<AuthIndex>>,
}

impl Authorizer for Chain {
    fn authorize(&self, a: &Attributes) -> Decision {
        match &self.index {
            Some(index) if !a.user.in_group(MASTERS) => index.authorize(a),
            _ => Decision::Allow(String::new()),
        }
    }
}
