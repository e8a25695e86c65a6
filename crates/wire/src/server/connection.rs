//! One connection: TLS, the protocol it agreed on, and a clean end. It must never outlive a stopping server
//! by more than its requests.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_rustls::TlsAcceptor;

use super::connections::Slot;
use super::guard::Guard;
use super::stall::{Patience, Streams};
use super::{Limits, Shared, respond};
use crate::tls::Peer;

/// What a connection that is told to close may still take for it.
const CLOSE_TIME: Duration = Duration::from_secs(5);

/// What the requests of one connection share.
pub(crate) struct Connection {
    pub(crate) slot: Arc<Slot>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) peer: Peer,
    pub(crate) remote_addr: String,
}

pub(crate) async fn run(shared: Arc<Shared>, socket: TcpStream, peer: SocketAddr, slot: Arc<Slot>) {
    if let Err(error) = crate::net::tune(&socket) {
        tracing::debug!(%error, %peer, "socket options");
    }
    let io = Guard::new(socket, shared.limits.write_stall_time);
    let remote_addr = peer.to_string();
    let Some(tls) = shared.tls.clone() else {
        let connection = Connection { slot, shared, peer: Peer::default(), remote_addr };
        return http1(Arc::new(connection), io).await;
    };
    let handshake = TlsAcceptor::from(Arc::clone(&tls.config)).accept(io);
    let io = tokio::select! {
        r = tokio::time::timeout(shared.limits.handshake_time, handshake) => match r {
            Ok(Ok(io)) => io,
            Ok(Err(error)) => return tracing::debug!(%error, peer = %remote_addr, "TLS handshake failed"),
            Err(_) => return tracing::debug!(peer = %remote_addr, "TLS handshake took too long"),
        },
        () = shared.stopping.cancelled() => return,
    };
    let session = io.get_ref().1;
    let is_http2 = session.alpn_protocol() == Some(b"h2");
    let connection = Arc::new(Connection { slot, peer: tls.peer(session), shared, remote_addr });
    if is_http2 { http2(connection, io).await } else { http1(connection, io).await }
}

async fn http1<S>(connection: Arc<Connection>, io: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (shared, slot) = (Arc::clone(&connection.shared), Arc::clone(&connection.slot));
    let service = service_fn(move |r| respond::respond(Arc::clone(&connection), r));
    let engine = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.limits.idle_time)
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades();
    drive(&shared, &slot, engine, |e| e.graceful_shutdown()).await;
}

async fn http2<S>(connection: Arc<Connection>, io: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (shared, slot) = (Arc::clone(&connection.shared), Arc::clone(&connection.slot));
    let service = service_fn(move |r| respond::respond(Arc::clone(&connection), r));
    let patience = Patience {
        usual: shared.limits.write_stall_time,
        pressed: shared.limits.pressed_stall_time,
        limit_bytes: shared.limits.unsent_bytes,
        unsent: Arc::clone(&shared.unsent),
    };
    let engine = http2::Builder::new(Streams(patience))
        .timer(TokioTimer::new())
        .max_concurrent_streams(shared.limits.http2_streams)
        .max_header_list_size(64 << 10)
        .initial_stream_window_size(256 << 10)
        .initial_connection_window_size(4 << 20)
        .max_send_buf_size(256 << 10)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20))
        .serve_connection(TokioIo::new(io), service);
    drive(&shared, &slot, engine, |e| e.graceful_shutdown()).await;
}

/// Runs a connection to its end; `stop` is called once, when the server stops, or when the connection makes room for
/// others or has had nothing to do for too long: it has a moment to end then.
async fn drive<F, E>(shared: &Shared, slot: &Slot, engine: F, stop: impl Fn(Pin<&mut F>))
where
    F: Future<Output = Result<(), E>>,
    E: std::fmt::Display,
{
    let mut engine = pin!(engine);
    let mut stopping = pin!(shared.stopping.cancelled());
    let (mut registered, mut told) = (false, false);
    let mut idle = Idle::new(&shared.limits);
    let mut last: Option<Pin<Box<Sleep>>> = None;
    let end = poll_fn(|cx: &mut Context<'_>| {
        // Polled once: it keeps this task's waker. Later wakes only look at the flags, which takes no lock.
        let register = (!registered).then(|| cx.waker());
        let is_shed = slot.is_shed(register);
        if !registered {
            registered = true;
            let _ = stopping.as_mut().poll(cx);
        }
        let is_stopped = shared.stopped.load(Ordering::Acquire);
        if !told && (is_stopped || is_shed || idle.is_over(slot, cx)) {
            told = true;
            stop(engine.as_mut());
            if !is_stopped {
                last = Some(Box::pin(tokio::time::sleep(CLOSE_TIME)));
                let end = engine.as_mut().poll(cx);
                // Nothing came at the last moment.
                return if slot.idle().is_some() { Poll::Ready(Ok(())) } else { end };
            }
        }
        if last.as_mut().is_some_and(|last| last.as_mut().poll(cx).is_ready()) {
            return Poll::Ready(Ok(()));
        }
        engine.as_mut().poll(cx)
    });
    if let Err(error) = end.await {
        tracing::debug!(%error, "connection ended");
    }
}

/// Finds out that a connection has had nothing to do for too long. Costs a request nothing: one timer looks now and
/// then.
struct Idle {
    header_time: Duration,
    idle_time: Duration,
    look: Pin<Box<Sleep>>,
}

impl Idle {
    fn new(limits: &Limits) -> Idle {
        let (header_time, idle_time) = (limits.header_time, limits.idle_time);
        Idle { header_time, idle_time, look: Box::pin(tokio::time::sleep(header_time)) }
    }

    fn is_over(&mut self, slot: &Slot, cx: &mut Context<'_>) -> bool {
        while self.look.as_mut().poll(cx).is_ready() {
            let left = match slot.idle() {
                None => self.idle_time,
                Some((idle, asked)) => {
                    let limit = if asked { self.idle_time } else { self.header_time };
                    match limit.checked_sub(idle).filter(|left| !left.is_zero()) {
                        Some(left) => left,
                        None => return true,
                    }
                }
            };
            self.look.as_mut().reset(tokio::time::Instant::now() + left);
        }
        false
    }
}
