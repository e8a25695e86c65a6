//! Events to 500 watchers at a steady 20 writes a second: how late they come, and what they cost the server; as
//! JSON, as protobuf, and with selectors that let few of them through.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use client::{Api, Client, ListParams, Remote};
use futures_util::StreamExt;
use meta::{Body, Verb};
use sys::{Clock, SystemClock};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::load::{self, Times};
use super::marks;
use super::objects::{CONFIG_MAPS, config_map, json, namespace, request};
use super::options::Options;
use super::process::Server;
use super::table::{Better, Table};

const WATCHERS: usize = 500;
const WRITES: usize = 400;
const EVERY: Duration = Duration::from_millis(50);
const NAMESPACE: &str = "watched";
/// How long the last events may take.
const LATE: Duration = Duration::from_secs(30);
const SENT: &[u8] = b"\"sent\":\"";

/// Measures delivery and CPU.
///
/// # Errors
/// When a watch or a write is refused, or events are missing.
pub async fn measure(server: &Server, options: &Options, table: &mut Table) -> Result<()> {
    let writer = server.clients(1).await?.remove(0);
    let writes = options.count(WRITES);
    let made = request(Verb::Create, super::objects::NAMESPACES, "", "", json(namespace(NAMESPACE)));
    load::exchange(&writer, made).await?;
    let made = request(Verb::Create, CONFIG_MAPS, NAMESPACE, "", json(config_map("w", 0)));
    load::exchange(&writer, made).await?;
    let api = Api::new(writer.as_ref(), CONFIG_MAPS, NAMESPACE);
    let from = api.list(&ListParams::default()).await?.resource_version;
    let (up, mut ups) = mpsc::channel(WATCHERS);
    let mut watchers = JoinSet::new();
    for client in server.clients(WATCHERS).await? {
        watchers.spawn(follow(client, from.clone(), writes, up.clone()));
    }
    for _ in 0..WATCHERS {
        ups.recv().await.context("a watcher did not start")?;
    }
    let before = server.process.cpu();
    write(&writer, writes).await?;
    let mut all = Vec::with_capacity(WATCHERS * writes);
    while let Some(done) =
        tokio::time::timeout(LATE, watchers.join_next()).await.context("events are missing")?
    {
        all.extend(done??);
    }
    let cpu = server.process.cpu().saturating_sub(before);
    let events = all.len();
    let times = Times::new(all);
    let note = format!("{events} events to {WATCHERS} watchers, {}", times.note());
    let half = times.percentile_ms(50);
    table.compare("watch: delivery, p50", half, "ms", marks::DELIVERY[0], Better::Less, &note);
    let late = times.percentile_ms(99);
    table.compare("watch: delivery, p99", late, "ms", marks::DELIVERY[1], Better::Less, "");
    let each = cpu.as_secs_f64() * 1e6 / events.max(1) as f64;
    table.compare(
        "watch: server CPU per event",
        each,
        "us",
        marks::EVENT_CPU,
        Better::Less,
        "writes included",
    );
    forms(server, &writer, writes, table).await
}

/// What the watchers of a round ask for.
#[derive(Clone, Copy)]
enum Form {
    Protobuf,
    /// Watcher n wants only the writes with the number n modulo [`SHARES`].
    Selector,
}

/// How many different selectors there are.
const SHARES: usize = 50;

/// What events cost that are not plain JSON for everybody.
async fn forms(server: &Server, writer: &Arc<Remote>, writes: usize, table: &mut Table) -> Result<()> {
    for (form, what) in [(Form::Protobuf, "protobuf"), (Form::Selector, "1 of 50 selected")] {
        let api = Api::new(writer.as_ref(), CONFIG_MAPS, NAMESPACE);
        let from = api.list(&ListParams::default()).await?.resource_version;
        let (up, mut ups) = mpsc::channel(WATCHERS);
        let mut watchers = JoinSet::new();
        for (number, client) in server.clients(WATCHERS).await?.into_iter().enumerate() {
            watchers.spawn(count(client, from.clone(), form, number, writes, up.clone()));
        }
        for _ in 0..WATCHERS {
            ups.recv().await.context("a watcher did not start")?;
        }
        let before = server.process.cpu();
        write(writer, writes).await?;
        let mut events = 0;
        while let Some(done) =
            tokio::time::timeout(LATE, watchers.join_next()).await.context("events are missing")?
        {
            events += done??;
        }
        let cpu = server.process.cpu().saturating_sub(before).as_secs_f64() * 1e6;
        let each = cpu / events.max(1) as f64;
        let note = format!("{events} events, {:.0} us a write, writes included", cpu / writes.max(1) as f64);
        table.plain(&format!("watch: server CPU per event, {what}"), each, "us", &note);
    }
    Ok(())
}

