//! The OpenAPI documents that the server publishes: version 3 per group version, and one version 2.
//! They follow from the field table and the routes. It must never describe what is not served.

mod definitions;
mod gnostic;
mod names;
mod paths;

use meta::Gvk;

use crate::json::encode_plain;
use crate::{Map, TypeRef, Value};

pub use gnostic::{V2_PROTOBUF, v2_protobuf};
pub use names::definition_name;

/// A resource or subresource that is served.
#[derive(Clone, Debug)]
pub struct Route {
    pub group: String,
    pub version: String,
    /// `deployments`.
    pub plural: String,
    /// Kind of the resource: `Deployment`.
    pub kind: String,
    /// `scale`; empty for the resource itself.
    pub subresource: String,
    pub namespaced: bool,
    /// What goes in and out: the kind itself, or that of the subresource (`autoscaling/v1 Scale`).
    pub object: Gvk,
    /// Whether a deletion answers with the object and not with a Status.
    pub returns_deleted: bool,
    /// As discovery lists them.
    pub verbs: Vec<String>,
}

/// Which version of OpenAPI is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    V2,
    V3,
}

impl Dialect {
    fn reference(self, name: &str) -> String {
        match self {
            Dialect::V2 => format!("#/definitions/{name}"),
            Dialect::V3 => format!("#/components/schemas/{name}"),
        }
    }
}

/// Entries to a map.
pub(crate) fn object<const N: usize>(entries: [(&'static str, Value); N]) -> Value {
    let mut map = Map::new();
    for (key, value) in entries {
        map.0.push((key.into(), value));
    }
    Value::Map(map)
}

pub(crate) fn strings<'a>(items: impl IntoIterator<Item = &'a str>) -> Value {
    Value::List(items.into_iter().map(Value::from).collect())
}

fn info() -> Value {
    object([("title", "Kubernetes".into()), ("version", "v1.37.0".into())])
}

/// The types that routes need besides those of the parameters.
fn types(routes: &[&Route]) -> Vec<TypeRef<'static>> {
    let mut out = Vec::new();
    let mut add = |ty: Option<TypeRef<'static>>| out.extend(ty);
    for name in ["Status", "DeleteOptions", "APIResourceList", "WatchEvent"] {
        add(crate::type_named("meta.k8s.io/v1", name));
    }
    for r in routes {
        add(crate::type_of(&r.object.group, &r.object.version, &r.object.kind));
        if r.subresource.is_empty() {
            add(crate::type_of(&r.group, &r.version, &format!("{}List", r.kind)));
        }
    }
    out
}

/// The version 3 document of a group version, as JSON. Routes of other group versions are left out.
#[must_use]
pub fn v3(group: &str, version: &str, routes: &[Route]) -> Vec<u8> {
    let own: Vec<&Route> = routes.iter().filter(|r| r.group == group && r.version == version).collect();
    let schemas = definitions::all(&types(&own), Dialect::V3, &[(group, version)]);
    let doc = object([
        ("openapi", "3.0.0".into()),
        ("info", info()),
        ("paths", paths::all(&own, Dialect::V3)),
        (
            "components",
            object([("schemas", schemas), ("securitySchemes", object([("BearerToken", bearer())]))]),
        ),
    ]);
    encode_plain(&doc)
}

/// The version 2 document of all routes, as JSON.
#[must_use]
pub fn v2(routes: &[Route]) -> Vec<u8> {
    let all: Vec<&Route> = routes.iter().collect();
    let mut versions: Vec<(&str, &str)> =
        routes.iter().map(|r| (r.group.as_str(), r.version.as_str())).collect();
    versions.sort_unstable();
    versions.dedup();
    let doc = object([
        ("swagger", "2.0".into()),
        ("info", info()),
        ("paths", paths::all(&all, Dialect::V2)),
        ("definitions", definitions::all(&types(&all), Dialect::V2, &versions)),
        ("securityDefinitions", object([("BearerToken", bearer())])),
        ("security", Value::List(vec![object([("BearerToken", Value::List(Vec::new()))])])),
    ]);
    encode_plain(&doc)
}

fn bearer() -> Value {
    object([
        ("description", "Bearer Token authentication".into()),
        ("type", "apiKey".into()),
        ("name", "authorization".into()),
        ("in", "header".into()),
    ])
}

/// The path below `/openapi/v3/` of a group version: `api/v1`, `apis/apps/v1`.
#[must_use]
pub fn v3_path(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

/// The index at `/openapi/v3`: paths ([`v3_path`]) with the hash ([`hash`]) of their documents.
#[must_use]
pub fn v3_index(documents: &[(String, String)]) -> Vec<u8> {
    let mut paths = Map::new();
    for (path, hash) in documents {
        let url = format!("/openapi/v3/{path}?hash={hash}");
        paths.set(path.clone(), object([("serverRelativeURL", url.into())]));
    }
    encode_plain(&object([("paths", Value::Map(paths))]))
}

/// A hash for index and ETag: it changes when the document does.
#[must_use]
pub fn hash(document: &[u8]) -> String {
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013B;
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    let fnv = document.iter().fold(BASIS, |h, b| (h ^ u128::from(*b)).wrapping_mul(PRIME));
    format!("{fnv:032X}")
}
