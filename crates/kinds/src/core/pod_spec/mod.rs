//! The pod spec, which pods and all templates of pods hold: its defaults and its rules.
//! Everything here is about one spec; what an update may change is in `update`.

mod container;
pub mod defaults;
mod env;
mod probe;
mod resources;
mod scheduling;
mod security;
pub mod update;
mod validate;
mod volume;

pub use resources::quantity;
pub use scheduling::{node_selector, tolerations};
pub use validate::{always_restarted, selector_and_template, validate, validate_template};
