//! What a job's `spec` may say, and what of it may change.
// k8s: pkg/apis/batch/validation/validation.go validateJobSpec, ValidateJobSpecUpdate

use meta::field::quoted;
use meta::{FieldError, Path, name};
use schema::Value;

use super::job_policy;
use crate::core::pod_spec;
use crate::rules::{self, Errors, immutable, non_negative, printed, same};
use crate::shape::domain_path;

const INDEXED_MAX: i64 = 100_000;
const MANY_COMPLETIONS: i64 = 100_000;
const MANY_COMPLETIONS_MAX: i64 = 10_000;
const MANAGER_BYTES_MAX: usize = 63;

/// Everything wrong with a job's `spec`, the selector and what it must match aside.
pub(super) fn spec(errors: &mut Errors, spec: &Value, path: &Path) {
    numbers(errors, spec, path);
    if let Some(manager) = spec.get("managedBy").and_then(Value::as_str) {
        domain_path(errors, manager, &path.child("managedBy"));
        if manager.len() > MANAGER_BYTES_MAX {
            errors.push(FieldError::too_long(&path.child("managedBy"), MANAGER_BYTES_MAX));
        }
    }
    let indexed = spec.str_at(&["completionMode"]) == "Indexed";
    rules::optional_one_of(errors, spec, "completionMode", path, &["NonIndexed", "Indexed"]);
    if indexed {
        indexes(errors, spec, path);
    } else if matches!(spec.str_at(&["completionMode"]), "" | "NonIndexed") {
        for field in ["backoffLimitPerIndex", "maxFailedIndexes"] {
            if let Some(n) = spec.int_at(&[field]) {
                let why = "requires indexed completion mode";
                errors.push(FieldError::invalid(&path.child(field), n.to_string(), why));
            }
        }
    }
    let failures = spec.get("podFailurePolicy").is_some();
    if failures {
        job_policy::failure(errors, spec, path);
    }
    if let Some(policy) = spec.get("successPolicy") {
        if indexed {
            job_policy::success(errors, spec, path);
        } else {
            let why = "requires indexed completion mode";
            errors.push(FieldError::invalid(&path.child("successPolicy"), printed(Some(policy)), why));
        }
    }
    let allowed: &[&str] = if failures { &["Failed"] } else { &["Failed", "TerminatingOrFailed"] };
    rules::optional_one_of(errors, spec, "podReplacementPolicy", path, allowed);
    template(errors, spec, path, failures);
}

fn numbers(errors: &mut Errors, spec: &Value, path: &Path) {
    for field in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ] {
        non_negative(errors, spec, field, path);
    }
    if spec.get("maxFailedIndexes").is_some() && spec.get("backoffLimitPerIndex").is_none() {
        let why = "when maxFailedIndexes is specified";
        errors.push(FieldError::required(&path.child("backoffLimitPerIndex"), why));
    }
}

/// Limits that keep the status of an indexed job short.
fn indexes(errors: &mut Errors, spec: &Value, path: &Path) {
    let completions = spec.int_at(&["completions"]);
    let (parallelism, failed) = (spec.int_at(&["parallelism"]), spec.int_at(&["maxFailedIndexes"]));
    let mut above = |field: &str, n: Option<i64>, max: i64, why: String| {
        if let Some(n) = n.filter(|n| *n > max) {
            errors.push(FieldError::invalid(&path.child(field), n.to_string(), why));
        }
    };
    let why = format!("must be less than or equal to {INDEXED_MAX} when completion mode is Indexed");
    above("parallelism", parallelism, INDEXED_MAX, why);
    if let Some(completions) = completions {
        above(
            "maxFailedIndexes",
            failed,
            completions,
            "must be less than or equal to completions".to_owned(),
        );
    }
    above("maxFailedIndexes", failed, INDEXED_MAX, format!("must be less than or equal to {INDEXED_MAX}"));
    if completions.is_some_and(|n| n > MANY_COMPLETIONS) && spec.get("backoffLimitPerIndex").is_some() {
        let why = format!(
            "must be less than or equal to {MANY_COMPLETIONS_MAX} when completions are above {MANY_COMPLETIONS} and \
             used with backoff limit per index"
        );
        above("parallelism", parallelism, MANY_COMPLETIONS_MAX, why.clone());
        above("maxFailedIndexes", failed, MANY_COMPLETIONS_MAX, why);
        if failed.is_none() {
            let why = format!("must be specified when completions is above {MANY_COMPLETIONS}");
            errors.push(FieldError::required(&path.child("maxFailedIndexes"), why));
        }
    }
    if completions.is_none() {
        errors.push(FieldError::required(&path.child("completions"), "when completion mode is Indexed"));
    }
}

