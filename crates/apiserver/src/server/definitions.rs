//! Serves the kinds of CustomResourceDefinitions: looks at all of them whenever one changes, swaps the registry, tells
//! their conditions, and clears up behind those that go.
// k8s: staging/src/k8s.io/apiextensions-apiserver/pkg/controller/{status,establish,finalizer}

use std::collections::{BTreeMap, HashMap};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use futures_util::stream::{self, StreamExt};
use kinds::apiextensions::custom_resource_definition::CLEANUP_FINALIZER;
use meta::{BoxFuture, Gvr, Status, Target, Verb};
use schema::Value;
use serde_json::Value as Json;
use watchcache::{Entry, Filter, ResourceSpec, RevisionMatch, Start};

use super::Server;
use super::bootstrap::AT_ONCE;
use crate::extend::conditions::{is_true, set};
use crate::extend::defined::{self, Known};
use crate::extend::names;
use crate::registry::{Definition, Resource, Served};
use crate::storage::object;

/// Objects of a kind that goes are deleted so many at a time.
const LIMIT_CLEARED: usize = 500;
/// How long objects that are kept by finalizers are waited for before they are looked at again, and a write that lost a
/// race before it is tried again.
const AGAIN: Duration = Duration::from_secs(1);

pub(super) fn gvr() -> Gvr {
    Gvr::new("apiextensions.k8s.io", "v1", "customresourcedefinitions")
}

