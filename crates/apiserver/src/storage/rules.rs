//! What a write may leave out. It must never be asked of a client: each is a decision of a verb or subresource.

use kinds::Operation;

/// How an object is changed.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub operation: Operation,
    pub dry_run: bool,
    /// The write is the server's own, on behalf of a request that the plugins were asked about already: they are not
    /// asked a second time. What the server does to every write of a kind is done nevertheless.
    pub skips_admission: bool,
    /// The write fills in what the server decides about the object (where a pod runs), which is no change of
    /// what its owner wants: `metadata.generation` stays.
    pub keeps_generation: bool,
}

impl Rules {
    /// A client's write.
    pub fn new(operation: Operation, dry_run: bool) -> Self {
        Rules { operation, dry_run, skips_admission: false, keeps_generation: false }
    }
}
