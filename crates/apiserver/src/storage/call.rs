//! A request that was let in, and the resource and object it is about. It must never be made in more than one
//! way: [`Asked::at`] makes calls, and calls make calls about other objects.

use std::sync::Arc;

use jiff::Timestamp;
use meta::{Admission, BoxFuture, Request, Status, User, Verb};
use schema::Value;
use watchcache::Entry;

use super::State;
use super::rules::Rules;
use crate::registry::Resource;
use crate::request::Attributes;

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

/// What looks at writes on their way to the store. The admission plugins implement it.
pub(crate) trait Stages: Send + Sync {
    /// Completes or refuses an object to be created. What it gives is held until the write is decided.
    fn create<'a>(
        &'a self,
        call: &'a Call<'_>,
        new: &'a mut Value,
        warnings: &'a mut Vec<String>,
    ) -> BoxFuture<'a, Result<store::Hold, Status>>;

    /// Completes or refuses the new form of an object. What it gives is held until the write is decided.
    fn update<'a>(
        &'a self,
        call: &'a Call<'_>,
        new: &'a mut Value,
        old: &'a Value,
        rules: &'a Rules,
        warnings: &'a mut Vec<String>,
    ) -> BoxFuture<'a, Result<store::Hold, Status>>;

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

    /// Refuses a delete.
    fn delete(&self, call: &Call<'_>, old: &Value) -> Result<(), Status>;
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
