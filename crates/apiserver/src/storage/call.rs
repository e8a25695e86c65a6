//! A request that was let in, and the resource and object it is about. It must never be made in more than one
//! way: [`Asked::at`] makes calls, and calls make calls about other objects.

use std::sync::Arc;

use jiff::Timestamp;
use kinds::Kind;
use meta::{Admission, Request, Status, User, Verb};
use parking_lot::Mutex;
use schema::Value;
use watchcache::Entry;

use super::State;
use super::object;
use crate::registry::Resource;
use crate::request::{Attributes, Reply};

/// A request behind authentication and authorization.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub state: &'a State,
    pub stages: &'a dyn Stages,
    pub request: &'a Request,
    pub admission: &'a Admission,
    pub now: Timestamp,
}

/// What a handler of a verb gets: what was asked, of which object.
#[derive(Clone)]
pub(crate) struct Call<'a> {
    pub state: &'a State,
    pub stages: &'a dyn Stages,
    pub request: &'a Request,
    pub admission: &'a Admission,
    pub now: Timestamp,
    pub resource: Arc<Resource>,
    pub namespace: &'a str,
    pub name: &'a str,
    pub subresource: &'a str,
}

/// What is done to an object, as admission tells writes apart; `Call::subresource` says to which part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Create,
    Update,
    Delete,
}

/// One write on its way to the store, as the admission plugins see it.
pub(crate) struct AdmissionRequest<'a> {
    pub operation: Op,
    /// Resource, subresource, namespace and name, who asks, and the request with its options.
    pub call: &'a Call<'a>,
    /// The new object, or what is created of a subresource that acts (`Binding`, `Eviction`, `TokenRequest`);
    /// null where an object is deleted.
    pub object: &'a mut Value,
    /// What is stored, for updates and deletes.
    pub old: Option<&'a Value>,
    /// Nothing will be stored: whatever a plugin keeps besides the object must stay as it is.
    #[expect(dead_code, reason = "quotas and webhooks will look at it")]
    pub dry_run: bool,
    /// Said with the answer. Validating plugins may warn as well.
    pub warnings: Mutex<Vec<String>>,
}

/// An admission plugin. Whatever it is not about it lets pass without allocating.
pub(crate) trait Plugin: Send + Sync {
    /// The name by which it is switched on and off.
    fn name(&self) -> &'static str;

    /// Completes or refuses. Plugins are asked in their order, before the kind's own checks.
    fn mutate<'a>(&'a self, _: &'a mut AdmissionRequest<'_>) -> Reply<'a, Result<(), Status>> {
        Reply::now(Ok(()))
    }

    /// Refuses. Asked when the object is as it will be stored.
    fn validate<'a>(&'a self, _: &'a AdmissionRequest<'_>) -> Reply<'a, Result<(), Status>> {
        Reply::now(Ok(()))
    }
}

/// What looks at writes on their way to the store.
pub(crate) trait Stages: Send + Sync {
    /// The admission plugins that are on, in their order.
    fn plugins(&self) -> &[Box<dyn Plugin>];

