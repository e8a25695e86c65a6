//! Aggregated discovery: all groups, versions and resources in one document.

use kinds::Kind;
use serde_json::{Value as Json, json};

use crate::registry::Group;

/// The list for `/api` (`core`) or `/apis`.
pub(crate) fn list(groups: &[Group], version: &str, core: bool) -> Json {
    let items: Vec<Json> = groups.iter().filter(|g| g.name.is_empty() == core).map(group).collect();
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": format!("apidiscovery.k8s.io/{version}"),
        "metadata": {},
        "items": items,
    })
}

fn group(group: &Group) -> Json {
    let versions: Vec<Json> = group
        .versions
        .iter()
        .map(|version| {
            let mut resources: Vec<Json> = version.kinds.iter().map(|kind| resource(kind)).collect();
            resources.sort_by(|a, b| a["resource"].as_str().cmp(&b["resource"].as_str()));
            json!({"version": version.name, "freshness": "Current", "resources": resources})
        })
        .collect();
    let metadata = if group.name.is_empty() { json!({}) } else { json!({"name": group.name}) };
    json!({"metadata": metadata, "versions": versions})
}

fn resource(kind: &Kind) -> Json {
    let own = json!({"group": kind.group, "version": kind.version, "kind": kind.kind});
    let mut out = json!({
        "resource": kind.plural,
        "responseKind": own,
        "scope": if kind.namespaced() { "Namespaced" } else { "Cluster" },
        "singularResource": kind.singular,
        "verbs": kind.verbs,
    });
    if !kind.short_names().is_empty() {
        out["shortNames"] = json!(kind.short_names());
    }
    if !kind.categories().is_empty() {
        out["categories"] = json!(kind.categories());
    }
    let subs: Vec<Json> = kind
        .subresources
        .iter()
        .map(|sub| {
            let response = sub.kind.as_ref().map_or_else(
                || json!({"group": kind.group, "version": kind.version, "kind": kind.kind}),
                |k| json!({"group": k.group, "version": k.version, "kind": k.kind}),
            );
            json!({"subresource": sub.name, "responseKind": response, "verbs": sub.verbs})
        })
        .collect();
    if !subs.is_empty() {
        out["subresources"] = json!(subs);
    }
    out
}
