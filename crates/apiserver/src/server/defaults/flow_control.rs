//! FlowSchemas and PriorityLevelConfigurations: those that must be as they are, and those that are suggested.
// k8s: staging/src/k8s.io/apiserver/pkg/apis/flowcontrol/bootstrap/default.go, pkg/registry/flowcontrol/ensurer

use serde_json::{Value as Json, json};

/// Objects whose annotation is `true` have the spec of this server; `false` leaves them to their owner.
pub const AUTOUPDATE: &str = "apf.kubernetes.io/autoupdate-spec";
const API: &str = "flowcontrol.apiserver.k8s.io/v1";
/// These two levels and schemas are brought back whatever their annotation says.
const MANDATORY: [&str; 2] = ["exempt", "catch-all"];

/// A limited level: name, shares, percent that it lends, and its queues with the hand of a flow.
type Level = (&'static str, u32, u32, Option<(u32, u32)>);

const LEVELS: &[Level] = &[
    ("catch-all", 5, 0, None),
    ("system", 30, 33, Some((64, 6))),
    ("node-high", 40, 25, Some((64, 6))),
    ("leader-election", 10, 0, Some((16, 4))),
    ("workload-high", 40, 50, Some((128, 6))),
    ("workload-low", 100, 90, Some((128, 6))),
    ("global-default", 20, 50, Some((128, 6))),
];

/// A schema: name, level, precedence, what makes a flow, subjects (`u:`, `g:`, or `s:` of kube-system), rules.
type Schema = (&'static str, &'static str, u32, &'static str, &'static [&'static str], Rules);

#[derive(Clone, Copy)]
enum Rules {
    Everything,
    Probes,
    LeaderElection,
    NodeHealth,
}

const ALL_USERS: &[&str] = &["g:system:unauthenticated", "g:system:authenticated"];
const ALL_OF_SYSTEM: &[&str] = &["s:*"];
const NODES: &[&str] = &["g:system:nodes"];

const SCHEMAS: &[Schema] = &[
    ("exempt", "exempt", 1, "", &["g:system:masters"], Rules::Everything),
    ("probes", "exempt", 2, "", ALL_USERS, Rules::Probes),
    (
        "system-leader-election",
        "leader-election",
        100,
        "ByUser",
        &["u:system:kube-controller-manager", "u:system:kube-scheduler", "s:*"],
        Rules::LeaderElection,
    ),
    ("system-node-high", "node-high", 400, "ByUser", NODES, Rules::NodeHealth),
    ("system-nodes", "system", 500, "ByUser", NODES, Rules::Everything),
    (
        "kube-controller-manager",
        "workload-high",
        800,
        "ByNamespace",
        &["u:system:kube-controller-manager"],
        Rules::Everything,
    ),
    ("kube-scheduler", "workload-high", 800, "ByNamespace", &["u:system:kube-scheduler"], Rules::Everything),
    ("kube-system-service-accounts", "workload-high", 900, "ByNamespace", ALL_OF_SYSTEM, Rules::Everything),
    ("service-accounts", "workload-low", 9000, "ByUser", &["g:system:serviceaccounts"], Rules::Everything),
    ("global-default", "global-default", 9900, "ByUser", ALL_USERS, Rules::Everything),
    ("catch-all", "catch-all", 10_000, "ByUser", ALL_USERS, Rules::Everything),
];

/// The PriorityLevelConfigurations.
pub fn levels() -> Vec<Json> {
    let exempt = json!({"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}});
    let limited = LEVELS.iter().map(|(name, shares, lendable, queues)| {
        let response = match queues {
            None => json!({"type": "Reject"}),
            Some((queues, hand)) => json!({"type": "Queue",
                "queuing": {"queues": queues, "handSize": hand, "queueLengthLimit": 50}}),
        };
        let spec = json!({"type": "Limited", "limited": {"nominalConcurrencyShares": shares,
            "lendablePercent": lendable, "limitResponse": response}});
        object("PriorityLevelConfiguration", name, &spec)
    });
    std::iter::once(object("PriorityLevelConfiguration", "exempt", &exempt)).chain(limited).collect()
}

/// The FlowSchemas.
pub fn schemas() -> Vec<Json> {
    SCHEMAS
        .iter()
        .map(|(name, level, precedence, distinguisher, subjects, what)| {
            let mut rule = rules(*what);
            rule["subjects"] = subjects.iter().map(|s| subject(s)).collect();
            let mut spec = json!({"priorityLevelConfiguration": {"name": level},
                "matchingPrecedence": precedence, "rules": [rule]});
            if !distinguisher.is_empty() {
                spec["distinguisherMethod"] = json!({"type": distinguisher});
            }
            object("FlowSchema", name, &spec)
        })
        .collect()
}

fn object(kind: &str, name: &str, spec: &Json) -> Json {
    json!({"kind": kind, "apiVersion": API,
        "metadata": {"name": name, "annotations": {AUTOUPDATE: "true"}}, "spec": spec})
}

fn subject(word: &str) -> Json {
    match word.split_once(':') {
        Some(("u", name)) => json!({"kind": "User", "user": {"name": name}}),
        Some(("g", name)) => json!({"kind": "Group", "group": {"name": name}}),
        _ => json!({"kind": "ServiceAccount",
            "serviceAccount": {"namespace": "kube-system", "name": word.trim_start_matches("s:")}}),
    }
}

fn rules(what: Rules) -> Json {
    let leases = |verbs: Json| json!({"verbs": verbs, "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "namespaces": ["*"]});
    match what {
        Rules::Everything => json!({
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": true,
                "namespaces": ["*"]}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
        }),
        Rules::Probes => json!({
            "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]}],
        }),
        Rules::LeaderElection => json!({"resourceRules": [leases(json!(["get", "create", "update"]))]}),
        Rules::NodeHealth => json!({"resourceRules": [
            {"verbs": ["*"], "apiGroups": [""], "resources": ["nodes", "nodes/status"], "clusterScope": true,
                "namespaces": ["*"]},
            leases(json!(["*"])),
        ]}),
    }
}

/// What the stored object should become; `None` where it may stay.
// k8s: pkg/registry/flowcontrol/ensurer/strategy.go ReviseIfNeeded
pub fn revised(stored: &Json, wanted: &Json) -> Option<Json> {
    let name = wanted["metadata"]["name"].as_str().unwrap_or_default();
    let said = match stored["metadata"]["annotations"][AUTOUPDATE].as_str() {
        Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Some(true),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Some(false),
        _ => None,
    };
    // Without a word, what nobody has changed is ours.
    let auto = MANDATORY.contains(&name) || said.unwrap_or(stored["metadata"]["generation"] == 1);
    let spec = auto && stored["spec"] != wanted["spec"];
    if said == Some(auto) && !spec {
        return None;
    }
    let mut new = stored.clone();
    if spec {
        new["spec"] = wanted["spec"].clone();
    }
    new["metadata"]["annotations"][AUTOUPDATE] = auto.to_string().into();
    Some(new)
}

/// The schema with a condition that its level is there, when it lacks one.
// k8s: staging/src/k8s.io/apiserver/pkg/util/flowcontrol/apf_controller.go syncFlowSchemaStatus
pub fn not_dangling(stored: &Json, now: &str) -> Option<Json> {
    let mut conditions = stored["status"]["conditions"].as_array().cloned().unwrap_or_default();
    if conditions.iter().any(|c| c["type"] == "Dangling" && c["status"] == "False") {
        return None;
    }
    conditions.retain(|c| c["type"] != "Dangling");
    let level = stored["spec"]["priorityLevelConfiguration"]["name"].as_str().unwrap_or_default();
    conditions.push(json!({
        "type": "Dangling", "status": "False", "reason": "Found", "lastTransitionTime": now,
        "message": format!(
            "This FlowSchema references the PriorityLevelConfiguration object named {level:?} and it exists"
        ),
    }));
    let mut new = stored.clone();
    new["status"]["conditions"] = conditions.into();
    Some(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_name_levels_that_are_there() {
        let levels = levels();
        assert_eq!(levels.len(), 8);
        let schemas = schemas();
        assert_eq!(schemas.len(), 11);
        for schema in &schemas {
            let level = &schema["spec"]["priorityLevelConfiguration"]["name"];
            assert!(levels.iter().any(|l| l["metadata"]["name"] == *level), "{level}");
        }
    }

    #[test]
    fn specs_come_back_unless_their_owner_says_otherwise() {
        let wanted =
            |name: &str| levels().into_iter().find(|l| l["metadata"]["name"] == name).expect("there");
        let cases = [
            // Name, annotation, generation, changed; the spec comes back, the annotation.
            ("system", Some("true"), 1, false, None),
            ("system", Some("true"), 2, true, Some((true, "true"))),
            ("system", Some("false"), 2, true, None),
            ("system", None, 1, false, Some((false, "true"))),
            ("system", None, 2, true, Some((false, "false"))),
            ("system", Some("maybe"), 2, true, Some((false, "false"))),
            ("catch-all", Some("false"), 2, true, Some((true, "true"))),
            ("catch-all", Some("false"), 1, false, Some((false, "true"))),
        ];
        for (name, annotation, generation, changed, want) in cases {
            let wanted = wanted(name);
            let mut stored = wanted.clone();
            stored["metadata"]["generation"] = generation.into();
            stored["metadata"]["annotations"] = match annotation {
                Some(text) => json!({AUTOUPDATE: text}),
                None => json!({}),
            };
            if changed {
                stored["spec"]["limited"]["nominalConcurrencyShares"] = 7.into();
            }
            let got = revised(&stored, &wanted);
            let case = (name, annotation, generation, changed);
            let got = got.map(|new| {
                let back = new["spec"] == wanted["spec"] && changed;
                (back, new["metadata"]["annotations"][AUTOUPDATE].as_str().unwrap().to_owned())
            });
            assert_eq!(got, want.map(|(back, text): (bool, &str)| (back, text.to_owned())), "{case:?}");
        }
    }
}
