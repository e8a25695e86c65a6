//! The verbs on objects and collections, one file each. There is no handler of a kind.

pub mod create;
pub mod delete;
pub mod get;
pub mod list;
pub mod patch;
pub mod update;
pub mod watch;

use meta::{Response, Status, Verb};

use crate::storage::Call;

/// Answers a request for an object or a collection.
pub(crate) async fn answer(call: &Call<'_>) -> Result<Response, Status> {
    let verb = call.request.verb;
    if !call.resource.kind.verbs.contains(&verb.as_str()) {
        return Err(Status::method_not_allowed());
    }
    let named = !call.name.is_empty();
    match verb {
        Verb::Get if named => get::answer(call).await,
        Verb::List => list::answer(call).await,
        Verb::Watch => watch::answer(call).await,
        Verb::Create if !named => create::answer(call).await,
        Verb::Update if named => update::answer(call).await,
        Verb::Patch if named => patch::answer(call).await,
        Verb::Delete if named => delete::answer(call).await,
        Verb::DeleteCollection => delete::collection(call).await,
        _ => Err(Status::method_not_allowed()),
    }
}
