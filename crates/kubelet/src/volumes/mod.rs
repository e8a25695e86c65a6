//! A pod's volumes on this machine: set up, kept up to date, taken down.
//!
//! Everything is idempotent: a restarted agent runs it again over what is there. Nothing here follows a link
//! that a container could have made.

pub mod atomic;
pub mod certificates;
#[cfg(test)]
pub mod fake;
pub mod mounts;
mod sources;
pub mod subpath;
#[cfg(test)]
pub mod testdir;
pub mod tokens;
mod trust;

use std::fs;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use k8s_openapi::api::core::v1::{EmptyDirVolumeSource, HostPathVolumeSource, Pod, Volume};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::config::Config;
use crate::error::{Error, Result};
use crate::objects::Objects;
use crate::spec::fields::Facts;
use crate::spec::{PodExt, quantity, resources};
use certificates::Certificates;
use sources::Ctx;
use tokens::Tokens;

/// Contents may be this old when they are looked at again.
const REFRESH_AGE: Duration = Duration::from_secs(30);

/// Sets up volumes for pods.
pub struct Volumes {
    pub(crate) config: Arc<Config>,
    pub(crate) objects: Arc<Objects>,
    pub(crate) tokens: Tokens,
    pub(crate) certificates: Certificates,
    /// Decides the order of trust anchors.
    pub(crate) seed: u64,
    pub(crate) clock: Arc<dyn sys::Clock>,
}

/// The plugin's directory name, as upstream escapes it; `None`: a volume this agent cannot mount.
fn plugin(v: &Volume) -> Option<&'static str> {
    Some(match v {
        v if v.empty_dir.is_some() => "kubernetes.io~empty-dir",
        v if v.config_map.is_some() => "kubernetes.io~configmap",
        v if v.secret.is_some() => "kubernetes.io~secret",
        v if v.projected.is_some() => "kubernetes.io~projected",
        v if v.downward_api.is_some() => "kubernetes.io~downward-api",
        v if v.host_path.is_some() => "",
        _ => return None,
    })
}

impl Volumes {
    /// Where a volume lies on the machine.
    #[must_use]
    pub fn path(&self, pod: &Pod, v: &Volume) -> PathBuf {
        match &v.host_path {
            Some(h) => PathBuf::from(&h.path),
            None => self
                .config
                .pod_dir(pod.uid())
                .join("volumes")
                .join(plugin(v).unwrap_or("unsupported"))
                .join(&v.name),
        }
    }

    /// Sets up all volumes of a pod.
    ///
    /// # Errors
    /// The message of the FailedMount event.
    pub async fn prepare(&self, pod: &Pod, facts: &Facts) -> Result<()> {
        let dir = self.config.pod_dir(pod.uid());
        for d in ["volumes", "containers", "plugins"] {
            make_dir(&dir.join(d), 0o750)?;
        }
        let all = pod.sp().volumes.as_deref().unwrap_or_default();
        let results = join_all(all.iter().map(|v| self.one(pod, v, facts, Duration::ZERO, true))).await;
        for (v, r) in all.iter().zip(results) {
            r.map_err(|e| {
                Error::Volume(format!("MountVolume.SetUp failed for volume \"{}\" : {e}", v.name))
            })?;
        }
        Ok(())
    }

    /// Brings the contents of a pod's volumes up to date.
    ///
    /// # Errors
    /// The first volume that failed; the others were still done.
    pub async fn refresh(&self, pod: &Pod, facts: &Facts) -> Result<()> {
        let all = pod.sp().volumes.as_deref().unwrap_or_default();
        let results = join_all(all.iter().map(|v| self.one(pod, v, facts, REFRESH_AGE, false))).await;
        results.into_iter().collect()
    }

