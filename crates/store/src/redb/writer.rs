//! The one writer: takes every request that waits, puts them into one redb transaction, syncs, tells the
//! sinks, answers. After a failed commit it reopens the file and finds out whether the commit is there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, RwLock};
use redb::{Database, ReadTransaction, ReadableDatabase};
use tokio::sync::oneshot;

use super::compact::Compaction;
use super::open::Place;
use super::table::{Fault, META, META_REVISION, OBJECTS, Objects};
use crate::apply;
use crate::hub::Hub;
use crate::{Error, Event, Events, Hold, Outcome, Txn};

/// Most requests that may wait.
const LIMIT_WAITING: usize = 8192;
/// Most requests in one group, so that its answers do not take too long.
const LIMIT_GROUP: usize = 1024;
/// Bytes of values at which a group is closed.
const LIMIT_GROUP_BYTES: usize = 8 << 20;

/// How long a group waits for clients that are expected. Short beside a sync.
const GATHER: Duration = Duration::from_micros(200);

type Answer = Result<Outcome, Error>;

struct Request {
    txn: Txn,
    hold: Hold,
    answer: oneshot::Sender<Answer>,
}

#[derive(Default)]
struct Queue {
    waiting: std::collections::VecDeque<Request>,
    /// The writer wants to be woken when so many wait.
    wake_at: usize,
    closed: bool,
}

/// What readers and the writer share.
pub(super) struct Shared {
    pub(super) place: Place,
    /// `None` while a failed file could not be reopened.
    pub(super) database: RwLock<Option<Database>>,
    pub(super) hub: Hub,
    /// The last commit failed, or the writer has ended.
    pub(super) failing: AtomicBool,
    /// The writer has ended.
    pub(super) ended: AtomicBool,
    /// Held by the writer while it commits: whoever else holds it has the file for himself.
    pub(super) gate: Mutex<()>,
    pub(super) compaction: Compaction,
    queue: Mutex<Queue>,
    wake: Condvar,
}

impl Shared {
    pub(super) fn new(place: Place, database: Database, hub: Hub) -> Shared {
        let database = RwLock::new(Some(database));
        Shared {
            place,
            database,
            hub,
            failing: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            gate: Mutex::new(()),
            compaction: Compaction::default(),
            queue: Mutex::new(Queue::default()),
            wake: Condvar::new(),
        }
    }

    /// Runs `read` in one read transaction.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&ReadTransaction) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let database = self.database.read();
        let Some(database) = database.as_ref() else {
            let reason = "it failed and could not be opened again".to_owned();
            return Err(Error::Io { path: self.place.path.clone(), reason });
        };
        self.place.guard(|| {
            let txn = database.begin_read().map_err(|error| self.place.error(error.into()))?;
            read(&txn)
        })
    }

    /// Hands a validated transaction to the writer.
    pub(super) fn enqueue(&self, txn: Txn, hold: Hold) -> Result<oneshot::Receiver<Answer>, Error> {
        let (answer, receiver) = oneshot::channel();
        let mut queue = self.queue.lock();
        if queue.closed {
            self.hub.check()?;
            return Err(Error::Closed);
        }
        if queue.waiting.len() >= LIMIT_WAITING {
            return Err(Error::Overloaded { waiting: queue.waiting.len() });
        }
        queue.waiting.push_back(Request { txn, hold, answer });
        if queue.waiting.len() == queue.wake_at.max(1) {
            self.wake.notify_one();
        }
        Ok(receiver)
    }

    /// Lets the writer finish what waits and end.
    pub(super) fn close(&self) {
        self.queue.lock().closed = true;
        self.wake.notify_one();
    }

    /// Waits for requests; `None` when closed and done. Gives the `expected` number of clients, who were
    /// just answered, a moment to come back, so that they share a sync again.
    fn next_group(&self, expected: usize) -> Option<Vec<Request>> {
        let mut queue = self.queue.lock();
        while queue.waiting.is_empty() {
            if queue.closed {
                return None;
            }
            self.wake.wait(&mut queue);
        }
        while queue.waiting.len() < expected && !queue.closed {
            queue.wake_at = expected;
            if self.wake.wait_for(&mut queue, GATHER).timed_out() {
                break;
            }
        }
        queue.wake_at = 1;
        let mut bytes = 0;
        let within = |request: &&Request| {
            let fits = bytes < LIMIT_GROUP_BYTES;
            bytes += size(&request.txn);
            fits
        };
        let count = queue.waiting.iter().take(LIMIT_GROUP).take_while(within).count();
        Some(queue.waiting.drain(..count).collect())
    }
}

