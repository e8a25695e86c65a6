//! Rotates the logs of running containers.
// k8s: pkg/kubelet/logs/container_log_manager.go (which looks every 10 s, whatever is written meanwhile)

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Shared;
use crate::logs::pace::{BUSY, CALM, Pace};
use crate::logs::rotate::rotate;
use crate::spec::PodExt;
use crate::worker::view::CState;

/// Runs until the agent stops.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut paces: BTreeMap<String, Pace> = BTreeMap::new();
    let mut wait = CALM;
    while shared.ctx.sleep(wait.max(BUSY)).await {
        let logs = running(&shared);
        paces.retain(|id, _| logs.iter().any(|(have, _)| have == id));
        wait = CALM;
        for (id, path) in &logs {
            let pace = paces.entry(id.clone()).or_default();
            let now = shared.ctx.clock.monotonic();
            if pace.is_due(now) {
                let bytes = std::fs::metadata(path).map_or(0, |m| m.len());
                let limit = shared.config.container_log_max_bytes;
                let full = bytes >= limit && one(&shared, path, id).await;
                pace.looked(now, bytes, limit, full);
            }
            wait = wait.min(pace.wait(now));
        }
    }
}

/// Ids of all running containers, with their logs.
fn running(shared: &Shared) -> Vec<(String, PathBuf)> {
    let doors: Vec<_> = shared.actors.lock().values().cloned().collect();
    let mut out = Vec::new();
    for door in doors {
        let pod = door.pod.lock().clone();
        let dir = shared.config.pod_logs_dir(pod.ns(), pod.nm(), pod.uid());
        for c in door.containers.lock().iter().filter(|c| c.state == CState::Running) {
            out.push((c.id.clone(), dir.join(&c.name).join(format!("{}.log", c.restart_count))));
        }
    }
    out
}

/// Whether the log was moved aside and a new one begun.
async fn one(shared: &Shared, path: &Path, id: &str) -> bool {
    let config = &shared.config;
    let stamp = shared.ctx.now().strftime("%Y%m%d-%H%M%S").to_string();
    match rotate(path, config.container_log_max_bytes, config.container_log_max_files, &stamp) {
        Ok(None) => false,
        Ok(Some(aside)) => match shared.runtime.reopen_container_log(id).await {
            Ok(()) => true,
            Err(e) => {
                tracing::warn!("log {} was rotated but not reopened: {e}", path.display());
                // The runtime still writes to the old file: it gets its name back.
                let _ = std::fs::rename(aside, path);
                false
            }
        },
        Err(e) => {
            tracing::warn!("log {} not rotated: {e}", path.display());
            false
        }
    }
}