    async fn one(&self, pod: &Pod, v: &Volume, facts: &Facts, max_age: Duration, first: bool) -> Result<()> {
        if let Some(h) = &v.host_path {
            return if first { host_path(h) } else { Ok(()) };
        }
        let Some(_) = plugin(v) else { return Err(unsupported(v)) };
        let dir = self.path(pod, v);
        let gid = fs_group(pod);
        if let Some(e) = &v.empty_dir {
            return if first { empty_dir(&dir, e, gid, memory_limit(pod)) } else { Ok(()) };
        }
        let ctx = Ctx { volumes: self, pod, facts, max_age, now: self.clock.now() };
        let Some(payload) = sources::payload(&ctx, v).await? else { return Ok(()) };
        if first {
            make_dir(&dir, 0o777)?;
            if v.secret.is_some() || v.projected.is_some() {
                tmpfs(&dir, None)?;
            }
        }
        let now = self.clock.now();
        let stamp = now.strftime("%Y_%m_%d_%H_%M_%S").to_string() + &format!(".{}", now.subsec_nanosecond());
        atomic::write(&dir, &payload, gid, &stamp).map(|_| ())
    }

    /// Takes down all that a pod has mounted and written.
    ///
    /// # Errors
    /// When a mount is still there or a directory cannot be removed; what is mounted is never removed.
    pub fn teardown(&self, uid: &str) -> Result<()> {
        self.tokens.forget(uid);
        self.certificates.forget(uid);
        let dir = self.config.pod_dir(uid);
        let mut mounts = mounts_below(&dir)?;
        // Deepest first.
        mounts.sort_by_key(|m| std::cmp::Reverse(m.as_os_str().len()));
        for m in mounts {
            umount2(&m, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW)
                .map_err(|e| Error::io(format!("unmount {}", m.display()), e))?;
        }
        let pods = self.config.root_dir.join("pods");
        let device =
            fs::metadata(&pods).map_err(|e| Error::io(format!("look at {}", pods.display()), e))?.dev();
        remove_own(&dir, &mounts_below(&dir)?, device)
    }

    /// UIDs that have a directory here.
    #[must_use]
    pub fn uids(&self) -> Vec<String> {
        let entries = fs::read_dir(self.config.root_dir.join("pods")).into_iter().flatten().flatten();
        entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect()
    }
}

fn unsupported(v: &Volume) -> Error {
    let kind = serde_json::to_value(v)
        .ok()
        .and_then(|j| j.as_object().and_then(|o| o.keys().find(|k| *k != "name").cloned()));
    Error::Volume(format!(
        "volume type {} is not supported by this kubelet",
        kind.as_deref().unwrap_or("(none)")
    ))
}

fn fs_group(pod: &Pod) -> Option<u32> {
    pod.sp().security_context.as_ref().and_then(|s| s.fs_group).and_then(|g| u32::try_from(g).ok())
}

fn memory_limit(pod: &Pod) -> Option<i64> {
    resources::pod_limits(pod).memory_bytes
}

pub(crate) fn make_dir(dir: &Path, mode: u32) -> Result<()> {
    let fail = |e: std::io::Error| Error::io(format!("create {}", dir.display()), e);
    fs::DirBuilder::new().recursive(true).mode(0o750).create(dir).map_err(fail)?;
    fs::set_permissions(dir, fs::Permissions::from_mode(mode)).map_err(fail)
}

/// Makes a directory and gives its real path, as the kernel's mount table has it.
pub(crate) fn make_real_dir(dir: &Path, mode: u32) -> Result<PathBuf> {
    make_dir(dir, mode)?;
    dir.canonicalize().map_err(|e| Error::io(format!("resolve {}", dir.display()), e))
}

