//! One function a subcommand: flags to settings, settings to components, and the wait for the end.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use control::{CancellationToken, Context, Election, Recorder, elect};
use reconcile::{EventRecord, ObjectReference};
use tokio::signal::unix::{SignalKind, signal};

use crate::claim::claim;
use crate::cli::{self, Command};
use crate::clusters::record::Named;
use crate::components::accounts::AccountClient;
use crate::components::{controllers, proxy, scheduler};
use crate::control_plane::{self, ControlPlane};
use crate::duration::duration;
use crate::host::need_root;
use crate::roads::Roads;
use crate::serving::Component;
use crate::state::StateDir;
use crate::{
    bench, clusters, components, detach, doctor, down, host, images, join, log_file, logging, node, remote,
    service, serving, status, supervise,
};

/// Upstream's ports for health and metrics.
const SCHEDULER_PORT: u16 = 10259;
const CONTROLLER_MANAGER_PORT: u16 = 10257;

/// Runs a subcommand to its end.
///
/// # Errors
/// What the user can do something about, in one line.
pub fn run(command: Command) -> Result<()> {
    match command {
        Command::Up(o) => start(o),
        Command::List(o) => clusters::list::list(&o.clusters_dir),
        Command::Down(o) => match &o.place.name {
            Some(name) => plain(|| clusters::down::down(&o.place, name)),
            None => logged(0, down::down(&o.place.state.state_dir, o.purge)),
        },
        Command::Status(o) => match &o.place.name {
            Some(name) => plain(|| clusters::look::status(&o, name)),
            None => logged(0, status::run(&o.place.state.state_dir, &o.cluster_domain)),
        },
        Command::Doctor(o) => logged(0, doctor::run(o)),
        Command::Service(o) => logged(0, service::run(o)),
        Command::Images(o) => logged(0, images::run(o)),
        Command::Server(o) => logged(o.logging.v, server(o)),
        Command::Agent(o) => logged(o.logging.v, agent(o)),
        Command::KubeApiserver(o) => logged(o.logging.v, kube_apiserver(o)),
        Command::KubeScheduler(o) => logged(o.logging.v, kube_scheduler(o)),
        Command::KubeControllerManager(o) => logged(o.logging.v, kube_controller_manager(o)),
        Command::Kubelet(o) => logged(o.logging.v, kubelet(o)),
        Command::KubeProxy(o) => logged(o.logging.v, kube_proxy(o)),
        Command::Bench(o) => logged(0, bench::run(o)),
    }
}

/// In the foreground, in the background, or as one machine of a cluster with a name.
fn start(o: cli::Up) -> Result<()> {
    match (o.place.name.clone(), o.member) {
        (None, _) if o.detach => detach::up(&o),
        (None, _) => logged(o.logging.v, up(o)),
        (Some(name), None) => plain(|| clusters::up::up(&o, &name)),
        (Some(name), Some(n)) => {
            let named = Named::existing(&o.place.clusters.clusters_dir, &name)?;
            named.check_member(n)?;
            match n {
                1 => logged(o.logging.v, up(named.first(&o))),
                _ => logged(o.logging.v, agent(named.further(&o, n)?)),
            }
        }
    }
}

/// Runs work that makes its own runtimes.
fn plain(work: impl FnOnce() -> Result<()>) -> Result<()> {
    logging::init(0);
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    work()
}

fn logged(v: u8, work: impl Future<Output = Result<()>>) -> Result<()> {
    logging::init(v);
    // The provider is set once; a second call in one process changes nothing.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}

/// A token that is cancelled by SIGTERM or SIGINT.
fn until_signal() -> Result<CancellationToken> {
    let stop = CancellationToken::new();
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let token = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        tracing::info!("stopping");
        token.cancel();
    });
    Ok(stop)
}

