//! The pod spec, which pods and all templates of pods hold: its defaults and its rules.
//! Everything here is about one spec; what an update may change is in `update`.

pub mod app_armor;
#[cfg(test)]
mod cases;
mod container;
pub mod defaults;
mod env;
mod probe;
pub mod resize;
mod resources;
mod scheduling;
mod security;
pub mod update;
mod validate;
mod volume;
pub mod warnings;

pub use probe::port as port_name_or_number;
pub use resources::{check_quantity, is_extended_resource, quantity};
pub use scheduling::{node_selector, tolerations};
pub use validate::{
    MIRROR, always_restarted, only_for_pods, pod_annotations, selector_and_template, validate,
    validate_template,
};
