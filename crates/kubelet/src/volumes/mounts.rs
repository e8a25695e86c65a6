//! The mounts of one container: its volumes, /etc/hosts, the termination message file.
// k8s: pkg/kubelet/kubelet_pods.go makeMounts

use std::path::{Path, PathBuf};

use cri::v1;
use k8s_openapi::api::core::v1::{Container, Pod, VolumeMount};

use super::{Volumes, make_dir, mounts_below, subpath};
use crate::error::{Error, Result};
use crate::spec::container::{DEFAULT_MESSAGE_PATH, is_wholly_read_only};
use crate::spec::expand::expand;
use crate::spec::{PodExt, hosts};

/// What mounts are made with, beside the specs.
pub struct Asked<'a> {
    /// For subPathExpr.
    pub env: &'a [(String, String)],
    /// The pod's addresses.
    pub ips: &'a [String],
    /// The runtime can make mounts read-only with all below them.
    pub recursive: bool,
}

impl Volumes {
    /// All mounts of a container about to be made.
    ///
    /// # Errors
    /// [`Error::Config`] for what the spec has wrong, [`Error::Io`] for what the machine refuses.
    pub fn container_mounts(
        &self,
        pod: &Pod,
        container: &Container,
        asked: &Asked<'_>,
        restart_count: u32,
    ) -> Result<Vec<v1::Mount>> {
        let mut out = Vec::new();
        for (i, m) in container.volume_mounts.iter().flatten().enumerate() {
            out.push(self.volume_mount(pod, container, m, i, asked)?);
        }
        let taken = |out: &[v1::Mount], path: &str| {
            out.iter().any(|m| m.container_path.trim_end_matches('/') == path)
        };
        if !taken(&out, "/etc/hosts") {
            out.push(plain("/etc/hosts", &self.hosts_file(pod, asked.ips)?));
        }
        let path = container.termination_message_path.as_deref().unwrap_or(DEFAULT_MESSAGE_PATH);
        if !path.is_empty() && !taken(&out, path) {
            out.push(plain(path, &self.message_file(pod, container, restart_count)?));
        }
        Ok(out)
    }

    fn volume_mount(
        &self,
        pod: &Pod,
        container: &Container,
        m: &VolumeMount,
        index: usize,
        asked: &Asked<'_>,
    ) -> Result<v1::Mount> {
        let volume = pod.sp().volumes.iter().flatten().find(|v| v.name == m.name).ok_or_else(|| {
            Error::Config(format!(
                "cannot find volume \"{}\" to mount into container \"{}\"",
                m.name, container.name
            ))
        })?;
        let root = self.path(pod, volume);
        let sub = sub_path(m, asked.env)?;
        let host = if sub.is_empty() {
            if volume.host_path.is_some() && !root.exists() {
                // The runtime would refuse; upstream makes an empty directory.
                make_dir(&root, 0o755)?;
            }
            root
        } else {
            let at = self
                .config
                .pod_dir(pod.uid())
                .join("volume-subpaths")
                .join(&m.name)
                .join(&container.name)
                .join(index.to_string());
            let fd = subpath::open(&root, &sub)?;
            for old in mounts_below(&at)?.into_iter().filter(|p| *p == at) {
                let _ = nix::mount::umount2(&old, nix::mount::MntFlags::MNT_DETACH);
            }
            subpath::bind(&fd, &at)?;
            at
        };
        let propagation = match m.mount_propagation.as_deref() {
            Some("HostToContainer") => v1::MountPropagation::PropagationHostToContainer,
            Some("Bidirectional") => v1::MountPropagation::PropagationBidirectional,
            _ => v1::MountPropagation::PropagationPrivate,
        };
        let container_path =
            if m.mount_path.starts_with('/') { m.mount_path.clone() } else { format!("/{}", m.mount_path) };
        let written_by_us = volume.config_map.is_some()
            || volume.secret.is_some()
            || volume.projected.is_some()
            || volume.downward_api.is_some();
        Ok(v1::Mount {
            container_path,
            host_path: host.to_string_lossy().into_owned(),
            readonly: m.read_only.unwrap_or(false) || written_by_us,
            recursive_read_only: is_wholly_read_only(m, asked.recursive).map_err(Error::Config)?,
            propagation: propagation as i32,
            ..Default::default()
        })
    }

