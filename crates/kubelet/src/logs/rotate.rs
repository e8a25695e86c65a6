//! Log rotation: a container's log that has grown is moved aside and the runtime opens a new one.
// k8s: pkg/kubelet/logs/container_log_manager.go

use std::fs;
use std::path::{Path, PathBuf};

/// Moves the log aside when it is longer than `limit_bytes` and drops the oldest files beyond `keep` (the
/// current one counted). True: the runtime must reopen the log.
///
/// # Errors
/// What the file system says.
pub fn rotate(path: &Path, limit_bytes: u64, keep: usize, stamp: &str) -> std::io::Result<bool> {
    match fs::metadata(path) {
        Ok(m) if m.len() >= limit_bytes => {}
        Ok(_) => return Ok(false),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(e),
    }
    let mut old = rotated(path);
    // One more is about to be there, beside the new current file.
    while old.len() + 2 > keep.max(2) {
        fs::remove_file(old.remove(0))?;
    }
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".{stamp}"));
    fs::rename(path, PathBuf::from(aside))?;
    Ok(true)
}

/// Files moved aside, oldest first: their names end in the time.
fn rotated(path: &Path) -> Vec<PathBuf> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else { return Vec::new() };
    let prefix = format!("{}.", name.to_string_lossy());
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut out: Vec<PathBuf> =
        entries.filter(|e| e.file_name().to_string_lossy().starts_with(&prefix)).map(|e| e.path()).collect();
    out.sort();
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volumes::testdir::TestDir;

    #[test]
    fn keeps_so_many_files() {
        let dir = TestDir::new("rotate");
        let path = dir.path.join("0.log");
        assert!(!rotate(&path, 4, 3, "0").unwrap());
        for i in 1..6 {
            fs::write(&path, "12345").unwrap();
            assert!(rotate(&path, 4, 3, &i.to_string()).unwrap());
            assert!(!path.exists());
        }
        fs::write(&path, "123").unwrap();
        assert!(!rotate(&path, 4, 3, "x").unwrap());
        let names: Vec<String> =
            rotated(&path).iter().map(|p| p.file_name().unwrap().to_string_lossy().into()).collect();
        assert_eq!(names, ["0.log.4", "0.log.5"]);
    }
}
