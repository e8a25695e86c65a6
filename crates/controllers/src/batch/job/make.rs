//! Pods made of a job's template.

use std::collections::BTreeSet;

use reconcile::{Action, EventRecord, Op};
use serde_json::{Value, json};

use super::policy::Meaning;
use super::state::{FAILED_BEFORE, IGNORED_BEFORE, INDEX, TRACKING, Tally};
use crate::core::pod::PODS;
use crate::owners::controller_ref;
use crate::safe::Fnv;
use crate::shared::names as shared;

/// The longest beginning of a name that something is put behind.
const PREFIX_LIMIT: usize = 58;

/// A pod that all that are made begin as.
fn blank(tally: &Tally<'_>) -> Value {
    let m = &tally.job.metadata;
    let mut pod = tally.job.spec.template.template.pod(m, controller_ref("batch/v1", "Job", m));
    let metadata = &mut pod["metadata"];
    for field in ["labels", "annotations"] {
        if !metadata[field].is_object() {
            metadata[field] = json!({});
        }
    }
    if !metadata["finalizers"].is_array() {
        metadata["finalizers"] = json!([]);
    }
    if let Some(list) = metadata["finalizers"].as_array_mut().filter(|l| !l.iter().any(|f| f == TRACKING)) {
        list.push(TRACKING.into());
    }
    if tally.job.indexed() {
        for list in ["initContainers", "containers"] {
            let containers = pod["spec"].get_mut(list).and_then(Value::as_array_mut);
            containers.into_iter().flatten().for_each(add_index_variable);
        }
    }
    pod
}

// k8s: indexed_job_utils.go addCompletionIndexEnvVariable
fn add_index_variable(container: &mut Value) {
    const NAME: &str = "JOB_COMPLETION_INDEX";
    let variable = json!({"name": NAME, "valueFrom": {"fieldRef": {
        "fieldPath": format!("metadata.labels['{INDEX}']"),
    }}});
    match container.get_mut("env").and_then(Value::as_array_mut) {
        Some(env) if env.iter().any(|v| v["name"] == NAME) => {}
        Some(env) => env.push(variable),
        None => container["env"] = json!([variable]),
    }
}

fn create(tally: &Tally<'_>, name: &str, body: &Value) -> Action {
    let about = tally.job.about();
    Action::create(PODS, &tally.job.metadata.namespace, name, body)
        .on_ok(EventRecord::normal(about.clone(), "SuccessfulCreate", "Created pod: {name}"))
        .on_err(EventRecord::warning(about, "FailedCreate", "Error creating: {error}"))
}

/// Creates of `n` pods without numbers.
pub(super) fn plain(tally: &Tally<'_>, n: usize) -> Vec<Action> {
    let mut names = Names::new(tally);
    let mut list = names.lost(n);
    let mut base = names.base;
    tally.members.iter().map(|m| m.uid()).collect::<BTreeSet<&str>>().iter().for_each(|u| base.text(u));
    base.write(&tally.job.status.failed.to_le_bytes());
    base.write(&tally.job.status.succeeded.to_le_bytes());
    let prefix = shared::prefix(&tally.job.metadata);
    while list.len() < n {
        list.push(names.next(base, &prefix));
    }
    let mut body = blank(tally);
    let make = |name: String| {
        body["metadata"]["name"] = name.as_str().into();
        create(tally, &name, &body)
    };
    list.into_iter().map(make).collect()
}

/// Creates of a pod for each index.
pub(super) fn numbered(tally: &Tally<'_>, indexes: &[i64]) -> Vec<Action> {
    let mut names = Names::new(tally);
    let mut body = blank(tally);
    let job = &tally.job.metadata.name;
    let make = |index: &i64| {
        let number = index.to_string();
        let end = format!("-{number}-");
        let mut base = names.base;
        base.text(&number);
        // They are in the order of their indexes.
        let from = tally.members.partition_point(|m| m.index < Some(*index));
        let same = tally.members[from..].iter().take_while(|m| m.index == Some(*index));
        same.map(|m| m.uid()).collect::<BTreeSet<&str>>().iter().for_each(|u| base.text(u));
        let prefix = format!("{}{end}", cut(job, PREFIX_LIMIT - end.len()));
        let name = names.next(base, &prefix);
        let m = &mut body["metadata"];
        m["name"] = name.as_str().into();
        m["generateName"] = prefix.into();
        m["annotations"][INDEX] = number.as_str().into();
        m["labels"][INDEX] = number.as_str().into();
        if tally.job.spec.backoff_limit_per_index.is_some() {
            note_failures(tally, *index, &mut m["annotations"]);
        }
        body["spec"]["hostname"] = format!("{job}-{number}").into();
        create(tally, &name, &body)
    };
    indexes.iter().map(make).collect()
}

// k8s: indexed_job_utils.go addIndexFailureCountAnnotation
fn note_failures(tally: &Tally<'_>, index: i64, annotations: &mut Value) {
    let (counted, ignored) = match tally.kept.get(&index) {
        None => (0, 0),
        Some(m) => match (m.failed_before(), tally.meaning(m)) {
            ((counted, ignored), Meaning::Ignore) => (counted, ignored.saturating_add(1)),
            ((counted, ignored), _) => (counted.saturating_add(1), ignored),
        },
    };
    annotations[FAILED_BEFORE] = counted.to_string().into();
    if let Some(a) = annotations.as_object_mut() {
        a.remove(IGNORED_BEFORE);
        if ignored > 0 {
            a.insert(IGNORED_BEFORE.to_owned(), ignored.to_string().into());
        }
    }
}

fn cut(text: &str, limit: usize) -> &str {
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Names that follow from the state: a create that lands late meets its own repetition as `AlreadyExists`.
struct Names<'a> {
    base: Fnv,
    used: BTreeSet<String>,
    failed: Vec<&'a str>,
}

impl<'a> Names<'a> {
    fn new(tally: &Tally<'a>) -> Self {
        let mut base = Fnv::default();
        base.text(&tally.job.metadata.uid);
        let mut used: BTreeSet<String> =
            tally.members.iter().map(|m| m.pod.metadata.name.to_string()).collect();
        let mut failed = Vec::new();
        for f in &tally.state.failures {
            match &f.op {
                // Somebody else has it.
                Op::Create { name, .. } if f.status.is("AlreadyExists") => {
                    used.insert(name.clone());
                }
                Op::Create { name, .. } => failed.push(name.as_str()),
                _ => {}
            }
        }
        Names { base, used, failed }
    }

    /// The names of creates whose outcome is not known.
    fn lost(&mut self, n: usize) -> Vec<String> {
        let names = std::mem::take(&mut self.failed).into_iter().map(str::to_owned);
        names.filter(|name| self.used.insert(name.clone())).take(n).collect()
    }

    fn next(&mut self, base: Fnv, prefix: &str) -> String {
        let mut i: u32 = 0;
        loop {
            let name = shared::candidate(prefix, base, i);
            if self.used.insert(name.clone()) {
                return name;
            }
            i = i.wrapping_add(1);
        }
    }
}
