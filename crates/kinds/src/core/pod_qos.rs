//! The quality-of-service class of a pod, from the requests and limits of its containers.
// k8s: pkg/apis/core/v1/helper/qos/qos.go ComputePodQOS

use schema::Value;

use super::pod_spec::quantity;

/// `Guaranteed`, `Burstable` or `BestEffort`.
#[must_use]
pub fn qos_class(pod: &Value) -> &'static str {
    let (mut any, mut guaranteed) = (false, true);
    for list in ["containers", "initContainers"] {
        for c in pod.list_at(&["spec", list]) {
            for resource in ["cpu", "memory"] {
                let get = |field: &str| {
                    c.at(&["resources", field, resource]).and_then(quantity).filter(|q| q.sign() > 0)
                };
                let (request, limit) = (get("requests"), get("limits"));
                any |= request.is_some() || limit.is_some();
                guaranteed &= limit.is_some() && (request == limit || request.is_none());
            }
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::yaml;

    #[test]
    fn classes() {
        for (resources, want) in [
            ("{}", "BestEffort"),
            ("{requests: {cpu: 1}}", "Burstable"),
            ("{limits: {cpu: 1, memory: 1Gi}, requests: {cpu: 1000m, memory: 1Gi}}", "Guaranteed"),
            ("{limits: {cpu: 1, memory: 1Gi}, requests: {cpu: 1, memory: 1Mi}}", "Burstable"),
            ("{limits: {ephemeral-storage: 1}}", "BestEffort"),
        ] {
            let pod = yaml(&format!("spec: {{containers: [{{resources: {resources}}}]}}"));
            assert_eq!(qos_class(&pod), want, "{resources}");
        }
    }
}