fn empty_dir(dir: &Path, e: &EmptyDirVolumeSource, gid: Option<u32>, pod_memory: Option<i64>) -> Result<()> {
    let fresh = !dir.exists();
    let medium = e.medium.as_deref().unwrap_or_default();
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o750)
        .create(dir)
        .map_err(|e| Error::io(format!("create {}", dir.display()), e))?;
    match medium {
        "" => {}
        "Memory" => {
            let own = e.size_limit.as_ref().and_then(quantity::value).filter(|v| *v > 0);
            let size = match (own, pod_memory) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
            tmpfs(dir, size)?;
        }
        other => {
            return Err(Error::Volume(format!(
                "emptyDir medium \"{other}\" is not supported by this kubelet"
            )));
        }
    }
    if fresh {
        let fail = |e: std::io::Error| Error::io(format!("set owner of {}", dir.display()), e);
        if let Some(g) = gid {
            chown(dir, None, Some(g)).map_err(fail)?;
        }
        let mode = if gid.is_some() { 0o2777 } else { 0o777 };
        fs::set_permissions(dir, fs::Permissions::from_mode(mode)).map_err(fail)?;
    }
    Ok(())
}

/// Mounts a tmpfs unless there is one.
fn tmpfs(dir: &Path, size: Option<i64>) -> Result<()> {
    if mounts_below(dir)?.iter().any(|m| m == dir) {
        return Ok(());
    }
    let options = match size {
        Some(s) => format!("mode=0777,size={s}"),
        None => "mode=0777".to_owned(),
    };
    mount(Some("tmpfs"), dir, Some("tmpfs"), MsFlags::empty(), Some(options.as_str()))
        .map_err(|e| Error::io(format!("mount tmpfs on {}", dir.display()), e))
}

/// Mount points at or below a directory, whose path must be a real one: without links, as the kernel tells it.
pub(crate) fn mounts_below(dir: &Path) -> Result<Vec<PathBuf>> {
    let table = fs::read_to_string("/proc/self/mountinfo").map_err(|e| Error::io("read mountinfo", e))?;
    Ok(below(&table, dir))
}

fn below(table: &str, dir: &Path) -> Vec<PathBuf> {
    let mut points = cri::containerd::mount_points(table);
    points.retain(|p| p.starts_with(dir));
    points
}

/// Removes a directory with all in it, but never anything that is mounted there: not while there are `mounts`
/// below, nor when a directory in it lies on another device.
fn remove_own(dir: &Path, mounts: &[PathBuf], device: u64) -> Result<()> {
    let refuse = |path: &Path| {
        let why = format!("{} is still mounted", path.display());
        Err(Error::io(format!("remove {}", dir.display()), why))
    };
    if let Some(m) = mounts.first() {
        return refuse(m);
    }
    if let Some(foreign) = foreign_dir(dir, device) {
        return refuse(&foreign);
    }
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io(format!("remove {}", dir.display()), e))
        }
        _ => Ok(()),
    }
}

/// A directory at or below `dir` that is not on this device. Only directories are looked at: what is mounted on a
/// file keeps the file from being removed, and some file systems give their files other device numbers.
fn foreign_dir(dir: &Path, device: u64) -> Option<PathBuf> {
    if fs::symlink_metadata(dir).is_ok_and(|m| m.is_dir() && m.dev() != device) {
        return Some(dir.to_owned());
    }
    let mut open = vec![dir.to_owned()];
    while let Some(at) = open.pop() {
        // What cannot be read is left to the removal, which then says why.
        for e in fs::read_dir(&at).into_iter().flatten().flatten() {
            if !e.file_type().is_ok_and(|t| t.is_dir()) {
                continue;
            }
            if e.metadata().is_ok_and(|m| m.dev() != device) {
                return Some(e.path());
            }
            open.push(e.path());
        }
    }
    None
}

