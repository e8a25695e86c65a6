//! Local and Remote against the same handler answer alike; Remote against servers that misbehave.

mod handler;
mod remote;
mod suite;
