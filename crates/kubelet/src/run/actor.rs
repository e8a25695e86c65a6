//! One task per pod: feeds the worker, spawns what it asks for, brings answers back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::status::Written;
use super::{Shared, status, tasks};
use crate::spec::PodExt;
use crate::worker::task::{Effect, Input, Task};
use crate::worker::view::{ContainerView, Outline};
use crate::worker::{Stage, Worker};

/// What others may know of and tell an actor.
#[derive(Clone)]
pub(crate) struct Door {
    pub send: mpsc::UnboundedSender<Message>,
    pub pod: Arc<Mutex<Arc<Pod>>>,
    /// What the worker believes the runtime has; `None` before its first look.
    pub outline: Arc<Mutex<Option<Outline>>>,
    pub status: Arc<Mutex<Option<PodStatus>>>,
    /// The containers, newest first.
    pub containers: Arc<Mutex<Vec<ContainerView>>>,
    /// Made from the runtime alone: there never was an API object.
    pub orphan: bool,
    /// The node has not taken it.
    pub refused: bool,
}

/// What reaches an actor.
#[allow(clippy::large_enum_variant, reason = "moved once, through a queue")]
pub(crate) enum Message {
    Input(Input),
    /// What became of a status.
    Written(Written),
}

impl Door {
    pub fn input(&self, input: Input) {
        // An actor that is gone needs nothing.
        let _ = self.send.send(Message::Input(input));
    }
}

/// The pods that the node has taken, those included that have come to their end.
pub(super) fn taken(doors: &BTreeMap<String, Door>) -> Vec<Arc<Pod>> {
    let taken = doors.values().filter(|d| !d.orphan && !d.refused).map(|d| d.pod.lock().clone());
    taken.filter(|p| p.metadata.deletion_timestamp.is_none() || p.status.is_some()).collect()
}

struct Actor {
    shared: Arc<Shared>,
    worker: Worker,
    door: Door,
    /// A status yet to be written, and whether one is being written.
    pending: Option<Box<PodStatus>>,
    writing: bool,
    /// Writes that failed in a row.
    failures: u32,
}

/// Starts an actor and registers its door.
pub(crate) fn spawn(shared: &Arc<Shared>, worker: Worker, orphan: bool) -> Door {
    let (send, inbox) = mpsc::unbounded_channel();
    let door = Door {
        send,
        pod: Arc::new(Mutex::new(worker.pod().clone())),
        outline: Arc::default(),
        status: Arc::default(),
        containers: Arc::default(),
        orphan,
        refused: worker.is_rejected(),
    };
    let uid = worker.pod().uid().to_owned();
    shared.actors.lock().insert(uid, door.clone());
    let shared = shared.clone();
    let actor = Actor { shared, worker, door: door.clone(), pending: None, writing: false, failures: 0 };
    tokio::spawn(actor.run(inbox));
    door
}

impl Actor {
    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Message>) {
        let stop = self.shared.ctx.stop.clone();
        let mut message = Message::Input(Input::Tick);
        loop {
            match message {
                Message::Input(input) => self.step(input),
                Message::Written(what) => self.written(&what),
            }
            if self.worker.stage() == Stage::Done {
                break;
            }
            let now = self.shared.ctx.now();
            let wait = self
                .worker
                .wake()
                .map(|at| Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO));
            message = tokio::select! {
                () = stop.cancelled() => return,
                m = inbox.recv() => match m {
                    Some(m) => m,
                    None => return,
                },
                () = tokio::time::sleep(wait.unwrap_or(Duration::MAX / 4)), if wait.is_some() => {
                    Message::Input(Input::Tick)
                }
            };
        }
        let uid = self.worker.pod().uid().to_owned();
        self.shared.actors.lock().remove(&uid);
    }

    fn step(&mut self, input: Input) {
        if let Input::Pod(pod) = &input {
            *self.door.pod.lock() = pod.clone();
        }
        let effects = self.worker.step(input, self.shared.ctx.now());
        *self.door.containers.lock() = self.worker.view().map(|v| v.containers.clone()).unwrap_or_default();
        *self.door.outline.lock() = self.worker.view().map(|v| v.outline());
        for e in effects {
            match e {
                Effect::Do(task) => self.start(task),
                Effect::Event { warning, reason, message, container } => {
                    let pod = self.worker.pod();
                    self.shared.events.pod(pod, warning, reason, message, container.as_deref());
                }
                Effect::Status(s) => {
                    *self.door.status.lock() = Some((*s).clone());
                    self.pending = Some(s);
                    self.write();
                }
                Effect::Forget => {}
            }
        }
    }

    fn start(&self, task: Task) {
        tracing::debug!(pod = %self.worker.pod().text(), ?task, "task");
        let shared = self.shared.clone();
        let pod = self.worker.pod().clone();
        let ips =
            self.worker.view().and_then(|v| v.sandboxes.first()).map(|s| s.ips.clone()).unwrap_or_default();
        let send = self.door.send.clone();
        tokio::spawn(async move {
            let outcome = tasks::perform(&shared, &pod, &ips, &task).await;
            tracing::debug!(pod = %pod.text(), key = ?task.key(), ?outcome, "done");
            let _ = send.send(Message::Input(Input::Done(task, outcome)));
        });
    }

    /// Writes the newest status, one write at a time.
    fn write(&mut self) {
        if self.writing || self.door.orphan {
            return;
        }
        let Some(s) = self.pending.take() else { return };
        self.writing = true;
        let shared = self.shared.clone();
        let pod = self.worker.pod().clone();
        let send = self.door.send.clone();
        let failures = self.failures;
        tokio::spawn(async move {
            let what = status::write(&shared, &pod, &s, failures).await;
            let _ = send.send(Message::Written(what));
        });
    }

    fn written(&mut self, what: &Written) {
        self.writing = false;
        self.failures = if matches!(what, Written::Again) { self.failures.saturating_add(1) } else { 0 };
        match what {
            // With a newer one to write, the worker is told of that.
            Written::Done(revision) if self.pending.is_none() => self.step(Input::Written(*revision)),
            Written::Again if self.pending.is_none() => {
                self.pending = self.worker.published().cloned().map(Box::new);
            }
            _ => {}
        }
        self.write();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_refused_or_only_found_takes_no_room() {
        let door = |uid: &str, orphan, refused| {
            let mut pod = Pod::default();
            pod.metadata.uid = Some(uid.to_owned());
            let door = Door {
                send: mpsc::unbounded_channel().0,
                pod: Arc::new(Mutex::new(Arc::new(pod))),
                outline: Arc::default(),
                status: Arc::default(),
                containers: Arc::default(),
                orphan,
                refused,
            };
            (uid.to_owned(), door)
        };
        let doors = [door("a", false, false), door("b", false, true), door("c", true, false)].into();
        assert_eq!(taken(&doors).iter().map(|p| p.uid().to_owned()).collect::<Vec<_>>(), ["a"]);
    }
}
