//! What a job's policies may say: about failed pods, about which successes are enough.
// k8s: pkg/apis/batch/validation/validation.go validatePodFailurePolicy, validateSuccessPolicy

use std::collections::BTreeSet;

use meta::field::quoted;
use meta::{FieldError, Path, name};
use schema::Value;

use super::job_indexes;
use crate::rules::{Errors, each, non_negative, printed};

const RULES_MAX: usize = 20;
const EXIT_CODES_MAX: usize = 255;
const PATTERNS_MAX: usize = 20;
const INDEXES_BYTES_MAX: usize = 64 * 1024;
const ACTIONS: [&str; 4] = ["Count", "FailIndex", "FailJob", "Ignore"];
const OPERATORS: [&str; 2] = ["In", "NotIn"];
const STATUSES: [&str; 3] = ["False", "True", "Unknown"];

/// An error that shows no value.
pub(super) fn bare(path: &Path, why: &str) -> FieldError {
    FieldError { value: None, ..FieldError::invalid(path, "", why) }
}

/// A word that must be there and known.
fn word(errors: &mut Errors, path: &Path, text: &str, known: &[&str]) {
    if text.is_empty() {
        let list: Vec<String> = known.iter().map(|k| quoted(k)).collect();
        errors.push(FieldError::required(path, format!("valid values: [{}]", list.join(" "))));
    } else if !known.contains(&text) {
        errors.push(FieldError::not_supported(path, text, known));
    }
}

/// `podFailurePolicy` of a job's spec.
pub(super) fn failure(errors: &mut Errors, spec: &Value, path: &Path) {
    let rules = spec.list_at(&["podFailurePolicy", "rules"]);
    let at = path.child("podFailurePolicy").child("rules");
    if rules.len() > RULES_MAX {
        errors.push(FieldError::too_many(&at, rules.len(), RULES_MAX));
    }
    for (i, rule) in rules.iter().enumerate() {
        failure_rule(errors, spec, rule, &at.index(i));
    }
}

fn failure_rule(errors: &mut Errors, spec: &Value, rule: &Value, path: &Path) {
    let (action, at) = (rule.str_at(&["action"]), path.child("action"));
    if action == "FailIndex" {
        if spec.get("backoffLimitPerIndex").is_none() {
            let why = "requires the backoffLimitPerIndex to be set";
            errors.push(FieldError::invalid(&at, quoted(action), why));
        }
    } else {
        word(errors, &at, action, &ACTIONS);
    }
    let codes = rule.get("onExitCodes");
    let patterns = rule.list_at(&["onPodConditions"]);
    if let Some(codes) = codes {
        exit_codes(errors, spec, codes, &path.child("onExitCodes"));
    }
    let at = path.child("onPodConditions");
    if patterns.len() > PATTERNS_MAX {
        errors.push(FieldError::too_many(&at, patterns.len(), PATTERNS_MAX));
    }
    for (i, pattern) in patterns.iter().enumerate() {
        let kind = pattern.str_at(&["type"]);
        each(errors, &at.index(i).child("type"), kind, name::qualified_name(kind));
        word(errors, &at.index(i).child("status"), pattern.str_at(&["status"]), &STATUSES);
    }
    match (codes.is_some(), !patterns.is_empty()) {
        (true, true) => {
            errors.push(bare(path, "specifying both OnExitCodes and OnPodConditions is not supported"));
        }
        (false, false) => {
            errors.push(bare(path, "specifying one of OnExitCodes and OnPodConditions is required"));
        }
        _ => {}
    }
}

fn exit_codes(errors: &mut Errors, spec: &Value, codes: &Value, path: &Path) {
    let operator = codes.str_at(&["operator"]);
    word(errors, &path.child("operator"), operator, &OPERATORS);
    if let Some(container) = codes.get("containerName").and_then(Value::as_str) {
        let pod = ["template", "spec"];
        let all = ["containers", "initContainers"].map(|list| spec.list_at(&[pod[0], pod[1], list]));
        if !all.iter().copied().flatten().any(|c| c.str_at(&["name"]) == container) {
            let why = "must be one of the container or initContainer names in the pod template";
            errors.push(FieldError::invalid(&path.child("containerName"), quoted(container), why));
        }
    }
    let at = path.child("values");
    let values: Vec<i64> = codes.list_at(&["values"]).iter().filter_map(Value::as_int).collect();
    let shown = || printed(codes.get("values"));
    if values.is_empty() {
        errors.push(FieldError::invalid(&at, shown(), "at least one value is required"));
    } else if values.len() > EXIT_CODES_MAX {
        errors.push(FieldError::too_many(&at, values.len(), EXIT_CODES_MAX));
    }
    let mut seen = BTreeSet::new();
    for (i, value) in values.iter().enumerate() {
        if operator == "In" && *value == 0 {
            let why = "must not be 0 for the In operator";
            errors.push(FieldError::invalid(&at.index(i), value.to_string(), why));
        }
        if !seen.insert(*value) {
            errors.push(FieldError::duplicate(&at.index(i), value.to_string()));
        }
    }
    if !values.is_sorted() {
        errors.push(FieldError::invalid(&at, shown(), "must be ordered"));
    }
}

/// `successPolicy` of an indexed job's spec.
pub(super) fn success(errors: &mut Errors, spec: &Value, path: &Path) {
    let rules = spec.list_at(&["successPolicy", "rules"]);
    let at = path.child("successPolicy").child("rules");
    if rules.is_empty() {
        let why = "at least one rules must be specified when the successPolicy is specified";
        errors.push(FieldError::required(&at, why));
    }
    if rules.len() > RULES_MAX {
        errors.push(FieldError::too_many(&at, rules.len(), RULES_MAX));
    }
    let completions = spec.int_at(&["completions"]).unwrap_or(0);
    for (i, rule) in rules.iter().enumerate() {
        success_rule(errors, completions, rule, &at.index(i));
    }
}

