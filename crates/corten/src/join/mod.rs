//! How nodes join: the token that a control plane gives out ([`token`]), what it publishes and allows for it
//! ([`publish`]), and what a joining machine does with it ([`agent`]). The steps are those of kubeadm and of the
//! kubelet's TLS bootstrap, with the same objects.

pub mod agent;
pub mod credentials;
pub mod publish;
pub mod request;
pub mod rotation;
pub mod serving;
pub mod token;
