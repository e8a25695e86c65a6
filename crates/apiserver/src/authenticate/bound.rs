//! What tokens are bound to, looked up in the cache.

use super::token::Bound;
use crate::storage::{State, peek};

impl Bound for State {
    fn uid(&self, resource: &str, namespace: &str, name: &str) -> Option<String> {
        let registry = self.registry().ok()?;
        let gvr = meta::Gvr { group: "".into(), version: "v1".into(), resource: resource.to_owned().into() };
        let found = registry.find(&gvr).ok()?;
        let entry = found.cache.get(&found.key(namespace, name))?;
        Some(peek::metadata(entry.object_bytes()).uid)
    }

    fn secret(&self, namespace: &str, name: &str) -> Option<Vec<u8>> {
        let found = self.registry().ok()?.find(&meta::Gvr::new("", "v1", "secrets")).ok()?;
        Some(found.cache.get(&found.key(namespace, name))?.object_bytes().to_vec())
    }
}
