//! Restart policies: of the pod, of a container, and by exit code.
// k8s: pkg/kubelet/container/helpers.go ShouldContainerBeRestarted

use k8s_openapi::api::core::v1::{Container, Pod};

use crate::spec::PodExt;

/// Whether a container that ended with `exit_code` is to run again.
#[must_use]
pub fn again(pod: &Pod, container: &Container, exit_code: i32) -> bool {
    for rule in container.restart_policy_rules.iter().flatten() {
        let Some(codes) = &rule.exit_codes else { continue };
        let listed = codes.values.iter().flatten().any(|v| *v == exit_code);
        if rule.action == "Restart" && (codes.operator == "NotIn") != listed {
            return true;
        }
    }
    match container.restart_policy.as_deref().unwrap_or_else(|| pod.restart_policy()) {
        "Never" => false,
        "OnFailure" => exit_code != 0,
        _ => true,
    }
}

/// The same for an init container that is no sidecar: success is the end.
#[must_use]
pub fn init_again(pod: &Pod, container: &Container, exit_code: i32) -> bool {
    exit_code != 0 && again(pod, container, exit_code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies() {
        let rules =
            serde_json::json!([{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]);
        let cases = [
            ("Always", None, None, 0, true),
            ("OnFailure", None, None, 0, false),
            ("OnFailure", None, None, 1, true),
            ("Never", None, None, 1, false),
            ("Never", Some("Always"), None, 0, true),
            ("Never", Some("Never"), Some(&rules), 42, true),
            ("Never", Some("Never"), Some(&rules), 41, false),
        ];
        for (policy, own, rules, code, want) in cases {
            let pod: Pod = serde_json::from_value(
                serde_json::json!({"spec": {"containers": [], "restartPolicy": policy}}),
            )
            .unwrap();
            let c: Container = serde_json::from_value(
                serde_json::json!({"name": "c", "restartPolicy": own, "restartPolicyRules": rules}),
            )
            .unwrap();
            assert_eq!(again(&pod, &c, code), want, "{policy} {own:?} {code}");
        }
    }
}
