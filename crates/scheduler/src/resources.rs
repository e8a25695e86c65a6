//! Amounts of resources: what pods ask for and nodes have.
// k8s: pkg/scheduler/framework/types.go Resource; staging/src/k8s.io/component-helpers/resource/helpers.go PodRequests

use meta::quantity::Quantity;
use reconcile::StrMap;

use crate::model::{Container, PodSpec};

/// What a container without a request counts as when nodes are compared.
const DEFAULT_MILLI_CPU: i64 = 100;
const DEFAULT_MEMORY_BYTES: i64 = 200 << 20;

/// CPU in thousandths, memory and ephemeral storage in bytes, everything else by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Amounts {
    pub milli_cpu: i64,
    pub memory: i64,
    pub ephemeral_storage: i64,
    /// Sorted by name.
    pub others: Vec<(Box<str>, i64)>,
}

impl Amounts {
    /// From a resource list; a quantity that cannot be read counts as nothing (the API server has validated it).
    #[must_use]
    pub fn parse(list: &StrMap) -> Self {
        let mut out = Amounts::default();
        for (name, text) in list.iter() {
            let Ok(q) = text.parse::<Quantity>() else { continue };
            match name {
                "cpu" => out.milli_cpu = q.milli_value(),
                "memory" => out.memory = q.value(),
                "ephemeral-storage" => out.ephemeral_storage = q.value(),
                "pods" => {}
                other => out.others.push((other.into(), q.value())),
            }
        }
        out
    }

    /// Adds `other`, `times` being 1 or -1.
    pub fn add(&mut self, other: &Amounts, times: i64) {
        self.milli_cpu += times * other.milli_cpu;
        self.memory += times * other.memory;
        self.ephemeral_storage += times * other.ephemeral_storage;
        for (name, amount) in &other.others {
            match self.others.binary_search_by(|(n, _)| n.cmp(name)) {
                Ok(i) => self.others[i].1 += times * amount,
                Err(i) => self.others.insert(i, (name.clone(), times * amount)),
            }
        }
    }

    fn raise_to(&mut self, other: &Amounts) {
        self.milli_cpu = self.milli_cpu.max(other.milli_cpu);
        self.memory = self.memory.max(other.memory);
        self.ephemeral_storage = self.ephemeral_storage.max(other.ephemeral_storage);
        for (name, amount) in &other.others {
            match self.others.binary_search_by(|(n, _)| n.cmp(name)) {
                Ok(i) => self.others[i].1 = self.others[i].1.max(*amount),
                Err(i) => self.others.insert(i, (name.clone(), *amount)),
            }
        }
    }

    /// The amount of a resource that is not one of the first three.
    #[must_use]
    pub fn other(&self, name: &str) -> i64 {
        self.others.binary_search_by(|(n, _)| n.as_ref().cmp(name)).map_or(0, |i| self.others[i].1)
    }
}

/// What the pod asks for, and the same with defaults in place of absent requests (CPU, memory).
#[must_use]
pub fn requests(spec: &PodSpec) -> (Amounts, (i64, i64)) {
    let exact = sum(spec, Amounts::parse);
    let filled = sum(spec, |list| {
        let mut a = Amounts::parse(list);
        if list.get("cpu").is_none() {
            a.milli_cpu = DEFAULT_MILLI_CPU;
        }
        if list.get("memory").is_none() {
            a.memory = DEFAULT_MEMORY_BYTES;
        }
        a
    });
    (exact, (filled.milli_cpu, filled.memory))
}

/// Containers and sidecars together, or the peak of the init containers, whichever is more; then the overhead.
fn sum(spec: &PodSpec, amounts: impl Fn(&StrMap) -> Amounts) -> Amounts {
    let of = |c: &Container| amounts(&c.resources.requests);
    let mut total = Amounts::default();
    for c in &spec.containers {
        total.add(&of(c), 1);
    }
    let mut sidecars = Amounts::default();
    let mut peak = Amounts::default();
    for c in &spec.init_containers {
        let mut now = of(c);
        if c.restart_policy.as_deref() == Some("Always") {
            total.add(&now, 1);
            sidecars.add(&now, 1);
            now = sidecars.clone();
        } else {
            now.add(&sidecars, 1);
        }
        peak.raise_to(&now);
    }
    total.raise_to(&peak);
    if let Some(pod) = &spec.resources {
        let whole = Amounts::parse(&pod.requests);
        if pod.requests.get("cpu").is_some() {
            total.milli_cpu = whole.milli_cpu;
        }
        if pod.requests.get("memory").is_some() {
            total.memory = whole.memory;
        }
    }
    total.add(&Amounts::parse(&spec.overhead), 1);
    total
}
