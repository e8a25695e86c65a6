//! pods/eviction: a delete that respects disruption budgets.
// k8s: pkg/registry/core/pod/storage/eviction.go

use kinds::Operation;
use meta::{Gvk, Gvr, Response, Status, StatusCause};
use schema::Value;
use watchcache::RevisionMatch;

use crate::admission;
use crate::content;
use crate::request::body;
use crate::request::options::WriteOptions;
use crate::storage::{Call, Rules, object, peek, remove, write};

const BUDGETS: Gvr = Gvr::new("policy", "v1", "poddisruptionbudgets");

/// Answers a create of `pods/eviction`.
pub(crate) async fn answer(call: &Call<'_>) -> Result<Response, Status> {
    let accepted = content::negotiate(call.request, false)?;
    let options = WriteOptions::of(call.request)?;
    let gvk = Gvk::new("policy", "v1", "Eviction");
    let ty = schema::type_of("policy", "v1", "Eviction")
        .ok_or_else(|| Status::internal("no type for Eviction"))?;
    let decoded = body::decode(call.request, &gvk, ty, options.field_validation)?;
    let name = object::text(&decoded.value, "name");
    if !name.is_empty() && name != call.name {
        return Err(Status::bad_request("name in URL does not match name in Eviction object"));
    }
    let json = decoded.value.get("deleteOptions").map(schema::encode_plain);
    let mut delete_options: body::DeleteOptions = json.map(|j| peek::project(&j)).unwrap_or_default();
    if options.dry_run {
        delete_options.dry_run = Some(vec!["All".to_owned()]);
    }
    let pod = write::from_entry(&call.resource, &*call.find(call.name)?)?;
    admission::evict(call, &pod)?;
    let dry_run = delete_options.is_dry_run();
    // Nothing is taken off a budget for a delete that is refused.
    remove::check(call, call.name, &pod, &delete_options)?;
    if !ignores_budgets(&pod)
        && let Some(budget) = budget_of(call, &pod)?
    {
        spend(call, &budget, dry_run).await?;
    }
    if !dry_run {
        tell(call, &mut delete_options).await?;
    }
    remove::remove(call, call.name, &delete_options).await?;
    let status = br#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success","code":201}"#;
    content::encoded(&accepted, 201, status.as_slice().into(), schema::type_of("meta.k8s.io", "v1", "Status"))
}

/// Puts into the pod's status why it goes, before it does; what the options ask of its version holds for that write.
// k8s: pkg/registry/core/pod/storage/eviction.go addConditionAndDeletePod
async fn tell(call: &Call<'_>, options: &mut body::DeleteOptions) -> Result<(), Status> {
    let status_call = call.part_of(call.resource.clone(), call.name, "status");
    let mut rules = Rules::new(Operation::UpdateStatus, false);
    rules.skips_admission = true;
    let now = object::rfc3339(call.now);
    let written = write::update(&status_call, call.name, &rules, &mut |old| {
        remove::check(call, call.name, old, options)?;
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
    let Some(status) = pod.as_map_mut().map(|p| p.entry("status", || object::map([]))) else { return };
    let Some(conditions) =
        status.as_map_mut().and_then(|s| s.entry("conditions", || Value::List(Vec::new())).as_list_mut())
    else {
        return;
    };
    let before = conditions.iter().find(|c| c.str_at(&["type"]) == KIND && c.str_at(&["status"]) == "True");
    let since = before.map_or(now, |c| c.str_at(&["lastTransitionTime"])).to_owned();
    conditions.retain(|c| c.str_at(&["type"]) != KIND);
    conditions.push(object::map([
        ("type", KIND.into()),
        ("status", "True".into()),
        ("lastProbeTime", Value::Null),
        ("lastTransitionTime", since.as_str().into()),
        ("reason", "EvictionByEvictionAPI".into()),
        ("message", "Eviction API: evicting".into()),
    ]));
}

fn ignores_budgets(pod: &Value) -> bool {
    matches!(pod.str_at(&["status", "phase"]), "Succeeded" | "Failed" | "Pending")
        || object::is_terminating(pod)
}

/// The name of the budget that selects the pod.
fn budget_of(call: &Call<'_>, pod: &Value) -> Result<Option<String>, Status> {
    let resource = call.state.registry()?.find(&BUDGETS)?;
    let snapshot = resource.cache.list(RevisionMatch::Any).map_err(|e| Status::internal(e.to_string()))?;
    let prefix = format!("{}{}/", resource.prefix, call.namespace);
    let mut found = Vec::new();
    for entry in snapshot.iter(&prefix, None) {
        let budget = crate::codec::stored(entry.object_bytes(), resource.ty())?;
        let selector = kinds::rules::selector_of(budget.at(&["spec", "selector"]));
        if selector.is_ok_and(|s| kinds::rules::selects(&s, pod.at(&["metadata", "labels"]))) {
            found.push(entry.name().to_owned());
        }
    }
    if found.len() > 1 {
        return Err(Status::internal(
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
        ));
    }
    Ok(found.pop())
}

/// Takes one allowed disruption off the budget.
async fn spend(call: &Call<'_>, name: &str, dry_run: bool) -> Result<(), Status> {
    let resource = call.state.registry()?.find(&BUDGETS)?;
    let budget_call = call.part_of(resource, name, "status");
    let mut rules = Rules::new(Operation::UpdateStatus, dry_run);
    rules.skips_admission = true;
    let pod = call.name.to_owned();
    let now = object::rfc3339(call.now);
    write::update(&budget_call, name, &rules, &mut |old| {
        let number = |f: &str| old.int_at(&["status", f]).unwrap_or(0);
        if number("observedGeneration") < old.int_at(&["metadata", "generation"]).unwrap_or(0) {
            let why = format!("The disruption budget {name} is still being processed by the server.");
            return Err(refused(why, 10));
        }
        let allowed = number("disruptionsAllowed");
        if allowed <= 0 {
            let why = format!(
                "The disruption budget {name} needs {} healthy pods and has {} currently",
                number("desiredHealthy"),
                number("currentHealthy")
            );
            return Err(refused(why, 0));
        }
        let mut new = old.clone();
        new.set_at(&["status", "disruptionsAllowed"], allowed - 1);
        let Some(status) = new.get_mut("status").and_then(Value::as_map_mut) else { return Ok(new) };
        let disrupted = status.entry("disruptedPods", || object::map([]));
        if let Some(m) = disrupted.as_map_mut() {
            m.set(pod.clone(), now.as_str());
        }
        Ok(new)
    })
    .await?;
    Ok(())
}

fn refused(why: String, retry_seconds: u32) -> Status {
    let mut s = Status::too_many_requests(
        "Cannot evict pod as it would violate the pod's disruption budget.",
        retry_seconds,
    );
    if let Some(d) = &mut s.details {
        d.retry_after_seconds = (retry_seconds > 0).then_some(retry_seconds);
        d.causes.push(StatusCause {
            reason: "DisruptionBudget".to_owned(),
            message: why,
            field: String::new(),
        });
    }
    s
}
