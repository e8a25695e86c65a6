//! The server: its parts put together, and the way of a request through the rooms. Nobody imports it.

mod addresses;
mod bootstrap;
mod config;
mod defaults;
mod expire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kinds::Kind;
use meta::{BoxFuture, Credentials, Handler, Request, Response, Status, Target, User, Verb};
use store::EventSink;
use watchcache::WatchCache;

use crate::admission::{Allocator, Plugins};
use crate::authenticate::token::Issuer;
use crate::authenticate::{self, impersonate};
use crate::authorize::{AuthIndex, Chain};
use crate::discovery::{self, Site};
use crate::flow::Flow;
use crate::metrics::Series;
use crate::registry::Registry;
use crate::request::{ANONYMOUS, Attributes, MASTERS};
use crate::storage::{Asked, State};
use crate::virtuals::Sources;
use crate::{subresource, verbs, virtuals};

pub use config::{Authorization, Config};

/// Bodies larger than this are refused.
pub const LIMIT_BODY_BYTES: usize = 3 << 20;

/// The API server.
pub struct Server {
    state: State,
    plugins: Plugins,
    auth: Arc<AuthIndex>,
    services: Arc<Allocator>,
    issuer: Option<Arc<Issuer>>,
    site: Site,
    flow: Arc<Flow>,
    certificates: authenticate::certificate::Known,
    /// Whether requests without credentials get as far as the authorizers.
    anonymous: bool,
    event_ttl: Duration,
    /// The user that kubelets know this server as; empty: none.
    kubelet_client: String,
    /// Where clients reach this server.
    address: SocketAddr,
    /// Keep the subscriptions alive.
    _sinks: [Arc<dyn EventSink>; 2],
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
        let sinks: [Arc<dyn EventSink>; 2] = [auth.clone(), services.clone()];
        for sink in &sinks {
            config.store.subscribe(sink);
        }
        let address = SocketAddr::new(config.advertise_address, config.advertise_port);
        let issuer = config.issuer.map(Arc::new);
        let flow = Arc::new(Flow::new(config.max_reads, config.max_writes));
        let asked = config.authorization == Authorization::NodeAndRbac;
        let authorizer = Arc::new(Chain { index: asked.then(|| auth.clone()) });
        Ok(Arc::new(Server {
            state: State::new(config.store, cache, config.clock, config.entropy, config.timer, authorizer),
            plugins: Plugins { services: services.clone(), auth: auth.clone() },
            auth,
            services,
            site: Site::new(address, issuer.clone(), flow.clone()),
            issuer,
            flow,
            certificates: authenticate::certificate::Known::default(),
            anonymous: config.anonymous,
            event_ttl: config.event_ttl,
            kubelet_client: config.kubelet_client,
            address,
            _sinks: sinks,
        }))
    }

    /// Fills the caches and indexes from the store. Called by `bootstrap`.
    async fn load(&self) -> Result<(), Status> {
        let failed = |e: store::Error| Status::internal(format!("the store cannot be read: {e}"));
        self.auth.fill(&*self.state.store).await.map_err(failed)?;
        self.services.fill(&*self.state.store).await.map_err(failed)?;
        self.state.serve(Registry::load(&self.state.cache).await?);
        Ok(())
    }

    /// Whether requests for resources can be answered.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.state.is_loaded()
    }

    /// Whether what every cluster has is in place.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.state.is_ready()
    }

    fn identify(&self, request: &Request) -> Result<User, Status> {
        let user = authenticate::authenticate(
            &request.credentials,
            &self.certificates,
            self.issuer.as_deref(),
            &self.state,
            self.state.now(),
        )?;
        if user.name == ANONYMOUS && !self.anonymous {
            return Err(Status::unauthorized());
        }
        match impersonate::parse(request, &user)? {
            None => Ok(user),
            Some(i) => {
                for q in &i.questions {
                    self.state.require(q)?;
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
        if !user.in_group(MASTERS) {
            self.state.require(&Attributes::of(request, &user))?;
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
            Target::Path(path) => discovery::path(&self.state, &self.site, request, path),
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
        let now = self.state.now();
        let asked = Asked { state: &self.state, stages: &self.plugins, request, user, now };
        if !kind.is_stored() {
            let sources = Sources { auth: &self.auth, issuer: self.issuer.as_deref() };
            return virtuals::answer(asked, &sources, kind, namespace).await;
        }
        let call = asked.at(self.state.registry()?.find(gvr)?, namespace, name, subresource);
        call.check_scope()?;
        if subresource.is_empty() {
            verbs::answer(&call).await
        } else {
            subresource::answer(&call, self.issuer.as_deref()).await
        }
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
                self.state.metrics.observe(Series::of(request), status.code, Duration::ZERO);
                Err(status)
            }
        }
    }

    fn handle(&self, request: Request) -> BoxFuture<'_, Response> {
        Box::pin(async move {
            let began = self.state.clock.monotonic();
            let response = match self.answer(&request).await {
                Ok(response) => response,
                Err(status) => status.into(),
            };
            let took = self.state.clock.monotonic().saturating_sub(began);
            self.state.metrics.observe(Series::of(&request), response.code, took);
            response
        })
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