fn size(txn: &Txn) -> usize {
    let value = |op: &crate::Op| match op {
        crate::Op::Put { value, .. } => value.len(),
        crate::Op::Delete { .. } => 0,
    };
    txn.ops.iter().map(value).sum()
}

/// Starts the writer's thread, which ends after [`Shared::close`].
pub(super) fn start(shared: Arc<Shared>, revision: u64) -> Result<JoinHandle<()>, Error> {
    let path = shared.place.path.clone();
    std::thread::Builder::new()
        .name("store-writer".into())
        .spawn(move || Writer { shared, revision, in_doubt: Vec::new(), held: Vec::new() }.run())
        .map_err(|error| Error::Io { path, reason: format!("cannot start a thread: {error}") })
}

struct Writer {
    shared: Arc<Shared>,
    /// The revision of the last commit.
    revision: u64,
    /// The events of a commit whose fate is not known, until the file can be opened again.
    in_doubt: Vec<Event>,
    /// What is held for it.
    held: Vec<Hold>,
}

/// However the writer ends, nobody waits for it any more.
struct CloseAtEnd(Arc<Shared>);

impl Drop for CloseAtEnd {
    fn drop(&mut self) {
        self.0.failing.store(true, Ordering::Relaxed);
        self.0.ended.store(true, Ordering::Relaxed);
        let mut queue = self.0.queue.lock();
        queue.closed = true;
        queue.waiting.clear();
    }
}

impl Writer {
    fn run(mut self) {
        let _close = CloseAtEnd(self.shared.clone());
        let mut expected = 1;
        while let Some(group) = self.shared.next_group(expected) {
            expected = group.len();
            let (txns, answers): (Vec<_>, Vec<_>) =
                group.into_iter().map(|request| (request.txn, (request.answer, request.hold))).unzip();
            match self.commit(txns) {
                Ok((outcomes, events)) => {
                    if !events.is_empty() {
                        self.shared.failing.store(false, Ordering::Relaxed);
                    }
                    self.shared.hub.publish(&events);
                    let told = self.shared.hub.check();
                    for ((answer, hold), outcome) in answers.into_iter().zip(outcomes) {
                        drop(hold);
                        // Whoever asked may have gone.
                        let _ = answer.send(told.clone().map(|()| outcome));
                    }
                    self.shared.hub.flush();
                    if self.shared.hub.check().is_err() {
                        return;
                    }
                }
                Err(error) => {
                    tracing::error!(%error, requests = answers.len(), "store writes failed");
                    self.shared.failing.store(true, Ordering::Relaxed);
                    for (answer, hold) in answers {
                        if matches!(error, Error::Indeterminate { .. }) {
                            self.held.push(hold);
                        } else {
                            drop(hold);
                        }
                        let _ = answer.send(Err(error.clone()));
                    }
                }
            }
        }
    }

    /// Makes the group durable. On an error nothing of it is, or its fate is kept in `in_doubt`.
    fn commit(&mut self, txns: Vec<Txn>) -> Result<(Vec<Outcome>, Events), Error> {
        let shared = self.shared.clone();
        let _gate = shared.gate.lock();
        let committed = self.commit_alone(txns);
        match &committed {
            Ok((_, events)) => shared.compaction.committed(events),
            Err(_) => shared.compaction.give_up(),
        }
        committed
    }