fn success_rule(errors: &mut Errors, completions: i64, rule: &Value, path: &Path) {
    let count = rule.int_at(&["succeededCount"]);
    let indexes = rule.get("succeededIndexes").and_then(Value::as_str);
    if count.is_none() && indexes.is_none() {
        let why = "at least one of succeededCount or succeededIndexes must be specified";
        errors.push(FieldError::required(path, why));
    }
    let mut total = 0;
    if let Some(text) = indexes {
        let at = path.child("succeededIndexes");
        if text.len() > INDEXES_BYTES_MAX {
            errors.push(FieldError::too_long(&at, INDEXES_BYTES_MAX));
        }
        match job_indexes::total(text, completions) {
            Ok(n) => total = n,
            Err(why) => {
                let why = format!("error parsing succeededIndexes: {why}");
                errors.push(FieldError::invalid(&at, quoted(text), why));
            }
        }
    }
    let Some(count) = count else { return };
    let at = path.child("succeededCount");
    non_negative(errors, rule, "succeededCount", path);
    if count > completions {
        let why =
            format!("must be less than or equal to {completions} (the number of specified completions)");
        errors.push(FieldError::invalid(&at, count.to_string(), why));
    }
    if indexes.is_some() && count > total {
        let why = format!(
            "must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
        );
        errors.push(FieldError::invalid(&at, count.to_string(), why));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{texts, yaml};

    #[test]
    fn failures() {
        let check = |rules: &str| {
            let mut errors = Errors::new();
            let spec = yaml(&format!(
                "template: {{spec: {{containers: [{{name: c}}]}}}}\npodFailurePolicy: {{rules: [{rules}]}}"
            ));
            failure(&mut errors, &spec, &Path::new("spec"));
            texts(&errors)
                .into_iter()
                .map(|t| t.replace("spec.podFailurePolicy.rules[0]", "R"))
                .collect::<Vec<_>>()
        };
        let codes = "onExitCodes: {operator: In, values: [1]}";
        for (rules, want) in [
            ("{action: FailJob, onExitCodes: {containerName: c, operator: In, values: [1, 2]}}", vec![]),
            ("{action: Ignore, onPodConditions: [{type: DisruptionTarget, status: \"True\"}]}", vec![]),
            (
                "{onExitCodes: {operator: In, values: [1]}}",
                vec![
                    "R.action: Required value: valid values: [\"Count\" \"FailIndex\" \"FailJob\" \"Ignore\"]",
                ],
            ),
            (
                &format!("{{action: FailIndex, {codes}}}"),
                vec!["R.action: Invalid value: \"FailIndex\": requires the backoffLimitPerIndex to be set"],
            ),
            (
                &format!("{{action: X, {codes}}}"),
                vec![
                    "R.action: Unsupported value: \"X\": supported values: \"Count\", \"FailIndex\", \"FailJob\", \"Ignore\"",
                ],
            ),
            (
                "{action: Count}",
                vec!["R: Invalid value: specifying one of OnExitCodes and OnPodConditions is required"],
            ),
            (
                "{action: Count, onExitCodes: {containerName: x, operator: In, values: [2, 0, 2]}}",
                vec![
                    "R.onExitCodes.containerName: Invalid value: \"x\": must be one of the container or initContainer names in the pod template",
                    "R.onExitCodes.values[1]: Invalid value: 0: must not be 0 for the In operator",
                    "R.onExitCodes.values[2]: Duplicate value: 2",
                    "R.onExitCodes.values: Invalid value: [2,0,2]: must be ordered",
                ],
            ),
            (
                "{action: Count, onPodConditions: [{type: A}], onExitCodes: {operator: NotIn, values: [0]}}",
                vec![
                    "R.onPodConditions[0].status: Required value: valid values: [\"False\" \"True\" \"Unknown\"]",
                    "R: Invalid value: specifying both OnExitCodes and OnPodConditions is not supported",
                ],
            ),
        ] {
            assert_eq!(check(rules), want, "{rules}");
        }
    }

    #[test]
    fn successes() {
        let check = |rules: &str| {
            let mut errors = Errors::new();
            let spec = yaml(&format!("completions: 5\nsuccessPolicy: {{rules: [{rules}]}}"));
            success(&mut errors, &spec, &Path::new("spec"));
            texts(&errors)
                .into_iter()
                .map(|t| t.replace("spec.successPolicy.rules[0]", "R"))
                .collect::<Vec<_>>()
        };
        for (rules, want) in [
            ("{succeededIndexes: \"0,2-4\", succeededCount: 2}", vec![]),
            (
                "",
                vec![
                    "spec.successPolicy.rules: Required value: at least one rules must be specified when the successPolicy is specified",
                ],
            ),
            (
                "{}",
                vec![
                    "R: Required value: at least one of succeededCount or succeededIndexes must be specified",
                ],
            ),
            (
                "{succeededIndexes: \"5\"}",
                vec![
                    "R.succeededIndexes: Invalid value: \"5\": error parsing succeededIndexes: too large index: \"5\"",
                ],
            ),
            (
                "{succeededIndexes: \"1\", succeededCount: 6}",
                vec![
                    "R.succeededCount: Invalid value: 6: must be less than or equal to 5 (the number of specified completions)",
                    "R.succeededCount: Invalid value: 6: must be less than or equal to 1 (the number of indexes in the specified succeededIndexes field)",
                ],
            ),
        ] {
            assert_eq!(check(rules), want, "{rules}");
        }
    }
}
