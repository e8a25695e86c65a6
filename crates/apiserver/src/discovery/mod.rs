//! Paths that are not resources: discovery, version, health, metrics, OpenAPI, token issuer. Documents that do
//! not change are made once.

mod aggregated;
mod health;
mod legacy;
mod openapi;
mod version;

use bytes::Bytes;
use meta::{Request, Response, Status, Verb};
use serde_json::{Value as Json, json};

use std::net::SocketAddr;
use std::sync::Arc;

use crate::authenticate::token::Issuer;
use crate::content;
use crate::flow::Flow;
use crate::metrics::Gauges;
use crate::request::aggregated_discovery;
use crate::storage::State;

/// Relying parties may keep the issuer's documents for an hour.
// k8s: pkg/routes/openidmetadata.go
const CACHE_AN_HOUR: &str = "public, max-age=3600";

/// What is answered outside of resources.
pub(crate) struct Site {
    documents: Documents,
    /// Where clients reach this server.
    address: SocketAddr,
    issuer: Option<Arc<Issuer>>,
    flow: Arc<Flow>,
}

impl Site {
    /// Over what it tells about.
    pub fn new(address: SocketAddr, issuer: Option<Arc<Issuer>>, flow: Arc<Flow>) -> Self {
        Site { documents: Documents::build(&address.to_string()), address, issuer, flow }
    }
}

/// Discovery documents, made once.
struct Documents {
    /// By path without a trailing slash: `/api`, `/apis`, `/api/v1`, `/apis/apps`, `/apis/apps/v1`.
    plain: Vec<(String, Document)>,
    /// `/api` and `/apis` aggregated, as `v2` and `v2beta1`.
    aggregated: Vec<(&'static str, &'static str, Document)>,
    openapi: openapi::OpenApi,
}

struct Document {
    json: Bytes,
    etag: String,
    kind: &'static str,
}

impl Document {
    fn new(kind: &'static str, json: &Json) -> Self {
        let json = json.to_string();
        let etag = format!("\"{}\"", schema::openapi::hash(json.as_bytes()));
        Document { json: json.into(), etag, kind }
    }
}

impl Documents {
    /// From the declared kinds. `address` is where clients reach this server, `host:port`.
    fn build(address: &str) -> Self {
        let mut plain = vec![
            ("/api".to_owned(), Document::new("APIVersions", &legacy::versions(address))),
            ("/apis".to_owned(), Document::new("APIGroupList", &legacy::groups())),
        ];
        for (group, versions) in kinds::groups() {
            if !group.is_empty() {
                plain.push((
                    format!("/apis/{group}"),
                    Document::new("APIGroup", &legacy::group_object(group, versions)),
                ));
            }
            for version in *versions {
                let path = if group.is_empty() {
                    format!("/api/{version}")
                } else {
                    format!("/apis/{group}/{version}")
                };
                plain.push((path, Document::new("APIResourceList", &legacy::resources(group, version))));
            }
        }
        let mut all = Vec::new();
        for version in ["v2", "v2beta1"] {
            for (path, core) in [("/api", true), ("/apis", false)] {
                all.push((
                    path,
                    version,
                    Document::new("APIGroupDiscoveryList", &aggregated::list(version, core)),
                ));
            }
        }
        Documents { plain, aggregated: all, openapi: openapi::OpenApi::default() }
    }

    fn find(&self, path: &str) -> Option<&Document> {
        self.plain.iter().find(|(p, _)| p == path).map(|(_, d)| d)
    }

    /// Whether a path lies below one with a document.
    fn claims(&self, path: &str) -> bool {
        let below = |p: &str| path.strip_prefix(p).is_some_and(|rest| rest.starts_with('/'));
        self.paths().chain(["/version"]).any(|p| p != "/apis" && below(p))
    }

    /// All paths with a document.
    fn paths(&self) -> impl Iterator<Item = &str> {
        self.plain.iter().map(|(p, _)| p.as_str())
    }
}

/// Answers a request for a path.
pub(crate) fn path(state: &State, site: &Site, request: &Request, path: &str) -> Result<Response, Status> {
    let trimmed = if path == "/" { path } else { path.trim_end_matches('/') };
    if let Some(answer) = health::answer(state, request, trimmed) {
        return Ok(answer);
    }
    if request.verb != Verb::Get {
        return Err(Status::method_not_allowed());
    }
    if let Some(answer) = discover(&site.documents, request, trimmed) {
        return answer;
    }
    if trimmed.starts_with("/openapi/v2") || trimmed.starts_with("/openapi/v3") {
        return openapi::answer(&site.documents.openapi, state.now(), request, trimmed);
    }
    match trimmed {
        "/" => Ok(root(&site.documents)),
        "/version" => version::answer(),
        "/metrics" => Ok(metrics(state, &site.flow)),
        "/.well-known/openid-configuration" | "/openid/v1/jwks" => issuer(site, trimmed),
        _ if site.documents.claims(trimmed) => Err(Status::unknown_resource()),
        _ => Ok(no_such_page()),
    }
}

