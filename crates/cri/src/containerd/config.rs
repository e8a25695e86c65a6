//! Where a daemon keeps what, and its `config.toml`.
//!
//! The file is in configuration version 2, which containerd 1.6, 1.7 and 2.x read.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{DaemonError, Options, find_program};
use crate::image::PAUSE_NAME;

/// A unix socket's path with room for the `.ttrpc` that containerd appends to its own.
const SOCKET_LIMIT_BYTES: usize = 107 - ".ttrpc".len();
/// `f_type` of overlayfs, which cannot carry another overlay's upper directory.
const OVERLAYFS_SUPER_MAGIC: u64 = 0x794c_7630;

/// Which OCI runtime runs containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OciRuntime {
    /// runc when installed, else crun.
    #[default]
    Auto,
    /// runc.
    Runc,
    /// crun: starts pods faster.
    Crun,
}

/// Another place to pull the images of a registry from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryMirror {
    /// Host (and port) as it stands in image names, e.g. `registry.test`.
    pub host: String,
    /// Where to ask instead, e.g. `http://127.0.0.1:5000`.
    pub url: String,
}

/// The paths of one daemon.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub dir: PathBuf,
    pub config: PathBuf,
    pub log: PathBuf,
    pub root: PathBuf,
    pub certs: PathBuf,
    /// Short-lived things: state, mounts, sockets.
    pub run: PathBuf,
    pub state: PathBuf,
    pub socket: PathBuf,
}

impl Layout {
    /// The run directory is `dir/run`, or `/run/corten-<hash of dir>` when a socket below `dir`
    /// would have too long a name.
    pub fn new(dir: &Path) -> Self {
        let mut run = dir.join("run");
        if run.join("containerd.sock").as_os_str().len() > SOCKET_LIMIT_BYTES {
            let mut hash = String::new();
            for byte in &Sha256::digest(dir.as_os_str().as_encoded_bytes())[..6] {
                hash.push_str(&format!("{byte:02x}"));
            }
            run = PathBuf::from(format!("/run/corten-{hash}"));
        }
        Self {
            dir: dir.to_owned(),
            config: dir.join("config.toml"),
            log: dir.join("containerd.log"),
            root: dir.join("root"),
            certs: dir.join("certs.d"),
            state: run.join("state"),
            socket: run.join("containerd.sock"),
            run,
        }
    }
}

/// What was found on this host and chosen by the caller.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub containerd: PathBuf,
    pub runtimes: Vec<(&'static str, PathBuf)>,
    pub snapshotter: &'static str,
    pub sandbox_image: String,
    pub restrict_oom_score_adj: bool,
    pub cni_bin_dir: PathBuf,
    pub cni_conf_dir: PathBuf,
    pub registries: Vec<RegistryMirror>,
}

impl Settings {
    /// Looks for the programs and at the host's abilities.
    ///
    /// Errors: containerd, its shim or the OCI runtime is not installed.
    pub fn detect(options: &Options) -> Result<Self, DaemonError> {
        let missing = |program, package| DaemonError::Missing { program, package };
        let containerd = find_program("containerd").ok_or(missing("containerd", "containerd"))?;
        find_program("containerd-shim-runc-v2").ok_or(missing("containerd-shim-runc-v2", "containerd"))?;
        find_program("setsid").ok_or(missing("setsid", "util-linux"))?;
        Ok(Self {
            containerd,
            runtimes: find_runtimes(options.runtime)?,
            snapshotter: snapshotter(&options.dir),
            sandbox_image: options.sandbox_image.clone().unwrap_or_else(|| PAUSE_NAME.into()),
            restrict_oom_score_adj: !has_cap_sys_resource(),
            cni_bin_dir: options.cni_bin_dir.clone().unwrap_or_else(default_cni_bin_dir),
            cni_conf_dir: options.cni_conf_dir.clone(),
            registries: options.registries.clone(),
        })
    }

    /// The daemon's `config.toml`.
    pub fn render(&self, layout: &Layout) -> String {
        let mut text = String::from("# Written anew at every start; changes are lost.\nversion = 2\n");
        let mut line = |key: &str, value: String| {
            let _ = writeln!(text, "{key} = {value}");
        };
        line("root", path(&layout.root));
        line("state", path(&layout.state));
        // opt makes /opt/containerd; the others need what we do not use and only log errors.
        line("disabled_plugins", disabled_plugins());
        line("\n[grpc]\naddress", path(&layout.socket));
        line("\n[debug]\nlevel", quote("info"));
        line("\n[plugins.\"io.containerd.grpc.v1.cri\"]\nsandbox_image", quote(&self.sandbox_image));
        line("disable_apparmor", "true".into());
        line("restrict_oom_score_adj", self.restrict_oom_score_adj.to_string());
        line("netns_mounts_under_state_dir", "true".into());
        line("enable_unprivileged_ports", "true".into());
        line("enable_unprivileged_icmp", "true".into());
        line("stream_server_address", quote("127.0.0.1"));
        line("stream_server_port", quote("0"));
        line("\n[plugins.\"io.containerd.grpc.v1.cri\".cni]\nbin_dir", path(&self.cni_bin_dir));
        line("conf_dir", path(&self.cni_conf_dir));
        line("max_conf_num", "1".into());
        line("\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path", path(&layout.certs));
        let containerd = "\n[plugins.\"io.containerd.grpc.v1.cri\".containerd";
        line(&format!("{containerd}]\nsnapshotter"), quote(self.snapshotter));
        line("default_runtime_name", quote(self.runtimes[0].0));
        for (name, program) in &self.runtimes {
            line(&format!("{containerd}.runtimes.{name}]\nruntime_type"), quote("io.containerd.runc.v2"));
            line(&format!("{containerd}.runtimes.{name}.options]\nBinaryName"), path(program));
            line("SystemdCgroup", "false".into());
            line("Root", path(&layout.run.join(name)));
        }
        text
    }

