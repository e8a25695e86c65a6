//! What pods and volumes refer to, read from their bytes. It must never decide what a reference allows.
// k8s: pkg/api/v1/pod/util.go VisitPodSecretNames, VisitPodConfigmapNames; pkg/api/v1/persistentvolume/util.go
// VisitPVSecretNames; dynamic-resource-allocation/resourceclaim/pod.go PodClaims

use serde::Deserialize;
use serde::de::IgnoredAny;

/// Marks the picture of a static pod.
pub(crate) const MIRROR: &str = "kubernetes.io/config.mirror";

/// What a pod may refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Kind {
    Secret,
    ConfigMap,
    Claim,
    Account,
    ResourceClaim,
    /// The pod itself.
    Pod,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Pod {
    metadata: Metadata,
    pub spec: PodSpec,
    status: PodStatus,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Metadata {
    annotations: Option<Annotations>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Annotations {
    #[serde(rename = "kubernetes.io/config.mirror")]
    mirror: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodSpec {
    pub node_name: String,
    pub service_account_name: String,
    image_pull_secrets: Option<Vec<Named>>,
    containers: Option<Vec<Container>>,
    init_containers: Option<Vec<Container>>,
    ephemeral_containers: Option<Vec<Container>>,
    pub volumes: Option<Vec<Volume>>,
    pub resource_claims: Option<Vec<ResourceClaim>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct PodStatus {
    resource_claim_statuses: Option<Vec<ClaimStatus>>,
    extended_resource_claim_status: Option<ClaimStatus>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ClaimStatus {
    name: String,
    resource_claim_name: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ResourceClaim {
    name: String,
    resource_claim_name: Option<String>,
    resource_claim_template_name: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Named {
    name: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Container {
    env: Option<Vec<Env>>,
    env_from: Option<Vec<EnvFrom>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Env {
    value_from: Option<ValueFrom>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ValueFrom {
    config_map_key_ref: Option<Named>,
    secret_key_ref: Option<Named>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct EnvFrom {
    config_map_ref: Option<Named>,
    secret_ref: Option<Named>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Volume {
    pub name: String,
    pub secret: Option<SecretVolume>,
    pub config_map: Option<Named>,
    pub persistent_volume_claim: Option<Claim>,
    pub projected: Option<Projected>,
    pub ephemeral: Option<IgnoredAny>,
    pub csi: Option<Csi>,
    pub azure_file: Option<SecretVolume>,
    pub glusterfs: Option<IgnoredAny>,
    #[serde(rename = "cephfs")]
    ceph_fs: Option<WithSecret>,
    cinder: Option<WithSecret>,
    flex_volume: Option<WithSecret>,
    rbd: Option<WithSecret>,
    #[serde(rename = "scaleIO")]
    scale_io: Option<WithSecret>,
    iscsi: Option<WithSecret>,
    storageos: Option<WithSecret>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct SecretVolume {
    secret_name: String,
    secret_namespace: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct WithSecret {
    secret_ref: Option<SecretReference>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct SecretReference {
    name: String,
    namespace: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Claim {
    claim_name: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Projected {
    pub sources: Option<Vec<Source>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Source {
    pub secret: Option<Named>,
    pub config_map: Option<Named>,
    pub service_account_token: Option<IgnoredAny>,
    pub cluster_trust_bundle: Option<IgnoredAny>,
    pub pod_certificate: Option<IgnoredAny>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Csi {
    node_publish_secret_ref: Option<SecretReference>,
    node_stage_secret_ref: Option<SecretReference>,
    node_expand_secret_ref: Option<SecretReference>,
}

pub(super) fn all<T>(list: &Option<Vec<T>>) -> impl Iterator<Item = &T> {
    list.iter().flatten()
}

impl Volume {
    fn secret_refs(&self) -> impl Iterator<Item = &SecretReference> {
        let with_secret = [
            &self.ceph_fs,
            &self.cinder,
            &self.flex_volume,
            &self.rbd,
            &self.scale_io,
            &self.iscsi,
            &self.storageos,
        ];
        let own = self.csi.as_ref().and_then(|c| c.node_publish_secret_ref.as_ref());
        with_secret.into_iter().flatten().filter_map(|w| w.secret_ref.as_ref()).chain(own)
    }
}

impl Pod {
    /// Whether it is the picture of a static pod.
    pub fn is_mirror(&self) -> bool {
        self.metadata.annotations.as_ref().is_some_and(|a| a.mirror.is_some())
    }

    /// What it refers to in its own namespace, itself apart, as kind and name, sorted, each once.
    pub fn references(&self, name: &str) -> Vec<(Kind, String)> {
        let mut secrets: Vec<&str> = all(&self.spec.image_pull_secrets).map(|n| n.name.as_str()).collect();
        let mut maps: Vec<&str> = Vec::new();
        self.of_containers(&mut secrets, &mut maps);
        let mut out = Vec::new();
        for v in all(&self.spec.volumes) {
            secrets.extend(v.secret.iter().chain(&v.azure_file).map(|s| s.secret_name.as_str()));
            secrets.extend(v.secret_refs().map(|r| r.name.as_str()));
            maps.extend(v.config_map.iter().map(|n| n.name.as_str()));
            for s in v.projected.iter().flat_map(|p| all(&p.sources)) {
                secrets.extend(s.secret.iter().map(|n| n.name.as_str()));
                maps.extend(s.config_map.iter().map(|n| n.name.as_str()));
            }
            out.extend(v.persistent_volume_claim.iter().map(|c| (Kind::Claim, c.claim_name.clone())));
            if v.ephemeral.is_some() {
                out.push((Kind::Claim, format!("{name}-{}", v.name)));
            }
        }
        out.extend(secrets.into_iter().map(|n| (Kind::Secret, n.to_owned())));
        out.extend(maps.into_iter().map(|n| (Kind::ConfigMap, n.to_owned())));
        out.extend(self.resource_claims().map(|n| (Kind::ResourceClaim, n.to_owned())));
        out.push((Kind::Account, self.spec.service_account_name.clone()));
        out.retain(|(_, name)| !name.is_empty());
        out.sort();
        out.dedup();
        out
    }

    fn of_containers<'a>(&'a self, secrets: &mut Vec<&'a str>, maps: &mut Vec<&'a str>) {
        let spec = &self.spec;
        let containers =
            all(&spec.containers).chain(all(&spec.init_containers)).chain(all(&spec.ephemeral_containers));
        for c in containers {
            for v in all(&c.env).filter_map(|e| e.value_from.as_ref()) {
                secrets.extend(v.secret_key_ref.iter().map(|n| n.name.as_str()));
                maps.extend(v.config_map_key_ref.iter().map(|n| n.name.as_str()));
            }
            for e in all(&c.env_from) {
                secrets.extend(e.secret_ref.iter().map(|n| n.name.as_str()));
                maps.extend(e.config_map_ref.iter().map(|n| n.name.as_str()));
            }
        }
    }

    /// Names of the claims that it has, those made of templates included once they are made.
    fn resource_claims(&self) -> impl Iterator<Item = &str> {
        let made = |claim: &str| {
            let statuses = all(&self.status.resource_claim_statuses);
            statuses.filter(|s| s.name == claim).find_map(|s| s.resource_claim_name.as_deref())
        };
        let own = all(&self.spec.resource_claims).filter_map(move |c| match &c.resource_claim_name {
            Some(name) => Some(name.as_str()),
            None => c.resource_claim_template_name.as_ref().and_then(|_| made(&c.name)),
        });
        let extended = self.status.extended_resource_claim_status.iter();
        own.chain(extended.filter_map(|s| s.resource_claim_name.as_deref()))
    }
}

/// A PersistentVolume.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct PersistentVolume {
    spec: VolumeSpec,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct VolumeSpec {
    claim_ref: Option<SecretReference>,
    #[serde(flatten)]
    source: Volume,
}

impl PersistentVolume {
    /// Namespace and name of the claim that it is bound to.
    pub fn claim(&self) -> Option<(&str, &str)> {
        self.spec.claim_ref.as_ref().map(|c| (c.namespace.as_str(), c.name.as_str()))
    }

    /// Namespaces and names of the secrets that a kubelet reads for it.
    pub fn secrets(&self) -> Vec<(String, String)> {
        let source = &self.spec.source;
        let claim = self.claim().map_or("", |(namespace, _)| namespace);
        let mut out: Vec<(&str, &str)> = Vec::new();
        if let Some(s) = &source.azure_file {
            let given = s.secret_namespace.as_deref().filter(|n| !n.is_empty());
            out.push((given.unwrap_or(claim), &s.secret_name));
        }
        let csi = source.csi.iter().flat_map(|c| [&c.node_stage_secret_ref, &c.node_expand_secret_ref]);
        for r in source.secret_refs().chain(csi.flatten()) {
            // Volumes stored long ago name no namespace: it is the claim's.
            out.push((if r.namespace.is_empty() { claim } else { &r.namespace }, &r.name));
        }
        out.retain(|(namespace, name)| !namespace.is_empty() && !name.is_empty());
        out.into_iter().map(|(namespace, name)| (namespace.to_owned(), name.to_owned())).collect()
    }
}
