//! A whole cluster for end-to-end tests: a network namespace that plays a machine, a registry with the example's
//! image, the `corten` binary, and kubectl to talk to it.
//!
//! At the end, also after a panic, everything is stopped, and it is checked that nothing was left behind.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};

use crate::image::{webapp_image, workspace};
use crate::kubectl::Kubectl;
use crate::netns::Netns;
use crate::registry::Registry;
use crate::wait::{Output, Running, run, try_for, wait_for};

/// Address of the namespace's one host.
pub const HOST: &str = "192.0.2.1";
/// Name of a cluster's node.
pub const NODE: &str = "node-1";
/// Clusters that run at the same time on one machine.
const SLOTS: usize = 2;
/// How long `corten up` may take until the cluster is usable.
const UP_LIMIT_S: u64 = 120;
/// How long one kubectl may take, unless a test says otherwise.
pub const KUBECTL_LIMIT: Duration = Duration::from_secs(120);
/// Lines of a log that are shown after a failure.
const TAIL_LINES: usize = 120;

/// Longest answer read by [`http`].
const ANSWER_LIMIT_BYTES: usize = 1024 * 1024;

/// What is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `corten up --detach`: control plane and one node.
    Up,
    /// `corten kube-apiserver`.
    ApiServer,
    /// `corten server`: a control plane without a node.
    Server,
}