fn template(errors: &mut Errors, spec: &Value, path: &Path, failures: bool) {
    let at = path.child("template");
    let Some(template) = spec.get("template") else {
        errors.push(FieldError::required(&at, ""));
        return;
    };
    pod_spec::validate_template(errors, template, &at);
    let policy = template.str_at(&["spec", "restartPolicy"]);
    let at = at.child("spec").child("restartPolicy");
    match policy {
        "" | "Always" => errors.push(FieldError::required(&at, "valid values: \"OnFailure\", \"Never\"")),
        "OnFailure" if failures => {
            let why = "only \"Never\" is supported when podFailurePolicy is specified";
            errors.push(FieldError::invalid(&at, quoted(policy), why));
        }
        "OnFailure" | "Never" => {}
        _ => errors.push(FieldError::not_supported(&at, policy, &["OnFailure", "Never"])),
    }
}

/// The selector, which must select the template's pods.
pub(super) fn selector(errors: &mut Errors, spec: &Value, path: &Path) {
    let at = path.child("selector");
    let Some(selector) = spec.get("selector") else {
        errors.push(FieldError::required(&at, ""));
        return;
    };
    rules::label_selector(errors, Some(selector), &at);
    let labels = spec.at(&["template", "metadata", "labels"]);
    if let Ok(s) = rules::selector_of(Some(selector))
        && !s.is_nothing()
        && spec.get("template").is_some()
        && !rules::selects(&s, labels)
    {
        let at = path.child("template").child("metadata").child("labels");
        let shown = labels.map_or_else(|| "{}".to_owned(), |l| printed(Some(l)));
        errors.push(FieldError::invalid(&at, shown, "`selector` does not match template `labels`"));
    }
}

/// The label that a job's selector asks for.
pub(super) const CONTROLLER_UID: &str = "batch.kubernetes.io/controller-uid";

/// The labels that a job puts on its pods.
pub(super) fn expected_labels<'a>(uid: &'a str, name: &'a str) -> [(&'static str, &'a str); 4] {
    [
        ("controller-uid", uid),
        ("job-name", name),
        (CONTROLLER_UID, uid),
        ("batch.kubernetes.io/job-name", name),
    ]
}

/// The labels and the selector that the server makes up unless the user brings them.
// k8s: validation.go validateGeneratedSelector
pub(super) fn generated(errors: &mut Errors, job: &Value) {
    let own = job.bool_at(&["spec", "manualSelector"]) == Some(true);
    let Some(selector) = job.at(&["spec", "selector"]).filter(|_| !own) else { return };
    let (uid, name) = (job.str_at(&["metadata", "uid"]), job.str_at(&["metadata", "name"]));
    let labels = job.at(&["spec", "template", "metadata", "labels"]);
    let at = Path::new("spec").child("template").child("metadata").child("labels");
    let expected = expected_labels(uid, name);
    for (key, want) in expected {
        match labels.and_then(|l| l.get(key)).and_then(Value::as_str) {
            None => errors.push(FieldError::required(&at.key(key), format!("must be '{want}'"))),
            Some(is) if is != want => {
                errors.push(FieldError::invalid(&at.key(key), printed(labels), format!("must be '{want}'")));
            }
            Some(_) => {}
        }
    }
    let has = |key: &str| expected.iter().find(|(k, _)| *k == key).map(|(_, v)| *v);
    if rules::selector_of(Some(selector)).is_ok_and(|s| !s.matches(has)) {
        let at = Path::new("spec").child("selector");
        errors.push(FieldError::invalid(&at, printed(Some(selector)), "`selector` not auto-generated"));
    }
}