impl Server {
    /// Serves kinds as they are defined, for as long as it is polled.
    pub fn follow_definitions(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.follow())
    }

    async fn follow(&self) {
        loop {
            let watch = self.definitions().and_then(|all| {
                let start = Start::Initial { mark_end: false };
                all.cache.watch(start, Filter::all()).map_err(|e| Status::internal(e.to_string()))
            });
            let Ok(mut watch) = watch else {
                self.state.timer.sleep(AGAIN).await;
                continue;
            };
            loop {
                let unsettled = match self.settle_definitions().await {
                    Ok(unsettled) => unsettled,
                    Err(e) => {
                        tracing::warn!("custom resources: {e}");
                        true
                    }
                };
                let next = match unsettled {
                    false => watch.next().await,
                    true => match select(pin!(watch.next()), self.state.timer.sleep(AGAIN)).await {
                        Either::Left((item, _)) => item,
                        Either::Right(_) => continue,
                    },
                };
                if !matches!(next, Some(Ok(_))) {
                    break;
                }
                // Several changes are one reason to look.
                while let Either::Left((Some(Ok(_)), _)) =
                    select(pin!(watch.next()), std::future::ready(())).await
                {}
            }
        }
    }

    fn definitions(&self) -> Result<Arc<Resource>, Status> {
        self.state.registry()?.find(&gvr())
    }

    /// Brings what is served, and what definitions say of themselves, to what is defined now. Says whether there is
    /// something to come back for.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn settle_definitions(&self) -> Result<bool, Status> {
        let resource = self.definitions()?;
        let snapshot =
            resource.cache.list(RevisionMatch::Any).map_err(|e| Status::internal(e.to_string()))?;
        let entries: Vec<Arc<Entry>> = snapshot.iter(&resource.prefix, None).cloned().collect();
        let told = self.name(&entries);
        self.serve_defined(&told).await?;
        let changed: Vec<Json> = told.iter().filter(|t| t.old != t.new).map(|t| t.new.clone()).collect();
        let mut written =
            stream::iter(changed).map(|new| self.tell_definition(new)).buffer_unordered(AT_ONCE);
        let mut unsettled = false;
        while let Some(result) = written.next().await {
            unsettled |= settled_or_told(settled(result));
        }
        for one in told {
            if is_leaving(&one.new) {
                unsettled |= settled_or_told(self.clear(&one.new).await);
            }
        }
        Ok(unsettled)
    }

    /// What the definitions must say of their names, the older ones first.
    fn name(&self, entries: &[Arc<Entry>]) -> Vec<Told> {
        let now = object::rfc3339(self.state.now());
        let read = |e: &Arc<Entry>| {
            let old: Json = serde_json::from_slice(e.object_bytes()).ok()?;
            Some(Told { entry: e.clone(), new: old.clone(), old })
        };
        let mut all: Vec<Told> = entries.iter().filter_map(read).collect();
        let age = |o: &Json| o["metadata"]["creationTimestamp"].as_str().unwrap_or_default().to_owned();
        // Who has names keeps them.
        all.sort_by_cached_key(|t| (!is_true(&t.old, "Established"), age(&t.old), t.entry.name().to_owned()));
        let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (at, told) in all.iter().enumerate() {
            groups
                .entry(told.old["spec"]["group"].as_str().unwrap_or_default().to_owned())
                .or_default()
                .push(at);
        }
        for members in groups.values() {
            for at in members {
                if !is_leaving(&all[*at].old) {
                    let others = members.iter().filter(|other| *other != at).map(|other| &all[*other].new);
                    all[*at].new = names::decide(&all[*at].old, others, &now);
                }
            }
        }
        all
    }

    /// Swaps the registry when what is defined is not what is served.
    async fn serve_defined(&self, told: &[Told]) -> Result<(), Status> {
        let mut known = std::mem::take(&mut *self.defined.0.lock());
        let result = self.renew(&mut known, told).await;
        let served: Vec<Served> = known.values().flat_map(|k| k.served.iter().cloned()).collect();
        *self.defined.0.lock() = known;
        if result? {
            let registry = self.state.served().with_defined(served);
            self.state.serve(registry);
        }
        Ok(())
    }

    /// Says whether anything is not as it was.
    async fn renew(&self, known: &mut HashMap<String, Known>, told: &[Told]) -> Result<bool, Status> {
        let mut changed = false;
        let there: HashMap<&str, &Told> =
            told.iter().filter(|t| is_true(&t.new, "Established")).map(|t| (t.entry.name(), t)).collect();
        let gone: Vec<String> =
            known.keys().filter(|name| !there.contains_key(name.as_str())).cloned().collect();
        for name in gone {
            if let Some(old) = known.remove(&name) {
                self.forget(&old);
                changed = true;
            }
        }
        for (name, told) in there {
            let revision = told.entry.mod_revision();
            if known.get(name).is_some_and(|k| k.revision == revision) {
                continue;
            }
            let old = known.remove(name);
            changed = true;
            match self.define(told, old.as_ref()).await {
                Ok(new) => drop(known.insert(name.to_owned(), Known { revision, ..new })),
                Err(e) => tracing::warn!(definition = name, "its objects cannot be served: {e}"),
            }
        }
        Ok(changed)
    }

    fn forget(&self, old: &Known) {
        if let Some(resource) = old.served.first().and_then(|s| s.resource.as_ref()) {
            self.state.cache.unregister(&resource.prefix);
        }
    }

    /// What a definition serves. Objects are read into the cache again only when they are selected by other fields.
    async fn define(&self, told: &Told, old: Option<&Known>) -> Result<Known, Status> {
        let crd = self.definitions()?;
        let json = told.new.to_string();
        let object: Value = crd.read(json.as_bytes())?;
        let (prefix, paths) = (defined::prefix(&object), defined::selected_paths(&object));
        if old.is_some_and(|old| old.paths != paths) {
            self.state.cache.unregister(&prefix);
        }
        let cache = match self.state.cache.resource(&prefix) {
            Some(cache) => cache,
            None => {
                let borrowed: Vec<&str> = paths.iter().map(String::as_str).collect();
                let registered =
                    self.state.cache.register(ResourceSpec::scanned(prefix.clone(), &borrowed)).await;
                registered.map_err(|e| Status::internal(format!("cannot load {prefix}: {e}")))?
            }
        };
        let definition = Definition::new(&object, told.entry.clone());
        let served = definition.map(|d| defined::served(&object, &Arc::new(d), &cache)).unwrap_or_default();
        Ok(Known { revision: 0, paths, served })
    }

    /// Writes the status of a definition.
    async fn tell_definition(&self, new: Json) -> Result<(), Status> {
        let target = Target::Resource {
            gvr: gvr(),
            namespace: String::new(),
            name: new["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
            subresource: "status".to_owned(),
            subpath: String::new(),
        };
        self.ask(Verb::Update, target, Some(&new)).await.map(drop)
    }

    /// Deletes the objects of a definition that goes, and lets it go when none is left. Says whether to come back.
    // k8s: staging/src/k8s.io/apiextensions-apiserver/pkg/controller/finalizer/crd_finalizer.go
    async fn clear(&self, definition: &Json) -> Result<bool, Status> {
        let name = definition["metadata"]["name"].as_str().unwrap_or_default();
        let resource = {
            let known = self.defined.0.lock();
            known.get(name).and_then(|k| k.served.first()).and_then(|s| s.resource.clone())
        };
        let mut new = definition.clone();
        let now = object::rfc3339(self.state.now());
        if let Some(resource) = resource {
            let snapshot =
                resource.cache.list(RevisionMatch::Any).map_err(|e| Status::internal(e.to_string()))?;
            let some: Vec<Arc<Entry>> =
                snapshot.iter(&resource.prefix, None).take(LIMIT_CLEARED).cloned().collect();
            if !some.is_empty() {
                let delete = |e: Arc<Entry>| {
                    let gvr = resource.gvr.clone();
                    async move { self.own(Verb::Delete, &gvr, e.namespace(), e.name(), None).await }
                };
                let mut deletes = stream::iter(some).map(delete).buffer_unordered(AT_ONCE);
                while let Some(result) = deletes.next().await {
                    settled(result.map(drop))?;
                }
                let message = "CustomResource deletion is in progress";
                set(&mut new, "Terminating", true, "InstanceDeletionInProgress", message, &now);
                if new != *definition {
                    settled(self.tell_definition(new).await)?;
                }
                return Ok(true);
            }
        }
        if let Some(finalizers) = new["metadata"]["finalizers"].as_array_mut() {
            finalizers.retain(|f| f != CLEANUP_FINALIZER);
        }
        settled(self.own(Verb::Update, &gvr(), "", name, Some(&new)).await.map(drop))
    }
}

/// A definition as it is stored, and as it must be.
struct Told {
    entry: Arc<Entry>,
    old: Json,
    new: Json,
}

/// Whether a definition is on its way out and its objects have to be cleared up first.
fn is_leaving(definition: &Json) -> bool {
    let finalizers = definition["metadata"]["finalizers"].as_array();
    definition["metadata"]["deletionTimestamp"].is_string()
        && finalizers.is_some_and(|all| all.iter().any(|f| f == CLEANUP_FINALIZER))
}

/// As [`settled`] says; what fails of one definition holds up neither the others nor the server's start.
fn settled_or_told(unsettled: Result<bool, Status>) -> bool {
    unsettled.unwrap_or_else(|e| {
        tracing::warn!("a definition of custom resources: {e}");
        true
    })
}

/// Whether a write must be tried again: somebody else's came first. What is gone needs no write.
fn settled(result: Result<(), Status>) -> Result<bool, Status> {
    match result {
        Ok(()) => Ok(false),
        Err(e) if e.is("NotFound") => Ok(false),
        Err(e) if e.is("Conflict") => Ok(true),
        Err(e) => Err(e),
    }
}
