//! Runs the service proxy: Services and slices in, nft transactions out. What is applied is remembered as data;
//! a transaction that fails makes the next one start from nothing. When the rules are in place, the kernel is made
//! to forget UDP flows that lead to endpoints which are gone.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use control::{Context, Selection, reflect_raw};
use meta::Gvr;
use proxy::conntrack::{Flow, UdpServices};
use proxy::{EndpointSlice, Options, Ruleset, Service, diff, rules, service_ports, teardown};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;
use tokio::time::Instant;

use crate::components::mirror::Mirror;

const SERVICES: Gvr = Gvr::new("", "v1", "services");
const SLICES: Gvr = Gvr::new("discovery.k8s.io", "v1", "endpointslices");
/// How long changes are gathered before they are applied together.
const GATHER: Duration = Duration::from_millis(5);
/// How long to wait before a failed transaction is tried again.
const RETRY: Duration = Duration::from_secs(2);
/// Stale flows that are removed in one go; the rest comes with the next change.
const FLOWS_LIMIT: usize = 1000;

/// Settings of one node's proxy.
#[derive(Clone, Debug)]
pub struct Settings {
    pub node_name: String,
    pub options: Options,
}

struct Proxy {
    settings: Settings,
    services: Mirror<Service>,
    slices: Mirror<EndpointSlice>,
    applied: Option<Ruleset>,
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

/// What the rules need of the kernel. Only called with the rules in place, which guard loopback.
async fn set_sysctls() -> Result<()> {
    for path in [IP_FORWARD, ROUTE_LOCALNET] {
        tokio::fs::write(path, "1").await.context(path)?;
    }
    Ok(())
}

/// Runs until the context is stopped. The rules stay, so that traffic goes on while the proxy is away.
pub async fn run(ctx: &Context, settings: Settings) {
    let mut services = reflect_raw(ctx, SERVICES, Selection::default());
    let mut slices = reflect_raw(ctx, SLICES, Selection::default());
    let mut proxy = Proxy {
        settings,
        services: Mirror::new(|s| (&s.metadata.namespace, &s.metadata.name)),
        slices: Mirror::new(|s| (&s.metadata.namespace, &s.metadata.name)),
        applied: None,
        udp: UdpServices::default(),
    };
    let mut due: Option<Instant> = None;
    loop {
        let changed = tokio::select! {
            () = ctx.stop.cancelled() => return,
            Some(e) = services.recv() => proxy.services.take(e),
            Some(e) = slices.recv() => proxy.slices.take(e),
            () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() && proxy.synced() => {
                due = proxy.sync_or_retry().await;
                false
            }
        };
        if changed {
            due = due.or(Some(Instant::now() + GATHER));
        }
    }
}

impl Proxy {
    fn synced(&self) -> bool {
        self.services.synced() && self.slices.synced()
    }

    /// Applies what has changed; the time of the next try when that failed.
    async fn sync_or_retry(&mut self) -> Option<Instant> {
        let error = self.sync().await.err()?;
        tracing::error!("service rules: {error:#}");
        self.applied = None;
        Some(Instant::now() + RETRY)
    }

    async fn sync(&mut self) -> Result<()> {
        let ports = service_ports(self.services.values(), self.slices.values(), &self.settings.node_name);
        let want = rules(&ports, &self.settings.options);
        let script = diff(self.applied.as_ref(), &want);
        if !script.is_empty() {
            nft(&script).await?;
        }
        if self.applied.is_none() {
            set_sysctls().await?;
        }
        self.applied = Some(want);
        let udp = UdpServices::new(&ports);
        if udp != self.udp {
            // Rules are what counts: an old flow ends by itself when its client is silent for a while.
            if let Err(e) = forget_stale(&udp).await {
                tracing::warn!("stale UDP flows: {e:#}");
            }
            self.udp = udp;
        }
        Ok(())
    }
}

/// Removes the flows that lead to endpoints which no longer serve.
async fn forget_stale(udp: &UdpServices) -> Result<()> {
    if udp.is_empty() {
        return Ok(());
    }
    let missing = "conntrack is not installed: apt-get install conntrack";
    let mut list = Command::new("conntrack")
        .args(["-L", "-f", "ipv4", "-p", "udp"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context(missing)?;
    let mut lines = BufReader::new(list.stdout.take().context("conntrack has no output")?).lines();
    let mut stale = BTreeSet::new();
    while let Some(line) = lines.next_line().await? {
        stale.extend(Flow::parse(&line).filter(|f| stale.len() < FLOWS_LIMIT && udp.is_stale(f)));
    }
    list.wait().await?;
    for flow in stale {
        tracing::debug!(?flow, "forgotten");
        let mut remove = Command::new("conntrack");
        // It fails when the flow has just ended: nothing is left to do.
        let _ = remove.args(flow.removal()).stdin(Stdio::null()).output().await.context(missing)?;
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
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("nft is not installed: apt-get install nftables")?;
    let mut stdin = child.stdin.take().context("nft has no standard input")?;
    stdin.write_all(script.as_bytes()).await?;
    drop(stdin);
    let out = child.wait_with_output().await?;
    if !out.status.success() {
        bail!("nft: {}", String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(())
}
