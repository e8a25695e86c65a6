//! Paths inside a volume that cannot be led out of it by links.
// k8s: pkg/volume/util/subpath/subpath_linux.go

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, openat2};

use crate::error::{Error, Result};

/// Opens `sub` below `root`, making directories where nothing is.
///
/// # Errors
/// When the path is absolute, steps back, or a link leads out of `root`.
pub fn open(root: &Path, sub: &str) -> Result<OwnedFd> {
    let fail = |why: String| Error::Config(format!("failed to prepare subPath \"{sub}\": {why}"));
    let mut parts = Vec::new();
    for c in Path::new(sub).components() {
        match c {
            Component::Normal(p) => parts.push(p.to_os_string()),
            Component::CurDir => {}
            _ => return Err(fail("must be relative and not contain '..'".to_owned())),
        }
    }
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let base =
        rustix::fs::open(root, flags | OFlags::DIRECTORY, Mode::empty()).map_err(|e| fail(e.to_string()))?;
    let mut done = PathBuf::new();
    for part in &parts {
        done.push(part);
        match openat2(&base, &done, flags, Mode::empty(), resolve) {
            Ok(_) => {}
            Err(rustix::io::Errno::NOENT) => make(&base, &done, resolve).map_err(|e| fail(e.to_string()))?,
            Err(e) => return Err(fail(e.to_string())),
        }
    }
    if parts.is_empty() {
        return Ok(base);
    }
    openat2(&base, &done, flags, Mode::empty(), resolve).map_err(|e| fail(e.to_string()))
}

fn make(base: &OwnedFd, path: &Path, resolve: ResolveFlags) -> rustix::io::Result<()> {
    let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::DIRECTORY;
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let dir = openat2(base, parent, flags, Mode::empty(), resolve)?;
    let name = path.file_name().ok_or(rustix::io::Errno::INVAL)?;
    match rustix::fs::mkdirat(&dir, name, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        Err(e) => return Err(e),
    }
    // The owner's rights carry over, as upstream gives new directories the volume's.
    let stat = rustix::fs::statat(&dir, c".", AtFlags::empty())?;
    rustix::fs::chmodat(&dir, name, Mode::from_raw_mode(stat.st_mode & 0o7777), AtFlags::empty())?;
    let gid = rustix::fs::Gid::from_raw(stat.st_gid);
    rustix::fs::chownat(&dir, name, None, Some(gid), AtFlags::empty())
}

/// Binds what is open onto `at`, which is made as a directory or a file as needed.
///
/// # Errors
/// When the mount is refused.
pub fn bind(fd: &OwnedFd, at: &Path) -> Result<()> {
    let fail = |e: &dyn std::fmt::Display| Error::io(format!("bind mount on {}", at.display()), e);
    let stat = rustix::fs::fstat(fd).map_err(|e| fail(&e))?;
    if let Some(parent) = at.parent() {
        std::fs::create_dir_all(parent).map_err(|e| fail(&e))?;
    }
    if stat.st_mode & 0o170_000 == 0o040_000 {
        std::fs::create_dir_all(at).map_err(|e| fail(&e))?;
    } else if !at.exists() {
        std::fs::File::create(at).map_err(|e| fail(&e))?;
    }
    let source = format!("/proc/self/fd/{}", fd.as_raw_fd());
    nix::mount::mount(
        Some(source.as_str()),
        at,
        None::<&str>,
        nix::mount::MsFlags::MS_BIND | nix::mount::MsFlags::MS_REC,
        None::<&str>,
    )
    .map_err(|e| fail(&e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volumes::testdir::TestDir;

    #[test]
    fn links_cannot_lead_out() {
        let dir = TestDir::new("subpath");
        let root = dir.path.join("vol");
        std::fs::create_dir_all(root.join("in")).unwrap();
        std::os::unix::fs::symlink("/etc", root.join("out")).unwrap();
        std::os::unix::fs::symlink("../..", root.join("up")).unwrap();
        std::os::unix::fs::symlink("in", root.join("ok")).unwrap();
        let cases = [
            ("in", true),
            ("new/dir", true),
            ("ok", true),
            ("", true),
            ("out", false),
            ("up", false),
            ("../x", false),
            ("/etc", false),
            ("out/x", false),
        ];
        for (sub, want) in cases {
            assert_eq!(open(&root, sub).is_ok(), want, "{sub}");
        }
        assert!(root.join("new/dir").is_dir());
    }
}
