//! The controller manager: the real engines with the real controllers over shared caches.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::sync::Arc;

use control::RawEvent;
use jiff::Timestamp;
use meta::{Gvr, Status};
use reconcile::graph::followed;
use reconcile::{Answer, Caches, Change, Discovery, Engine, Op, Partial, WorkId};

use super::{FeedSpec, Note, Outgoing, Process};
use crate::judge::Judge;

/// Where the events of a feed go.
#[derive(Clone)]
enum Target {
    Kind(TypeId, Gvr),
    Graph(Arc<Gvr>, Arc<str>),
}

/// Makes the engines of an incarnation that starts now, each with the service account that it acts as.
pub type Engines = Arc<dyn Fn(Timestamp) -> Vec<(Engine, &'static str)>>;

struct Seat {
    engine: Engine,
    user: String,
    started: bool,
}

/// See the module.
pub struct Manager {
    make: Engines,
    judge: Judge,
    discovery: Discovery,
    caches: Caches,
    engines: Vec<Seat>,
    targets: Vec<Target>,
    sent: BTreeMap<u64, (usize, WorkId)>,
    next_token: u64,
    notes: Vec<Note>,
}

impl Manager {
    /// A manager that has read nothing yet but what the server serves.
    #[must_use]
    pub fn new(make: Engines, judge: Judge, discovery: Discovery, now: Timestamp) -> Self {
        let seat = |(engine, account): (Engine, &str)| Seat {
            engine,
            user: format!("system:serviceaccount:kube-system:{account}"),
            started: false,
        };
        let engines: Vec<Seat> = make(now).into_iter().map(seat).collect();
        let mut caches = Caches::default();
        caches.discovery = discovery.clone();
        let mut targets: Vec<Target> = Vec::new();
        let mut seen: Vec<TypeId> = Vec::new();
        for decl in engines.iter().flat_map(|s| s.engine.interests().decls()) {
            let id = (decl.projection)();
            if !seen.contains(&id) {
                seen.push(id);
                caches.register(*decl);
                targets.push(Target::Kind(id, (decl.gvr)()));
            }
        }
        if engines.iter().any(|s| s.engine.interests().reads_graph()) {
            let wanted = discovery.resources().iter().filter(|r| followed(r));
            targets.extend(wanted.map(|r| Target::Graph(Arc::new(r.gvr.clone()), r.kind.clone())));
        }
        let (sent, notes) = (BTreeMap::new(), Vec::new());
        Manager { make, judge, discovery, caches, engines, targets, sent, next_token: 0, notes }
    }

    fn tell(&mut self, changes: &[Change]) {
        for Seat { engine, started, .. } in &mut self.engines {
            if !*started && engine.ready(&self.caches) {
                *started = true;
                engine.start(&self.caches);
                self.notes.push(Note::Line(format!("{} started", engine.name())));
                continue;
            }
            for change in changes {
                engine.on_change(change, &self.caches);
            }
        }
    }

    fn apply_kind(&mut self, id: TypeId, event: RawEvent) -> Vec<Change> {
        let Some(cache) = self.caches.any_mut(id) else { return Vec::new() };
        let applied = match event {
            RawEvent::Replaced { items, revision } => {
                let (mut changes, errors) = cache.replace_bytes(&items, revision);
                changes.push(cache.advance_to(revision));
                self.notes.extend(errors.iter().map(|e| Note::Broken(e.to_string())));
                return changes;
            }
            RawEvent::Applied(b) => cache.upsert_bytes(&b),
            RawEvent::Deleted(b) => cache.delete_bytes(&b),
            RawEvent::Progress(revision) => Ok(Some(cache.advance_to(revision))),
        };
        match applied {
            Ok(change) => change.into_iter().collect(),
            Err(e) => {
                self.notes.push(Note::Broken(e.to_string()));
                Vec::new()
            }
        }
    }

    fn apply_graph(&mut self, gvr: &Arc<Gvr>, kind: &Arc<str>, event: RawEvent) -> Vec<Change> {
        let graph = &mut self.caches.graph;
        let mut changes = Vec::new();
        match event {
            RawEvent::Replaced { items, revision } => {
                let parsed = items.iter().filter_map(|b| Partial::parse(b).ok()).collect();
                changes.extend(graph.replace(gvr, kind, parsed, revision));
            }
            RawEvent::Applied(b) => {
                if let Ok(p) = Partial::parse(&b) {
                    changes.extend(graph.upsert(gvr, kind, p.metadata));
                }
            }
            RawEvent::Deleted(b) => {
                if let Ok(p) = Partial::parse(&b) {
                    changes.extend(graph.remove(gvr, &p.metadata.key(), p.metadata.resource_version));
                }
            }
            RawEvent::Progress(revision) => graph.note(gvr, revision),
        }
        changes.push(Change::progress(gvr.as_ref().clone()));
        changes
    }
}

impl Process for Manager {
    fn feeds(&self) -> Vec<FeedSpec> {
        let spec = |t: &Target| match t {
            Target::Kind(_, gvr) => FeedSpec::all(gvr.clone()),
            Target::Graph(gvr, _) => FeedSpec { metadata_only: true, ..FeedSpec::all(gvr.as_ref().clone()) },
        };
        self.targets.iter().map(spec).collect()
    }

    fn apply(&mut self, feed: usize, event: RawEvent, _now: Timestamp) {
        let Some(target) = self.targets.get(feed).cloned() else { return };
        let changes = match &target {
            Target::Kind(id, _) => self.apply_kind(*id, event),
            Target::Graph(gvr, kind) => self.apply_graph(gvr, kind, event),
        };
        self.tell(&changes);
    }

    fn answer(&mut self, token: u64, result: Result<Answer, Status>, now: Timestamp) {
        if let Some((engine, id)) = self.sent.remove(&token) {
            self.engines[engine].engine.done(id, result, now);
        }
    }

    fn turn(&mut self, now: Timestamp, out: &mut Vec<Outgoing>) {
        for (i, Seat { engine, user, .. }) in self.engines.iter_mut().enumerate() {
            while let Some(work) = engine.next(now, &self.caches) {
                self.next_token += 1;
                self.sent.insert(self.next_token, (i, work.id));
                // The gate's question is the driver's own, asked with the identity that it reads with.
                let user = (!matches!(*work.op, Op::Revision { .. })).then(|| user.clone());
                let who = engine.name();
                let decided = self.judge.seen(who, &work.key).map(|seen| (who, seen));
                out.push(Outgoing { token: self.next_token, op: work.op, user, decided });
            }
            for e in engine.take_events() {
                let line = format!("event {} {}: {}", e.regarding.name, e.reason, e.message);
                self.notes.push(Note::Line(line));
            }
            engine.take_failures();
        }
        self.notes.extend(self.judge.take().into_iter().map(Note::Broken));
    }

    fn next_wake(&self) -> Option<Timestamp> {
        // MIN: a key is ready but may not run before an answer comes; time does not help.
        let wakes = self.engines.iter().filter_map(|s| s.engine.next_wake());
        wakes.filter(|t| *t != Timestamp::MIN).min()
    }

    fn notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    fn busy(&self) -> Option<String> {
        if !self.sent.is_empty() {
            return Some(format!("the manager waits for {} answers", self.sent.len()));
        }
        let Seat { engine, .. } = self.engines.iter().find(|s| !s.started || !s.engine.idle())?;
        let [ready, delayed, held, running] = engine.depth();
        let name = engine.name();
        Some(format!("{name}: {ready} keys ready, {delayed} delayed, {held} held, {running} running"))
    }

    fn restarted(&self, _seed: u64, at: Timestamp) -> Box<dyn Process> {
        Box::new(Manager::new(self.make.clone(), self.judge.clone(), self.discovery.clone(), at))
    }
}
