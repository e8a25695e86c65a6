//! Root CA publisher: every active namespace has a config map `kube-root-ca.crt` with the certificate that
//! pods verify the API server with.
//!
//! Reads namespaces and config maps of that name; writes only those.
// k8s: pkg/controller/certificates/rootcacertpublisher/publisher.go

use std::sync::Arc;

use jiff::Timestamp;
use meta::Gvr;
use reconcile::{Action, Answers, Caches, Controller, Interests, Key, ObjectMeta, Plan, Projection, StrMap};
use serde::Deserialize;
use serde_json::json;

use crate::core::namespace::types::Namespace;

/// `configmaps`.
pub const CONFIGMAPS: Gvr = Gvr::new("", "v1", "configmaps");
/// The name of the config map.
pub const NAME: &str = "kube-root-ca.crt";
/// Namespace and name of what says to joining machines which cluster it is.
pub const CLUSTER_INFO: (&str, &str) = ("kube-public", "cluster-info");
const DESCRIPTION: &str = "kubernetes.io/description";
const DESCRIPTION_TEXT: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when \
     using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is \
     guaranteed across distributions of Kubernetes clusters.";

/// The controller. Its keys are namespaces.
pub struct RootCa {
    /// The certificates in PEM.
    pub bundle: Arc<str>,
}

/// A config map. The data of others than `kube-root-ca.crt` and `cluster-info` is not kept.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ConfigMap {
    pub metadata: ObjectMeta,
    pub data: StrMap,
}

impl Projection for ConfigMap {
    const GVR: Gvr = CONFIGMAPS;

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn compact(&mut self) {
        let m = &self.metadata;
        if &*m.name != NAME && (&*m.namespace, &*m.name) != CLUSTER_INFO {
            self.data = StrMap::default();
        }
        self.metadata.annotations.retain(|k| k == DESCRIPTION);
    }
}

/// What a decision on a namespace depends on.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub namespace: String,
    pub bundle: Arc<str>,
    pub present: Option<Arc<ConfigMap>>,
}

impl Controller for RootCa {
    type State = State;
    type Memory = ();

    fn name(&self) -> &'static str {
        "root-ca-cert-publisher"
    }

    fn interests(&self, i: &mut Interests) {
        i.own::<Namespace>();
        i.on::<ConfigMap>(|delta, _, sink| {
            if let Some(c) = delta.latest().filter(|c| &*c.metadata.name == NAME) {
                sink.add(Key::new("", &c.metadata.namespace));
            }
        });
    }

    fn observe(&self, key: &Key, caches: &Caches, _: &Answers) -> Option<State> {
        let ns = caches.kind::<Namespace>().by_key(key).filter(|n| n.active())?;
        let present = caches.kind::<ConfigMap>().get(&ns.metadata.name, NAME).cloned();
        Some(State { namespace: ns.metadata.name.to_string(), bundle: self.bundle.clone(), present })
    }

    fn reconcile(&self, state: &State, _: &mut (), _: Timestamp) -> Plan {
        let data = json!({"ca.crt": state.bundle});
        let annotations = json!({DESCRIPTION: DESCRIPTION_TEXT});
        let Some(have) = &state.present else {
            let body = json!({
                "kind": "ConfigMap", "apiVersion": "v1",
                "metadata": {"name": NAME, "namespace": state.namespace, "annotations": annotations},
                "data": data,
            });
            return Plan::of(vec![Action::create(CONFIGMAPS, &state.namespace, NAME, &body)]);
        };
        let right = have.data.len() == 1
            && have.data.get("ca.crt") == Some(&*state.bundle)
            && have.metadata.annotations.get(DESCRIPTION).is_some();
        if right {
            return Plan::default();
        }
        let mut data = data;
        for (k, _) in have.data.iter().filter(|(k, _)| *k != "ca.crt") {
            data[k] = serde_json::Value::Null;
        }
        let body = json!({"metadata": {"annotations": annotations}, "data": data});
        let patch = Action::merge_patch(CONFIGMAPS, &have.metadata.key(), "", &body);
        Plan::of(vec![patch.tolerate(&["NotFound"])])
    }
}
