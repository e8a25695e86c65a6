//! Notices what the runtime did by itself: a cheap list every second, at once on the runtime's own events.
// k8s: pkg/kubelet/pleg/generic.go

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cri::v1;
use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Pod;

use super::{Shared, actor};
use crate::error::Result;
use crate::spec::sandbox::POD_UID;
use crate::worker::Worker;
use crate::worker::task::Input;
use crate::worker::view::{CState, Outline};

const PERIOD: Duration = Duration::from_secs(1);
/// With events from the runtime the list is only a net below them.
const PERIOD_WITH_EVENTS: Duration = Duration::from_secs(10);
/// Lists after which something without a pod is an orphan.
const ORPHAN_AFTER: u32 = 3;

/// The node's health as the lists see it.
#[derive(Default)]
pub(crate) struct Health {
    /// Monotonic time of the last list that worked.
    pub listed_at: parking_lot::Mutex<Option<Duration>>,
}

struct Seen {
    outline: Outline,
    namespace: String,
    name: String,
}

/// Runs until the agent stops. `synced` says that all pods of the API are known.
pub(crate) async fn run(
    shared: Arc<Shared>,
    health: Arc<Health>,
    synced: Arc<std::sync::atomic::AtomicBool>,
) {
    let live = Arc::new(std::sync::atomic::AtomicBool::new(false));
    tokio::spawn(events(shared.clone(), live.clone()));
    let mut orphans: BTreeMap<String, u32> = BTreeMap::new();
    let mut sweep = 0u32;
    loop {
        match list(&shared).await {
            Ok(pods) => {
                *health.listed_at.lock() = Some(shared.ctx.clock.monotonic());
                compare(&shared, &pods);
                if synced.load(std::sync::atomic::Ordering::Acquire) {
                    adopt(&shared, &pods, &mut orphans).await;
                    sweep += 1;
                    if sweep % 30 == 3 {
                        leftovers(&shared, &pods);
                    }
                }
            }
            Err(e) => tracing::debug!("runtime not listed: {e}"),
        }
        let period =
            if live.load(std::sync::atomic::Ordering::Acquire) { PERIOD_WITH_EVENTS } else { PERIOD };
        tokio::select! {
            () = shared.ctx.stop.cancelled() => return,
            () = shared.poke.notified() => {}
            () = tokio::time::sleep(period) => {}
        }
    }
}

/// Follows the runtime's events, where it has them.
async fn events(shared: Arc<Shared>, live: Arc<std::sync::atomic::AtomicBool>) {
    loop {
        match shared.runtime.get_container_events().await {
            Ok(mut stream) => {
                live.store(true, std::sync::atomic::Ordering::Release);
                while let Some(Ok(_)) = tokio::select! {
                    e = stream.next() => e,
                    () = shared.ctx.stop.cancelled() => return,
                } {
                    shared.poke.notify_one();
                }
            }
            Err(e) if e.is_unimplemented() => return,
            Err(_) => {}
        }
        live.store(false, std::sync::atomic::Ordering::Release);
        if !shared.ctx.sleep(Duration::from_secs(1)).await {
            return;
        }
    }
}

async fn list(shared: &Shared) -> Result<BTreeMap<String, Seen>> {
    let rt = &shared.runtime;
    let (sandboxes, containers) = tokio::try_join!(rt.list_pod_sandbox(None), rt.list_containers(None))?;
    let mut out: BTreeMap<String, Seen> = BTreeMap::new();
    for s in sandboxes {
        let Some(uid) = s.labels.get(POD_UID) else { continue };
        let m = s.metadata.clone().unwrap_or_default();
        let seen = out.entry(uid.clone()).or_insert_with(|| Seen {
            outline: Outline::default(),
            namespace: m.namespace,
            name: m.name,
        });
        seen.outline.sandboxes.push((s.id, s.state == v1::PodSandboxState::SandboxReady as i32));
    }
    for c in containers {
        if let Some(seen) = c.labels.get(POD_UID).and_then(|uid| out.get_mut(uid)) {
            seen.outline.containers.push((c.id, CState::of(c.state)));
        }
    }
    for s in out.values_mut() {
        s.outline.sandboxes.sort();
        s.outline.containers.sort();
    }
    Ok(out)
}

