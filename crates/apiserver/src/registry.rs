//! The resources that are served, each with its kind, its types and its cache. It must never hold behaviour
//! of a kind.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use kinds::{Kind, Storage};
use meta::{Gvk, Gvr, Status};
use schema::TypeRef;
use watchcache::{ResourceCache, ResourceSpec, WatchCache};

/// Fields by which many watchers select.
const TRIGGERS: &[(&str, &str)] = &[("pods", "spec.nodeName")];

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

    /// Index of a selectable field among the facts of entries.
    #[must_use]
    pub fn fact(&self, field: &str) -> Option<usize> {
        let stored = match self.kind.storage {
            Storage::As(_) => stored_name(field),
            _ => Cow::Borrowed(field),
        };
        // Only what the served kind offers.
        self.kind.selectable_fields.iter().find(|(f, _)| *f == field)?;
        self.kind.storage_kind().selectable_fields.iter().position(|(f, _)| *f == stored)
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
            let triggers = triggers(kind);
            let entries = match cache.resource(&prefix) {
                Some(entries) => entries,
                None => {
                    let fields: Vec<&str> = kind.selectable_fields.iter().map(|(f, _)| path_of(f)).collect();
                    let mut spec = ResourceSpec::scanned(prefix.clone(), &fields);
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
                triggers,
                cache: entries,
            };
            registry.by_gvr.insert(kind.gvr(), Arc::new(resource));
        }
        Ok(registry)
    }
}

/// What a selectable field of `events.k8s.io` is called in the stored form.
fn stored_name(field: &str) -> Cow<'_, str> {
    match field.strip_prefix("regarding.") {
        Some(rest) => Cow::Owned(format!("involvedObject.{rest}")),
        None if field == "reportingController" => Cow::Borrowed("reportingComponent"),
        None => Cow::Borrowed(field),
    }
}

/// Where a selectable field is in the stored object, when its name does not say so.
fn path_of(field: &'static str) -> &'static str {
    match field {
        "source" => "source.component",
        other => other,
    }
}

fn triggers(kind: &Kind) -> Vec<usize> {
    let fields = kind.selectable_fields.iter().enumerate();
    fields.filter(|(_, (f, _))| TRIGGERS.contains(&(&*kind.plural, *f))).map(|(i, _)| i).collect()
}

/// The type of a kind's served form.
///
/// # Errors
/// 500 when the field table does not have it.
pub fn type_of(kind: &Kind) -> Result<TypeRef<'static>, Status> {
    schema::type_of(&kind.group, &kind.version, &kind.kind)
        .ok_or_else(|| Status::internal(format!("no type for {}", kind.gvk().group_kind())))
}
