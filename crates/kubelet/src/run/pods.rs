//! Follows the pods bound to this node and keeps one actor for each.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use control::{RawEvent, Selection, reflect_raw};
use k8s_openapi::api::core::v1::Pod;
use meta::Gvr;

use super::{Shared, actor};
use crate::spec::PodExt;
use crate::worker::task::{Input, Why};
use crate::worker::{Stage, Worker};
use crate::{admit, node};

const PODS: Gvr = Gvr::new("", "v1", "pods");

/// Runs until the agent stops.
pub(crate) async fn run(shared: Arc<Shared>, synced: Arc<AtomicBool>) {
    let selection = Selection {
        field_selector: format!("spec.nodeName={}", shared.config.node_name),
        ..Selection::default()
    };
    let mut events = reflect_raw(&shared.ctx, PODS, selection);
    while let Some(event) = events.recv().await {
        match event {
            RawEvent::Replaced { items, .. } => {
                replaced(&shared, &items).await;
                synced.store(true, Ordering::Release);
            }
            RawEvent::Applied(b) => match read(&b) {
                Ok(p) => {
                    shared.unread.lock().uids.remove(p.uid());
                    apply(&shared, p).await;
                }
                Err(unread) => {
                    report(&shared, &unread);
                    shared.unread.lock().add(&unread);
                }
            },
            RawEvent::Deleted(b) => {
                // Of a pod that is gone nothing but its name is needed.
                let uid = match read(&b) {
                    Ok(p) => p.uid().to_owned(),
                    Err(unread) => unread.pod.uid().to_owned(),
                };
                shared.unread.lock().uids.remove(&uid);
                let door = shared.actors.lock().get(&uid).cloned();
                if let Some(d) = door {
                    d.input(Input::Gone);
                }
            }
            RawEvent::Progress(_) => {}
        }
    }
}

/// All pods that there are: what is not among them is gone.
async fn replaced<B: AsRef<[u8]>>(shared: &Arc<Shared>, items: &[B]) {
    let mut pods = Vec::new();
    let mut unread = Unread::default();
    for item in items {
        match read(item.as_ref()) {
            Ok(p) => pods.push(p),
            Err(one) => {
                report(shared, &one);
                unread.add(&one);
            }
        }
    }
    // Older pods first: they have the older right to what is scarce.
    pods.sort_by(|a, b| a.metadata.creation_timestamp.cmp(&b.metadata.creation_timestamp));
    let uids: BTreeSet<String> = pods.iter().map(|p| p.uid().to_owned()).collect();
    for p in pods {
        apply(shared, p).await;
    }
    let gone: Vec<actor::Door> = shared
        .actors
        .lock()
        .iter()
        .filter(|(uid, d)| !d.orphan && !uids.contains(*uid) && !unread.has(uid))
        .map(|(_, d)| d.clone())
        .collect();
    *shared.unread.lock() = unread;
    for d in gone {
        d.input(Input::Gone);
    }
}

/// Pods of this node that cannot be read. Nobody may take them for gone: what runs of them is left as it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unread {
    uids: BTreeSet<String>,
    /// One of them has no name either, so it may be any.
    nameless: bool,
}

impl Unread {
    /// Whether this may be one of them.
    pub fn has(&self, uid: &str) -> bool {
        self.nameless || self.uids.contains(uid)
    }

    fn add(&mut self, one: &Unreadable) {
        match one.pod.uid() {
            "" => self.nameless = true,
            uid => {
                self.uids.insert(uid.to_owned());
            }
        }
    }
}

/// What is known of a pod that cannot be read.
#[derive(Debug)]
struct Unreadable {
    /// Its metadata alone; empty when not even that can be read.
    pod: Pod,
    why: String,
}

fn read(bytes: &[u8]) -> Result<Pod, Box<Unreadable>> {
    #[derive(serde::Deserialize)]
    struct Named {
        name: Option<String>,
        namespace: Option<String>,
        uid: Option<String>,
    }
    #[derive(serde::Deserialize)]
    struct Outline {
        metadata: Named,
    }
    serde_json::from_slice(bytes).map_err(|e| {
        let mut pod = Pod::default();
        if let Ok(Outline { metadata }) = serde_json::from_slice(bytes) {
            pod.metadata.name = metadata.name;
            pod.metadata.namespace = metadata.namespace;
            pod.metadata.uid = metadata.uid;
        }
        Box::new(Unreadable { pod, why: e.to_string() })
    })
}

fn report(shared: &Shared, unread: &Unreadable) {
    let pod = &unread.pod;
    tracing::error!(pod = %pod.text(), "a pod cannot be read and is left as it is: {}", unread.why);
    if !pod.nm().is_empty() {
        let message = format!("the kubelet cannot read this pod and leaves it as it is: {}", unread.why);
        shared.events.pod(pod, true, "Unreadable", message, None);
    }
}

/// A new or changed pod.
async fn apply(shared: &Arc<Shared>, pod: Pod) {
    let pod = Arc::new(pod);
    let door = shared.actors.lock().get(pod.uid()).cloned();
    if let Some(d) = door {
        d.input(Input::Pod(pod));
        return;
    }
    let refused = if taken_before(&pod) { None } else { admit(shared, &pod).await };
    if let Some(why) = &refused {
        let (reason, message) = (admit::event_reason(&why.reason), admit::event(why).1);
        shared.events.pod(&pod, true, reason, message.to_owned(), None);
    }
    let worker = Worker::new(pod, shared.node.clone(), refused, shared.ctx.now());
    debug_assert_eq!(worker.stage(), Stage::Syncing);
    actor::spawn(shared, worker, false);
}

/// Whether the pod was decided about in an earlier life of this agent, or is only to be ended.
fn taken_before(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    let running = status.and_then(|s| s.container_statuses.as_ref()).is_some_and(|c| !c.is_empty());
    running || admit::over(pod) || pod.metadata.deletion_timestamp.is_some()
}

/// Why the node does not take the pod. A refusal that rests on the Node's labels or taints is made on a fresh copy.
async fn admit(shared: &Shared, pod: &Pod) -> Option<Why> {
    let others = actor::taken(&shared.actors.lock());
    let check = || {
        let (node, abilities) = (shared.own_node.lock().clone(), shared.abilities.lock().clone());
        let place = admit::Place {
            config: &shared.config,
            machine: &shared.machine,
            node: &node,
            abilities: &abilities,
        };
        admit::check(pod, &others, &place)
    };
    let refused = check()?;
    if admit::depends_on_node(&refused) && node::sync::read(shared).await.is_ok() {
        return check();
    }
    Some(refused)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pods_that_cannot_be_read_are_not_gone() {
        let named = json!({"metadata": {"name": "p", "namespace": "n", "uid": "u"},
            "spec": {"containers": [{"name": 1}]}});
        let mut unread = Unread::default();
        let one = read(named.to_string().as_bytes()).unwrap_err();
        assert_eq!((one.pod.text().as_str(), one.why.contains("invalid type")), ("p_n(u)", true), "{one:?}");
        unread.add(&one);
        assert!(unread.has("u") && !unread.has("v"));
        // Without a name it may be any.
        for bytes in ["{\"metadata\": 1}", "no json", "{\"metadata\": {\"name\": \"p\"}, \"spec\": 1}"] {
            let mut unread = Unread::default();
            unread.add(&read(bytes.as_bytes()).unwrap_err());
            assert!(unread.has("u") && unread.has("v"), "{bytes}");
        }
        let good = json!({"metadata": {"uid": "u"}, "spec": {"containers": []}});
        assert_eq!(read(good.to_string().as_bytes()).unwrap().uid(), "u");
    }
}
