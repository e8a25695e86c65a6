//! Authenticators one after the other: the first that knows who asks is believed. Credentials that are no good for
//! one may be good for another; for nobody, they must never pass for none.
// k8s: staging/src/k8s.io/apiserver/pkg/authentication/request/union/union.go

use std::sync::Arc;

use meta::{Identity, Proof, Request, Status, User};

use crate::request::{ANONYMOUS, AUTHENTICATED, Reply, UNAUTHENTICATED};

/// What an authenticator finds: somebody, nobody (the credentials are of another kind), or a reason why the
/// credentials are no good, for logs.
pub type Finding = Result<Option<Arc<Identity>>, String>;

/// Finds out who asks by one kind of credentials.
pub trait Authenticator: Send + Sync {
    /// Who asks.
    fn authenticate<'a>(&'a self, request: &'a Request) -> Reply<'a, Finding>;
}

/// All authenticators.
pub struct Union {
    /// Those who look at credentials, in order.
    pub list: Vec<Box<dyn Authenticator>>,
    /// Asked about requests in which nobody has found credentials, good or bad.
    pub otherwise: Option<Box<dyn Authenticator>>,
}

impl Union {
    /// Who asks.
    ///
    /// # Errors
    /// 401 when no authenticator knows; the client is not told why.
    pub async fn identify(&self, request: &Request) -> Result<Arc<Identity>, Status> {
        let mut refusals = Vec::new();
        for one in &self.list {
            match one.authenticate(request).await {
                Ok(Some(identity)) => return Ok(identity),
                Ok(None) => {}
                Err(why) => refusals.push(why),
            }
        }
        if let (Some(one), []) = (&self.otherwise, refusals.as_slice()) {
            match one.authenticate(request).await {
                Ok(Some(identity)) => return Ok(identity),
                Ok(None) => {}
                Err(why) => refusals.push(why),
            }
        }
        tracing::debug!(?refusals, "nobody knows who asks");
        Err(Status::unauthorized())
    }
}

/// Somebody whose credentials are good.
// k8s: staging/src/k8s.io/apiserver/pkg/authentication/group/authenticated_group_adder.go
pub(super) fn known(mut user: User, proof: Proof) -> Arc<Identity> {
    if user.name != ANONYMOUS && !user.in_group(AUTHENTICATED) && !user.in_group(UNAUTHENTICATED) {
        user.groups.push(AUTHENTICATED.to_owned());
    }
    Arc::new(Identity { user, proof })
}

#[cfg(test)]
mod tests {
    use super::*;
    use meta::{Target, Verb};

    struct Says(Finding, bool);

    impl Authenticator for Says {
        fn authenticate<'a>(&'a self, _request: &'a Request) -> Reply<'a, Finding> {
            match self.1 {
                true => Reply::later(Box::pin(async { self.0.clone() })),
                false => Reply::now(self.0.clone()),
            }
        }
    }

    #[test]
    fn the_first_that_knows_is_believed_and_bad_credentials_are_not_none() {
        let request = Request::new(Verb::Get, Target::Path("/".into()));
        let named = |name: &str| Ok(Some(known(User::new(name, &[]), Proof::InProcess)));
        let boxed = |(f, later)| Box::new(Says(f, later)) as Box<dyn Authenticator>;
        let ask = |list: Vec<(Finding, bool)>, otherwise: Option<Finding>| {
            let list = list.into_iter().map(boxed).collect();
            let union = Union { list, otherwise: otherwise.map(|f| boxed((f, true))) };
            let found = stdx::block_on(union.identify(&request));
            found.map(|i| i.user.name.clone()).map_err(|e| e.code)
        };
        let bad = || Err("expired".to_owned());
        let none = || (Ok(None), false);
        assert_eq!(ask(vec![none(), (named("a"), true), (named("b"), false)], None), Ok("a".into()));
        assert_eq!(ask(vec![(bad(), true), (named("b"), false)], None), Ok("b".into()));
        assert_eq!(ask(vec![none(), (bad(), false), none()], Some(named("nobody"))), Err(401));
        assert_eq!(ask(vec![none(), none()], Some(named("nobody"))), Ok("nobody".into()));
        assert_eq!(ask(vec![none()], Some(bad())), Err(401));
        assert_eq!(ask(vec![none()], None), Err(401));
        assert_eq!(ask(vec![], None), Err(401));
    }

    #[test]
    fn who_is_known_is_in_the_group_of_all_who_are() {
        let groups =
            |name, groups: &[&str]| known(User::new(name, groups), Proof::InProcess).user.groups.join(",");
        assert_eq!(groups("a", &["g"]), "g,system:authenticated");
        assert_eq!(groups("a", &["system:authenticated"]), "system:authenticated");
        assert_eq!(groups("a", &["system:unauthenticated"]), "system:unauthenticated");
        assert_eq!(groups("system:anonymous", &["g"]), "g");
    }
}