/// The pods of an indexed job have its name and their index as their host name.
// k8s: validation.go validateNameAllowsCompletions
pub(super) fn host_names(errors: &mut Errors, job: &Value) {
    let completions = job.int_at(&["spec", "completions"]).unwrap_or(0);
    if job.str_at(&["spec", "completionMode"]) != "Indexed" || completions <= 0 {
        return;
    }
    let own = job.str_at(&["metadata", "name"]);
    let longest = format!("{own}-{}", completions - 1);
    if !name::dns1123_label(&longest).is_empty() {
        let at = Path::new("metadata").child("name");
        let why = format!("will not able to create pod with invalid DNS label: {longest}");
        errors.push(FieldError::invalid(&at, quoted(own), why));
    }
}

/// What of the `spec` may not change.
pub(super) fn update(errors: &mut Errors, new: &Value, old: &Value) {
    let path = Path::new("spec");
    let (is, was) = (new.at(&["spec", "completions"]), old.at(&["spec", "completions"]));
    let at = path.child("completions");
    if new.str_at(&["spec", "completionMode"]) != "Indexed" {
        immutable(errors, is, was, &at);
    } else if is.is_some() && !same(is, was) && !same(is, new.at(&["spec", "parallelism"])) {
        let why = "can only be modified in tandem with spec.parallelism";
        errors.push(FieldError::invalid(&at, printed(is), why));
    }
    immutable(errors, new.at(&["spec", "selector"]), old.at(&["spec", "selector"]), &path.child("selector"));
    template_update(errors, new, old, &path);
    for field in ["completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"]
    {
        immutable(errors, new.at(&["spec", field]), old.at(&["spec", field]), &path.child(field));
    }
}

/// Whether the job stands still, so that where and with what its pods run may change.
// k8s: pkg/registry/batch/job/strategy.go shouldAllowMutablePodTemplate
fn stands_still(old: &Value) -> bool {
    let conditions = old.list_at(&["status", "conditions"]);
    let stopped =
        conditions.iter().any(|c| c.str_at(&["type"]) == "Suspended" && c.str_at(&["status"]) == "True");
    old.bool_at(&["spec", "suspend"]) == Some(true)
        && (stopped || old.at(&["status", "startTime"]).is_none())
        && old.int_at(&["status", "active"]).unwrap_or(0) == 0
}

// k8s: validation.go validatePodTemplateUpdate, validatePodResourceUpdatesOnly
fn template_update(errors: &mut Errors, new: &Value, old: &Value, path: &Path) {
    let (is, was) = (new.at(&["spec", "template"]), old.at(&["spec", "template"]));
    let at = path.child("template");
    if !stands_still(old) {
        immutable(errors, is, was, &at);
        return;
    }
    let (Some(is), Some(mut was)) =
        (is.and_then(|t| t.get("spec")), was.and_then(|t| t.get("spec")).cloned())
    else {
        return;
    };
    for field in ["nodeSelector", "tolerations", "schedulingGates"] {
        take(&mut was, is, field);
    }
    node_affinity(&mut was, is);
    for list in ["containers", "initContainers"] {
        let Some(theirs) = was.get_mut(list).and_then(Value::as_list_mut) else { continue };
        let ours = is.list_at(&[list]);
        if ours.len() == theirs.len() {
            for (their, our) in theirs.iter_mut().zip(ours) {
                if their.str_at(&["name"]) == our.str_at(&["name"]) {
                    take(their, our, "resources");
                }
            }
        }
    }
    immutable(errors, Some(is), Some(&was), &at.child("spec"));
}

/// Puts a field of `from`, or its absence, into `into`.
fn take(into: &mut Value, from: &Value, field: &'static str) {
    match (from.get(field), into.as_map_mut()) {
        (Some(v), Some(m)) => m.set(field, v.clone()),
        (None, Some(m)) => drop(m.remove(field)),
        (_, None) => {}
    }
}

fn node_affinity(was: &mut Value, is: &Value) {
    if was.get("affinity").is_none() && is.get("affinity").is_some() {
        was.set_at(&["affinity"], crate::defaults::empty_map());
    }
    let empty = crate::defaults::empty_map();
    let Some(affinity) = was.get_mut("affinity") else { return };
    take(affinity, is.get("affinity").unwrap_or(&empty), "nodeAffinity");
    if is.get("affinity").is_none() && affinity.as_map().is_some_and(schema::Map::is_empty) {
        was.remove_at(&["affinity"]);
    }
}
