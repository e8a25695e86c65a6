//! Where a pod may be: requirements on a node's labels and name, and tolerations of its taints. Scheduler, controllers
//! and node agent read the objects each in their own form and must all decide alike.

/// A toleration; what is not set is empty.
#[derive(Clone, Copy, Debug)]
pub struct Toleration<'a> {
    pub key: &'a str,
    pub operator: &'a str,
    pub value: &'a str,
    pub effect: &'a str,
}

/// A taint.
#[derive(Clone, Copy, Debug)]
pub struct Taint<'a> {
    pub key: &'a str,
    pub value: &'a str,
    pub effect: &'a str,
}

/// Whether `actual`, a label's value or a field's, meets a requirement of a node selector; [`None`]: there is no such
/// label. An operator that is not known is met by nothing.
// k8s: staging/src/k8s.io/component-helpers/scheduling/corev1/nodeaffinity/nodeaffinity.go,
// staging/src/k8s.io/apimachinery/pkg/labels/selector.go Requirement.Matches
#[must_use]
pub fn meets<T: AsRef<str>>(operator: &str, values: &[T], actual: Option<&str>) -> bool {
    let listed = |v: &str| values.iter().any(|x| x.as_ref() == v);
    let numbers = || match values {
        [bound] => numbers(actual?, bound.as_ref()),
        _ => None,
    };
    match operator {
        "In" => actual.is_some_and(listed),
        "NotIn" => !actual.is_some_and(listed),
        "Exists" => actual.is_some(),
        "DoesNotExist" => actual.is_none(),
        "Gt" => numbers().is_some_and(|(have, bound)| have > bound),
        "Lt" => numbers().is_some_and(|(have, bound)| have < bound),
        _ => false,
    }
}

/// Whether the toleration is of that taint.
// k8s: staging/src/k8s.io/api/core/v1/toleration.go ToleratesTaint
#[must_use]
pub fn tolerates(t: Toleration<'_>, taint: Taint<'_>) -> bool {
    let same = |own: &str, theirs: &str| own.is_empty() || own == theirs;
    if !same(t.effect, taint.effect) || !same(t.key, taint.key) {
        return false;
    }
    let numbers = || numbers(taint.value, t.value);
    match t.operator {
        "" | "Equal" => t.value == taint.value,
        "Exists" => true,
        "Gt" => numbers().is_some_and(|(have, bound)| have > bound),
        "Lt" => numbers().is_some_and(|(have, bound)| have < bound),
        _ => false,
    }
}

fn numbers(have: &str, bound: &str) -> Option<(i64, i64)> {
    Some((have.parse().ok()?, bound.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements() {
        let cases: [(&str, &[&str], Option<&str>, bool); 16] = [
            ("In", &["a", "b"], Some("b"), true),
            ("In", &["a"], Some("b"), false),
            ("In", &["a"], None, false),
            ("NotIn", &["a"], Some("b"), true),
            ("NotIn", &["a"], Some("a"), false),
            ("NotIn", &["a"], None, true),
            ("Exists", &[], Some(""), true),
            ("Exists", &[], None, false),
            ("DoesNotExist", &[], None, true),
            ("DoesNotExist", &[], Some("a"), false),
            ("Gt", &["5"], Some("6"), true),
            ("Gt", &["5"], Some("5"), false),
            ("Lt", &["5"], Some("4"), true),
            ("Lt", &["5"], None, false),
            // More than one bound is none.
            ("Gt", &["5", "1"], Some("6"), false),
            ("Near", &["a"], Some("a"), false),
        ];
        for (operator, values, actual, want) in cases {
            assert_eq!(meets(operator, values, actual), want, "{operator} {values:?} {actual:?}");
        }
    }

    #[test]
    fn tolerations() {
        let taint = Taint { key: "k", value: "5", effect: "NoExecute" };
        for (key, operator, value, effect, want) in [
            ("k", "Equal", "5", "NoExecute", true),
            ("k", "", "5", "", true),
            ("k", "Equal", "6", "NoExecute", false),
            ("k", "Exists", "", "NoSchedule", false),
            ("k", "Exists", "", "NoExecute", true),
            ("", "Exists", "", "", true),
            ("other", "Exists", "", "", false),
            ("k", "Gt", "4", "", true),
            ("k", "Lt", "4", "", false),
            ("k", "Gt", "x", "", false),
            ("k", "Near", "5", "", false),
        ] {
            let t = Toleration { key, operator, value, effect };
            assert_eq!(tolerates(t, taint), want, "{t:?}");
        }
    }
}
