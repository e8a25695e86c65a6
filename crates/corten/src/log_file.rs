//! Keeps the log of a server in the background small: `corten.log`, and the one before it as `corten.log.1`.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use control::CancellationToken;

/// A log that is longer is put aside.
const LIMIT_BYTES: u64 = 32 << 20;
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Where the former log is.
#[must_use]
pub fn former(log: &Path) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

/// Opens a log to append to.
///
/// # Errors
/// When it cannot be made or written.
pub fn open(log: &Path) -> io::Result<File> {
    File::options().create(true).append(true).open(log)
}

/// Puts the log aside from time to time while it is what this process writes to. Ends with `stop`.
pub async fn keep_small(log: PathBuf, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let result = if is_written_by_us(&log) { rotate(&log, LIMIT_BYTES) } else { Ok(None) };
        let result = result.and_then(|fresh| fresh.map_or(Ok(()), |file| write_to(&file)));
        if let Err(e) = result {
            tracing::warn!("putting {} aside: {e}", log.display());
        }
    }
}

/// Whether standard error is this file.
fn is_written_by_us(log: &Path) -> bool {
    let ours = rustix::fs::fstat(rustix::stdio::stderr());
    let (Ok(ours), Ok(file)) = (ours, std::fs::metadata(log)) else { return false };
    (ours.st_dev, ours.st_ino) == (file.dev(), file.ino())
}

/// When the log is longer than the limit, renames it over the former one and gives a new, empty one.
fn rotate(log: &Path, limit_bytes: u64) -> io::Result<Option<File>> {
    if std::fs::metadata(log)?.len() <= limit_bytes {
        return Ok(None);
    }
    std::fs::rename(log, former(log))?;
    open(log).map(Some)
}

/// Makes the file what standard output and error write to.
fn write_to(file: &File) -> io::Result<()> {
    rustix::stdio::dup2_stdout(file)?;
    rustix::stdio::dup2_stderr(file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn one_older_log_is_kept() {
        let dir = std::env::temp_dir().join(format!("corten-log-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let log = dir.join("corten.log");
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        open(&log).unwrap().write_all(b"first\n").unwrap();
        assert!(rotate(&log, 6).unwrap().is_none(), "not longer than the limit");
        let mut fresh = rotate(&log, 5).unwrap().unwrap();
        fresh.write_all(b"second\n").unwrap();
        assert_eq!((read(&log), read(&former(&log))), ("second\n".to_owned(), "first\n".to_owned()));
        let mut fresh = rotate(&log, 5).unwrap().unwrap();
        fresh.write_all(b"third\n").unwrap();
        assert_eq!((read(&log), read(&former(&log))), ("third\n".to_owned(), "second\n".to_owned()));
        assert!(!is_written_by_us(&log));
        std::fs::remove_file(&log).unwrap();
        assert!(rotate(&log, 5).is_err(), "a missing log is an error, not a loop");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
