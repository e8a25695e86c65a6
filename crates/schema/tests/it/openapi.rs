//! The published documents, against what upstream's server publishes.

use std::collections::BTreeMap;
use std::io::Read as _;

use schema::openapi::{self, Route};
use serde_json::Value;

use crate::fixtures::shared;

/// Routes of every resource that the reference data lists as served by default.
fn routes() -> Option<Vec<Route>> {
    let text = std::fs::read(shared()?.join("v1.37/resources.json")).expect("the list of resources");
    let all: BTreeMap<String, BTreeMap<String, Value>> = serde_json::from_slice(&text).expect("JSON");
    let words = |v: &Value| -> Vec<String> {
        v.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
    };
    let mut routes = Vec::new();
    for (gv, resources) in &all {
        let (group, version) = gv.split_once('/').unwrap_or(("", gv));
        for (plural, r) in resources {
            let kind = r["kind"].as_str().expect("a kind").to_owned();
            let route = |subresource: &str, object: meta::Gvk, verbs: &Value| Route {
                group: group.to_owned(),
                version: version.to_owned(),
                plural: plural.clone(),
                kind: kind.clone(),
                subresource: subresource.to_owned(),
                namespaced: r["namespaced"] == true,
                object,
                verbs: words(verbs),
            };
            routes.push(route("", meta::Gvk::from_api_version(gv, &kind), &r["verbs"]));
            for (name, sub) in r["subresources"].as_object().into_iter().flatten() {
                let kind = sub["kind"].as_str().unwrap_or(&kind);
                let gv = match kind {
                    "Scale" => "autoscaling/v1",
                    "Eviction" => "policy/v1",
                    "TokenRequest" => "authentication.k8s.io/v1",
                    _ => gv,
                };
                routes.push(route(name, meta::Gvk::from_api_version(gv, kind), &sub["verbs"]));
            }
        }
    }
    Some(routes)
}

fn upstream() -> Option<Value> {
    let gz = std::fs::read(shared()?.join("openapi-v2-v1.36.json.gz")).expect("upstream's document");
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(gz.as_slice()).read_to_end(&mut text).expect("gzip");
    Some(serde_json::from_slice(&text).expect("JSON"))
}

/// Differences of two schemas, descriptions aside.
fn differences(path: &str, ours: &Value, theirs: &Value, out: &mut Vec<String>) {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            for (k, v) in b {
                match a.get(k) {
                    Some(o) => differences(&format!("{path}/{k}"), o, v, out),
                    None if k == "description" && v.is_string() => {}
                    None => out.push(format!("{path}/{k}: missing {v}")),
                }
            }
            for (k, v) in a {
                if !b.contains_key(k) {
                    out.push(format!("{path}/{k}: extra {v}"));
                }
            }
        }
        (a, b) if a != b => out.push(format!("{path}: {a} is {b} upstream")),
        _ => {}
    }
}

#[test]
fn definitions_as_upstream() {
    let (Some(routes), Some(upstream)) = (routes(), upstream()) else { return };
    let ours: Value = serde_json::from_slice(&openapi::v2(&routes)).expect("own JSON is JSON");
    let theirs = upstream["definitions"].as_object().expect("definitions");
    let ours = ours["definitions"].as_object().expect("definitions");
    let mut out = Vec::new();
    let mut shared = 0;
    for (name, schema) in theirs {
        if let Some(own) = ours.get(name) {
            shared += 1;
            differences(name, own, schema, &mut out);
        }
    }
    let missing: Vec<_> = theirs.keys().filter(|k| !ours.contains_key(*k)).collect();
    // Between v1.36 and v1.37 fields were added and enabled; what v1.36 has must be there.
    out.retain(|d| !d.contains(": extra"));
    eprintln!("{shared} definitions compared, {} differ, {} missing: {missing:?}", out.len(), missing.len());
    for d in &out {
        eprintln!("{d}");
    }
    assert!(shared > 500, "only {shared} definitions in common");
    assert!(out.len() < 60, "{} differences", out.len());
}

#[test]
fn references_resolve() {
    let Some(routes) = routes() else { return };
    for (group, version) in [("", "v1"), ("apps", "v1"), ("apiextensions.k8s.io", "v1")] {
        let doc = openapi::v3(group, version, &routes);
        let doc: Value = serde_json::from_slice(&doc).expect("own JSON is JSON");
        let schemas = doc["components"]["schemas"].as_object().expect("schemas");
        let mut todo = vec![&doc];
        while let Some(v) = todo.pop() {
            match v {
                Value::Object(m) => {
                    if let Some(Value::String(r)) = m.get("$ref") {
                        let name =
                            r.strip_prefix("#/components/schemas/").expect("a reference into the schemas");
                        assert!(schemas.contains_key(name), "{name}");
                    }
                    todo.extend(m.values());
                }
                Value::Array(l) => todo.extend(l),
                _ => {}
            }
        }
        assert!(!doc["paths"].as_object().expect("paths").is_empty());
    }
}

#[test]
fn patch_has_field_validation() {
    let Some(routes) = routes() else { return };
    let doc: Value = serde_json::from_slice(&openapi::v3("apps", "v1", &routes)).expect("own JSON is JSON");
    let patch = &doc["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
    assert_eq!(patch["operationId"], "patchAppsV1NamespacedDeployment");
    assert_eq!(patch["x-kubernetes-group-version-kind"]["kind"], "Deployment");
    let parameters = patch["parameters"].as_array().expect("parameters");
    assert!(parameters.iter().any(|p| p["name"] == "fieldValidation"));
}
