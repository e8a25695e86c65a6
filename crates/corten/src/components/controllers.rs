//! Runs the controllers, each with an identity of its own, over shared informers.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use client::Local;
use control::{Context, Controllers, Informers, Port, Recorder};
use controllers::certificates::Authority;
use controllers::core::nodeipam::ClusterCidr;
use controllers::core::serviceaccounttoken;
use controllers::{Config, all};
use meta::{Handler, User};

/// Length of the range that one node gets, as upstream's `--node-cidr-mask-size`.
pub const NODE_PREFIX: u8 = 24;

/// What the controllers must be told.
#[derive(Clone)]
pub struct Settings {
    /// CA bundle (PEM) that pods verify the API with.
    pub root_ca: String,
    /// Range that nodes get their pods' addresses from; `None`: somebody else does that.
    pub cluster_cidr: Option<ClusterCidr>,
    /// Signs certificate requests; `None`: somebody else does that.
    pub authority: Option<Arc<dyn Authority>>,
    /// The longest life of a certificate that is signed.
    pub signing_duration: Duration,
    /// How long a node may be silent.
    pub node_monitor_grace: Duration,
    /// Finished pods that may stay; 0: all.
    pub terminated_pod_threshold: usize,
    pub chosen: Chosen,
    /// Signs the tokens that live in Secrets; `None`: somebody else does that.
    pub tokens: Option<Arc<dyn Port>>,
}

impl Settings {
    /// All controllers with upstream's defaults.
    #[must_use]
    pub fn new(
        root_ca: &str,
        cluster_cidr: Option<ClusterCidr>,
        authority: Option<Arc<dyn Authority>>,
    ) -> Self {
        let defaults = Config::new(root_ca);
        Settings {
            root_ca: root_ca.to_owned(),
            cluster_cidr,
            authority,
            signing_duration: defaults.signing_duration,
            node_monitor_grace: defaults.node_monitor_grace,
            terminated_pod_threshold: defaults.terminated_pod_threshold,
            chosen: Chosen::default(),
            tokens: None,
        }
    }
}

/// All names that upstream has. What is not among [`all`] is not here yet, or has no work here.
// k8s: cmd/kube-controller-manager/names/controller_names.go
const UPSTREAM: &[&str] = &[
    "bootstrap-signer-controller",
    "certificatesigningrequest-approving-controller",
    "certificatesigningrequest-cleaner-controller",
    "certificatesigningrequest-signing-controller",
    "clusterrole-aggregation-controller",
    "cronjob-controller",
    "daemonset-controller",
    "deployment-controller",
    "device-taint-eviction-controller",
    "disruption-controller",
    "endpoints-controller",
    "endpointslice-controller",
    "endpointslice-mirroring-controller",
    "ephemeral-volume-controller",
    "garbage-collector-controller",
    "horizontal-pod-autoscaler-controller",
    "job-controller",
    "kube-apiserver-serving-clustertrustbundle-publisher-controller",
    "legacy-serviceaccount-token-cleaner-controller",
    "namespace-controller",
    "node-ipam-controller",
    "node-lifecycle-controller",
    "persistentvolume-attach-detach-controller",
    "persistentvolume-binder-controller",
    "persistentvolume-expander-controller",
    "persistentvolume-protection-controller",
    "persistentvolumeclaim-protection-controller",
    "pod-garbage-collector-controller",
    "podcertificaterequest-cleaner-controller",
    "podgroup-protection-controller",
    "replicaset-controller",
    "replicationcontroller-controller",
    "resourceclaim-controller",
    "resourcepoolstatusrequest-controller",
    "resourcequota-controller",
    "root-ca-certificate-publisher-controller",
    "selinux-warning-controller",
    "service-cidr-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "statefulset-controller",
    "storage-version-migrator-controller",
    "storageversion-garbage-collector-controller",
    "taint-eviction-controller",
    "token-cleaner-controller",
    "ttl-after-finished-controller",
    "ttl-controller",
    "validatingadmissionpolicy-status-controller",
    "volumeattributesclass-protection-controller",
];

