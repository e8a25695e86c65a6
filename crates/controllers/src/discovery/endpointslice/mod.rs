//! EndpointSlice: says behind which addresses the pods of a service are, in slices of at most a hundred.
//!
//! Reads services, pods, nodes and its own slices. It must leave alone slices that others manage, and
//! services without a selector. It must never take an endpoint away before the slice that has it instead is there.
// k8s: staging/src/k8s.io/endpointslice/reconciler.go

mod endpoints;
mod spread;
mod state;
pub mod types;
mod write;

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use reconcile::{Action, Answers, Caches, Controller, Delta, Interests, Key, KeySink, Plan};

use self::spread::Changes;
pub use self::state::{Backend, State};
use self::types::{BY_SERVICE, ENDPOINTSLICES, EndpointSlice, SERVICE_NAME};
use crate::core::node::Node;
use crate::core::pod::Pod;
use crate::core::service::{Service, backing, concerned};

/// The controller.
pub struct EndpointSlices;

fn own_slice(delta: &Delta<EndpointSlice>, _: &Caches, sink: &mut KeySink) {
    for s in delta.both() {
        if s.ours()
            && let Some(service) = s.metadata.labels.get(SERVICE_NAME)
        {
            sink.add(Key::new(&s.metadata.namespace, service));
        }
    }
}

/// A pod with what its node says.
fn backend(pod: Arc<Pod>, caches: &Caches) -> Backend {
    let node = caches.kind::<Node>().get("", &pod.spec.node_name);
    let zone = node.and_then(|n| n.metadata.labels.get("topology.kubernetes.io/zone"));
    Backend { node_known: node.is_some(), zone: zone.map(Into::into), pod }
}

impl Controller for EndpointSlices {
    type State = State;
    type Memory = ();

    fn name(&self) -> &'static str {
        "endpointslice-controller"
    }

    fn interests(&self, i: &mut Interests) {
        i.own::<Service>();
        i.on::<Pod>(concerned);
        i.on::<EndpointSlice>(own_slice);
        i.read::<Node>();
    }

    fn observe(&self, key: &Key, caches: &Caches, _: &Answers) -> Option<State> {
        let service = caches.kind::<Service>().by_key(key)?.clone();
        if !service.selects() {
            return None;
        }
        let pods = backing(&service, caches).into_iter().map(|p| backend(p, caches)).collect();
        let index = format!("{}/{}", key.namespace, key.name);
        let slices = caches.kind::<EndpointSlice>().by_index(BY_SERVICE, &index);
        let slices = slices.filter(|s| s.ours() && !s.metadata.deleting()).cloned().collect();
        Some(State { service, pods, slices })
    }

    fn reconcile(&self, state: &State, _: &mut (), _: Timestamp) -> Plan {
        let s = &state.service;
        let families = s.families();
        // Of a service of this name that was there before, or of a family that this one no longer has.
        let usable = |x: &&Arc<EndpointSlice>| {
            let of_service = |o: &reconcile::OwnerReference| o.uid == s.metadata.uid && o.is_a("", "Service");
            x.metadata.owner_references.iter().any(of_service) && families.contains(&&*x.address_type)
        };
        let (have, foreign): (Vec<_>, Vec<_>) = state.slices.iter().partition(usable);
        let mut taken: BTreeSet<String> = state.slices.iter().map(|s| s.metadata.name.to_string()).collect();
        let (mut creates, mut updates, mut deletes) = (Vec::new(), Vec::new(), foreign);
        let changes: Vec<(&str, Changes)> = families
            .iter()
            .map(|family| {
                let of_family = have.iter().filter(|s| *s.address_type == **family);
                let of_family: Vec<_> = of_family.map(|s| (*s).clone()).collect();
                let stale = |x: &EndpointSlice| x.metadata.labels != write::labels(s);
                (*family, spread::settle(&of_family, &endpoints::wanted(state, family), stale))
            })
            .collect();
        for (family, c) in &changes {
            // The garbage collector is taking the slices of a service that goes away.
            if !s.metadata.deleting() {
                creates.extend(c.create.iter().map(|g| write::create(state, family, g, &mut taken)));
            }
            updates.extend(c.update.iter().map(|(slice, g)| write::replace(state, slice, g)));
            deletes.extend(&c.delete);
        }
        let mut plan = Plan::default();
        plan.step(creates);
        plan.step(updates);
        plan.step(deletes.into_iter().map(|s| Action::delete(ENDPOINTSLICES, &s.metadata)).collect());
        plan.retry = state.pods.iter().any(|b| endpoints::left_out(s, b));
        plan
    }
}

#[cfg(test)]
mod tests;
