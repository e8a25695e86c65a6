//! LimitRanger: bounds and defaults for the resources of the pods and claims of a namespace.
// k8s: plugin/pkg/admission/limitranger/admission.go

use std::collections::BTreeMap;

use kinds::core::{limit_range, persistent_volume_claim, pod};
use meta::{Quantity, Status};
use schema::{Map, Value};
use serde::Deserialize;

use super::pod_resources::{Amounts, amounts, of_pod};
use crate::admission::known;
use crate::request::Reply;
use crate::storage::{AdmissionRequest, Op, Plugin, object};

const TOLD: &str = "kubernetes.io/limit-ranger";

pub(in crate::admission) struct LimitRanger;

impl Plugin for LimitRanger {
    fn name(&self) -> &'static str {
        "LimitRanger"
    }

    fn mutate<'a>(&'a self, request: &'a mut AdmissionRequest<'_>) -> Reply<'a, Result<(), Status>> {
        if !is_pod(request) {
            return Reply::now(Ok(()));
        }
        Reply::now(ranges(request).map(|ranges| {
            for range in &ranges {
                complete(request.object, &range.spec.limits);
            }
        }))
    }

    fn validate<'a>(&'a self, request: &'a AdmissionRequest<'_>) -> Reply<'a, Result<(), Status>> {
        let is_claim = request.operation != Op::Delete && request.is_whole(&persistent_volume_claim::KIND);
        if !is_claim && !is_pod(request) {
            return Reply::now(Ok(()));
        }
        let check = if is_claim { claim } else { whole_pod };
        Reply::now(ranges(request).and_then(|ranges| {
            // One range after the other, as upstream: the first that is broken is told of.
            for range in &ranges {
                let why = check(&range.spec.limits, request.object, request.old);
                refuse(request, why)?;
            }
            Ok(())
        }))
    }
}

/// A new pod, or one whose resources change. Nothing else that a LimitRange is about can change in a pod.
fn is_pod(request: &AdmissionRequest<'_>) -> bool {
    let what = (request.operation, request.call.subresource);
    matches!(what, (Op::Create, "") | (Op::Update, "resize")) && request.is_of(&pod::KIND)
}

/// Those of the namespace; none where the object is on its way out.
fn ranges(request: &AdmissionRequest<'_>) -> Result<Vec<Range>, Status> {
    if request.old.is_some_and(object::is_terminating) {
        return Ok(Vec::new());
    }
    known::all(request.call, &limit_range::KIND, request.call.namespace)
}

