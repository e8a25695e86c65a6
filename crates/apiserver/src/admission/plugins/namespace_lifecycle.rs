//! NamespaceLifecycle: nothing is created in a namespace that is missing or ending, and the system's own
//! namespaces stay.
// k8s: staging/src/k8s.io/apiserver/pkg/admission/plugin/namespace/lifecycle/admission.go

use kinds::core::namespace;
use meta::{Gvr, Status, StatusCause};
use serde::Deserialize;
use store::Guard;

use crate::request::Reply;
use crate::storage::{AdmissionRequest, Call, Op, Plugin, peek};

const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

/// The plugin's name.
pub(in crate::admission) const NAME: &str = "NamespaceLifecycle";

pub(in crate::admission) struct NamespaceLifecycle;

impl Plugin for NamespaceLifecycle {
    fn name(&self) -> &'static str {
        NAME
    }

    fn mutate<'a>(&'a self, request: &'a mut AdmissionRequest<'_>) -> Reply<'a, Result<(), Status>> {
        Reply::now(check(request))
    }
}

fn check(request: &AdmissionRequest<'_>) -> Result<(), Status> {
    match request.operation {
        Op::Delete if request.is_of(&namespace::KIND) && IMMORTAL.contains(&request.name()) => {
            Err(request.forbidden("this namespace may not be deleted"))
        }
        Op::Create if request.call.resource.kind.namespaced() => open(request.call, request.name()),
        _ => Ok(()),
    }
}

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
pub(in crate::admission) fn guard(call: &Call<'_>) -> Result<Option<Guard>, Status> {
    if !call.resource.kind.namespaced() {
        return Ok(None);
    }
    let resource = call.state.registry()?.find(&Gvr::new("", "v1", "namespaces"))?;
    let key = resource.key("", call.namespace);
    let seen = resource.cache.get(&key).filter(|entry| is_open(entry.object_bytes()));
    let seen = seen.map_or(0, |entry| entry.mod_revision());
    Ok(Some(Guard { key: key.into(), seen, good: is_open }))
}

/// Refuses a create in a namespace that cannot take it; `name` is that of the object.
pub(in crate::admission) fn open(call: &Call<'_>, name: &str) -> Result<(), Status> {
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
    let mut s = Status::forbidden(&call.resource.gvr, name, &why);
    if let Some(d) = &mut s.details {
        d.causes.push(StatusCause {
            reason: "NamespaceTerminating".to_owned(),
            message: format!("namespace {} is being terminated", call.namespace),
            field: "metadata.namespace".to_owned(),
        });
    }
    Err(s)
}
