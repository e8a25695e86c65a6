//! What the server serves, as the garbage collector and the namespace controller need it.

use std::collections::BTreeMap;
use std::sync::Arc;

use meta::Gvr;

/// One served resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceInfo {
    pub gvr: Gvr,
    pub kind: Arc<str>,
    pub namespaced: bool,
    pub verbs: Vec<String>,
}

impl ResourceInfo {
    /// Whether the verb is served.
    #[must_use]
    pub fn can(&self, verb: &str) -> bool {
        self.verbs.iter().any(|v| v == verb)
    }
}

/// All resources in their preferred version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Discovery {
    resources: Vec<ResourceInfo>,
    /// Every served (group/version, kind), not only of preferred versions.
    kinds: BTreeMap<(String, String), usize>,
    /// Groups that could not be read; empty when discovery is whole.
    pub failed: Vec<String>,
    synced: bool,
}

impl Discovery {
    /// From the preferred resources, and from `(apiVersion, resource)` pairs of the other versions.
    #[must_use]
    pub fn new(resources: Vec<ResourceInfo>, others: Vec<ResourceInfo>, failed: Vec<String>) -> Self {
        let mut kinds = BTreeMap::new();
        for (i, r) in resources.iter().enumerate() {
            kinds.insert((r.gvr.api_version(), r.kind.to_string()), i);
        }
        for o in others {
            let same = |r: &ResourceInfo| r.gvr.group == o.gvr.group && r.gvr.resource == o.gvr.resource;
            if let Some(i) = resources.iter().position(same) {
                kinds.entry((o.gvr.api_version(), o.kind.to_string())).or_insert(i);
            }
        }
        Discovery { resources, kinds, failed, synced: true }
    }

    /// Whether discovery has been read at least once.
    #[must_use]
    pub fn synced(&self) -> bool {
        self.synced
    }

    /// Every resource, once, in its preferred version.
    #[must_use]
    pub fn resources(&self) -> &[ResourceInfo] {
        &self.resources
    }

    /// The resource of an object's `apiVersion` and `kind`.
    #[must_use]
    pub fn by_kind(&self, api_version: &str, kind: &str) -> Option<&ResourceInfo> {
        self.kinds.get(&(api_version.to_owned(), kind.to_owned())).map(|i| &self.resources[*i])
    }
}
