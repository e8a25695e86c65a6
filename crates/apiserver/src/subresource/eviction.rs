//! pods/eviction: a delete that respects disruption budgets.
// k8s: pkg/registry/core/pod/storage/eviction.go

mod grant;

use kinds::Operation;
use meta::{Gvk, Gvr, Response, Status};
use schema::Value;
use watchcache::RevisionMatch;

use crate::content;
use crate::request::body;
use crate::request::options::WriteOptions;
use crate::storage::{Call, Rules, object, peek, remove, write};

const BUDGETS: Gvr = Gvr::new("policy", "v1", "poddisruptionbudgets");

/// How often an eviction that lost a race is tried again.
// k8s: pkg/registry/core/pod/storage/eviction.go EvictionsRetry
const TRIES: usize = 20;

/// Answers a create of `pods/eviction`.
pub(crate) async fn answer(call: &Call<'_>) -> Result<Response, Status> {
    let accepted = content::negotiate(call.request, false)?;
    let (options, warnings) = delete_options(call).await?;
    evict(call, &options).await?;
    let status = br#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success","code":201}"#;
    let ty = schema::type_of("meta.k8s.io", "v1", "Status");
    let mut response = content::encoded(&accepted, 201, status.as_slice().into(), ty)?;
    response.warnings = warnings;
    Ok(response)
}

/// What the Eviction asks for, and what the plugins say to it.
async fn delete_options(call: &Call<'_>) -> Result<(body::DeleteOptions, Vec<String>), Status> {
    let options = WriteOptions::of(call.request)?;
    let gvk = Gvk::new("policy", "v1", "Eviction");
    let ty = schema::type_of("policy", "v1", "Eviction")
        .ok_or_else(|| Status::internal("no type for Eviction"))?;
    // k8s: pkg/registry/core/pod/storage/eviction.go AcceptsGroupVersion
    let mut decoded = body::decode_also(call.request, &gvk, "policy/v1beta1", ty, options.field_validation)?;
    if object::text(&decoded.value, "name") != call.name {
        return Err(Status::bad_request("name in URL does not match name in Eviction object"));
    }
    let warnings = call.admit_action(&mut decoded.value, options.dry_run).await?;
    let json = decoded.value.get("deleteOptions").map(schema::encode_plain);
    let mut out: body::DeleteOptions = json.map(|j| peek::project(&j)).unwrap_or_default();
    if options.dry_run {
        out.dry_run = Some(vec!["All".to_owned()]);
    }
    Ok((out, warnings))
}

fn read(call: &Call<'_>) -> Result<Value, Status> {
    write::from_entry(&call.resource, &*call.find(call.name)?)
}

/// Deletes the pod if it counts for no budget, or if its budget lets it go.
// k8s: pkg/registry/core/pod/storage/eviction.go Create
async fn evict(call: &Call<'_>, options: &body::DeleteOptions) -> Result<(), Status> {
    let mut pod = read(call)?;
    for left in (0..TRIES).rev() {
        // Nothing is taken off a budget for a delete that is refused.
        remove::check_preconditions(call, call.name, &pod, options)?;
        if !ignores_budgets(&pod) {
            return evict_within_budget(call, &pod, options).await;
        }
        // One that has not begun may become ready meanwhile, and then it counts.
        let bound = !has_ended(&pod) && !names_version(options);
        let own = if bound { of_version(options, &pod) } else { options.clone() };
        match tell_and_remove(call, own).await {
            Err(e) if bound && left > 0 && e.is("Conflict") => pod = read(call)?,
            answer => return answer,
        }
    }
    Err(Status::stale(&call.resource.gvr, call.name))
}

async fn evict_within_budget(
    call: &Call<'_>,
    pod: &Value,
    options: &body::DeleteOptions,
) -> Result<(), Status> {
    let Some(budget) = budget_of(call, pod)? else { return tell_and_remove(call, options.clone()).await };
    let name = object::text(&budget, "name");
    if is_ready(pod) || !grant::lets_unready_go(&budget) {
        spend(call, name, options.is_dry_run()).await?;
        return tell_and_remove(call, options.clone()).await;
    }
    // It counts for nothing as long as it does not become ready.
    match tell_and_remove(call, of_version(options, pod)).await {
        Err(e) if e.is("Conflict") && !names_version(options) => Err(grant::unsettled(name)),
        answer => answer,
    }
}

async fn tell_and_remove(call: &Call<'_>, mut options: body::DeleteOptions) -> Result<(), Status> {
    if !options.is_dry_run() {
        tell(call, &mut options).await?;
    }
    remove::remove_admitted(call, call.name, &options).await.map(|_| ())
}

