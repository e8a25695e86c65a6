//! Which node has to do with which object: a graph kept from stored pods, volumes, attachments, device slices and
//! certificate requests. It must never answer a request.
// k8s: plugin/pkg/auth/authorizer/node/graph.go, graph_populator.go

use std::collections::{BTreeSet, HashMap};

use serde::Deserialize;

use super::references::{Kind, PersistentVolume, Pod};

/// The kinds that the graph is kept from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    Pod,
    PersistentVolume,
    VolumeAttachment,
    ResourceSlice,
    PodCertificateRequest,
}

impl Source {
    /// Each with the prefix of its keys in the store.
    pub const ALL: [(&'static str, Source); 5] = [
        ("/registry/pods/", Source::Pod),
        ("/registry/persistentvolumes/", Source::PersistentVolume),
        ("/registry/storage.k8s.io/volumeattachments/", Source::VolumeAttachment),
        ("/registry/resource.k8s.io/resourceslices/", Source::ResourceSlice),
        ("/registry/certificates.k8s.io/podcertificaterequests/", Source::PodCertificateRequest),
    ];
}

type Name = (String, String);

#[derive(Debug)]
struct KnownPod {
    node: String,
    targets: Vec<(Kind, String)>,
    /// What it refers to may become more.
    grows: bool,
}

#[derive(Debug)]
struct KnownVolume {
    claim: Name,
    secrets: Vec<Name>,
}

/// Objects with the nodes that have to do with them.
#[derive(Debug, Default)]
pub struct Graph {
    pods: HashMap<Name, KnownPod>,
    /// How many pods of a node refer to a target.
    uses: HashMap<(Kind, Name), HashMap<String, usize>>,
    volumes: HashMap<String, KnownVolume>,
    /// Volumes by the secrets that they need.
    secrets: HashMap<Name, BTreeSet<String>>,
    /// Objects that name their node themselves.
    owned: HashMap<(Source, Name), String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct OfNode {
    spec: OfNodeSpec,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct OfNodeSpec {
    node_name: Option<String>,
}

/// Whether a bound pod's references may have changed: with an ephemeral container or a claim made for it.
fn may_grow(pod: &[u8]) -> bool {
    const FIELDS: [&str; 3] =
        ["\"ephemeralContainers\":", "\"resourceClaimStatuses\":", "\"extendedResourceClaimStatus\":"];
    std::str::from_utf8(pod).is_ok_and(|text| FIELDS.iter().any(|f| text.contains(f)))
}

impl Graph {
    /// Takes over a stored object; `None` means that it is gone. What cannot be read refers to nothing.
    pub fn apply(&mut self, source: Source, namespace: &str, name: &str, object: Option<&[u8]>) {
        let key = (namespace.to_owned(), name.to_owned());
        match source {
            Source::Pod => self.pod(key, object),
            Source::PersistentVolume => self.volume(name, object),
            _ => {
                let spec = object.and_then(|b| serde_json::from_slice::<OfNode>(b).ok()).map(|o| o.spec);
                match spec.and_then(|s| s.node_name).filter(|n| !n.is_empty()) {
                    Some(node) => self.owned.insert((source, key), node),
                    None => self.owned.remove(&(source, key)),
                };
            }
        }
    }

    fn pod(&mut self, key: Name, object: Option<&[u8]>) {
        let Some(bytes) = object else {
            self.remove_pod(&key);
            return;
        };
        let grows = may_grow(bytes);
        if self.pods.get(&key).is_some_and(|known| !known.grows && !grows) {
            return;
        }
        self.remove_pod(&key);
        let Ok(pod) = serde_json::from_slice::<Pod>(bytes) else { return };
        if pod.spec.node_name.is_empty() {
            return;
        }
        // A node must never gain anything by a pod that it has made itself.
        let mut targets = if pod.is_mirror() { Vec::new() } else { pod.references(&key.1) };
        targets.push((Kind::Pod, key.1.clone()));
        let node = pod.spec.node_name;
        for (kind, name) in &targets {
            let target = (*kind, (key.0.clone(), name.clone()));
            *self.uses.entry(target).or_default().entry(node.clone()).or_default() += 1;
        }
        self.pods.insert(key, KnownPod { node, targets, grows });
    }

    fn remove_pod(&mut self, key: &Name) {
        let Some(pod) = self.pods.remove(key) else { return };
        for (kind, name) in pod.targets {
            let target = (kind, (key.0.clone(), name));
            let Some(nodes) = self.uses.get_mut(&target) else { continue };
            if let Some(count) = nodes.get_mut(&pod.node) {
                *count -= 1;
                if *count == 0 {
                    nodes.remove(&pod.node);
                }
            }
            if nodes.is_empty() {
                self.uses.remove(&target);
            }
        }
    }

    fn volume(&mut self, name: &str, object: Option<&[u8]>) {
        if let Some(old) = self.volumes.remove(name) {
            for secret in old.secrets {
                if let Some(volumes) = self.secrets.get_mut(&secret) {
                    volumes.remove(name);
                    if volumes.is_empty() {
                        self.secrets.remove(&secret);
                    }
                }
            }
        }
        let Some(volume) = object.and_then(|b| serde_json::from_slice::<PersistentVolume>(b).ok()) else {
            return;
        };
        let Some((namespace, claim)) = volume.claim() else { return };
        let claim = (namespace.to_owned(), claim.to_owned());
        let secrets = volume.secrets();
        for secret in &secrets {
            self.secrets.entry(secret.clone()).or_default().insert(name.to_owned());
        }
        self.volumes.insert(name.to_owned(), KnownVolume { claim, secrets });
    }

    /// Whether a pod of the node refers to it.
    pub(super) fn uses(&self, node: &str, kind: Kind, namespace: &str, name: &str) -> bool {
        let target = (kind, (namespace.to_owned(), name.to_owned()));
        let direct = self.uses.get(&target).is_some_and(|nodes| nodes.contains_key(node));
        direct
            || kind == Kind::Secret
                && self.secrets.get(&target.1).is_some_and(|all| all.iter().any(|v| self.mounts(node, v)))
    }

    /// Whether a pod of the node has a claim that the volume is bound to.
    pub(super) fn mounts(&self, node: &str, volume: &str) -> bool {
        self.volumes.get(volume).is_some_and(|v| self.uses(node, Kind::Claim, &v.claim.0, &v.claim.1))
    }

    /// Whether the object names the node itself.
    pub(super) fn owns(&self, node: &str, source: Source, namespace: &str, name: &str) -> bool {
        let key = (source, (namespace.to_owned(), name.to_owned()));
        self.owned.get(&key).is_some_and(|n| n == node)
    }

    /// Whether nothing is remembered.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.pods.is_empty()
            && self.uses.is_empty()
            && self.volumes.is_empty()
            && self.secrets.is_empty()
            && self.owned.is_empty()
    }
}
