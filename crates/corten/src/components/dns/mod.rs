//! Runs cluster DNS: sockets, forwarding, and a zone rebuilt when Services or slices change.

#[cfg(test)]
mod tests;
mod upstreams;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use control::{Context, Selection, reflect_raw};
use dns::model::{EndpointSlice, Service};
use dns::{Reply, Zone, respond};
use meta::Gvr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use self::upstreams::Upstreams;
use crate::components::mirror::Mirror;

const SERVICES: Gvr = Gvr::new("", "v1", "services");
const SLICES: Gvr = Gvr::new("discovery.k8s.io", "v1", "endpointslices");
/// Queries being forwarded at a time; more are dropped, and the client asks again.
const FORWARD_LIMIT: usize = 512;
const CONNECTION_LIMIT: usize = 256;
const FORWARD_TIMEOUT: Duration = Duration::from_secs(2);
const TCP_IDLE: Duration = Duration::from_secs(10);
const GATHER: Duration = Duration::from_millis(5);

/// Settings of the server.
#[derive(Clone, Debug)]
pub struct Settings {
    pub listen: SocketAddr,
    /// `cluster.local`.
    pub domain: String,
    /// Addresses of pods, which are always served.
    pub cluster_cidr: String,
    /// Whose nameservers outside names are forwarded to.
    pub resolv_conf: PathBuf,
    /// What tells this server from those of other clusters.
    pub identity: String,
}

/// The sockets of the server. They stay while it is started again.
#[derive(Clone, Debug)]
pub struct Sockets {
    udp: Arc<UdpSocket>,
    tcp: Arc<TcpListener>,
}

impl Sockets {
    /// Takes the address.
    ///
    /// # Errors
    /// When it is taken, or is none of this machine.
    pub async fn bind(listen: SocketAddr) -> Result<Self> {
        let refused = |protocol: &str, e: std::io::Error| match e.kind() {
            std::io::ErrorKind::AddrInUse => anyhow!(
                "cluster DNS: {protocol} port {} of {} is taken by another process; choose another with --dns-port",
                listen.port(),
                listen.ip()
            ),
            _ => anyhow!("cluster DNS cannot listen on {protocol} {listen}: {e}"),
        };
        let udp = UdpSocket::bind(listen).await.map_err(|e| refused("UDP", e))?;
        // The same port where the system chose it.
        let tcp = TcpListener::bind(udp.local_addr()?).await.map_err(|e| refused("TCP", e))?;
        Ok(Sockets { udp: Arc::new(udp), tcp: Arc::new(tcp) })
    }
}

struct Shared {
    /// Absent until Services and slices are known: better no answer than a wrong one.
    zone: watch::Receiver<Option<Arc<Zone>>>,
    /// For telling names of the cluster from others while the zone is not known.
    empty: Zone,
    pods: Range,
    own: IpAddr,
    upstreams: Upstreams,
    forwards: Arc<Semaphore>,
}

/// Serves until the context is stopped, or what it follows breaks off.
pub async fn run(ctx: &Context, settings: Settings, sockets: Sockets) {
    let listen = settings.listen;
    let (zones, zone) = watch::channel(None);
    let upstreams = Upstreams::new(settings.resolv_conf.clone(), listen);
    let empty = Zone::new(&settings.domain, &[], &[]);
    let pods = Range::parse(&settings.cluster_cidr);
    let shared = Arc::new(Shared {
        zone,
        empty,
        pods,
        own: listen.ip(),
        upstreams,
        forwards: Arc::new(Semaphore::new(FORWARD_LIMIT)),
    });
    tokio::select! {
        () = ctx.stop.cancelled() => {}
        () = follow(ctx, &settings, &zones) => {}
        () = serve_udp(sockets.udp, &shared) => {}
        () = serve_tcp(&sockets.tcp, &shared) => {}
    }
}

/// An IPv4 range; one that cannot be read holds nothing.
#[derive(Clone, Copy, Debug)]
struct Range {
    base: u32,
    mask: u32,
}

