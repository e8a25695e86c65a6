//! What a stock control plane does on this kind of machine: kube-apiserver, controller manager and scheduler
//! v1.20.2 with etcd 3.4.23 on two cores, single runs, a sync of the disk about 1 ms, measured with the same
//! shape of load (1 KiB ConfigMaps over HTTPS, closed loop, clients on the same cores). Facts only.

/// Seconds until `/readyz` answers 200, with an empty store.
pub const READY: f64 = 4.1;
/// The same with 110 000 objects in the store.
pub const RESTART: f64 = 4.0;
/// Idle memory of API server and etcd, in MiB.
pub const IDLE_API: f64 = 380.0;
/// The same with controller manager and scheduler.
pub const IDLE_ALL: f64 = 517.0;
/// Memory of API server and etcd with 10 000 pods and 100 000 ConfigMaps, in MiB.
pub const LOADED: f64 = 2437.0;

/// Requests per second at 1, 16 and 64 clients.
pub const CREATES: [f64; 3] = [824.0, 2057.0, 2232.0];
/// See [`CREATES`].
pub const GETS: [f64; 3] = [1600.0, 5427.0, 6202.0];
/// See [`CREATES`].
pub const UPDATES: [f64; 3] = [767.0, 1724.0, 1900.0];
/// See [`CREATES`]; merge patches.
pub const PATCHES: [f64; 3] = [645.0, 1552.0, 1798.0];
/// Deletes per second at 16 clients; the others were not measured.
pub const DELETES: f64 = 1566.0;

/// Milliseconds for 10 000 objects (13 MiB): consistent, from the cache, in pages of 500.
pub const LISTS: [f64; 3] = [152.0, 74.0, 159.0];

/// Delivery to 500 watchers at 20 writes a second, milliseconds at the median and the 99th percentile.
pub const DELIVERY: [f64; 2] = [9.4, 20.0];
/// Server CPU per delivered event, in microseconds (26 to 36).
pub const EVENT_CPU: f64 = 31.0;

/// Pods bound per second on 1000 nodes with the client's limits lifted (191 to 227).
pub const BOUND: f64 = 227.0;
