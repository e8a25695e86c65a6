//! Trust anchors of projected volumes: the certificates of one ClusterTrustBundle, or of all that a signer has under
//! some labels, each once.
// k8s: pkg/kubelet/clustertrustbundle/clustertrustbundle_manager.go

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use client::{Api, ListParams};
use k8s_openapi::api::core::v1::ClusterTrustBundleProjection;
use meta::labels::{LabelSelector, Selector};
use meta::{Gvr, pem};
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::objects::Objects;

const BUNDLES: Gvr = Gvr::new("certificates.k8s.io", "v1", "clustertrustbundles");
/// Bundles read at a time: each may be a mebibyte.
const PAGE: u32 = 16;
const LIMIT_SELECTOR_BYTES: usize = 100 * 1024;
/// The certificates of one file at most, as they are before they are written as text.
const LIMIT_ANCHORS_BYTES: usize = 16 << 20;

#[derive(Deserialize)]
struct Bundle {
    spec: BundleSpec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BundleSpec {
    #[serde(default)]
    trust_bundle: String,
}

/// Certificates, each once.
#[derive(Default)]
struct Anchors {
    all: BTreeSet<Vec<u8>>,
    bytes: usize,
}

impl Anchors {
    fn add(&mut self, bundle: &[u8]) -> Result<()> {
        let bundle: Bundle = serde_json::from_slice(bundle)
            .map_err(|e| Error::Api(format!("while reading ClusterTrustBundle: {e}")))?;
        for block in pem::blocks(&bundle.spec.trust_bundle) {
            let size = block.contents.len();
            if self.all.insert(block.contents) {
                self.bytes += size;
            }
        }
        if self.bytes > LIMIT_ANCHORS_BYTES {
            let why = format!("the trust anchors take more than {LIMIT_ANCHORS_BYTES} bytes");
            return Err(Error::Volume(why));
        }
        Ok(())
    }