fn host_path(h: &HostPathVolumeSource) -> Result<()> {
    let path = Path::new(&h.path);
    let kind = h.type_.as_deref().unwrap_or_default();
    let fail = |why: &str| Err(Error::Volume(format!("hostPath type check failed: {} {why}", h.path)));
    match kind {
        "DirectoryOrCreate" if !path.exists() => return make_dir(path, 0o755),
        "FileOrCreate" if !path.exists() => {
            let io = |e: std::io::Error| Error::io(format!("create {}", h.path), e);
            fs::File::create(path).map_err(io)?;
            return fs::set_permissions(path, fs::Permissions::from_mode(0o644)).map_err(io);
        }
        "" => return Ok(()),
        _ => {}
    }
    let Ok(meta) = fs::metadata(path) else {
        return fail(&format!("is not a {}", kind_word(kind)));
    };
    let t = meta.file_type();
    let ok = match kind {
        "Directory" | "DirectoryOrCreate" => t.is_dir(),
        "File" | "FileOrCreate" => t.is_file(),
        "Socket" => t.is_socket(),
        "CharDevice" => t.is_char_device(),
        "BlockDevice" => t.is_block_device(),
        other => return Err(Error::Volume(format!("hostPath type \"{other}\" is unknown"))),
    };
    if ok { Ok(()) } else { fail(&format!("is not a {}", kind_word(kind))) }
}

fn kind_word(kind: &str) -> &'static str {
    match kind {
        "Directory" | "DirectoryOrCreate" => "directory",
        "File" | "FileOrCreate" => "file",
        "Socket" => "socket file",
        "CharDevice" => "character device",
        _ => "block device",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testdir::TestDir;

    #[test]
    fn host_paths_are_checked() {
        let dir = TestDir::new("hostpath");
        fs::write(dir.path.join("f"), "x").unwrap();
        let cases = [
            ("f", "File", true),
            ("f", "Directory", false),
            ("f", "Socket", false),
            ("new", "Directory", false),
            ("new", "DirectoryOrCreate", true),
            ("new", "File", false),
            ("newf", "FileOrCreate", true),
            ("none", "", true),
        ];
        for (name, kind, want) in cases {
            let h = HostPathVolumeSource {
                path: dir.path.join(name).to_string_lossy().into_owned(),
                type_: Some(kind.to_owned()),
            };
            assert_eq!(host_path(&h).is_ok(), want, "{name} {kind}");
        }
    }

    #[test]
    fn unknown_volumes_are_named() {
        let v: Volume =
            serde_json::from_value(serde_json::json!({"name": "d", "nfs": {"server": "s", "path": "/"}}))
                .unwrap();
        assert!(plugin(&v).is_none());
        assert_eq!(unsupported(&v).to_string(), "volume type nfs is not supported by this kubelet");
    }

    #[test]
    fn mounts_are_found_below_the_real_directory() {
        let root = TestDir::new("real");
        let real = make_real_dir(&root.path.join("disk"), 0o750).unwrap();
        std::os::unix::fs::symlink(&real, root.path.join("link")).unwrap();
        let got = make_real_dir(&root.path.join("link"), 0o750).unwrap();
        assert_eq!(got, real);
        let point = got.join("pods/u 1/vol");
        let escaped = point.to_str().unwrap().replace(' ', "\\040");
        let table = format!("22 1 254:0 / / rw - ext4 /dev/vda rw\n30 22 0:5 / {escaped} rw - tmpfs t rw\n");
        assert_eq!(below(&table, &got.join("pods/u 1")), [point]);
        assert!(below(&table, &got.join("pods/u")).is_empty());
    }

    #[test]
    fn what_is_mounted_is_not_removed() {
        let root = TestDir::new("remove");
        let device = fs::metadata(&root.path).unwrap().dev();
        // Whether a mount is left, the device that the directory should be on, and whether it goes.
        let cases = [(true, device, false), (false, device + 1, false), (false, device, true)];
        for (mounted, device, goes) in cases {
            let dir = root.path.join("pod");
            fs::create_dir_all(dir.join("volumes/v")).unwrap();
            fs::write(dir.join("volumes/v/data"), "precious").unwrap();
            let mounts = if mounted { vec![dir.join("volumes/v")] } else { vec![] };
            assert_eq!(remove_own(&dir, &mounts, device).is_ok(), goes, "{mounted} {device}");
            assert_eq!(!dir.join("volumes/v/data").exists(), goes, "{mounted} {device}");
        }
        assert!(remove_own(&root.path.join("none"), &[], device).is_ok(), "nothing is there");
    }
}