    /// What the server itself does to a write between the plugins' two phases, whichever of them are on: addresses
    /// are given out, grants of rights are weighed. What it gives is held until the write is decided.
    fn begin<'a>(
        &'a self,
        request: &'a mut AdmissionRequest<'_>,
        operation: kinds::Operation,
    ) -> Reply<'a, Result<store::Hold, Status>>;

    /// What must still hold when a create is committed.
    fn guard(&self, call: &Call<'_>) -> Result<Option<store::Guard>, Status>;

    /// What is done to other objects in the transaction that makes, changes or removes this one.
    fn companions(
        &self,
        call: &Call<'_>,
        new: Option<&Value>,
        old: Option<&Value>,
    ) -> Result<store::Txn, Status>;

    /// Says what is wrong when the guard did not hold any more.
    fn recheck(&self, call: &Call<'_>, new: &Value) -> Result<(), Status>;
}

impl<'a> AdmissionRequest<'a> {
    /// A write that nobody has looked at.
    pub fn new(
        operation: Op,
        call: &'a Call<'a>,
        object: &'a mut Value,
        old: Option<&'a Value>,
        dry_run: bool,
    ) -> Self {
        AdmissionRequest { operation, call, object, old, dry_run, warnings: Mutex::default() }
    }

    /// Asks the plugins of the mutating phase.
    ///
    /// # Errors
    /// What the first says that refuses.
    pub async fn mutate(&mut self) -> Result<(), Status> {
        let call = self.call;
        for plugin in call.stages.plugins() {
            plugin.mutate(self).await?;
        }
        Ok(())
    }

    /// Asks the plugins of the validating phase.
    ///
    /// # Errors
    /// What the first says that refuses.
    pub async fn validate(&self) -> Result<(), Status> {
        for plugin in self.call.stages.plugins() {
            plugin.validate(self).await?;
        }
        Ok(())
    }

    /// Whether the write is about objects of this kind, in whatever version, or about a part of them.
    pub fn is_of(&self, kind: &Kind) -> bool {
        self.call.resource.kind.is(kind)
    }

    /// Whether the write is about a whole object of this kind.
    pub fn is_whole(&self, kind: &Kind) -> bool {
        self.call.subresource.is_empty() && self.is_of(kind)
    }

    /// The name of the object that is written.
    pub fn name(&self) -> &str {
        let named =
            if self.call.name.is_empty() { object::text(self.object, "name") } else { self.call.name };
        if named.is_empty() { self.old.map_or("", |old| object::text(old, "name")) } else { named }
    }

    /// 403 in the words of all plugins.
    // k8s: staging/src/k8s.io/apiserver/pkg/admission/errors.go NewForbidden
    pub fn forbidden(&self, why: &str) -> Status {
        let name = match (self.name(), object::text(self.object, "generateName")) {
            ("", "") => "Unknown",
            ("", base) => base,
            (name, _) => name,
        };
        Status::forbidden(&self.call.resource.gvr, name, why)
    }

    /// Says something with the answer.
    pub fn warn(&self, warning: impl Into<String>) {
        self.warnings.lock().push(warning.into());
    }

    /// What is said with the answer.
    pub fn into_warnings(self) -> Vec<String> {
        self.warnings.into_inner()
    }
}

impl<'a> Asked<'a> {
    /// The call on an object (or a collection, when `name` is empty) of a resource.
    pub fn at(
        self,
        resource: Arc<Resource>,
        namespace: &'a str,
        name: &'a str,
        subresource: &'a str,
    ) -> Call<'a> {
        let Asked { state, stages, request, admission, now } = self;
        Call { state, stages, request, admission, now, resource, namespace, name, subresource }
    }
}

impl<'a> Call<'a> {
    /// In whose name it is answered.
    pub fn user(&self) -> &'a User {
        self.admission.user()
    }

    /// The same request about another object of the resource.
    pub fn object<'b>(&self, namespace: &'b str, name: &'b str) -> Call<'b>
    where
        'a: 'b,
    {
        Call { namespace, name, subresource: "", ..self.clone() }
    }

    /// The same request about part of an object of another resource, in the same namespace.
    pub fn part_of<'b>(&self, resource: Arc<Resource>, name: &'b str, subresource: &'b str) -> Call<'b>
    where
        'a: 'b,
    {
        Call { resource, name, subresource, ..self.clone() }
    }

    /// The cached object of that name.
    ///
    /// # Errors
    /// 404 when it is not there.
    pub fn find(&self, name: &str) -> Result<Arc<Entry>, Status> {
        let r = &self.resource;
        r.cache.get(&r.key(self.namespace, name)).ok_or_else(|| Status::not_found(&r.gvr, name))
    }

    /// Namespaced writes need a namespace, cluster-scoped ones must not have one.
    ///
    /// # Errors
    /// 404 and 405 for requests that no path leads to.
    pub fn check_scope(&self) -> Result<(), Status> {
        match (self.resource.kind.namespaced(), self.namespace.is_empty()) {
            (true, true) if !self.name.is_empty() => Err(Status::unknown_resource()),
            // All namespaces can be read, not written.
            (true, true) if !matches!(self.request.verb, Verb::List | Verb::Watch) => {
                Err(Status::method_not_allowed())
            }
            (false, false) => Err(Status::unknown_resource()),
            _ => Ok(()),
        }
    }

    /// Has the plugins look at an action on an object: what was sent is created, and nothing of it is stored.
    ///
    /// # Errors
    /// What the first says that refuses.
    pub async fn admit_action(&self, sent: &mut Value, dry_run: bool) -> Result<Vec<String>, Status> {
        let mut request = AdmissionRequest::new(Op::Create, self, sent, None, dry_run);
        request.mutate().await?;
        request.validate().await?;
        Ok(request.into_warnings())
    }

    /// Has the plugins look at the deletion of an object.
    ///
    /// # Errors
    /// What the first says that refuses.
    pub async fn admit_delete(&self, old: &Value, dry_run: bool) -> Result<(), Status> {
        let mut nothing = Value::Null;
        let mut request = AdmissionRequest::new(Op::Delete, self, &mut nothing, Some(old), dry_run);
        request.mutate().await?;
        request.validate().await
    }

    /// Asks for the right to create besides the verb of the request.
    ///
    /// # Errors
    /// 403.
    pub async fn require_create(&self) -> Result<(), Status> {
        let mut question = Attributes::of(self.request, self.user());
        question.verb = "create".to_owned();
        self.state.require(&question).await.map(drop)
    }
}
