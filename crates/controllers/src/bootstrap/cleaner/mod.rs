//! Token cleaner: deletes bootstrap tokens at the time that they name as their end.
// k8s: pkg/controller/bootstrap/tokencleaner.go

use std::sync::Arc;

use jiff::Timestamp;
use reconcile::{Action, Answers, Caches, Controller, Interests, Key, Plan};

use super::token;
use crate::core::serviceaccounttoken::{SECRETS, Secret};

/// The controller. Its keys are Secrets.
pub struct TokenCleaner;

impl Controller for TokenCleaner {
    type State = Arc<Secret>;
    type Memory = ();

    fn name(&self) -> &'static str {
        "token-cleaner"
    }

    fn interests(&self, i: &mut Interests) {
        i.on::<Secret>(|delta, _, sink| {
            if let Some(s) = delta.new.as_ref().filter(|s| s.is_bootstrap()) {
                sink.add(s.metadata.key());
            }
        });
    }

    fn observe(&self, key: &Key, caches: &Caches, _: &Answers) -> Option<Arc<Secret>> {
        caches.kind::<Secret>().by_key(key).filter(|s| s.is_bootstrap()).cloned()
    }

    fn reconcile(&self, secret: &Arc<Secret>, (): &mut (), now: Timestamp) -> Plan {
        match token::end(secret) {
            None => Plan::default(),
            Some(at) if at > now => Plan::at(at),
            Some(_) => {
                // Another one has its name now.
                let gone = &["NotFound", "Conflict"];
                Plan::of(vec![Action::delete(SECRETS, &secret.metadata).tolerate(gone)])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use reconcile::Op;
    use serde_json::json;

    #[test]
    fn a_token_goes_at_its_time() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let token = "bootstrap.kubernetes.io/token";
        // The namespace, the type, the end, when it is looked at again, whether it goes now.
        for (namespace, kind, end, again, goes) in [
            ("kube-system", token, "2026-01-01T00:00:01Z", Some("2026-01-01T00:00:01Z"), false),
            ("kube-system", token, "2026-01-01T02:00:01+02:00", Some("2026-01-01T00:00:01Z"), false),
            ("kube-system", token, "2026-01-01T00:00:00Z", None, true),
            ("kube-system", token, "tomorrow", None, true),
            ("kube-system", token, "", None, false),
            ("default", token, "2025-01-01T00:00:00Z", None, false),
            ("kube-system", "Opaque", "2025-01-01T00:00:00Z", None, false),
        ] {
            let end64 = base64::engine::general_purpose::STANDARD.encode(end);
            let secret = json!({"metadata": {"name": "bootstrap-token-abcdef", "namespace": namespace, "uid": "u"},
                "type": kind, "data": {"expiration": end64}});
            let mut caches = Caches::default();
            caches.kind_mut::<Secret>().upsert(meta::json::of(secret).unwrap());
            let key = Key::new(namespace, "bootstrap-token-abcdef");
            let state = TokenCleaner.observe(&key, &caches, &Answers::default());
            let plan = state.map(|s| TokenCleaner.reconcile(&s, &mut (), now)).unwrap_or_default();
            assert_eq!(plan.requeue_at, again.map(|t| t.parse().unwrap()), "{namespace} {kind} {end}");
            let deletes = |a: &Action| matches!(&a.op, Op::Delete { uid: Some(u), .. } if &**u == "u");
            assert_eq!(plan.actions().any(deletes), goes, "{namespace} {kind} {end}");
        }
    }
}
