//! NodeRestriction: a kubelet writes its own node, the status of the pods that run there, and what belongs to
//! them. The authorizer has decided what can be decided without a body; this must never widen that.
// k8s: plugin/pkg/admission/noderestriction/admission.go

mod own_node;
mod pod;
mod requests;
mod token;
mod write;

use kinds::Operation;
use meta::Status;
use schema::Value;

use self::write::{Write, write_of};
use crate::authorize::node::LEASES;
use crate::storage::{Call, object};

/// Checks a TokenRequest by a kubelet: the token must be bound to a pod that runs there, for whom it needs it.
pub(crate) async fn token(call: &Call<'_>, request: &Value) -> Result<(), Status> {
    match write_of(call, call.name)? {
        Some(w) => token::check(&w, request).await,
        None => Ok(()),
    }
}

/// Checks an eviction by a kubelet.
pub(crate) fn evict(call: &Call<'_>, pod: &Value) -> Result<(), Status> {
    match write_of(call, call.name)? {
        Some(w) if pod.str_at(&["spec", "nodeName"]) != w.node => {
            w.refuse(&format!("node {} can only evict pods with spec.nodeName set to itself", w.node))
        }
        _ => Ok(()),
    }
}

/// Checks a create by a kubelet.
pub(crate) async fn create(call: &Call<'_>, new: &Value) -> Result<(), Status> {
    let Some(w) = write_of(call, object::text(new, "name"))? else { return Ok(()) };
    match (&*call.resource.gvr.group, &*call.resource.gvr.resource) {
        ("", "pods") => pod::create(&w, new),
        ("", "nodes") => own_node::create(&w, new),
        ("", "persistentvolumeclaims") => w.refuse("may only update PVC status"),
        ("coordination.k8s.io", "leases") => lease(&w),
        ("storage.k8s.io", "csinodes") => csi_node(&w),
        ("resource.k8s.io", "resourceslices") if new.str_at(&["spec", "nodeName"]) != w.node => {
            w.refuse("can only create ResourceSlice with the same NodeName as the requesting node")
        }
        ("certificates.k8s.io", "certificatesigningrequests") => requests::certificate(&w, new),
        ("certificates.k8s.io", "podcertificaterequests") => requests::pod_certificate(&w, new).await,
        _ => Ok(()),
    }
}

/// Checks an update by a kubelet.
pub(crate) fn update(call: &Call<'_>, new: &Value, old: &Value, op: Operation) -> Result<(), Status> {
    let Some(w) = write_of(call, object::text(old, "name"))? else { return Ok(()) };
    match (&*call.resource.gvr.group, &*call.resource.gvr.resource, op) {
        ("", "pods", Operation::UpdateStatus) => pod::status(&w, new, old),
        ("", "pods", Operation::Update) => {
            let why = "unexpected operation \"UPDATE\"";
            w.refuse(&format!("{why}, node \"{}\" can only create and delete mirror pods", w.node))
        }
        ("", "pods", Operation::UpdateSubresource(sub)) => w.refuse(&format!(
            "unexpected pod subresource \"{sub}\", only 'status' and 'eviction' are allowed"
        )),
        ("", "nodes", _) => own_node::update(&w, new, old),
        ("", "persistentvolumeclaims", Operation::UpdateStatus) => pod::claim_status(&w, new, old),
        ("", "persistentvolumeclaims", _) => w.refuse("may only update PVC status"),
        ("coordination.k8s.io", "leases", _) => lease(&w),
        ("storage.k8s.io", "csinodes", _) => csi_node(&w),
        ("certificates.k8s.io", "podcertificaterequests", _) => w.refuse("unexpected operation UPDATE"),
        _ => Ok(()),
    }
}

/// Checks a delete by a kubelet.
pub(crate) fn delete(call: &Call<'_>, old: &Value) -> Result<(), Status> {
    let Some(w) = write_of(call, object::text(old, "name"))? else { return Ok(()) };
    match (&*call.resource.gvr.group, &*call.resource.gvr.resource) {
        ("", "pods") if old.str_at(&["spec", "nodeName"]) != w.node => {
            w.refuse(&format!("node \"{}\" can only delete pods with spec.nodeName set to itself", w.node))
        }
        ("", "nodes") => own_node::named(&w),
        ("", "persistentvolumeclaims") => w.refuse("may only update PVC status"),
        ("coordination.k8s.io", "leases") => lease(&w),
        ("storage.k8s.io", "csinodes") => csi_node(&w),
        ("resource.k8s.io", "resourceslices") if old.str_at(&["spec", "nodeName"]) != w.node => {
            w.refuse("can only delete ResourceSlice with the same NodeName as the requesting node")
        }
        ("certificates.k8s.io", "podcertificaterequests") => w.refuse("unexpected operation DELETE"),
        _ => Ok(()),
    }
}

fn lease(w: &Write<'_>) -> Result<(), Status> {
    if w.call.namespace != LEASES {
        return w.refuse(&format!("can only access leases in the \"{LEASES}\" system namespace"));
    }
    if w.name != w.node {
        return w.refuse("can only access node lease with the same name as the requesting node");
    }
    Ok(())
}

fn csi_node(w: &Write<'_>) -> Result<(), Status> {
    if w.name != w.node {
        return w.refuse("can only access CSINode with the same name as the requesting node");
    }
    if w.call.subresource == "status" {
        return w.refuse("CSIVolumeHealth feature gate is disabled");
    }
    Ok(())
}
