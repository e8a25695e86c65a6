//! What tokens are bound to, looked up in the cache.

use super::token::{Bound, Found};
use crate::storage::{State, peek};

impl Bound for State {
    fn find(&self, resource: &str, namespace: &str, name: &str) -> Option<Found> {
        let registry = self.registry().ok()?;
        let gvr = meta::Gvr { group: "".into(), version: "v1".into(), resource: resource.to_owned().into() };
        let found = registry.find(&gvr).ok()?;
        let entry = found.cache.get(&found.key(namespace, name))?;
        let metadata = peek::metadata(entry.object_bytes());
        let deleted = metadata.deletion_timestamp.as_deref().and_then(meta::time::parse);
        Some(Found { uid: metadata.uid, deleted })
    }

    fn secret(&self, namespace: &str, name: &str) -> Option<Vec<u8>> {
        let found = self.registry().ok()?.find(&meta::Gvr::new("", "v1", "secrets")).ok()?;
        Some(found.cache.get(&found.key(namespace, name))?.object_bytes().to_vec())
    }
}
