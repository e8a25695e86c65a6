//! Files that are there whole or not at all. It must never leave a key that others can read.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use super::PkiError;

/// Who may read a file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Key,
    Public,
}

/// Whether a power failure may lose it. What can be made anew need not wait for the disk.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sync {
    Yes,
    No,
}

fn failed(path: &Path, source: std::io::Error) -> PkiError {
    PkiError::Io { path: path.to_owned(), source }
}

pub(super) fn make_dir(dir: &Path) -> Result<(), PkiError> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|e| failed(dir, e))
}

/// `None` when it is not there, or empty, as a power failure may leave it.
pub(super) fn read(path: &Path) -> Result<Option<String>, PkiError> {
    match fs::read_to_string(path) {
        Ok(text) if text.is_empty() => Ok(None),
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(failed(path, e)),
    }
}

pub(super) fn write(path: &Path, text: &str, kind: Kind, sync: Sync) -> Result<(), PkiError> {
    let mode = if kind == Kind::Key { 0o600 } else { 0o644 };
    let mut tmp = path.as_os_str().to_owned();
    tmp.push(".tmp");
    let tmp = Path::new(&tmp);
    let put = || {
        // A leftover may have another mode.
        let _ = fs::remove_file(tmp);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(tmp)?;
        file.write_all(text.as_bytes())?;
        if sync == Sync::Yes {
            file.sync_all()?;
        }
        fs::rename(tmp, path)?;
        match path.parent() {
            Some(dir) if sync == Sync::Yes => File::open(dir)?.sync_all(),
            _ => Ok(()),
        }
    };
    put().map_err(|e| failed(path, e))
}
