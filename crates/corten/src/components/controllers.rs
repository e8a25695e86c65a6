//! Runs the controllers, each with an identity of its own, over shared informers.

use std::sync::Arc;

use client::Local;
use control::{Context, Controllers, Informers, Recorder};
use meta::{Handler, User};
use reconcile::{Engine, EngineConfig};

/// What the controllers must be told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// CA bundle (PEM) that pods verify the API with.
    pub root_ca: String,
    /// Range that nodes get their pods' addresses from; `None`: somebody else does that.
    pub cluster_cidr: Option<String>,
}

/// The context of one controller in this process: its service account's identity.
#[must_use]
pub fn local_identity(handler: &Arc<dyn Handler>, base: &Context, controller: &str) -> Context {
    let name = format!("system:serviceaccount:kube-system:{controller}");
    let user = User::new(&name, &["system:serviceaccounts", "system:serviceaccounts:kube-system"]);
    base.clone().with_client(Arc::new(Local::new(handler.clone(), user, controller)))
}

/// Runs until the context is stopped. `identity` gives the context that a controller writes with.
pub async fn run(ctx: &Context, settings: &Settings, identity: &(dyn Fn(&str) -> Context + Sync)) {
    let mut all = Controllers::default();
    let c = EngineConfig::default;
    let mut add = |e: Engine, name: &str| all.add(e, &identity(name));
    use ::controllers::{apps, core, discovery};
    add(Engine::new(apps::replicaset::ReplicaSets, c()), "replicaset-controller");
    add(Engine::new(apps::deployment::Deployments, c()), "deployment-controller");
    add(Engine::new(core::namespace::Namespaces, c()), "namespace-controller");
    add(Engine::new(core::serviceaccount::ServiceAccounts, c()), "service-account-controller");
    add(
        Engine::new(core::rootca::RootCa { bundle: settings.root_ca.as_str().into() }, c()),
        "root-ca-cert-publisher",
    );
    add(Engine::new(discovery::endpointslice::EndpointSlices, c()), "endpointslice-controller");
    add(Engine::new(core::endpoints::EndpointsController, c()), "endpoint-controller");
    if let Some(cidr) = &settings.cluster_cidr {
        let (base, prefix) = cidr.split_once('/').unwrap_or((cidr, "16"));
        let cluster = core::nodeipam::ClusterCidr {
            base: base.parse().expect("x"),
            prefix: prefix.parse().expect("x"),
            node_prefix: 24,
        };
        add(Engine::new(core::nodeipam::NodeIpam { clusters: vec![cluster] }, c()), "node-controller");
    }
    let informers = Informers::new(ctx);
    let recorder = Recorder::new(ctx, "");
    all.run(&informers, &recorder).await;
}
