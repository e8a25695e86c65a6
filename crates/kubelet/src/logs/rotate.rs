//! Log rotation: a container's log that has grown is moved aside and the runtime opens a new one.
// k8s: pkg/kubelet/logs/container_log_manager.go

use std::fs;
use std::path::{Path, PathBuf};

/// Moves the log aside when it is longer than `limit_bytes` and drops the oldest files beyond `keep` (the
/// current one counted). Gives its new name when it was: the runtime must then reopen the log. Two files of one
/// `stamp` do not overwrite each other.
///
/// # Errors
/// What the file system says.
pub fn rotate(path: &Path, limit_bytes: u64, keep: usize, stamp: &str) -> std::io::Result<Option<PathBuf>> {
    match fs::metadata(path) {
        Ok(m) if m.len() >= limit_bytes => {}
        Ok(_) => return Ok(None),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    }
    let mut old = rotated(path);
    // One more is about to be there, beside the new current file.
    while old.len() + 2 > keep.max(2) {
        fs::remove_file(old.remove(0))?;
    }
    let named = |end: String| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    let mut aside = named(format!(".{stamp}"));
    for n in 1..1000u32 {
        if !aside.exists() {
            break;
        }
        aside = named(format!(".{stamp}-{n:03}"));
    }
    fs::rename(path, &aside)?;
    Ok(Some(aside))
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
        assert_eq!(rotate(&path, 4, 3, "0").unwrap(), None);
        for i in 1..6 {
            fs::write(&path, "12345").unwrap();
            let aside = rotate(&path, 4, 3, &i.to_string()).unwrap();
            assert_eq!(aside, Some(dir.path.join(format!("0.log.{i}"))));
            assert!(!path.exists());
        }
        fs::write(&path, "123").unwrap();
        assert_eq!(rotate(&path, 4, 3, "x").unwrap(), None);
        let names: Vec<String> =
            rotated(&path).iter().map(|p| p.file_name().unwrap().to_string_lossy().into()).collect();
        assert_eq!(names, ["0.log.4", "0.log.5"]);
    }

    #[test]
    fn two_rotations_in_one_second_keep_both_files() {
        let dir = TestDir::new("rotate-twice");
        let path = dir.path.join("0.log");
        for text in ["first", "second", "third"] {
            fs::write(&path, text).unwrap();
            rotate(&path, 4, 5, "20260101-101010").unwrap();
        }
        let texts: Vec<String> = rotated(&path).iter().map(|p| fs::read_to_string(p).unwrap()).collect();
        assert_eq!(texts, ["first", "second", "third"]);
    }
}
