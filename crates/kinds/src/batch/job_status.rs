//! What a write to a job's status may say: the rules count only where what they speak of is changed, so that a status
//! that is wrong already does not stand in the way of others.
// k8s: pkg/registry/batch/job/strategy.go getStatusValidationOptions,
// pkg/apis/batch/validation/validation.go validateJobStatus, ValidateJobStatusUpdate

use std::collections::BTreeSet;

use meta::field::quoted;
use meta::{FieldError, Path};
use schema::Value;

use super::job_indexes;
use super::job_policy::bare;
use crate::rules::{Errors, IMMUTABLE, non_negative, printed, same};

/// A job as the rules see it.
struct Side<'a> {
    job: &'a Value,
    empty: Value,
}

impl Side<'_> {
    fn condition(&self, kind: &str, status: &str) -> bool {
        let list = self.job.list_at(&["status", "conditions"]);
        list.iter().any(|c| c.str_at(&["type"]) == kind && c.str_at(&["status"]) == status)
    }

    fn is(&self, kind: &str) -> bool {
        self.condition(kind, "True")
    }

    fn finished(&self) -> bool {
        self.is("Complete") || self.is("Failed")
    }

    fn get(&self, field: &str) -> Option<&Value> {
        self.job.at(&["status", field]).filter(|v| !v.is_null())
    }

    fn number(&self, field: &str) -> i64 {
        self.get(field).and_then(Value::as_int).unwrap_or(0)
    }

    fn text(&self, field: &str) -> &str {
        self.job.str_at(&["status", field])
    }

    fn status(&self) -> &Value {
        self.job.get("status").unwrap_or(&self.empty)
    }

    fn spec(&self, field: &str) -> Option<&Value> {
        self.job.at(&["spec", field]).filter(|v| !v.is_null())
    }

    fn indexed(&self) -> bool {
        self.job.str_at(&["spec", "completionMode"]) == "Indexed"
    }
}

/// Old and new, and what is said about the change.
struct Check<'a> {
    new: Side<'a>,
    old: Side<'a>,
    at: Path,
    errors: Errors,
}

/// Everything wrong with a write to the status.
pub(super) fn check(new: &Value, old: &Value) -> Errors {
    let side = |job| Side { job, empty: crate::defaults::empty_map() };
    let mut c = Check { new: side(new), old: side(old), at: Path::new("status"), errors: Errors::new() };
    c.numbers();
    c.uncounted();
    c.ends();
    c.times();
    c.finished();
    c.indexes();
    c.successes();
    c.transitions();
    c.errors
}

