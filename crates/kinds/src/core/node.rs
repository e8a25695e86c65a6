//! Node: a machine that runs pods.
// k8s: pkg/registry/core/node/strategy.go, pkg/apis/core/validation/validation.go ValidateNode

use meta::field::quoted;
use meta::{FieldError, Gvk, Path, name};
use schema::Value;

use super::pod_spec;
use crate::columns::{AGE, NAME, text, text_at, text_or, wide};
use crate::kind::{Cell, Column, Context, Kind, Operation, STATUS, Strategy, Subresource, keep_other_half};
use crate::rules::{Errors, each, printed, required};
use crate::selectable::{Selectable, field};
use crate::warnings::{self, Write};

const SUBRESOURCES: &[Subresource] = &[
    Subresource {
        name: "proxy",
        kind: Some(Gvk::new("", "v1", "NodeProxyOptions")),
        verbs: &["create", "delete", "get", "patch", "update"],
    },
    STATUS,
];

/// `v1` Node.
pub static KIND: Kind = Kind::cluster_kind("", "v1", "Node", "nodes", "node")
    .with_short_names(&["no"])
    .with_subresources(SUBRESOURCES)
    .with_columns(COLUMNS)
    .with_selectable_fields(FIELDS)
    .with_warnings(told)
    .with_strategy(&NodeStrategy);

const FIELDS: &[Selectable] = &[field("spec.unschedulable").or("false")];

const ROLE_PREFIX: &str = "node-role.kubernetes.io/";

// k8s: pkg/printers/internalversion/printers.go printNode
const COLUMNS: &[Column] = &[
    NAME,
    text("Status", "Whether the node is ready and takes pods.", |o, _| Cell::Text(status(o))),
    text("Roles", "Roles, from labels.", |o, _| Cell::Text(roles(o))),
    AGE,
    text("Version", "Version of the kubelet.", |o, _| text_at(o, &["status", "nodeInfo", "kubeletVersion"])),
    wide("Internal-IP", "Address inside the cluster.", |o, _| Cell::Text(address(o, "InternalIP"))),
    wide("External-IP", "Address from outside.", |o, _| Cell::Text(address(o, "ExternalIP"))),
    wide("OS-Image", "Operating system.", |o, _| text_or(o, &["status", "nodeInfo", "osImage"], "<unknown>")),
    wide("Kernel-Version", "Kernel.", |o, _| {
        text_or(o, &["status", "nodeInfo", "kernelVersion"], "<unknown>")
    }),
    wide("Container-Runtime", "Runtime and its version.", |o, _| {
        text_or(o, &["status", "nodeInfo", "containerRuntimeVersion"], "<unknown>")
    }),
];