/// Watches until all of its writes are seen; how many events came.
async fn count(
    client: Arc<Remote>,
    from: String,
    form: Form,
    number: usize,
    writes: usize,
    up: mpsc::Sender<()>,
) -> Result<usize> {
    let mut watch = request(Verb::Watch, CONFIG_MAPS, NAMESPACE, "", None);
    watch.query.push("resourceVersion", from);
    let share = number % SHARES;
    let wanted = match form {
        Form::Protobuf => {
            "application/vnd.kubernetes.protobuf;stream=watch".clone_into(&mut watch.accept);
            writes
        }
        Form::Selector => {
            watch.query.push("labelSelector", format!("share={share}"));
            // One when the label comes and one when it goes, which the last write's does not.
            let comes = (0..writes).filter(|write| write % SHARES == share).count();
            2 * comes - usize::from(writes > 0 && (writes - 1) % SHARES == share)
        }
    };
    let Body::Stream(mut stream) = client.send(watch).await?.body else { bail!("a watch is no stream") };
    up.send(()).await?;
    let mut frames = Frames::default();
    let mut seen = 0;
    while seen < wanted {
        let piece = stream.next().await.context("a watch ended early")??;
        seen += match form {
            Form::Protobuf => frames.count(&piece),
            Form::Selector => piece.iter().filter(|byte| **byte == b'\n').count(),
        };
    }
    Ok(seen)
}

/// Counts frames with four bytes of length before each.
#[derive(Default)]
struct Frames {
    head: Vec<u8>,
    left: usize,
}

impl Frames {
    fn count(&mut self, mut piece: &[u8]) -> usize {
        let mut whole = 0;
        while !piece.is_empty() {
            if self.left == 0 {
                let (first, rest) = piece.split_at(piece.len().min(4 - self.head.len()));
                self.head.extend_from_slice(first);
                piece = rest;
                if let Ok(length) = <[u8; 4]>::try_from(self.head.as_slice()) {
                    self.left = u32::from_be_bytes(length) as usize;
                    self.head.clear();
                }
                continue;
            }
            let taken = piece.len().min(self.left);
            self.left -= taken;
            piece = &piece[taken..];
            whole += usize::from(self.left == 0);
        }
        whole
    }
}

async fn write(writer: &Arc<Remote>, writes: usize) -> Result<()> {
    let mut tick = tokio::time::interval(EVERY);
    for number in 0..writes {
        tick.tick().await;
        let (share, sent) = (number % SHARES, SystemClock.monotonic().as_micros());
        let body = format!(r#"{{"metadata":{{"labels":{{"share":"{share}"}}}},"data":{{"sent":"{sent}"}}}}"#);
        let body = Some(("application/merge-patch+json", body));
        load::exchange(writer, request(Verb::Patch, CONFIG_MAPS, NAMESPACE, "w", body)).await?;
    }
    Ok(())
}

/// Watches until all writes are seen; how late each came.
async fn follow(
    client: Arc<Remote>,
    from: String,
    writes: usize,
    up: mpsc::Sender<()>,
) -> Result<Vec<Duration>> {
    let api = Api::new(client.as_ref(), CONFIG_MAPS, NAMESPACE);
    let params = ListParams { resource_version: from, ..ListParams::default() };
    let mut events = api.watch(&params).await?;
    up.send(()).await?;
    let mut late = Vec::with_capacity(writes);
    while late.len() < writes {
        let event = events.next().await.context("a watch ended early")??;
        if let Some(sent) = sent(&event.object) {
            late.push(SystemClock.monotonic().saturating_sub(sent));
        }
    }
    Ok(late)
}

/// The time in an object, as the writer has put it in.
fn sent(object: &[u8]) -> Option<Duration> {
    let at = object.windows(SENT.len()).position(|w| w == SENT)? + SENT.len();
    let digits = object[at..].iter().take_while(|b| b.is_ascii_digit());
    let micros = digits.fold(0_u64, |n, b| n.wrapping_mul(10).wrapping_add(u64::from(b - b'0')));
    Some(Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_counted_wherever_they_are_cut() {
        let bytes = [0, 0, 0, 2, 7, 7, 0, 0, 1, 0].into_iter().chain([9; 256]).collect::<Vec<u8>>();
        for step in 1..bytes.len() {
            let mut frames = Frames::default();
            assert_eq!(bytes.chunks(step).map(|piece| frames.count(piece)).sum::<usize>(), 2, "{step}");
        }
    }

    #[test]
    fn the_time_of_a_write_is_read_back() {
        assert_eq!(sent(br#"{"data":{"sent":"1234","x":"1"}}"#), Some(Duration::from_micros(1234)));
        assert_eq!(sent(b"{}"), None);
    }
}