async fn up(o: cli::Up) -> Result<()> {
    let (state, _lock) = claim("corten up", &o.place.state.state_dir, &o.node)?;
    let stop = until_signal()?;
    tokio::spawn(log_file::keep_small(state.log(), stop.clone()));
    let mut plane = ControlPlane::start(&state, &o.control_plane, &stop).await?;
    let settings = node::Settings::of_up(&state, &o, &plane)?;
    let roads = plane.node_roads(&settings.name, &stop);
    let result = tokio::select! {
        result = node::run(&state, settings, roads, &stop) => result,
        why = plane.broken() => Err(why),
    };
    stop.cancel();
    plane.stop().await;
    or_undo(&state, result).await
}

async fn server(o: cli::Server) -> Result<()> {
    let state = StateDir::open(&o.state.state_dir)?;
    let _lock = state.lock()?;
    let stop = until_signal()?;
    let mut plane = ControlPlane::start(&state, &o.control_plane, &stop).await?;
    let result = tokio::select! {
        () = stop.cancelled() => Ok(()),
        why = plane.broken() => Err(why),
    };
    stop.cancel();
    plane.stop().await;
    result
}

async fn agent(o: cli::Agent) -> Result<()> {
    let (state, _lock) = claim("corten agent", &o.state.state_dir, &o.node)?;
    let stop = until_signal()?;
    tokio::spawn(log_file::keep_small(state.log(), stop.clone()));
    let Some(joined) = join::agent::join(&o, &state, &stop).await? else { return Ok(()) };
    let ctx = Context::new(joined.client).with_stop(stop.clone());
    if let Some(keeper) = joined.keeper {
        tokio::spawn(keep_certificates(ctx.clone(), Arc::new(keeper)));
    }
    let proxy = Context::new(joined.proxy).with_stop(stop.clone());
    let roads = Roads { kubelet: ctx, proxy };
    let result = node::run(&state, joined.settings, roads, &stop).await;
    stop.cancel();
    or_undo(&state, result).await
}

/// A node that could not run leaves nothing behind.
async fn or_undo(state: &StateDir, result: Result<()>) -> Result<()> {
    if result.is_err() {
        down::undo(state).await;
    }
    result
}

async fn kube_apiserver(o: cli::KubeApiserver) -> Result<()> {
    let state = StateDir::open(&o.state.state_dir)?;
    let _lock = state.lock()?;
    let stop = until_signal()?;
    let settings = control_plane::apiserver_settings(&o)?;
    let mut api = components::apiserver::start(&state, &settings).await?;
    control_plane::write_admin_kubeconfig(&state, &api)?;
    for component in ["kube-scheduler", "kube-controller-manager", "kube-proxy"] {
        control_plane::write_kubeconfig(&api, component, state.kubeconfig(component))?;
    }
    let result = tokio::select! {
        () = stop.cancelled() => Ok(()),
        why = api.broken() => Err(why),
    };
    api.stop().await;
    result
}

async fn keep_certificates(ctx: Context, keeper: Arc<join::agent::Keeper>) {
    supervise::keep(ctx.stop.clone(), "the renewal of the node's certificates", || {
        let (keeper, ctx) = (keeper.clone(), ctx.clone());
        async move {
            keeper.run(&ctx).await;
            Ok(())
        }
    })
    .await;
}

/// Runs `work` at once, or only while this process is the leader. It is over when the context is stopped: work that
/// ends before has broken off.
async fn led<F, Fut>(ctx: &Context, o: &cli::LeaderElection, component: &Component, work: F) -> Result<()>
where
    F: FnOnce(Context) -> Fut,
    Fut: Future<Output = ()>,
{
    if !o.leader_elect {
        component.lead();
        work(ctx.clone()).await;
        return ended(ctx, component);
    }
    let identity = format!("{}_{}", host::name(), sys::uuid_v4(ctx.entropy.as_ref()));
    let election = election(o, component.name, &identity)?;
    let about = ObjectReference {
        kind: "Lease".to_owned(),
        api_version: "coordination.k8s.io/v1".to_owned(),
        namespace: election.namespace.clone(),
        name: election.name.clone(),
        ..ObjectReference::default()
    };
    let recorder = Recorder::new(ctx, "");
    let lost = elect(ctx, &election, |stop| {
        component.lead();
        let message = format!("{identity} became leader");
        recorder.record(component.name, EventRecord::normal(about, "LeaderElection", message));
        work(ctx.clone().with_stop(stop))
    })
    .await;
    if lost {
        bail!("leader election lost");
    }
    ended(ctx, component)
}

