//! ConfigMaps, Secrets, Services and what else pods of this node refer to: fetched one by one, kept for a short time.
//!
//! Never an informer over all of them: a node agent holds only what its pods need, and may read only that.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use client::{Api, Client, ListParams};
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use k8s_openapi::api::node::v1::RuntimeClass;
use meta::Gvr;
use parking_lot::Mutex;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

const CONFIG_MAPS: Gvr = Gvr::new("", "v1", "configmaps");
const SECRETS: Gvr = Gvr::new("", "v1", "secrets");
const RUNTIME_CLASSES: Gvr = Gvr::new("node.k8s.io", "v1", "runtimeclasses");
const SERVICES: Gvr = Gvr::new("", "v1", "services");
/// Entries and bytes kept at most; the oldest go.
const LIMIT: usize = 1000;
const LIMIT_BYTES: usize = 16 << 20;
/// What is longer is not kept: it would leave little room for others.
const LIMIT_ENTRY_BYTES: usize = LIMIT_BYTES / 4;

/// The kind, and what tells one from another.
pub(crate) type Key = (&'static str, String, String);
type Kept = BTreeMap<Key, (Duration, Option<bytes::Bytes>)>;

/// Reads objects through a client.
pub struct Objects {
    client: Arc<dyn Client>,
    clock: Arc<dyn sys::Clock>,
    kept: Mutex<Kept>,
}

impl Objects {
    /// Nothing kept yet.
    pub fn new(client: Arc<dyn Client>, clock: Arc<dyn sys::Clock>) -> Self {
        Objects { client, clock, kept: Mutex::new(BTreeMap::new()) }
    }

    fn young(&self, key: &Key, max_age: Duration) -> Option<Option<bytes::Bytes>> {
        let now = self.clock.monotonic();
        let kept = self.kept.lock();
        kept.get(key).filter(|(at, _)| now.saturating_sub(*at) < max_age).map(|(_, b)| b.clone())
    }

    fn keep(&self, key: Key, body: Option<bytes::Bytes>) {
        let now = self.clock.monotonic();
        let mut kept = self.kept.lock();
        if body.as_ref().is_some_and(|b| b.len() > LIMIT_ENTRY_BYTES) {
            kept.remove(&key);
            return;
        }
        kept.insert(key, (now, body));
        prune(&mut kept);
    }

    /// What is kept of this age, or else what `fetch` finds, which is then kept; `None` when there is no such object.
    ///
    /// # Errors
    /// Those of `fetch`.
    pub(crate) async fn cached(
        &self,
        key: Key,
        max_age: Duration,
        fetch: impl Future<Output = Result<Option<bytes::Bytes>>>,
    ) -> Result<Option<bytes::Bytes>> {
        if let Some(body) = self.young(&key, max_age) {
            return Ok(body);
        }
        let body = fetch.await?;
        self.keep(key, body.clone());
        Ok(body)
    }

    /// One object as it is now; `None` when there is none.
    ///
    /// # Errors
    /// When the API server cannot be asked.
    pub(crate) async fn fetch(&self, gvr: Gvr, namespace: &str, name: &str) -> Result<Option<bytes::Bytes>> {
        match Api::new(self.client.as_ref(), gvr, namespace).get(name).await {
            Ok(body) => Ok(Some(body)),
            Err(s) if s.code == 404 => Ok(None),
            Err(s) => Err(Error::Api(s.message)),
        }
    }

    /// Through what objects are read.
    pub(crate) fn client(&self) -> &dyn Client {
        self.client.as_ref()
    }

    async fn get<T: DeserializeOwned>(
        &self,
        kind: &'static str,
        gvr: Gvr,
        namespace: &str,
        name: &str,
        max_age: Duration,
    ) -> Result<Option<T>> {
        let key = (kind, namespace.to_owned(), name.to_owned());
        let body = self.cached(key, max_age, self.fetch(gvr, namespace, name)).await?;
        body.map(|b| {
            serde_json::from_slice(&b).map_err(|e| Error::Api(format!("{kind} {namespace}/{name}: {e}")))
        })
        .transpose()
    }

    /// A ConfigMap; `None` when there is none.
    ///
    /// # Errors
    /// When the API server cannot be asked.
    pub async fn config_map(
        &self,
        namespace: &str,
        name: &str,
        max_age: Duration,
    ) -> Result<Option<ConfigMap>> {
        self.get("configmap", CONFIG_MAPS, namespace, name, max_age).await
    }

    /// A Secret; `None` when there is none.
    ///
    /// # Errors
    /// When the API server cannot be asked.
    pub async fn secret(&self, namespace: &str, name: &str, max_age: Duration) -> Result<Option<Secret>> {
        self.get("secret", SECRETS, namespace, name, max_age).await
    }

    /// The handler of a RuntimeClass; `None` when there is no such class.
    ///
    /// # Errors
    /// When the API server cannot be asked.
    pub async fn runtime_handler(&self, class: &str) -> Result<Option<String>> {
        let found: Option<RuntimeClass> =
            self.get("runtimeclass", RUNTIME_CLASSES, "", class, Duration::from_secs(1)).await?;
        Ok(found.map(|c| c.handler))
    }

    /// The services whose variables a pod gets: its namespace's when `links`, and the API server's.
    ///
    /// # Errors
    /// When the API server cannot be asked.
    pub async fn services(&self, namespace: &str, links: bool) -> Result<Vec<Service>> {
        let mut out: Vec<Service> = Vec::new();
        let master: Option<Service> =
            self.get("service", SERVICES, "default", "kubernetes", Duration::from_secs(30)).await?;
        out.extend(master);
        if !links {
            return Ok(out);
        }
        let key = ("services", namespace.to_owned(), String::new());
        let list = async {
            let api = Api::new(self.client.as_ref(), SERVICES, namespace);
            let params = ListParams { resource_version: "0".to_owned(), ..ListParams::default() };
            let list = api.list(&params).await.map_err(|s| Error::Api(s.message))?;
            let joined: Vec<&[u8]> = list.items.iter().map(AsRef::as_ref).collect();
            Ok::<_, Error>(Some(bytes::Bytes::from([b"[".as_slice(), &joined.join(&b','), b"]"].concat())))
        };
        let items = self.cached(key, Duration::from_secs(1), list).await?.unwrap_or_default();
        let more: Vec<Service> = serde_json::from_slice(&items)
            .map_err(|e| Error::Api(format!("services of {namespace}: {e}")))?;
        out.extend(
            more.into_iter()
                .filter(|s| namespace != "default" || s.metadata.name.as_deref() != Some("kubernetes")),
        );
        Ok(out)
    }
}

/// Lets the older half go, again and again, until the rest is within the limits.
fn prune(kept: &mut Kept) {
    let size =
        |kept: &Kept| kept.values().filter_map(|(_, b)| b.as_ref()).map(bytes::Bytes::len).sum::<usize>();
    while kept.len() > LIMIT || size(kept) > LIMIT_BYTES {
        let mut ages: Vec<Duration> = kept.values().map(|(at, _)| *at).collect();
        ages.sort_unstable();
        let middle = ages[ages.len() / 2];
        kept.retain(|_, (at, _)| *at > middle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_and_bytes_have_a_limit() {
        // Entries, the bytes of each, and how many are left.
        let cases = [
            (LIMIT, 1, LIMIT),
            (LIMIT + 1, 1, LIMIT / 2),
            (16, 1 << 20, 16),
            (17, 1 << 20, 8),
            (3, 16 << 20, 1),
        ];
        for (count, bytes, left) in cases {
            let entry = |i: usize| {
                let at = Duration::from_secs(i as u64);
                (("k", String::new(), format!("{i:05}")), (at, Some(vec![0; bytes].into())))
            };
            let mut kept: Kept = (0..count).map(entry).collect();
            prune(&mut kept);
            assert_eq!(kept.len(), left, "{count} {bytes}");
            // The youngest stay.
            assert_eq!(kept.keys().next_back().map(|k| k.2.clone()), Some(format!("{:05}", count - 1)));
        }
    }
}
