//! Puts the parts together and runs them until the agent is told to stop.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use control::Context;
use cri::Runtime;
use tokio::sync::{Semaphore, watch};

use crate::cgroup::Cgroups;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::node;
use crate::objects::Objects;
use crate::run::{Shared, events::Events, exits::Exits, pleg, pods, rotation};
use crate::spec::dns;
use crate::volumes::{Volumes, make_dir, make_real_dir, tokens::Tokens};
use crate::worker::NodeFacts;

/// Runs the node agent with a client, clock, randomness and stop token (`ctx`) over a runtime. Pods go on
/// running when it returns.
///
/// # Errors
/// When the machine cannot be used: directories that cannot be made, a port that is taken, a certificate that
/// cannot be read. What is only away (API server, runtime) is waited for.
pub async fn run(config: Config, ctx: Context, runtime: Arc<dyn Runtime>) -> Result<()> {
    if let Some(dir) = &config.static_pod_dir {
        return Err(Error::Config(format!(
            "static pods ({}) are not supported by this kubelet yet",
            dir.display()
        )));
    }
    let mut config = config;
    config.root_dir = make_real_dir(&config.root_dir, 0o750)?;
    config.pod_log_dir = make_real_dir(&config.pod_log_dir, 0o755)?;
    make_dir(&config.root_dir.join("pods"), 0o750)?;
    let config = Arc::new(config);
    let host_ips: Vec<String> = if config.node_ips.is_empty() {
        vec![node::machine::own_ip().to_string()]
    } else {
        config.node_ips.iter().map(ToString::to_string).collect()
    };
    let name = runtime.version().await.map(|v| v.runtime_name).unwrap_or_default();
    let name = if name.is_empty() { "containerd".to_owned() } else { name };
    let objects = Arc::new(Objects::new(ctx.client.clone(), ctx.clock.clone()));
    let shared = Arc::new(Shared {
        volumes: Volumes {
            config: config.clone(),
            objects: objects.clone(),
            tokens: Tokens::new(ctx.client.clone()),
            clock: ctx.clock.clone(),
        },
        objects,
        cgroups: Cgroups::new(&config),
        events: Events::new(&ctx, &config.node_name),
        node: Arc::new(NodeFacts { host_ips, runtime: name }),
        machine: node::machine::machine(&config),
        host_dns: host_dns(&config),
        pulls: Semaphore::new(config.max_parallel_pulls.max(1)),
        poke: tokio::sync::Notify::new(),
        exits: Exits::new().map_err(|e| Error::io("create epoll", e))?,
        actors: parking_lot::Mutex::default(),
        runtime,
        ctx,
        config,
    });
    let poke = shared.clone();
    shared
        .exits
        .run(shared.ctx.stop.clone(), move || poke.poke.notify_one())
        .map_err(|e| Error::io("start a thread", e))?;
    let health = Arc::new(pleg::Health::default());
    let synced = Arc::new(AtomicBool::new(false));
    let (uid, uid_seen) = watch::channel(String::new());
    let tasks = async {
        tokio::join!(
            node::sync::run(shared.clone(), health.clone(), uid),
            node::lease::run(shared.clone(), uid_seen),
            pods::run(shared.clone(), synced.clone()),
            pleg::run(shared.clone(), health.clone(), synced.clone()),
            rotation::run(shared.clone()),
        );
    };
    tokio::select! {
        () = shared.ctx.stop.cancelled() => Ok(()),
        () = tasks => Ok(()),
        e = crate::server::run(shared.clone()) => e.map_err(|e| Error::io("kubelet server", e)),
    }
}

/// The host's resolver configuration, for pods.
fn host_dns(config: &Config) -> cri::v1::DnsConfig {
    let read = |path: &Path| std::fs::read_to_string(path).ok();
    let own = read(&config.resolv_conf).unwrap_or_default();
    let found = dns::host(&own, || read(&config.upstream_resolv_conf));
    if found.servers.iter().any(|s| dns::is_loopback(s)) {
        tracing::warn!(
            file = %config.resolv_conf.display(),
            "pods with dnsPolicy Default are not given the host's nameservers on loopback: they cannot reach them"
        );
    }
    found
}