fn ended(ctx: &Context, component: &Component) -> Result<()> {
    if !ctx.stop.is_cancelled() {
        bail!("{} broke off: its log says why", component.name);
    }
    Ok(())
}

fn election(o: &cli::LeaderElection, component: &str, identity: &str) -> Result<Election> {
    let name = o.leader_elect_resource_name.as_deref().unwrap_or(component);
    let mut election = Election::new(&o.leader_elect_resource_namespace, name, identity);
    election.lease_duration = duration(&o.leader_elect_lease_duration)?;
    election.renew_deadline = duration(&o.leader_elect_renew_deadline)?;
    election.retry_period = duration(&o.leader_elect_retry_period)?;
    // k8s: staging/src/k8s.io/client-go/tools/leaderelection/leaderelection.go NewLeaderElector
    let retries = election.retry_period.mul_f64(1.2);
    if election.lease_duration <= election.renew_deadline
        || election.renew_deadline <= retries
        || retries.is_zero()
    {
        bail!("leader election: the lease must outlast the renew deadline, and that 1.2 retry periods");
    }
    Ok(election)
}

async fn kube_scheduler(o: cli::KubeScheduler) -> Result<()> {
    let remote = remote::apart(&o.apart, "kube-scheduler")?;
    let ctx = Context::new(remote.client).with_stop(until_signal()?);
    let component = Component::new("kube-scheduler", o.election.leader_elect);
    serving::secure(&ctx, &component, &o.serving, SCHEDULER_PORT).await?;
    led(&ctx, &o.election, &component, |ctx| async move {
        scheduler::run(&ctx, "default-scheduler").await;
    })
    .await
}

async fn kube_controller_manager(o: cli::KubeControllerManager) -> Result<()> {
    let remote = remote::apart(&o.apart, "kube-controller-manager")?;
    let root_ca = match &o.root_ca_file {
        Some(path) => std::fs::read_to_string(path).with_context(|| path.display().to_string())?,
        None => remote.ca_pem.clone(),
    };
    let settings = controllers::Settings {
        root_ca,
        cluster_cidr: match o.allocate_node_cidrs {
            true => Some(controllers::cluster_cidr(&o.cluster_cidr, o.node_cidr_mask_size)?),
            false => None,
        },
        authority: match (&o.cluster_signing_cert_file, &o.cluster_signing_key_file) {
            (Some(cert), Some(key)) => Some(components::authority::from_files(cert, key)?),
            _ => None,
        },
        signing_duration: duration(&o.cluster_signing_duration)?,
        node_monitor_grace: duration(&o.node_monitor_grace_period)?,
        terminated_pod_threshold: o.terminated_pod_gc_threshold,
        chosen: controllers::Chosen::parse(&o.controllers)?,
        tokens: match &o.service_account_private_key_file {
            Some(path) => {
                let key = std::fs::read(path).with_context(|| path.display().to_string())?;
                Some(components::token_signer::from_pem(&key)?)
            }
            None => None,
        },
    };
    let ctx = Context::new(Arc::clone(&remote.client)).with_stop(until_signal()?);
    let component = Component::new("kube-controller-manager", o.election.leader_elect);
    serving::secure(&ctx, &component, &o.serving, CONTROLLER_MANAGER_PORT).await?;
    let accounts = o.use_service_account_credentials;
    led(&ctx, &o.election, &component, |ctx| async move {
        let identity = |account: &str| match accounts {
            true => {
                let client = AccountClient::new(Arc::clone(&remote.client), &remote.endpoint, account);
                ctx.clone().with_client(Arc::new(client))
            }
            false => ctx.clone(),
        };
        controllers::run(&ctx, &settings, &identity).await;
    })
    .await
}

