//! Creating and starting one container.
// k8s: pkg/kubelet/kuberuntime/kuberuntime_container.go startContainer

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod};

use super::{Shared, inspect, tasks};
use crate::admit::asks::{self, Asker, Step};
use crate::error::Error;
use crate::spec::env::{self, Sources};
use crate::spec::{PodExt, container, dns, sandbox};
use crate::volumes::mounts::Asked;
use crate::worker::task::{Image, Why};
use crate::worker::view::{ContainerView, SandboxView};

/// What a container is made with, beside its spec.
pub(super) struct How<'a> {
    pub restart_count: u32,
    pub image: &'a Image,
    /// Id of the container whose process namespace it joins.
    pub target: Option<&'a str>,
}

/// Makes and starts the container; gives its first status.
pub(super) async fn start(
    shared: &Arc<Shared>,
    pod: &Pod,
    name: &str,
    sandbox: &SandboxView,
    how: How<'_>,
) -> Result<ContainerView, Why> {
    let failed = |reason: &str, e: &dyn std::fmt::Display| {
        let message = e.to_string();
        shared.events.pod(pod, true, "Failed", format!("Error: {message}"), Some(name));
        Why::new(reason, message)
    };
    let config_error = |e: Error| failed("CreateContainerConfigError", &e);
    let spec = pod
        .container(name)
        .ok_or_else(|| config_error(Error::Config(format!("container {name} is not in the pod's spec"))))?;
    let config = configuration(shared, pod, &spec, sandbox, how).await.map_err(config_error)?;
    let dns = dns::config(pod, &shared.config, &shared.host_dns);
    let sandbox_config =
        sandbox::config(pod, &shared.config, dns, &shared.cgroups.parent(pod), sandbox.attempt);
    let id = shared
        .runtime
        .create_container(&sandbox.id, config, sandbox_config)
        .await
        .map_err(|e| failed("CreateContainerError", &e.message()))?;
    shared.events.pod(pod, false, "Created", "Container created".to_owned(), Some(name));
    if let Err(e) = shared.runtime.start_container(&id).await {
        return Err(failed("RunContainerError", &e.message()));
    }
    shared.events.pod(pod, false, "Started", "Container started".to_owned(), Some(name));
    let view =
        inspect::container(shared, &id).await.map_err(|e| Why::new("RunContainerError", e.to_string()))?;
    let mut view = view.ok_or_else(|| Why::new("RunContainerError", "the started container is gone"))?;
    view.sandbox_id.clone_from(&sandbox.id);
    Ok(view)
}

async fn configuration(
    shared: &Shared,
    pod: &Pod,
    spec: &Container,
    sandbox: &SandboxView,
    how: How<'_>,
) -> Result<cri::v1::ContainerConfig, Error> {
    let handler = tasks::handler(shared, pod).await?;
    let abilities = shared.abilities.lock().clone();
    let asker = Asker { pod, container: Some(spec), handler: &handler, node: &abilities };
    if let Some((_, message)) = asks::unmet(Step::Container, asker) {
        return Err(Error::Config(message));
    }
    let facts = shared.facts(pod, &sandbox.ips);
    let sources = sources(shared, pod, spec).await?;
    let env = env::environment(pod, spec, &sources, &facts)?;
    let asked = Asked { env: &env, ips: &facts.pod_ips, recursive: abilities.recursive_read_only(&handler) };
    let mounts = shared.volumes.container_mounts(pod, spec, &asked, how.restart_count)?;
    let logs = shared.config.pod_logs_dir(pod.ns(), pod.nm(), pod.uid()).join(&spec.name);
    crate::volumes::make_dir(&logs, 0o755)?;
    let inputs = container::Inputs {
        pod,
        container: spec,
        restart_count: how.restart_count,
        image_ref: &how.image.reference,
        image_uid: how.image.uid,
        image_username: &how.image.username,
        target: how.target,
        env,
        mounts,
        memory_capacity_bytes: shared.machine.memory_bytes,
        own_oom_score: shared.machine.own_oom_score,
    };
    container::config(inputs, &shared.config)
}

async fn sources(shared: &Shared, pod: &Pod, spec: &Container) -> Result<Sources, Error> {
    let needs = env::needs(spec);
    let mut out = Sources::default();
    for name in needs.config_maps {
        let found = shared.objects.config_map(pod.ns(), &name, Duration::ZERO).await?;
        out.config_maps.insert(name, found);
    }
    for name in needs.secrets {
        let found = shared.objects.secret(pod.ns(), &name, Duration::ZERO).await?;
        out.secrets.insert(name, found);
    }
    let links = pod.sp().enable_service_links.unwrap_or(true);
    out.services = shared.objects.services(pod.ns(), links).await?;
    Ok(out)
}
