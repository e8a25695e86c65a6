//! Which addresses and ports are taken, by Services and by IPAddress objects. It must never hand out one twice: a
//! reservation lasts until the write is in the store's events or given up.

use std::collections::{BTreeSet, HashMap};
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use meta::Status;
use parking_lot::Mutex;
use serde::Deserialize;
use store::{EventKind, EventSink, Events, ListOptions, Store};

use super::addresses::Claim;

/// Services and IPAddresses in the store.
const SERVICES: &str = "/registry/services/";
const OBJECTS: &str = "/registry/networking.k8s.io/ipaddresses/";
/// A port with its protocol.
type Port = (u16, String);

/// Taken addresses and ports.
pub struct Allocator {
    first: u32,
    /// Number of addresses, network and broadcast address included.
    size: u32,
    cidr: String,
    ports: RangeInclusive<u16>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// By store key.
    services: HashMap<Arc<str>, Taken>,
    /// The store keys of the Services that have an address: one, unless somebody wrote past this server.
    addresses: HashMap<Ipv4Addr, Vec<Arc<str>>>,
    /// What the IPAddress objects say.
    objects: HashMap<Ipv4Addr, Claim>,
    /// Addresses whose object and Service do not belong together.
    astray: BTreeSet<Ipv4Addr>,
    ports: HashMap<Port, usize>,
    reserved_addresses: BTreeSet<Ipv4Addr>,
    reserved_ports: BTreeSet<Port>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Taken {
    addresses: Vec<Ipv4Addr>,
    ports: Vec<Port>,
}

/// Addresses and ports held for one write.
pub struct Reservation {
    state: Arc<Mutex<State>>,
    addresses: Vec<Ipv4Addr>,
    ports: Vec<Port>,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        for a in &self.addresses {
            state.reserved_addresses.remove(a);
        }
        for p in &self.ports {
            state.reserved_ports.remove(p);
        }
    }
}

/// An address whose Service and IPAddress object do not belong together.
pub struct Astray {
    pub address: Ipv4Addr,
    /// Namespace and name of the Service that has it.
    pub service: Option<(String, String)>,
    pub object: Option<Claim>,
}

/// Why something cannot be reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    Taken,
    OutOfRange,
    Exhausted,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Service {
    spec: Spec,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    #[serde(rename = "clusterIP")]
    cluster_ip: String,
    #[serde(rename = "clusterIPs")]
    cluster_ips: Option<Vec<String>>,
    ports: Option<Vec<ServicePort>>,
    health_check_node_port: u16,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ServicePort {
    node_port: u16,
    protocol: String,
}

fn taken(value: &[u8]) -> Taken {
    let spec = crate::storage::peek::project::<Service>(value).spec;
    let ips = spec.cluster_ips.unwrap_or_else(|| vec![spec.cluster_ip]);
    let mut ports: Vec<Port> = spec
        .ports
        .unwrap_or_default()
        .into_iter()
        .filter(|p| p.node_port > 0)
        .map(|p| (p.node_port, if p.protocol.is_empty() { "TCP".to_owned() } else { p.protocol }))
        .collect();
    if spec.health_check_node_port > 0 {
        ports.push((spec.health_check_node_port, "TCP".to_owned()));
    }
    Taken { addresses: ips.iter().filter_map(|a| a.parse().ok()).collect(), ports }
}

impl State {
    fn set(&mut self, key: &Arc<str>, new: Option<Taken>) {
        if let Some(old) = self.services.remove(key) {
            for a in old.addresses {
                self.give_up(a, key);
            }
            for p in old.ports {
                uncount(&mut self.ports, &p);
            }
        }
        let Some(new) = new else { return };
        for a in &new.addresses {
            let holders = self.addresses.entry(*a).or_default();
            if !holders.contains(key) {
                holders.push(key.clone());
            }
            self.astray.insert(*a);
        }
        for p in &new.ports {
            *self.ports.entry(p.clone()).or_default() += 1;
        }
        self.services.insert(key.clone(), new);
    }

    fn give_up(&mut self, address: Ipv4Addr, key: &Arc<str>) {
        if let Some(holders) = self.addresses.get_mut(&address) {
            holders.retain(|k| k != key);
            if holders.is_empty() {
                self.addresses.remove(&address);
            }
        }
        self.astray.insert(address);
    }

    /// Takes a change of a Service or an IPAddress. What it is about counts as astray until [`State::settle`].
    fn change(&mut self, key: &Arc<str>, value: Option<&[u8]>) {
        if key.starts_with(SERVICES) {
            return self.set(key, value.map(taken));
        }
        let Some(address) = key.strip_prefix(OBJECTS).and_then(|name| name.parse().ok()) else { return };
        match value {
            Some(value) => self.objects.insert(address, Claim::of(value)),
            None => self.objects.remove(&address),
        };
        self.astray.insert(address);
    }

    /// Forgets of the addresses that were touched those at which nothing is wrong.
    fn settle(&mut self) {
        let mut astray = std::mem::take(&mut self.astray);
        astray.retain(|a| !self.is_in_order(*a));
        self.astray = astray;
    }

    fn is_in_order(&self, address: Ipv4Addr) -> bool {
        match (self.addresses.get(&address), self.objects.get(&address)) {
            (None, object) => object.is_none_or(|o| !o.is_ours()),
            (Some(_), None) => false,
            (Some(holders), Some(object)) => {
                object.is_complete() && holders.iter().any(|key| object.is_of(key))
            }
        }
    }

    fn is_free(&self, address: Ipv4Addr) -> bool {
        !self.addresses.contains_key(&address)
            && !self.objects.contains_key(&address)
            && !self.reserved_addresses.contains(&address)
    }
}

fn uncount<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(n) = counts.get_mut(key) {
        *n -= 1;
        if *n == 0 {
            counts.remove(key);
        }
    }
}

