//! Trust publisher: one ClusterTrustBundle with the certificates that clients verify the API server with, and no other
//! of its signer.
// k8s: pkg/controller/certificates/clustertrustbundlepublisher/publisher.go

use std::fmt::Write as _;
use std::sync::Arc;

use jiff::Timestamp;
use meta::Gvr;
use reconcile::{Action, Answers, Caches, Controller, Interests, Key, ObjectMeta, Plan, Projection};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// `clustertrustbundles`.
pub const BUNDLES: Gvr = Gvr::new("certificates.k8s.io", "v1", "clustertrustbundles");
const SIGNER: &str = "kubernetes.io/kube-apiserver-serving";
const PREFIX: &str = "kubernetes.io:kube-apiserver-serving:";
/// Bytes of the hash that are in the name.
const HASH_BYTES: usize = 12;
/// The only key.
const KEY: &str = "bundle";

/// The controller.
pub struct TrustPublisher {
    /// The certificates in PEM.
    pub bundle: Arc<str>,
}

/// A bundle. Of other signers only the metadata is kept.
#[derive(Clone, Debug, Default)]
pub struct Bundle {
    pub metadata: ObjectMeta,
    /// The whole object, which has to be sent back.
    object: Option<Value>,
}

#[derive(Deserialize)]
struct Parts {
    #[serde(default)]
    metadata: ObjectMeta,
}

impl<'de> Deserialize<'de> for Bundle {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let object = Value::deserialize(d)?;
        let Parts { metadata } = meta::json::of(&object).map_err(D::Error::custom)?;
        let is_ours = object["spec"]["signerName"] == SIGNER;
        Ok(Bundle { metadata, object: is_ours.then_some(object) })
    }
}

impl Projection for Bundle {
    const GVR: Gvr = BUNDLES;

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}

/// The name of a bundle with this text.
fn name_of(text: &str) -> String {
    let hash = Sha256::digest(text.as_bytes());
    let mut name = PREFIX.to_owned();
    for byte in hash.iter().take(HASH_BYTES) {
        // A String takes whatever is written.
        let _ = write!(name, "{byte:02x}");
    }
    name
}

impl Controller for TrustPublisher {
    type State = Vec<Arc<Bundle>>;
    type Memory = ();

    fn name(&self) -> &'static str {
        "kube-apiserver-serving-clustertrustbundle-publisher-controller"
    }

    fn interests(&self, i: &mut Interests) {
        i.at_start(Key::new("", KEY));
        i.on::<Bundle>(|delta, _, sink| {
            if delta.both().any(|b| b.object.is_some()) {
                sink.add(Key::new("", KEY));
            }
        });
    }

    fn observe(&self, _: &Key, caches: &Caches, _: &Answers) -> Option<Self::State> {
        Some(caches.kind::<Bundle>().iter().filter(|b| b.object.is_some()).cloned().collect())
    }

    fn reconcile(&self, present: &Self::State, _: &mut (), _: Timestamp) -> Plan {
        let name = name_of(&self.bundle);
        let (ours, others): (Vec<_>, Vec<_>) = present.iter().partition(|b| *b.metadata.name == *name);
        let mut plan = Plan::default();
        match ours.first().and_then(|b| Some((b, b.object.as_ref()?))) {
            None => {
                let body = json!({
                    "kind": "ClusterTrustBundle", "apiVersion": "certificates.k8s.io/v1",
                    "metadata": {"name": name},
                    "spec": {"signerName": SIGNER, "trustBundle": self.bundle},
                });
                plan.step(vec![Action::create(BUNDLES, "", &name, &body)]);
            }
            Some((_, object)) if object["spec"]["trustBundle"] == *self.bundle => {}
            Some((b, object)) => {
                let mut object = object.clone();
                object["kind"] = "ClusterTrustBundle".into();
                object["apiVersion"] = "certificates.k8s.io/v1".into();
                object["spec"]["trustBundle"] = Value::from(&*self.bundle);
                plan.step(vec![Action::update(BUNDLES, &b.metadata.key(), "", &object)]);
            }
        }
        // Only then: somebody reads the old ones until there is a new one.
        plan.step(others.iter().map(|b| Action::delete(BUNDLES, &b.metadata)).collect());
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(name: &str, signer: &str, text: &str) -> Arc<Bundle> {
        let object = json!({"metadata": {"name": name, "labels": {"a": "b"}, "resourceVersion": "7"},
            "spec": {"signerName": signer, "trustBundle": text}});
        Arc::new(serde_json::from_value(object).unwrap())
    }

    #[test]
    fn one_bundle_is_kept() {
        // printf pem | sha256sum | cut -c1-24
        let name = "kubernetes.io:kube-apiserver-serving:f0aeace912cf19dc1c6fffd4";
        let own = || bundle(&name_of("pem"), SIGNER, "pem");
        let old = || bundle("kubernetes.io:kube-apiserver-serving:old", SIGNER, "old");
        let edited = || bundle(&name_of("pem"), SIGNER, "edited");
        assert_eq!(name_of("pem"), name);
        let cases: [(Vec<Arc<Bundle>>, &[&str]); 5] = [
            (vec![], &["create"]),
            (vec![own()], &[]),
            (vec![old()], &["create", "delete"]),
            (vec![old(), own()], &["delete"]),
            (vec![edited()], &["update"]),
        ];
        let publisher = TrustPublisher { bundle: "pem".into() };
        for (present, want) in cases {
            let plan = publisher.reconcile(&present, &mut (), Timestamp::UNIX_EPOCH);
            let got: Vec<_> = plan.actions().map(|a| a.op.verb()).collect();
            assert_eq!(got, want, "{present:?}");
        }
        assert!(bundle("x", "example.com/x", "t").object.is_none());
    }
}
