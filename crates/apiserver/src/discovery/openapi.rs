//! `/openapi/v2` and `/openapi/v3`, from the schema's field table. Documents are made when first asked for and
//! then kept.

use std::sync::OnceLock;

use bytes::Bytes;
use jiff::Timestamp;
use meta::{Request, Response, Status};
use schema::openapi::{self, Route};

use crate::registry::Registry;

const SECONDS_OF_A_YEAR: i64 = 365 * 24 * 3600;

/// A document with its hash.
struct Document {
    /// `api/v1`, `apis/apps/v1`.
    path: String,
    json: Bytes,
    hash: String,
}

impl Document {
    fn new(path: String, json: Vec<u8>) -> Self {
        let hash = openapi::hash(&json);
        Document { path, json: json.into(), hash }
    }
}

/// The documents about one registry.
#[derive(Default)]
pub(crate) struct OpenApi {
    v2: OnceLock<Document>,
    v2_protobuf: OnceLock<Option<Bytes>>,
    v3: OnceLock<(Bytes, Vec<Document>)>,
}

impl OpenApi {
    fn v2(&self, served: &Registry) -> &Document {
        self.v2.get_or_init(|| Document::new(String::new(), openapi::v2(&routes(served))))
    }

    fn v2_protobuf(&self, served: &Registry) -> Option<Bytes> {
        let made = || openapi::v2_protobuf(&self.v2(served).json).map(Bytes::from);
        self.v2_protobuf.get_or_init(made).clone()
    }

    fn v3(&self, served: &Registry) -> &(Bytes, Vec<Document>) {
        self.v3.get_or_init(|| {
            let routes = routes(served);
            let versions =
                served.groups().iter().flat_map(|g| g.versions.iter().map(|v| (&*g.name, &*v.name)));
            let documents: Vec<Document> = versions
                .map(|(g, v)| Document::new(openapi::v3_path(g, v), openapi::v3(g, v, &routes)))
                .collect();
            let index: Vec<(String, String)> =
                documents.iter().map(|d| (d.path.clone(), d.hash.clone())).collect();
            (openapi::v3_index(&index).into(), documents)
        })
    }
}

/// Everything that is served, as the documents describe it.
fn routes(served: &Registry) -> Vec<Route> {
    let mut out = Vec::new();
    for kind in served.all().map(|one| &one.kind) {
        let route = |subresource: &str, object: meta::Gvk, verbs: &[&str]| Route {
            group: kind.group.to_string(),
            version: kind.version.to_string(),
            plural: kind.plural.to_string(),
            kind: kind.kind.to_string(),
            subresource: subresource.to_owned(),
            namespaced: kind.namespaced(),
            object,
            returns_deleted: kind.returns_deleted,
            verbs: verbs.iter().map(|v| (*v).to_owned()).collect(),
        };
        out.push(route("", kind.gvk(), kind.verbs));
        for sub in kind.subresources {
            out.push(route(sub.name, sub.kind.clone().unwrap_or_else(|| kind.gvk()), sub.verbs));
        }
    }
    out
}

/// Answers a request for an OpenAPI document.
pub(super) fn answer(
    documents: &OpenApi,
    served: &Registry,
    now: Timestamp,
    request: &Request,
    path: &str,
) -> Result<Response, Status> {
    if path == "/openapi/v2" {
        let wanted = request.accept.split(',').map(str::trim).any(|a| {
            a.split(';').next().is_some_and(|t| t.starts_with("application/com.github.proto-openapi.spec.v2"))
        });
        let hash = &documents.v2(served).hash;
        return Ok(match documents.v2_protobuf(served).filter(|_| wanted) {
            Some(bytes) => with_etag(request, bytes, hash, openapi::V2_PROTOBUF),
            None => with_etag(request, documents.v2(served).json.clone(), hash, "application/json"),
        });
    }
    let (index, all) = documents.v3(served);
    if path == "/openapi/v3" {
        return Ok(Response::json(200, index.clone()));
    }
    let rest = path.strip_prefix("/openapi/v3/").ok_or_else(Status::unknown_resource)?;
    let found = all.iter().find(|d| d.path == rest).ok_or_else(Status::unknown_resource)?;
    let asked = request.query.get("hash").unwrap_or("");
    if !asked.is_empty() && asked != found.hash {
        let mut moved = Response::text(301, Bytes::new());
        moved.headers.push(("location", format!("/openapi/v3/{}?hash={}", found.path, found.hash)));
        return Ok(moved);
    }
    let mut response = with_etag(request, found.json.clone(), &found.hash, "application/json");
    if !asked.is_empty() {
        response.headers.push(("cache-control", "public, immutable".to_owned()));
        let next_year = now.as_second() + SECONDS_OF_A_YEAR;
        response.headers.push(("expires", http_date(next_year)));
    }
    Ok(response)
}

/// As HTTP writes times.
fn http_date(seconds: i64) -> String {
    let time = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn with_etag(request: &Request, body: Bytes, hash: &str, content_type: &'static str) -> Response {
    let etag = format!("\"{hash}\"");
    let unchanged = request.header("if-none-match").is_some_and(|t| t == etag);
    let mut response = if unchanged { Response::json(304, Bytes::new()) } else { Response::json(200, body) };
    response.content_type = content_type.into();
    response.headers.push(("etag", etag));
    response.headers.push(("vary", "Accept".to_owned()));
    response
}
