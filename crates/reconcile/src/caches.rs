//! All caches of a process, keyed by projection, with the type erased where a driver handles them.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::sync::Arc;

use meta::Gvr;

use crate::{Delta, Discovery, Graph, KindCache, ObjectMeta, Partial, Projection};

/// An object that could not be read as its projection.
#[derive(Debug, thiserror::Error)]
#[error("{resource} {name:?} cannot be read: {source}")]
pub struct ParseError {
    pub resource: String,
    pub name: String,
    #[source]
    pub source: serde_json::Error,
}

/// How to make the cache of a projection: what a driver needs to run a reflector for it.
#[derive(Clone, Copy)]
pub struct KindDecl {
    pub gvr: fn() -> Gvr,
    pub projection: fn() -> TypeId,
    pub projection_name: fn() -> &'static str,
    make: fn() -> Box<dyn AnyCache>,
}

impl KindDecl {
    /// The declaration of `P`.
    #[must_use]
    pub fn of<P: Projection>() -> Self {
        KindDecl {
            gvr: || P::GVR,
            projection: TypeId::of::<P>,
            projection_name: std::any::type_name::<P>,
            make: || Box::new(KindCache::<P>::default()),
        }
    }
}

/// What a change is about.
#[derive(Clone)]
pub enum ChangeKind {
    /// A `Delta<P>` of the projection with this type id.
    Object { projection: TypeId, delta: Arc<dyn Any + Send + Sync> },
    /// Nothing changed, but a revision has been seen.
    Progress,
    /// A node of the graph: its UID and those of its owners.
    Graph { uid: Arc<str>, owners: Box<[Arc<str>]> },
    /// What the server serves has changed.
    Discovery,
}

/// One change of the caches, for the engines.
#[derive(Clone)]
pub struct Change {
    pub gvr: Gvr,
    pub kind: ChangeKind,
    /// Namespace, name of the object; empty for progress and discovery.
    pub namespace: Arc<str>,
    pub name: Arc<str>,
}

impl Change {
    /// The typed delta, if this is a change of a `P`.
    #[must_use]
    pub fn delta<P: Projection>(&self) -> Option<&Delta<P>> {
        match &self.kind {
            ChangeKind::Object { delta, .. } => delta.downcast_ref(),
            _ => None,
        }
    }

    /// That the caches have seen more revisions of a resource.
    #[must_use]
    pub fn progress(gvr: Gvr) -> Self {
        Change { gvr, kind: ChangeKind::Progress, namespace: "".into(), name: "".into() }
    }

    /// That discovery has changed.
    #[must_use]
    pub fn discovery() -> Self {
        Change { kind: ChangeKind::Discovery, ..Self::progress(Gvr::new("", "", "")) }
    }

    fn object<P: Projection>(delta: Delta<P>) -> Option<Self> {
        let (namespace, name) = {
            let m = delta.latest()?.meta();
            (m.namespace.clone(), m.name.clone())
        };
        let kind = ChangeKind::Object { projection: TypeId::of::<P>(), delta: Arc::new(delta) };
        Some(Change { gvr: P::GVR, kind, namespace, name })
    }
}

/// A cache with its projection's type erased.
pub trait AnyCache: Send + Sync {
    /// What is cached.
    fn gvr(&self) -> Gvr;
    /// The newest revision applied.
    fn seen(&self) -> u64;
    /// Whether a whole list was applied.
    fn synced(&self) -> bool;
    /// Metadata of one object.
    fn meta_of(&self, namespace: &str, name: &str) -> Option<&ObjectMeta>;
    /// Applies an added or modified object's JSON.
    ///
    /// # Errors
    /// When the bytes cannot be read as the projection.
    fn upsert_bytes(&mut self, bytes: &[u8]) -> Result<Option<Change>, ParseError>;
    /// Applies a deletion; the bytes are the object's last state.
    ///
    /// # Errors
    /// When the bytes have no readable metadata.
    fn delete_bytes(&mut self, bytes: &[u8]) -> Result<Option<Change>, ParseError>;
    /// Replaces everything. Objects that cannot be read are left out and returned as errors.
    fn replace_bytes(&mut self, items: &[bytes::Bytes], revision: u64) -> (Vec<Change>, Vec<ParseError>);
    /// Every object as an addition, for an engine that starts after the cache.
    fn replay(&self, each: &mut dyn FnMut(Change));
    /// Applies a bookmark.
    fn advance_to(&mut self, revision: u64) -> Change;
    /// For [`Caches::kind`].
    fn as_any(&self) -> &dyn Any;
    /// For [`Caches::kind_mut`].
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

fn parse<P: Projection>(bytes: &[u8]) -> Result<P, ParseError> {
    meta::json::read(bytes).map_err(|source| ParseError {
        resource: P::GVR.group_resource(),
        name: Partial::parse(bytes).map(|p| p.metadata.key().to_string()).unwrap_or_default(),
        source,
    })
}

impl<P: Projection> AnyCache for KindCache<P> {
    fn gvr(&self) -> Gvr {
        P::GVR
    }

