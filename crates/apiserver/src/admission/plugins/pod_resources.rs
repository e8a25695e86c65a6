//! What a pod asks for and may use in all. Several plugins count it. It must never look at a pod's status.
// k8s: staging/src/k8s.io/component-helpers/resource/helpers.go PodRequests, PodLimits

use std::collections::BTreeMap;

use kinds::core::pod_spec::quantity;
use meta::Quantity;
use schema::{Map, Value};

/// Amounts by the name of what they are of.
pub(super) type Amounts = BTreeMap<String, Quantity>;

/// Resources that a pod may ask for as a whole.
fn is_of_pods(resource: &str) -> bool {
    matches!(resource, "cpu" | "memory") || resource.starts_with("hugepages-")
}

/// The amounts of a list of resources; what is no quantity is left to the kind's own checks.
pub(super) fn amounts(list: Option<&Value>) -> Amounts {
    let entries = list.and_then(Value::as_map).into_iter().flat_map(Map::iter);
    entries.filter_map(|(name, v)| Some((name.to_owned(), quantity(v)?))).collect()
}

/// The sum of what is asked for (`requests`) or the most that may be used (`limits`).
pub(super) fn of_pod(pod: &Value, field: &str) -> Amounts {
    let mut sum = Amounts::new();
    for container in pod.list_at(&["spec", "containers"]) {
        add(&mut sum, &amounts(container.at(&["resources", field])));
    }
    // Sidecars last as long as the pod; all others have to fit beside the sidecars before them.
    let (mut sidecars, mut most) = (Amounts::new(), Amounts::new());
    for container in pod.list_at(&["spec", "initContainers"]) {
        let own = amounts(container.at(&["resources", field]));
        if container.str_at(&["restartPolicy"]) == "Always" {
            add(&mut sum, &own);
            add(&mut sidecars, &own);
            raise(&mut most, &sidecars);
        } else {
            let mut beside = own;
            add(&mut beside, &sidecars);
            raise(&mut most, &beside);
        }
    }
    raise(&mut sum, &most);
    let whole = amounts(pod.at(&["spec", "resources", field]));
    sum.extend(whole.into_iter().filter(|(name, _)| is_of_pods(name)));
    sum
}

/// Adds the amounts to the sum.
pub(super) fn add(sum: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        match sum.get_mut(name) {
            Some(total) => *total = *total + *amount,
            None => {
                sum.insert(name.clone(), *amount);
            }
        }
    }
}

fn raise(most: &mut Amounts, other: &Amounts) {
    for (name, amount) in other {
        match most.get_mut(name) {
            Some(old) => *old = (*old).max(*amount),
            None => {
                most.insert(name.clone(), *amount);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums() {
        let cases = [
            (
                r#"{"containers":[{"resources":{"requests":{"cpu":"1"}}},{"resources":{"requests":{"cpu":"500m"}}}]}"#,
                "1500m",
            ),
            (
                r#"{"containers":[{"resources":{"requests":{"cpu":"1"}}}],"initContainers":[{"resources":{"requests":{"cpu":"3"}}}]}"#,
                "3",
            ),
            (
                r#"{"containers":[{"resources":{"requests":{"cpu":"1"}}}],"initContainers":[
                {"restartPolicy":"Always","resources":{"requests":{"cpu":"2"}}},{"resources":{"requests":{"cpu":"3"}}}]}"#,
                "5",
            ),
            (
                r#"{"resources":{"requests":{"cpu":"4"}},"containers":[{"resources":{"requests":{"cpu":"1"}}}]}"#,
                "4",
            ),
            (r#"{"containers":[{}]}"#, ""),
        ];
        for (spec, want) in cases {
            let pod = schema::decode_plain(format!(r#"{{"spec":{spec}}}"#).as_bytes()).unwrap();
            let got = of_pod(&pod, "requests").get("cpu").map(Quantity::to_string).unwrap_or_default();
            assert_eq!(got, want, "{spec}");
        }
    }
}
