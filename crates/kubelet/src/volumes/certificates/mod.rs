//! Certificates of pods in projected volumes: the key is made here and stays here; a signer gives the certificate.
//! A restarted agent asks for new ones.
// k8s: pkg/kubelet/podcertificate/podcertificatemanager.go

mod state;

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use client::{Api, Client};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, PodCertificateProjection};
use meta::{Gvr, Status};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::run::events::Events;
use crate::spec::PodExt;
use state::{Ask, JITTER, Pending, Seen, State};

const REQUESTS: Gvr = Gvr::new("certificates.k8s.io", "v1", "podcertificaterequests");
const ACCOUNTS: Gvr = Gvr::new("", "v1", "serviceaccounts");
const NODES: Gvr = Gvr::new("", "v1", "nodes");

/// Pod, volume, and the place among the volume's sources.
type Key = (String, String, usize);

/// One source of a projected volume.
pub(super) struct Place<'a> {
    pub volume: &'a str,
    pub index: usize,
    pub source: &'a PodCertificateProjection,
}

/// What is known of one source.
#[derive(Default)]
struct Held {
    signer: String,
    /// Who drives it on; others wait.
    turn: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

/// Asks for certificates and keeps them with their keys.
pub struct Certificates {
    client: Arc<dyn Client>,
    entropy: Arc<dyn sys::Entropy>,
    events: Arc<Events>,
    node: String,
    held: Mutex<BTreeMap<Key, Arc<Held>>>,
}

impl Certificates {
    /// Nothing held.
    pub(crate) fn new(
        client: Arc<dyn Client>,
        entropy: Arc<dyn sys::Entropy>,
        events: Arc<Events>,
        node: &str,
    ) -> Self {
        Certificates { client, entropy, events, node: node.to_owned(), held: Mutex::default() }
    }

    /// Private key and chain of a source, in PEM.
    ///
    /// # Errors
    /// When there is none yet, or never will be. Who asks again later drives it on.
    pub(super) async fn get(&self, pod: &Pod, place: &Place<'_>, now: Timestamp) -> Result<(String, String)> {
        let key = (pod.uid().to_owned(), place.volume.to_owned(), place.index);
        let fresh = || Arc::new(Held { signer: place.source.signer_name.clone(), ..Held::default() });
        let held = self.held.lock().entry(key).or_insert_with(fresh).clone();
        let _turn = held.turn.lock().await;
        let mut state = held.state.lock().clone();
        for (reason, message) in state.late(now) {
            self.events.pod(pod, true, reason, message, None);
        }
        let moved = self.step(pod, place, &mut state, now).await;
        *held.state.lock() = state.clone();
        // What is there is shown though the next one cannot be had.
        match (state.bundle(), moved) {
            (Ok(bundle), Ok(())) => Ok(bundle),
            (Ok(bundle), Err(e)) => {
                tracing::warn!(pod = %pod.text(), volume = place.volume, "the certificate is not renewed: {e}");
                Ok(bundle)
            }
            (Err(_), Err(e)) => Err(e),
            (Err(why), Ok(())) => Err(Error::Volume(why)),
        }
    }

    /// How many sources stand how, by signer and state.
    pub(crate) fn states(&self, now: Timestamp) -> BTreeMap<(String, &'static str), usize> {
        let mut out = BTreeMap::new();
        for held in self.held.lock().values() {
            *out.entry((held.signer.clone(), held.state.lock().word(now))).or_default() += 1;
        }
        out
    }

    /// Forgets a pod's keys and certificates.
    pub fn forget(&self, uid: &str) {
        self.held.lock().retain(|(u, ..), _| u != uid);
    }

    async fn step(&self, pod: &Pod, place: &Place<'_>, state: &mut State, now: Timestamp) -> Result<()> {
        if let Ask::Look(request) = state.ask(now) {
            let found = self.look(pod.ns(), &request).await?;
            for (reason, message) in state.seen(found.as_ref(), self.jitter()) {
                self.events.pod(pod, true, reason, message, None);
            }
        }
        if state.ask(now) == Ask::Create {
            let pending = self.create(pod, place.source).await?;
            state.created(pending);
        }
        Ok(())
    }

    fn jitter(&self) -> SignedDuration {
        let most = JITTER.as_secs().unsigned_abs();
        SignedDuration::from_secs((self.entropy.next_u64() % most).cast_signed())
    }

    async fn look(&self, namespace: &str, request: &str) -> Result<Option<Seen>> {
        let fail = |why: String| {
            Error::Volume(format!("while getting PodCertificateRequest \"{namespace}/{request}\": {why}"))
        };
        match Api::new(self.client.as_ref(), REQUESTS, namespace).get(request).await {
            Ok(body) => serde_json::from_slice(&body).map(Some).map_err(|e| fail(e.to_string())),
            Err(s) if s.code == 404 => Ok(None),
            Err(s) => Err(fail(s.message)),
        }
    }