/// Upstream's older names.
// k8s: cmd/kube-controller-manager/names/controller_names.go KCMControllerAliases
const ALIASES: &[(&str, &str)] = &[
    ("bootstrapsigner", "bootstrap-signer-controller"),
    ("clusterrole-aggregation", "clusterrole-aggregation-controller"),
    ("cronjob", "cronjob-controller"),
    ("csrapproving", "certificatesigningrequest-approving-controller"),
    ("csrcleaner", "certificatesigningrequest-cleaner-controller"),
    ("csrsigning", "certificatesigningrequest-signing-controller"),
    ("daemonset", "daemonset-controller"),
    ("deployment", "deployment-controller"),
    ("disruption", "disruption-controller"),
    ("endpoint", "endpoints-controller"),
    ("endpointslice", "endpointslice-controller"),
    ("garbagecollector", "garbage-collector-controller"),
    ("job", "job-controller"),
    ("namespace", "namespace-controller"),
    ("nodeipam", "node-ipam-controller"),
    ("nodelifecycle", "node-lifecycle-controller"),
    ("podgc", "pod-garbage-collector-controller"),
    ("replicaset", "replicaset-controller"),
    ("replicationcontroller", "replicationcontroller-controller"),
    ("root-ca-cert-publisher", "root-ca-certificate-publisher-controller"),
    ("serviceaccount", "serviceaccount-controller"),
    ("serviceaccount-token", "serviceaccount-token-controller"),
    ("statefulset", "statefulset-controller"),
    ("tokencleaner", "token-cleaner-controller"),
    ("ttl-after-finished", "ttl-after-finished-controller"),
];

/// Controllers that run only where they are named.
// k8s: cmd/kube-controller-manager/app/bootstrap.go newBootstrapSignerControllerDescriptor, newTokenCleanerControllerDescriptor
const OFF_BY_DEFAULT: &[&str] = &["bootstrap-signer-controller", "token-cleaner-controller"];

/// Controllers that are here only with further settings.
const CONDITIONAL: &[&str] = &[
    "certificatesigningrequest-approving-controller",
    "certificatesigningrequest-cleaner-controller",
    "certificatesigningrequest-signing-controller",
    "node-ipam-controller",
    "serviceaccount-token-controller",
];

/// What `--controllers` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    on: Vec<String>,
    off: Vec<String>,
    /// Without `*` those that are not named do not run.
    only_named: bool,
}

impl Chosen {
    /// Reads `*`, `name` and `-name`.
    ///
    /// # Errors
    /// When a name is no controller's.
    pub fn parse(names: &[String]) -> Result<Self> {
        let mut chosen = Chosen { only_named: !names.iter().any(|n| n == "*"), ..Chosen::default() };
        for name in names.iter().filter(|n| *n != "*" && !n.is_empty()) {
            let (list, name) = match name.strip_prefix('-') {
                Some(name) => (&mut chosen.off, name),
                None => (&mut chosen.on, name.as_str()),
            };
            let name = ALIASES.iter().find(|(old, _)| *old == name).map_or(name, |(_, new)| *new);
            let here = all(&Config::new("")).iter().any(|c| c.name == name);
            if !here && !CONDITIONAL.contains(&name) {
                if !UPSTREAM.contains(&name) {
                    bail!("{name:?} is not in the list of known controllers");
                }
                tracing::warn!("the controller {name} is not there");
            }
            list.push(name.to_owned());
        }
        Ok(chosen)
    }

    /// All, as kubeadm has a control plane run them: machines join with bootstrap tokens.
    // k8s: cmd/kubeadm/app/phases/controlplane/manifests.go getControllerManagerCommand
    #[must_use]
    pub fn of_control_plane() -> Self {
        Chosen { on: OFF_BY_DEFAULT.iter().map(|n| (*n).to_owned()).collect(), ..Chosen::default() }
    }

    // k8s: staging/src/k8s.io/controller-manager/pkg/controller/helper.go IsControllerEnabled
    fn runs(&self, name: &str) -> bool {
        let is_in = |list: &[String]| list.iter().any(|n| n == name);
        let by_default = !self.only_named && !OFF_BY_DEFAULT.contains(&name);
        !is_in(&self.off) && (by_default || is_in(&self.on))
    }
}

