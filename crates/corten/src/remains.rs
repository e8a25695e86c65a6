//! What a node has put on the machine, noted before it is made: for `corten down`, and for the first start after a
//! boot.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use cri::containerd::{Options, RegistryMirror};
use serde::{Deserialize, Serialize};

use crate::state::StateDir;
use crate::whole_file;

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// What `corten down` must know of a node that was started from this state directory.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Remains {
    pub own_containerd: bool,
    /// The runtime that was there, when the node has no containerd of its own.
    pub runtime_endpoint: Option<String>,
    /// Where that runtime reads the CNI configuration that it was given by us.
    pub cni_conf_dir: Option<PathBuf>,
    pub bridge: String,
    pub cgroup: String,
    /// nft table of the Service rules.
    pub table: String,
    /// What `net.ipv4.conf.all.route_localnet` was before the first start.
    pub route_localnet: Option<String>,
    /// The boot in which it was made; empty: not known.
    pub boot_id: String,
}

/// The present boot of the machine; empty where the kernel does not say.
#[must_use]
pub fn boot_id() -> String {
    std::fs::read_to_string(BOOT_ID).unwrap_or_default().trim().to_owned()
}

impl Remains {
    /// Names that clusters on one machine must not share.
    #[must_use]
    pub fn new(state: &StateDir, runtime_endpoint: Option<String>) -> Self {
        Remains {
            own_containerd: runtime_endpoint.is_none(),
            runtime_endpoint,
            cni_conf_dir: None,
            bridge: format!("cni{}", state.id()),
            cgroup: format!("/corten-{}", state.id()),
            table: format!("corten-{}", state.id()),
            route_localnet: None,
            boot_id: boot_id(),
        }
    }

    /// What a former start noted; `None` when nothing was started here.
    ///
    /// # Errors
    /// When it is there and cannot be read: what runs is not known then.
    pub fn read(state: &StateDir) -> Result<Option<Self>> {
        let path = state.settings();
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e).with_context(|| path.display().to_string()),
        };
        let damaged = || {
            format!(
                "{} is damaged, so it is not known what runs here: delete that file and start the node once more with \
                 the flags it had ({}), which writes it anew",
                path.display(),
                state.command("up")
            )
        };
        let remains: Remains = serde_json::from_slice(&bytes).with_context(damaged)?;
        // Every start notes these.
        if remains.bridge.is_empty() || remains.cgroup.is_empty() {
            bail!(damaged());
        }
        Ok(Some(remains))
    }

    /// Notes it; whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, state: &StateDir) -> Result<()> {
        whole_file::write(&state.settings(), &serde_json::to_vec_pretty(self)?)
    }

    /// What `net.ipv4.conf.all.route_localnet` is to be set back to in the boot `now`: a boot has done that already.
    #[must_use]
    pub fn former_route_localnet(&self, now: &str) -> Option<&str> {
        self.route_localnet.as_deref().filter(|_| !self.is_of_another_boot(now))
    }

    /// Whether the machine was booted since: processes, mounts, links and rules are gone, files are not.
    #[must_use]
    pub fn is_of_another_boot(&self, now: &str) -> bool {
        !self.boot_id.is_empty() && !now.is_empty() && self.boot_id != now
    }

    /// How the own containerd of a state directory is run.
    #[must_use]
    pub fn containerd(&self, state: &StateDir, mirrors: Vec<RegistryMirror>) -> Options {
        let mut options = Options::new(containerd_dir(state));
        options.cni_conf_dir = cni_conf_dir(state);
        options.registries = mirrors;
        options.cgroup_parent = Some(self.cgroup.clone());
        options
    }

    /// The pods' network of a state directory, for its removal.
    #[must_use]
    pub fn network(&self, state: &StateDir) -> network::Options {
        network::Options {
            bridge: self.bridge.clone(),
            pod_cidrs: Vec::new(),
            mtu: None,
            conf_dir: self.cni_conf_dir.clone().unwrap_or_else(|| cni_conf_dir(state)),
            data_dir: state.path().join("kubelet/cni"),
            bin_dir: None,
            masquerade: true,
            cluster_cidrs: Vec::new(),
            netns: None,
        }
    }
}

/// The directory of the own containerd.
#[must_use]
pub fn containerd_dir(state: &StateDir) -> PathBuf {
    state.path().join("containerd")
}

/// Where the own containerd reads its CNI configuration.
#[must_use]
pub fn cni_conf_dir(state: &StateDir) -> PathBuf {
    state.path().join("cni/net.d")
}

/// Where CNI configurations are read when a runtime does not say.
#[must_use]
pub fn usual_cni_conf_dir() -> &'static Path {
    Path::new("/etc/cni/net.d")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_known_other_boot_counts() {
        let of = |boot_id: &str| Remains { boot_id: boot_id.to_owned(), ..Remains::default() };
        assert!(of("a").is_of_another_boot("b"));
        assert!(!of("a").is_of_another_boot("a"));
        assert!(!of("").is_of_another_boot("a"), "noted by an older version");
        assert!(!of("a").is_of_another_boot(""));
        assert_eq!(boot_id().len(), 36, "a kernel says it");
    }

    #[test]
    fn what_a_boot_has_set_back_is_not_set_back_again() {
        let noted =
            Remains { boot_id: "a".to_owned(), route_localnet: Some("0".to_owned()), ..Remains::default() };
        assert_eq!(noted.former_route_localnet("a"), Some("0"));
        assert_eq!(noted.former_route_localnet("b"), None);
        assert_eq!(Remains { route_localnet: None, ..noted }.former_route_localnet("a"), None);
    }

    #[test]
    fn a_damaged_note_is_an_error_and_not_nothing() {
        let dir = std::env::temp_dir().join(format!("corten-remains-{}", std::process::id()));
        let state = StateDir::open(&dir).unwrap();
        assert!(Remains::read(&state).unwrap().is_none(), "nothing was started");
        let noted = Remains::new(&state, None);
        noted.write(&state).unwrap();
        assert_eq!(Remains::read(&state).unwrap().unwrap().cgroup, noted.cgroup);
        let whole = std::fs::read(state.settings()).unwrap();
        for bytes in [b"".as_slice(), b"{", &whole[..whole.len() / 2], b"[]", b"{}"] {
            std::fs::write(state.settings(), bytes).unwrap();
            let error = Remains::read(&state).unwrap_err().to_string();
            assert!(error.contains("settings.json is damaged") && error.contains("corten up"), "{error}");
        }
        std::fs::remove_file(state.settings()).unwrap();
        std::fs::create_dir(state.settings()).unwrap();
        assert!(Remains::read(&state).is_err(), "it cannot be read");
        std::fs::remove_dir_all(dir).unwrap();
    }
}
