//! The server: its parts, and the way of a request through the layers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use kinds::Kind;
use meta::fields::Selector;
use meta::{BoxFuture, Credentials, Handler, Request, Response, Status, Target, User, Verb};
use parking_lot::RwLock;
use store::EventSink;
use watchcache::WatchCache;

use crate::authenticate::{self, impersonate, token::Bound};
use crate::authorize::{Attributes, Decision, What};
use crate::config::{Authorization, Config};
use crate::flow::Flow;
use crate::index::AuthIndex;
use crate::metrics::{Metrics, Series};
use crate::registry::{Registry, Resource};
use crate::service::Allocator;
use crate::{discovery, selector, subresource, verbs, virtuals};

/// Bodies larger than this are refused.
pub const LIMIT_BODY_BYTES: usize = 3 << 20;

/// The API server.
pub struct Server {
    pub(crate) config: Config,
    pub(crate) cache: Arc<WatchCache>,
    registry: RwLock<Option<Arc<Registry>>>,
    pub(crate) auth: Arc<AuthIndex>,
    pub(crate) services: Arc<Allocator>,
    pub(crate) discovery: discovery::Documents,
    pub(crate) metrics: Metrics,
    pub(crate) flow: Flow,
    pub(crate) started: Timestamp,
    ready: AtomicBool,
    certificates: authenticate::certificate::Known,
    /// Keep the subscriptions alive.
    _sinks: Vec<Arc<dyn EventSink>>,
}

/// What a handler of a verb gets: the request behind authentication and authorization.
pub(crate) struct Call<'a> {
    pub server: &'a Server,
    pub request: &'a Request,
    pub user: &'a User,
    pub resource: Arc<Resource>,
    pub namespace: &'a str,
    pub name: &'a str,
    pub subresource: &'a str,
    pub now: Timestamp,
}

impl Server {
    /// A server over its configuration. It answers 503 until [`Server::bootstrap`] has run.
    ///
    /// # Errors
    /// When the service address range cannot be used.
    pub fn new(config: Config) -> Result<Arc<Self>, Status> {
        let cache = WatchCache::start(config.store.clone(), config.cache_limits, config.clock.clone());
        let auth = Arc::new(AuthIndex::default());
        let services = Arc::new(Allocator::new(&config.service_cidr, config.node_ports.clone())?);
        let sinks: Vec<Arc<dyn EventSink>> = vec![auth.clone(), services.clone()];
        for sink in &sinks {
            config.store.subscribe(sink);
        }
        let address = SocketAddr::new(config.advertise_address, config.advertise_port).to_string();
        Ok(Arc::new(Server {
            cache,
            registry: RwLock::new(None),
            auth,
            services,
            discovery: discovery::Documents::build(&address),
            metrics: Metrics::default(),
            flow: Flow::new(config.max_reads, config.max_writes),
            started: config.clock.now(),
            ready: AtomicBool::new(false),
            certificates: authenticate::certificate::Known::default(),
            _sinks: sinks,
            config,
        }))
    }

    /// Fills the caches and indexes from the store. Called by `bootstrap`.
    pub(crate) async fn load(&self) -> Result<(), Status> {
        let failed = |e: store::Error| Status::internal(format!("the store cannot be read: {e}"));
        self.auth.fill(&*self.config.store).await.map_err(failed)?;
        self.services.fill(&*self.config.store).await.map_err(failed)?;
        let registry = Registry::load(&self.cache).await?;
        *self.registry.write() = Some(Arc::new(registry));
        Ok(())
    }

    /// The resources.
    pub(crate) fn registry(&self) -> Result<Arc<Registry>, Status> {
        self.registry.read().clone().ok_or_else(|| Status::unavailable("the server is starting"))
    }

