//! Follows the pods bound to this node and keeps one actor for each.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use control::{RawEvent, Selection, reflect_raw};
use k8s_openapi::api::core::v1::Pod;
use meta::Gvr;

use super::{Shared, actor};
use crate::admit;
use crate::spec::PodExt;
use crate::worker::task::Input;
use crate::worker::{Stage, Worker};

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
                let mut pods: Vec<Pod> = items.iter().filter_map(|b| parse(b)).collect();
                // Older pods first: they have the older right to what is scarce.
                pods.sort_by(|a, b| a.metadata.creation_timestamp.cmp(&b.metadata.creation_timestamp));
                let uids: BTreeSet<String> = pods.iter().map(|p| p.uid().to_owned()).collect();
                for p in pods {
                    apply(&shared, p);
                }
                let gone: Vec<actor::Door> = shared
                    .actors
                    .lock()
                    .iter()
                    .filter(|(uid, d)| !d.orphan && !uids.contains(*uid))
                    .map(|(_, d)| d.clone())
                    .collect();
                for d in gone {
                    d.input(Input::Gone);
                }
                synced.store(true, Ordering::Release);
            }
            RawEvent::Applied(b) => {
                if let Some(p) = parse(&b) {
                    apply(&shared, p);
                }
            }
            RawEvent::Deleted(b) => {
                let Some(p) = parse(&b) else { continue };
                let door = shared.actors.lock().get(p.uid()).cloned();
                if let Some(d) = door {
                    d.input(Input::Gone);
                }
            }
            RawEvent::Progress(_) => {}
        }
    }
}

fn parse(bytes: &[u8]) -> Option<Pod> {
    match serde_json::from_slice(bytes) {
        Ok(p) => Some(p),
        Err(e) => {
            tracing::error!("a pod cannot be read: {e}");
            None
        }
    }
}

/// A new or changed pod.
fn apply(shared: &Arc<Shared>, pod: Pod) {
    let pod = Arc::new(pod);
    let door = shared.actors.lock().get(pod.uid()).cloned();
    if let Some(d) = door {
        d.input(Input::Pod(pod));
        return;
    }
    let others: Vec<Arc<Pod>> = shared
        .actors
        .lock()
        .values()
        .filter(|d| !d.orphan)
        .map(|d| d.pod.lock().clone())
        .filter(|p| p.metadata.deletion_timestamp.is_none() || p.status.is_some())
        .collect();
    let running =
        pod.status.as_ref().and_then(|s| s.container_statuses.as_ref()).is_some_and(|c| !c.is_empty());
    let refused = if running || pod.metadata.deletion_timestamp.is_some() {
        // It was accepted in an earlier life of this agent.
        None
    } else {
        admit::check(&pod, &others, &shared.config, &shared.machine)
    };
    if let Some(why) = &refused {
        let reason = admit::event_reason(&why.reason);
        // Only the status says whose refusal it is.
        let message = why.message.strip_prefix("Pod was rejected: ").unwrap_or(&why.message);
        shared.events.pod(&pod, true, reason, message.to_owned(), None);
    }
    let worker = Worker::new(pod, shared.node.clone(), refused, shared.ctx.now());
    debug_assert_eq!(worker.stage(), Stage::Syncing);
    actor::spawn(shared, worker, false);
}
