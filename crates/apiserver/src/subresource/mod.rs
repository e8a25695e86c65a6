//! Subresources: parts of an object, and actions on it. One file each where there is more than the general verbs.

pub(crate) mod binding;
mod eviction;
mod node;
mod pod_connect;
mod proxy;
mod scale;
mod token;

use kinds::Operation;
use meta::{Response, Status, Verb};
use schema::Value;

use crate::authenticate::token::Issuer;
use crate::content;
use crate::request::options::WriteOptions;
use crate::storage::{Call, Rules, write};
use crate::verbs::{get, patch, update};

/// Answers a request for a subresource; `issuer` signs tokens.
pub(crate) async fn answer(call: &Call<'_>, issuer: Option<&Issuer>) -> Result<Response, Status> {
    let declared = call.resource.kind.subresource(call.subresource).ok_or_else(Status::unknown_resource)?;
    if call.name.is_empty() {
        return Err(Status::unknown_resource());
    }
    let verb = call.request.verb;
    let refused = || Err(Status::method_not_allowed());
    match (declared.name, verb) {
        ("binding", Verb::Create) => binding::answer(call).await,
        ("eviction", Verb::Create) => eviction::answer(call).await,
        ("token", Verb::Create) => token::answer(call, issuer).await,
        ("log", Verb::Get) => pod_connect::log(call),
        ("exec" | "attach", Verb::Connect) => pod_connect::exec(call).await,
        ("portforward", Verb::Connect) => pod_connect::port_forward(call).await,
        ("proxy", Verb::Connect) => proxy::answer(call),
        ("scale", Verb::Get | Verb::Update | Verb::Patch) => scale::answer(call).await,
        ("finalize", Verb::Update) => finalize(call).await,
        (
            "binding" | "eviction" | "token" | "log" | "exec" | "attach" | "portforward" | "proxy" | "scale",
            _,
        ) => refused(),
        ("finalize", _) => refused(),
        (name, verb) => {
            let operation = match name {
                "status" => Operation::UpdateStatus,
                other => Operation::UpdateSubresource(other),
            };
            match verb {
                Verb::Get => get::answer(call).await,
                Verb::Update => update::replace(call, operation).await,
                Verb::Patch => patch::modify(call, operation).await,
                _ => refused(),
            }
        }
    }
}

/// namespaces/finalize: replaces `spec.finalizers`, and the last one lets the namespace go.
async fn finalize(call: &Call<'_>) -> Result<Response, Status> {
    let accepted = content::negotiate(call.request, true)?;
    let options = WriteOptions::of(call.request)?;
    let r = &call.resource;
    let decoded = r.body(call.request, options.field_validation)?;
    let value = update::named(call, decoded.value)?;
    let rules = Rules::new(Operation::UpdateSubresource("finalize"), options.dry_run);
    let written = write::update(call, call.name, &rules, &mut |old: &Value| {
        let mut new = old.clone();
        match value.at(&["spec", "finalizers"]) {
            Some(f) => new.set_at(&["spec", "finalizers"], f.clone()),
            None => {
                new.remove_at(&["spec", "finalizers"]);
            }
        }
        for field in ["resourceVersion", "uid"] {
            if let Some(v) = value.at(&["metadata", field]) {
                new.set_at(&["metadata", field], v.clone());
            }
        }
        Ok(new)
    })
    .await?;
    content::object(call, &accepted, 200, written.object, decoded.warnings)
}
