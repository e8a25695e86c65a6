//! Who asks.

/// The user of a request without credentials.
pub const ANONYMOUS: &str = "system:anonymous";
/// Group of everybody with valid credentials.
pub const AUTHENTICATED: &str = "system:authenticated";
/// Group of requests without credentials.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// Group that may do everything.
pub const MASTERS: &str = "system:masters";