/// Tells the pods whose picture is no longer true.
fn compare(shared: &Shared, pods: &BTreeMap<String, Seen>) {
    let doors: Vec<(String, actor::Door)> =
        shared.actors.lock().iter().map(|(u, d)| (u.clone(), d.clone())).collect();
    for (uid, door) in doors {
        let known = door.outline.lock().clone();
        let now = pods.get(&uid).map(|s| s.outline.clone()).unwrap_or_default();
        if known.is_some_and(|k| k != now) {
            door.input(Input::Outline(now));
        }
    }
}

/// What runs without a pod is stopped and removed, with the grace a pod would have. Others may use the runtime too:
/// theirs is left alone.
async fn adopt(shared: &Arc<Shared>, pods: &BTreeMap<String, Seen>, orphans: &mut BTreeMap<String, u32>) {
    let known = known(shared);
    orphans.retain(|uid, _| pods.contains_key(uid) && !known(uid));
    for (uid, seen) in pods.iter().filter(|(uid, _)| !known(uid)) {
        let n = orphans.entry(uid.clone()).or_default();
        *n += 1;
        if *n != ORPHAN_AFTER {
            continue;
        }
        match is_own(shared, seen).await {
            Ok(true) => {}
            Ok(false) => continue,
            // Asked again with the next list.
            Err(_) => {
                *n -= 1;
                continue;
            }
        }
        tracing::info!("pod {}_{}({uid}) is not in the API any more: removing it", seen.name, seen.namespace);
        let mut pod = Pod::default();
        pod.metadata.name = Some(seen.name.clone());
        pod.metadata.namespace = Some(seen.namespace.clone());
        pod.metadata.uid = Some(uid.clone());
        let worker = Worker::new(Arc::new(pod), shared.node.clone(), None, shared.ctx.now());
        actor::spawn(shared, worker, true).input(Input::Gone);
    }
}

/// Whether an agent with this log directory has made the sandboxes; also where the runtime does not tell.
async fn is_own(shared: &Shared, seen: &Seen) -> cri::Result<bool> {
    for (id, _) in &seen.outline.sandboxes {
        let status = match shared.runtime.pod_sandbox_status(id, true).await {
            Err(e) if e.is_not_found() => continue,
            status => status?,
        };
        if let Some(dir) = cri::facts::log_directory(&status) {
            return Ok(dir.starts_with(&shared.config.pod_log_dir));
        }
    }
    Ok(true)
}

/// Whether a pod is one of the API's: it has an actor, or cannot be read.
fn known(shared: &Shared) -> impl Fn(&str) -> bool {
    let actors: BTreeSet<String> = shared.actors.lock().keys().cloned().collect();
    let unread = shared.unread.lock().clone();
    move |uid| actors.contains(uid) || unread.has(uid)
}

/// Directories and cgroups of pods that are nowhere any more.
fn leftovers(shared: &Arc<Shared>, pods: &BTreeMap<String, Seen>) {
    let known = || {
        let known = known(shared);
        move |uid: &str| pods.contains_key(uid) || known(uid)
    };
    for uid in lost(|| shared.volumes.uids(), known) {
        if let Err(e) = shared.volumes.teardown(&uid) {
            tracing::warn!("left behind of pod {uid}: {e}");
        }
    }
    let (cgroups, shared) = (lost(|| shared.cgroups.uids(), known), shared.clone());
    // Systemd may take its time.
    tokio::spawn(async move {
        for uid in cgroups {
            let _ = shared.cgroups.remove(&uid).await;
        }
    });
}

/// What was found of pods that nobody knows. A pod is known before anything of it is made, so who is known is asked
/// after the search: a pod that is just being made is then among them.
fn lost<K: Fn(&str) -> bool>(found: impl Fn() -> Vec<String>, known: impl Fn() -> K) -> Vec<String> {
    let mut found = found();
    let known = known();
    found.retain(|uid| !known(uid));
    found
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn a_pod_that_is_made_during_the_sweep_keeps_what_it_has() {
        let actors = RefCell::new(vec!["old".to_owned()]);
        let found = || {
            // A pod comes: first its actor, then its cgroup.
            actors.borrow_mut().push("new".to_owned());
            ["old", "new", "gone"].map(str::to_owned).to_vec()
        };
        let known = || {
            let known = actors.borrow().clone();
            move |uid: &str| known.iter().any(|k| k == uid)
        };
        assert_eq!(lost(found, known), ["gone"]);
    }
}
