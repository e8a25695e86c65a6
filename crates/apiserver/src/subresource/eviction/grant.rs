//! What a disruption budget says to the eviction of a pod that it is about.
// k8s: pkg/registry/core/pod/storage/eviction.go checkAndDecrement

use meta::{Gvr, Status, StatusCause};
use schema::Value;

use crate::storage::object;

/// Evictions that a budget may have granted and its controller not have seen yet.
// k8s: pkg/registry/core/pod/storage/eviction.go MaxDisruptedPodSize
const LIMIT_UNSEEN: usize = 2000;

/// Seconds after which whoever was refused by a budget that changes may try again.
const RETRY_SECONDS: u32 = 10;

const ALLOWED: &str = "DisruptionAllowed";

fn number(budget: &Value, field: &str) -> i64 {
    budget.int_at(&["status", field]).unwrap_or(0)
}

/// Whether a pod that is not ready may go without being taken off the budget: it counts for nothing there.
pub(super) fn lets_unready_go(budget: &Value) -> bool {
    let (healthy, desired) = (number(budget, "currentHealthy"), number(budget, "desiredHealthy"));
    budget.str_at(&["spec", "unhealthyPodEvictionPolicy"]) == "AlwaysAllow"
        || healthy >= desired && desired > 0
}

/// The budget with the pod taken off it.
///
/// # Errors
/// Why it may not be.
pub(super) fn spent(budget: &Value, pod: &str, now: &str) -> Result<Value, Status> {
    let name = object::text(budget, "name");
    if number(budget, "observedGeneration") < budget.int_at(&["metadata", "generation"]).unwrap_or(0) {
        return Err(unsettled(name));
    }
    let allowed = number(budget, "disruptionsAllowed");
    if allowed < 0 {
        let why = "pdb disruptions allowed is negative";
        return Err(forbidden(name, why, why));
    }
    let unseen = budget.at(&["status", "disruptedPods"]).and_then(Value::as_map).map_or(0, schema::Map::len);
    if unseen > LIMIT_UNSEEN {
        return Err(forbidden(
            name,
            "DisruptedPods map too big - too many evictions not confirmed by PDB controller",
            "too many pending evictions not confirmed by PDB controller",
        ));
    }
    if allowed == 0 {
        return Err(refused(exhausted(budget, name), 0));
    }
    let mut new = budget.clone();
    new.set_at(&["status", "disruptionsAllowed"], allowed - 1);
    if allowed == 1 {
        nothing_allowed(&mut new, now);
    }
    if let Some(status) = new.get_mut("status").and_then(Value::as_map_mut)
        && let Some(m) = status.entry("disruptedPods", || object::map([])).as_map_mut()
    {
        m.set(pod.to_owned(), now);
    }
    Ok(new)
}

/// 429 for a budget whose numbers are about to change.
// k8s: pkg/registry/core/pod/storage/eviction.go createTooManyRequestsError
pub(super) fn unsettled(name: &str) -> Status {
    refused(format!("The disruption budget {name} is still being processed by the server."), RETRY_SECONDS)
}

fn condition(budget: &Value) -> Option<&Value> {
    budget.list_at(&["status", "conditions"]).iter().find(|c| c.str_at(&["type"]) == ALLOWED)
}

/// Why nothing is allowed.
fn exhausted(budget: &Value, name: &str) -> String {
    let (healthy, desired) = (number(budget, "currentHealthy"), number(budget, "desiredHealthy"));
    let said = condition(budget)
        .filter(|c| c.str_at(&["status"]) == "False" && !c.str_at(&["message"]).is_empty())
        .map(|c| (c.str_at(&["reason"]), c.str_at(&["message"])));
    let no = format!("The disruption budget {name} does not allow evicting pods currently");
    match said {
        // The numbers are old ones.
        Some(("SyncFailed", why)) => format!("{no} because it failed sync: {why}"),
        _ if healthy <= desired => {
            format!("The disruption budget {name} needs {desired} healthy pods and has {healthy} currently")
        }
        Some((reason, why)) => format!("{no} ({reason}): {why}"),
        None => no,
    }
}

/// Sets the condition that goes with nothing more being allowed.
// k8s: staging/src/k8s.io/component-helpers/apps/poddisruptionbudget/helpers.go UpdateDisruptionAllowedCondition
fn nothing_allowed(budget: &mut Value, now: &str) {
    let before = condition(budget).filter(|c| c.str_at(&["status"]) == "False");
    let since = before.map_or(now, |c| c.str_at(&["lastTransitionTime"])).to_owned();
    let mut new = object::map([
        ("type", ALLOWED.into()),
        ("status", "False".into()),
        ("lastTransitionTime", since.as_str().into()),
        ("reason", "InsufficientPods".into()),
        ("message", "".into()),
    ]);
    new.set_at(&["observedGeneration"], number(budget, "observedGeneration"));
    let Some(status) = budget.get_mut("status").and_then(Value::as_map_mut) else { return };
    let Some(list) = status.entry("conditions", || Value::List(Vec::new())).as_list_mut() else { return };
    match list.iter_mut().find(|c| c.str_at(&["type"]) == ALLOWED) {
        Some(old) => *old = new,
        None => list.push(new),
    }
}

fn cause(why: String) -> StatusCause {
    StatusCause { reason: "DisruptionBudget".to_owned(), message: why, field: String::new() }
}

