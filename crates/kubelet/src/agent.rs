//! Puts the parts together and runs them until the agent is told to stop.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use control::Context;
use cri::Runtime;
use tokio::sync::{Semaphore, watch};

use crate::admit::asks::Abilities;
use crate::admit::node::NodeView;
use crate::cgroup::Cgroups;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::node;
use crate::objects::Objects;
use crate::run::{Shared, events::Events, exits::Exits, limits, pleg, pods, rotation};
use crate::spec::dns;
use crate::volumes::certificates::Certificates;
use crate::volumes::{Volumes, make_dir, make_real_dir, tokens::Tokens};
use crate::worker::NodeFacts;

/// Runs the node agent with a client, clock, randomness and stop token (`ctx`) over a runtime. Pods go on
/// running when it returns.
///
/// # Errors
/// When the machine cannot be used: directories that cannot be made, a port that is taken, a certificate that
/// cannot be read. What is only away (API server, runtime) is waited for.
pub async fn run(config: Config, ctx: Context, runtime: Arc<dyn Runtime>) -> Result<()> {
    let config = Arc::new(prepared(config)?);
    let name = runtime.version().await.map(|v| v.runtime_name).unwrap_or_default();
    let name = if name.is_empty() { "containerd".to_owned() } else { name };
    let abilities = match runtime.status(true).await {
        Ok(status) => Abilities::of(&status, node::machine::has_apparmor()),
        // The node's own look sees them as soon as the runtime is there.
        Err(_) => Abilities::default(),
    };
    // Pipes of commands that an earlier agent ran: whoever has them open needs their names no more.
    let _ = std::fs::remove_dir_all(config.root_dir.join("exec"));
    let machine = node::machine::machine(&config);
    node::machine::check_reserved(&config, &machine)?;
    // What the Node will be when nobody changes it.
    let first = node::object::node(&config, &machine, &node::object::Observed::default(), ctx.now());
    let objects = Arc::new(Objects::new(ctx.client.clone(), ctx.clock.clone()));
    let events = Arc::new(Events::new(&ctx, &config.node_name));
    let shared = Arc::new(Shared {
        volumes: volumes(&config, &ctx, objects.clone(), events.clone()),
        objects,
        cgroups: Cgroups::new(&config),
        events,
        node: Arc::new(NodeFacts {
            host_ips: host_ips(&config),
            runtime: name,
            recursive_read_only: abilities.recursive_read_only(""),
        }),
        machine,
        own_node: parking_lot::Mutex::new(Arc::new(NodeView::of(&first).unwrap_or_default())),
        abilities: parking_lot::Mutex::new(abilities),
        unread: parking_lot::Mutex::default(),
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
    tokio::select! {
        () = shared.ctx.stop.cancelled() => Ok(()),
        _ = async { tokio::join!(
            node::sync::run(shared.clone(), health.clone(), uid),
            node::lease::run(shared.clone(), uid_seen),
            pods::run(shared.clone(), synced.clone()),
            pleg::run(shared.clone(), health.clone(), synced.clone()),
            rotation::run(shared.clone()),
            limits::run(shared.clone()),
        ) } => Ok(()),
        e = crate::server::run(shared.clone()) => e.map_err(|e| Error::io("kubelet server", e)),
    }
}

/// What sets up pods' volumes.
fn volumes(config: &Arc<Config>, ctx: &Context, objects: Arc<Objects>, events: Arc<Events>) -> Volumes {
    Volumes {
        config: config.clone(),
        objects,
        tokens: Tokens::new(ctx.client.clone()),
        certificates: Certificates::new(ctx.client.clone(), ctx.entropy.clone(), events, &config.node_name),
        seed: ctx.entropy.next_u64(),
        clock: ctx.clock.clone(),
    }
}

/// The settings with the directories that they name made, and each by its real path.
fn prepared(mut config: Config) -> Result<Config> {
    if let Some(dir) = &config.static_pod_dir {
        return Err(Error::Config(format!(
            "static pods ({}) are not supported by this kubelet yet",
            dir.display()
        )));
    }
    config.root_dir = make_real_dir(&config.root_dir, 0o750)?;
    config.pod_log_dir = make_real_dir(&config.pod_log_dir, 0o755)?;
    make_dir(&config.root_dir.join("pods"), 0o750)?;
    Ok(config)
}

/// The addresses of the node as pods see them.
fn host_ips(config: &Config) -> Vec<String> {
    if config.node_ips.is_empty() {
        return vec![node::machine::own_ip().to_string()];
    }
    config.node_ips.iter().map(ToString::to_string).collect()
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