/// The right to run one of the few clusters that the machine carries at a time. Held by all test processes in
/// common, through file locks.
#[derive(Debug)]
struct Slot(#[allow(dead_code, reason = "the lock is the open file")] File);

impl Slot {
    fn take() -> Result<Self> {
        let open = |n| {
            let path = std::env::temp_dir().join(format!("corten-test-slot-{n}"));
            File::options().create(true).truncate(false).write(true).open(&path).context("slot file")
        };
        let files = (0..SLOTS).map(open).collect::<Result<Vec<_>>>()?;
        let mut files: Vec<Option<File>> = files.into_iter().map(Some).collect();
        let taken = try_for("a free cluster slot", Duration::from_secs(1800), || {
            for file in &mut files {
                let free = |f: &File| flock(f, FlockOperation::NonBlockingLockExclusive).is_ok();
                if file.as_ref().is_some_and(free) {
                    return file.take().ok_or_else(String::new);
                }
            }
            Err("all are taken".to_owned())
        });
        taken.map(Self).map_err(anyhow::Error::msg)
    }
}

/// A running cluster. [`Cluster::down`] ends and checks it; a drop without it (a failed test) does the same and
/// shows the ends of its logs.
#[derive(Debug)]
pub struct Cluster {
    program: PathBuf,
    mode: Mode,
    /// More flags for the server.
    flags: Vec<String>,
    dir: PathBuf,
    registry: Option<Registry>,
    server: Option<Running>,
    is_down: bool,
    netns: Netns,
    // Last, so that it is given back when the rest is gone.
    _slot: Slot,
}

impl Cluster {
    /// Starts `program` (the `corten` binary) and waits until the cluster is usable.
    ///
    /// # Errors
    /// When something of the machine is missing, or it is not usable in time; the end of its log is shown.
    pub fn start(program: impl Into<PathBuf>, mode: Mode) -> Result<Self> {
        let mut this = Self::prepare(program, mode)?;
        this.start_server()?;
        Ok(this)
    }

    /// Everything but the server; images are served where pods can be.
    ///
    /// # Errors
    /// When something of the machine is missing.
    pub fn prepare(program: impl Into<PathBuf>, mode: Mode) -> Result<Self> {
        let slot = Slot::take()?;
        let dir = std::env::temp_dir().join(crate::unique("ct"));
        std::fs::create_dir_all(dir.join("home")).with_context(|| dir.display().to_string())?;
        let netns = Netns::new("ct")?;
        for setting in ["net/ipv4/ip_forward=1", "net/bridge/bridge-nf-call-iptables=1"] {
            let (name, value) = setting.split_once('=').unwrap_or((setting, "1"));
            let path = Path::new("/proc/sys").join(name);
            // Not every kernel has bridge filtering; the cluster itself sets what it needs.
            netns.inside(|| drop(std::fs::write(&path, value)))?;
        }
        let (registry, server) = (None, None);
        let (program, flags) = (program.into(), Vec::new());
        let mut this =
            Self { program, mode, flags, dir, registry, server, is_down: false, netns, _slot: slot };
        if mode != Mode::ApiServer {
            this.serve_images()?;
        }
        Ok(this)
    }

    /// Runs pods on a runtime that is there, in place of Corten's own containerd.
    pub fn use_runtime(&mut self, endpoint: &str) {
        self.flags.extend(["--container-runtime-endpoint".to_owned(), endpoint.to_owned()]);
    }

    /// Where the cluster's images can be pulled from in its namespace.
    #[must_use]
    pub fn registry_url(&self) -> Option<String> {
        self.registry.as_ref().map(Registry::url)
    }

    fn serve_images(&mut self) -> Result<()> {
        let dir = self.dir.join("registry");
        let image = webapp_image()?;
        let registry = Registry::start(&dir, Some(&self.netns))?;
        let url = registry.url();
        self.netns.inside(|| -> Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(crate::registry::push(&url, &image, "webapp", "1"))
        })??;
        self.registry = Some(registry);
        Ok(())
    }

    /// Where the cluster's state is.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// A directory for the test's own files; it goes with the cluster.
    #[must_use]
    pub fn scratch(&self) -> &Path {
        &self.dir
    }

    /// The admin's kubeconfig.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.state().join("admin.kubeconfig")
    }

    /// The machine that the cluster runs on.
    #[must_use]
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// Ends the registry: nothing can be pulled any more.
    pub fn stop_registry(&mut self) {
        self.registry = None;
    }

    /// A program in the cluster's namespace, with a home of its own, the admin's kubeconfig and no proxies.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let mut command = self.netns.command(&program.to_string_lossy());
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
            command.env_remove(name).env_remove(name.to_ascii_lowercase());
        }
        command.env("HOME", self.dir.join("home")).env("KUBECONFIG", self.kubeconfig());
        command.current_dir(workspace());
        command
    }

    /// The binary with the flags of this cluster.
    #[must_use]
    pub fn server_command(&self) -> Command {
        let mut command = self.command(&self.program);
        match self.mode {
            Mode::Up => {
                command.args(["up", "--detach", "--node-name", NODE, "--wait", &UP_LIMIT_S.to_string()]);
                // A runtime that was there has its own mirrors.
                if let Some(registry) = self.registry.as_ref().filter(|_| self.flags.is_empty()) {
                    command.arg("--registry-mirror").arg(format!("registry.test={}", registry.url()));
                }
            }
            Mode::ApiServer => {
                command.args(["kube-apiserver", "--bind-address", "127.0.0.1"]);
            }
            Mode::Server => {
                command.arg("server");
            }
        }
        command.args(&self.flags).arg("--secure-port").arg("6443").arg("--state-dir").arg(self.state());
        command
    }

    /// Starts the server (again) and waits until it is usable.
    ///
    /// # Errors
    /// When it ends or is not usable in time.
    pub fn start_server(&mut self) -> Result<()> {
        let command = self.server_command();
        if self.mode == Mode::Up {
            let output = run(command, b"", Duration::from_secs(UP_LIMIT_S + 30));
            if output.code != Some(0) {
                bail!("{output}");
            }
            return Ok(());
        }
        let kubectl = crate::kubectl::newest()?;
        let mut server = Running::start(command);
        let ready = try_for("a server that is ready", Duration::from_secs(30), || {
            if server.has_ended() {
                return Ok(false);
            }
            if !self.kubeconfig().exists() {
                return Err("no kubeconfig".to_owned());
            }
            let answer = self.kubectl(&kubectl, &["get", "--raw", "/readyz", "--request-timeout=5s"]);
            if answer.code == Some(0) { Ok(true) } else { Err(answer.to_string()) }
        });
        match ready {
            Ok(true) => {
                self.server = Some(server);
                Ok(())
            }
            Ok(false) => bail!("{}", server.finish(Duration::from_secs(1))),
            Err(message) => bail!("{message}\n{}", server.kill()),
        }
    }

    /// The process id of the server.
    #[must_use]
    pub fn server_pid(&self) -> Option<i32> {
        match &self.server {
            // nsenter has replaced itself by the server.
            Some(server) => i32::try_from(server.pid()).ok(),
            None => std::fs::read_to_string(self.state().join("corten.pid")).ok()?.trim().parse().ok(),
        }
    }

    /// Kills the server with SIGKILL; what it has started stays.
    ///
    /// # Errors
    /// When none runs.
    pub fn kill_server(&mut self) -> Result<()> {
        let pid = self.server_pid().context("no server runs")?;
        kill(pid)?;
        if let Some(server) = self.server.take() {
            let _ = server.finish(Duration::from_secs(5));
        }
        Ok(())
    }

    /// Stops the server with SIGTERM and waits for its end: its exit code and what it said. Only for
    /// [`Mode::ApiServer`].
    ///
    /// # Errors
    /// When none runs.
    pub fn stop_server(&mut self) -> Result<Output> {
        let server = self.server.take().context("no server runs")?;
        let pid = i32::try_from(server.pid()).ok().and_then(Pid::from_raw).context("no process id")?;
        kill_process(pid, Signal::TERM)?;
        Ok(server.finish(Duration::from_secs(30)))
    }

    /// The process id of the cluster's containerd.
    #[must_use]
    pub fn containerd_pid(&self) -> Option<i32> {
        let config = self.state().join("containerd/config.toml");
        let config = config.to_string_lossy().into_owned();
        processes().into_iter().find_map(|(pid, words)| {
            let named = words.first().is_some_and(|w| w.ends_with("containerd"));
            (named && words.contains(&config)).then_some(pid)
        })
    }

    /// Runs kubectl with the words.
    #[must_use]
    pub fn kubectl(&self, kubectl: &Kubectl, words: &[&str]) -> Output {
        self.kubectl_with(kubectl, words, b"", KUBECTL_LIMIT)
    }

    /// The same with stdin and a time limit.
    #[must_use]
    pub fn kubectl_with(&self, kubectl: &Kubectl, words: &[&str], stdin: &[u8], limit: Duration) -> Output {
        run(self.kubectl_command(kubectl, words), stdin, limit)
    }

    /// kubectl with the words, not yet run.
    #[must_use]
    pub fn kubectl_command(&self, kubectl: &Kubectl, words: &[&str]) -> Command {
        let mut command = self.command(&kubectl.path);
        command.args(words);
        command
    }

    /// Stops everything and checks that nothing is left.
    ///
    /// # Errors
    /// What could not be stopped, or was left behind.
    pub fn down(mut self) -> Result<()> {
        self.is_down = true;
        self.remove()
    }

    fn remove(&mut self) -> Result<()> {
        let cgroup = self.cgroup();
        if self.server.is_some() {
            self.kill_server()?;
        }
        let mut down = self.command(&self.program);
        down.args(["down", "--purge", "--state-dir"]).arg(self.state());
        let output = run(down, b"", Duration::from_secs(120));
        self.registry = None;
        let left = self.left_behind(cgroup.as_deref());
        if output.code != Some(0) {
            bail!("{output}\nleft behind: {left:?}");
        }
        if !left.is_empty() {
            bail!("left behind by corten down --purge:\n{}", left.join("\n"));
        }
        std::fs::remove_dir_all(&self.dir).with_context(|| format!("remove {}", self.dir.display()))
    }

    /// The pods' common cgroup, as the server has noted it.
    fn cgroup(&self) -> Option<String> {
        let settings = std::fs::read(self.state().join("settings.json")).ok()?;
        let settings: serde_json::Value = serde_json::from_slice(&settings).ok()?;
        settings["cgroup"].as_str().map(|name| name.trim_matches('/').to_owned()).filter(|n| !n.is_empty())
    }

    /// Processes, mounts, cgroups, links, packet rules and files that should have gone.
    fn left_behind(&self, cgroup: Option<&str>) -> Vec<String> {
        let mut left = Vec::new();
        let dir = self.dir.to_string_lossy().into_owned();
        for (pid, words) in processes() {
            let of_dir = words.iter().any(|word| word.contains(&dir));
            let cgroups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
            let of_cgroup = cgroup.is_some_and(|name| cgroups.contains(name));
            if of_dir || of_cgroup {
                left.push(format!("process {pid}: {}", words.join(" ")));
            }
        }
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        left.extend(mounts.lines().filter(|l| l.contains(&dir)).map(|l| format!("mount {l}")));
        if let (Some(name), Ok(roots)) = (cgroup, std::fs::read_dir("/sys/fs/cgroup")) {
            let roots = roots.flatten().map(|root| root.path()).chain([PathBuf::from("/sys/fs/cgroup")]);
            left.extend(roots.map(|r| r.join(name)).filter(|p| p.exists()).map(|p| p.display().to_string()));
        }
        let mut links = self.netns.command("ip");
        links.args(["-o", "link"]);
        let links = run(links, b"", Duration::from_secs(10));
        let strange = |line: &&str| ![": lo:", ": uplink:"].iter().any(|known| line.contains(known));
        left.extend(links.stdout.lines().filter(strange).map(|l| format!("link {l}")));
        let mut tables = self.netns.command("nft");
        tables.args(["list", "tables"]);
        let tables = run(tables, b"", Duration::from_secs(10));
        // Tables of iptables-nft appear by being looked at; those of the cluster have names of their own.
        let ours = tables.stdout.lines().filter(|l| l.contains("kube") || l.contains("corten"));
        left.extend(ours.map(|l| format!("packet rules: {l}")));
        if self.state().exists() {
            left.push(format!("directory {}", self.state().display()));
        }
        left
    }

    /// Does what a power cut and a boot do: processes, mounts, cgroups, links and rules of the cluster are gone, files
    /// stay, and the boot has another id than the one that the server has noted.
    ///
    /// # Errors
    /// When something stays.
    pub fn reboot(&mut self) -> Result<()> {
        let path = self.state().join("settings.json");
        let mut settings: serde_json::Value = serde_json::from_slice(&std::fs::read(&path)?)?;
        let cgroup = self.cgroup().context("no cgroup was noted")?;
        let bridge = settings["bridge"].as_str().context("no bridge was noted")?.to_owned();
        let state = self.state().to_string_lossy().into_owned();
        for (pid, words) in processes() {
            let cgroups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
            if words.iter().any(|word| word.contains(&state)) || cgroups.contains(&cgroup) {
                // One may take others with it.
                let _ = kill(pid);
            }
        }
        cri::containerd::unmount_below(&[&self.state()])?;
        cri::containerd::remove_cgroup_tree(&cgroup)?;
        for words in [&["ip", "link", "delete", &bridge][..], &["nft", "flush", "ruleset"]] {
            let mut command = self.netns.command(words[0]);
            command.args(&words[1..]);
            let output = run(command, b"", Duration::from_secs(10));
            if output.code != Some(0) {
                bail!("{output}");
            }
        }
        settings["boot_id"] = "00000000-0000-0000-0000-000000000000".into();
        std::fs::write(&path, serde_json::to_vec(&settings)?)?;
        Ok(())
    }

    /// What runs or is set up on the machine for this cluster now, its files and the test's registry excepted.
    #[must_use]
    pub fn left_running(&self) -> Vec<String> {
        let mut left = self.left_behind(self.cgroup().as_deref());
        let registry = self.dir.join("registry").to_string_lossy().into_owned();
        left.retain(|line| !line.starts_with("directory") && !line.contains(&registry));
        left
    }

    /// The ends of the cluster's logs.
    #[must_use]
    pub fn logs(&self) -> String {
        let mut text = String::new();
        for name in ["corten.log", "containerd/containerd.log"] {
            let log = std::fs::read(self.state().join(name)).unwrap_or_default();
            if log.is_empty() {
                continue;
            }
            let log = String::from_utf8_lossy(&log).into_owned();
            let lines: Vec<&str> = log.lines().collect();
            let count = if name == "corten.log" { TAIL_LINES } else { TAIL_LINES / 4 };
            let tail = lines[lines.len().saturating_sub(count)..].join("\n");
            text.push_str(&format!("---- the end of {name}:\n{tail}\n"));
        }
        text
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.is_down {
            return;
        }
        eprintln!("{}", self.logs());
        if let Err(error) = self.remove() {
            eprintln!("testkit: removing the cluster: {error:#}");
            if let Err(error) = crate::sweep(&self.dir) {
                eprintln!("testkit: {error:#}");
            }
        }
    }
}

