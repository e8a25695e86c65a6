//! Spreading endpoints over slices with few writes: an endpoint stays in its slice, new ones fill slices that
//! are written anyway, and a slice that would go takes up what would need a new one.
// k8s: staging/src/k8s.io/endpointslice/reconciler.go reconcileByPortMapping, finalize

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::endpoints::Group;
use super::types::{Endpoint, EndpointSlice};

/// Endpoints in a slice.
pub(crate) const MAX_ENDPOINTS: usize = 100;

/// What is to happen to the slices of a service.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub create: Vec<Group>,
    pub update: Vec<(Arc<EndpointSlice>, Group)>,
    pub delete: Vec<Arc<EndpointSlice>>,
}

/// What each slice is to hold, and what finds no room in them.
fn fill(have: &[&Arc<EndpointSlice>], wanted: &[Endpoint]) -> (Vec<Vec<Endpoint>>, Vec<Endpoint>) {
    let id = |e: &Endpoint| e.target_uid().map_or_else(|| e.addresses.join(","), str::to_owned);
    let mut left: BTreeMap<String, &Endpoint> = wanted.iter().map(|e| (id(e), e)).collect();
    let mut filled: Vec<Vec<Endpoint>> = have
        .iter()
        .map(|s| s.endpoints.iter().filter_map(|e| left.remove(&id(e)).cloned()).collect())
        .collect();
    let mut rest: Vec<Endpoint> = wanted.iter().filter(|e| left.contains_key(&id(e))).cloned().collect();
    // Slices that are written anyway take new endpoints, the fullest first.
    let changed = |i: &usize| filled[*i] != have[*i].endpoints && !filled[*i].is_empty();
    let (mut written, unwritten): (Vec<usize>, Vec<usize>) = (0..have.len()).partition(changed);
    written.sort_by_key(|i| Reverse(filled[*i].len()));
    for i in written {
        let room = MAX_ENDPOINTS.saturating_sub(filled[i].len()).min(rest.len());
        filled[i].extend(rest.drain(..room));
    }
    // What is left goes into one more slice when one has room for all of it.
    let fits = |i: &usize| !filled[*i].is_empty() && filled[*i].len() + rest.len() <= MAX_ENDPOINTS;
    if let Some(i) = unwritten.into_iter().filter(fits).max_by_key(|i| filled[*i].len()) {
        filled[i].append(&mut rest);
    }
    (filled, rest)
}

/// Plans the slices of one address family. `stale`: whether a slice must be written though its endpoints stay.
pub(crate) fn settle(
    have: &[Arc<EndpointSlice>],
    groups: &[Group],
    stale: impl Fn(&EndpointSlice) -> bool,
) -> Changes {
    let mut out = Changes::default();
    for (ports, endpoints) in groups {
        let same: Vec<&Arc<EndpointSlice>> = have.iter().filter(|s| s.ports == *ports).collect();
        let (filled, rest) = fill(&same, endpoints);
        for (slice, endpoints) in same.into_iter().zip(filled) {
            if endpoints.is_empty() {
                out.delete.push(slice.clone());
            } else if endpoints != slice.endpoints || stale(slice) {
                out.update.push((slice.clone(), (ports.clone(), endpoints)));
            }
        }
        out.create.extend(rest.chunks(MAX_ENDPOINTS).map(|chunk| (ports.clone(), chunk.to_vec())));
    }
    let unwanted = have.iter().filter(|s| !groups.iter().any(|(ports, _)| *ports == s.ports));
    out.delete.extend(unwanted.cloned());
    // A slice without endpoints and ports says that the service was looked at.
    if out.delete.len() == have.len() && out.create.is_empty() {
        match &out.delete[..] {
            [one] if one.ports.is_empty() && one.endpoints.is_empty() && !stale(one) => out.delete.clear(),
            _ => out.create.push((Vec::new(), Vec::new())),
        }
    }
    // Taken over instead of deleted and made anew: nobody sees the service without endpoints in between.
    while !out.create.is_empty()
        && let Some(slice) = out.delete.pop()
    {
        out.update.push((slice, out.create.remove(0)));
    }
    out
}
