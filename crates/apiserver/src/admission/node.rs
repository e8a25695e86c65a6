//! NodeRestriction, thin: a kubelet writes its own node and the pods bound to it.
//! Not there yet: the rules about node labels, CSINodes' owners and resource slices.
// k8s: plugin/pkg/admission/noderestriction/admission.go

use meta::{Gvr, Status};
use schema::Value;
use serde::Deserialize;

use crate::authorize::node::{TOKEN, node_name, references};
use crate::object;
use crate::peek;
use crate::server::Call;

const MIRROR: &str = "kubernetes.io/config.mirror";

#[derive(Deserialize, Default)]
#[serde(default)]
struct Pod {
    metadata: peek::Metadata,
    spec: PodSpec,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct PodSpec {
    node_name: String,
}

/// Checks a TokenRequest by a kubelet: the token must be bound to a pod that runs there.
// k8s: plugin/pkg/admission/noderestriction/admission.go admitServiceAccount
pub(crate) fn token(call: &Call<'_>, request: &Value) -> Result<(), Status> {
    let Some(node) = node_name(call.user) else { return Ok(()) };
    let refuse = |why: &str| Err(Status::forbidden(&call.resource.gvr, call.name, why));
    let text = |field: &str| request.str_at(&["spec", "boundObjectRef", field]);
    let name = text("name");
    if text("apiVersion") != "v1" || text("kind") != "Pod" || name.is_empty() {
        return refuse("node requested token not bound to a pod");
    }
    let uid = text("uid");
    if uid.is_empty() {
        return refuse("node requested token with a pod binding without a uid");
    }
    let pods = Gvr::new("", "v1", "pods");
    let resource = call.server.registry()?.find(&pods)?;
    let entry = resource.cache.get(&resource.key(call.namespace, name));
    let entry = entry.ok_or_else(|| Status::not_found(&pods, name))?;
    let pod = peek::project::<Pod>(entry.object_bytes());
    if pod.metadata.uid != uid {
        return refuse(&format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
        ));
    }
    if pod.spec.node_name != node {
        return refuse("node requested token bound to a pod scheduled on a different node");
    }
    Ok(())
}

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
        // What its pods refer to, a node may read: it must not choose it.
        ("", "pods") => match references(new)?.first() {
            None | Some(&TOKEN) => Ok(()),
            Some(&"serviceaccounts") => {
                refuse(format!("node \"{node}\" can not create pods that reference a service account"))
            }
            Some(what) => refuse(format!("node \"{node}\" can not create pods that reference {what}")),
        },
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
