//! The HTTP server: accepts connections, gives requests to a `Handler`, sends its responses. It must never
//! know a resource, and never let one client or one request bring down another.
// k8s: staging/src/k8s.io/apiserver/pkg/server/secure_serving.go for the times

mod body;
mod connection;
mod connections;
mod guard;
mod gzip;
mod request;
mod respond;
mod stall;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use meta::Handler;
use sys::Clock;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::stream::Upgrader;
use crate::tls::Tls;
use crate::tunnel::Dialer;

use connections::Connections;

pub(crate) use body::WireBody;
pub(crate) use connections::Busy;
pub(crate) use request::TOKEN_PROTOCOL;

/// What a server grants. All of it can be set; the defaults are upstream's where upstream has one.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Longest request body.
    pub body_bytes: usize,
    /// Bodies of all requests together that are in memory, not counting the first 16 KiB of each; requests
    /// beyond it are answered 429.
    pub buffered_body_bytes: usize,
    /// A body must have arrived whole within this time.
    pub body_time: Duration,
    /// A connection is closed when the head of its first request has not arrived within this time.
    pub header_time: Duration,
    /// A connection is closed when it has had no request for this time.
    pub idle_time: Duration,
    /// A TLS handshake must be done within this time.
    pub handshake_time: Duration,
    /// A request that is not long-running is answered 504 after this time.
    pub request_time: Duration,
    /// A client that takes nothing of what it is sent, on the connection or on one stream, for this time is cut off.
    pub write_stall_time: Duration,
    /// What clients have not taken yet of the streams of all HTTP/2 connections together. Beyond it a stream may be
    /// stuck for `pressed_stall_time` only.
    pub unsent_bytes: usize,
    pub pressed_stall_time: Duration,
    /// Open connections; at most as many as the process may have files. A further one takes the place of the one that
    /// has been idle for longest, and is closed when there is none.
    pub connections: usize,
    /// Of these, from one address (of IPv6, one network of 64 bits).
    pub connections_per_address: usize,
    /// Requests at once on one HTTP/2 connection.
    pub http2_streams: u32,
    /// Responses longer than this are compressed for clients that accept it.
    pub compress_from_bytes: usize,
    /// What a stopping server waits for requests before it drops them.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            body_bytes: 3 << 20,
            buffered_body_bytes: 256 << 20,
            body_time: Duration::from_secs(30),
            header_time: Duration::from_secs(32),
            idle_time: Duration::from_secs(90),
            handshake_time: Duration::from_secs(10),
            request_time: Duration::from_secs(60),
            write_stall_time: Duration::from_secs(30),
            unsent_bytes: 256 << 20,
            pressed_stall_time: Duration::from_secs(1),
            connections: 16_384,
            connections_per_address: 8192,
            http2_streams: 250,
            compress_from_bytes: 128 << 10,
            grace: Duration::from_secs(10),
        }
    }
}

/// What a server needs besides its handler.
pub struct Config {
    pub limits: Limits,
    /// Without it the server speaks plain HTTP/1.1; for loopback only.
    pub tls: Option<Arc<Tls>>,
    /// Carries out `Body::Tunnel`; without it such a response becomes 503.
    pub dialer: Option<Arc<Dialer>>,
    /// Takes requests that ask for an upgrade; without it they go to the handler.
    pub upgrader: Option<Arc<dyn Upgrader>>,
    pub clock: Arc<dyn Clock>,
}

impl Config {
    /// Plain HTTP with default limits.
    #[must_use]
    pub fn plain(clock: Arc<dyn Clock>) -> Self {
        Config { limits: Limits::default(), tls: None, dialer: None, upgrader: None, clock }
    }
}

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) limits: Limits,
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) dialer: Option<Arc<Dialer>>,
    pub(crate) upgrader: Option<Arc<dyn Upgrader>>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Bytes of [`Limits::buffered_body_bytes`] in use.
    pub(crate) buffered: Arc<AtomicUsize>,
    /// Bytes of [`Limits::unsent_bytes`] in use.
    pub(crate) unsent: Arc<AtomicUsize>,
    /// Cancelled when the server stops, just after `stopped` is set.
    pub(crate) stopping: CancellationToken,
    pub(crate) stopped: AtomicBool,
    /// Connections and what was made of them (upgraded ones).
    pub(crate) tasks: TaskTracker,
    pub(crate) audit_ids: sys::Uuids,
}

/// Serves until `shutdown` is done, then finishes what is under way: requests get `limits.grace`, watches and
/// tunnels are closed at once.
pub async fn serve(
    listener: TcpListener,
    config: Config,
    handler: Arc<dyn Handler>,
    shutdown: impl Future<Output = ()> + Send,
) {
    let connections = config.limits.connections.min(crate::net::raise_file_limit());
    let share = config.limits.connections_per_address.min(connections / 2).max(1);
    let connections = Connections::new(connections, share);
    let shared = Arc::new(Shared {
        handler,
        limits: config.limits,
        tls: config.tls,
        dialer: config.dialer,
        upgrader: config.upgrader,
        clock: config.clock,
        buffered: Arc::default(),
        unsent: Arc::default(),
        stopping: CancellationToken::new(),
        stopped: AtomicBool::new(false),
        tasks: TaskTracker::new(),
        audit_ids: sys::Uuids::new(&sys::SystemEntropy),
    });
    // A caller that drops this future stops the connections too.
    let stop = Stop(Arc::clone(&shared));
    tokio::select! {
        () = accept(&listener, &shared, &connections) => {}
        () = shutdown => {}
    }
    drop(listener);
    drop(stop);
    shared.tasks.close();
    if tokio::time::timeout(shared.limits.grace, shared.tasks.wait()).await.is_err() {
        tracing::warn!(
            connections = shared.tasks.len(),
            "connections still busy at the end of the grace period"
        );
    }
}

struct Stop(Arc<Shared>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.stopped.store(true, Ordering::Release);
        self.0.stopping.cancel();
    }
}

async fn accept(listener: &TcpListener, shared: &Arc<Shared>, connections: &Arc<Connections>) {
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => match connections.admit(peer) {
                Some(slot) => {
                    let run = connection::run(Arc::clone(shared), socket, peer, slot);
                    shared.tasks.spawn(run);
                }
                None => tracing::debug!(%peer, "a connection is refused: the others are all busy"),
            },
            Err(error) => {
                // Out of file descriptors, or the peer has gone already: neither may stop the server.
                tracing::warn!(%error, "accept failed");
                connections.shed_one();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}