    /// Whether requests for resources can be answered.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.registry.read().is_some()
    }

    /// Whether what every cluster has is in place.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    pub(crate) fn set_ready(&self) {
        self.ready.store(true, Ordering::Release);
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.config.clock.now()
    }

    /// Whether the authorizers are not asked at all.
    pub(crate) fn may_everything(&self, user: &User) -> bool {
        user.in_group(authenticate::MASTERS) || self.config.authorization == Authorization::AlwaysAllow
    }

    /// The answer of the authorizers.
    pub(crate) fn decide(&self, a: &Attributes) -> Decision {
        if self.may_everything(&a.user) {
            return Decision::Allow(String::new());
        }
        self.auth.authorize(a)
    }

    fn require(&self, a: &Attributes) -> Result<(), Status> {
        match self.decide(a) {
            Decision::Allow(_) => Ok(()),
            Decision::NoOpinion(why) => Err(a.forbidden(&why)),
        }
    }

    fn identify(&self, request: &Request) -> Result<User, Status> {
        let issuer = self.config.issuer.as_ref();
        let user =
            authenticate::authenticate(&request.credentials, &self.certificates, issuer, self, self.now())?;
        if user.name == authenticate::ANONYMOUS && !self.config.anonymous {
            return Err(Status::unauthorized());
        }
        match impersonate::parse(request, &user)? {
            None => Ok(user),
            Some(i) => {
                for q in &i.questions {
                    self.require(q)?;
                }
                Ok(i.user)
            }
        }
    }

    /// Who asks, when it is somebody who may.
    fn check(&self, request: &Request) -> Result<User, Status> {
        if let Credentials::Admitted(user) = &request.credentials {
            return Ok(user.clone());
        }
        let user = self.identify(request)?;
        if !self.may_everything(&user) {
            self.require(&attributes(request, &user))?;
        }
        Ok(user)
    }

    async fn answer(&self, request: &Request) -> Result<Response, Status> {
        let user = self.check(request)?;
        let _ticket = match is_long_running(request) {
            true => None,
            false => Some(self.flow.enter(request.verb.is_write())?),
        };
        if request.body.len() > LIMIT_BODY_BYTES {
            return Err(Status::too_large(LIMIT_BODY_BYTES));
        }
        match &request.target {
            Target::Path(path) => discovery::path(self, request, path),
            Target::Resource { gvr, .. } => {
                let Some(kind) = kinds::by_gvr(gvr) else {
                    return discovery::no_such_resource(gvr);
                };
                let mut response = self.answer_kind(request, &user, kind).await?;
                if !kind.deprecation.is_empty() {
                    response.warnings.insert(0, kind.deprecation.to_owned());
                }
                Ok(response)
            }
        }
    }

    async fn answer_kind(
        &self,
        request: &Request,
        user: &User,
        kind: &'static Kind,
    ) -> Result<Response, Status> {
        let Target::Resource { gvr, namespace, name, subresource, .. } = &request.target else {
            return Err(Status::unknown_resource());
        };
        if request.verb == Verb::Unknown {
            return Err(Status::method_not_allowed());
        }
        if !kind.is_stored() {
            return virtuals::answer(self, request, user, kind, namespace).await;
        }
        let resource = self.registry()?.find(gvr)?;
        let now = self.now();
        let call = Call { server: self, request, user, resource, namespace, name, subresource, now };
        call.check_scope()?;
        if subresource.is_empty() { verbs::answer(&call).await } else { subresource::answer(&call).await }
    }
}

impl Call<'_> {
    /// Namespaced writes need a namespace, cluster-scoped ones must not have one.
    fn check_scope(&self) -> Result<(), Status> {
        match (self.resource.kind.namespaced(), self.namespace.is_empty()) {
            (true, true) if !self.name.is_empty() => Err(Status::unknown_resource()),
            // All namespaces can be read, not written.
            (true, true) if !matches!(self.request.verb, Verb::List | Verb::Watch) => {
                Err(Status::method_not_allowed())
            }
            (false, false) => Err(Status::unknown_resource()),
            _ => Ok(()),
        }
    }
}

