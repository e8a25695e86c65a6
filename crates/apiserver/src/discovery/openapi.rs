//! `/openapi/v2` and `/openapi/v3`, from the schema's field table. Documents are made when first asked for, and then
//! kept packed, which is how most clients want them.

use std::io::{Read as _, Write as _};
use std::sync::OnceLock;

use bytes::Bytes;
use descriptions::Descriptions;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use meta::{Request, Response, Status};
use schema::openapi::{self, Route};

use crate::registry::Registry;

const SECONDS_OF_A_YEAR: i64 = 365 * 24 * 3600;

/// A document, packed.
struct Document {
    gzip: Bytes,
    /// Of what was packed.
    hash: String,
}

impl Document {
    fn new(plain: &[u8]) -> Self {
        Document { gzip: pack(plain), hash: openapi::hash(plain) }
    }

    fn plain(&self) -> Vec<u8> {
        let mut out = Vec::new();
        GzDecoder::new(&*self.gzip).read_to_end(&mut out).expect("own gzip can be unpacked");
        out
    }
}

fn pack(plain: &[u8]) -> Bytes {
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    let packed = packer.write_all(plain).and_then(|()| packer.finish());
    packed.expect("writing to memory does not fail").into()
}

/// The documents about one registry.
#[derive(Default)]
pub(crate) struct OpenApi {
    v2: OnceLock<Document>,
    v2_protobuf: OnceLock<Document>,
    v3: OnceLock<(Bytes, Vec<(String, Document)>)>,
}

impl OpenApi {
    fn v2(&self, served: &Registry) -> &Document {
        self.v2.get_or_init(|| Document::new(&openapi::v2(&routes(served), &Descriptions::unpack())))
    }

    fn v2_protobuf(&self, served: &Registry) -> &Document {
        self.v2_protobuf.get_or_init(|| {
            let json = self.v2(served);
            let plain = openapi::v2_protobuf(&json.plain()).expect("own JSON can be read");
            Document { gzip: pack(&plain), hash: json.hash.clone() }
        })
    }

    /// The index, and documents by path: `api/v1`, `apis/apps/v1`.
    fn v3(&self, served: &Registry) -> &(Bytes, Vec<(String, Document)>) {
        self.v3.get_or_init(|| {
            let (routes, texts) = (routes(served), Descriptions::unpack());
            let versions =
                served.groups().iter().flat_map(|g| g.versions.iter().map(|v| (&*g.name, &*v.name)));
            let documents: Vec<(String, Document)> = versions
                .map(|(g, v)| (openapi::v3_path(g, v), Document::new(&openapi::v3(g, v, &routes, &texts))))
                .collect();
            let index: Vec<(String, String)> =
                documents.iter().map(|(path, d)| (path.clone(), d.hash.clone())).collect();
            (openapi::v3_index(&index).into(), documents)
        })
    }
}

/// Everything that is served, as the documents describe it.
fn routes(served: &Registry) -> Vec<Route> {
    let mut out = Vec::new();
    for kind in served.builtin().map(|one| &one.kind) {
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
        return Ok(match wanted {
            true => with_etag(request, documents.v2_protobuf(served), openapi::V2_PROTOBUF),
            false => with_etag(request, documents.v2(served), "application/json"),
        });
    }
    let (index, all) = documents.v3(served);
    if path == "/openapi/v3" {
        return Ok(Response::json(200, index.clone()));
    }
    let rest = path.strip_prefix("/openapi/v3/").ok_or_else(Status::unknown_resource)?;
    let (path, found) = all.iter().find(|(path, _)| path == rest).ok_or_else(Status::unknown_resource)?;
    let asked = request.query.get("hash").unwrap_or("");
    if !asked.is_empty() && asked != found.hash {
        let mut moved = Response::text(301, Bytes::new());
        moved.headers.push(("location", format!("/openapi/v3/{path}?hash={}", found.hash)));
        return Ok(moved);
    }
    let mut response = with_etag(request, found, "application/json");
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

/// A document as the client wants it: packed, plain, or not again.
fn with_etag(request: &Request, document: &Document, content_type: &'static str) -> Response {
    let etag = format!("\"{}\"", document.hash);
    let mut response = if request.header("if-none-match").is_some_and(|t| t == etag) {
        Response::json(304, Bytes::new())
    } else if request.header("accept-encoding") == Some("gzip") {
        let mut packed = Response::json(200, document.gzip.clone());
        packed.headers.push(("content-encoding", "gzip".to_owned()));
        packed
    } else {
        Response::json(200, document.plain())
    };
    response.content_type = content_type.into();
    response.headers.push(("etag", etag));
    response.headers.push(("vary", "Accept, Accept-Encoding".to_owned()));
    response
}