impl Range {
    fn parse(cidr: &str) -> Self {
        let parse = || {
            let (base, prefix) = cidr.split_once('/')?;
            let (base, prefix): (Ipv4Addr, u32) = (base.parse().ok()?, prefix.parse().ok()?);
            let mask = u32::MAX.checked_shl(32_u32.checked_sub(prefix)?).unwrap_or(0);
            Some(Range { base: u32::from(base) & mask, mask })
        };
        parse().unwrap_or(Range { base: 1, mask: 0 })
    }

    fn holds(self, ip: Ipv4Addr) -> bool {
        u32::from(ip) & self.mask == self.base
    }
}

impl Shared {
    fn reply(&self, query: &[u8], from: IpAddr, udp: bool) -> Reply {
        let zone = self.zone.borrow().clone();
        let reply = respond(zone.as_deref().unwrap_or(&self.empty), query, udp);
        match reply {
            Reply::Answer(_) if zone.is_none() => Reply::Answer(rejection(query, SERVER_FAILURE)),
            Reply::Forward if !self.may_recurse(from) => Reply::Answer(rejection(query, REFUSED)),
            Reply::Continue(unfinished) if !self.may_recurse(from) => unfinished.finish(None),
            other => other,
        }
    }

    /// The answer to what only an outer resolver knows.
    async fn recurse(&self, reply: Reply, query: &[u8], udp: bool) -> Reply {
        let upstreams = self.upstreams.current();
        let ask = async |query: &[u8]| match udp {
            true => forward_udp(&upstreams, query).await,
            false => forward_tcp(&upstreams, query).await,
        };
        match reply {
            Reply::Forward => {
                let answer = ask(query).await;
                Reply::Answer(answer.unwrap_or_else(|| rejection(query, SERVER_FAILURE)))
            }
            Reply::Continue(unfinished) => {
                let outer = ask(unfinished.query()).await;
                unfinished.finish(outer.as_deref())
            }
            other => other,
        }
    }

    /// Only pods and neighbours on private networks are served names of the outside: no open resolver.
    fn may_recurse(&self, from: IpAddr) -> bool {
        match from {
            IpAddr::V4(ip) => {
                ip.is_loopback()
                    || ip.is_private()
                    || ip.is_link_local()
                    || self.pods.holds(ip)
                    || self.own == from
            }
            IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
        }
    }
}

async fn follow(ctx: &Context, settings: &Settings, zones: &watch::Sender<Option<Arc<Zone>>>) {
    let mut services = reflect_raw(ctx, SERVICES, Selection::default());
    let mut slices = reflect_raw(ctx, SLICES, Selection::default());
    let mut all_services = Mirror::<Service>::new(|s| (&s.metadata.namespace, &s.metadata.name));
    let mut all_slices = Mirror::<EndpointSlice>::new(|s| (&s.metadata.namespace, &s.metadata.name));
    let mut due: Option<Instant> = None;
    loop {
        let changed = tokio::select! {
            e = services.recv() => match e {
                Some(e) => all_services.take(e),
                None => return,
            },
            e = slices.recv() => match e {
                Some(e) => all_slices.take(e),
                None => return,
            },
            () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)),
                if due.is_some() && all_services.synced() && all_slices.synced() =>
            {
                due = None;
                let zone = Zone::new(&settings.domain, all_services.values(), all_slices.values());
                let zone = zone.with_identity(&settings.identity);
                zones.send_replace(Some(Arc::new(zone)));
                false
            }
        };
        if changed {
            due = due.or(Some(Instant::now() + GATHER));
        }
    }
}

