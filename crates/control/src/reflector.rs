//! Follows one collection: lists it in pages, then watches from the list's revision with bookmarks; lists
//! again when the revision has expired. Errors are retried with back-off and jitter and logged when they
//! change.

use std::time::Duration;

use bytes::Bytes;
use client::{Api, ListParams, WatchEvent, WatchType};
use futures_util::{Stream, StreamExt};
use meta::{Gvr, Status};
use reconcile::Partial;
use tokio::sync::{mpsc, watch};

use crate::Context;

/// Items in a page of a list.
const PAGE_LIMIT: u32 = 5000;
const BACKOFF_BASE: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// A watch is asked to end after this long, and up to as long again at random.
const WATCH_SECONDS: u32 = 300;
/// How long a revision that somebody waits for may stay unseen before the collection is listed again.
const PATIENCE: Duration = Duration::from_secs(1);
/// Events not yet taken by the receiver.
const CHANNEL_EVENTS: usize = 1024;

/// Which objects of a resource to follow. Empty: all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    pub namespace: String,
    pub label_selector: String,
    pub field_selector: String,
}

/// What a feed delivers, in order. Every list begins with `Replaced`.
#[derive(Clone, Debug)]
pub enum RawEvent {
    /// The whole collection as of a revision: what is not in it is gone.
    Replaced { items: Vec<Bytes>, revision: u64 },
    /// Added or modified.
    Applied(Bytes),
    /// The last state of what was deleted.
    Deleted(Bytes),
    /// Nothing more up to this revision.
    Progress(u64),
}

/// A collection to follow.
#[derive(Clone, Debug)]
pub struct Feed {
    pub gvr: Gvr,
    pub selection: Selection,
    /// Read PartialObjectMetadata instead of whole objects.
    pub metadata_only: bool,
}

/// The hold on a running feed.
pub struct FeedHandle {
    pub events: mpsc::Receiver<RawEvent>,
    pub require: watch::Sender<u64>,
}

enum End {
    Stop,
    /// Watch again from the last revision.
    Again,
    Relist,
}

struct Runner {
    ctx: Context,
    feed: Feed,
    out: mpsc::Sender<RawEvent>,
    require: watch::Receiver<u64>,
    revision: u64,
    failures: u32,
    last_error: String,
}

impl Feed {
    /// Starts following. The task ends with the context's stop token or when the receiver is dropped.
    #[must_use]
    pub fn start(self, ctx: &Context) -> FeedHandle {
        let (out, events) = mpsc::channel(CHANNEL_EVENTS);
        let (require, required) = watch::channel(0);
        let runner = Runner {
            ctx: ctx.clone(),
            feed: self,
            out,
            require: required,
            revision: 0,
            failures: 0,
            last_error: String::new(),
        };
        tokio::spawn(runner.run());
        FeedHandle { events, require }
    }

    fn params(&self) -> ListParams {
        ListParams {
            label_selector: self.selection.label_selector.clone(),
            field_selector: self.selection.field_selector.clone(),
            ..ListParams::default()
        }
    }

    fn api<'a>(&self, ctx: &'a Context) -> Api<'a> {
        let api = Api::new(&*ctx.client, self.gvr.clone(), &self.selection.namespace);
        if self.metadata_only { api.metadata_only() } else { api }
    }
}

impl Runner {
    async fn run(mut self) {
        let mut relist = true;
        loop {
            if relist {
                match self.list().await {
                    Ok(true) => {}
                    Ok(false) => return,
                    Err(e) => {
                        if !self.failed("list", &e).await {
                            return;
                        }
                        continue;
                    }
                }
            }
            match self.watch().await {
                Ok(End::Stop) => return,
                Ok(End::Again) => relist = false,
                Ok(End::Relist) => relist = true,
                Err(e) => {
                    relist = expired(&e);
                    if !relist && !self.failed("watch", &e).await {
                        return;
                    }
                }
            }
        }
    }

    /// Logs an error when it is another than before, and waits. False: stop.
    async fn failed(&mut self, verb: &str, e: &Status) -> bool {
        let text = e.to_string();
        if text != self.last_error {
            tracing::warn!("{verb} {}: {text}", self.feed.gvr);
            self.last_error = text;
        }
        let delay = self.ctx.backoff(BACKOFF_BASE, BACKOFF_MAX, self.failures);
        self.failures = self.failures.saturating_add(1);
        tokio::select! {
            () = self.out.closed() => false,
            more = self.ctx.sleep(delay) => more,
        }
    }

    fn recovered(&mut self) {
        self.failures = 0;
        if !std::mem::take(&mut self.last_error).is_empty() {
            tracing::info!("{}: reading again", self.feed.gvr);
        }
    }

    /// Lists everything and sends it. False: nobody listens any more.
    async fn list(&mut self) -> Result<bool, Status> {
        let stop = self.ctx.stop.clone();
        let pages = async {
            match self.pages(PAGE_LIMIT).await {
                // The continue token has expired: take it all at once.
                Err(e) if expired(&e) => self.pages(0).await,
                other => other,
            }
        };
        let (items, revision) = tokio::select! {
            () = stop.cancelled() => return Ok(false),
            r = pages => r?,
        };
        self.revision = revision;
        self.recovered();
        Ok(self.send(RawEvent::Replaced { items, revision }).await)
    }

