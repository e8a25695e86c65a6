//! What the server serves, as the garbage collector and the namespace controller need it.

use std::collections::{BTreeMap, BTreeSet};
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
    /// Group and resource of what has a `scale` subresource.
    scaled: BTreeSet<(String, String)>,
    /// Groups and versions that could not be read; empty when discovery is whole.
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
        Discovery { resources, kinds, scaled: BTreeSet::new(), failed, synced: true }
    }

    /// With the groups and resources that have a `scale` subresource.
    #[must_use]
    pub fn with_scales(mut self, scaled: impl IntoIterator<Item = (String, String)>) -> Self {
        self.scaled.extend(scaled);
        self
    }

    /// With what was known before of the groups that could not be read this time.
    // k8s: pkg/controller/garbagecollector/garbagecollector.go Sync
    #[must_use]
    pub fn keeping(mut self, before: &Discovery) -> Self {
        for r in before.resources.iter().filter(|r| self.failed.contains(&r.gvr.api_version())) {
            let same = |x: &ResourceInfo| x.gvr.group == r.gvr.group && x.gvr.resource == r.gvr.resource;
            let at = match self.resources.iter().position(same) {
                Some(at) => {
                    self.resources[at] = r.clone();
                    at
                }
                None => {
                    self.resources.push(r.clone());
                    self.resources.len() - 1
                }
            };
            let name = (r.gvr.group.to_string(), r.gvr.resource.to_string());
            if before.scaled.contains(&name) {
                self.scaled.insert(name);
            }
            let known = before.kinds.iter().filter(|(_, i)| before.resources[**i] == *r);
            for (kind, _) in known {
                self.kinds.entry(kind.clone()).or_insert(at);
            }
        }
        self
    }

    /// Whether there is a group that could not be read and of which nothing is known from before.
    #[must_use]
    pub fn lacks_groups(&self) -> bool {
        let known = |failed: &String| self.kinds.keys().any(|(api_version, _)| api_version == failed);
        !self.failed.iter().all(known)
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

    /// Whether the resource has a `scale` subresource.
    #[must_use]
    pub fn has_scale(&self, r: &Gvr) -> bool {
        self.scaled.contains(&(r.group.to_string(), r.resource.to_string()))
    }

    /// The resource of an object's `apiVersion` and `kind`.
    #[must_use]
    pub fn by_kind(&self, api_version: &str, kind: &str) -> Option<&ResourceInfo> {
        self.kinds.get(&(api_version.to_owned(), kind.to_owned())).map(|i| &self.resources[*i])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(group: &'static str, version: &'static str, name: &'static str, kind: &str) -> ResourceInfo {
        let gvr = Gvr::new(group, version, name);
        ResourceInfo { gvr, kind: kind.into(), namespaced: true, verbs: Vec::new() }
    }

    #[test]
    fn a_group_that_fails_stays_as_it_was_known() {
        let pods = || resource("", "v1", "pods", "Pod");
        let (one, beta) =
            (|| resource("a", "v1", "things", "Thing"), || resource("a", "v1beta1", "things", "Thing"));
        let failed = |list: &[&str]| list.iter().map(|f| (*f).to_owned()).collect::<Vec<_>>();
        let scaled = [("a".to_owned(), "things".to_owned())];
        let before =
            Discovery::new(vec![pods(), one()], vec![beta()], failed(&["never/v1"])).with_scales(scaled);
        assert!(before.lacks_groups());
        // Failed versions, what is left readable of the group, whether something is lacking.
        for (fails, rest, lacks) in [
            (&["a/v1", "a/v1beta1"][..], None, false),
            (&["a/v1"], Some(beta()), false),
            (&["a/v1", "never/v1"], None, true),
        ] {
            let read = [Some(pods()), rest].into_iter().flatten().collect();
            let now = Discovery::new(read, vec![], failed(fails)).keeping(&before);
            assert_eq!(now.by_kind("a/v1", "Thing"), Some(&one()), "{fails:?}");
            assert!(now.by_kind("a/v1beta1", "Thing").is_some(), "{fails:?}");
            assert!(now.has_scale(&one().gvr) && !now.has_scale(&pods().gvr), "{fails:?}");
            assert_eq!((now.resources().len(), now.lacks_groups()), (2, lacks), "{fails:?}");
        }
        let gone = Discovery::new(vec![pods()], vec![], vec![]).keeping(&before);
        assert_eq!(gone.by_kind("a/v1", "Thing"), None);
    }
}
