//! update: replaces an object, or creates it where the kind allows that.

use kinds::Operation;
use meta::{Response, Status};
use schema::Value;

use crate::content;
use crate::request::options::WriteOptions;
use crate::storage::{Call, Rules, object, write};

/// Answers an update of the object itself.
pub(crate) async fn answer(call: &Call<'_>) -> Result<Response, Status> {
    replace(call, Operation::Update).await
}

/// Replaces an object or the part of it that a subresource is about.
pub(crate) async fn replace(call: &Call<'_>, operation: Operation) -> Result<Response, Status> {
    let accepted = content::negotiate(call.request, true)?;
    let options = WriteOptions::of(call.request)?;
    let r = &call.resource;
    let decoded = r.body(call.request, options.field_validation)?;
    let value = named(call, decoded.value)?;
    let rules = Rules::new(operation, options.dry_run);
    let done = write::update(call, call.name, &rules, &mut |_| Ok(value.clone())).await;
    let written = match done {
        Err(e) if e.is("NotFound") && may_create(call, operation, &value) => {
            // k8s: staging/src/k8s.io/apiserver/pkg/endpoints/handlers/update.go withAuthorization
            call.require_create().await?;
            let mut value = value;
            value.remove_at(&["metadata", "resourceVersion"]);
            write::create(call, value, options.dry_run).await?
        }
        other => other?,
    };
    let mut warnings = decoded.warnings;
    warnings.extend(written.warnings);
    content::object(call, &accepted, if written.created { 201 } else { 200 }, written.object, warnings)
}

fn may_create(call: &Call<'_>, operation: Operation, value: &Value) -> bool {
    operation == Operation::Update
        && call.resource.kind.strategy().allow_create_on_update()
        && object::text(value, "uid").is_empty()
        && matches!(object::text(value, "resourceVersion"), "" | "0")
}

/// The object's name and namespace must be those of the request.
pub(crate) fn named(call: &Call<'_>, mut value: Value) -> Result<Value, Status> {
    let name = object::text(&value, "name");
    if name.is_empty() {
        if object::text(&value, "generateName").is_empty() {
            value.set_at(&["metadata", "name"], call.name);
        } else {
            return Err(Status::bad_request("name must be provided"));
        }
    } else if name != call.name {
        return Err(Status::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            call.name
        )));
    }
    let namespace = object::text(&value, "namespace");
    if !namespace.is_empty() && namespace != call.namespace {
        return Err(Status::bad_request(format!(
            "the namespace of the object ({namespace}) does not match the namespace on the URL ({})",
            call.namespace
        )));
    }
    Ok(value)
}
