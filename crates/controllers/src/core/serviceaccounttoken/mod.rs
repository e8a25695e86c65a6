//! Service account tokens: a Secret of the type `kubernetes.io/service-account-token` is given a token that does not
//! expire, the CA and its namespace; it goes when its account is gone, and the account no longer names a Secret that is
//! gone. Who signs is behind the port [`PORT`].
//!
//! Reads such Secrets and service accounts; writes nothing else.
// k8s: pkg/controller/serviceaccount/tokens_controller.go

mod types;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use reconcile::{Action, Answer, Answers, Caches, Controller, Delta, Interests, Key, KeySink, Plan, time};
use serde_json::{Value, json};

pub use self::types::{BOOTSTRAP_NAMESPACE, Owner, SECRETS, Secret};
use crate::core::serviceaccount::{SERVICEACCOUNTS, ServiceAccount};

/// Signs tokens. The question has the fields of [`question`], the answer is the token as a JSON string.
pub const PORT: &str = "service-account-token";

/// When a Secret that is gone is looked at once more, to forget it.
const FORGET: Duration = Duration::from_secs(30);

/// The controller. Its keys are Secrets.
pub struct ServiceAccountTokens {
    /// The `ca.crt` of tokens, in PEM; empty: they have none.
    pub root_ca: Arc<str>,
}

/// What a decision on a Secret depends on.
#[derive(Clone, Debug)]
pub enum State {
    /// It is gone. `named_by`: the accounts in its namespace that still name it.
    Gone { key: Key, named_by: Vec<Arc<ServiceAccount>> },
    /// The caches do not have its account. `gone`: what a live read said.
    Orphan { secret: Arc<Secret>, gone: Option<bool> },
    /// `token`: what the signer said.
    Held { secret: Arc<Secret>, account: Arc<ServiceAccount>, token: Option<Result<String, String>> },
}

/// What the signer is asked for a Secret of an account.
#[must_use]
pub fn question(secret: &Secret, account: &ServiceAccount) -> Value {
    let m = &account.metadata;
    json!({"namespace": m.namespace, "account": m.name, "uid": m.uid, "secret": secret.metadata.name})
}

fn account_changed(delta: &Delta<ServiceAccount>, caches: &Caches, sink: &mut KeySink) {
    let Some(account) = delta.latest() else { return };
    let m = &account.metadata;
    let is_same = |old: &ServiceAccount| old.metadata.uid == m.uid;
    if delta.new.is_some() && delta.old.as_deref().is_some_and(is_same) {
        return;
    }
    for secret in caches.kind::<Secret>().by_index(types::BY_ACCOUNT, &types::index(&m.namespace, &m.name)) {
        sink.add(secret.metadata.key());
    }
}

/// Whether a live read found that there is no such account.
fn is_gone(answer: &Result<Answer, meta::Status>, uid: &str) -> bool {
    match answer {
        Err(e) => e.code == 404,
        Ok(Answer::Object(bytes)) => meta::json::read::<ServiceAccount>(bytes)
            .is_ok_and(|account| !uid.is_empty() && *account.metadata.uid != *uid),
        Ok(_) => false,
    }
}

fn token(answer: &Result<Answer, meta::Status>) -> Result<String, String> {
    match answer {
        Ok(Answer::Object(bytes)) => serde_json::from_slice(bytes).map_err(|e| e.to_string()),
        Ok(_) => Err("the signer gave no token".to_owned()),
        Err(e) => Err(e.message.clone()),
    }
}

impl Controller for ServiceAccountTokens {
    type State = State;
    type Memory = Owner;

