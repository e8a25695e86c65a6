//! What a response looks like: format, form, and the bodies of objects and lists. It must never decide what is
//! answered.

pub mod encode;
pub mod frames;
mod pieces;
mod respond;
pub mod table;

pub(crate) use encode::{encoded, partial};
pub(crate) use respond::{list, object};

pub(crate) use crate::codec::Format;
pub(crate) use crate::request::{Accepted, Form, JSON, negotiate};