/// The answer for a resource that is not there: a Status inside a group that is served, a page outside.
pub(crate) fn no_such_resource(gvr: &meta::Gvr) -> Result<Response, Status> {
    match kinds::of_version(&gvr.group, &gvr.version).next() {
        Some(_) => Err(Status::unknown_resource()),
        None if gvr.group.is_empty() => Err(Status::unknown_resource()),
        None if kinds::groups().iter().any(|(g, _)| *g == gvr.group) => Err(Status::unknown_resource()),
        None => Ok(no_such_page()),
    }
}

/// What a path gets that nobody serves.
// k8s: staging/src/k8s.io/apiserver/pkg/util/notfoundhandler/not_found_handler.go
fn no_such_page() -> Response {
    let mut response = Response::text(404, "404 page not found\n");
    response.headers.push(("x-content-type-options", "nosniff".to_owned()));
    response
}

fn discover(documents: &Documents, request: &Request, path: &str) -> Option<Result<Response, Status>> {
    if matches!(path, "/api" | "/apis")
        && let Some(version) = aggregated_discovery(&request.accept)
        && let Some((_, _, document)) =
            documents.aggregated.iter().find(|(p, v, _)| *p == path && *v == version)
    {
        let content_type =
            format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList");
        return Some(Ok(with_etag(request, document, content_type)));
    }
    let document = documents.find(path)?;
    Some(plain(request, document))
}

fn plain(request: &Request, document: &Document) -> Result<Response, Status> {
    let accepted = content::negotiate(request, false)?;
    let ty = schema::type_of("meta.k8s.io", "v1", document.kind);
    content::encoded(&accepted, 200, document.json.clone(), ty)
}

fn with_etag(request: &Request, document: &Document, content_type: String) -> Response {
    let unchanged = request.header("if-none-match").is_some_and(|t| t == document.etag);
    let mut response = match unchanged {
        true => Response::json(304, Bytes::new()),
        false => Response::json(200, document.json.clone()),
    };
    response.content_type = content_type.into();
    response.headers.push(("etag", document.etag.clone()));
    response.headers.push(("vary", "Accept".to_owned()));
    response.headers.push(("cache-control", "public".to_owned()));
    response
}

fn root(documents: &Documents) -> Response {
    let mut paths: Vec<&str> = documents.paths().collect();
    paths.extend([
        "/.well-known/openid-configuration",
        "/healthz",
        "/livez",
        "/metrics",
        "/openapi/v2",
        "/openapi/v3",
        "/openid/v1/jwks",
        "/readyz",
        "/version",
    ]);
    paths.sort_unstable();
    Response::json(200, json!({"paths": paths}).to_string())
}

fn metrics(state: &State, flow: &Flow) -> Response {
    let name = |prefix: &str| {
        let path = prefix.trim_start_matches("/registry/").trim_end_matches('/');
        match path.split_once('/') {
            Some((group, resource)) => format!("{resource}.{group}"),
            None => path.to_owned(),
        }
    };
    let resources = state.cache.resources();
    let text = state.metrics.render(&Gauges {
        inflight: flow.running(),
        started: state.started,
        version: version::GIT_VERSION,
        resources: resources.iter().map(|r| (name(r.prefix()), r.watcher_count(), r.len())).collect(),
    });
    let mut response = Response::text(200, text);
    response.content_type = "text/plain; version=0.0.4; charset=utf-8".into();
    response
}

fn issuer(site: &Site, path: &str) -> Result<Response, Status> {
    let issuer = site.issuer.as_ref().ok_or_else(Status::unknown_resource)?;
    if path == "/openid/v1/jwks" {
        let mut response = Response::json(200, issuer.jwks().to_owned());
        response.content_type = "application/jwk-set+json".into();
        response.headers.push(("cache-control", CACHE_AN_HOUR.to_owned()));
        return Ok(response);
    }
    let document = json!({
        "issuer": issuer.url,
        "jwks_uri": format!("https://{}/openid/v1/jwks", site.address),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [issuer.algorithm()],
    });
    let mut response = Response::json(200, document.to_string());
    response.headers.push(("cache-control", CACHE_AN_HOUR.to_owned()));
    Ok(response)
}
