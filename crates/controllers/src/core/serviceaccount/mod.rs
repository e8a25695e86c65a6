//! ServiceAccount: every active namespace has a service account `default`.
//!
//! Reads namespaces and service accounts named `default`; only ever creates.
// k8s: pkg/controller/serviceaccount/serviceaccounts_controller.go

use jiff::Timestamp;
use meta::Gvr;
use reconcile::{Action, Answers, Caches, Controller, Interests, Key, ObjectMeta, Plan, Projection};
use serde::Deserialize;
use serde_json::json;

use crate::core::namespace::types::Namespace;

/// `serviceaccounts`.
pub const SERVICEACCOUNTS: Gvr = Gvr::new("", "v1", "serviceaccounts");

/// The controller. Its keys are namespaces.
pub struct ServiceAccounts;

/// A service account.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ServiceAccount {
    pub metadata: ObjectMeta,
    /// References to Secrets.
    pub secrets: Vec<serde_json::Value>,
}

impl ServiceAccount {
    /// Whether it refers to a Secret of that name.
    #[must_use]
    pub fn names(&self, secret: &str) -> bool {
        self.secrets.iter().any(|s| s["name"] == *secret)
    }
}

impl Projection for ServiceAccount {
    const GVR: Gvr = SERVICEACCOUNTS;

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn compact(&mut self) {
        self.metadata.annotations.retain(|_| false);
    }
}

/// What a decision on a namespace depends on.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub namespace: String,
    pub present: bool,
}

impl Controller for ServiceAccounts {
    type State = State;
    type Memory = ();

    fn name(&self) -> &'static str {
        "serviceaccount-controller"
    }

    fn interests(&self, i: &mut Interests) {
        i.own::<Namespace>();
        i.on::<ServiceAccount>(|delta, _, sink| {
            if let (Some(old), None) = (&delta.old, &delta.new) {
                sink.add(Key::new("", &old.metadata.namespace));
            }
        });
    }

    fn observe(&self, key: &Key, caches: &Caches, _: &Answers) -> Option<State> {
        let ns = caches.kind::<Namespace>().by_key(key).filter(|n| n.active())?;
        let present = caches.kind::<ServiceAccount>().get(&ns.metadata.name, "default").is_some();
        Some(State { namespace: ns.metadata.name.to_string(), present })
    }

    fn reconcile(&self, state: &State, _: &mut (), _: Timestamp) -> Plan {
        if state.present {
            return Plan::default();
        }
        let body = json!({
            "kind": "ServiceAccount", "apiVersion": "v1",
            "metadata": {"name": "default", "namespace": state.namespace},
        });
        let create = Action::create(SERVICEACCOUNTS, &state.namespace, "default", &body);
        Plan::of(vec![create.tolerate(&["AlreadyExists"])])
    }
}
