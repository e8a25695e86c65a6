//! What must hold before anything of a node is made.

use std::path::Path;

use anyhow::{Result, bail};

use crate::state::{Lock, StateDir};
use crate::{cli, host, node};

/// Running pods needs root; say so before anything is made.
///
/// # Errors
/// When this is not root.
pub fn need_root(what: &str) -> Result<()> {
    if !host::is_root() {
        bail!("{what} must be run as root: it starts containers and sets up networks");
    }
    Ok(())
}

/// Takes a state directory for a node. What can be known to be in the way is found before anything is made.
///
/// # Errors
/// What is missing on the machine, or in the way.
pub fn claim(what: &str, dir: &Path, o: &cli::Node) -> Result<(StateDir, Lock)> {
    need_root(what)?;
    node::check_programs(o)?;
    // Where a cluster runs already, that is to be said, and not that it has the ports.
    if !dir.exists() || StateDir::open(dir)?.owner().is_none() {
        node::check_port(o)?;
    }
    let state = StateDir::open(dir)?;
    let lock = state.lock()?;
    Ok((state, lock))
}
