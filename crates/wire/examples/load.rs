//! How many requests a second the server takes over TLS with a handler that does nothing: `load [connections]
//! [seconds]`. Client and server share this process, so the server alone takes more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use meta::{BoxFuture, Handler, Request, Response};
use rustls::pki_types::ServerName;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use wire::pki::{Leaf, Pki};
use wire::server::{Config, serve};
use wire::tls::{Tls, client_config};

struct Nothing(Bytes);

impl Handler for Nothing {
    fn handle(&self, _: Request) -> BoxFuture<'_, Response> {
        let body = self.0.clone();
        Box::pin(async move { Response::json(200, body) })
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn client(tls: TlsConnector, port: u16, count: Arc<AtomicU64>) -> Result<(), Failure> {
    let tcp = TcpStream::connect(("127.0.0.1", port)).await?;
    tcp.set_nodelay(true)?;
    let io = tls.connect(ServerName::try_from("localhost")?, tcp).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io)).await?;
    tokio::spawn(connection);
    loop {
        let request = http::Request::get("/api/v1/namespaces/default/configmaps/a")
            .header("host", "localhost")
            .header("accept", "application/json")
            .header("user-agent", "load")
            .header("authorization", "Bearer abcdefghijklmnop")
            .body(Full::<Bytes>::default())?;
        sender.ready().await?;
        let answer = sender.send_request(request).await?;
        let code = answer.status();
        let bytes = answer.into_body().collect().await?.to_bytes().len();
        if (code.as_u16(), bytes) != (200, 1024) {
            return Err(format!("{code} with {bytes} bytes").into());
        }
        count.fetch_add(1, Ordering::Relaxed);
    }
}

async fn run(connections: usize, seconds: u64) -> Result<(), Failure> {
    let dir = std::env::temp_dir().join(format!("load-{}", sys::uuid_v4(&sys::SystemEntropy)));
    let pki = Pki::open(&dir, sys::Clock::now(&sys::SystemClock))?;
    let pair = pki.leaf(
        &Leaf::server("server", "load", vec!["localhost".into()]),
        sys::Clock::now(&sys::SystemClock),
    )?;
    let ca = pki.ca_pem().as_bytes();
    let tls = Tls::new(pair.cert_pem.as_bytes(), pair.key_pem.as_bytes(), Some(ca))?;
    let config = Config { tls: Some(Arc::new(tls)), ..Config::plain(Arc::new(sys::SystemClock)) };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let handler = Arc::new(Nothing(vec![b'x'; 1024].into()));
    tokio::spawn(serve(listener, config, handler, std::future::pending()));
    let connector = TlsConnector::from(Arc::new(client_config(Some(ca), None)?));
    let count = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> =
        (0..connections).map(|_| tokio::spawn(client(connector.clone(), port, Arc::clone(&count)))).collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = count.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let done = count.load(Ordering::Relaxed) - before;
    for client in clients {
        if client.is_finished() {
            client.await??;
        }
    }
    println!("{connections} connections: {} requests/s, client included", done / seconds.max(1));
    let _ = std::fs::remove_dir_all(dir);
    Ok(())
}

fn main() -> Result<(), Failure> {
    let number =
        |at: usize, default: u64| std::env::args().nth(at).and_then(|a| a.parse().ok()).unwrap_or(default);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(run(usize::try_from(number(1, 64))?, number(2, 5)))
}
