//! What every request works on: the store, the cache, the served resources, the clock. The server composes it
//! and hands it down; it must never know who answers which request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use meta::{BoxFuture, Decision, Status};
use store::Store;
use sys::{Clock, Entropy};
use watchcache::WatchCache;

use crate::metrics::Metrics;
use crate::registry::Registry;
use crate::request::{Attributes, Authorizer};

/// Lets a stream wait. The binary puts a runtime's timer behind it, the simulation its virtual time.
pub trait Timer: Send + Sync + 'static {
    /// Ready after `duration`.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// A timer that never fires: watches then end only when the client goes.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTimer;

impl Timer for NoTimer {
    fn sleep(&self, _duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

/// The state below all verbs.
pub(crate) struct State {
    pub store: Arc<dyn Store>,
    pub cache: Arc<WatchCache>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub timer: Arc<dyn Timer>,
    pub authorizer: Arc<dyn Authorizer>,
    pub metrics: Metrics,
    /// When this server was made.
    pub started: Timestamp,
    served: ArcSwap<Registry>,
    ready: AtomicBool,
}

impl State {
    /// Over its parts; no resource is served yet.
    pub fn new(
        store: Arc<dyn Store>,
        cache: Arc<WatchCache>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        timer: Arc<dyn Timer>,
        authorizer: Arc<dyn Authorizer>,
    ) -> Self {
        State {
            store,
            cache,
            started: clock.now(),
            clock,
            entropy,
            timer,
            authorizer,
            metrics: Metrics::default(),
            served: ArcSwap::from_pointee(Registry::declared()),
            ready: AtomicBool::new(false),
        }
    }

    /// The time of the wall clock.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The resources.
    ///
    /// # Errors
    /// 503 until they are loaded.
    pub fn registry(&self) -> Result<Arc<Registry>, Status> {
        let served = self.served();
        if served.is_loaded() { Ok(served) } else { Err(Status::unavailable("the server is starting")) }
    }

    /// What is served now, whether it can be asked for or not.
    pub fn served(&self) -> Arc<Registry> {
        self.served.load_full()
    }

    /// Serves this from now on. Requests that have begun end with what was served before.
    pub fn serve(&self, registry: Registry) {
        self.served.store(Arc::new(registry));
    }

    /// Whether requests for resources can be answered.
    pub fn is_loaded(&self) -> bool {
        self.served.load().is_loaded()
    }

    /// Whether what every cluster has is in place.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// What every cluster has is in place from now on.
    pub fn set_ready(&self) {
        self.ready.store(true, Ordering::Release);
    }

    /// The answer of the authorizers.
    pub async fn decide(&self, a: &Attributes) -> Decision {
        self.authorizer.authorize(a).await
    }

    /// As [`State::decide`], with the answer to who may not.
    ///
    /// # Errors
    /// 403.
    pub async fn require(&self, a: &Attributes) -> Result<Decision, Status> {
        match self.decide(a).await {
            allowed @ Decision::Allow(_) => Ok(allowed),
            Decision::Deny(why) | Decision::NoOpinion(why) => Err(a.forbidden(&why)),
        }
    }
}
