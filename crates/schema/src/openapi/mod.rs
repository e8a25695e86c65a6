//! The OpenAPI documents that the server publishes: version 3 per group version, and one version 2.
//! They follow from the field table and the routes. It must never describe what is not served.

mod definitions;
mod dialect;
mod gnostic;
mod names;
mod paths;
mod route;

use descriptions::Descriptions;

use crate::json::encode_plain;
use crate::{Map, TypeRef, Value};

pub use dialect::Dialect;
pub use gnostic::{V2_PROTOBUF, v2_protobuf};
pub use names::definition_name;
pub use route::Route;

use dialect::object;

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
        // Options of connections are parameters.
        if !r.object.kind.ends_with("Options") {
            add(crate::type_of(&r.object.group, &r.object.version, &r.object.kind));
        }
        if r.subresource.is_empty() {
            add(crate::type_of(&r.group, &r.version, &format!("{}List", r.kind)));
        }
    }
    out
}

/// The version 3 document of a group version, as JSON. Routes of other group versions are left out.
#[must_use]
pub fn v3(group: &str, version: &str, routes: &[Route], texts: &Descriptions) -> Vec<u8> {
    let own: Vec<&Route> = routes.iter().filter(|r| r.group == group && r.version == version).collect();
    let schemas = definitions::all(&types(&own), Dialect::V3, &[(group, version)], texts);
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
pub fn v2(routes: &[Route], texts: &Descriptions) -> Vec<u8> {
    let all: Vec<&Route> = routes.iter().collect();
    let mut versions: Vec<(&str, &str)> =
        routes.iter().map(|r| (r.group.as_str(), r.version.as_str())).collect();
    versions.sort_unstable();
    versions.dedup();
    let doc = object([
        ("swagger", "2.0".into()),
        ("info", info()),
        ("paths", paths::all(&all, Dialect::V2)),
        ("definitions", definitions::all(&types(&all), Dialect::V2, &versions, texts)),
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
