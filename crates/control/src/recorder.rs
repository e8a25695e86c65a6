//! Writes Event objects. Recording never blocks and never fails its caller: what cannot be written is
//! dropped, with a line in the log.

use std::sync::Arc;
use std::time::Duration;

use client::{Api, Client, Patch};
use meta::{Gvr, Status};
use reconcile::EventRecord;
use tokio::sync::mpsc;

use crate::Context;
use crate::correlate::{Correlator, EventWrite};

/// Records not yet written.
const QUEUE_RECORDS: usize = 4096;
const TRIES: u32 = 4;
const EVENTS: Gvr = Gvr::new("", "v1", "events");

struct Message {
    component: String,
    record: EventRecord,
    client: Arc<dyn Client>,
}

/// Records events. Cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    out: mpsc::Sender<Message>,
    client: Arc<dyn Client>,
}

impl Recorder {
    /// Starts the writer. `host`: the node that the component runs on, may be empty.
    #[must_use]
    pub fn new(ctx: &Context, host: &str) -> Self {
        let (out, queue) = mpsc::channel(QUEUE_RECORDS);
        tokio::spawn(write_all(ctx.clone(), host.to_owned(), queue));
        Recorder { out, client: ctx.client.clone() }
    }

    /// The same recorder, writing with the identity of another context.
    #[must_use]
    pub fn for_client(&self, ctx: &Context) -> Self {
        Recorder { out: self.out.clone(), client: ctx.client.clone() }
    }

    /// Records an event in the name of a component (`kubelet`, `default-scheduler`).
    pub fn record(&self, component: &str, record: EventRecord) {
        let message = Message { component: component.to_owned(), record, client: self.client.clone() };
        if let Err(e) = self.out.try_send(message) {
            tracing::debug!("an event was dropped: {e}");
        }
    }
}

async fn write_all(ctx: Context, host: String, mut queue: mpsc::Receiver<Message>) {
    let mut correlator = Correlator::new();
    loop {
        let message = tokio::select! {
            () = ctx.stop.cancelled() => return,
            m = queue.recv() => m,
        };
        let Some(m) = message else { return };
        let Some(write) = correlator.correlate(&m.component, &host, &m.record, ctx.now()) else { continue };
        if let Err(e) = write_one(&ctx, &*m.client, &write).await {
            tracing::debug!("event {}/{}: {e}", write.namespace, write.name);
            correlator.forget(&write.name);
        }
    }
}

async fn write_one(ctx: &Context, client: &dyn Client, write: &EventWrite) -> Result<(), Status> {
    let api = Api::new(client, EVENTS, &write.namespace);
    let mut patch = write.patch.as_ref();
    let mut failures = 0;
    loop {
        let result = match patch {
            Some(p) => api.patch(&write.name, "", Patch::Merge(p.to_string().into_bytes())).await,
            None => api.create(write.create.to_string().into_bytes()).await,
        };
        let e = match result {
            Ok(_) => return Ok(()),
            Err(e) => e,
        };
        if e.code == 404 && patch.is_some() {
            // It has expired.
            patch = None;
            continue;
        }
        failures += 1;
        let passing = e.code == 429 || e.code >= 500;
        if !passing || failures >= TRIES || e.is("AlreadyExists") {
            return if e.is("AlreadyExists") { Ok(()) } else { Err(e) };
        }
        if !ctx.sleep(ctx.backoff(Duration::from_millis(200), Duration::from_secs(10), failures)).await {
            return Err(e);
        }
    }
}
