//! DefaultTolerationSeconds: how long a pod stays on a node that is lost.
// k8s: plugin/pkg/admission/defaulttolerationseconds/admission.go

use kinds::core::pod;
use meta::Status;
use schema::Value;

use crate::request::Reply;
use crate::storage::object::map;
use crate::storage::{AdmissionRequest, Op, Plugin};

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const SECONDS: i64 = 300;

pub(in crate::admission) struct DefaultTolerationSeconds;

impl Plugin for DefaultTolerationSeconds {
    fn name(&self) -> &'static str {
        "DefaultTolerationSeconds"
    }

    fn mutate<'a>(&'a self, request: &'a mut AdmissionRequest<'_>) -> Reply<'a, Result<(), Status>> {
        if request.operation != Op::Delete && request.is_whole(&pod::KIND) {
            default(request.object);
        }
        Reply::now(Ok(()))
    }
}

/// A pod stays five minutes on a node that is lost, unless it says otherwise, also after its tolerations were changed.
fn default(pod: &mut Value) {
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
    }
}
