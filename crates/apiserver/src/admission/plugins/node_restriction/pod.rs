//! Pods and claims as kubelets write them: pictures of static pods, and the status of what runs on the node.

use meta::Status;
use schema::Value;

use super::write::{NODES, Write, not_found};
use crate::authorize::node::{MIRROR, api_reference};
use crate::storage::peek;

pub(super) fn create(w: &Write<'_>, new: &Value) -> Result<(), Status> {
    let node = w.node;
    if new.at(&["metadata", "annotations", MIRROR]).is_none() {
        return w.refuse(&format!(
            "pod does not have \"{MIRROR}\" annotation, node \"{node}\" can only create mirror pods"
        ));
    }
    if new.str_at(&["spec", "nodeName"]) != node {
        return w.refuse(&format!("node \"{node}\" can only create pods with spec.nodeName set to itself"));
    }
    owner(w, new.list_at(&["metadata", "ownerReferences"]))?;
    // What its pods refer to, a node may read: it must not choose it.
    match api_reference(new)?.what {
        None => Ok(()),
        Some(what) => w.refuse(&format!("node \"{node}\" can not create pods that reference {what}")),
    }
}

/// The one owner must be the node itself.
fn owner(w: &Write<'_>, owners: &[Value]) -> Result<(), Status> {
    let node = w.node;
    let own = format!("node \"{node}\" can only create pods with an owner reference set to itself");
    let owner = match owners {
        [] => return w.refuse(&own),
        [one] => one,
        _ => {
            return w.refuse(&format!(
                "node \"{node}\" can only create pods with a single owner reference set to itself"
            ));
        }
    };
    let text = |field: &str| owner.str_at(&[field]);
    if text("apiVersion") != "v1" || text("kind") != "Node" || text("name") != node {
        return w.refuse(&own);
    }
    if owner.bool_at(&["controller"]) != Some(true) {
        return w.refuse(&format!(
            "node \"{node}\" can only create pods with a controller owner reference set to itself"
        ));
    }
    if owner.bool_at(&["blockOwnerDeletion"]) == Some(true) {
        return w.refuse(&format!("node \"{node}\" must not set blockOwnerDeletion on an owner reference"));
    }
    let Some(stored) = w.stored::<Object>(&NODES, "", node)? else {
        return Err(not_found(&NODES, node));
    };
    let (given, actual) = (text("uid"), &stored.metadata.uid);
    if given != actual {
        return w.refuse(&format!("node {node} UID mismatch: expected {given} got {actual}"));
    }
    Ok(())
}

#[derive(serde::Deserialize, Default)]
#[serde(default)]
struct Object {
    metadata: peek::Metadata,
}

pub(super) fn status(w: &Write<'_>, new: &Value, old: &Value) -> Result<(), Status> {
    let node = w.node;
    if old.str_at(&["spec", "nodeName"]) != node {
        return w.refuse(&format!(
            "node \"{node}\" can only update pod status for pods with spec.nodeName set to itself"
        ));
    }
    if !same_map(new, old, &["metadata", "labels"]) {
        return w.refuse(&format!("node \"{node}\" cannot update labels through pod status"));
    }
    let same_list = |field: &str| new.list_at(&["status", field]) == old.list_at(&["status", field]);
    if !same_list("resourceClaimStatuses") {
        return w.refuse(&format!("node \"{node}\" cannot update resource claim statues"));
    }
    let extended = ["status", "extendedResourceClaimStatus"];
    if new.at(&extended) != old.at(&extended) {
        return w.refuse(&format!("node \"{node}\" cannot update extended resource claim status"));
    }
    if !same_list("nodeAllocatableResourceClaimStatuses") {
        let why = "cannot update node allocatable resource claim statuses";
        return w.refuse(&format!("node \"{node}\" {why}"));
    }
    Ok(())
}

fn same_map(new: &Value, old: &Value, path: &[&str]) -> bool {
    let map = |o: &Value| o.at(path).and_then(Value::as_map).cloned().unwrap_or_default();
    map(new) == map(old)
}

/// A kubelet that has resized a volume says so, and nothing else.
pub(super) fn claim_status(w: &Write<'_>, new: &Value, old: &Value) -> Result<(), Status> {
    let rest = |object: &Value| {
        let mut object = object.clone();
        for field in ["capacity", "conditions", "allocatedResourceStatuses", "allocatedResources"] {
            object.remove_at(&["status", field]);
        }
        for field in ["resourceVersion", "managedFields"] {
            object.remove_at(&["metadata", field]);
        }
        // An empty status is none.
        if object.at(&["status"]).and_then(Value::as_map).is_some_and(schema::Map::is_empty) {
            object.remove_at(&["status"]);
        }
        object
    };
    if rest(new) == rest(old) {
        return Ok(());
    }
    w.refuse(&format!(
        "node \"{}\" is not allowed to update fields other than status.quantity and status.conditions",
        w.node
    ))
}
