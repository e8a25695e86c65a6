//! All automation that is not a shell command: `cargo xtask tidy | where <noun> | codegen [types.json]`.

mod codegen;
mod imports;
mod tidy;
mod whereis;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["tidy"] => tidy::run(&root()),
        ["where", noun] => whereis::run(&root(), noun),
        ["codegen"] => codegen::run(&root(), None),
        ["codegen", types] => codegen::run(&root(), Some(types)),
        _ => bail!("usage: cargo xtask tidy | where <noun> | codegen [types.json]"),
    }
}

/// The folder of the workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace").to_path_buf()
}
