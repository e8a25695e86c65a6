//! create: a new object in a collection.

use meta::{Response, Status};

use crate::content;
use crate::request::options::WriteOptions;
use crate::storage::{Call, write};

/// Answers a create.
pub(crate) async fn answer(call: &Call<'_>) -> Result<Response, Status> {
    let accepted = content::negotiate(call.request, true)?;
    let options = WriteOptions::of(call.request)?;
    let r = &call.resource;
    let decoded = r.body(call.request, options.field_validation)?;
    let written = write::create(call, decoded.value, options.dry_run).await?;
    let mut warnings = decoded.warnings;
    warnings.extend(written.warnings);
    content::object(call, &accepted, 201, written.object, warnings)
}
