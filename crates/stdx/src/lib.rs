//! What std lacks, with no dependency of its own: a queue that cuts off slow readers and an executor
//! for futures that need no runtime. Nothing here knows about Kubernetes, and nothing here does I/O.

#![forbid(unsafe_code)]

mod block_on;
pub mod cutoff;

pub use block_on::block_on;
pub mod hash;
