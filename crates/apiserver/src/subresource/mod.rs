//! Subresources: parts of an object, and actions on it.

use kinds::Operation;
use meta::{Response, Status, Verb};

use crate::server::Call;
use crate::verbs::{get, patch, update};

/// Answers a request for a subresource.
pub(crate) async fn answer(call: &Call<'_>) -> Result<Response, Status> {
    let declared = call.resource.kind.subresource(call.subresource).ok_or_else(Status::unknown_resource)?;
    let verb = call.request.verb;
    match (declared.name, verb) {
        ("status", Verb::Get) => get::answer(call).await,
        ("status", Verb::Update) => update::replace(call, Operation::UpdateStatus).await,
        ("status", Verb::Patch) => patch::modify(call, Operation::UpdateStatus).await,
        _ => Err(Status::method_not_supported(&call.resource.gvr, verb.as_str())),
    }
}
