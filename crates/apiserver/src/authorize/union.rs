//! Authorizers one after the other: the first that allows or denies decides.
// k8s: staging/src/k8s.io/apiserver/pkg/authorization/union/union.go

use std::borrow::Cow;

use meta::{BoxFuture, Decision};

use crate::request::{Attributes, Authorizer, MASTERS, Reply};

/// All authorizers, in order.
pub struct Union(pub Vec<Named>);

/// An authorizer and what its reasons are told apart by.
pub struct Named {
    pub name: Cow<'static, str>,
    pub authorizer: Box<dyn Authorizer>,
}

impl Named {
    /// With this name.
    pub fn new(name: impl Into<Cow<'static, str>>, authorizer: impl Authorizer + 'static) -> Self {
        Named { name: name.into(), authorizer: Box::new(authorizer) }
    }

    /// Its answer when it has an opinion; the reason why it has none is noted.
    fn opinion(&self, decision: Decision, reasons: &mut Vec<String>) -> Option<Decision> {
        let Decision::NoOpinion(why) = decision else { return Some(decision) };
        if !why.is_empty() {
            reasons.push(format!("{}: {why}", self.name));
        }
        None
    }
}

/// Members of the group that may do everything.
pub struct Masters;

/// Everybody may do everything.
pub struct AlwaysAllow;

impl Authorizer for Union {
    fn authorize<'a>(&'a self, a: &'a Attributes) -> Reply<'a, Decision> {
        let mut reasons = Vec::new();
        let mut list = self.0.as_slice();
        while let [one, behind @ ..] = list {
            match one.authorizer.authorize(a).ready() {
                Ok(decision) => {
                    if let Some(decided) = one.opinion(decision, &mut reasons) {
                        return Reply::now(decided);
                    }
                }
                Err(later) => return Reply::later(Box::pin(rest(one, later, behind, reasons, a))),
            }
            list = behind;
        }
        Reply::now(nobody(&reasons))
    }
}

/// Waits for one authorizer and asks those behind it.
async fn rest<'a>(
    first: &'a Named,
    answer: BoxFuture<'a, Decision>,
    behind: &'a [Named],
    mut reasons: Vec<String>,
    a: &'a Attributes,
) -> Decision {
    if let Some(decided) = first.opinion(answer.await, &mut reasons) {
        return decided;
    }
    for one in behind {
        if let Some(decided) = one.opinion(one.authorizer.authorize(a).await, &mut reasons) {
            return decided;
        }
    }
    nobody(&reasons)
}

fn nobody(reasons: &[String]) -> Decision {
    Decision::NoOpinion(reasons.join("\n"))
}

impl Authorizer for Masters {
    fn authorize<'a>(&'a self, a: &'a Attributes) -> Reply<'a, Decision> {
        Reply::now(match a.user.in_group(MASTERS) {
            true => Decision::Allow(String::new()),
            false => Decision::NoOpinion(String::new()),
        })
    }
}

impl Authorizer for AlwaysAllow {
    fn authorize<'a>(&'a self, _a: &'a Attributes) -> Reply<'a, Decision> {
        Reply::now(Decision::Allow(String::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Says(Decision, bool);

    impl Authorizer for Says {
        fn authorize<'a>(&'a self, _a: &'a Attributes) -> Reply<'a, Decision> {
            match self.1 {
                true => Reply::later(Box::pin(async { self.0.clone() })),
                false => Reply::now(self.0.clone()),
            }
        }
    }

    #[test]
    fn the_first_that_allows_or_denies_decides() {
        let (yes, no) = (Decision::Allow("y".into()), Decision::Deny("n".into()));
        let none = |why: &str| Decision::NoOpinion(why.to_owned());
        let cases = [
            (vec![none("a"), yes.clone(), no.clone()], yes.clone()),
            (vec![none("a"), no.clone(), yes], no),
            (vec![none("a"), none(""), none("b")], none("0: a\n2: b")),
            (vec![], none("")),
        ];
        for (list, want) in cases {
            for later in [0, 1, 2] {
                let made = list.iter().enumerate();
                let made = made.map(|(i, d)| Named::new(i.to_string(), Says(d.clone(), i == later)));
                let union = Union(made.collect());
                let a = Attributes::default();
                assert_eq!(stdx::block_on(union.authorize(&a)), want, "{list:?} {later}");
            }
        }
    }
}
