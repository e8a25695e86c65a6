//! pods/binding: puts a pod on a node, once.
// k8s: pkg/registry/core/pod/storage/storage.go assignPod

use kinds::Operation;
use meta::{FieldError, Gvk, Gvr, Path, Response, Status};
use schema::Value;

use crate::content::{self, Accepted};
use crate::request::body;
use crate::request::options::WriteOptions;
use crate::storage::object::map;
use crate::storage::{Call, Rules, object, write};

/// Answers a create of `pods/binding`.
pub(crate) async fn answer(call: &Call<'_>) -> Result<Response, Status> {
    let accepted = content::negotiate(call.request, false)?;
    let options = WriteOptions::of(call.request)?;
    let gvk = Gvk::new("", "v1", "Binding");
    let ty = schema::type_of("", "v1", "Binding").ok_or_else(|| Status::internal("no type for Binding"))?;
    let mut decoded = body::decode(call.request, &gvk, ty, options.field_validation)?;
    let name = object::text(&decoded.value, "name");
    if !name.is_empty() && name != call.name {
        return Err(Status::bad_request("name in URL does not match name in Binding object"));
    }
    bind(call, &mut decoded.value, options.dry_run, &accepted).await
}

/// Binds the pod that the call names.
pub(crate) async fn bind(
    call: &Call<'_>,
    binding: &mut Value,
    dry_run: bool,
    accepted: &Accepted,
) -> Result<Response, Status> {
    let warnings = call.admit_action(binding, dry_run).await?;
    check(binding)?;
    let mut rules = Rules::new(Operation::UpdateSubresource("binding"), dry_run);
    rules.skips_admission = true;
    rules.keeps_generation = true;
    write::update(call, call.name, &rules, &mut |old| assign(call, &*binding, old)).await?;
    let status = br#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success","code":201}"#;
    let ty = schema::type_of("meta.k8s.io", "v1", "Status");
    let mut response = content::encoded(accepted, 201, status.as_slice().into(), ty)?;
    response.warnings = warnings;
    Ok(response)
}

fn check(binding: &Value) -> Result<(), Status> {
    let target = Path::new("target");
    let mut errors = Vec::new();
    let kind = binding.str_at(&["target", "kind"]);
    if !matches!(kind, "" | "Node") {
        errors.push(FieldError::not_supported(&target.child("kind"), kind, &["Node", "<empty>"]));
    }
    if binding.str_at(&["target", "name"]).is_empty() {
        errors.push(FieldError::required(&target.child("name"), ""));
    }
    if errors.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(&Gvk::new("", "v1", "Binding"), object::text(binding, "name"), &errors))
}

fn assign(call: &Call<'_>, binding: &Value, old: &Value) -> Result<Value, Status> {
    let conflict = |why: String| Err(Status::conflict(&Gvr::new("", "v1", "pods/binding"), call.name, &why));
    let node = binding.str_at(&["target", "name"]);
    let uid = object::text(binding, "uid");
    if !uid.is_empty() && uid != object::text(old, "uid") {
        return conflict(format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            object::text(old, "uid")
        ));
    }
    let version = object::text(binding, "resourceVersion");
    if !version.is_empty() && version != object::text(old, "resourceVersion") {
        return Err(Status::stale(&call.resource.gvr, call.name));
    }
    if object::is_terminating(old) {
        return conflict(format!("pod {} is being deleted, cannot be assigned to a host", call.name));
    }
    let current = old.str_at(&["spec", "nodeName"]);
    if !current.is_empty() {
        return conflict(format!("pod {} is already assigned to node \"{current}\"", call.name));
    }
    if !old.list_at(&["spec", "schedulingGates"]).is_empty() {
        return conflict(format!("pod {} has non-empty .spec.schedulingGates", call.name));
    }
    let mut new = old.clone();
    new.set_at(&["spec", "nodeName"], node);
    for field in ["annotations", "labels"] {
        for (k, v) in
            binding.at(&["metadata", field]).and_then(Value::as_map).into_iter().flat_map(|m| m.iter())
        {
            let Some(metadata) = new.get_mut("metadata").and_then(Value::as_map_mut) else { break };
            let target = metadata.entry(field, || map([]));
            if let Some(m) = target.as_map_mut() {
                m.set(k.to_owned(), v.clone());
            }
        }
    }
    scheduled(&mut new, object::rfc3339(call.now));
    Ok(new)
}

/// Sets the condition PodScheduled.
fn scheduled(pod: &mut Value, now: String) {
    let Some(root) = pod.as_map_mut() else { return };
    let status = root.entry("status", || map([]));
    let Some(status) = status.as_map_mut() else { return };
    let Some(list) = status.entry("conditions", || Value::List(Vec::new())).as_list_mut() else { return };
    let condition = map([
        ("type", "PodScheduled".into()),
        ("status", "True".into()),
        ("lastProbeTime", Value::Null),
        ("lastTransitionTime", now.into()),
    ]);
    match list.iter_mut().find(|c| c.str_at(&["type"]) == "PodScheduled") {
        Some(slot) => *slot = condition,
        None => list.push(condition),
    }
}