/// Kills a process with SIGKILL and waits until it is gone.
///
/// # Errors
/// When there is none.
pub fn kill(pid: i32) -> Result<()> {
    let process = Pid::from_raw(pid).context("no process id")?;
    kill_process(process, Signal::KILL).with_context(|| format!("kill {pid}"))?;
    wait_for(&format!("the end of process {pid}"), Duration::from_secs(10), || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        if status.is_empty() || status.contains("State:\tZ") { Ok(()) } else { Err("it runs".to_owned()) }
    });
    Ok(())
}

/// All processes of the machine with their words.
fn processes() -> Vec<(i32, Vec<String>)> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let read = |entry: std::fs::DirEntry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let bytes = std::fs::read(entry.path().join("cmdline")).ok()?;
        let words = bytes.split(|b| *b == 0).map(|w| String::from_utf8_lossy(w).into_owned()).collect();
        Some((pid, words))
    };
    entries.flatten().filter_map(read).collect()
}

/// Whether the bytes are an answer with as long a body as its head says.
fn is_whole(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let lengths = head.lines().filter_map(|line| line.split_once(':'));
    let mut lengths = lengths.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = lengths.next().and_then(|(_, value)| value.trim().parse::<usize>().ok());
    length.is_some_and(|length| body.len() >= length)
}

/// One HTTP request from the namespace's host on a connection of its own: status and body.
///
/// # Errors
/// What went wrong, in words.
pub fn http(method: &str, address: &str, path: &str, limit: Duration) -> Result<(u16, String)> {
    use std::io::{Read, Write};
    let address = address.parse().with_context(|| address.to_owned())?;
    let mut stream = std::net::TcpStream::connect_timeout(&address, limit).context("connect")?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )?;
    let (mut bytes, mut chunk) = (Vec::new(), [0; 8192]);
    // The answer ends where its head says; not every road passes on the end of the connection at once.
    while !is_whole(&bytes) && bytes.len() < ANSWER_LIMIT_BYTES {
        match stream.read(&mut chunk).context("read")? {
            0 => break,
            n => bytes.extend_from_slice(&chunk[..n]),
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").with_context(|| format!("no whole answer: {text:?}"))?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).context("no status")?;
    Ok((status, body.to_owned()))
}