fn status(o: &Value) -> String {
    let conditions = o.list_at(&["status", "conditions"]);
    let mut words = match conditions.iter().find(|c| c.str_at(&["type"]) == "Ready") {
        Some(c) if c.str_at(&["status"]) == "True" => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if o.bool_at(&["spec", "unschedulable"]) == Some(true) {
        words.push_str(",SchedulingDisabled");
    }
    words
}

fn roles(o: &Value) -> String {
    let labels = o.at(&["metadata", "labels"]).and_then(Value::as_map);
    let role = |(k, v): (&str, &Value)| match k.strip_prefix(ROLE_PREFIX) {
        Some(role) if !role.is_empty() => Some(role.to_owned()),
        None if k == "kubernetes.io/role" => v.as_str().filter(|s| !s.is_empty()).map(str::to_owned),
        _ => None,
    };
    let mut roles: Vec<String> = labels.into_iter().flat_map(|m| m.iter()).filter_map(role).collect();
    roles.sort();
    roles.dedup();
    if roles.is_empty() { "<none>".to_owned() } else { roles.join(",") }
}

fn address(o: &Value, kind: &str) -> String {
    let addresses = o.list_at(&["status", "addresses"]);
    let found = addresses.iter().find(|a| a.str_at(&["type"]) == kind);
    found.map_or("<none>", |a| a.str_at(&["address"])).to_owned()
}

struct NodeStrategy;

impl Strategy for NodeStrategy {
    fn default_fields(&self, o: &mut Value) {
        if o.at(&["status", "allocatable"]).is_none()
            && let Some(capacity) = o.at(&["status", "capacity"]).cloned()
        {
            o.set_at(&["status", "allocatable"], capacity);
        }
        // k8s: pkg/apis/core/v1/conversion.go Convert_v1_NodeSpec_To_core_NodeSpec
        let first = o.list_at(&["spec", "podCIDRs"]).first().cloned();
        let single = o.str_at(&["spec", "podCIDR"]).to_owned();
        match first {
            Some(_) if !single.is_empty() && first.as_ref().and_then(Value::as_str) != Some(&single) => {
                o.set_at(&["spec", "podCIDRs"], vec![Value::from(single)]);
            }
            Some(first) => o.set_at(&["spec", "podCIDR"], first),
            None if !single.is_empty() => o.set_at(&["spec", "podCIDRs"], vec![Value::from(single)]),
            None => {}
        }
    }

    /// A node brings its status with it.
    fn prepare_for_create(&self, object: &mut Value, cx: &Context) {
        date_taints(object, &Value::default(), &cx.now);
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value, op: Operation, cx: &Context) {
        keep_other_half(new, old, op);
        date_taints(new, old, &cx.now);
    }

    // k8s: pkg/apis/core/validation/validation.go ValidateNode
    fn validate(&self, o: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        taints(&mut errors, o.list_at(&["spec", "taints"]));
        resources(&mut errors, o);
        let cidrs = o.list_at(&["spec", "podCIDRs"]);
        let path = Path::new("spec").child("podCIDRs");
        for (i, c) in cidrs.iter().enumerate() {
            let c = c.as_str().unwrap_or("");
            each(&mut errors, &path.index(i), c, name::cidr(c));
        }
        if cidrs.len() > 1 {
            let is_v4 = |c: &Value| name::parse_cidr(c.as_str().unwrap_or("")).map(|(ip, _)| ip.is_ipv4());
            let families: Vec<bool> = cidrs.iter().filter_map(is_v4).collect();
            if cidrs.len() > 2 || !(families.contains(&true) && families.contains(&false)) {
                let why = "may specify no more than one CIDR for each IP family";
                errors.push(FieldError::invalid(&path, printed(o.at(&["spec", "podCIDRs"])), why));
            }
            for (i, c) in cidrs.iter().enumerate().filter(|(i, c)| cidrs[..*i].contains(c)) {
                errors.push(FieldError::duplicate(&path.index(i), printed(Some(c))));
            }
        }
        errors
    }

    // k8s: pkg/apis/core/validation/validation.go ValidateNodeUpdate
    fn validate_update(&self, new: &Value, old: &Value, _op: Operation) -> Vec<FieldError> {
        let mut errors = Errors::new();
        resources(&mut errors, new);
        let addresses = new.list_at(&["status", "addresses"]);
        for (i, a) in addresses.iter().enumerate().filter(|(i, a)| addresses[..*i].contains(a)) {
            let at = Path::new("status").child("addresses").index(i);
            // Upstream prints its internal type.
            let shown = format!(
                "{{\"Type\":{},\"Address\":{}}}",
                quoted(a.str_at(&["type"])),
                quoted(a.str_at(&["address"]))
            );
            errors.push(FieldError::duplicate(&at, shown));
        }
        let path = Path::new("spec");
        for (field, shown) in [("podCIDRs", "podCIDR"), ("providerID", "providerID")] {
            let (after, before) = (new.at(&["spec", field]), old.at(&["spec", field]));
            let was_set = before.is_some_and(|v| {
                v.as_str().is_some_and(|s| !s.is_empty()) || v.as_list().is_some_and(|l| !l.is_empty())
            });
            if was_set && !crate::rules::same(after, before) {
                let why = format!("node updates may not change {shown} except from \"\" to valid");
                errors.push(FieldError::forbidden(&path.child(field), why));
            }
        }
        taints(&mut errors, new.list_at(&["spec", "taints"]));
        errors
    }
}

/// Amounts of resources are not negative, and whole where they count things.
fn resources(errors: &mut Errors, o: &Value) {
    for list in ["capacity", "allocatable"] {
        for (k, v) in o.at(&["status", list]).and_then(Value::as_map).into_iter().flat_map(|m| m.iter()) {
            let at = Path::new("status").child(list).child(k);
            pod_spec::check_quantity(errors, k, v, &at);
        }
    }
}

// k8s: pkg/apis/core/validation/validation.go validateNodeTaints
/// Says of every `NoExecute` taint since when it is there, where the client does not: pods are evicted so many seconds
/// after that. Upstream's controller keeps that time in its memory instead, and starts anew with every restart.
fn date_taints(new: &mut Value, old: &Value, now: &str) {
    let same =
        |a: &Value, b: &Value| ["key", "value", "effect"].iter().all(|f| a.str_at(&[f]) == b.str_at(&[f]));
    let mut taints = new.list_at(&["spec", "taints"]).to_vec();
    let undated = |t: &Value| t.str_at(&["effect"]) == "NoExecute" && t.str_at(&["timeAdded"]).is_empty();
    if !taints.iter().any(undated) {
        return;
    }
    for taint in taints.iter_mut().filter(|t| undated(t)) {
        let before = old.list_at(&["spec", "taints"]).iter().find(|t| same(t, taint));
        let since = before.map(|t| t.str_at(&["timeAdded"])).filter(|t| !t.is_empty()).unwrap_or(now);
        taint.set_at(&["timeAdded"], since);
    }
    new.set_at(&["spec", "taints"], taints);
}

fn taints(errors: &mut Errors, taints: &[Value]) {
    // The path is upstream's.
    let path = Path::new("metadata").child("taints");
    let mut seen = Vec::new();
    for (i, t) in taints.iter().enumerate() {
        let at = path.index(i);
        let key = t.str_at(&["key"]);
        each(errors, &at.child("key"), key, name::qualified_name(key));
        let value = t.str_at(&["value"]);
        let complaints = name::label_value(value);
        if !complaints.is_empty() {
            errors.push(FieldError::invalid(&at.child("value"), quoted(value), complaints.join(";")));
        }
        if let Some(effect) = required(errors, t, "effect", &at) {
            let supported = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
            if !supported.contains(&effect) {
                errors.push(FieldError::not_supported(&at.child("effect"), effect, &supported));
            }
        }
        let pair = (t.str_at(&["key"]), t.str_at(&["effect"]));
        if seen.contains(&pair) {
            // Upstream prints its internal type.
            let shown = format!(
                "{{\"Key\":{},\"Value\":{},\"Effect\":{},\"TimeAdded\":{}}}",
                quoted(key),
                quoted(value),
                quoted(t.str_at(&["effect"])),
                printed(t.get("timeAdded"))
            );
            errors.push(FieldError {
                detail: "taints must be unique by key and effect pair".to_owned(),
                ..FieldError::duplicate(&at, shown)
            });
        }
        seen.push(pair);
    }
}

// k8s: pkg/registry/core/node/strategy.go nodeWarnings
fn told(w: &Write<'_>) -> Vec<String> {
    let mut out = Vec::new();
    if !w.is_whole() {
        return out;
    }
    if w.new.at(&["spec", "configSource"]).is_some() {
        out.push("spec.configSource: the feature is removed".to_owned());
    }
    if !w.new.str_at(&["spec", "externalID"]).is_empty() {
        out.push("spec.externalID: this field is deprecated, and is unused by Kubernetes".to_owned());
    }
    let path = Path::new("spec").child("podCIDRs");
    for (i, value) in warnings::texts(w.new, &["spec", "podCIDRs"]) {
        warnings::cidr(&mut out, &path.index(i), value);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{row, texts, yaml};

    #[test]
    fn taints_that_evict_have_a_time() {
        let cx = Context { now: "2026-01-01T00:00:09Z".into(), ..Context::default() };
        let times = |o: &Value| -> Vec<String> {
            o.list_at(&["spec", "taints"]).iter().map(|t| t.str_at(&["timeAdded"]).to_owned()).collect()
        };
        let mut new = yaml("spec: {taints: [{key: a, effect: NoExecute}, {key: b, effect: NoSchedule}]}");
        NodeStrategy.prepare_for_create(&mut new, &cx);
        assert_eq!(times(&new), ["2026-01-01T00:00:09Z", ""]);
        let old = yaml("spec: {taints: [{key: a, effect: NoExecute, timeAdded: '2026-01-01T00:00:01Z'}]}");
        for (taint, want) in [
            ("{key: a, effect: NoExecute}", "2026-01-01T00:00:01Z"),
            ("{key: a, value: v, effect: NoExecute}", "2026-01-01T00:00:09Z"),
            ("{key: a, effect: NoExecute, timeAdded: '2026-01-01T00:00:05Z'}", "2026-01-01T00:00:05Z"),
        ] {
            let mut new = yaml(&format!("spec: {{taints: [{taint}]}}"));
            NodeStrategy.prepare_for_update(&mut new, &old, Operation::Update, &cx);
            assert_eq!(times(&new), [want], "{taint}");
        }
    }

    #[test]
    fn rows_and_rules() {
        let o = yaml(
            "metadata: {name: m, labels: {node-role.kubernetes.io/control-plane: ''}}\nspec: {unschedulable: true}\nstatus: {conditions: [{type: Ready, status: 'True'}], addresses: [{type: InternalIP, address: 10.0.0.1}], nodeInfo: {kubeletVersion: v1.37.0}}",
        );
        let cells: Vec<String> = row(&KIND, &o, "2026-01-01T00:00:00Z").into_iter().map(|c| c.1).collect();
        let want = [
            "m",
            "Ready,SchedulingDisabled",
            "control-plane",
            "<unknown>",
            "v1.37.0",
            "10.0.0.1",
            "<none>",
            "<unknown>",
            "<unknown>",
            "<unknown>",
        ];
        assert_eq!(cells, want);
        let bad = yaml(
            "spec: {taints: [{key: a, effect: NoExecute}, {key: a, effect: NoExecute}, {key: b, effect: Go}]}",
        );
        assert_eq!(
            texts(&NodeStrategy.validate(&bad)),
            [
                "metadata.taints[1]: Duplicate value: {\"Key\":\"a\",\"Value\":\"\",\"Effect\":\"NoExecute\",\"TimeAdded\":null}: taints must be unique by key and effect pair",
                "metadata.taints[2].effect: Unsupported value: \"Go\": supported values: \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\"",
            ]
        );
    }
}
