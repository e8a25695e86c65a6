//! Who may say who asks, and who may say whether that is allowed: the one place where the lists are put together
//! from the configuration. The order is upstream's.
// k8s: pkg/kubeapiserver/authenticator/config.go New, pkg/kubeapiserver/authorizer/config.go New

use std::sync::Arc;

use sys::Clock;

use super::config::Authorization;
use crate::authenticate::anonymous::Anonymous;
use crate::authenticate::bootstrap::BootstrapTokens;
use crate::authenticate::certificate::Certificates;
use crate::authenticate::internal::InProcess;
use crate::authenticate::service_account::ServiceAccountTokens;
use crate::authenticate::token::Issuer;
use crate::authenticate::{self, Authenticator};
use crate::authorize::{self, AlwaysAllow, AuthIndex, Masters, Named, Node, Rbac};
use crate::storage::State;

/// Who may say who asks.
pub(super) fn authenticators(
    state: &Arc<State>,
    clock: &Arc<dyn Clock>,
    issuer: Option<&Arc<Issuer>>,
    anonymous: bool,
) -> authenticate::Union {
    let mut list: Vec<Box<dyn Authenticator>> = vec![Box::new(InProcess), Box::new(Certificates::default())];
    if let Some(issuer) = issuer {
        let (issuer, bound) = (issuer.clone(), state.clone());
        list.push(Box::new(ServiceAccountTokens { issuer, bound, clock: clock.clone() }));
    }
    list.push(Box::new(BootstrapTokens { secrets: state.clone(), clock: clock.clone() }));
    let otherwise = anonymous.then(|| Box::new(Anonymous) as Box<dyn Authenticator>);
    authenticate::Union { list, otherwise }
}

/// Who may say whether it is allowed.
pub(super) fn authorizers(mode: Authorization, index: &Arc<AuthIndex>) -> authorize::Union {
    let mut list = vec![Named::new("kubernetes.io/system-privileged-group", Masters)];
    match mode {
        Authorization::NodeAndRbac => {
            list.push(Named::new("node", Node(index.clone())));
            list.push(Named::new("rbac", Rbac(index.clone())));
        }
        Authorization::AlwaysAllow => list.push(Named::new("alwaysallow", AlwaysAllow)),
    }
    authorize::Union(list)
}
