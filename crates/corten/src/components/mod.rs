//! The components as this binary runs them: each is a pure room plus the loop that feeds it and carries out
//! what it decides. They know the cluster only through a `control::Context`.

pub mod accounts;
pub mod apiserver;
pub mod authority;
pub mod certificates;
pub mod controllers;
pub mod dns;
mod mirror;
pub mod proxy;
pub mod routes;
pub mod scheduler;
pub mod token_signer;
