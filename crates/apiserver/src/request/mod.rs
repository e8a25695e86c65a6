//! What is asked: who asks, for what the authorizers are asked, the options and the body, and what the client
//! accepts as an answer. It must never know what is served or stored.

mod attributes;
pub mod body;
mod identity;
mod negotiate;
pub mod options;
mod reply;

pub use attributes::{Attributes, Authorizer, What};
pub use identity::{ANONYMOUS, AUTHENTICATED, MASTERS, UNAUTHENTICATED};
pub use reply::Reply;

pub(crate) use negotiate::{
    Accepted, Form, JSON, PROTOBUF, YAML, aggregated_discovery, media_type, negotiate,
};