impl Call<'_> {
    /// Asks for the right to create besides the verb of the request.
    pub(crate) fn require_create(&self) -> Result<(), Status> {
        let mut question = attributes(self.request, self.user);
        question.verb = "create".to_owned();
        self.server.require(&question)
    }
}

impl Handler for Server {
    fn admit(&self, request: &mut Request) -> Result<(), Status> {
        match self.check(request) {
            Ok(user) => {
                request.credentials = Credentials::Admitted(user);
                Ok(())
            }
            Err(status) => {
                self.metrics.observe(Series::of(request), status.code, Duration::ZERO);
                Err(status)
            }
        }
    }

    fn handle(&self, request: Request) -> BoxFuture<'_, Response> {
        Box::pin(async move {
            let began = self.config.clock.monotonic();
            let response = match self.answer(&request).await {
                Ok(response) => response,
                Err(status) => status.into(),
            };
            let took = self.config.clock.monotonic().saturating_sub(began);
            self.metrics.observe(Series::of(&request), response.code, took);
            response
        })
    }
}

impl Bound for Server {
    fn uid(&self, resource: &str, namespace: &str, name: &str) -> Option<String> {
        let registry = self.registry().ok()?;
        let gvr = meta::Gvr { group: "".into(), version: "v1".into(), resource: resource.to_owned().into() };
        let found = registry.find(&gvr).ok()?;
        let entry = found.cache.get(&found.key(namespace, name))?;
        Some(crate::peek::metadata(entry.object_bytes()).uid)
    }

    fn secret(&self, namespace: &str, name: &str) -> Option<Vec<u8>> {
        let found = self.registry().ok()?.find(&meta::Gvr::new("", "v1", "secrets")).ok()?;
        Some(found.cache.get(&found.key(namespace, name))?.object_bytes().to_vec())
    }
}

/// Requests that last by their nature are not counted by flow control.
fn is_long_running(request: &Request) -> bool {
    match &request.target {
        Target::Resource { subresource, .. } => {
            matches!(request.verb, Verb::Watch | Verb::Connect) || subresource == "log"
        }
        Target::Path(path) => {
            path.starts_with("/healthz") || path.starts_with("/livez") || path.starts_with("/readyz")
        }
    }
}

/// What the authorizer is asked about a request.
// k8s: staging/src/k8s.io/apiserver/pkg/endpoints/filters/authorization.go GetAuthorizerAttributes
pub(crate) fn attributes(request: &Request, user: &User) -> Attributes {
    match &request.target {
        Target::Path(path) => Attributes {
            user: user.clone(),
            verb: request.method.to_lowercase(),
            target: What::Path(path.clone()),
            ..Attributes::default()
        },
        Target::Resource { gvr, namespace, name, subresource, .. } => {
            let verb = match (request.verb, request.method.as_str()) {
                (Verb::Connect, "POST") => "create",
                (Verb::Connect, "PUT") => "update",
                (Verb::Connect, "PATCH") => "patch",
                (Verb::Connect, "DELETE") => "delete",
                (Verb::Connect, _) => "get",
                (verb, _) => verb.as_str(),
            };
            let mut name = name.clone();
            let mut fields = Selector::default();
            if matches!(request.verb, Verb::List | Verb::Watch | Verb::DeleteCollection) {
                let text = request.query.get("fieldSelector").unwrap_or("");
                // What cannot be read narrows nothing here, and is refused where it is served.
                fields = Selector::parse(text).unwrap_or_default();
                if name.is_empty() {
                    name = selector::name_of(text).unwrap_or_default();
                }
            }
            // A namespace is in itself.
            let namespace =
                if gvr.resource == "namespaces" && gvr.group.is_empty() { &name } else { namespace };
            Attributes {
                user: user.clone(),
                verb: verb.to_owned(),
                target: What::Resource {
                    group: gvr.group.to_string(),
                    version: gvr.version.to_string(),
                    resource: gvr.resource.to_string(),
                    subresource: subresource.clone(),
                    namespace: namespace.clone(),
                    name: name.clone(),
                },
                fields,
            }
        }
    }
}