/// Reads `10.244.0.0/16`.
///
/// # Errors
/// When it is not a range that nodes' ranges fit in.
pub fn cluster_cidr(text: &str, node_prefix: u8) -> Result<ClusterCidr> {
    let parse = || {
        let (base, prefix) = text.split_once('/')?;
        let (base, prefix) = (base.parse().ok()?, prefix.parse().ok()?);
        let fits = prefix <= node_prefix && node_prefix <= 30;
        fits.then_some(ClusterCidr { base, prefix, node_prefix })
    };
    parse().with_context(|| {
        format!("{text:?} is not a range of pod addresses, such as 10.244.0.0/16, that holds ranges of /{node_prefix}")
    })
}

/// The context of one controller in this process: its service account's identity.
#[must_use]
pub fn local_identity(handler: &Arc<dyn Handler>, base: &Context, controller: &str) -> Context {
    let name = format!("system:serviceaccount:kube-system:{controller}");
    let user = User::new(&name, &["system:serviceaccounts", "system:serviceaccounts:kube-system"]);
    base.clone().with_client(Arc::new(Local::new(handler.clone(), user, controller)))
}

/// Runs until the context is stopped, or a part breaks off; then nothing of it goes on. `identity` gives the context
/// that a service account writes with.
pub async fn run(ctx: &Context, settings: &Settings, identity: &(dyn Fn(&str) -> Context + Sync)) {
    let stop = ctx.stop.child_token();
    let _ended = stop.clone().drop_guard();
    let mut own = ctx.clone().with_stop(stop.clone());
    if let Some(signer) = &settings.tokens {
        own.ports = own.ports.with(serviceaccounttoken::PORT, signer.clone());
    }
    let ctx = &own;
    let mut config = Config::new(&settings.root_ca);
    config.cluster_cidrs.extend(settings.cluster_cidr);
    config.authority.clone_from(&settings.authority);
    config.signing_duration = settings.signing_duration;
    config.node_monitor_grace = settings.node_monitor_grace;
    config.terminated_pod_threshold = settings.terminated_pod_threshold;
    config.signs_tokens = settings.tokens.is_some();
    let mut running = Controllers::default();
    for c in all(&config).into_iter().filter(|c| settings.chosen.runs(c.name)) {
        let acting = match c.service_account {
            "" => ctx.clone(),
            account => identity(account).with_stop(stop.clone()),
        };
        running.add(c.engine, &acting);
    }
    running.run(&Informers::new(ctx), &Recorder::new(ctx, "")).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controllers_are_chosen_by_name() {
        let parse = |text: &str| Chosen::parse(&text.split(',').map(str::to_owned).collect::<Vec<_>>());
        let cases = [
            ("*", "deployment-controller", true),
            ("*,bootstrapsigner,tokencleaner", "deployment-controller", true),
            ("*,bootstrapsigner,tokencleaner", "token-cleaner-controller", true),
            ("*", "token-cleaner-controller", false),
            ("*", "bootstrap-signer-controller", false),
            ("bootstrapsigner", "bootstrap-signer-controller", true),
            ("bootstrapsigner", "token-cleaner-controller", false),
            ("*", "disruption-controller", true),
            ("*,-deployment-controller", "deployment-controller", false),
            ("*,-deployment", "deployment-controller", false),
            ("*,-deployment", "replicaset-controller", true),
            ("deployment", "deployment-controller", true),
            ("deployment", "replicaset-controller", false),
        ];
        for (text, name, runs) in cases {
            assert_eq!(parse(text).unwrap().runs(name), runs, "{text} {name}");
        }
        assert!(Chosen::default().runs("deployment-controller"));
        let whole = Chosen::of_control_plane();
        assert!(all(&Config::new("")).iter().all(|c| whole.runs(c.name)));
        let unknown = parse("*,nonsense").unwrap_err().to_string();
        assert_eq!(unknown, "\"nonsense\" is not in the list of known controllers");
    }
}
