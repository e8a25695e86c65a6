//! The example application as a static program and as an image.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, bail};

pub use cri::image::{Image, ImageBuilder};

/// The name by which `examples/webapp` knows its image.
pub const WEBAPP_NAME: &str = "registry.test/webapp:1";

/// The workspace's root.
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// Builds `webapp` as a static program (once a process) and gives its path.
///
/// It is built in a directory of its own: the flags differ from the workspace's.
pub fn webapp_program() -> Result<PathBuf> {
    static PROGRAM: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = PROGRAM.get_or_init(|| build_webapp().map_err(|error| format!("{error:#}")));
    built.clone().map_err(|error| anyhow!(error))
}

fn build_webapp() -> Result<PathBuf> {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let base = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from);
    let dir = base.join("static");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--quiet", "--package", "webapp", "--release", "--target", &target, "--target-dir"])
        .arg(&dir)
        .current_dir(workspace())
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
        .context("run cargo")?;
    if !output.status.success() {
        bail!("building webapp: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(dir.join(target).join("release/webapp"))
}

/// An image that holds nothing but the static `webapp`, and a writable `/tmp`.
pub fn webapp_image() -> Result<Image> {
    let path = webapp_program()?;
    let program = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
    Ok(ImageBuilder::new()
        .dir("/tmp", 0o1777)
        .file("/webapp", &program, 0o755)
        .entrypoint(&["/webapp"])
        .cmd(&["serve"])
        .env("PORT", "8080")
        .port("8080/tcp")
        .user("1000:1000")
        .build()?)
}
