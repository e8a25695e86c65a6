//! The declared kinds against the list of what an upstream server serves without being asked for more.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;

use serde_json::{Value, json};

/// Verbs and kind of a subresource, as discovery tells them.
fn subresources(kind: &kinds::Kind) -> Value {
    let all = kind.subresources.iter().map(|s| {
        let object = s.kind.as_ref().map_or(&*kind.kind, |k| &*k.kind);
        (s.name.to_owned(), json!({"kind": object, "verbs": sorted(s.verbs)}))
    });
    Value::Object(all.collect())
}

fn sorted(words: &[&str]) -> Vec<String> {
    words.iter().map(|w| (*w).to_owned()).collect::<BTreeSet<_>>().into_iter().collect()
}

fn ours(kind: &kinds::Kind) -> Value {
    json!({
        "kind": kind.kind, "singular": kind.singular, "namespaced": kind.namespaced(),
        "shortNames": sorted(&kind.short_names()), "categories": sorted(&kind.categories()), "verbs": sorted(kind.verbs),
        "subresources": subresources(kind),
    })
}

fn theirs(r: &Value) -> Value {
    let words = |v: &Value| {
        let all: BTreeSet<String> = v.as_array().into_iter().flatten().map(text).collect();
        all.into_iter().collect::<Vec<_>>()
    };
    let subresources = r["subresources"].as_object().into_iter().flatten();
    let subresources = subresources
        .map(|(name, s)| {
            let kind = if s["kind"].is_null() { &r["kind"] } else { &s["kind"] };
            (name.clone(), json!({"kind": kind, "verbs": words(&s["verbs"])}))
        })
        .collect();
    json!({
        "kind": r["kind"], "singular": r["singular"], "namespaced": r["namespaced"],
        "shortNames": words(&r["shortNames"]), "categories": words(&r["categories"]), "verbs": words(&r["verbs"]),
        "subresources": Value::Object(subresources),
    })
}

fn text(v: &Value) -> String {
    v.as_str().expect("names are text").to_owned()
}

#[test]
fn every_resource_of_upstreams_defaults_is_declared_as_there() {
    let Some(bytes) = reference::read("k8s-api/v1.37/resources.json") else { return };
    let listed: BTreeMap<String, BTreeMap<String, Value>> = serde_json::from_slice(&bytes).expect("JSON");
    let mut wanted = BTreeMap::new();
    for (group_version, resources) in &listed {
        for (plural, r) in resources.iter().filter(|(_, r)| r["default"] == true) {
            wanted.insert(format!("{group_version}/{plural}"), theirs(r));
        }
    }
    let declared: BTreeMap<String, Value> =
        kinds::all().iter().map(|k| (format!("{}/{}", k.gvr().api_version(), k.plural), ours(k))).collect();
    let mut differences = Vec::new();
    for name in wanted.keys().chain(declared.keys()).collect::<BTreeSet<_>>() {
        let (want, have) = (wanted.get(name), declared.get(name));
        if want != have {
            differences.push(format!("{name}\n  upstream {want:?}\n  ours     {have:?}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(wanted.len() > 60, "only {} resources are listed", wanted.len());
}

/// A DELETE is answered with the object where upstream's document says so, and with a Status elsewhere.
#[test]
fn deletions_are_answered_as_upstream_publishes() {
    let Some(gz) = reference::read("k8s-api/openapi-v2-v1.37.json.gz") else { return };
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(gz.as_slice()).read_to_end(&mut text).expect("gzip");
    let document: Value = serde_json::from_slice(&text).expect("JSON");
    let mut checked = 0;
    for kind in kinds::all().iter().filter(|k| k.verbs.contains(&"delete")) {
        let root = if kind.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", kind.group) };
        let scope = if kind.namespaced() { "/namespaces/{namespace}" } else { "" };
        let path = format!("{root}/{}{scope}/{}/{{name}}", kind.version, kind.plural);
        let answer = &document["paths"][&path]["delete"]["responses"]["200"]["schema"]["$ref"];
        let name = answer.as_str().unwrap_or_else(|| panic!("{path}"));
        assert_eq!(kind.returns_deleted, !name.ends_with(".Status"), "{path}: {name}");
        checked += 1;
    }
    assert!(checked > 60, "{checked}");
}
