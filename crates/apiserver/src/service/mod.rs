//! Cluster addresses and node ports of Services. What is taken is a function of the stored Services, kept from
//! the store's events, and of reservations of writes under way.

mod allocator;

pub use allocator::{Allocator, Refusal, Reservation};
