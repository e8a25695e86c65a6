//! Which connections are open, from where, and which of them have nothing to do: where there are too many, the one
//! that has had nothing to do for longest makes room for a new one. It must never close one that has a request.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::time::Instant;

/// All connections of a server.
pub(crate) struct Connections {
    limit: usize,
    limit_per_address: usize,
    began: Instant,
    all: Mutex<All>,
}

#[derive(Default)]
struct All {
    next: u64,
    open: HashMap<u64, Arc<Activity>>,
    by_address: HashMap<IpAddr, usize>,
}

/// What one connection has to do.
struct Activity {
    address: IpAddr,
    /// Requests that are not answered to the end, and streams that were made of the connection.
    requests: AtomicUsize,
    /// It had a request.
    asked: AtomicBool,
    /// When it last became idle, in milliseconds since the server began.
    idle_since_ms: AtomicU64,
    /// It was told to make room.
    shed: AtomicBool,
    waker: AtomicWaker,
}

/// A connection's place among the others, until it is dropped.
pub(crate) struct Slot {
    id: u64,
    activity: Arc<Activity>,
    connections: Arc<Connections>,
}

/// Keeps a connection's slot, and the connection from being idle, until it is dropped.
pub(crate) struct Busy(Arc<Slot>);

impl Connections {
    pub(crate) fn new(limit: usize, limit_per_address: usize) -> Arc<Connections> {
        Arc::new(Connections { limit, limit_per_address, began: Instant::now(), all: Mutex::default() })
    }

    /// A place for a new connection; `None` when all that are open, or all from its address, have something to do.
    pub(crate) fn admit(self: &Arc<Self>, peer: SocketAddr) -> Option<Arc<Slot>> {
        let address = network(peer.ip());
        let mut all = self.all.lock();
        let share = all.by_address.get(&address).copied().unwrap_or(0);
        if share >= self.limit_per_address {
            all.shed(Some(address))?;
        } else if all.open.len() >= self.limit {
            all.shed(None)?;
        }
        let activity = Arc::new(Activity {
            address,
            requests: AtomicUsize::new(0),
            asked: AtomicBool::new(false),
            idle_since_ms: AtomicU64::new(self.now_ms()),
            shed: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        });
        let id = all.next;
        all.next += 1;
        all.open.insert(id, activity.clone());
        *all.by_address.entry(address).or_default() += 1;
        drop(all);
        Some(Arc::new(Slot { id, activity, connections: self.clone() }))
    }

    /// Makes room when the process has no file descriptors left. Says whether any can come free.
    pub(crate) fn shed_one(&self) -> bool {
        self.all.lock().shed(None).is_some()
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl All {
    /// Tells the connection that has been idle for longest, of all or of those from one address, to close, and counts
    /// it no more.
    fn shed(&mut self, from: Option<IpAddr>) -> Option<()> {
        let idle = |activity: &Activity| activity.requests.load(Ordering::Acquire) == 0;
        let candidates =
            self.open.iter().filter(|(_, a)| from.is_none_or(|from| from == a.address) && idle(a));
        let oldest = candidates.min_by_key(|(id, a)| (a.idle_since_ms.load(Ordering::Relaxed), **id));
        let (id, activity) = oldest.map(|(id, activity)| (*id, activity.clone()))?;
        self.remove(id);
        tracing::debug!(address = %activity.address, "an idle connection makes room");
        activity.shed.store(true, Ordering::Release);
        activity.waker.wake();
        Some(())
    }

    fn remove(&mut self, id: u64) {
        let Some(activity) = self.open.remove(&id) else { return };
        if let Some(count) = self.by_address.get_mut(&activity.address) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&activity.address);
            }
        }
    }
}

impl Slot {
    /// Whether the connection is to make room. Wakes this task when it is.
    pub(crate) fn is_shed(&self, register: Option<&std::task::Waker>) -> bool {
        if let Some(waker) = register {
            self.activity.waker.register(waker);
        }
        self.activity.shed.load(Ordering::Acquire)
    }

    /// How long the connection has had nothing to do, and whether it ever had; `None` while it has.
    pub(crate) fn idle(&self) -> Option<(Duration, bool)> {
        let activity = &self.activity;
        if activity.requests.load(Ordering::Acquire) > 0 {
            return None;
        }
        let since = activity.idle_since_ms.load(Ordering::Relaxed);
        let idle = Duration::from_millis(self.connections.now_ms().saturating_sub(since));
        Some((idle, activity.asked.load(Ordering::Relaxed)))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.connections.all.lock().remove(self.id);
    }
}

impl Busy {
    pub(crate) fn new(slot: &Arc<Slot>) -> Busy {
        slot.activity.requests.fetch_add(1, Ordering::AcqRel);
        slot.activity.asked.store(true, Ordering::Relaxed);
        Busy(slot.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let Slot { activity, connections, .. } = &*self.0;
        activity.idle_since_ms.store(connections.now_ms(), Ordering::Relaxed);
        activity.requests.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What counts as one client: an IPv4 address, or the network of an IPv6 address, of which one client has many.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 1000))
    }

    #[tokio::test(start_paused = true)]
    async fn the_one_idle_for_longest_makes_room() {
        let connections = Connections::new(3, 3);
        let slots: Vec<_> = (0..3).map(|n| connections.admit(peer(n)).expect("there is room")).collect();
        let second = std::time::Duration::from_secs(1);
        let busy = Busy::new(&slots[0]);
        tokio::time::advance(second).await;
        drop(Busy::new(&slots[1]));
        let shed = |slots: &[Arc<Slot>]| slots.iter().map(|s| s.is_shed(None)).collect::<Vec<_>>();
        let _third = connections.admit(peer(9)).expect("an idle one goes");
        assert_eq!(shed(&slots), [false, false, true]);
        assert!(connections.shed_one());
        assert_eq!(shed(&slots), [false, true, true]);
        assert_eq!(slots[0].idle(), None);
        drop(busy);
        tokio::time::advance(second).await;
        assert_eq!(slots[0].idle(), Some((second, true)));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_with_a_request_makes_room_and_each_address_has_a_share() {
        let connections = Connections::new(4, 2);
        let admit = |last| connections.admit(peer(last));
        let busy: Vec<_> = [1, 1, 2].map(|n| Busy::new(&admit(n).expect("there is room"))).into();
        assert!(admit(1).is_none(), "its share is used up");
        let idle = admit(2).expect("there is room");
        let _again = admit(2).expect("its own idle one goes");
        assert!(idle.is_shed(None));
        drop(busy);
        assert!(admit(1).is_some());
        assert_eq!(
            network("2001:db8::7:8:9:a".parse().expect("one")),
            "2001:db8::".parse::<IpAddr>().expect("one")
        );
        assert_eq!(network("::ffff:192.0.2.1".parse().expect("one")), peer(1).ip());
    }
}