    fn commit_alone(&mut self, txns: Vec<Txn>) -> Result<(Vec<Outcome>, Events), Error> {
        if self.shared.database.read().is_none() {
            self.resolve_doubt()?;
        }
        let mut outcomes = Vec::with_capacity(txns.len());
        let mut events = Vec::new();
        let attempt = {
            let place = &self.shared.place;
            let database = self.shared.database.read();
            let database = database.as_ref().ok_or(Error::Closed)?;
            place.guard(|| {
                let attempt = self.try_commit(database, txns, &mut outcomes, &mut events);
                attempt.map_err(|fault| place.error(fault))
            })
        };
        if let Err(failure) = attempt {
            self.recover(&failure, &events)?;
        }
        self.revision = last_revision(&events).unwrap_or(self.revision);
        Ok((outcomes, events.into()))
    }

    fn try_commit(
        &self,
        database: &Database,
        txns: Vec<Txn>,
        outcomes: &mut Vec<Outcome>,
        events: &mut Vec<Event>,
    ) -> Result<(), Fault> {
        let txn = database.begin_write()?;
        {
            let mut objects = Objects(txn.open_table(OBJECTS)?);
            for request in txns {
                let current = last_revision(events).unwrap_or(self.revision);
                outcomes.push(apply::apply(&mut objects, request, current, events)?);
            }
        }
        let Some(last) = last_revision(events) else {
            return Ok(txn.abort()?);
        };
        txn.open_table(META)?.insert(META_REVISION, last.to_le_bytes().as_slice())?;
        self.shared.hub.stage(events);
        Ok(txn.commit()?)
    }

    /// After a failure: reopens the file. `Ok` when the commit turns out to be durable after all (the
    /// revision in the file is the last one of the group), otherwise the failure.
    fn recover(&mut self, failure: &Error, events: &[Event]) -> Result<(), Error> {
        self.shared.hub.unstage(self.revision);
        let attempted = last_revision(events);
        match self.reopen() {
            Ok(found) if Some(found) == attempted => {
                self.shared.hub.stage(events);
                Ok(())
            }
            Ok(found) => Err(self.check_revision(found).err().unwrap_or_else(|| failure.clone())),
            Err(reopen) if attempted.is_some() => {
                tracing::error!(error = %reopen, "the store cannot be reopened");
                self.in_doubt = events.to_vec();
                Err(Error::Indeterminate {
                    path: self.shared.place.path.clone(),
                    reason: failure.to_string(),
                })
            }
            Err(_) => Err(failure.clone()),
        }
    }

    /// Reopens a file that could not be reopened after a failure, and tells the sinks what of the last
    /// attempt turns out to be there.
    fn resolve_doubt(&mut self) -> Result<(), Error> {
        let found = self.reopen()?;
        let in_doubt = std::mem::take(&mut self.in_doubt);
        if last_revision(&in_doubt) == Some(found) {
            self.shared.hub.stage(&in_doubt);
            self.shared.hub.publish(&in_doubt.into());
            self.shared.hub.flush();
            self.revision = found;
        }
        self.held.clear();
        self.check_revision(found)
    }

    /// The file must hold what was acknowledged, no more and no less.
    fn check_revision(&self, found: u64) -> Result<(), Error> {
        if found == self.revision {
            return Ok(());
        }
        *self.shared.database.write() = None;
        let reason = format!("it went from revision {} to {found}", self.revision);
        Err(Error::Damaged { path: self.shared.place.path.clone(), reason })
    }

    /// Replaces the database by a freshly opened one. Returns the revision in the file.
    fn reopen(&self) -> Result<u64, Error> {
        let mut slot = self.shared.database.write();
        // The old one has to be gone before the new one reads the file.
        let old = slot.take();
        let closed = self.shared.place.guard(|| {
            drop(old);
            Ok(())
        });
        if let Err(error) = closed {
            tracing::warn!(%error, "closing the failed store");
        }
        let (database, revision) = self.shared.place.open()?;
        *slot = Some(database);
        Ok(revision)
    }
}

fn last_revision(events: &[Event]) -> Option<u64> {
    events.last().map(|event| event.revision)
}
