//! Bootstrap tokens: who joins with one can verify `kube-public/cluster-info` by its signature, and a token goes when
//! its time is over.
// k8s: pkg/controller/bootstrap

pub mod cleaner;
mod jws;
pub mod signer;
mod token;
