//! The pod's phase.
// k8s: pkg/kubelet/kubelet_pods.go getPhase

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use crate::spec::{PodExt, is_sidecar};
use crate::worker::restart_again;

/// `ending`: all containers have been stopped, nothing will start again.
#[must_use]
pub fn phase(pod: &Pod, init: &[ContainerStatus], main: &[ContainerStatus], ending: bool) -> &'static str {
    let spec = pod.sp();
    let (mut pending, mut failed_init) = (false, false);
    for (c, s) in spec.init_containers.iter().flatten().zip(init) {
        let state = s.state.as_ref();
        if is_sidecar(c) {
            pending |= s.started != Some(true) && state.and_then(|s| s.terminated.as_ref()).is_none();
            continue;
        }
        match state.and_then(|s| s.terminated.as_ref()) {
            Some(t) if t.exit_code == 0 => {}
            Some(t) => {
                failed_init |= !restart_again(pod, c, t.exit_code) || ending;
                pending = true;
            }
            None => pending = true,
        }
    }
    let (mut running, mut waiting, mut stopped, mut succeeded, mut final_) = (0, 0, 0, 0, true);
    for (c, s) in spec.containers.iter().zip(main) {
        let state = s.state.as_ref();
        if state.is_some_and(|s| s.running.is_some()) {
            running += 1;
        } else if let Some(t) = state.and_then(|s| s.terminated.as_ref()) {
            stopped += 1;
            succeeded += usize::from(t.exit_code == 0);
            final_ &= ending || !restart_again(pod, c, t.exit_code);
        } else if s.last_state.as_ref().is_some_and(|l| l.terminated.is_some()) {
            // Waiting to run again.
            stopped += 1;
            final_ &= ending;
        } else {
            waiting += 1;
        }
    }
    let started = running + stopped;
    if failed_init && started == 0 {
        return "Failed";
    }
    if (pending && started == 0) || (waiting > 0 && !ending) {
        return if ending { "Failed" } else { "Pending" };
    }
    if running > 0 {
        return "Running";
    }
    if started == 0 {
        return if ending { "Failed" } else { "Pending" };
    }
    match (final_, stopped == succeeded && waiting == 0) {
        (true, true) => "Succeeded",
        (true, false) => "Failed",
        (false, _) => "Running",
    }
}
