//! What must hold before anything of a node is made.

use std::path::Path;

use anyhow::Result;

use crate::host::need_root;
use crate::state::{Lock, StateDir};
use crate::{cli, node};

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
