//! What is served: groups, versions and kinds in the order of discovery, and for each stored one its resource with
//! types and cache. A [`Registry`] is never changed: whoever defines or removes a kind makes a new one, and
//! [`crate::storage::State::serve`] swaps it in whole. It must never hold behaviour of a kind.

mod custom;
mod resource;
pub mod selector;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use kinds::{Kind, KindRef};
use meta::{Gvr, Status};
use schema::{HeldType, TypeRef};
use watchcache::WatchCache;

pub use custom::{Custom, Definition};
pub(crate) use resource::spec;
pub use resource::{Form, Resource};

/// A kind that is served, with its resource where objects of it are stored.
#[derive(Clone)]
pub struct Served {
    pub kind: KindRef,
    pub resource: Option<Arc<Resource>>,
}

/// A group with its versions, the preferred one first.
pub struct Group {
    pub name: Cow<'static, str>,
    pub versions: Vec<Version>,
}

/// The kinds of one version of a group.
pub struct Version {
    pub name: Cow<'static, str>,
    pub kinds: Vec<KindRef>,
}

/// Everything that is served from one moment to another.
pub struct Registry {
    groups: Vec<Group>,
    by_gvr: HashMap<Gvr, Served>,
    is_loaded: bool,
}

impl Registry {
    /// Of these. Groups and versions stand in the order in which they are first named.
    #[must_use]
    pub fn of(served: impl IntoIterator<Item = Served>) -> Self {
        let mut registry = Registry { groups: Vec::new(), by_gvr: HashMap::new(), is_loaded: true };
        for one in served {
            registry.place(&one.kind);
            registry.by_gvr.insert(one.kind.gvr(), one);
        }
        registry
    }

    /// The built-in kinds by name only, before their resources are loaded.
    #[must_use]
    pub fn declared() -> Self {
        let kinds = builtin().map(|kind| Served { kind: KindRef::Builtin(kind), resource: None });
        Registry { is_loaded: false, ..Registry::of(kinds) }
    }

    /// These kinds of definitions behind the program's own. Groups in the order of their names, versions as upstream
    /// prefers them.
    #[must_use]
    pub fn with_defined(&self, defined: Vec<Served>) -> Self {
        let mut defined = defined;
        defined.sort_by(|a, b| {
            let key = |s: &Served| {
                (s.kind.group.clone(), meta::gvr::version_order(&s.kind.version), s.kind.plural.clone())
            };
            key(a).cmp(&key(b))
        });
        Registry::of(self.builtin().cloned().chain(defined))
    }

    /// Registers every stored built-in kind with the cache and waits until it is filled.
    ///
    /// # Errors
    /// When the store fails, or a kind's type is not in the field table.
    pub async fn load(cache: &WatchCache) -> Result<Registry, Status> {
        let mut served = Vec::new();
        for kind in builtin() {
            let resource = match kind.is_stored() {
                true => Some(Arc::new(resource(kind, cache).await?)),
                false => None,
            };
            served.push(Served { kind: KindRef::Builtin(kind), resource });
        }
        Ok(Registry::of(served))
    }

    /// The kinds of the program, without those that were defined at run time.
    pub fn builtin(&self) -> impl Iterator<Item = &Served> {
        self.all().filter(|served| matches!(served.kind, KindRef::Builtin(_)))
    }

    fn place(&mut self, kind: &KindRef) {
        let at = self.groups.iter().position(|g| g.name == kind.group).unwrap_or_else(|| {
            self.groups.push(Group { name: kind.group.clone(), versions: Vec::new() });
            self.groups.len() - 1
        });
        let versions = &mut self.groups[at].versions;
        let at = versions.iter().position(|v| v.name == kind.version).unwrap_or_else(|| {
            versions.push(Version { name: kind.version.clone(), kinds: Vec::new() });
            versions.len() - 1
        });
        versions[at].kinds.push(kind.clone());
    }

    /// Whether the resources can be asked for.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.is_loaded
    }

    /// The kind that is served as that resource.
    #[must_use]
    pub fn kind(&self, gvr: &Gvr) -> Option<&KindRef> {
        self.by_gvr.get(gvr).map(|served| &served.kind)
    }

    /// The stored resource of that name.
    ///
    /// # Errors
    /// 404 when it is not served.
    pub fn find(&self, gvr: &Gvr) -> Result<Arc<Resource>, Status> {
        let found = self.by_gvr.get(gvr).and_then(|served| served.resource.clone());
        found.ok_or_else(Status::unknown_resource)
    }

    /// A built-in resource by name.
    #[must_use]
    pub fn get(
        &self,
        group: &'static str,
        version: &'static str,
        plural: &'static str,
    ) -> Option<&Arc<Resource>> {
        self.by_gvr.get(&Gvr::new(group, version, plural))?.resource.as_ref()
    }

    /// Everything, in the order of discovery.
    pub fn all(&self) -> impl Iterator<Item = &Served> {
        let versions = self.groups.iter().flat_map(|g| &g.versions);
        versions.flat_map(|v| &v.kinds).filter_map(|kind| self.by_gvr.get(&kind.gvr()))
    }

    /// The groups in the order in which discovery lists them. The core group is empty.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The group of that name.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|g| g.name == name)
    }
}

/// The built-in kinds in the order of their groups and versions.
fn builtin() -> impl Iterator<Item = &'static Kind> {
    let versions = kinds::groups().iter().flat_map(|(group, versions)| versions.iter().map(|v| (*group, *v)));
    versions.flat_map(|(group, version)| kinds::of_version(group, version))
}

/// The resource of a built-in kind. Two kinds with one storage share the cache.
async fn resource(kind: &'static Kind, cache: &WatchCache) -> Result<Resource, Status> {
    let prefix = kind.prefix();
    let stored = kind.storage_kind();
    let entries = match cache.resource(&prefix) {
        Some(entries) => entries,
        None => {
            let registered = cache.register(spec(stored, &prefix)).await;
            registered.map_err(|e| Status::internal(format!("cannot load {prefix}: {e}")))?
        }
    };
    let (ty, stored_ty) = (HeldType::Builtin(type_of(kind)?), HeldType::Builtin(type_of(stored)?));
    Ok(Resource::new(KindRef::Builtin(kind), Form::Table { ty, stored_ty }, entries))
}

/// The type of a kind's served form.
///
/// # Errors
/// 500 when the field table does not have it.
pub fn type_of(kind: &Kind) -> Result<TypeRef<'static>, Status> {
    schema::type_of(&kind.group, &kind.version, &kind.kind)
        .ok_or_else(|| Status::internal(format!("no type for {}", kind.gvk().group_kind())))
}
