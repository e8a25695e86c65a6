//! ResourceQuota: how much the objects of a namespace may use together.

use meta::field::quoted;
use meta::{FieldError, Path, Quantity, name};
use schema::Value;

use crate::columns::{AGE, NAME, text};
use crate::kind::{Cell, Column, Kind, Operation, Strategy, WITH_STATUS};
use crate::rules::{Errors, each, immutable};
use crate::warnings::Write;

/// `v1` ResourceQuota.
pub static KIND: Kind = Kind::namespaced_kind("", "v1", "ResourceQuota", "resourcequotas", "resourcequota")
    .with_short_names(&["quota"])
    .with_subresources(WITH_STATUS)
    .with_columns(COLUMNS)
    .with_warnings(told)
    .with_strategy(&QuotaStrategy)
    .returning_deleted();

const COLUMNS: &[Column] = &[
    NAME,
    text("Request", "What may be requested, used and limit.", |o, _| Cell::Text(used(o, false))),
    text("Limit", "Sum of limits, used and limit.", |o, _| Cell::Text(used(o, true))),
    AGE,
];

// k8s: pkg/printers/internalversion/printers.go printResourceQuota
fn used(o: &Value, limits: bool) -> String {
    let hard = o.at(&["status", "hard"]).and_then(Value::as_map);
    let shown = |v: Option<&Value>| match v {
        Some(Value::Str(s)) => s.to_string(),
        Some(Value::Int(n)) => n.to_string(),
        _ => "0".to_owned(),
    };
    let mut all: Vec<String> = hard
        .into_iter()
        .flat_map(|m| m.iter())
        .filter(|(k, _)| k.starts_with("limits.") == limits)
        .map(|(k, v)| format!("{k}: {}/{}", shown(o.at(&["status", "used", k])), shown(Some(v))))
        .collect();
    all.sort();
    all.join(", ")
}

/// Resources of the core group that a quota may bound.
// k8s: pkg/apis/core/helper/helpers.go standardQuotaResources
const STANDARD: &[&str] = &[
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "persistentvolumeclaims",
    "configmaps",
    "services.nodeports",
    "services.loadbalancers",
];
/// Those that are counted in whole numbers.
// k8s: pkg/apis/core/helper/helpers.go integerResources
const COUNTED: &[&str] = &[
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];

struct QuotaStrategy;

impl Strategy for QuotaStrategy {
    // k8s: pkg/apis/core/validation/validation.go ValidateResourceQuotaSpec
    fn validate(&self, o: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let path = Path::new("spec").child("hard");
        for (resource, amount) in
            o.at(&["spec", "hard"]).and_then(Value::as_map).into_iter().flat_map(|m| m.iter())
        {
            let at = path.key(resource);
            each(&mut errors, &at, resource, name::qualified_name(resource));
            if !resource.contains('/') && !STANDARD.contains(&resource) {
                let why = "must be a standard resource for quota";
                errors.push(FieldError::invalid(&at, quoted(resource), why));
            }
            bound(&mut errors, resource, amount, &at);
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value, op: Operation) -> Vec<FieldError> {
        if op == Operation::UpdateStatus {
            return Vec::new();
        }
        let mut errors = self.validate(new);
        let (n, before) = (new.at(&["spec", "scopes"]), old.at(&["spec", "scopes"]));
        immutable(&mut errors, n, before, &Path::new("spec").child("scopes"));
        errors
    }
}

fn bound(errors: &mut Errors, resource: &str, amount: &Value, at: &Path) {
    let text = match amount {
        Value::Str(s) => s.to_string(),
        Value::Int(n) => n.to_string(),
        _ => return,
    };
    let Ok(q) = text.parse::<Quantity>() else { return };
    if q.as_f64() < 0.0 {
        let why = "must be greater than or equal to 0";
        errors.push(FieldError::invalid(at, quoted(&text), why));
    }
    if COUNTED.contains(&resource) && q.as_f64().fract() != 0.0 {
        errors.push(FieldError::invalid(at, quoted(&text), "must be an integer"));
    }
}

// k8s: pkg/registry/core/resourcequota/strategy.go WarningsOnCreate
fn told(w: &Write<'_>) -> Vec<String> {
    let mut out = Vec::new();
    let hard = |name: &str| {
        let text = w.new.at(&["spec", "hard", name]).and_then(Value::as_str)?;
        Some((name.to_owned(), text.parse::<Quantity>().ok()?))
    };
    for name in ["cpu", "memory", "storage", "ephemeral-storage"] {
        let bare = ["cpu", "memory"].contains(&name);
        let request = hard(&format!("requests.{name}")).or_else(|| bare.then(|| hard(name)).flatten());
        let (Some((asked, request)), Some((most, limit))) = (request, hard(&format!("limits.{name}"))) else {
            continue;
        };
        if w.creates() && request > limit {
            out.push(format!("ResourceQuota {asked} ({request}) should be less than {most} ({limit})"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{texts, yaml};

    #[test]
    fn bounds() {
        let cases: [(&str, &[&str]); 4] = [
            ("{pods: '3', requests.cpu: 500m, count/jobs.batch: '1', example.com/gpu: '2'}", &[]),
            ("{pods: '-1'}", &["spec.hard[pods]: Invalid value: \"-1\": must be greater than or equal to 0"]),
            ("{pods: 500m}", &["spec.hard[pods]: Invalid value: \"500m\": must be an integer"]),
            (
                "{gpus: '1'}",
                &["spec.hard[gpus]: Invalid value: \"gpus\": must be a standard resource for quota"],
            ),
        ];
        for (hard, want) in cases {
            let got = QuotaStrategy.validate(&yaml(&format!("spec: {{hard: {hard}}}")));
            assert_eq!(texts(&got), want, "{hard}");
        }
    }
}