    /// `(path below certs.d, content)` for every registry.
    pub fn render_registries(&self) -> Vec<(PathBuf, String)> {
        self.registries
            .iter()
            .map(|mirror| {
                let url = quote(&mirror.url);
                let content =
                    format!("server = {url}\n\n[host.{url}]\ncapabilities = [\"pull\", \"resolve\"]\n");
                // A colon is fine in a directory's name here: containerd looks for host:port.
                (Path::new(&mirror.host).join("hosts.toml"), content)
            })
            .collect()
    }
}

fn disabled_plugins() -> String {
    let names = [
        "io.containerd.internal.v1.opt",
        "io.containerd.internal.v1.tracing",
        "io.containerd.tracing.processor.v1.otlp",
        "io.containerd.snapshotter.v1.aufs",
        "io.containerd.snapshotter.v1.btrfs",
        "io.containerd.snapshotter.v1.devmapper",
        "io.containerd.snapshotter.v1.zfs",
    ];
    format!("[{}]", names.map(quote).join(", "))
}

fn path(path: &Path) -> String {
    quote(&path.to_string_lossy())
}

/// A TOML basic string.
fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The default runtime first, then the other one if it is installed, as a handler of its own.
fn find_runtimes(choice: OciRuntime) -> Result<Vec<(&'static str, PathBuf)>, DaemonError> {
    let find = |name: &'static str| find_program(name).map(|path| (name, path));
    let (runc, crun) = (find("runc"), find("crun"));
    let (first, second) = match choice {
        OciRuntime::Auto | OciRuntime::Runc => (runc, crun),
        OciRuntime::Crun => (crun, runc),
    };
    match (choice, first, second) {
        (OciRuntime::Auto, None, Some(only)) => Ok(vec![only]),
        (_, Some(first), second) => Ok([Some(first), second].into_iter().flatten().collect()),
        (OciRuntime::Crun, None, _) => Err(DaemonError::Missing { program: "crun", package: "crun" }),
        (_, None, _) => Err(DaemonError::Missing { program: "runc", package: "runc" }),
    }
}

/// overlayfs, except on a directory that itself is in an overlay.
fn snapshotter(dir: &Path) -> &'static str {
    let existing = dir.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("/"));
    match rustix::fs::statfs(existing) {
        Ok(stat) if stat.f_type as u64 == OVERLAYFS_SUPER_MAGIC => "native",
        _ => "overlayfs",
    }
}

fn default_cni_bin_dir() -> PathBuf {
    let upstream = Path::new("/opt/cni/bin");
    let debian = Path::new("/usr/lib/cni");
    if upstream.join("bridge").exists() || !debian.exists() { upstream.into() } else { debian.into() }
}

/// Without it, no process may lower its `oom_score_adj`.
fn has_cap_sys_resource() -> bool {
    const CAP_SYS_RESOURCE: u32 = 24;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    effective_capabilities(&status) & (1 << CAP_SYS_RESOURCE) != 0
}

fn effective_capabilities(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_directories_get_a_short_run_directory() {
        let short = Layout::new(Path::new("/var/lib/corten/containerd"));
        assert_eq!(short.socket, Path::new("/var/lib/corten/containerd/run/containerd.sock"));
        let deep = PathBuf::from(format!("/{}", "d".repeat(90)));
        let long = Layout::new(&deep);
        assert!(long.socket.starts_with("/run"), "{}", long.socket.display());
        assert!(long.socket.as_os_str().len() <= SOCKET_LIMIT_BYTES);
        assert_ne!(long.run, Layout::new(&deep.join("x")).run);
        assert_eq!(long.root, deep.join("root"));
    }

    #[test]
    fn config_has_what_was_chosen() {
        let settings = Settings {
            containerd: "/usr/bin/containerd".into(),
            runtimes: vec![("crun", "/usr/bin/crun".into()), ("runc", "/usr/sbin/runc".into())],
            snapshotter: "overlayfs",
            sandbox_image: "a/b:\"1".into(),
            restrict_oom_score_adj: true,
            cni_bin_dir: "/usr/lib/cni".into(),
            cni_conf_dir: "/d/cni".into(),
            registries: vec![RegistryMirror {
                host: "registry.test".into(),
                url: "http://127.0.0.1:5000".into(),
            }],
        };
        let text = settings.render(&Layout::new(Path::new("/d")));
        for want in [
            "version = 2\nroot = \"/d/root\"\nstate = \"/d/run/state\"\n",
            "sandbox_image = \"a/b:\\\"1\"\n",
            "restrict_oom_score_adj = true\n",
            "default_runtime_name = \"crun\"\n",
            "containerd.runtimes.runc.options]\nBinaryName = \"/usr/sbin/runc\"\n",
            "config_path = \"/d/certs.d\"\n",
        ] {
            assert!(text.contains(want), "{want} is not in\n{text}");
        }
        let (path, hosts) = settings.render_registries().remove(0);
        assert_eq!(path, Path::new("registry.test/hosts.toml"));
        assert!(hosts.contains("[host.\"http://127.0.0.1:5000\"]"), "{hosts}");
    }

    #[test]
    fn capabilities_are_read_from_status() {
        assert_eq!(effective_capabilities("Name:\tx\nCapEff:\t0000000001000001\n"), 0x100_0001);
        assert_eq!(effective_capabilities("Name:\tx\n"), 0);
    }
}
