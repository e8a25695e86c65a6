//! Runs the service proxy: Services and slices in, nft transactions out. What is applied is remembered as data, and
//! from time to time compared with what the kernel has; a transaction that fails, or rules that somebody else has
//! changed, make the next one start from nothing. When the rules are in place, the kernel is made to forget UDP flows
//! that lead to endpoints or ports which are gone. It must never touch another table.

mod health;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use control::{Context, Selection, reflect_raw};
use cri::containerd::find_program;
use meta::Gvr;
use proxy::conntrack::{Flow, UdpServices};
use proxy::kernel::Listing;
use proxy::model::{Node, ServiceCidr};
use proxy::range::ranges;
use proxy::{EndpointSlice, Options, Place, Ruleset, Service, diff, rules, service_ports, teardown};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;
use tokio::time::Instant;

use crate::components::mirror::Mirror;

const SERVICES: Gvr = Gvr::new("", "v1", "services");
const SLICES: Gvr = Gvr::new("discovery.k8s.io", "v1", "endpointslices");
const SERVICE_CIDRS: Gvr = Gvr::new("networking.k8s.io", "v1", "servicecidrs");
const NODES: Gvr = Gvr::new("", "v1", "nodes");
const ZONE: &str = "topology.kubernetes.io/zone";
/// How long changes are gathered before they are applied together.
const GATHER: Duration = Duration::from_millis(5);
const CONNTRACK: (&str, &str) = ("conntrack", "conntrack");
const NFT: (&str, &str) = ("nft", "nftables");
/// How long to wait before a failed transaction is tried again.
const RETRY: Duration = Duration::from_secs(2);
/// Stale flows that are removed in one go; the rest comes with the next change.
const FLOWS_LIMIT: usize = 1000;

/// How often it is looked whether the kernel still has the rules, as upstream's `syncPeriod`.
pub const SYNC_PERIOD: Duration = Duration::from_secs(30);
/// A look is followed by this many times its own duration without one: with many rules it happens less often.
const LOOK_SHARE: u32 = 100;
/// Sync periods that lie between two looks at most, however long one takes: a machine that is busy for a moment makes a
/// short look long.
const LOOK_PERIODS: u32 = 20;

/// Settings of one node's proxy.
#[derive(Clone, Debug)]
pub struct Settings {
    pub node_name: String,
    /// The ranges of cluster IPs in it are those known beforehand; the cluster's own are added.
    pub options: Options,
    pub sync_period: Duration,
}

struct Proxy {
    settings: Settings,
    services: Mirror<Service>,
    slices: Mirror<EndpointSlice>,
    cidrs: Mirror<ServiceCidr>,
    nodes: Mirror<Node>,
    applied: Option<Ruleset>,
    /// What the kernel's listing of the applied rules came to when it was first looked at.
    fingerprint: Option<u64>,
    health: health::Ports,
    /// For which the kernel's flows were last looked through.
    udp: UdpServices,
}

/// Lets node ports be reached over loopback.
const ROUTE_LOCALNET: &str = "/proc/sys/net/ipv4/conf/all/route_localnet";
const IP_FORWARD: &str = "/proc/sys/net/ipv4/ip_forward";

/// The present value of `net.ipv4.conf.all.route_localnet`.
#[must_use]
pub fn route_localnet() -> Option<String> {
    std::fs::read_to_string(ROUTE_LOCALNET).ok().map(|v| v.trim().to_owned())
}

/// Sets it back to what it was.
///
/// # Errors
/// When the kernel refuses.
pub fn restore_route_localnet(value: &str) -> Result<()> {
    std::fs::write(ROUTE_LOCALNET, value).context("net.ipv4.conf.all.route_localnet")
}

/// What the rules need of the kernel; what had to be set. Only called with the rules in place, which guard loopback.
async fn set_sysctls() -> Result<Vec<&'static str>> {
    let mut set = Vec::new();
    for path in [IP_FORWARD, ROUTE_LOCALNET] {
        let now = tokio::fs::read_to_string(path).await.context(path)?;
        if now.trim() != "1" {
            tokio::fs::write(path, "1").await.context(path)?;
            set.push(path);
        }
    }
    Ok(set)
}

