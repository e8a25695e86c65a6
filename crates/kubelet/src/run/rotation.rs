//! Rotates the logs of running containers.

use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use crate::logs::rotate::rotate;
use crate::spec::PodExt;
use crate::worker::view::CState;

// k8s: pkg/kubelet/apis/config/v1beta1/defaults.go ContainerLogMonitorInterval
const PERIOD: Duration = Duration::from_secs(10);

/// Runs until the agent stops.
pub(crate) async fn run(shared: Arc<Shared>) {
    while shared.ctx.sleep(PERIOD).await {
        let pods: Vec<_> = shared.actors.lock().values().cloned().collect();
        for door in pods {
            let pod = door.pod.lock().clone();
            let mut running = door.containers.lock().clone();
            running.retain(|c| c.state == CState::Running);
            for c in running {
                let path = shared
                    .config
                    .pod_logs_dir(pod.ns(), pod.nm(), pod.uid())
                    .join(&c.name)
                    .join(format!("{}.log", c.restart_count));
                one(&shared, &path, &c.id).await;
            }
        }
    }
}

async fn one(shared: &Shared, path: &std::path::Path, id: &str) {
    let config = &shared.config;
    let stamp = shared.ctx.now().strftime("%Y%m%d-%H%M%S").to_string();
    match rotate(path, config.container_log_max_bytes, config.container_log_max_files, &stamp) {
        Ok(false) => {}
        Ok(true) => {
            if let Err(e) = shared.runtime.reopen_container_log(id).await {
                tracing::warn!("log {} was rotated but not reopened: {e}", path.display());
                let mut aside = path.as_os_str().to_owned();
                aside.push(format!(".{stamp}"));
                // The runtime still writes to the old file: it gets its name back.
                let _ = std::fs::rename(aside, path);
            }
        }
        Err(e) => tracing::warn!("log {} not rotated: {e}", path.display()),
    }
}
