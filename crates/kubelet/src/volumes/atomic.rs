//! Writes a set of files so that a reader sees all of the old or all of the new.
//!
//! Layout, as upstream: `..data` → `..<time>.<n>/`, and one link per top-level name into `..data`.
// k8s: pkg/volume/util/atomic_writer.go

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Component, Path, PathBuf};

use crate::error::{Error, Result};

const DATA: &str = "..data";
const DATA_TMP: &str = "..data_tmp";
const MAX_PATH_BYTES: usize = 4096;

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub data: Vec<u8>,
    pub mode: u32,
    /// Owner, when not root.
    pub uid: Option<u32>,
}

/// Relative path → file.
pub type Payload = BTreeMap<String, File>;

/// Makes `dir` show exactly `payload`; true when something changed. `stamp` makes the new directory's name.
///
/// # Errors
/// A path that leaves the directory, or what the file system refuses.
pub fn write(dir: &Path, payload: &Payload, gid: Option<u32>, stamp: &str) -> Result<bool> {
    for path in payload.keys() {
        check_path(path)?;
    }
    let io = |what: &str, path: &Path| format!("{what} {}", path.display());
    let data = dir.join(DATA);
    let current = fs::read_link(&data).ok();
    if let Some(name) = &current
        && same(&dir.join(name), payload)
    {
        links(dir, payload)?;
        return Ok(false);
    }
    let fresh = PathBuf::from(format!("..{stamp}"));
    let target = dir.join(&fresh);
    fs::DirBuilder::new().mode(0o755).create(&target).map_err(|e| Error::io(io("create", &target), e))?;
    let written = write_files(&target, payload, gid);
    let swapped = written.and_then(|()| {
        let tmp = dir.join(DATA_TMP);
        let _ = fs::remove_file(&tmp);
        symlink(&fresh, &tmp).map_err(|e| Error::io(io("link", &tmp), e))?;
        fs::rename(&tmp, &data).map_err(|e| Error::io(io("rename", &data), e))
    });
    if let Err(e) = swapped {
        let _ = fs::remove_dir_all(&target);
        return Err(e);
    }
    links(dir, payload)?;
    if let Some(old) = current {
        let _ = fs::remove_dir_all(dir.join(old));
    }
    Ok(true)
}

fn check_path(path: &str) -> Result<()> {
    let bad = |why: &str| Err(Error::Volume(format!("invalid path \"{path}\": {why}")));
    if path.is_empty() || path.len() > MAX_PATH_BYTES {
        return bad("must have between 1 and 4096 bytes");
    }
    for (i, part) in Path::new(path).components().enumerate() {
        match part {
            Component::Normal(name) if i == 0 && name.to_string_lossy().starts_with("..") => {
                return bad("must not start with '..'");
            }
            Component::Normal(_) => {}
            Component::ParentDir => return bad("must not contain '..'"),
            _ => return bad("must be relative"),
        }
    }
    Ok(())
}

fn top(path: &str) -> &str {
    path.split('/').next().unwrap_or(path)
}

fn write_files(target: &Path, payload: &Payload, gid: Option<u32>) -> Result<()> {
    for (path, file) in payload {
        let full = target.join(path);
        let fail = |e: std::io::Error| Error::io(format!("write {}", full.display()), e);
        if let Some(parent) = full.parent() {
            fs::create_dir_all(parent).map_err(fail)?;
        }
        fs::write(&full, &file.data).map_err(fail)?;
        let mut mode = file.mode;
        if gid.is_some() {
            // The group may read what the owner may.
            mode |= (mode & 0o400) >> 3;
        }
        if file.uid.is_some() || gid.is_some() {
            chown(&full, file.uid, gid).map_err(fail)?;
        }
        fs::set_permissions(&full, fs::Permissions::from_mode(mode)).map_err(fail)?;
    }
    Ok(())
}

fn files_below(dir: &Path, at: &Path, out: &mut BTreeSet<String>) {
    for e in fs::read_dir(dir.join(at)).into_iter().flatten().flatten() {
        let path = at.join(e.file_name());
        if e.file_type().is_ok_and(|t| t.is_dir()) {
            files_below(dir, &path, out);
        } else {
            out.insert(path.to_string_lossy().into_owned());
        }
    }
}

fn same(dir: &Path, payload: &Payload) -> bool {
    let mut have = BTreeSet::new();
    files_below(dir, Path::new(""), &mut have);
    have.iter().eq(payload.keys())
        && payload.iter().all(|(path, file)| {
            let full = dir.join(path);
            let owner = fs::metadata(&full).map(|m| m.uid()).ok();
            owner.is_some_and(|o| file.uid.is_none_or(|u| u == o))
                && fs::read(&full).is_ok_and(|d| d == file.data)
        })
}

fn links(dir: &Path, payload: &Payload) -> Result<()> {
    let wanted: BTreeSet<&str> = payload.keys().map(|p| top(p)).collect();
    for name in &wanted {
        let link = dir.join(name);
        let to = Path::new(DATA).join(name);
        if fs::read_link(&link).is_ok_and(|have| have == to) {
            continue;
        }
        symlink(&to, &link).map_err(|e| Error::io(format!("link {}", link.display()), e))?;
    }
    for e in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = e.file_name().to_string_lossy().into_owned();
        let ours = fs::read_link(e.path()).is_ok_and(|to| to.starts_with(DATA));
        if ours && !wanted.contains(name.as_str()) {
            let _ = fs::remove_file(e.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volumes::testdir::TestDir;

    fn payload(files: &[(&str, &str)]) -> Payload {
        files
            .iter()
            .map(|(p, d)| ((*p).to_owned(), File { data: d.as_bytes().to_vec(), mode: 0o640, uid: None }))
            .collect()
    }

    #[test]
    fn shows_exactly_the_payload_after_each_write() {
        let dir = TestDir::new("atomic");
        let steps: [(&[(&str, &str)], bool); 4] = [
            (&[("a", "1"), ("d/b", "2")], true),
            (&[("a", "1"), ("d/b", "2")], false),
            (&[("a", "9"), ("c", "3")], true),
            (&[], true),
        ];
        for (i, (files, changed)) in steps.into_iter().enumerate() {
            let p = payload(files);
            assert_eq!(write(&dir.path, &p, None, &format!("t.{i}")).unwrap(), changed, "step {i}");
            for (path, data) in files {
                assert_eq!(fs::read_to_string(dir.path.join(path)).unwrap(), *data);
                assert_eq!(fs::metadata(dir.path.join(path)).unwrap().mode() & 0o777, 0o640);
            }
            let tops: BTreeSet<&str> = files.iter().map(|(p, _)| top(p)).collect();
            let mut names: Vec<String> = fs::read_dir(&dir.path)
                .unwrap()
                .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
                .filter(|n| !n.starts_with(".."))
                .collect();
            names.sort();
            assert!(names.iter().map(String::as_str).eq(tops), "step {i}: {names:?}");
            let dirs = fs::read_dir(&dir.path)
                .unwrap()
                .filter(|e| e.as_ref().unwrap().file_type().unwrap().is_dir());
            assert_eq!(dirs.count(), 1, "old directories are removed");
        }
    }

    #[test]
    fn paths_that_leave_are_refused() {
        let dir = TestDir::new("atomic-bad");
        for path in ["", "/etc/x", "../x", "a/../../x", "..data/x"] {
            assert!(write(&dir.path, &payload(&[(path, "x")]), None, "t").is_err(), "{path}");
        }
    }
}
