//! Admission: what is put into or refused of a write besides what the kind's strategy says. Each plugin is a
//! file with pure checks over the object and facts looked up in the cache.
//! Not there yet: LimitRanger, ResourceQuota, webhooks and policies.

mod certificates;
mod escalation;
mod namespace;
mod node;
mod priority;
mod runtime_class;
mod service;
mod service_account;
mod tolerations;
mod unenforced;

use kinds::Operation;
use meta::Status;
use schema::{Map, Value};

use crate::server::Call;
use crate::service::Reservation;
use crate::verbs::write::Rules;

/// What a write holds until it is committed or given up.
#[derive(Default)]
pub(crate) struct Lease {
    addresses: Option<Reservation>,
}

impl Lease {
    /// For the store, which keeps it until the write is decided.
    pub fn into_hold(self) -> store::Hold {
        match self.addresses {
            Some(addresses) => Box::new(addresses),
            None => Box::new(()),
        }
    }
}

/// Runs the plugins on an object to be created.
pub(crate) fn create(
    call: &Call<'_>,
    object: &mut Value,
    dry_run: bool,
    warnings: &mut Vec<String>,
) -> Result<Lease, Status> {
    namespace::create(call, object)?;
    node::create(call, object)?;
    let mut lease = Lease::default();
    match (&*call.resource.gvr.group, &*call.resource.gvr.resource) {
        ("", "pods") => {
            service_account::create(call, object)?;
            priority::create(call, object)?;
            tolerations::create(object);
            runtime_class::create(call, object)?;
        }
        ("", "nodes") => tolerations::taint_new_node(object),
        ("", "services") => lease.addresses = Some(service::create(call, object, dry_run)?),
        ("rbac.authorization.k8s.io", _) => escalation::check(call, object, None)?,
        ("certificates.k8s.io", "certificatesigningrequests") => certificates::create(call, object)?,
        _ => {}
    }
    warnings.extend(unenforced::warning(&call.resource.gvr, object, None));
    Ok(lease)
}

/// What must still hold of the namespace when a create is committed.
pub(crate) fn guard(call: &Call<'_>) -> Result<Option<store::Guard>, Status> {
    namespace::guard(call)
}

/// Says what is wrong when it does not hold any more.
pub(crate) fn recheck(call: &Call<'_>, object: &Value) -> Result<(), Status> {
    namespace::create(call, object)
}

/// Runs the plugins on an update.
pub(crate) fn update(
    call: &Call<'_>,
    new: &mut Value,
    old: &Value,
    rules: &Rules,
    warnings: &mut Vec<String>,
) -> Result<Lease, Status> {
    node::update(call, new, old, rules.operation)?;
    if call.resource.gvr.resource == "certificatesigningrequests" {
        certificates::update(call, new, old, rules.operation)?;
    }
    let mut lease = Lease::default();
    if rules.operation != Operation::Update {
        return Ok(lease);
    }
    match (&*call.resource.gvr.group, &*call.resource.gvr.resource) {
        ("", "services") => lease.addresses = Some(service::update(call, new, old)?),
        ("rbac.authorization.k8s.io", _) => escalation::check(call, new, Some(old))?,
        _ => {}
    }
    warnings.extend(unenforced::warning(&call.resource.gvr, new, Some(old)));
    Ok(lease)
}

/// Runs the plugins on a TokenRequest.
pub(crate) fn token(call: &Call<'_>, request: &Value) -> Result<(), Status> {
    node::token(call, request)
}

/// Runs the plugins on an eviction of this pod.
pub(crate) fn evict(call: &Call<'_>, pod: &Value) -> Result<(), Status> {
    node::evict(call, pod)
}

/// Runs the plugins on a delete.
pub(crate) fn delete(call: &Call<'_>, old: &Value) -> Result<(), Status> {
    namespace::delete(call, old)?;
    node::delete(call, old)
}

/// A map of a few fields.
pub(crate) fn map<const N: usize>(fields: [(&'static str, Value); N]) -> Value {
    let mut m = Map::new();
    for (k, v) in fields {
        m.set(k, v);
    }
    Value::Map(m)
}
