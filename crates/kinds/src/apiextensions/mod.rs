//! Kinds of apiextensions.k8s.io.

pub mod approval;
pub mod custom_resource_definition;
mod validation;
