//! The published documents, against what upstream's server publishes.

use std::collections::BTreeMap;
use std::io::Read as _;

use ::descriptions::Descriptions;
use schema::openapi::{self, Route};
use serde_json::Value;

/// Routes of every resource that the reference data lists as served by default.
pub(crate) fn routes() -> Option<Vec<Route>> {
    let text = reference::read("k8s-api/v1.37/resources.json")?;
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
                returns_deleted: plural == "pods",
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
    let gz = reference::read("k8s-api/openapi-v2-v1.37.json.gz")?;
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
    let ours: Value =
        serde_json::from_slice(&openapi::v2(&routes, &Descriptions::none())).expect("own JSON is JSON");
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
        let doc = openapi::v3(group, version, &routes, &Descriptions::none());
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
    let doc: Value = serde_json::from_slice(&openapi::v3("apps", "v1", &routes, &Descriptions::none()))
        .expect("own JSON is JSON");
    let patch = &doc["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
    assert_eq!(patch["operationId"], "patchAppsV1NamespacedDeployment");
    assert_eq!(patch["x-kubernetes-group-version-kind"]["kind"], "Deployment");
    let parameters = patch["parameters"].as_array().expect("parameters");
    assert!(parameters.iter().any(|p| p["name"] == "fieldValidation"));
}

#[test]
fn a_deletion_answers_with_a_status_or_the_object() {
    let Some(routes) = routes() else { return };
    let doc: Value =
        serde_json::from_slice(&openapi::v2(&routes, &Descriptions::none())).expect("own JSON is JSON");
    for (plural, want) in
        [("pods", "io.k8s.api.core.v1.Pod"), ("secrets", "io.k8s.apimachinery.pkg.apis.meta.v1.Status")]
    {
        let path = &doc["paths"][format!("/api/v1/namespaces/{{namespace}}/{plural}/{{name}}")];
        assert_eq!(path["delete"]["responses"]["200"]["schema"]["$ref"], format!("#/definitions/{want}"));
        let all = &doc["paths"][format!("/api/v1/namespaces/{{namespace}}/{plural}")]["delete"];
        let status = "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.Status";
        assert_eq!(all["responses"]["200"]["schema"]["$ref"], status);
    }
}

/// Length-delimited fields of a message.
fn fields(mut b: &[u8]) -> Vec<(u64, Vec<u8>)> {
    fn varint(b: &mut &[u8]) -> u64 {
        let mut n = 0;
        for shift in (0..).step_by(7) {
            let (first, rest) = b.split_first().expect("a varint");
            *b = rest;
            n |= u64::from(first & 0x7f) << shift;
            if first & 0x80 == 0 {
                break;
            }
        }
        n
    }
    let mut out = Vec::new();
    while !b.is_empty() {
        let tag = varint(&mut b);
        let n = varint(&mut b);
        if tag & 7 == 2 {
            let (head, rest) = b.split_at(usize::try_from(n).expect("a length"));
            out.push((tag >> 3, head.to_vec()));
            b = rest;
        } else {
            assert_eq!(tag & 7, 0, "a varint");
        }
    }
    out
}

#[test]
fn version_2_as_protobuf() {
    let Some(routes) = routes() else { return };
    let json = openapi::v2(&routes, &Descriptions::none());
    let doc: Value = serde_json::from_slice(&json).expect("own JSON is JSON");
    let document = fields(&openapi::v2_protobuf(&json).expect("own JSON is JSON"));
    let of = |m: &[(u64, Vec<u8>)], number: u64| -> Vec<Vec<u8>> {
        m.iter().filter(|(n, _)| *n == number).map(|(_, b)| b.clone()).collect()
    };
    assert_eq!(of(&document, 1), [b"2.0".to_vec()]);
    let paths = of(&fields(&of(&document, 8)[0]), 2);
    assert_eq!(paths.len(), doc["paths"].as_object().expect("paths").len());
    let definitions = of(&fields(&of(&document, 9)[0]), 1);
    assert_eq!(definitions.len(), doc["definitions"].as_object().expect("definitions").len());
    let named: Vec<_> = definitions.iter().map(|d| fields(d)).collect();
    let name = b"io.k8s.api.apps.v1.Deployment";
    let deployment = named.iter().find(|d| of(d, 1)[0] == name).expect("Deployment");
    let schema = fields(&of(deployment, 2)[0]);
    let extension = fields(&of(&schema, 31)[0]);
    assert_eq!(of(&extension, 1)[0], b"x-kubernetes-group-version-kind");
    assert_eq!(of(&fields(&of(&schema, 25)[0]), 1).len(), 5, "properties");
}