/// Runs until the context is stopped, or what it follows breaks off. The rules stay, so that traffic goes on while the
/// proxy is away.
pub async fn run(ctx: &Context, settings: Settings) {
    let own =
        Selection { field_selector: format!("metadata.name={}", settings.node_name), ..Selection::default() };
    let mut services = reflect_raw(ctx, SERVICES, Selection::default());
    let mut slices = reflect_raw(ctx, SLICES, Selection::default());
    let mut cidrs = reflect_raw(ctx, SERVICE_CIDRS, Selection::default());
    let mut nodes = reflect_raw(ctx, NODES, own);
    let mut proxy = Proxy::new(settings);
    let mut due: Option<Instant> = None;
    let mut look = Instant::now();
    loop {
        let changed = tokio::select! {
            () = ctx.stop.cancelled() => return,
            e = services.recv() => match e {
                Some(e) => proxy.services.take(e),
                None => return,
            },
            e = slices.recv() => match e {
                Some(e) => proxy.slices.take(e),
                None => return,
            },
            Some(e) = cidrs.recv() => proxy.cidrs.take(e),
            Some(e) = nodes.recv() => proxy.nodes.take(e),
            () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() && proxy.synced() => {
                due = proxy.sync_or_retry(ctx).await;
                look = look.max(Instant::now() + proxy.settings.sync_period);
                false
            }
            () = tokio::time::sleep_until(look), if proxy.applied.is_some() => {
                let began = Instant::now();
                if proxy.is_changed_by_others().await {
                    due = Some(began);
                }
                look = Instant::now() + until_next_look(proxy.settings.sync_period, began.elapsed());
                false
            }
        };
        if changed {
            due = due.or(Some(Instant::now() + GATHER));
        }
    }
}

/// The time from a look that took that long to the next one.
fn until_next_look(period: Duration, took: Duration) -> Duration {
    period.max((took * LOOK_SHARE).min(period * LOOK_PERIODS))
}

impl Proxy {
    fn new(settings: Settings) -> Self {
        Proxy {
            settings,
            services: Mirror::new(|s| (&s.metadata.namespace, &s.metadata.name)),
            slices: Mirror::new(|s| (&s.metadata.namespace, &s.metadata.name)),
            cidrs: Mirror::new(|c| ("", &c.metadata.name)),
            nodes: Mirror::new(|n| ("", &n.metadata.name)),
            applied: None,
            fingerprint: None,
            health: health::Ports::default(),
            udp: UdpServices::default(),
        }
    }

    /// Ranges of cluster IPs and the node are good to know, but nothing waits for them: a server may lack them.
    fn synced(&self) -> bool {
        self.services.synced() && self.slices.synced()
    }

    /// Applies what has changed; the time of the next try when that failed.
    async fn sync_or_retry(&mut self, ctx: &Context) -> Option<Instant> {
        let checks = proxy::health::checks(self.services.values(), self.slices.values(), &self.place());
        self.health.sync(ctx, checks).await;
        let error = self.sync().await.err()?;
        tracing::error!("service rules: {error:#}");
        self.applied = None;
        Some(Instant::now() + RETRY)
    }

