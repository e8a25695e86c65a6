//! A server on an ephemeral loopback port, a handler made of a closure, and a plain HTTP client.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use meta::{BoxFuture, Handler, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use wire::server::{Config, serve};

/// A handler made of a closure.
pub struct Closure<F>(pub F);

impl<F, R> Handler for Closure<F>
where
    F: Fn(Request) -> R + Send + Sync + 'static,
    R: Future<Output = Response> + Send + 'static,
{
    fn handle(&self, request: Request) -> BoxFuture<'_, Response> {
        Box::pin((self.0)(request))
    }
}

/// A running server.
pub struct Running {
    pub address: SocketAddr,
    stop: oneshot::Sender<()>,
    done: JoinHandle<()>,
}

impl Running {
    pub async fn stop(self) {
        let _ = self.stop.send(());
        self.done.await.expect("the server does not panic");
    }
}

pub fn config() -> Config {
    Config::plain(Arc::new(sys::SystemClock))
}

pub async fn start<F, R>(config: Config, handler: F) -> Running
where
    F: Fn(Request) -> R + Send + Sync + 'static,
    R: Future<Output = Response> + Send + 'static,
{
    start_with(config, Arc::new(Closure(handler))).await
}

pub async fn start_with(config: Config, handler: Arc<dyn Handler>) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("bound");
    let (stop, stopped) = oneshot::channel::<()>();
    let done = tokio::spawn(serve(listener, config, handler, async {
        let _ = stopped.await;
    }));
    Running { address, stop, done }
}

/// A keep-alive connection.
pub async fn connect(address: SocketAddr) -> http1::SendRequest<Full<Bytes>> {
    let socket = TcpStream::connect(address).await.expect("connects");
    let (sender, connection) = http1::handshake(TokioIo::new(socket)).await.expect("handshake");
    tokio::spawn(connection.with_upgrades());
    sender
}

pub fn request(method: &str, uri: &str, body: impl Into<Bytes>) -> http::Request<Full<Bytes>> {
    http::Request::builder()
        .method(method)
        .uri(uri)
        .header("host", "localhost")
        .body(Full::new(body.into()))
        .expect("a good request")
}

pub async fn send(address: SocketAddr, request: http::Request<Full<Bytes>>) -> http::Response<Incoming> {
    connect(address).await.send_request(request).await.expect("an answer")
}

pub async fn whole(response: http::Response<Incoming>) -> (u16, Bytes) {
    let code = response.status().as_u16();
    (code, response.into_body().collect().await.expect("a whole body").to_bytes())
}

pub async fn get(address: SocketAddr, uri: &str) -> (u16, Bytes) {
    whole(send(address, request("GET", uri, "")).await).await
}