async fn serve_udp(socket: Arc<UdpSocket>, shared: &Arc<Shared>) {
    let mut buffer = [0_u8; 4096];
    loop {
        let (n, peer) = match socket.recv_from(&mut buffer).await {
            Ok(got) => got,
            // An ICMP error of an earlier answer; the socket goes on.
            Err(e) => {
                tracing::debug!("dns: {e}");
                continue;
            }
        };
        match shared.reply(&buffer[..n], peer.ip(), true) {
            Reply::Answer(bytes) => drop(socket.send_to(&bytes, peer).await),
            Reply::Drop => {}
            reply => {
                let Ok(permit) = shared.forwards.clone().try_acquire_owned() else { continue };
                let (socket, shared, query) = (socket.clone(), shared.clone(), buffer[..n].to_vec());
                tokio::spawn(async move {
                    if let Reply::Answer(answer) = shared.recurse(reply, &query, true).await {
                        let _ = socket.send_to(&answer, peer).await;
                    }
                    drop(permit);
                });
            }
        }
    }
}

async fn serve_tcp(listener: &TcpListener, shared: &Arc<Shared>) {
    let permits = Arc::new(Semaphore::new(CONNECTION_LIMIT));
    loop {
        let Ok((stream, peer)) = listener.accept().await else { continue };
        let Ok(permit) = permits.clone().try_acquire_owned() else { continue };
        let shared = shared.clone();
        tokio::spawn(async move {
            let _ = connection(stream, peer.ip(), &shared).await;
            drop(permit);
        });
    }
}

async fn connection(mut stream: TcpStream, peer: IpAddr, shared: &Shared) -> std::io::Result<()> {
    loop {
        let query = tokio::time::timeout(TCP_IDLE, read_framed(&mut stream)).await??;
        let reply = shared.reply(&query, peer, false);
        let Reply::Answer(answer) = shared.recurse(reply, &query, false).await else { return Ok(()) };
        write_framed(&mut stream, &answer).await?;
    }
}

async fn read_framed(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let n = stream.read_u16().await?;
    let mut query = vec![0; usize::from(n)];
    stream.read_exact(&mut query).await?;
    Ok(query)
}

async fn write_framed(stream: &mut TcpStream, message: &[u8]) -> std::io::Result<()> {
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend_from_slice(&message[..usize::from(length)]);
    stream.write_all(&framed).await
}

async fn forward_udp(upstreams: &[SocketAddr], query: &[u8]) -> Option<Vec<u8>> {
    for upstream in upstreams {
        let ask = async {
            let any: IpAddr = if upstream.is_ipv4() { [0, 0, 0, 0].into() } else { [0_u16; 8].into() };
            let socket = UdpSocket::bind((any, 0)).await?;
            socket.connect(upstream).await?;
            socket.send(query).await?;
            let mut buffer = vec![0; 4096];
            loop {
                let n = socket.recv(&mut buffer).await?;
                // Only the answer to this very query counts.
                if n >= 12 && buffer[..2] == query[..2] {
                    buffer.truncate(n);
                    return std::io::Result::Ok(buffer);
                }
            }
        };
        if let Ok(Ok(answer)) = tokio::time::timeout(FORWARD_TIMEOUT, ask).await {
            return Some(answer);
        }
    }
    None
}

async fn forward_tcp(upstreams: &[SocketAddr], query: &[u8]) -> Option<Vec<u8>> {
    for upstream in upstreams {
        let ask = async {
            let mut stream = TcpStream::connect(upstream).await?;
            write_framed(&mut stream, query).await?;
            read_framed(&mut stream).await
        };
        if let Ok(Ok(answer)) = tokio::time::timeout(FORWARD_TIMEOUT, ask).await {
            return Some(answer);
        }
    }
    None
}

const SERVER_FAILURE: u8 = 2;
const REFUSED: u8 = 5;

/// The query sent back as an answer with this response code: only the flags change.
fn rejection(query: &[u8], code: u8) -> Vec<u8> {
    let mut answer = query.to_vec();
    if let [_, _, a, b, ..] = answer.as_mut_slice() {
        *a |= 0x80;
        *b = (*b & 0x70) | 0x80 | code;
    }
    answer
}