    fn seen(&self) -> u64 {
        KindCache::seen(self)
    }

    fn synced(&self) -> bool {
        KindCache::synced(self)
    }

    fn meta_of(&self, namespace: &str, name: &str) -> Option<&ObjectMeta> {
        self.get(namespace, name).map(|o| o.meta())
    }

    fn upsert_bytes(&mut self, bytes: &[u8]) -> Result<Option<Change>, ParseError> {
        Ok(Change::object(self.upsert(parse::<P>(bytes)?)))
    }

    fn delete_bytes(&mut self, bytes: &[u8]) -> Result<Option<Change>, ParseError> {
        let p = Partial::parse(bytes).map_err(|source| ParseError {
            resource: P::GVR.group_resource(),
            name: String::new(),
            source,
        })?;
        Ok(Change::object(self.remove(&p.metadata.key(), p.metadata.resource_version)))
    }

    fn replace_bytes(&mut self, items: &[bytes::Bytes], revision: u64) -> (Vec<Change>, Vec<ParseError>) {
        let mut errors = Vec::new();
        let objects = items
            .iter()
            .filter_map(|b| match parse::<P>(b) {
                Ok(o) => Some(o),
                Err(e) => {
                    errors.push(e);
                    None
                }
            })
            .collect();
        let changes = self.replace(objects, revision).into_iter().filter_map(Change::object).collect();
        (changes, errors)
    }

    fn replay(&self, each: &mut dyn FnMut(Change)) {
        for o in self.iter() {
            if let Some(c) = Change::object(Delta { old: None, new: Some(o.clone()) }) {
                each(c);
            }
        }
    }

    fn advance_to(&mut self, revision: u64) -> Change {
        self.advance(revision);
        Change::progress(P::GVR)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// Every cache of a process: one for each projection, the ownership graph and discovery.
#[derive(Default)]
pub struct Caches {
    kinds: BTreeMap<TypeId, Box<dyn AnyCache>>,
    pub graph: Graph,
    pub discovery: Discovery,
}

impl Caches {
    /// Makes the cache of a declaration unless it is there.
    pub fn register(&mut self, decl: KindDecl) {
        self.kinds.entry((decl.projection)()).or_insert_with(decl.make);
    }

    /// The cache of `P`.
    ///
    /// # Panics
    /// When no controller declared an interest in `P`: a mistake of the program, not of its input.
    #[must_use]
    pub fn kind<P: Projection>(&self) -> &KindCache<P> {
        self.kinds
            .get(&TypeId::of::<P>())
            .and_then(|c| c.as_any().downcast_ref())
            .expect("a controller declares every projection that it reads")
    }

    /// The cache of `P`, made when missing. For tests and the simulation.
    pub fn kind_mut<P: Projection>(&mut self) -> &mut KindCache<P> {
        self.register(KindDecl::of::<P>());
        self.kinds
            .get_mut(&TypeId::of::<P>())
            .and_then(|c| c.as_any_mut().downcast_mut())
            .expect("just registered")
    }

    /// A cache by the type id of its projection.
    pub fn any_mut(&mut self, projection: TypeId) -> Option<&mut Box<dyn AnyCache>> {
        self.kinds.get_mut(&projection)
    }

    /// All caches of a resource (there may be several projections of it).
    pub fn of_resource<'a>(&'a self, gvr: &'a Gvr) -> impl Iterator<Item = &'a dyn AnyCache> {
        self.kinds.values().map(AsRef::as_ref).filter(move |c| c.gvr() == *gvr)
    }

    /// A cache by the type id of its projection.
    #[must_use]
    pub fn any(&self, projection: TypeId) -> Option<&dyn AnyCache> {
        self.kinds.get(&projection).map(AsRef::as_ref)
    }

    /// All registered caches.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Box<dyn AnyCache>> {
        self.kinds.values_mut()
    }

    /// Whether these projections have been listed.
    #[must_use]
    pub fn synced(&self, projections: &[TypeId]) -> bool {
        projections.iter().all(|p| self.kinds.get(p).is_some_and(|c| c.synced()))
    }
}