    fn name(&self) -> &'static str {
        "serviceaccount-token-controller"
    }

    fn interests(&self, i: &mut Interests) {
        i.on::<Secret>(|delta, _, sink| {
            if let Some(s) = delta.latest().filter(|s| s.is_token()) {
                sink.add(s.metadata.key());
            }
        });
        i.on::<ServiceAccount>(account_changed);
    }

    fn observe(&self, key: &Key, caches: &Caches, answers: &Answers) -> Option<State> {
        let accounts = caches.kind::<ServiceAccount>();
        let Some(secret) = caches.kind::<Secret>().by_key(key).filter(|s| s.is_token()) else {
            let named_by: Vec<_> =
                accounts.list(&key.namespace).filter(|a| a.names(&key.name)).cloned().collect();
            return (!named_by.is_empty()).then(|| State::Gone { key: key.clone(), named_by });
        };
        let (name, uid) = (secret.account(), secret.account_uid());
        if name.is_empty() {
            return None;
        }
        let secret = secret.clone();
        let found = accounts.get(&key.namespace, name).filter(|a| uid.is_empty() || *a.metadata.uid == *uid);
        let Some(account) = found.cloned() else {
            let answer = answers.got(&SERVICEACCOUNTS, &key.namespace, name);
            return Some(State::Orphan { gone: answer.map(|a| is_gone(a, uid)), secret });
        };
        let token = answers.asked(PORT, &question(&secret, &account)).map(token);
        Some(State::Held { secret, account, token })
    }

    fn reconcile(&self, state: &State, owner: &mut Owner, now: Timestamp) -> Plan {
        match state {
            State::Gone { key, named_by } => {
                let was = |a: &&Arc<ServiceAccount>| {
                    *a.metadata.name == *owner.name && (owner.uid.is_empty() || *a.metadata.uid == *owner.uid)
                };
                let mut plan = Plan::of(named_by.iter().filter(was).map(|a| forget(a, key)).collect());
                if plan.is_empty() {
                    *owner = Owner::default();
                } else {
                    // Nobody tells when the account has changed, and then whose the Secret was need not be known.
                    plan.requeue_by(time::after(now, FORGET));
                }
                plan
            }
            State::Orphan { secret, gone } => {
                *owner = secret.owner();
                let m = &secret.metadata;
                match gone {
                    None => Plan::of(vec![Action::get(SERVICEACCOUNTS, &m.namespace, secret.account())]),
                    Some(true) => {
                        Plan::of(vec![Action::delete(SECRETS, m).tolerate(&["NotFound", "Conflict"])])
                    }
                    // The caches lag, or the read failed.
                    Some(false) => Plan { retry: true, ..Plan::default() },
                }
            }
            State::Held { secret, account, token } => {
                *owner = secret.owner();
                self.fill(secret, account, token.as_ref())
            }
        }
    }
}

/// Takes a Secret that is gone from those that an account names.
// k8s: pkg/controller/serviceaccount/tokens_controller.go removeSecretReference
fn forget(account: &ServiceAccount, secret: &Key) -> Action {
    let rest: Vec<&Value> = account.secrets.iter().filter(|s| s["name"] != *secret.name).collect();
    let m = &account.metadata;
    let body = json!({
        "metadata": {"uid": m.uid, "resourceVersion": m.resource_version.to_string()},
        "secrets": rest,
    });
    Action::merge_patch(SERVICEACCOUNTS, &m.key(), "", &body).tolerate(&["NotFound"])
}

impl ServiceAccountTokens {
    // k8s: pkg/controller/serviceaccount/tokens_controller.go generateTokenIfNeeded
    fn fill(
        &self,
        secret: &Secret,
        account: &ServiceAccount,
        token: Option<&Result<String, String>>,
    ) -> Plan {
        let lacks_ca = !self.root_ca.is_empty() && *secret.data.ca != *types::base64(&self.root_ca);
        let (lacks_token, lacks_namespace) = (!secret.data.token, !secret.data.namespace);
        if !lacks_ca && !lacks_token && !lacks_namespace {
            return Plan::default();
        }
        let m = &secret.metadata;
        let mut data = serde_json::Map::new();
        if lacks_ca {
            data.insert("ca.crt".to_owned(), types::base64(&self.root_ca).into());
        }
        if lacks_namespace {
            data.insert("namespace".to_owned(), types::base64(&m.namespace).into());
        }
        if lacks_token {
            match token {
                None => return Plan::of(vec![Action::ask(PORT, &question(secret, account))]),
                Some(Ok(token)) => data.insert("token".to_owned(), types::base64(token).into()),
                Some(Err(_)) => return Plan { retry: true, ..Plan::default() },
            };
        }
        let body = json!({
            "metadata": {
                "uid": m.uid, "resourceVersion": m.resource_version.to_string(),
                "annotations": {types::ACCOUNT: account.metadata.name, types::ACCOUNT_UID: account.metadata.uid},
            },
            "data": data,
        });
        // Whoever changed it meanwhile causes another look.
        Plan::of(vec![Action::merge_patch(SECRETS, &m.key(), "", &body).tolerate(&["NotFound", "Conflict"])])
    }
}

#[cfg(test)]
mod tests;
