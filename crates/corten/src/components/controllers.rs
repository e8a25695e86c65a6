//! Runs the controllers, each with an identity of its own, over shared informers.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use client::Local;
use control::{Context, Controllers, Informers, Recorder};
use controllers::certificates::Authority;
use controllers::core::nodeipam::ClusterCidr;
use controllers::{Config, all};
use meta::{Handler, User};

/// Length of the range that one node gets, as upstream's `--node-cidr-mask-size`.
const NODE_PREFIX: u8 = 24;

/// What the controllers must be told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// CA bundle (PEM) that pods verify the API with.
    pub root_ca: String,
    /// Range that nodes get their pods' addresses from; `None`: somebody else does that.
    pub cluster_cidr: Option<ClusterCidr>,
    /// Signs certificate requests; `None`: somebody else does that.
    pub authority: Option<Arc<dyn Authority>>,
}

/// Reads `10.244.0.0/16`.
///
/// # Errors
/// When it is not a range that nodes' ranges fit in.
pub fn cluster_cidr(text: &str) -> Result<ClusterCidr> {
    let parse = || {
        let (base, prefix) = text.split_once('/')?;
        let (base, prefix) = (base.parse().ok()?, prefix.parse().ok()?);
        (prefix <= NODE_PREFIX).then_some(ClusterCidr { base, prefix, node_prefix: NODE_PREFIX })
    };
    parse().with_context(|| format!("{text:?} is not a range of pod addresses such as 10.244.0.0/16"))
}

/// The context of one controller in this process: its service account's identity.
#[must_use]
pub fn local_identity(handler: &Arc<dyn Handler>, base: &Context, controller: &str) -> Context {
    let name = format!("system:serviceaccount:kube-system:{controller}");
    let user = User::new(&name, &["system:serviceaccounts", "system:serviceaccounts:kube-system"]);
    base.clone().with_client(Arc::new(Local::new(handler.clone(), user, controller)))
}

/// Runs until the context is stopped. `identity` gives the context that a service account writes with.
pub async fn run(ctx: &Context, settings: &Settings, identity: &(dyn Fn(&str) -> Context + Sync)) {
    let mut config = Config::new(ctx.now(), &settings.root_ca);
    config.cluster_cidrs.extend(settings.cluster_cidr);
    config.authority.clone_from(&settings.authority);
    let mut running = Controllers::default();
    for c in all(&config) {
        running.add(c.engine, &identity(c.service_account));
    }
    running.run(&Informers::new(ctx), &Recorder::new(ctx, "")).await;
}
