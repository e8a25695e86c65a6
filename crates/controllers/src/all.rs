//! The list of all controllers, with the service account that each acts as.

use std::sync::Arc;
use std::time::Duration;

use reconcile::{Controller, Engine, EngineConfig};

use crate::apps::daemonset::DaemonSets;
use crate::apps::deployment::Deployments;
use crate::apps::replicaset::ReplicaSets;
use crate::apps::statefulset::StatefulSets;
use crate::batch::cronjob::CronJobs;
use crate::batch::job::Jobs;
use crate::batch::ttlafterfinished::TtlAfterFinished;
use crate::bootstrap::cleaner::TokenCleaner;
use crate::bootstrap::signer::BootstrapSigner;
use crate::certificates::Authority;
use crate::certificates::approver::Approver;
use crate::certificates::cleaner::Cleaner;
use crate::certificates::podcleaner::PodRequestCleaner;
use crate::certificates::signer::Signer;
use crate::certificates::trustpublisher::TrustPublisher;
use crate::core::endpoints::EndpointsController;
use crate::core::namespace::Namespaces;
use crate::core::nodeipam::{ClusterCidr, NodeIpam};
use crate::core::nodelifecycle::NodeLifecycle;
use crate::core::podgc::PodGc;
use crate::core::replicationcontroller::ReplicationControllers;
use crate::core::rootca::RootCa;
use crate::core::serviceaccount::ServiceAccounts;
use crate::core::serviceaccounttoken::ServiceAccountTokens;
use crate::core::tainteviction::TaintEviction;
use crate::discovery::endpointslice::EndpointSlices;
use crate::discovery::endpointslicemirroring::EndpointSliceMirroring;
use crate::gc::GarbageCollector;
use crate::policy::disruption::Disruption;
use crate::rbac::aggregation::ClusterRoleAggregation;

/// What the controllers need to be told.
#[derive(Clone, Debug)]
pub struct Config {
    /// How long a node may be silent.
    pub node_monitor_grace: Duration,
    /// Ranges of pod addresses; empty: nodes get theirs elsewhere.
    pub cluster_cidrs: Vec<ClusterCidr>,
    /// The certificates that pods verify the API server with, in PEM.
    pub root_ca: Arc<str>,
    /// Finished pods that may stay; 0: all.
    pub terminated_pod_threshold: usize,
    /// Signs certificate requests; without, they are left to another process.
    pub authority: Option<Arc<dyn Authority>>,
    /// The longest life of a certificate that is signed.
    pub signing_duration: Duration,
    /// Whether somebody answers for [`crate::core::serviceaccounttoken::PORT`]; without, token Secrets are left to
    /// another process.
    pub signs_tokens: bool,
}

impl Config {
    /// Upstream's defaults.
    #[must_use]
    pub fn new(root_ca: &str) -> Self {
        Config {
            node_monitor_grace: Duration::from_secs(50),
            cluster_cidrs: Vec::new(),
            root_ca: root_ca.into(),
            terminated_pod_threshold: 12_500,
            authority: None,
            signing_duration: Duration::from_secs(365 * 24 * 3600),
            signs_tokens: false,
        }
    }
}

/// A controller ready to run.
pub struct Registration {
    /// The name that `--controllers` knows it by.
    pub name: &'static str,
    /// The service account in `kube-system` that it acts as; empty: the controller manager itself.
    pub service_account: &'static str,
    pub engine: Engine,
}

fn one<C: Controller>(
    name: &'static str,
    service_account: &'static str,
    workers: usize,
    controller: C,
) -> Registration {
    let config = EngineConfig { workers, ..EngineConfig::default() };
    Registration { name, service_account, engine: Engine::new(controller, config) }
}

/// All controllers.
// k8s: cmd/kube-controller-manager/names/controller_names.go
#[must_use]
pub fn all(config: &Config) -> Vec<Registration> {
    let lifecycle = NodeLifecycle::new(config.node_monitor_grace);
    let podgc = PodGc { terminated_threshold: config.terminated_pod_threshold };
    let root_ca = RootCa { bundle: config.root_ca.clone() };
    let mut list = vec![
        one("replicaset-controller", "replicaset-controller", 5, ReplicaSets),
        one("replicationcontroller-controller", "replication-controller", 5, ReplicationControllers),
        one("daemonset-controller", "daemon-set-controller", 2, DaemonSets),
        one("deployment-controller", "deployment-controller", 5, Deployments),
        one("statefulset-controller", "statefulset-controller", 5, StatefulSets),
        one("cronjob-controller", "cronjob-controller", 5, CronJobs),
        one("job-controller", "job-controller", 5, Jobs),
        one("ttl-after-finished-controller", "ttl-after-finished-controller", 5, TtlAfterFinished),
        one("endpointslice-controller", "endpointslice-controller", 5, EndpointSlices),
        one("endpoints-controller", "endpoint-controller", 5, EndpointsController),
        one(
            "endpointslice-mirroring-controller",
            "endpointslicemirroring-controller",
            5,
            EndpointSliceMirroring,
        ),
        one("namespace-controller", "namespace-controller", 10, Namespaces),
        one("serviceaccount-controller", "service-account-controller", 1, ServiceAccounts),
        one("root-ca-certificate-publisher-controller", "root-ca-cert-publisher", 1, root_ca),
        one("garbage-collector-controller", "generic-garbage-collector", 20, GarbageCollector),
        one("pod-garbage-collector-controller", "pod-garbage-collector", 5, podgc),
        one("node-lifecycle-controller", "node-controller", 8, lifecycle),
        one("taint-eviction-controller", "node-controller", 8, TaintEviction),
        one("disruption-controller", "disruption-controller", 5, Disruption),
        one("bootstrap-signer-controller", "bootstrap-signer", 1, BootstrapSigner),
        one("token-cleaner-controller", "token-cleaner", 1, TokenCleaner),
        one("podcertificaterequest-cleaner-controller", "podcertificaterequestcleaner", 1, PodRequestCleaner),
        one(
            "clusterrole-aggregation-controller",
            "clusterrole-aggregation-controller",
            5,
            ClusterRoleAggregation,
        ),
    ];
    if !config.cluster_cidrs.is_empty() {
        let ipam = NodeIpam { clusters: config.cluster_cidrs.clone() };
        list.push(one("node-ipam-controller", "node-controller", 1, ipam));
    }
    if meta::pem::blocks(&config.root_ca).next().is_some() {
        let account = "kube-apiserver-serving-clustertrustbundle-publisher";
        let publisher = TrustPublisher { bundle: config.root_ca.clone() };
        let name = "kube-apiserver-serving-clustertrustbundle-publisher-controller";
        list.push(one(name, account, 1, publisher));
    }
    if config.signs_tokens {
        // Nobody has a token before it runs.
        let tokens = ServiceAccountTokens { root_ca: config.root_ca.clone() };
        list.push(one("serviceaccount-token-controller", "", 5, tokens));
    }
    if let Some(authority) = &config.authority {
        let approver = Approver { authority: authority.clone() };
        let signer = Signer { authority: authority.clone(), life_max: config.signing_duration };
        let account = "certificate-controller";
        list.push(one("certificatesigningrequest-approving-controller", account, 5, approver));
        list.push(one("certificatesigningrequest-signing-controller", account, 5, signer));
        list.push(one("certificatesigningrequest-cleaner-controller", account, 1, Cleaner));
    }
    list
}
