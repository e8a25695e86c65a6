//! Paths that are not resources: discovery, version, health, metrics, OpenAPI, token issuer. Documents about what is
//! served belong to one registry and are made once for it.

mod aggregated;
mod health;
mod legacy;
mod openapi;
mod version;

use arc_swap::ArcSwap;
use bytes::Bytes;
use meta::{Request, Response, Status, Verb};
use serde_json::{Value as Json, json};

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use crate::authenticate::token::Issuer;
use crate::content;
use crate::flow::Flow;
use crate::metrics::Gauges;
use crate::registry::Registry;
use crate::request::aggregated_discovery;
use crate::storage::State;

/// Relying parties may keep the issuer's documents for an hour.
// k8s: pkg/routes/openidmetadata.go
const CACHE_AN_HOUR: &str = "public, max-age=3600";

/// What is answered outside of resources.
pub(crate) struct Site {
    documents: ArcSwap<Documents>,
    /// Where clients reach this server.
    address: SocketAddr,
    issuer: Option<Arc<Issuer>>,
    flow: Arc<Flow>,
}

impl Site {
    /// Over what it tells about.
    pub fn new(state: &State, address: SocketAddr, issuer: Option<Arc<Issuer>>, flow: Arc<Flow>) -> Self {
        let documents = ArcSwap::from_pointee(Documents::of(state.served(), address));
        Site { documents, address, issuer, flow }
    }

    /// The documents about what is served now.
    fn documents(&self, state: &State) -> Arc<Documents> {
        let served = state.served();
        let held = self.documents.load_full();
        if Arc::ptr_eq(&held.served, &served) {
            return held;
        }
        let fresh = Arc::new(Documents::of(served, self.address));
        self.documents.store(fresh.clone());
        fresh
    }
}

/// The documents about one registry, each made when it is first asked for.
struct Documents {
    served: Arc<Registry>,
    /// `host:port`.
    address: String,
    plain: BTreeMap<String, (About, OnceLock<Document>)>,
    /// `/api` and `/apis` aggregated, as `v2` and `v2beta1`.
    aggregated: [(&'static str, &'static str, OnceLock<Document>); 4],
    openapi: openapi::OpenApi,
}

/// What a plain document is about: indexes into the registry's groups and their versions.
#[derive(Clone, Copy)]
enum About {
    Core,
    Groups,
    Group(usize),
    Version(usize, usize),
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
    /// About what is served. `address` is where clients reach this server.
    fn of(served: Arc<Registry>, address: SocketAddr) -> Self {
        let mut plain = vec![("/api".to_owned(), About::Core), ("/apis".to_owned(), About::Groups)];
        for (at, group) in served.groups().iter().enumerate() {
            if !group.name.is_empty() {
                plain.push((format!("/apis/{}", group.name), About::Group(at)));
            }
            for (v, version) in group.versions.iter().enumerate() {
                let path = match &*group.name {
                    "" => format!("/api/{}", version.name),
                    name => format!("/apis/{name}/{}", version.name),
                };
                plain.push((path, About::Version(at, v)));
            }
        }
        let plain = plain.into_iter().map(|(path, about)| (path, (about, OnceLock::new()))).collect();
        let aggregated = [("/api", "v2"), ("/apis", "v2"), ("/api", "v2beta1"), ("/apis", "v2beta1")]
            .map(|(path, version)| (path, version, OnceLock::new()));
        let (address, openapi) = (address.to_string(), openapi::OpenApi::default());
        Documents { served, address, plain, aggregated, openapi }
    }

    /// By path without a trailing slash: `/api`, `/apis`, `/api/v1`, `/apis/apps`, `/apis/apps/v1`.
    fn find(&self, path: &str) -> Option<&Document> {
        let (about, document) = self.plain.get(path)?;
        Some(document.get_or_init(|| self.make(*about)))
    }

    fn make(&self, about: About) -> Document {
        let groups = self.served.groups();
        match about {
            About::Core => Document::new("APIVersions", &legacy::versions(&self.address)),
            About::Groups => Document::new("APIGroupList", &legacy::groups(groups)),
            About::Group(at) => Document::new("APIGroup", &legacy::group_object(&groups[at])),
            About::Version(at, v) => {
                let group = &groups[at];
                Document::new("APIResourceList", &legacy::resources(&group.name, &group.versions[v]))
            }
        }
    }

    fn aggregated(&self, path: &str, version: &str) -> Option<&Document> {
        let (path, version, document) =
            self.aggregated.iter().find(|(p, v, _)| *p == path && *v == version)?;
        let list = || aggregated::list(self.served.groups(), version, *path == "/api");
        Some(document.get_or_init(|| Document::new("APIGroupDiscoveryList", &list())))
    }

    /// Whether a path lies below one with a document.
    fn claims(&self, path: &str) -> bool {
        let below = |p: &str| path.strip_prefix(p).is_some_and(|rest| rest.starts_with('/'));
        self.paths().chain(["/version"]).any(|p| p != "/apis" && below(p))
    }

    /// All paths with a document.
    fn paths(&self) -> impl Iterator<Item = &str> {
        self.plain.keys().map(String::as_str)
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
    let documents = site.documents(state);
    if let Some(answer) = discover(&documents, request, trimmed) {
        return answer;
    }
    if trimmed.starts_with("/openapi/v2") || trimmed.starts_with("/openapi/v3") {
        return openapi::answer(&documents.openapi, &documents.served, state.now(), request, trimmed);
    }
    match trimmed {
        "/" => Ok(root(&documents)),
        "/version" => version::answer(),
        "/metrics" => Ok(metrics(state, &site.flow)),
        "/.well-known/openid-configuration" | "/openid/v1/jwks" => issuer(site, trimmed),
        _ if documents.claims(trimmed) => Err(Status::unknown_resource()),
        _ => Ok(no_such_page()),
    }
}

/// The answer for a resource that is not there: a Status inside a group that is served, a page outside.
pub(crate) fn no_such_resource(served: &Registry, gvr: &meta::Gvr) -> Result<Response, Status> {
    match gvr.group.is_empty() || served.group(&gvr.group).is_some() {
        true => Err(Status::unknown_resource()),
        false => Ok(no_such_page()),
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
        && let Some(document) = documents.aggregated(path, version)
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
