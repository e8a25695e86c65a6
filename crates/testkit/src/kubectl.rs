//! The kubectls of this machine.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::wait;

/// The versions that are tested where they are installed.
const WANTED_MINORS: [u32; 2] = [27, 33];
/// Most programs that are asked for their version.
const CANDIDATES_LIMIT: usize = 64;

/// One kubectl.
#[derive(Clone, Debug)]
pub struct Kubectl {
    pub path: PathBuf,
    /// The 33 of 1.33.
    pub minor: u32,
}

/// 1.27 and 1.33 where they are installed, else the newest one there is.
///
/// Looked at are all programs named `kubectl` or `kubectl.*` in `PATH` and beside the real `kubectl`.
///
/// # Errors
/// When there is none at all.
pub fn kubectls() -> Result<Vec<Kubectl>> {
    static FOUND: OnceLock<BTreeMap<u32, PathBuf>> = OnceLock::new();
    let found = FOUND.get_or_init(discover);
    let wanted: Vec<Kubectl> = WANTED_MINORS
        .iter()
        .filter_map(|minor| found.get(minor).map(|path| Kubectl { path: path.clone(), minor: *minor }))
        .collect();
    if !wanted.is_empty() {
        return Ok(wanted);
    }
    match found.last_key_value() {
        Some((minor, path)) => Ok(vec![Kubectl { path: path.clone(), minor: *minor }]),
        None => bail!("kubectl is not installed: apt-get install kubernetes-client"),
    }
}

/// The newest of [`kubectls`].
///
/// # Errors
/// When there is none at all.
pub fn newest() -> Result<Kubectl> {
    kubectls()?.pop().context("no kubectl")
}

fn discover() -> BTreeMap<u32, PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut dirs: Vec<PathBuf> = std::env::split_paths(&path).collect();
    for dir in dirs.clone() {
        if let Ok(real) = dir.join("kubectl").canonicalize() {
            dirs.extend(real.parent().map(Path::to_owned));
        }
    }
    let mut programs: Vec<PathBuf> = Vec::new();
    for dir in dirs {
        let Ok(entries) = std::fs::read_dir(dir) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Ok(real) = entry.path().canonicalize() else { continue };
            let named = name == "kubectl" || name.starts_with("kubectl.");
            if named && is_executable(&real) && !programs.contains(&real) {
                programs.push(real);
            }
        }
    }
    // Plain `kubectl` last: it may be a chooser that runs one of the others.
    programs.sort_by_key(|p| p.file_name().is_some_and(|n| n == "kubectl"));
    let mut found = BTreeMap::new();
    for program in programs.into_iter().take(CANDIDATES_LIMIT) {
        if let Some(minor) = minor_of(&program) {
            found.entry(minor).or_insert(program);
        }
    }
    found
}

fn is_executable(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

fn minor_of(program: &Path) -> Option<u32> {
    let mut command = Command::new(program);
    command.args(["version", "--client", "-o", "json"]).env("KUBECONFIG", "/dev/null");
    let output = wait::run(command, b"", Duration::from_secs(20));
    let version: serde_json::Value = serde_json::from_str(&output.stdout).ok()?;
    let minor = version["clientVersion"]["minor"].as_str()?;
    minor.trim_end_matches(|c: char| !c.is_ascii_digit()).parse().ok()
}
