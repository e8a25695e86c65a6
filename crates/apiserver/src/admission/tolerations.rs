//! DefaultTolerationSeconds and TaintNodesByCondition.
// k8s: plugin/pkg/admission/defaulttolerationseconds, plugin/pkg/admission/nodetaint

use schema::Value;

use crate::storage::object::map;

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const SECONDS: i64 = 300;

/// A pod stays five minutes on a node that is lost, unless it says otherwise, also after its tolerations were changed.
pub(crate) fn default(pod: &mut Value) {
    let tolerated = |key: &str| {
        pod.list_at(&["spec", "tolerations"]).iter().any(|t| {
            let k = t.str_at(&["key"]);
            (k == key || k.is_empty()) && matches!(t.str_at(&["effect"]), "NoExecute" | "")
        })
    };
    let missing: Vec<&str> = [NOT_READY, UNREACHABLE].into_iter().filter(|k| !tolerated(k)).collect();
    let Some(spec) = pod.get_mut("spec").and_then(Value::as_map_mut) else { return };
    if missing.is_empty() {
        return;
    }
    let Some(list) = spec.entry("tolerations", || Value::List(Vec::new())).as_list_mut() else { return };
    for key in missing {
        list.push(map([
            ("key", key.into()),
            ("operator", "Exists".into()),
            ("effect", "NoExecute".into()),
            ("tolerationSeconds", SECONDS.into()),
        ]));
    }
}

/// Nothing is scheduled to a new node before it has reported itself ready.
pub(crate) fn taint_new_node(node: &mut Value) {
    let has = node
        .list_at(&["spec", "taints"])
        .iter()
        .any(|t| t.str_at(&["key"]) == NOT_READY && t.str_at(&["effect"]) == "NoSchedule");
    let Some(object) = node.as_map_mut().filter(|_| !has) else { return };
    let spec = object.entry("spec", || map([]));
    let Some(spec) = spec.as_map_mut() else { return };
    if let Some(taints) = spec.entry("taints", || Value::List(Vec::new())).as_list_mut() {
        taints.push(map([("key", NOT_READY.into()), ("effect", "NoSchedule".into())]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_what_is_missing_once() {
        let mut pod = map([("spec", map([("tolerations", vec![map([("key", NOT_READY.into())])].into())]))]);
        default(&mut pod);
        default(&mut pod);
        let keys: Vec<&str> =
            pod.list_at(&["spec", "tolerations"]).iter().map(|t| t.str_at(&["key"])).collect();
        assert_eq!(keys, [NOT_READY, UNREACHABLE]);
        let mut node = map([]);
        taint_new_node(&mut node);
        taint_new_node(&mut node);
        assert_eq!(node.list_at(&["spec", "taints"]).len(), 1);
    }
}