    fn hosts_file(&self, pod: &Pod, ips: &[String]) -> Result<PathBuf> {
        let path = self.config.pod_dir(pod.uid()).join("etc-hosts");
        let text = if pod.host_network() {
            hosts::of_host(pod, &std::fs::read_to_string("/etc/hosts").unwrap_or_default())
        } else {
            let (host, domain) = hosts::names(pod, &self.config.cluster_domain);
            hosts::managed(pod, ips, &host, &domain)
        };
        // Written in place: containers that run have this very file mounted.
        if std::fs::read_to_string(&path).is_ok_and(|have| have == text) {
            return Ok(path);
        }
        std::fs::write(&path, text).map_err(|e| Error::io(format!("write {}", path.display()), e))?;
        Ok(path)
    }

    fn message_file(&self, pod: &Pod, container: &Container, restart_count: u32) -> Result<PathBuf> {
        use std::os::unix::fs::PermissionsExt;
        let dir = self.config.pod_dir(pod.uid()).join("containers").join(&container.name);
        make_dir(&dir, 0o750)?;
        let path = dir.join(restart_count.to_string());
        let fail = |e: std::io::Error| Error::io(format!("create {}", path.display()), e);
        if let Some(old) = restart_count.checked_sub(3) {
            let _ = std::fs::remove_file(dir.join(old.to_string()));
        }
        std::fs::File::create(&path).map_err(fail)?;
        // Any user inside may write its last words.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).map_err(fail)?;
        Ok(path)
    }
}

fn plain(container_path: &str, host_path: &Path) -> v1::Mount {
    v1::Mount {
        container_path: container_path.to_owned(),
        host_path: host_path.to_string_lossy().into_owned(),
        ..Default::default()
    }
}

fn sub_path(m: &VolumeMount, env: &[(String, String)]) -> Result<String> {
    if let Some(e) = m.sub_path_expr.as_deref().filter(|e| !e.is_empty()) {
        let unknown = std::cell::Cell::new(false);
        let text = expand(e, |n| {
            let v = env.iter().find(|(k, _)| k == n).map(|(_, v)| v.clone());
            unknown.set(unknown.get() || v.is_none());
            v
        });
        if unknown.get() {
            return Err(Error::Config(format!("missing value for a variable of subPathExpr \"{e}\"")));
        }
        return check_sub_path(text);
    }
    check_sub_path(m.sub_path.clone().unwrap_or_default())
}

/// Refuses what would lead out of the volume, in upstream's words.
fn check_sub_path(path: String) -> Result<String> {
    if path.starts_with('/') {
        return Err(Error::Config(format!("error SubPath `{path}` must not be an absolute path")));
    }
    if path.split('/').any(|part| part == "..") {
        return Err(Error::Config(format!("unable to provision SubPath `{path}`: must not contain '..'")));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sub_paths_are_expanded() {
        let env = [("A".to_owned(), "x".to_owned())];
        let mount = |expr: &str| VolumeMount { sub_path_expr: Some(expr.into()), ..VolumeMount::default() };
        assert_eq!(sub_path(&mount("a/$(A)"), &env).unwrap(), "a/x");
        assert!(sub_path(&mount("$(B)"), &env).is_err());
        for (bad, why) in [("/$(A)", "must not be an absolute path"), ("a/../$(A)", "must not contain '..'")]
        {
            let error = sub_path(&mount(bad), &env).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(error.contains(why), "{bad}: {error}");
        }
        let plain = VolumeMount { sub_path: Some("p".into()), ..VolumeMount::default() };
        assert_eq!(sub_path(&plain, &env).unwrap(), "p");
    }
}
