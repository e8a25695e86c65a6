//! The flags of `corten bench`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// What the machine gives: syncs of its disk, HTTPS without an API behind it.
    Baseline,
    /// Ready from nothing, and what idle costs.
    Start,
    /// Creates, gets, updates, patches, lists and deletes, and a restart with data.
    Requests,
    /// Events to many watchers.
    Watch,
    /// Memory with many objects.
    Memory,
    /// Pods bound on hollow nodes.
    Schedule,
    /// From create to running; needs --kubeconfig.
    Pods,
}

/// Flags of `corten bench`.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Where the measured servers keep their state; a directory is made in it and removed at the end.
    #[arg(long, default_value = "/var/tmp", value_name = "DIR")]
    pub dir: PathBuf,
    /// A tenth of the work: sooner done, rougher figures.
    #[arg(long)]
    pub quick: bool,
    /// Only these parts.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PARTS")]
    pub only: Vec<Part>,
    /// Upstream's own programs (etcd, kube-apiserver, kube-controller-manager, kube-scheduler) in this directory are
    /// measured in the same run, each part right before ours, and take the place of the marks.
    #[arg(long, value_name = "DIR")]
    pub stock: Option<PathBuf>,
    /// A running cluster with a node, for the time from create to running.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// What the pods of that measurement run; it is pulled once before.
    #[arg(long, default_value = "registry.k8s.io/pause:3.10", value_name = "IMAGE")]
    pub image: String,
}

impl Options {
    /// Whether a part is wanted.
    #[must_use]
    pub fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    /// A number of operations, fewer when it has to be quick.
    #[must_use]
    pub fn count(&self, full: usize) -> usize {
        if self.quick { full / 10 } else { full }
    }
}
