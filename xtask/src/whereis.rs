//! `cargo xtask where deployment`: the rooms in which a noun lives, by the mirrored-paths rule.

use std::path::Path;

use anyhow::{Result, bail};

use crate::tidy::files;

/// Prints every file or folder whose name is the noun.
pub fn run(root: &Path, noun: &str) -> Result<()> {
    let mut rooms: Vec<String> = files(root)?
        .into_iter()
        .filter_map(|f| {
            let mut seen = Vec::new();
            for part in f.split('/') {
                seen.push(part);
                if part.split('.').next() == Some(noun) {
                    return Some(seen.join("/"));
                }
            }
            None
        })
        .collect();
    rooms.sort();
    rooms.dedup();
    if rooms.is_empty() {
        bail!("no room is named {noun}");
    }
    for room in rooms {
        println!("{room}");
    }
    Ok(())
}
