//! Compiles the container runtime's protocol to Rust, without protoc. The result is committed: its compiler takes
//! longer than everything that uses it.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;
use sha2::{Digest as _, Sha256};

const SOURCE: &str = "runtime.proto";
const OUTPUT: &str = "generated/runtime_v1.rs";

/// `cargo run -p xtask --features protos -- protos`.
pub fn run(root: &Path) -> Result<()> {
    let room = root.join("crates/cri");
    let made = tempfile::tempdir()?;
    tonic_prost_build::configure()
        .build_transport(false)
        .server_mod_attribute(".", "#[cfg(feature = \"server\")]")
        .out_dir(made.path())
        .compile_fds(protox::compile([SOURCE], [room.join("proto")])?)?;
    let code = std::fs::read_to_string(made.path().join("runtime.v1.rs"))?;
    let mut text = format!("//! Made by `cargo xtask protos` from {SOURCE} with the SHA-256 ");
    for byte in Sha256::digest(std::fs::read(room.join("proto").join(SOURCE))?) {
        write!(text, "{byte:02x}")?;
    }
    text.push_str("\n");
    text.push_str(&code);
    std::fs::write(room.join("src").join(OUTPUT), text)?;
    Ok(())
}
