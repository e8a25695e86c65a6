//! The Node object: registration, status, lease.

pub(crate) mod lease;
pub(crate) mod machine;
pub(crate) mod network;
pub(crate) mod object;
pub(crate) mod sync;

/// Go's name of the architecture.
pub(crate) fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "powerpc64" => "ppc64le",
        other => other,
    }
}
