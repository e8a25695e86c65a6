//! One connection: TLS, the protocol it agreed on, and a clean end. It must never outlive a stopping server
//! by more than its requests.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::guard::Guard;
use super::{Shared, respond};
use crate::tls::Peer;

/// What the requests of one connection share.
pub(crate) struct Connection {
    pub(crate) shared: Arc<Shared>,
    pub(crate) peer: Peer,
    pub(crate) remote_addr: String,
}

pub(crate) async fn run(shared: Arc<Shared>, socket: TcpStream, peer: SocketAddr) {
    if let Err(error) = crate::net::tune(&socket) {
        tracing::debug!(%error, %peer, "socket options");
    }
    let io = Guard::new(socket, shared.limits.write_stall_time);
    let remote_addr = peer.to_string();
    let Some(tls) = shared.tls.clone() else {
        let connection = Connection { shared, peer: Peer::default(), remote_addr };
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
    let connection = Arc::new(Connection { peer: tls.peer(session), shared, remote_addr });
    if is_http2 { http2(connection, io).await } else { http1(connection, io).await }
}

async fn http1<S>(connection: Arc<Connection>, io: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let shared = Arc::clone(&connection.shared);
    let service = service_fn(move |r| respond::respond(Arc::clone(&connection), r));
    let engine = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.limits.header_time)
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades();
    drive(&shared, engine, |e| e.graceful_shutdown()).await;
}

async fn http2<S>(connection: Arc<Connection>, io: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let shared = Arc::clone(&connection.shared);
    let service = service_fn(move |r| respond::respond(Arc::clone(&connection), r));
    let engine = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(shared.limits.http2_streams)
        .max_header_list_size(64 << 10)
        .initial_stream_window_size(256 << 10)
        .initial_connection_window_size(4 << 20)
        .max_send_buf_size(256 << 10)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20))
        .serve_connection(TokioIo::new(io), service);
    drive(&shared, engine, |e| e.graceful_shutdown()).await;
}

/// Runs a connection to its end; `stop` is called once when the server stops.
async fn drive<F, E>(shared: &Shared, engine: F, stop: impl Fn(Pin<&mut F>))
where
    F: Future<Output = Result<(), E>>,
    E: std::fmt::Display,
{
    let mut engine = pin!(engine);
    let mut stopping = pin!(shared.stopping.cancelled());
    let (mut registered, mut told) = (false, false);
    let end = poll_fn(|cx: &mut Context<'_>| {
        // Polled once: it keeps this task's waker. Later wakes only look at the flag, which takes no lock.
        if !registered {
            registered = true;
            let _ = stopping.as_mut().poll(cx);
        }
        if !told && shared.stopped.load(Ordering::Acquire) {
            told = true;
            stop(engine.as_mut());
        }
        engine.as_mut().poll(cx)
    });
    if let Err(error) = end.await {
        tracing::debug!(%error, "connection ended");
    }
}