async fn kubelet(o: cli::Kubelet) -> Result<()> {
    need_root("corten kubelet")?;
    let stop = until_signal()?;
    let remote = remote::apart(&o.apart, "kubelet")?;
    let ctx = Context::new(Arc::clone(&remote.client)).with_stop(stop.clone());
    let health = SocketAddr::new(o.healthz_bind_address, o.healthz_port);
    serving::plain(&ctx, &Component::new("kubelet", false), health, false, Vec::new()).await?;
    node::run_kubelet(&o, remote, &stop).await
}

async fn kube_proxy(o: cli::KubeProxy) -> Result<()> {
    need_root("corten kube-proxy")?;
    if o.cleanup {
        return proxy::cleanup(::proxy::nftables::TABLE).await;
    }
    if o.proxy_mode != "nftables" {
        bail!("--proxy-mode {:?} is not there: only nftables is", o.proxy_mode);
    }
    let remote = remote::apart(&o.apart, "kube-proxy")?;
    let ctx = Context::new(remote.client).with_stop(until_signal()?);
    let component = Component::new("kube-proxy", false);
    serving::plain(&ctx, &component, o.healthz_bind_address, false, Vec::new()).await?;
    serving::plain(&ctx, &component, o.metrics_bind_address, true, vec![("/proxyMode", "nftables")]).await?;
    let options = ::proxy::Options {
        table: ::proxy::nftables::TABLE.to_owned(),
        cluster_cidr: o.cluster_cidr,
        service_cidrs: Vec::new(),
        node_port_addresses: node_port_ranges(&o.nodeport_addresses, host::address())?,
    };
    let node_name = o.hostname_override.unwrap_or_else(host::name);
    proxy::run(&ctx, proxy::Settings { node_name, options, sync_period: proxy::SYNC_PERIOD }).await;
    ended(&ctx, &component)
}

/// The ranges of local addresses that node ports are served on; empty: all of them. Without any, and for `primary`,
/// the node's own address.
// k8s: pkg/proxy/apis/config/v1alpha1/defaults.go (nodePortAddresses of mode nftables)
fn node_port_ranges(texts: &[String], own: IpAddr) -> Result<Vec<String>> {
    let primary = format!("{own}/32");
    let (named, given): (Vec<&String>, Vec<&String>) = texts.iter().partition(|t| *t == "primary");
    let primary = (!named.is_empty() || given.is_empty()).then_some(&primary);
    let ranges = ::proxy::range::ranges(given.iter().copied().chain(primary));
    match ranges.as_slice() {
        [] => bail!("--nodeport-addresses {:?} names no IPv4 range", texts.join(",")),
        [all] if all == "0.0.0.0/0" => Ok(Vec::new()),
        _ => Ok(ranges),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_ports_are_on_the_own_address_unless_told_otherwise() {
        let own = "192.0.2.7".parse().unwrap();
        for (given, want) in [
            ("", Some("192.0.2.7/32")),
            ("primary", Some("192.0.2.7/32")),
            ("127.0.0.0/8,primary", Some("127.0.0.0/8,192.0.2.7/32")),
            ("10.0.0.0/8,10.1.0.0/16,fd00::/8", Some("10.0.0.0/8")),
            ("0.0.0.0/0", Some("")),
            ("fd00::/8", None),
            ("nonsense", None),
        ] {
            let texts: Vec<String> = given.split(',').filter(|t| !t.is_empty()).map(str::to_owned).collect();
            assert_eq!(node_port_ranges(&texts, own).ok().map(|r| r.join(",")).as_deref(), want, "{given}");
        }
    }
}