/// Puts into the pod's status why it goes, before it does; what the options ask of its version holds for that write.
// k8s: pkg/registry/core/pod/storage/eviction.go addConditionAndDeletePod
async fn tell(call: &Call<'_>, options: &mut body::DeleteOptions) -> Result<(), Status> {
    let status_call = call.part_of(call.resource.clone(), call.name, "status");
    let mut rules = Rules::new(Operation::UpdateStatus, false);
    rules.skips_admission = true;
    let now = object::rfc3339(call.now);
    let written = write::update(&status_call, call.name, &rules, &mut |old| {
        remove::check_preconditions(call, call.name, old, options)?;
        let mut new = old.clone();
        disrupted(&mut new, &now);
        Ok(new)
    })
    .await?;
    if let Some(version) = options.preconditions.as_mut().and_then(|p| p.resource_version.as_mut()) {
        *version = peek::metadata(&written.object).resource_version;
    }
    Ok(())
}

/// Sets the condition by which controllers know that the pod did not fail by itself.
fn disrupted(pod: &mut Value, now: &str) {
    const KIND: &str = "DisruptionTarget";
    let generation = pod.int_at(&["metadata", "generation"]).filter(|g| *g > 0);
    let Some(status) = pod.as_map_mut().map(|p| p.entry("status", || object::map([]))) else { return };
    let Some(conditions) =
        status.as_map_mut().and_then(|s| s.entry("conditions", || Value::List(Vec::new())).as_list_mut())
    else {
        return;
    };
    let before = conditions.iter().find(|c| c.str_at(&["type"]) == KIND && c.str_at(&["status"]) == "True");
    let since = before.map_or(now, |c| c.str_at(&["lastTransitionTime"])).to_owned();
    let mut new = object::map([
        ("type", KIND.into()),
        ("status", "True".into()),
        ("lastProbeTime", Value::Null),
        ("lastTransitionTime", since.as_str().into()),
        ("reason", "EvictionByEvictionAPI".into()),
        ("message", "Eviction API: evicting".into()),
    ]);
    if let Some(generation) = generation {
        new.set_at(&["observedGeneration"], generation);
    }
    match conditions.iter_mut().find(|c| c.str_at(&["type"]) == KIND) {
        Some(old) => *old = new,
        None => conditions.push(new),
    }
}

/// Whether the caller says which version of the pod it means.
fn names_version(options: &body::DeleteOptions) -> bool {
    options.preconditions.as_ref().is_some_and(|p| p.resource_version.is_some())
}

/// The options for this version of the pod and no other.
fn of_version(options: &body::DeleteOptions, pod: &Value) -> body::DeleteOptions {
    let mut out = options.clone();
    out.preconditions.get_or_insert_default().resource_version =
        Some(object::text(pod, "resourceVersion").to_owned());
    out
}

/// Whether the pod has come to its end or goes already.
fn has_ended(pod: &Value) -> bool {
    matches!(pod.str_at(&["status", "phase"]), "Succeeded" | "Failed") || object::is_terminating(pod)
}

// k8s: pkg/registry/core/pod/storage/eviction.go canIgnorePDB
fn ignores_budgets(pod: &Value) -> bool {
    has_ended(pod) || pod.str_at(&["status", "phase"]) == "Pending"
}

fn is_ready(pod: &Value) -> bool {
    let ready = |c: &Value| c.str_at(&["type"]) == "Ready" && c.str_at(&["status"]) == "True";
    pod.list_at(&["status", "conditions"]).iter().any(ready)
}

/// The budget that selects the pod.
fn budget_of(call: &Call<'_>, pod: &Value) -> Result<Option<Value>, Status> {
    let resource = call.state.registry()?.find(&BUDGETS)?;
    let snapshot = resource.cache.list(RevisionMatch::Any).map_err(|e| Status::internal(e.to_string()))?;
    let prefix = format!("{}{}/", resource.prefix, call.namespace);
    let mut found = None;
    for entry in snapshot.iter(&prefix, None) {
        let budget = crate::codec::stored(entry.object_bytes(), resource.ty())?;
        let selector = kinds::rules::selector_of(budget.at(&["spec", "selector"]));
        if !selector.is_ok_and(|s| kinds::rules::selects(&s, pod.at(&["metadata", "labels"]))) {
            continue;
        }
        if found.replace(budget).is_some() {
            let why = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
            return Err(Status::failure(500, "", why));
        }
    }
    Ok(found)
}

/// Takes one allowed disruption off the budget. Every try that another write came before has seen one succeed.
async fn spend(call: &Call<'_>, name: &str, dry_run: bool) -> Result<(), Status> {
    let resource = call.state.registry()?.find(&BUDGETS)?;
    let budget_call = call.part_of(resource, name, "status");
    let mut rules = Rules::new(Operation::UpdateStatus, dry_run);
    rules.skips_admission = true;
    let now = object::rfc3339(call.now);
    let mut spent = |old: &Value| grant::spent(old, call.name, &now);
    for _ in 0..TRIES {
        match write::update(&budget_call, name, &rules, &mut spent).await {
            Err(e) if e.is("Conflict") => {}
            answer => return answer.map(|_| ()),
        }
    }
    let why = format!("couldn't update PodDisruptionBudget {name:?} due to conflicts");
    Err(Status::timeout(why))
}
