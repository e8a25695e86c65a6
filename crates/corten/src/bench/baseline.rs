//! What the machine gives, measured in the same run: how fast its disk syncs, and how many requests a second go
//! through HTTPS when nothing is behind it. Figures of the server are to be read beside these.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use client::{Endpoint, Remote};
use meta::{BoxFuture, Handler, Request, Response, Target, Verb};
use sys::{Clock, SystemClock};
use tokio::net::TcpListener;
use wire::pki::{Leaf, Pki};
use wire::server::{Config, serve};
use wire::tls::Tls;

use super::load::{self, Times};
use super::options::Options;
use super::table::Table;

const SYNC_TIME: Duration = Duration::from_secs(2);
const SYNC_BYTES: usize = 4096;
const CLIENTS: usize = 64;

/// Measures both.
///
/// # Errors
/// When the directory cannot be written, or no port can be had.
pub async fn measure(dir: &Path, options: &Options, table: &mut Table) -> Result<()> {
    let path = dir.join("sync");
    let syncs = tokio::task::spawn_blocking(move || sync_times(&path)).await??;
    let rate = 1e3 / syncs.percentile_ms(50).max(1e-6);
    table.plain("baseline: disk, 4 KiB written and synced", rate, "/s", &syncs.note());
    let echo = echo(dir, options.count(50_000)).await?;
    table.plain("baseline: HTTPS, 1 KiB, no API, 64 clients", echo.rate, "/s", &echo.times.note());
    Ok(())
}

fn sync_times(path: &Path) -> Result<Times> {
    let mut file = std::fs::File::create(path)?;
    let block = vec![b'x'; SYNC_BYTES];
    let mut all = Vec::new();
    let began = SystemClock.monotonic();
    loop {
        let from = SystemClock.monotonic();
        if from.saturating_sub(began) > SYNC_TIME {
            break;
        }
        file.write_all(&block)?;
        file.sync_data()?;
        all.push(SystemClock.monotonic().saturating_sub(from));
    }
    std::fs::remove_file(path)?;
    Ok(Times::new(all))
}

struct Nothing(Bytes);

impl Handler for Nothing {
    fn handle(&self, _: Request) -> BoxFuture<'_, Response> {
        let body = self.0.clone();
        Box::pin(async move { Response::json(200, body) })
    }
}

async fn echo(dir: &Path, total: usize) -> Result<load::Load> {
    let pki = Pki::open(&dir.join("echo"), SystemClock.now())?;
    let pair = pki.leaf(&Leaf::server("server", "bench", vec!["127.0.0.1".to_owned()]), SystemClock.now())?;
    let ca = pki.ca_pem().as_bytes();
    let tls = Tls::new(pair.cert_pem.as_bytes(), pair.key_pem.as_bytes(), Some(ca))?;
    let config = Config { tls: Some(Arc::new(tls)), ..Config::plain(Arc::new(SystemClock)) };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let server = format!("https://{}", listener.local_addr()?);
    let handler = Arc::new(Nothing(vec![b'x'; 1024].into()));
    let serving = tokio::spawn(serve(listener, config, handler, std::future::pending()));
    let endpoint = Endpoint { server, ca_pem: Some(ca.to_vec()), ..Endpoint::default() };
    let mut clients = Vec::with_capacity(CLIENTS);
    for _ in 0..CLIENTS {
        clients.push(Arc::new(Remote::new(&endpoint, "corten-bench", Arc::new(SystemClock))?));
    }
    let found = load::run(&clients, total, |client, _| async move {
        let request = Request::new(Verb::Get, Target::Path("/".to_owned()));
        load::exchange(&client, request).await.map(drop)
    })
    .await;
    serving.abort();
    found
}
