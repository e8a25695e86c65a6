//! NodeRestriction, thin: a kubelet writes its own node and the pods bound to it.
//! Not there yet: the rules about node labels, CSINodes' owners and resource slices.
// k8s: plugin/pkg/admission/noderestriction/admission.go

use meta::Status;
use schema::Value;

use crate::authorize::node::node_name;
use crate::object;
use crate::server::Call;

const MIRROR: &str = "kubernetes.io/config.mirror";

/// Checks a create by a kubelet.
pub(crate) fn create(call: &Call<'_>, new: &Value) -> Result<(), Status> {
    let Some(node) = node_name(call.user) else { return Ok(()) };
    let name = object::text(new, "name");
    let refuse = |why: String| Err(Status::forbidden(&call.resource.gvr, name, &why));
    match (&*call.resource.gvr.group, &*call.resource.gvr.resource) {
        ("", "pods") if new.at(&["metadata", "annotations", MIRROR]).is_none() => refuse(format!(
            "pod does not have \"{MIRROR}\" annotation, node \"{node}\" can only create mirror pods"
        )),
        ("", "pods") if new.str_at(&["spec", "nodeName"]) != node => {
            refuse(format!("node \"{node}\" can only create pods with spec.nodeName set to itself"))
        }
        ("", "nodes") if name != node => {
            refuse(format!("node \"{node}\" is not allowed to modify node \"{name}\""))
        }
        ("coordination.k8s.io", "leases") if name != node => {
            refuse("can only access node lease with the same name as the requesting node".to_owned())
        }
        _ => Ok(()),
    }
}

/// Checks an update or a delete by a kubelet.
pub(crate) fn update(call: &Call<'_>, old: &Value) -> Result<(), Status> {
    let Some(node) = node_name(call.user) else { return Ok(()) };
    let name = object::text(old, "name");
    match (&*call.resource.gvr.group, &*call.resource.gvr.resource) {
        ("", "pods") if old.str_at(&["spec", "nodeName"]) != node => {
            let why = format!("node \"{node}\" can only update pods with spec.nodeName set to itself");
            Err(Status::forbidden(&call.resource.gvr, name, &why))
        }
        ("", "nodes") if name != node => {
            let why = format!("node \"{node}\" is not allowed to modify node \"{name}\"");
            Err(Status::forbidden(&call.resource.gvr, name, &why))
        }
        _ => Ok(()),
    }
}
