//! patch: JSON patch, merge patch and strategic merge patch, tried again when another write came first.

use kinds::Operation;
use meta::{Response, Status};
use schema::patch::PatchKind;
use schema::{FieldValidation, Value};

use super::update;
use crate::content;
use crate::registry::Resource;
use crate::request::options::WriteOptions;
use crate::request::{body, media_type};
use crate::storage::{Call, Rules, object, write};

const PATCHES: [&str; 3] =
    ["application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json"];
const APPLY: [&str; 2] = ["application/apply-patch+yaml", "application/apply-patch+cbor"];

/// The form of the patch by Content-Type; 415 for what is not a patch, server-side apply included, and for a
/// strategic patch of a kind that was defined at run time.
pub(crate) fn kind_of(content_type: &str, resource: &Resource) -> Result<PatchKind, Status> {
    let media_type = media_type(content_type);
    if APPLY.contains(&media_type.as_str()) {
        return Err(Status::failure(
            415,
            "UnsupportedMediaType",
            "server-side apply is not supported by this server yet: use client-side apply (kubectl apply without --server-side)",
        ));
    }
    let known = if resource.custom().is_some() { &PATCHES[..2] } else { &PATCHES[..] };
    let kind = PatchKind::from_media_type(&media_type).filter(|_| known.contains(&media_type.as_str()));
    kind.ok_or_else(|| Status::unsupported_media_type(known))
}

/// Answers a patch of the object itself.
pub(crate) async fn answer(call: &Call<'_>) -> Result<Response, Status> {
    modify(call, Operation::Update).await
}

/// Patches an object or the part of it that a subresource is about.
pub(crate) async fn modify(call: &Call<'_>, operation: Operation) -> Result<Response, Status> {
    let form = kind_of(&call.request.content_type, &call.resource)?;
    let accepted = content::negotiate(call.request, true)?;
    let options = WriteOptions::of(call.request)?;
    let rules = Rules::new(operation, options.dry_run);
    let mut field_warnings = Vec::new();
    let written = write::update(call, call.name, &rules, &mut |old| {
        let (new, warnings) = apply(call, form, old, options.field_validation)?;
        field_warnings = warnings;
        update::named(call, new)
    })
    .await?;
    field_warnings.extend(written.warnings);
    content::object(call, &accepted, 200, written.object, field_warnings)
}

/// The patched object. Name, namespace and kind may not be changed by it.
fn apply(
    call: &Call<'_>,
    form: PatchKind,
    old: &Value,
    validation: FieldValidation,
) -> Result<(Value, Vec<String>), Status> {
    let r = &call.resource;
    let (mut new, warnings) = r.patched(old, form, &call.request.body, validation)?;
    body::check_kind(&mut new, &r.gvk)?;
    // Without a version in the patch the old one came along: the loop above then compares with itself.
    if object::text(&new, "resourceVersion").is_empty() {
        let version = object::text(old, "resourceVersion").to_owned();
        new.set_at(&["metadata", "resourceVersion"], version);
    }
    Ok((new, warnings))
}
