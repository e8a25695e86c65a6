//! The reference data that tests compare with: upstream's tables and fixtures, which lie beside the checkout and
//! are not part of it. A test that cannot find what it needs is not silent about it: it is counted as skipped in
//! the closing line of `make test`. Nothing but tests may depend on this.

use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Names the folder that holds `k8s-api`, where it is not beside the checkout.
const FOLDER: &str = "CORTEN_SHARED";
/// Names a file to which each test that could not check anything adds a line.
const SKIPPED: &str = "CORTEN_SKIPPED";

/// The file or folder at `path` below the reference data, or `None`, and then the test is counted as skipped.
#[must_use]
pub fn find(path: &str) -> Option<PathBuf> {
    let folder = match std::env::var_os(FOLDER) {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
    };
    let found = folder.join(path);
    if found.exists() {
        return Some(found);
    }
    skipped(&format!("the reference data {path} is not beside the checkout"));
    None
}

/// The bytes of the file at `path` below the reference data, or `None`, and then the test is counted as skipped.
///
/// # Panics
/// When the file is there and cannot be read.
#[must_use]
pub fn read(path: &str) -> Option<Vec<u8>> {
    let found = find(path)?;
    Some(std::fs::read(&found).unwrap_or_else(|e| panic!("{}: {e}", found.display())))
}

/// Says that the running test checked nothing, and why.
///
/// # Panics
/// When the file that counts such tests cannot be written: then nobody would hear of it.
pub fn skipped(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    eprintln!("skipped: {test}: {why}");
    if let Some(file) = std::env::var_os(SKIPPED) {
        let opened = std::fs::OpenOptions::new().create(true).append(true).open(&file);
        let written = opened.and_then(|mut f| f.write_all(format!("{test}: {why}\n").as_bytes()));
        written.unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    }
}
