//! All automation that is not a shell command: `cargo xtask tidy | where <noun> | codegen [types.json] | protos`.

mod codegen;
mod imports;
#[cfg(feature = "protos")]
mod protos;
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
        #[cfg(feature = "protos")]
        ["protos"] => protos::run(&root()),
        #[cfg(not(feature = "protos"))]
        ["protos"] => bail!("it is compiled apart: cargo run -p xtask --features protos -- protos"),
        _ => bail!("usage: cargo xtask tidy | where <noun> | codegen [types.json] | protos"),
    }
}

/// The folder of the workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace").to_path_buf()
}
