//! Priority: a pod's priority class becomes its number.
// k8s: plugin/pkg/admission/priority/admission.go

use kinds::core::pod;
use kinds::scheduling::priority_class;
use meta::{Gvr, Status};
use schema::Value;
use serde::Deserialize;

use crate::request::Reply;
use crate::storage::{AdmissionRequest, Call, Op, Plugin, object, peek};

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Class {
    metadata: peek::Metadata,
    value: i64,
    global_default: bool,
    preemption_policy: Option<String>,
}

pub(in crate::admission) struct Priority;

impl Plugin for Priority {
    fn name(&self) -> &'static str {
        "Priority"
    }

    fn mutate<'a>(&'a self, request: &'a mut AdmissionRequest<'_>) -> Reply<'a, Result<(), Status>> {
        if !request.is_whole(&pod::KIND) {
            return Reply::now(Ok(()));
        }
        Reply::now(match (request.operation, request.old) {
            (Op::Create, _) => create(request.call, request.object),
            (Op::Update, Some(old)) => {
                update(request.object, old);
                Ok(())
            }
            _ => Ok(()),
        })
    }

    fn validate<'a>(&'a self, request: &'a AdmissionRequest<'_>) -> Reply<'a, Result<(), Status>> {
        Reply::now(only_default(request))
    }
}

/// There is one class for pods that name none.
// k8s: plugin/pkg/admission/priority/admission.go validatePriorityClass
fn only_default(request: &AdmissionRequest<'_>) -> Result<(), Status> {
    let is_write = request.operation != Op::Delete && request.is_whole(&priority_class::KIND);
    if !is_write || request.object.bool_at(&["globalDefault"]) != Some(true) {
        return Ok(());
    }
    match default_class(&request.call.resource) {
        Some(class) if request.operation == Op::Create || class.metadata.name != request.name() => {
            Err(request.forbidden(&format!(
                "PriorityClass {} is already marked as default. Only one default can exist",
                class.metadata.name
            )))
        }
        _ => Ok(()),
    }
}

/// Completes a new pod.
fn create(call: &Call<'_>, pod: &mut Value) -> Result<(), Status> {
    let refuse = |why: &str| Err(Status::forbidden(&call.resource.gvr, object::text(pod, "name"), why));
    let resource = call.state.registry()?.find(&Gvr::new("scheduling.k8s.io", "v1", "priorityclasses"))?;
    let name = pod.str_at(&["spec", "priorityClassName"]).to_owned();
    let class = if name.is_empty() {
        default_class(&resource)
    } else {
        match resource.cache.get(&resource.key("", &name)) {
            Some(entry) => Some(peek::project::<Class>(entry.object_bytes())),
            None => return refuse(&format!("no PriorityClass with name {name} was found")),
        }
    };
    let (value, policy) = match &class {
        Some(c) => {
            (c.value, c.preemption_policy.clone().unwrap_or_else(|| "PreemptLowerPriority".to_owned()))
        }
        None => (0, "PreemptLowerPriority".to_owned()),
    };
    if let Some(given) = pod.int_at(&["spec", "priority"]).filter(|g| *g != value) {
        return refuse(&format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller computed {value} from the given PriorityClass name"
        ));
    }
    let given = pod.str_at(&["spec", "preemptionPolicy"]);
    if !given.is_empty() && given != policy {
        return refuse(&format!(
            "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission controller computed {policy} from the given PriorityClass name"
        ));
    }
    if let Some(c) = class.filter(|_| name.is_empty()) {
        pod.set_at(&["spec", "priorityClassName"], c.metadata.name);
    }
    pod.set_at(&["spec", "priority"], value);
    pod.set_at(&["spec", "preemptionPolicy"], policy);
    Ok(())
}

/// An update that leaves out what creation has put in keeps it.
// k8s: plugin/pkg/admission/priority/admission.go admitPod
fn update(new: &mut Value, old: &Value) {
    for field in ["priority", "preemptionPolicy"] {
        if new.at(&["spec", field]).is_none()
            && let Some(kept) = old.at(&["spec", field])
        {
            new.set_at(&["spec", field], kept.clone());
        }
    }
}

/// The class for pods without one: of several the one with the lowest value.
fn default_class(resource: &crate::registry::Resource) -> Option<Class> {
    let snapshot = resource.cache.list(watchcache::RevisionMatch::Any).ok()?;
    snapshot
        .iter(&resource.prefix, None)
        .map(|e| peek::project::<Class>(e.object_bytes()))
        .filter(|c| c.global_default)
        .min_by_key(|c| c.value)
}
