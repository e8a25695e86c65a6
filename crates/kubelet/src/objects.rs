//! ConfigMaps, Secrets and Services that pods of this node refer to: fetched one by one, kept for a short time.
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
/// Entries kept at most; the oldest go.
const LIMIT: usize = 1000;

type Key = (&'static str, String, String);

/// Reads objects through a client.
pub struct Objects {
    client: Arc<dyn Client>,
    clock: Arc<dyn sys::Clock>,
    kept: Mutex<BTreeMap<Key, (Duration, Option<bytes::Bytes>)>>,
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
        kept.insert(key, (now, body));
        if kept.len() > LIMIT {
            let mut ages: Vec<Duration> = kept.values().map(|(at, _)| *at).collect();
            ages.sort_unstable();
            let middle = ages[ages.len() / 2];
            kept.retain(|_, (at, _)| *at > middle);
        }
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
        let body = match self.young(&key, max_age) {
            Some(b) => b,
            None => {
                let api = Api::new(self.client.as_ref(), gvr, namespace);
                let body = match api.get(name).await {
                    Ok(b) => Some(b),
                    Err(s) if s.code == 404 => None,
                    Err(s) => return Err(Error::Api(s.message)),
                };
                self.keep(key, body.clone());
                body
            }
        };
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
        let items = match self.young(&key, Duration::from_secs(1)) {
            Some(b) => b.unwrap_or_default(),
            None => {
                let api = Api::new(self.client.as_ref(), SERVICES, namespace);
                let params = ListParams { resource_version: "0".to_owned(), ..ListParams::default() };
                let list = api.list(&params).await.map_err(|s| Error::Api(s.message))?;
                let joined: Vec<&[u8]> = list.items.iter().map(AsRef::as_ref).collect();
                let body = bytes::Bytes::from([b"[".as_slice(), &joined.join(&b','), b"]"].concat());
                self.keep(key, Some(body.clone()));
                body
            }
        };
        let more: Vec<Service> = serde_json::from_slice(&items)
            .map_err(|e| Error::Api(format!("services of {namespace}: {e}")))?;
        out.extend(
            more.into_iter()
                .filter(|s| namespace != "default" || s.metadata.name.as_deref() != Some("kubernetes")),
        );
        Ok(out)
    }
}
