//! What a server is made from. It must never read flags or files: the binary does.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use store::Store;
use sys::{Clock, Entropy};

use crate::admission::Chosen;
use crate::authenticate::token::Issuer;
use crate::flow;
use crate::storage::Timer;

/// Who may do what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Authorization {
    /// The node authorizer and RBAC.
    #[default]
    NodeAndRbac,
    /// Everybody everything.
    AlwaysAllow,
}

/// Everything a server needs.
pub struct Config {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub timer: Arc<dyn Timer>,
    /// Keys of service-account tokens; without them no token is issued or accepted.
    pub issuer: Option<Issuer>,
    /// `10.96.0.0/12`.
    pub service_cidr: String,
    pub node_ports: RangeInclusive<u16>,
    /// Where the `kubernetes` service leads to.
    pub advertise_address: IpAddr,
    pub advertise_port: u16,
    pub authorization: Authorization,
    /// Which admission plugins look at writes.
    pub admission: Chosen,
    /// The user that kubelets know this server as; it gets what it needs there (`system:kubelet-api-admin`).
    /// Empty: nobody gets anything.
    pub kubelet_client: String,
    /// Whether requests without credentials get as far as the authorizer.
    pub anonymous: bool,
    /// Most running reads and writes; 0 means no limit.
    pub max_reads: usize,
    pub max_writes: usize,
    /// How long Events are kept.
    pub event_ttl: Duration,
    pub cache_limits: watchcache::Limits,
}

impl Config {
    /// Upstream's defaults over this store, clock, randomness and timer.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        timer: Arc<dyn Timer>,
    ) -> Self {
        Config {
            store,
            clock,
            entropy,
            timer,
            issuer: None,
            service_cidr: "10.0.0.0/24".to_owned(),
            node_ports: 30_000..=32_767,
            advertise_address: IpAddr::from([127, 0, 0, 1]),
            advertise_port: 6443,
            authorization: Authorization::NodeAndRbac,
            admission: Chosen::default(),
            kubelet_client: String::new(),
            anonymous: true,
            max_reads: flow::DEFAULT_READS,
            max_writes: flow::DEFAULT_WRITES,
            event_ttl: Duration::from_secs(3600),
            cache_limits: watchcache::Limits::default(),
        }
    }
}