impl Allocator {
    /// Over an IPv4 range such as `10.96.0.0/12` and a range of ports.
    ///
    /// # Errors
    /// 500 when the range is not IPv4 or smaller than eight addresses.
    pub fn new(cidr: &str, ports: RangeInclusive<u16>) -> Result<Self, Status> {
        let bad = || Status::internal(format!("the service address range {cidr} is not a usable IPv4 CIDR"));
        let (address, bits) = cidr.split_once('/').ok_or_else(bad)?;
        let address: Ipv4Addr = address.parse().map_err(|_| bad())?;
        let bits: u32 = bits.parse().ok().filter(|b| (8..=29).contains(b)).ok_or_else(bad)?;
        let size = 1u32 << (32 - bits);
        let first = u32::from(address) & !(size - 1);
        Ok(Allocator { first, size, cidr: cidr.to_owned(), ports, state: Arc::default() })
    }

    /// Reads the stored Services and IPAddresses. To be called after subscribing.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn fill(&self, store: &dyn Store) -> Result<(), store::Error> {
        for prefix in [SERVICES, OBJECTS] {
            let mut after: Option<store::Key> = None;
            loop {
                let options = ListOptions { revision: None, start_after: after.as_deref(), limit: 500 };
                let page = store.list(prefix, options).await?;
                let mut state = self.state.lock();
                for e in &page.entries {
                    state.change(&e.key, Some(&e.value));
                }
                after = page.entries.last().map(|e| e.key.clone());
                if !page.more {
                    break;
                }
            }
        }
        self.state.lock().settle();
        Ok(())
    }

    /// The addresses whose Service and object do not belong together. Services outside the range are left alone.
    #[must_use]
    pub fn astray(&self) -> Vec<Astray> {
        let state = self.state.lock();
        let service = |a: &Ipv4Addr| {
            let key = state.addresses.get(a)?.first()?;
            let (namespace, name) = key.strip_prefix(SERVICES)?.split_once('/')?;
            Some((namespace.to_owned(), name.to_owned()))
        };
        let of =
            |a: &Ipv4Addr| Astray { address: *a, service: service(a), object: state.objects.get(a).cloned() };
        let wrong = state.astray.iter().map(of);
        wrong.filter(|a| a.service.is_none() || self.contains(a.address)).collect()
    }

    /// Holds an address for an IPAddress object that somebody makes; `None` where a Service is about to get it.
    pub fn object(&self, address: Ipv4Addr) -> Option<Reservation> {
        let mut held = self.reservation();
        if !self.state.lock().reserved_addresses.insert(address) {
            return None;
        }
        held.addresses.push(address);
        Some(held)
    }

    /// The range as it was given.
    #[must_use]
    pub fn cidr(&self) -> &str {
        &self.cidr
    }

    /// The ports as `30000-32767`.
    #[must_use]
    pub fn port_range(&self) -> String {
        format!("{}-{}", self.ports.start(), self.ports.end())
    }

    /// The first address: the `kubernetes` service's.
    #[must_use]
    pub fn first(&self) -> Ipv4Addr {
        Ipv4Addr::from(self.first + 1)
    }

    /// Whether an address lies in the range and may be given out.
    #[must_use]
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        let n = u32::from(address);
        n > self.first && n < self.first + self.size - 1
    }

    /// An empty reservation to add to.
    #[must_use]
    pub fn reservation(&self) -> Reservation {
        Reservation { state: self.state.clone(), addresses: Vec::new(), ports: Vec::new() }
    }

    /// Reserves this address, or (with `None`) a free one; `random` chooses where to begin looking.
    ///
    /// # Errors
    /// When it is taken or outside the range, or none is free.
    pub fn address(
        &self,
        held: &mut Reservation,
        wanted: Option<Ipv4Addr>,
        random: u64,
    ) -> Result<Ipv4Addr, Refusal> {
        let mut state = self.state.lock();
        let found = match wanted {
            Some(a) if !self.contains(a) => return Err(Refusal::OutOfRange),
            Some(a) => state.is_free(a).then_some(a).ok_or(Refusal::Taken)?,
            None => {
                // The lower part of the range is left to addresses that users choose.
                // k8s: pkg/registry/core/service/ipallocator/ipallocator.go calculateRangeOffset
                let usable = self.size - 2;
                let offset = (self.size / 16).clamp(16, 256).min(usable.saturating_sub(1));
                let upper = usable - offset;
                let start = u32::try_from(random % u64::from(upper.max(1))).unwrap_or(0);
                let high = (0..upper).map(|i| offset + (start + i) % upper);
                let mut all = high.chain(0..offset).map(|i| Ipv4Addr::from(self.first + 1 + i));
                all.find(|a| state.is_free(*a)).ok_or(Refusal::Exhausted)?
            }
        };
        state.reserved_addresses.insert(found);
        held.addresses.push(found);
        Ok(found)
    }

    /// Reserves this port, or (with 0) a free one that is free for all of `protocols`.
    ///
    /// # Errors
    /// When it is taken or outside the range, or none is free.
    pub fn port(
        &self,
        held: &mut Reservation,
        wanted: u16,
        protocols: &[&str],
        random: u64,
    ) -> Result<u16, Refusal> {
        let mut state = self.state.lock();
        let free = |state: &State, port: u16| {
            protocols.iter().all(|p| {
                let key = (port, (*p).to_owned());
                !state.ports.contains_key(&key) && !state.reserved_ports.contains(&key)
            })
        };
        let found = if wanted > 0 {
            if !self.ports.contains(&wanted) {
                return Err(Refusal::OutOfRange);
            }
            free(&state, wanted).then_some(wanted).ok_or(Refusal::Taken)?
        } else {
            let (low, high) = (*self.ports.start(), *self.ports.end());
            let count = u64::from(high.saturating_sub(low)) + 1;
            let at = |i: u64| low + u16::try_from((random % count + i) % count).unwrap_or(0);
            (0..count).map(at).find(|p| free(&state, *p)).ok_or(Refusal::Exhausted)?
        };
        for p in protocols {
            let key = (found, (*p).to_owned());
            state.reserved_ports.insert(key.clone());
            held.ports.push(key);
        }
        Ok(found)
    }
}