fn refused(why: String, retry_seconds: u32) -> Status {
    let mut s = Status::too_many_requests(
        "Cannot evict pod as it would violate the pod's disruption budget.",
        retry_seconds,
    );
    if let Some(d) = &mut s.details {
        d.retry_after_seconds = (retry_seconds > 0).then_some(retry_seconds);
        d.causes.push(cause(why));
    }
    s
}

fn forbidden(name: &str, why: &str, told: &str) -> Status {
    let mut s = Status::forbidden(&Gvr::new("policy", "v1", "poddisruptionbudget"), name, why);
    if let Some(d) = &mut s.details {
        let no = format!("The disruption budget {name} does not allow evicting pods currently: {told}");
        d.causes.push(cause(no));
    }
    s
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-01-02T03:04:05Z";

    fn budget(status: &str) -> Value {
        let text = format!(
            r#"{{"metadata":{{"name":"b","generation":2}},"spec":{{}},"status":{{"observedGeneration":2,{status}}}}}"#
        );
        schema::decode_plain(text.as_bytes()).unwrap()
    }

    #[test]
    fn why_an_eviction_is_refused() {
        let condition = |reason: &str, message: &str| {
            format!(
                r#""disruptionsAllowed":0,"currentHealthy":3,"desiredHealthy":2,"conditions":[
                {{"type":"DisruptionAllowed","status":"False","reason":"{reason}","message":"{message}"}}]"#
            )
        };
        let no = "The disruption budget b does not allow evicting pods currently";
        let many = (0..=LIMIT_UNSEEN).map(|i| format!(r#""p{i}":"{NOW}""#)).collect::<Vec<_>>().join(",");
        let forbidden = "poddisruptionbudget.policy \"b\" is forbidden: ";
        // The status, the code, seconds to wait, how the message ends, the cause.
        let cases: [(String, u16, Option<u32>, String, String); 8] = [
            (
                r#""observedGeneration":1,"disruptionsAllowed":5"#.to_owned(),
                429,
                Some(10),
                String::new(),
                "The disruption budget b is still being processed by the server.".to_owned(),
            ),
            (
                r#""disruptionsAllowed":0,"currentHealthy":2,"desiredHealthy":2"#.to_owned(),
                429,
                None,
                String::new(),
                "The disruption budget b needs 2 healthy pods and has 2 currently".to_owned(),
            ),
            (
                condition("SyncFailed", "no"),
                429,
                None,
                String::new(),
                format!("{no} because it failed sync: no"),
            ),
            (condition("Other", "no"), 429, None, String::new(), format!("{no} (Other): no")),
            (condition("InsufficientPods", ""), 429, None, String::new(), no.to_owned()),
            (
                String::from(r#""x":0"#),
                429,
                None,
                String::new(),
                String::from("The disruption budget b needs 0 healthy pods and has 0 currently"),
            ),
            (
                r#""disruptionsAllowed":-1"#.to_owned(),
                403,
                None,
                format!("{forbidden}pdb disruptions allowed is negative"),
                format!("{no}: pdb disruptions allowed is negative"),
            ),
            (
                format!(r#""disruptionsAllowed":1,"disruptedPods":{{{many}}}"#),
                403,
                None,
                format!(
                    "{forbidden}DisruptedPods map too big - too many evictions not confirmed by PDB controller"
                ),
                format!("{no}: too many pending evictions not confirmed by PDB controller"),
            ),
        ];
        for (status, code, seconds, message, cause) in cases {
            let e = spent(&budget(&status), "p", NOW).unwrap_err();
            let details = e.details.clone().unwrap();
            assert_eq!((e.code, details.retry_after_seconds), (code, seconds), "{status}");
            if code == 403 {
                assert_eq!(e.message, message);
            }
            assert_eq!(
                (&*details.causes[0].reason, &details.causes[0].message),
                ("DisruptionBudget", &cause)
            );
        }
    }

    #[test]
    fn what_is_taken_off() {
        let told = r#""conditions":[{"type":"DisruptionAllowed","status":"True","reason":"SufficientPods",
            "lastTransitionTime":"2025-01-01T00:00:00Z"}]"#;
        for (allowed, word, reason, since) in
            [(2, "True", "SufficientPods", "2025-01-01T00:00:00Z"), (1, "False", "InsufficientPods", NOW)]
        {
            let b = budget(&format!(r#""disruptionsAllowed":{allowed},{told}"#));
            let new = spent(&b, "p", NOW).unwrap();
            assert_eq!(new.int_at(&["status", "disruptionsAllowed"]), Some(allowed - 1));
            assert_eq!(new.str_at(&["status", "disruptedPods", "p"]), NOW);
            let c = condition(&new).unwrap();
            let said = |f: &str| c.str_at(&[f]).to_owned();
            assert_eq!([said("status"), said("reason"), said("lastTransitionTime")], [word, reason, since]);
        }
    }

    #[test]
    fn unready_pods() {
        for (spec, healthy, desired, goes) in [
            ("AlwaysAllow", 0, 3, true),
            ("IfHealthyBudget", 2, 3, false),
            ("IfHealthyBudget", 3, 3, true),
            ("", 3, 3, true),
            ("", 0, 0, false),
        ] {
            let mut b = budget(&format!(r#""currentHealthy":{healthy},"desiredHealthy":{desired}"#));
            b.set_at(&["spec", "unhealthyPodEvictionPolicy"], spec);
            assert_eq!(lets_unready_go(&b), goes, "{spec} {healthy} {desired}");
        }
    }
}
