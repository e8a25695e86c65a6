//! NamespaceLifecycle: nothing is created in a namespace that is missing or ending, and the system's own
//! namespaces stay.
// k8s: staging/src/k8s.io/apiserver/pkg/admission/plugin/namespace/lifecycle/admission.go

use meta::{Gvr, Status, StatusCause};
use schema::Value;
use serde::Deserialize;
use store::Guard;

use crate::storage::{Call, object, peek};

const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

#[derive(Deserialize, Default)]
#[serde(default)]
struct Namespace {
    status: Phase,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Phase {
    phase: String,
}

/// Whether things may be created in a namespace that is stored so.
fn is_open(stored: &[u8]) -> bool {
    peek::project::<Namespace>(stored).status.phase != "Terminating"
        && peek::metadata(stored).deletion_timestamp.is_none()
}

/// Has the store look at the namespace once more in the transaction that creates something in it: it may end
/// between admission and commit, and what came later would stay in it for ever. Only its end matters, so that
/// changes of its labels are no conflicts.
pub(crate) fn guard(call: &Call<'_>) -> Result<Option<Guard>, Status> {
    if !call.resource.kind.namespaced() {
        return Ok(None);
    }
    let resource = call.state.registry()?.find(&Gvr::new("", "v1", "namespaces"))?;
    let key = resource.key("", call.namespace);
    let seen = resource.cache.get(&key).filter(|entry| is_open(entry.object_bytes()));
    let seen = seen.map_or(0, |entry| entry.mod_revision());
    Ok(Some(Guard { key: key.into(), seen, good: is_open }))
}

/// Refuses a create in a namespace that cannot take it.
pub(crate) fn create(call: &Call<'_>, object: &Value) -> Result<(), Status> {
    if !call.resource.kind.namespaced() {
        return Ok(());
    }
    let namespaces = Gvr::new("", "v1", "namespaces");
    let registry = call.state.registry()?;
    let resource = registry.find(&namespaces)?;
    let Some(entry) = resource.cache.get(&resource.key("", call.namespace)) else {
        return Err(Status::not_found(&namespaces, call.namespace));
    };
    if is_open(entry.object_bytes()) {
        return Ok(());
    }
    let why = format!(
        "unable to create new content in namespace {} because it is being terminated",
        call.namespace
    );
    let mut s = Status::forbidden(&call.resource.gvr, object::text(object, "name"), &why);
    if let Some(d) = &mut s.details {
        d.causes.push(StatusCause {
            reason: "NamespaceTerminating".to_owned(),
            message: format!("namespace {} is being terminated", call.namespace),
            field: "metadata.namespace".to_owned(),
        });
    }
    Err(s)
}

/// Refuses to delete the system's namespaces.
pub(crate) fn delete(call: &Call<'_>, old: &Value) -> Result<(), Status> {
    let gvr = &call.resource.gvr;
    let name = object::text(old, "name");
    if gvr.group.is_empty() && gvr.resource == "namespaces" && IMMORTAL.contains(&name) {
        return Err(Status::forbidden(gvr, name, "this namespace may not be deleted"));
    }
    Ok(())
}
