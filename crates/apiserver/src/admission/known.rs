//! What plugins know of other objects: the cache, which the store feeds before it answers a write. A look-up is a live
//! one, so that nothing has to be asked twice. It must never read the store.

use kinds::Kind;
use meta::Status;
use serde::de::DeserializeOwned;
use watchcache::RevisionMatch;

use crate::storage::{Call, peek};

/// The object of that name.
pub(super) fn one<T: DeserializeOwned + Default>(
    call: &Call<'_>,
    kind: &Kind,
    namespace: &str,
    name: &str,
) -> Result<Option<T>, Status> {
    let resource = call.state.registry()?.find(&kind.gvr())?;
    let entry = resource.cache.get(&resource.key(namespace, name));
    Ok(entry.map(|entry| peek::project(entry.object_bytes())))
}

/// All objects of a kind, or those of one namespace, in the order of their names. Where there are none of the kind
/// nothing is allocated.
pub(super) fn all<T: DeserializeOwned + Default>(
    call: &Call<'_>,
    kind: &Kind,
    namespace: &str,
) -> Result<Vec<T>, Status> {
    let resource = call.state.registry()?.find(&kind.gvr())?;
    if resource.cache.is_empty() {
        return Ok(Vec::new());
    }
    let failed = |e: watchcache::Error| Status::internal(e.to_string());
    let snapshot = resource.cache.list(RevisionMatch::Any).map_err(failed)?;
    let prefix = resource.key(namespace, "");
    Ok(snapshot.iter(&prefix, None).map(|entry| peek::project(entry.object_bytes())).collect())
}