    fn place(&self) -> Place<'_> {
        let zone = self.nodes.values().find_map(|n| n.metadata.labels.get(ZONE));
        Place { node: &self.settings.node_name, zone: zone.map(String::as_str).unwrap_or_default() }
    }

    async fn sync(&mut self) -> Result<()> {
        let ports = service_ports(self.services.values(), self.slices.values(), &self.place());
        let mut options = self.settings.options.clone();
        let known = self.cidrs.values().flat_map(|c| &c.spec.cidrs);
        options.service_cidrs = ranges(options.service_cidrs.iter().chain(known));
        let want = rules(&ports, &options);
        let script = diff(self.applied.as_ref(), &want);
        if !script.is_empty() {
            nft(&script).await?;
            self.fingerprint = None;
        }
        if self.applied.is_none() {
            set_sysctls().await?;
        }
        self.applied = Some(want);
        let udp = UdpServices::new(&ports, &options.service_cidrs);
        if udp != self.udp {
            // Rules are what counts: an old flow ends by itself when its client is silent for a while.
            if let Err(e) = forget_stale(&udp, &self.udp).await {
                tracing::warn!("stale UDP flows: {e:#}");
            }
            self.udp = udp;
        }
        Ok(())
    }

    /// Whether the kernel has other rules than were applied; what is applied is not known then. Kernel switches that
    /// were turned off are turned on again.
    async fn is_changed_by_others(&mut self) -> bool {
        match set_sysctls().await {
            Ok(set) => set.iter().for_each(|path| tracing::warn!("{path} was turned off: it is on again")),
            Err(e) => tracing::error!("kernel switches: {e:#}"),
        }
        let Some(applied) = &self.applied else { return false };
        let why = match listing(&applied.table).await {
            Err(e) => Some(format!("{e:#}")),
            Ok(listing) => listing.difference(applied).or_else(|| {
                let now = listing.fingerprint();
                let first = *self.fingerprint.get_or_insert(now);
                (first != now).then(|| "a rule is another one".to_owned())
            }),
        };
        let Some(why) = why else { return false };
        tracing::warn!("the rules of Services were changed by somebody else ({why}): they are written anew");
        self.applied = None;
        true
    }
}

/// A program and the package that has it, to be called; it need not be in `PATH`.
fn call((program, package): (&str, &str)) -> Result<Command> {
    let missing = || format!("{program} is not installed: apt-get install {package}");
    find_program(program).map(Command::new).with_context(missing)
}

/// What the kernel has of a table.
async fn listing(table: &str) -> Result<Listing> {
    let mut child = call(NFT)?
        .args(["-s", "list", "table", "ip", table])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context(NFT.0)?;
    let mut lines = BufReader::new(child.stdout.take().context("nft has no output")?).lines();
    let mut listing = Listing::default();
    while let Some(line) = lines.next_line().await? {
        listing.line(&line);
    }
    match child.wait().await?.success() {
        true => Ok(listing),
        false => bail!("the table {table} cannot be listed"),
    }
}

/// Removes the flows that lead to endpoints which no longer serve, or to ports that are gone.
async fn forget_stale(udp: &UdpServices, before: &UdpServices) -> Result<()> {
    if udp.are_idle(before) {
        return Ok(());
    }
    let mut list = call(CONNTRACK)?
        .args(["-L", "-f", "ipv4", "-p", "udp"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context(CONNTRACK.0)?;
    let mut lines = BufReader::new(list.stdout.take().context("conntrack has no output")?).lines();
    let mut stale = BTreeSet::new();
    while let Some(line) = lines.next_line().await? {
        stale.extend(Flow::parse(&line).filter(|f| stale.len() < FLOWS_LIMIT && udp.is_stale(before, f)));
    }
    list.wait().await?;
    for flow in stale {
        tracing::debug!(?flow, "forgotten");
        let mut remove = call(CONNTRACK)?;
        // It fails when the flow has just ended: nothing is left to do.
        let _ = remove.args(flow.removal()).stdin(Stdio::null()).output().await.context(CONNTRACK.0)?;
    }
    Ok(())
}

/// Removes every rule of a proxy from the current network namespace.
///
/// # Errors
/// What nft said.
pub async fn cleanup(table: &str) -> Result<()> {
    nft(&teardown(table)).await
}

async fn nft(script: &str) -> Result<()> {
    let mut child = call(NFT)?
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context(NFT.0)?;
    let mut stdin = child.stdin.take().context("nft has no standard input")?;
    stdin.write_all(script.as_bytes()).await?;
    drop(stdin);
    let out = child.wait_with_output().await?;
    if !out.status.success() {
        bail!("nft: {}", String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(())
}
