//! Plain discovery: APIVersions, APIGroupList, APIGroup, APIResourceList.

use base64::Engine;
use kinds::Kind;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use crate::registry::{Group, Version};

/// `/api`.
pub(crate) fn versions(address: &str) -> Json {
    json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    })
}

/// `/apis`.
pub(crate) fn groups(groups: &[Group]) -> Json {
    let groups: Vec<Json> = groups.iter().filter(|g| !g.name.is_empty()).map(group_body).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/<group>`.
pub(crate) fn group_object(group: &Group) -> Json {
    let mut body = group_body(group);
    body["kind"] = "APIGroup".into();
    body["apiVersion"] = "v1".into();
    body
}

fn group_body(group: &Group) -> Json {
    let one = |v: &Version| json!({"groupVersion": meta::gvr::api_version(&group.name, &v.name), "version": v.name});
    json!({
        "name": group.name,
        "versions": group.versions.iter().map(one).collect::<Vec<_>>(),
        "preferredVersion": group.versions.first().map(one),
    })
}

/// `/apis/<group>/<version>`.
pub(crate) fn resources(group: &str, version: &Version) -> Json {
    let mut list: Vec<Json> = version.kinds.iter().flat_map(|kind| of_kind(kind)).collect();
    list.sort_by(|a, b| a["name"].as_str().cmp(&b["name"].as_str()));
    json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": meta::gvr::api_version(group, &version.name),
        "resources": list,
    })
}

fn of_kind(kind: &Kind) -> Vec<Json> {
    let mut own = json!({
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced(),
        "kind": kind.kind,
        "verbs": sorted(kind.verbs),
    });
    if !kind.short_names().is_empty() {
        own["shortNames"] = json!(kind.short_names());
    }
    if !kind.categories().is_empty() {
        own["categories"] = json!(kind.categories());
    }
    if kind.is_stored() {
        own["storageVersionHash"] = storage_version_hash(kind.storage_kind()).into();
    }
    let mut out = vec![own];
    for sub in kind.subresources {
        let mut r = json!({
            "name": format!("{}/{}", kind.plural, sub.name),
            "singularName": "",
            "namespaced": kind.namespaced(),
            "kind": sub.kind.as_ref().map_or(&*kind.kind, |k| &*k.kind),
            "verbs": sorted(sub.verbs),
        });
        if let Some(k) = &sub.kind {
            r["group"] = json!(k.group);
            r["version"] = json!(k.version);
        }
        out.push(r);
    }
    out
}

/// Changes when objects are stored in another form.
// k8s: staging/src/k8s.io/apiserver/pkg/endpoints/discovery/storageversionhash.go StorageVersionHash
fn storage_version_hash(stored: &Kind) -> String {
    let text = format!("{}/{}/{}", stored.group, stored.version, stored.kind);
    let digest = Sha256::digest(text);
    base64::engine::general_purpose::STANDARD.encode(&digest[..8])
}

fn sorted(verbs: &[&'static str]) -> Vec<&'static str> {
    let mut verbs = verbs.to_vec();
    verbs.sort_unstable();
    verbs
}