    /// As text, in an order that only `seed` knows, so that nobody builds on one.
    fn text(self, seed: u64) -> Bytes {
        let mut list: Vec<Vec<u8>> = self.all.into_iter().collect();
        list.sort_by_cached_key(|der| stdx::hash::fnv1a64(&[&seed.to_le_bytes(), der.as_slice()].concat()));
        list.iter().map(|der| pem::encode("CERTIFICATE", der)).collect::<String>().into()
    }
}

/// The text of a file; empty when nothing is found and the pod says that this may be.
///
/// # Errors
/// When there is nothing, or the API server cannot be asked.
pub(super) async fn anchors(
    objects: &Objects,
    source: &ClusterTrustBundleProjection,
    max_age: Duration,
    seed: u64,
) -> Result<Vec<u8>> {
    let (found, missing) = match (&source.name, &source.signer_name) {
        (Some(name), _) => {
            let why = format!(
                "while getting ClusterTrustBundle: clustertrustbundle.certificates.k8s.io {name:?} not found"
            );
            (named(objects, name, max_age, seed).await?, why)
        }
        (None, Some(signer)) => {
            let why = "combination of signerName and labelSelector matched zero ClusterTrustBundles";
            (of_signer(objects, signer, source, max_age, seed).await?, why.to_owned())
        }
        (None, None) => (None, "a clusterTrustBundle has neither name nor signerName".to_owned()),
    };
    match found {
        Some(text) => Ok(text.to_vec()),
        None if source.optional == Some(true) => Ok(Vec::new()),
        None => Err(Error::Volume(missing)),
    }
}

async fn named(objects: &Objects, name: &str, max_age: Duration, seed: u64) -> Result<Option<Bytes>> {
    let key = ("clustertrustbundle", String::new(), name.to_owned());
    let fetch = async {
        let Some(bundle) = objects.fetch(BUNDLES, "", name).await? else { return Ok::<_, Error>(None) };
        let mut anchors = Anchors::default();
        anchors.add(&bundle)?;
        Ok(Some(anchors.text(seed)))
    };
    objects.cached(key, max_age, fetch).await
}

async fn of_signer(
    objects: &Objects,
    signer: &str,
    source: &ClusterTrustBundleProjection,
    max_age: Duration,
    seed: u64,
) -> Result<Option<Bytes>> {
    let Some(selector) = selector(source)? else { return Ok(None) };
    let key = ("clustertrustbundles", signer.to_owned(), selector.clone());
    let fetch = async {
        let api = Api::new(objects.client(), BUNDLES, "");
        let mut params = ListParams {
            field_selector: format!("spec.signerName={signer}"),
            label_selector: selector,
            limit: PAGE,
            ..ListParams::default()
        };
        let (mut anchors, mut found) = (Anchors::default(), false);
        loop {
            let page = api.list(&params).await.map_err(|s| Error::Api(s.message))?;
            for bundle in &page.items {
                found = true;
                anchors.add(bundle)?;
            }
            if page.continue_token.is_empty() {
                return Ok::<_, Error>(found.then(|| anchors.text(seed)));
            }
            params.continue_token = page.continue_token;
        }
    };
    objects.cached(key, max_age, fetch).await
}

/// The labels asked for, as a list takes them; `None` matches nothing, as no selector does.
fn selector(source: &ClusterTrustBundleProjection) -> Result<Option<String>> {
    let Some(given) = &source.label_selector else { return Ok(None) };
    let wrong = |e: &dyn std::fmt::Display| Error::Volume(format!("while parsing label selector: {e}"));
    let given: LabelSelector =
        serde_json::to_value(given).and_then(serde_json::from_value).map_err(|e| wrong(&e))?;
    let selector = Selector::from_label_selector(Some(&given)).map_err(|e| wrong(&e.0))?;
    if selector.is_nothing() {
        return Ok(None);
    }
    let text = selector.to_string();
    if text.len() > LIMIT_SELECTOR_BYTES {
        let size = text.len();
        let why = format!("label selector length ({size}) is larger than {LIMIT_SELECTOR_BYTES}");
        return Err(Error::Volume(why));
    }
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::super::fake::Fake;
    use super::*;

    const AGE: Duration = Duration::ZERO;

    fn text(names: &[&str]) -> String {
        names.iter().map(|n| pem::encode("CERTIFICATE", n.as_bytes())).collect()
    }

    fn objects() -> (Objects, Arc<Fake>) {
        let bundle = |name: &str, signer: &str, alive: &str, names: &[&str]| {
            let text = format!("words\n{}", text(names));
            (
                "clustertrustbundles",
                json!({"metadata": {"name": name, "labels": {"alive": alive}},
                "spec": {"signerName": signer, "trustBundle": text}}),
            )
        };
        let mut all =
            vec![bundle("one", "", "yes", &["a", "b", "a"]), bundle("other", "s.io/y", "yes", &["z"])];
        // More than a page.
        for i in 0..PAGE + 4 {
            let (name, alive) = (format!("s.io:x:{i}"), if i % 10 == 0 { "yes" } else { "no" });
            all.push(bundle(&name, "s.io/x", alive, &["common", &name]));
        }
        let fake = Arc::new(Fake::of(all));
        (Objects::new(fake.clone(), Arc::new(sys::SystemClock)), fake)
    }

    fn source(fields: serde_json::Value) -> ClusterTrustBundleProjection {
        let mut source = json!({"path": "p"});
        source.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        serde_json::from_value(source).unwrap()
    }

    /// The certificates of a file, sorted.
    fn read(bytes: &[u8]) -> Vec<String> {
        let text = std::str::from_utf8(bytes).unwrap();
        let mut all: Vec<String> =
            pem::blocks(text).map(|b| String::from_utf8(b.contents).unwrap()).collect();
        all.sort();
        all
    }

    #[tokio::test]
    async fn anchors_are_found_by_name_and_by_signer() {
        let (objects, _) = objects();
        let none = "combination of signerName and labelSelector matched zero ClusterTrustBundles";
        let missing =
            "while getting ClusterTrustBundle: clustertrustbundle.certificates.k8s.io \"no\" not found";
        let signer = |selector: serde_json::Value| json!({"signerName": "s.io/x", "labelSelector": selector});
        let cases: [(serde_json::Value, Result<Vec<&str>, &str>); 8] = [
            (json!({"name": "one"}), Ok(vec!["a", "b"])),
            (json!({"name": "no"}), Err(missing)),
            (json!({"name": "no", "optional": true}), Ok(vec![])),
            (signer(json!({"matchLabels": {"alive": "yes"}})), Ok(vec!["common", "s.io:x:0", "s.io:x:10"])),
            (
                signer(
                    json!({"matchExpressions": [{"key": "alive", "operator": "NotIn", "values": ["no", "x"]}]}),
                ),
                Ok(vec!["common", "s.io:x:0", "s.io:x:10"]),
            ),
            (json!({"signerName": "s.io/x"}), Err(none)),
            (json!({"signerName": "s.io/x", "optional": true}), Ok(vec![])),
            (signer(json!({"matchLabels": {"alive": "maybe"}})), Err(none)),
        ];
        for (fields, want) in cases {
            let got = anchors(&objects, &source(fields.clone()), AGE, 7).await;
            match want {
                Ok(want) => assert_eq!(read(&got.unwrap()), want, "{fields}"),
                Err(why) => assert_eq!(got.unwrap_err().to_string(), why, "{fields}"),
            }
        }
        let all = anchors(&objects, &source(signer(json!({}))), AGE, 7).await.unwrap();
        assert_eq!(read(&all).len(), PAGE as usize + 5);
    }

    #[tokio::test]
    async fn what_is_young_is_not_asked_for_again_and_changes_are_seen() {
        let (objects, fake) = objects();
        let one = source(json!({"name": "one"}));
        let hour = Duration::from_secs(3600);
        let first = anchors(&objects, &one, hour, 7).await.unwrap();
        fake.objects.lock()[0].1["spec"]["trustBundle"] = text(&["c"]).into();
        assert_eq!(anchors(&objects, &one, hour, 7).await.unwrap(), first);
        assert_eq!(fake.asked.lock().len(), 1);
        assert_eq!(read(&anchors(&objects, &one, AGE, 7).await.unwrap()), ["c"]);
    }

    #[test]
    fn too_many_anchors_are_refused_and_the_order_is_the_seeds() {
        let bundle = |text: String| json!({"spec": {"trustBundle": text}}).to_string().into_bytes();
        let mut anchors = Anchors::default();
        let long =
            |c: char| pem::encode("CERTIFICATE", c.to_string().repeat(LIMIT_ANCHORS_BYTES / 2).as_bytes());
        anchors.add(&bundle(long('a') + &long('a'))).unwrap();
        anchors.add(&bundle(long('b'))).unwrap();
        let refused = anchors.add(&bundle(text(&["c"]))).unwrap_err().to_string();
        assert_eq!(refused, "the trust anchors take more than 16777216 bytes");
        let order = |seed: u64| {
            let mut anchors = Anchors::default();
            anchors.add(&bundle(text(&["a", "b", "c", "d", "e", "f"]))).unwrap();
            anchors.text(seed)
        };
        assert_eq!(order(1), order(1));
        assert!((2..50).any(|seed| order(seed) != order(1)));
    }
}