fn refuse(request: &AdmissionRequest<'_>, why: Vec<String>) -> Result<(), Status> {
    match super::aggregate(why) {
        None => Ok(()),
        Some(why) => Err(request.forbidden(&why)),
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Range {
    spec: Spec,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Spec {
    limits: Vec<Limit>,
}

type Bounds = BTreeMap<String, Quantities>;

/// A quantity as it stands in JSON.
#[derive(Clone, Deserialize)]
#[serde(from = "serde_json::Value")]
struct Quantities(String);

impl From<serde_json::Value> for Quantities {
    fn from(value: serde_json::Value) -> Self {
        Quantities(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    }
}

impl Quantities {
    fn amount(&self) -> Quantity {
        self.0.parse().unwrap_or_default()
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Limit {
    r#type: String,
    max: Bounds,
    min: Bounds,
    default: Bounds,
    default_request: Bounds,
    max_limit_request_ratio: Bounds,
}

/// Gives every container what it does not say itself, and tells so in an annotation.
fn complete(pod: &mut Value, limits: &[Limit]) {
    let (mut requests, mut most) = (Bounds::new(), Bounds::new());
    for limit in limits.iter().filter(|limit| limit.r#type == "Container") {
        requests.extend(limit.default_request.clone());
        most.extend(limit.default.clone());
    }
    if requests.is_empty() && most.is_empty() {
        return;
    }
    let mut told = Vec::new();
    for (list, what) in [("containers", "container"), ("initContainers", "init container")] {
        let containers = pod.at_mut(&["spec", list]).and_then(Value::as_list_mut);
        for container in containers.into_iter().flatten() {
            let name = container.str_at(&["name"]).to_owned();
            let set_limits = fill(container, "limits", &most);
            let set_requests = fill(container, "requests", &requests);
            for (set, field) in [(set_requests, "request"), (set_limits, "limit")] {
                if !set.is_empty() {
                    told.push(format!("{} {field} for {what} {name}", set.join(", ")));
                }
            }
        }
    }
    if !told.is_empty() {
        pod.set_at(
            &["metadata", "annotations", TOLD],
            format!("LimitRanger plugin set: {}", told.join("; ")),
        );
    }
}

/// Puts in what is not there; the names of what was put in, sorted.
fn fill<'b>(container: &mut Value, field: &'static str, values: &'b Bounds) -> Vec<&'b str> {
    let mut set = Vec::new();
    if values.is_empty() {
        return set;
    }
    let Some(own) = container.as_map_mut() else { return set };
    let resources = own.entry("resources", || Value::Map(Map::new()));
    let Some(resources) = resources.as_map_mut() else { return set };
    let Some(list) = resources.entry(field, || Value::Map(Map::new())).as_map_mut() else { return set };
    for (name, amount) in values {
        if list.get(name).is_none() {
            list.set(name.clone(), amount.0.as_str());
            set.push(&**name);
        }
    }
    set
}

/// What is wrong with a claim. What it asked for before it may go on asking for.
fn claim(limits: &[Limit], claim: &Value, old: Option<&Value>) -> Vec<String> {
    let requests = |o: &Value| amounts(o.at(&["spec", "resources", "requests"]));
    let (new, old) = (requests(claim), old.map(requests).unwrap_or_default());
    let none = Amounts::new();
    let asked = Asked { what: "PersistentVolumeClaim", requests: &new, limits: &none };
    let changed = |name: &str| !new.contains_key(name) || new.get(name) != old.get(name);
    let mut errors = Vec::new();
    for limit in limits.iter().filter(|limit| limit.r#type == "PersistentVolumeClaim") {
        let of = |bounds: &Bounds| bounds.clone().into_iter().filter(|(name, _)| changed(name));
        errors.extend(of(&limit.min).filter_map(|(name, bound)| asked.below(&name, bound.amount())));
        errors.extend(of(&limit.max).filter_map(|(name, bound)| asked.request_above(&name, bound.amount())));
    }
    errors
}

/// What is wrong with a pod. On a resize, what does not change is not looked at again.
fn whole_pod(limits: &[Limit], pod: &Value, old: Option<&Value>) -> Vec<String> {
    let mut errors = Vec::new();
    for limit in limits {
        match &*limit.r#type {
            "Container" => {
                for list in ["containers", "initContainers"] {
                    for container in pod.list_at(&["spec", list]) {
                        let name = container.str_at(&["name"]);
                        let before = old.map_or(&[][..], |old| old.list_at(&["spec", list]));
                        let before = before.iter().find(|c| c.str_at(&["name"]) == name);
                        let of = |c: &Value| {
                            (
                                amounts(c.at(&["resources", "requests"])),
                                amounts(c.at(&["resources", "limits"])),
                            )
                        };
                        limit.check(&of(container), before.map(of).as_ref(), &mut errors);
                    }
                }
            }
            "Pod" => {
                let of = |pod: &Value| (of_pod(pod, "requests"), of_pod(pod, "limits"));
                limit.check(&of(pod), old.map(of).as_ref(), &mut errors);
            }
            _ => {}
        }
    }
    errors
}

impl Limit {
    fn check(
        &self,
        (requests, limits): &(Amounts, Amounts),
        old: Option<&(Amounts, Amounts)>,
        errors: &mut Vec<String>,
    ) {
        let asked = Asked { what: &self.r#type, requests, limits };
        let changed = |name: &&String| {
            old.is_none_or(|(r, l)| r.get(*name) != requests.get(*name) || l.get(*name) != limits.get(*name))
        };
        let of = |bounds: &'_ Bounds, wrong: &dyn Fn(&str, Quantity) -> Option<String>| {
            let bounds = bounds.iter().filter(|(name, _)| changed(name));
            bounds.filter_map(|(name, bound)| wrong(name, bound.amount())).collect::<Vec<_>>()
        };
        errors.extend(of(&self.min, &|name, bound| asked.below(name, bound)));
        errors.extend(of(&self.max, &|name, bound| asked.above(name, bound)));
        errors.extend(of(&self.max_limit_request_ratio, &|name, bound| asked.apart(name, bound)));
    }
}

/// What is held against bounds.
struct Asked<'a> {
    /// `Container`, `Pod`, `PersistentVolumeClaim`.
    what: &'a str,
    requests: &'a Amounts,
    limits: &'a Amounts,
}

impl Asked<'_> {
    // k8s: plugin/pkg/admission/limitranger/admission.go minConstraint
    fn below(&self, name: &str, bound: Quantity) -> Option<String> {
        let head = format!("minimum {name} usage per {} is {bound}", self.what);
        match (self.requests.get(name), self.limits.get(name)) {
            (None, _) => Some(format!("{head}.  No request is specified")),
            (Some(request), _) if *request < bound => Some(format!("{head}, but request is {request}")),
            (_, Some(limit)) if *limit < bound => Some(format!("{head}, but limit is {limit}")),
            _ => None,
        }
    }

    // k8s: plugin/pkg/admission/limitranger/admission.go maxRequestConstraint
    fn request_above(&self, name: &str, bound: Quantity) -> Option<String> {
        let head = format!("maximum {name} usage per {} is {bound}", self.what);
        match self.requests.get(name) {
            None => Some(format!("{head}.  No request is specified")),
            Some(request) if *request > bound => Some(format!("{head}, but request is {request}")),
            Some(_) => None,
        }
    }

    // k8s: plugin/pkg/admission/limitranger/admission.go maxConstraint
    fn above(&self, name: &str, bound: Quantity) -> Option<String> {
        let head = format!("maximum {name} usage per {} is {bound}", self.what);
        match (self.limits.get(name), self.requests.get(name)) {
            (None, _) => Some(format!("{head}.  No limit is specified")),
            (Some(limit), _) if *limit > bound => Some(format!("{head}, but limit is {limit}")),
            (_, Some(request)) if *request > bound => Some(format!("{head}, but request is {request}")),
            _ => None,
        }
    }

    // k8s: plugin/pkg/admission/limitranger/admission.go limitRequestRatioConstraint
    fn apart(&self, name: &str, bound: Quantity) -> Option<String> {
        let head = format!("{name} max limit to request ratio per {} is {bound}", self.what);
        let set = |amounts: &Amounts| amounts.get(name).copied().filter(|q| !q.is_zero());
        let Some(request) = set(self.requests) else {
            return Some(format!("{head}, but no request is specified or request is 0"));
        };
        let Some(limit) = set(self.limits) else {
            return Some(format!("{head}, but no limit is specified or limit is 0"));
        };
        let allowed = i128::from(request.milli_value()) * i128::from(bound.milli_value());
        (i128::from(limit.milli_value()) * 1000 > allowed).then(|| {
            let ratio = limit.as_f64() / request.as_f64();
            format!("{head}, but provided ratio is {ratio:.6}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(json: &str) -> Value {
        schema::decode_plain(json.as_bytes()).unwrap()
    }

    fn limits(json: &str) -> Vec<Limit> {
        serde_json::from_str(json).unwrap()
    }

    fn pod(resources: &str) -> Value {
        value(&format!(
            r#"{{"metadata":{{}},"spec":{{"containers":[{{"name":"c","resources":{resources}}}]}}}}"#
        ))
    }

    #[test]
    fn defaults_are_put_in_and_told() {
        let limits = limits(
            r#"[{"type":"Container","default":{"cpu":"1","memory":"1Gi"},"defaultRequest":{"cpu":"100m"}}]"#,
        );
        let mut pod = pod(r#"{"limits":{"cpu":"2"}}"#);
        complete(&mut pod, &limits);
        let c = &pod.list_at(&["spec", "containers"])[0];
        let at = |field: &str, name: &str| c.str_at(&["resources", field, name]);
        assert_eq!(
            [at("limits", "cpu"), at("limits", "memory"), at("requests", "cpu")],
            ["2", "1Gi", "100m"]
        );
        assert_eq!(
            pod.str_at(&["metadata", "annotations", TOLD]),
            "LimitRanger plugin set: cpu request for container c; memory limit for container c"
        );
        let before = pod.clone();
        complete(&mut pod, &limits);
        assert_eq!(pod, before);
    }

    #[test]
    fn bounds_of_pods() {
        let cases = [
            (r#""min":{"cpu":"1"}"#, "{}", "minimum cpu usage per Container is 1.  No request is specified"),
            (
                r#""min":{"cpu":"1"}"#,
                r#"{"requests":{"cpu":"500m"}}"#,
                "minimum cpu usage per Container is 1, but request is 500m",
            ),
            (
                r#""min":{"cpu":"1"}"#,
                r#"{"requests":{"cpu":"1"},"limits":{"cpu":"10m"}}"#,
                "minimum cpu usage per Container is 1, but limit is 10m",
            ),
            (
                r#""max":{"memory":"1Gi"}"#,
                "{}",
                "maximum memory usage per Container is 1Gi.  No limit is specified",
            ),
            (
                r#""max":{"memory":"1Gi"}"#,
                r#"{"limits":{"memory":"2Gi"}}"#,
                "maximum memory usage per Container is 1Gi, but limit is 2Gi",
            ),
            (
                r#""max":{"memory":"1Gi"}"#,
                r#"{"requests":{"memory":"2Gi"},"limits":{"memory":"1Gi"}}"#,
                "maximum memory usage per Container is 1Gi, but request is 2Gi",
            ),
            (
                r#""maxLimitRequestRatio":{"cpu":"2"}"#,
                r#"{"limits":{"cpu":"1"}}"#,
                "cpu max limit to request ratio per Container is 2, but no request is specified or request is 0",
            ),
            (
                r#""maxLimitRequestRatio":{"cpu":"2"}"#,
                r#"{"requests":{"cpu":"1"}}"#,
                "cpu max limit to request ratio per Container is 2, but no limit is specified or limit is 0",
            ),
            (
                r#""maxLimitRequestRatio":{"cpu":"2"}"#,
                r#"{"requests":{"cpu":"400m"},"limits":{"cpu":"1"}}"#,
                "cpu max limit to request ratio per Container is 2, but provided ratio is 2.500000",
            ),
            (r#""maxLimitRequestRatio":{"cpu":"2"}"#, r#"{"requests":{"cpu":"1"},"limits":{"cpu":"2"}}"#, ""),
        ];
        for (bounds, resources, want) in cases {
            for kind in ["Container", "Pod"] {
                let limits = limits(&format!(r#"[{{"type":"{kind}",{bounds}}}]"#));
                let pod = pod(resources);
                let want = want.replace("Container", kind);
                assert_eq!(whole_pod(&limits, &pod, None).join("; "), want, "{bounds} {resources}");
                // What was so before may stay so.
                assert!(whole_pod(&limits, &pod, Some(&pod)).is_empty(), "{bounds} {resources}");
            }
        }
    }

    #[test]
    fn bounds_of_claims() {
        let limits =
            limits(r#"[{"type":"PersistentVolumeClaim","min":{"storage":"1Gi"},"max":{"storage":"2Gi"}}]"#);
        let of = |size: &str| {
            value(&format!(r#"{{"spec":{{"resources":{{"requests":{{"storage":"{size}"}}}}}}}}"#))
        };
        for (size, want) in [
            ("1Gi", ""),
            ("2Gi", ""),
            ("1Mi", "minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1Mi"),
            ("3Gi", "maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi"),
        ] {
            assert_eq!(claim(&limits, &of(size), None).join("; "), want, "{size}");
            assert!(claim(&limits, &of(size), Some(&of(size))).is_empty(), "{size}");
        }
    }
}