    async fn create(&self, pod: &Pod, source: &PodCertificateProjection) -> Result<Pending> {
        let fail = |what: &str, why: String| Error::Volume(format!("while {what}: {why}"));
        let account = pod.sp().service_account_name.as_deref().filter(|s| !s.is_empty()).unwrap_or("default");
        let account_uid = self
            .uid_of(ACCOUNTS, pod.ns(), account)
            .await
            .map_err(|s| fail("fetching service account", s.message))?;
        let node_uid =
            self.uid_of(NODES, "", &self.node).await.map_err(|s| fail("getting node object", s.message))?;
        let key_type = source.key_type.clone();
        // Large keys take their time.
        let made = tokio::task::spawn_blocking(move || wire::pki::stub_request(&key_type)).await;
        let stub = made.map_err(|e| e.to_string()).flatten().map_err(|e| fail("generating keypair", e))?;
        let body = json!({
            "apiVersion": "certificates.k8s.io/v1", "kind": "PodCertificateRequest",
            "metadata": {
                "generateName": "req-",
                "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": pod.nm(), "uid": pod.uid()}],
            },
            "spec": {
                "signerName": source.signer_name,
                "podName": pod.nm(), "podUID": pod.uid(),
                "serviceAccountName": account, "serviceAccountUID": account_uid,
                "nodeName": self.node, "nodeUID": node_uid,
                "maxExpirationSeconds": source.max_expiration_seconds,
                "stubPKCS10Request": STANDARD.encode(&stub.request_der),
                "unverifiedUserAnnotations": source.user_annotations,
            },
        });
        let fail = |why: String| fail("creating PodCertificateRequest", why);
        let answer = Api::new(self.client.as_ref(), REQUESTS, pod.ns())
            .create(body.to_string().into_bytes())
            .await
            .map_err(|s| fail(s.message))?;
        let answer: Value = serde_json::from_slice(&answer).map_err(|e| fail(e.to_string()))?;
        match answer["metadata"]["name"].as_str() {
            Some(name) => Ok(Pending { key: stub.key_pem, request: name.to_owned() }),
            None => Err(fail("the answer has no name".to_owned())),
        }
    }

    async fn uid_of(&self, gvr: Gvr, namespace: &str, name: &str) -> std::result::Result<String, Status> {
        let body = Api::new(self.client.as_ref(), gvr, namespace).get(name).await?;
        let object: Value = serde_json::from_slice(&body).unwrap_or_default();
        Ok(object["metadata"]["uid"].as_str().unwrap_or_default().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use control::Context;

    use super::super::fake::Fake;
    use super::*;

    fn fake() -> Arc<Fake> {
        Arc::new(Fake::of([
            ("nodes", json!({"metadata": {"name": "n", "uid": "node-uid"}})),
            ("serviceaccounts", json!({"metadata": {"name": "robot", "uid": "account-uid"}})),
        ]))
    }

    fn requests(fake: &Fake) -> Vec<Value> {
        let all = fake.objects.lock();
        all.iter().filter(|(p, _)| p == "podcertificaterequests").map(|(_, o)| o.clone()).collect()
    }

    /// Writes the newest request's status.
    fn answer(fake: &Fake, status: &Value) {
        let mut all = fake.objects.lock();
        all.last_mut().unwrap().1["status"] = status.clone();
    }

    #[tokio::test]
    async fn a_source_gets_its_key_and_chain() {
        let fake = fake();
        let ctx = Context::new(fake.clone());
        let held =
            Certificates::new(fake.clone(), ctx.entropy.clone(), Arc::new(Events::new(&ctx, "n")), "n");
        let pod: Pod =
            serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "ns", "uid": "u"},
            "spec": {"serviceAccountName": "robot", "containers": []}}))
            .unwrap();
        let source: PodCertificateProjection = serde_json::from_value(json!({"signerName": "a.b/c",
            "keyType": "ED25519", "maxExpirationSeconds": 3600, "userAnnotations": {"a.b/c": "d"}}))
        .unwrap();
        let place = Place { volume: "v", index: 1, source: &source };
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        for _ in 0..2 {
            let why = held.get(&pod, &place, now).await.unwrap_err().to_string();
            assert_eq!(why, "credential bundle is not issued yet");
        }
        let states = |held: &Certificates| held.states(now).into_iter().collect::<Vec<_>>();
        assert_eq!(states(&held), [(("a.b/c".to_owned(), "not_yet_issued"), 1)]);
        let all = requests(&fake);
        assert_eq!(all.len(), 1);
        let spec = &all[0]["spec"];
        for (field, want) in [
            ("signerName", "a.b/c"),
            ("podName", "p"),
            ("podUID", "u"),
            ("serviceAccountName", "robot"),
            ("serviceAccountUID", "account-uid"),
            ("nodeName", "n"),
            ("nodeUID", "node-uid"),
        ] {
            assert_eq!(spec[field], want, "{field}");
        }
        assert_eq!(
            (&spec["maxExpirationSeconds"], &spec["unverifiedUserAnnotations"]["a.b/c"]),
            (&json!(3600), &json!("d"))
        );
        let chain = meta::pem::encode("CERTIFICATE", b"x");
        answer(
            &fake,
            &json!({"conditions": [{"type": "Issued", "status": "True"}], "certificateChain": chain,
            "beginRefreshAt": "2026-01-01T00:30:00Z", "notAfter": "2026-01-01T01:00:00Z"}),
        );
        let (key, got) = held.get(&pod, &place, now).await.unwrap();
        assert_eq!(got, chain);
        assert_eq!(states(&held), [(("a.b/c".to_owned(), "fresh"), 1)]);
        assert!(key.starts_with("-----BEGIN PRIVATE KEY-----"), "{key}");
        // With the most jitter that there is.
        let later = now + Duration::from_secs(35 * 60);
        assert_eq!(held.get(&pod, &place, later).await.unwrap(), (key.clone(), chain.clone()));
        assert_eq!(requests(&fake).len(), 2);
        // Nothing can be made now: what is there is shown.
        fake.objects.lock().clear();
        assert_eq!(held.get(&pod, &place, later).await.unwrap(), (key, chain));
        held.forget("u");
        let why = held.get(&pod, &place, later).await.unwrap_err().to_string();
        assert!(why.starts_with("while fetching service account: "), "{why}");
    }
}
