//! The resources that are served, each with its kind, its types and its cache. It must never hold behaviour
//! of a kind.

pub mod selector;

use std::collections::HashMap;
use std::sync::Arc;

use kinds::{Kind, Storage};
use meta::{Gvk, Gvr, Status};
use schema::TypeRef;
use watchcache::{ResourceCache, ResourceSpec, WatchCache};

/// One served resource.
pub struct Resource {
    pub kind: &'static Kind,
    pub gvr: Gvr,
    pub gvk: Gvk,
    /// The type of the served form.
    pub ty: TypeRef<'static>,
    /// The type of the stored form.
    pub stored_ty: TypeRef<'static>,
    /// `/registry/.../`.
    pub prefix: String,
    /// What entries know of the stored object, in the order of their facts.
    pub paths: Vec<&'static str>,
    /// The facts by which many watchers select.
    pub triggers: Vec<usize>,
    pub cache: Arc<ResourceCache>,
}

/// All served resources by group, version and plural.
#[derive(Default)]
pub struct Registry {
    by_gvr: HashMap<Gvr, Arc<Resource>>,
}

impl Resource {
    /// The store's key of an object.
    #[must_use]
    pub fn key(&self, namespace: &str, name: &str) -> String {
        if self.kind.namespaced() {
            format!("{}{namespace}/{name}", self.prefix)
        } else {
            format!("{}{name}", self.prefix)
        }
    }

    /// Index of a path of the stored object among the facts of entries.
    #[must_use]
    pub fn fact(&self, path: &str) -> Option<usize> {
        self.paths.iter().position(|p| *p == path)
    }

    /// Whether the stored form is the served one.
    #[must_use]
    pub fn is_own_storage(&self) -> bool {
        matches!(self.kind.storage, Storage::Stored)
    }
}

impl Registry {
    /// The resource of that name.
    ///
    /// # Errors
    /// 404 when it is not served.
    pub fn find(&self, gvr: &Gvr) -> Result<Arc<Resource>, Status> {
        self.by_gvr.get(gvr).cloned().ok_or_else(Status::unknown_resource)
    }

    /// A built-in resource by name.
    #[must_use]
    pub fn get(
        &self,
        group: &'static str,
        version: &'static str,
        plural: &'static str,
    ) -> Option<&Arc<Resource>> {
        self.by_gvr.get(&Gvr::new(group, version, plural))
    }

    /// Registers every stored built-in kind with the cache and waits until it is filled.
    ///
    /// # Errors
    /// When the store fails, or a kind's type is not in the field table.
    pub async fn load(cache: &WatchCache) -> Result<Registry, Status> {
        let mut registry = Registry::default();
        let stored = kinds::all().iter().filter(|k| k.is_stored());
        let (own, converted): (Vec<&Kind>, Vec<&Kind>) =
            stored.copied().partition(|k| matches!(k.storage, Storage::Stored));
        for kind in own.into_iter().chain(converted) {
            let prefix = kind.prefix();
            let paths = kind.storage_kind().selected_paths();
            let triggers = triggers(kind.storage_kind(), &paths);
            let entries = match cache.resource(&prefix) {
                Some(entries) => entries,
                None => {
                    let mut spec = ResourceSpec::scanned(prefix.clone(), &paths);
                    spec.triggers.clone_from(&triggers);
                    let registered = cache.register(spec).await;
                    registered.map_err(|e| Status::internal(format!("cannot load {prefix}: {e}")))?
                }
            };
            let resource = Resource {
                kind,
                gvr: kind.gvr(),
                gvk: kind.gvk(),
                ty: type_of(kind)?,
                stored_ty: type_of(kind.storage_kind())?,
                prefix,
                paths,
                triggers,
                cache: entries,
            };
            registry.by_gvr.insert(kind.gvr(), Arc::new(resource));
        }
        Ok(registry)
    }
}

fn triggers(kind: &Kind, paths: &[&str]) -> Vec<usize> {
    let indexed: Vec<&str> = kind.selectable_fields.iter().filter(|f| f.indexed).map(|f| f.path).collect();
    paths.iter().enumerate().filter(|(_, path)| indexed.contains(path)).map(|(at, _)| at).collect()
}

/// The type of a kind's served form.
///
/// # Errors
/// 500 when the field table does not have it.
pub fn type_of(kind: &Kind) -> Result<TypeRef<'static>, Status> {
    schema::type_of(&kind.group, &kind.version, &kind.kind)
        .ok_or_else(|| Status::internal(format!("no type for {}", kind.gvk().group_kind())))
}
