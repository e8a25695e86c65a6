//! What std lacks, with no dependency of its own: a queue that cuts off slow readers, an executor for futures that
//! need no runtime, the strings of ASN.1, kinds of addresses. Nothing here knows about Kubernetes, and nothing here does I/O.

#![forbid(unsafe_code)]

pub mod asn1;
mod block_on;
pub mod cutoff;

pub use block_on::block_on;
pub mod hash;
pub mod net;