    async fn pages(&self, limit: u32) -> Result<(Vec<Bytes>, u64), Status> {
        let api = self.feed.api(&self.ctx);
        let mut params = ListParams { limit, ..self.feed.params() };
        let mut items = Vec::new();
        loop {
            let page = api.list(&params).await?;
            items.extend(page.items);
            if page.continue_token.is_empty() {
                return Ok((items, page.resource_version.parse().unwrap_or(0)));
            }
            params.continue_token = page.continue_token;
        }
    }

    async fn watch(&mut self) -> Result<End, Status> {
        let spread = (self.ctx.fraction() * f64::from(WATCH_SECONDS)) as u32;
        let params = ListParams {
            resource_version: self.revision.to_string(),
            allow_bookmarks: true,
            timeout_seconds: WATCH_SECONDS + spread,
            ..self.feed.params()
        };
        let started = self.ctx.clock.monotonic();
        let ctx = self.ctx.clone();
        let api = self.feed.api(&ctx);
        let stream = tokio::select! {
            () = ctx.stop.cancelled() => return Ok(End::Stop),
            s = api.watch(&params) => s?,
        };
        self.recovered();
        let limit = Duration::from_secs(u64::from(params.timeout_seconds) + 30);
        let end = self.events(stream, limit).await?;
        // A server that ends every watch at once must not be asked in a tight loop.
        if matches!(end, End::Again)
            && self.ctx.clock.monotonic().saturating_sub(started) < Duration::from_secs(1)
            && !ctx.sleep(ctx.backoff(BACKOFF_BASE, BACKOFF_MAX, 0)).await
        {
            return Ok(End::Stop);
        }
        Ok(end)
    }

    async fn events(
        &mut self,
        mut stream: impl Stream<Item = Result<WatchEvent, Status>> + Unpin,
        limit: Duration,
    ) -> Result<End, Status> {
        let deadline = tokio::time::Instant::now() + limit;
        let stop = self.ctx.stop.clone();
        let mut impatient = None;
        let mut asked = true;
        loop {
            let wanted = *self.require.borrow_and_update();
            if wanted <= self.revision {
                impatient = None;
            } else if impatient.is_none() {
                impatient = Some(tokio::time::Instant::now() + PATIENCE);
            }
            let next = tokio::select! {
                () = stop.cancelled() => return Ok(End::Stop),
                () = self.out.closed() => return Ok(End::Stop),
                () = tokio::time::sleep_until(impatient.unwrap_or(deadline).min(deadline)) => {
                    return Ok(if impatient.is_some() { End::Relist } else { End::Again });
                }
                changed = self.require.changed(), if asked => {
                    // When nobody can require anything any more, the feed may still be wanted.
                    asked = changed.is_ok();
                    continue;
                }
                next = stream.next() => next,
            };
            let Some(event) = next else { return Ok(End::Again) };
            if !self.event(event?).await? {
                return Ok(End::Stop);
            }
        }
    }

    async fn event(&mut self, event: WatchEvent) -> Result<bool, Status> {
        if event.kind == WatchType::Error {
            return Err(Status::from_json(&event.object)
                .or_else(|| serde_json::from_slice(&event.object).ok())
                .unwrap_or_else(|| Status::internal("watch error without a status")));
        }
        let revision = revision_of(&event.object)?;
        self.revision = self.revision.max(revision);
        let out = match event.kind {
            WatchType::Added | WatchType::Modified => RawEvent::Applied(event.object),
            WatchType::Deleted => RawEvent::Deleted(event.object),
            WatchType::Bookmark | WatchType::Error => RawEvent::Progress(revision),
        };
        Ok(self.send(out).await)
    }

    async fn send(&self, event: RawEvent) -> bool {
        tokio::select! {
            () = self.ctx.stop.cancelled() => false,
            sent = self.out.send(event) => sent.is_ok(),
        }
    }
}

/// The resource version of an object. Where it stands first in the metadata, as this project's server puts it,
/// nothing is parsed: whoever takes the event reads the object anyway.
fn revision_of(object: &[u8]) -> Result<u64, Status> {
    const HEAD_BYTES: usize = 256;
    let head = &object[..object.len().min(HEAD_BYTES)];
    let inner = head.iter().skip(1).position(|b| *b == b'{').map_or(0, |at| at + 2);
    let (before, behind) = head.split_at(inner);
    if before.ends_with(b"\"metadata\":{")
        && let Some(digits) = behind.strip_prefix(b"\"resourceVersion\":\"")
        && let Some(end) = digits.iter().position(|b| *b == b'"')
        && let Some(revision) = std::str::from_utf8(&digits[..end]).ok().and_then(|d| d.parse().ok())
    {
        return Ok(revision);
    }
    let object = Partial::parse(object)
        .map_err(|e| Status::internal(format!("a watched object cannot be read: {e}")))?;
    Ok(object.metadata.resource_version)
}

fn expired(e: &Status) -> bool {
    e.code == 410 || e.is("Expired") || e.is("Gone")
}

#[cfg(test)]
mod tests {
    use super::revision_of;

    #[test]
    fn revisions_are_found_wherever_they_stand() {
        for (object, want) in [
            (r#"{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"42","name":"a"}}"#, 42),
            (r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a","resourceVersion":"42"}}"#, 42),
            (r#"{"metadata":{"resourceVersion":"7"}}"#, 7),
            (r#"{"spec":{"metadata":{"resourceVersion":"1"}},"metadata":{"resourceVersion":"9"}}"#, 9),
            (r#"{"metadata":{}}"#, 0),
        ] {
            assert_eq!(revision_of(object.as_bytes()).unwrap(), want, "{object}");
        }
        assert!(revision_of(b"{").is_err());
    }
}
