//! `/metrics` and `/metrics/resource` in the Prometheus text format.

use std::fmt::Write;

use meta::Response;

use super::{info, text};
use crate::run::Shared;
use crate::spec::sandbox::{CONTAINER_NAME, POD_NAME, POD_NAMESPACE};
use crate::worker::view::CState;

/// Use of CPU and memory by container.
pub(super) async fn resource(shared: &Shared) -> Response {
    let stats = match shared.runtime.list_container_stats(None).await {
        Ok(s) => s,
        Err(e) => return text(500, e.to_string()),
    };
    let mut cpu = String::from("# TYPE container_cpu_usage_seconds_total counter\n");
    let mut memory = String::from("# TYPE container_memory_working_set_bytes gauge\n");
    for s in &stats {
        let Some(a) = &s.attributes else { continue };
        let label = |k: &str| a.labels.get(k).map(String::as_str).unwrap_or_default();
        let labels = format!(
            "container=\"{}\",namespace=\"{}\",pod=\"{}\"",
            label(CONTAINER_NAME),
            label(POD_NAMESPACE),
            label(POD_NAME)
        );
        if let Some(v) = s.cpu.as_ref().and_then(|c| c.usage_core_nano_seconds.as_ref()) {
            let _ = writeln!(cpu, "container_cpu_usage_seconds_total{{{labels}}} {}", v.value as f64 / 1e9);
        }
        if let Some(v) = s.memory.as_ref().and_then(|m| m.working_set_bytes.as_ref()) {
            let _ = writeln!(memory, "container_memory_working_set_bytes{{{labels}}} {}", v.value);
        }
    }
    let used = shared.machine.memory_bytes - crate::node::machine::memory_available();
    text(
        200,
        format!(
            "{cpu}{memory}# TYPE node_memory_working_set_bytes gauge\nnode_memory_working_set_bytes {used}\n"
        ),
    )
}

/// The agent's own state.
pub(super) fn own(shared: &Shared) -> Response {
    let doors: Vec<_> = shared.actors.lock().values().cloned().collect();
    let mut states = [("created", 0u32), ("running", 0), ("exited", 0), ("unknown", 0)];
    for d in &doors {
        for c in d.containers.lock().iter() {
            let at = match c.state {
                CState::Created => 0,
                CState::Running => 1,
                CState::Exited => 2,
                CState::Unknown => 3,
            };
            states[at].1 += 1;
        }
    }
    let mut out =
        format!("# TYPE kubelet_running_pods gauge\nkubelet_running_pods {}\n", info::pod_count(shared));
    out.push_str("# TYPE kubelet_running_containers gauge\n");
    for (name, n) in states {
        let _ = writeln!(out, "kubelet_running_containers{{container_state=\"{name}\"}} {n}");
    }
    out.push_str("# TYPE kubelet_podcertificate_states gauge\n");
    for ((signer, state), n) in shared.volumes.certificates.states(shared.ctx.now()) {
        let labels = format!("signer_name=\"{signer}\",state=\"{state}\"");
        let _ = writeln!(out, "kubelet_podcertificate_states{{{labels}}} {n}");
    }
    let _ = writeln!(
        out,
        "# TYPE kubelet_node_name gauge\nkubelet_node_name{{node=\"{}\"}} 1",
        shared.config.node_name
    );
    text(200, out)
}