impl EventSink for Allocator {
    fn apply(&self, events: &Events) {
        let ours = |key: &str| key.starts_with(SERVICES) || key.starts_with(OBJECTS);
        let mut wanted = events.iter().filter(|e| ours(&e.key)).peekable();
        if wanted.peek().is_none() {
            return;
        }
        let mut state = self.state.lock();
        for e in wanted {
            state.change(&e.key, (e.kind == EventKind::Put).then_some(&*e.value));
        }
        state.settle();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_out_each_once() {
        let a = Allocator::new("10.0.0.0/28", 30_000..=30_001).unwrap();
        let mut held = a.reservation();
        let mut seen = BTreeSet::new();
        for i in 0..14 {
            assert!(seen.insert(a.address(&mut held, None, i).unwrap()));
        }
        assert_eq!(a.address(&mut held, None, 3), Err(Refusal::Exhausted));
        assert_eq!(a.address(&mut held, Some([10, 0, 0, 1].into()), 0), Err(Refusal::Taken));
        for bad in [[10, 0, 0, 0], [10, 0, 0, 15], [10, 0, 1, 1]] {
            assert_eq!(a.address(&mut held, Some(bad.into()), 0), Err(Refusal::OutOfRange));
        }
        assert_eq!(a.port(&mut held, 0, &["TCP"], 1), Ok(30_001));
        assert_eq!(a.port(&mut held, 30_001, &["UDP"], 1), Ok(30_001));
        assert_eq!(a.port(&mut held, 0, &["TCP", "UDP"], 1), Ok(30_000));
        assert_eq!(a.port(&mut held, 0, &["TCP"], 1), Err(Refusal::Exhausted));
        drop(held);
        let mut again = a.reservation();
        assert_eq!(a.port(&mut again, 30_001, &["TCP"], 1), Ok(30_001));
        assert!(Allocator::new("fd00::/64", 1..=2).is_err());
        assert_eq!(Allocator::new("10.96.0.0/12", 1..=2).unwrap().first(), Ipv4Addr::new(10, 96, 0, 1));
    }

    #[test]
    fn follows_stored_services() {
        let mut s = State::default();
        let json = br#"{"spec":{"clusterIP":"10.0.0.7","clusterIPs":["10.0.0.7"],"ports":[{"port":1,"nodePort":30000,"protocol":"TCP"}]}}"#;
        let key: Arc<str> = "/registry/services/ns/k".into();
        s.change(&key, Some(json));
        s.change(&key, Some(json));
        assert_eq!((s.addresses.len(), s.ports.len()), (1, 1));
        s.change(&key, Some(br#"{"spec":{"clusterIP":"None"}}"#));
        assert_eq!((s.addresses.len(), s.ports.len()), (0, 0));
    }
}