impl Check<'_> {
    fn flips(&self, kind: &str) -> bool {
        self.old.is(kind) != self.new.is(kind)
    }

    fn ends_changed(&self) -> bool {
        self.old.finished() != self.new.finished()
    }

    fn changes(&self, field: &str) -> bool {
        !same(self.old.get(field), self.new.get(field))
    }

    fn invalid(&mut self, field: &str, why: impl Into<String>) {
        let shown = printed(self.new.get(field));
        self.errors.push(FieldError::invalid(&self.at.child(field), shown, why));
    }

    fn conditions(&mut self, why: &str) {
        self.errors.push(bare(&self.at.child("conditions"), why));
    }

    fn numbers(&mut self) {
        for field in ["active", "succeeded", "failed", "ready", "terminating"] {
            non_negative(&mut self.errors, self.new.status(), field, &self.at);
        }
    }

    fn uncounted(&mut self) {
        let at = self.at.child("uncountedTerminatedPods");
        let mut seen = BTreeSet::new();
        for field in ["succeeded", "failed"] {
            let uids = self.new.job.list_at(&["status", "uncountedTerminatedPods", field]);
            for (i, uid) in uids.iter().enumerate() {
                let (uid, at) = (uid.as_str().unwrap_or(""), at.child(field).index(i));
                if uid.is_empty() {
                    self.errors.push(FieldError::invalid(&at, quoted(uid), "must not be empty"));
                } else if !seen.insert(uid) {
                    self.errors.push(FieldError::duplicate(&at, quoted(uid)));
                }
            }
        }
    }

    /// Which ends exclude each other.
    fn ends(&mut self) {
        let (complete, failed) = (self.new.is("Complete"), self.new.is("Failed"));
        if (self.flips("Complete") || self.flips("Failed")) && complete && failed {
            self.conditions("cannot set Complete=True and Failed=true conditions");
        }
        let target = self.new.is("FailureTarget");
        if (self.flips("Complete") || self.flips("FailureTarget")) && complete && target {
            self.conditions("cannot set Complete=True and FailureTarget=true conditions");
        }
    }

    fn times(&mut self) {
        let field = "completionTime";
        let complete = self.new.is("Complete");
        let there = self.new.get(field).is_some();
        if self.flips("Complete") || self.changes(field) {
            if there && !complete {
                self.invalid(field, "cannot set completionTime when there is no Complete=True condition");
            }
            if !there && complete {
                let why = "completionTime is required for Complete jobs";
                self.errors.push(FieldError::required(&self.at.child(field), why));
            }
        }
        let time = |field: &str| meta::time::parse(self.new.text(field));
        let early = time("startTime").zip(time(field)).is_some_and(|(start, end)| end < start);
        if early && (self.changes("startTime") || self.changes(field)) {
            self.invalid(field, "must be equal to or after `startTime`");
        }
    }

    fn finished(&mut self) {
        let finished = self.new.finished();
        let failed_alone = self.new.is("Failed") && !self.new.is("FailureTarget");
        if failed_alone && (self.flips("Failed") || self.changes("failedIndexes")) {
            self.conditions("cannot set Failed=True condition without the FailureTarget=true condition");
        }
        let complete_alone = self.new.is("Complete") && !self.new.is("SuccessCriteriaMet");
        if complete_alone && (self.flips("Complete") || self.flips("SuccessCriteriaMet")) {
            self.conditions(
                "cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
            );
        }
        let ended = self.ends_changed();
        if finished && self.new.number("active") > 0 && (ended || self.changes("active")) {
            self.invalid("active", "active>0 is invalid for finished job");
        }
        let nothing_to_do = self.new.spec("suspend").and_then(Value::as_bool) == Some(true)
            && self.new.spec("completions").and_then(Value::as_int) == Some(0);
        let unstarted = self.new.get("startTime").is_none();
        if finished && unstarted && !nothing_to_do && (ended || self.changes("startTime")) {
            let why = "startTime is required for finished job";
            self.errors.push(FieldError::required(&self.at.child("startTime"), why));
        }
        let field = "uncountedTerminatedPods";
        let left =
            ["succeeded", "failed"].iter().any(|f| !self.new.job.list_at(&["status", field, f]).is_empty());
        if finished && left && (ended || self.changes(field)) {
            self.invalid(field, "must be empty for finished job");
        }
    }

    fn indexes(&mut self) {
        let completions = self.new.spec("completions").and_then(Value::as_int);
        let per_index = self.new.spec("backoffLimitPerIndex").is_some();
        let indexed = self.new.indexed();
        let (completed, failed) =
            (self.new.text("completedIndexes").to_owned(), self.new.text("failedIndexes").to_owned());
        let (completed_changed, failed_changed) =
            (self.changes("completedIndexes"), self.changes("failedIndexes"));
        let failed_there = self.new.get("failedIndexes").is_some();
        if let Some(n) = completions.filter(|_| completed_changed)
            && let Err(why) = job_indexes::total(&completed, n)
        {
            self.invalid("completedIndexes", format!("error parsing completedIndexes: {why}"));
        }
        if let Some(n) = completions.filter(|_| failed_changed && per_index && failed_there)
            && let Err(why) = job_indexes::total(&failed, n)
        {
            self.invalid("failedIndexes", format!("error parsing failedIndexes: {why}"));
        }
        if completed_changed && !completed.is_empty() && !indexed {
            let why = "cannot set non-empty completedIndexes when non-indexed completion mode";
            self.invalid("completedIndexes", why);
        }
        if failed_changed && failed_there && !per_index {
            self.invalid(
                "failedIndexes",
                "cannot set non-null failedIndexes when backoffLimitPerIndex is null",
            );
        }
        if let Some(n) = completions.filter(|_| (failed_changed || completed_changed) && failed_there)
            && let Some(index) = job_indexes::shared(&completed, &failed, n)
        {
            self.invalid(
                "failedIndexes",
                format!("failedIndexes and completedIndexes overlap at index: {index}"),
            );
        }
    }

    fn successes(&mut self) {
        let finished = self.new.finished();
        let going = self.new.number("terminating") > 0 && finished;
        if going && (self.ends_changed() || self.changes("terminating")) {
            self.invalid("terminating", "terminating>0 is invalid for finished job");
        }
        let ready_or_active = self.changes("ready") || self.changes("active");
        if ready_or_active && self.new.number("ready") > self.new.number("active") {
            self.invalid("ready", "cannot set more ready pods than active");
        }
        let met = self.new.is("SuccessCriteriaMet");
        if met && self.new.is("Failed") {
            self.conditions("cannot set SuccessCriteriaMet=True and Failed=true conditions");
        }
        if met && self.new.is("FailureTarget") {
            self.conditions("cannot set SuccessCriteriaMet=True and FailureTarget=true conditions");
        }
        if self.new.spec("successPolicy").is_some() && !met && self.new.is("Complete") {
            self.conditions(
                "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True",
            );
        }
    }

    /// What may not be taken back.
    fn transitions(&mut self) {
        for kind in ["Failed", "Complete", "FailureTarget"] {
            if self.old.is(kind) && !self.new.is(kind) {
                self.conditions(&format!("cannot disable the terminal {kind}=True condition"));
            }
        }
        if self.new.number("failed") < self.old.number("failed") {
            self.shrinks("failed");
        }
        // An elastic job may shrink.
        let elastic = self.new.indexed() && same(self.new.spec("completions"), self.new.spec("parallelism"));
        if !elastic && self.new.number("succeeded") < self.old.number("succeeded") {
            self.shrinks("succeeded");
        }
        let field = "completionTime";
        if self.new.get(field).is_some() && self.old.get(field).is_some() && self.changes(field) {
            self.invalid(field, IMMUTABLE);
        }
        let resumes = self.old.is("Suspended") && self.new.condition("Suspended", "False");
        let suspended = self.new.spec("suspend").and_then(Value::as_bool) == Some(true);
        let field = "startTime";
        if self.changes(field) && !resumes && self.old.get(field).is_some() && !suspended {
            self.invalid(field, "field is immutable for unsuspended job once set");
        }
        let met = "SuccessCriteriaMet";
        if self.old.is(met) && !self.new.is(met) {
            self.conditions("cannot disable the SuccessCriteriaMet=True condition");
        }
        if self.old.is("Complete") && !self.old.is(met) && self.new.is(met) {
            self.conditions(
                "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions",
            );
        }
    }

    fn shrinks(&mut self, field: &str) {
        let shown = self.new.number(field).to_string();
        let why = format!("cannot decrease the {field} counter");
        self.errors.push(FieldError::invalid(&self.at.child(field), shown, why));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{texts, yaml};

    const DONE: &str = "startTime: 2026-01-01T00:00:00Z, completionTime: 2026-01-01T00:01:00Z, conditions: \
        [{type: SuccessCriteriaMet, status: \"True\"}, {type: Complete, status: \"True\"}]";

    fn of(spec: &str, old: &str, new: &str) -> Vec<String> {
        let job = |status: &str| yaml(&format!("spec: {{{spec}}}\nstatus: {{{status}}}"));
        texts(&check(&job(new), &job(old)))
    }

    const START: &str = "startTime: 2026-01-01T00:00:00Z";
    const INDEXED: &str = "completionMode: Indexed, completions: 5, backoffLimitPerIndex: 1";

    /// Spec, old status, new status and what is said, less `status.`.
    fn all(cases: &[(&str, &str, &str, &[&str])]) {
        for (spec, old, new, want) in cases {
            let said = of(spec, old, new);
            let said: Vec<&str> = said.iter().map(|s| s.strip_prefix("status.").unwrap()).collect();
            assert_eq!(said, *want, "{spec} / {old} / {new}");
        }
    }

    #[test]
    fn numbers_and_pods() {
        all(&[
            ("", "", "active: 2, ready: 1, terminating: 0", &[]),
            ("", "", "ready: 1", &["ready: Invalid value: 1: cannot set more ready pods than active"]),
            (
                "",
                "",
                "uncountedTerminatedPods: {succeeded: [a], failed: [a, \"\"]}",
                &[
                    "uncountedTerminatedPods.failed[0]: Duplicate value: \"a\"",
                    "uncountedTerminatedPods.failed[1]: Invalid value: \"\": must not be empty",
                ],
            ),
            (
                "",
                "failed: 2, succeeded: 2",
                "failed: 1, succeeded: 1",
                &[
                    "failed: Invalid value: 1: cannot decrease the failed counter",
                    "succeeded: Invalid value: 1: cannot decrease the succeeded counter",
                ],
            ),
            ("completionMode: Indexed, completions: 2, parallelism: 2", "succeeded: 3", "succeeded: 2", &[]),
        ]);
    }

    #[test]
    fn ends() {
        let met = "conditions: [{type: SuccessCriteriaMet, status: \"True\"}]";
        let failed = format!("{START}, conditions: [{{type: Failed, status: \"True\"}}]");
        let both = "conditions: [{type: SuccessCriteriaMet, status: \"True\"}, {type: FailureTarget, status: \"True\"}]";
        let alone = "conditions: Invalid value: cannot set Failed=True condition without the FailureTarget=true condition";
        let exclude =
            "conditions: Invalid value: cannot set SuccessCriteriaMet=True and FailureTarget=true conditions";
        all(&[
            ("", START, DONE, &[]),
            ("", START, &failed, &[alone]),
            (
                "",
                DONE,
                START,
                &[
                    "conditions: Invalid value: cannot disable the terminal Complete=True condition",
                    "conditions: Invalid value: cannot disable the SuccessCriteriaMet=True condition",
                ],
            ),
            ("", met, both, &[exclude]),
            (
                "",
                START,
                &format!("{DONE}, active: 1, terminating: 1"),
                &[
                    "active: Invalid value: 1: active>0 is invalid for finished job",
                    "terminating: Invalid value: 1: terminating>0 is invalid for finished job",
                ],
            ),
        ]);
    }

    #[test]
    fn times() {
        let later = "startTime: 2026-01-01T00:00:01Z";
        let unfinished = "cannot set completionTime when there is no Complete=True condition";
        let fixed = "field is immutable for unsuspended job once set";
        all(&[
            (
                "",
                START,
                &format!("{START}, completionTime: 2026-01-01T00:01:00Z"),
                &[&format!("completionTime: Invalid value: \"2026-01-01T00:01:00Z\": {unfinished}")],
            ),
            ("", START, later, &[&format!("startTime: Invalid value: \"2026-01-01T00:00:01Z\": {fixed}")]),
            ("suspend: true", START, "", &[]),
        ]);
    }

    #[test]
    fn indexes() {
        let overlap = "failedIndexes and completedIndexes overlap at index: 2";
        let large = "error parsing completedIndexes: too large index: \"7\"";
        let plain = "cannot set non-empty completedIndexes when non-indexed completion mode";
        let null = "cannot set non-null failedIndexes when backoffLimitPerIndex is null";
        all(&[
            (
                INDEXED,
                "",
                "completedIndexes: \"0-2\", failedIndexes: \"2\"",
                &[&format!("failedIndexes: Invalid value: \"2\": {overlap}")],
            ),
            (
                INDEXED,
                "",
                "completedIndexes: \"7\"",
                &[&format!("completedIndexes: Invalid value: \"7\": {large}")],
            ),
            // What was wrong before is let through.
            (INDEXED, "completedIndexes: \"7\"", "completedIndexes: \"7\", active: 1", &[]),
            (
                "",
                "",
                "completedIndexes: \"1\", failedIndexes: \"\"",
                &[
                    &format!("completedIndexes: Invalid value: \"1\": {plain}"),
                    &format!("failedIndexes: Invalid value: \"\": {null}"),
                ],
            ),
        ]);
    }
}
