//! The server: its parts put together, and the way of a request through the rooms. Nobody imports it.

mod addresses;
mod answer;
mod bootstrap;
mod chains;
mod config;
mod defaults;
mod definitions;
mod expire;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kinds::KindRef;
use meta::{
    Admission, BoxFuture, Decision, Handler, Identity, Proof, Request, Response, Status, Target, Ticket, Verb,
};
use store::EventSink;
use watchcache::WatchCache;

use crate::admission::{self, Allocator, Steps};
use crate::authenticate::token::Issuer;
use crate::authenticate::{self, impersonate};
use crate::authorize::AuthIndex;
use crate::discovery::{self, Site};
use crate::extend::defined::Definitions;
use crate::flow::Flow;
use crate::metrics::Series;
use crate::registry::Registry;
use crate::request::{Attributes, MASTERS};
use crate::storage::{Asked, State};
use crate::virtuals::Sources;
use crate::{audit, subresource, verbs, virtuals};

pub use config::{Authorization, Config};

/// Bodies larger than this are refused.
pub const LIMIT_BODY_BYTES: usize = 3 << 20;

/// The API server.
pub struct Server {
    state: Arc<State>,
    admission: admission::Admission,
    auth: Arc<AuthIndex>,
    services: Arc<Allocator>,
    issuer: Option<Arc<Issuer>>,
    site: Site,
    flow: Arc<Flow>,
    authenticators: authenticate::Union,
    audit_ids: audit::Ids,
    event_ttl: Duration,
    defined: Definitions,
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
    /// When the service address range cannot be used, or a chosen admission plugin is not there.
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
        let audit_ids = audit::Ids::new(&*config.entropy);
        let authorizer = Arc::new(chains::authorizers(config.authorization, &auth));
        let (clock, anonymous, event_ttl) = (config.clock.clone(), config.anonymous, config.event_ttl);
        let kubelet_client = config.kubelet_client;
        let state = State::new(config.store, cache, config.clock, config.entropy, config.timer, authorizer);
        let state = Arc::new(state);
        let steps = Steps { services: services.clone(), auth: auth.clone() };
        let admission = admission::Admission::new(&config.admission, steps)?;
        let site = Site::new(&state, address, issuer.clone(), flow.clone());
        Ok(Arc::new(Server {
            authenticators: chains::authenticators(&state, &clock, issuer.as_ref(), anonymous),
            state,
            admission,
            auth,
            services,
            site,
            issuer,
            flow,
            audit_ids,
            event_ttl,
            defined: Definitions::default(),
            kubelet_client,
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

    /// Who asks, whether they may, and room for the work: all that there is to know before a body is read. The
    /// audit id is left out.
    async fn let_in(&self, request: &Request) -> Result<Admission, Status> {
        let asking = self.authenticators.identify(request).await?;
        let (identity, impersonator) = match impersonate::parse(request, &asking.user)? {
            None => (asking, None),
            Some(i) => {
                for question in &i.questions {
                    self.state.require(question).await?;
                }
                (Arc::new(Identity { user: i.user, proof: Proof::Impersonation }), Some(asking))
            }
        };
        // This group is the first in every list of authorizers: no question has to be made for its members.
        let decision = match identity.user.in_group(MASTERS) {
            true => Decision::Allow(String::new()),
            false => self.state.require(&Attributes::of(request, &identity.user)).await?,
        };
        let ticket = match is_long_running(request) {
            true => None,
            false => Some(self.flow.enter(request.verb.is_write())?),
        };
        let ticket = ticket.map(Ticket::new);
        Ok(Admission { identity, impersonator, audit_id: String::new(), decision, ticket })
    }

    /// As [`Server::let_in`], counting and answering those who are refused.
    async fn admitted(&self, request: &Request, began: Duration) -> Result<Arc<Admission>, Response> {
        let audit_id = self.audit_ids.of(request);
        match self.let_in(request).await {
            Ok(admission) => Ok(Arc::new(Admission { audit_id, ..admission })),
            Err(status) => {
                self.observe(request, status.code, began);
                Err(answer::named(status.into(), audit_id))
            }
        }
    }

    fn observe(&self, request: &Request, code: u16, began: Duration) {
        let took = self.state.clock.monotonic().saturating_sub(began);
        let served = self.state.served();
        let kind = match &request.target {
            Target::Resource { gvr, .. } => served.kind(gvr),
            Target::Path(_) => None,
        };
        self.state.metrics.observe(Series::of(request, kind.map(|k| &**k)), code, took);
    }

    async fn answer(&self, request: &Request, admission: &Admission) -> Result<Response, Status> {
        if request.body.len() > LIMIT_BODY_BYTES {
            return Err(Status::too_large(LIMIT_BODY_BYTES));
        }
        match &request.target {
            Target::Path(path) => discovery::path(&self.state, &self.site, request, path),
            Target::Resource { gvr, .. } => {
                let served = self.state.served();
                let Some(kind) = served.kind(gvr) else {
                    return discovery::no_such_resource(&served, gvr);
                };
                let mut response = self.answer_kind(request, admission, kind).await?;
                if !kind.deprecation().is_empty() {
                    response.warnings.insert(0, kind.deprecation().to_owned());
                }
                Ok(response)
            }
        }
    }

    async fn answer_kind(
        &self,
        request: &Request,
        admission: &Admission,
        kind: &KindRef,
    ) -> Result<Response, Status> {
        let Target::Resource { gvr, namespace, name, subresource, .. } = &request.target else {
            return Err(Status::unknown_resource());
        };
        if request.verb == Verb::Unknown {
            return Err(Status::method_not_allowed());
        }
        let now = self.state.now();
        let asked = Asked { state: &self.state, stages: &self.admission, request, admission, now };
        if !kind.is_stored() {
            let sources = Sources { auth: &self.auth, issuer: self.issuer.as_deref() };
            return virtuals::answer(asked, &sources, kind, namespace).await;
        }
        let call = asked.at(self.state.registry()?.find(gvr)?, namespace, name, subresource);
        call.check_scope()?;
        if request.verb == Verb::Create
            && call.resource.custom().is_some_and(|c| c.definition().is_terminating)
        {
            let why = "create not allowed while custom resource definition is terminating";
            return Err(Status { message: why.to_owned(), ..Status::method_not_allowed() });
        }
        if subresource.is_empty() {
            verbs::answer(&call).await
        } else {
            subresource::answer(&call, self.issuer.as_deref()).await
        }
    }
}

impl Handler for Server {
    fn admit<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Option<Arc<Admission>>, Response>> {
        Box::pin(async { self.admitted(request, self.state.clock.monotonic()).await.map(Some) })
    }

    fn handle(&self, mut request: Request) -> BoxFuture<'_, Response> {
        Box::pin(async move {
            let began = self.state.clock.monotonic();
            let admission = match request.admission.take() {
                Some(admission) => admission,
                None => match self.admitted(&request, began).await {
                    Ok(admission) => admission,
                    Err(refusal) => return refusal,
                },
            };
            let response = match self.answer(&request, &admission).await {
                Ok(response) => response,
                Err(status) => status.into(),
            };
            self.observe(&request, response.code, began);
            answer::kept(answer::named(response, admission.audit_id.clone()), admission)
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
