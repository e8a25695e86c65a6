//! Reads what the server serves.

use client::Client;
use meta::{Gvr, Request, Status, Target, Verb};
use reconcile::{Discovery, ResourceInfo};
use serde::Deserialize;
use serde::de::DeserializeOwned;

#[derive(Deserialize)]
struct Resources {
    #[serde(default)]
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
struct Resource {
    name: String,
    #[serde(default)]
    namespaced: bool,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    verbs: Vec<String>,
}

#[derive(Deserialize)]
struct Groups {
    #[serde(default)]
    groups: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    name: String,
    #[serde(default)]
    versions: Vec<Version>,
    #[serde(default)]
    preferred_version: Option<Version>,
}

#[derive(Deserialize)]
struct Version {
    version: String,
}

async fn fetch<T: DeserializeOwned>(client: &dyn Client, path: String) -> Result<T, Status> {
    let mut r = Request::new(Verb::Get, Target::Path(path.clone()));
    r.accept = "application/json".to_owned();
    let body = client::api::read_body(client.send(r).await?).await?;
    meta::json::read(&body).map_err(|e| Status::internal(format!("discovery of {path}: {e}")))
}

/// What a group and version serves.
struct Served {
    resources: Vec<ResourceInfo>,
    /// Group and name of the resources with a `scale` subresource.
    scaled: Vec<(String, String)>,
}

async fn version(client: &dyn Client, group: &str, version: &str) -> Result<Served, Status> {
    let root = if group.is_empty() { "/api".to_owned() } else { format!("/apis/{group}") };
    let list: Resources = fetch(client, format!("{root}/{version}")).await?;
    // Names with a slash are subresources.
    let (parts, whole): (Vec<_>, Vec<_>) = list.resources.into_iter().partition(|r| r.name.contains('/'));
    // k8s: pkg/controller/disruption/disruption.go implementsScale
    let scales = parts.iter().filter(|r| r.kind == "Scale").filter_map(|r| r.name.strip_suffix("/scale"));
    let scaled = scales.map(|name| (group.to_owned(), name.to_owned())).collect();
    let resources = whole
        .into_iter()
        .map(|r| ResourceInfo {
            gvr: Gvr {
                group: group.to_owned().into(),
                version: version.to_owned().into(),
                resource: r.name.into(),
            },
            kind: r.kind.as_str().into(),
            namespaced: r.namespaced,
            verbs: r.verbs,
        })
        .collect();
    Ok(Served { resources, scaled })
}

/// Reads discovery. Groups that cannot be read are named in the result.
///
/// # Errors
/// When the core group or the list of groups cannot be read.
pub async fn discover(client: &dyn Client) -> Result<Discovery, Status> {
    let Served { resources: mut preferred, mut scaled } = version(client, "", "v1").await?;
    let mut others: Vec<ResourceInfo> = Vec::new();
    let mut failed = Vec::new();
    let groups: Groups = fetch(client, "/apis".to_owned()).await?;
    for group in groups.groups {
        let first = group.preferred_version.map(|v| v.version);
        let mut versions: Vec<String> = group.versions.into_iter().map(|v| v.version).collect();
        versions.sort_by_key(|v| Some(v) != first.as_ref());
        for v in versions {
            match version(client, &group.name, &v).await {
                Ok(found) => {
                    scaled.extend(found.scaled);
                    for r in found.resources {
                        let known =
                            |x: &ResourceInfo| x.gvr.group == r.gvr.group && x.gvr.resource == r.gvr.resource;
                        if preferred.iter().any(known) {
                            others.push(r);
                        } else {
                            preferred.push(r);
                        }
                    }
                }
                Err(e) => {
                    tracing::warn!("discovery of {}/{v}: {e}", group.name);
                    failed.push(format!("{}/{v}", group.name));
                }
            }
        }
    }
    Ok(Discovery::new(preferred, others, failed).with_scales(scaled))
}
