//! A component of this binary as a child process: started, waited for, looked at, stopped. It must never outlive
//! the measurement.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use client::{Client, Endpoint, Kubeconfig, Remote};
use meta::{Request, Target, Verb};
use rustix::process::{Pid, Signal, kill_process};
use sys::{Clock, SystemClock};
use tokio::process::{Child, Command};

/// How long a child may take to become ready, and to stop.
const LIMIT: Duration = Duration::from_secs(60);
/// How often readiness is asked for.
const POLL: Duration = Duration::from_millis(2);
/// How much of a failed child's log is shown.
const TAIL_BYTES: usize = 2000;

/// A running child.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts this binary with arguments; its log goes to `<dir>/<name>.log`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(dir: &Path, name: &str, args: &[&str]) -> Result<Self> {
        Self::program(&std::env::current_exe().context("the path of this program")?, dir, name, args)
    }

    /// The same with any program.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn program(program: &Path, dir: &Path, name: &str, args: &[&str]) -> Result<Self> {
        let log = dir.join(format!("{name}.log"));
        let file = std::fs::File::options().create(true).append(true).open(&log)?;
        let child = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {} {}", program.display(), args.join(" ")))?;
        Ok(Process { child, log })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id().unwrap_or(0)
    }

    /// Fails when it has ended, with the end of its log.
    ///
    /// # Errors
    /// When it has ended.
    pub fn check(&mut self) -> Result<()> {
        let Some(status) = self.child.try_wait()? else { return Ok(()) };
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let mut from = text.len().saturating_sub(TAIL_BYTES);
        while !text.is_char_boundary(from) {
            from += 1;
        }
        bail!("a measured process has ended ({status}):\n{}", &text[from..])
    }

    /// Asks it to stop and waits.
    ///
    /// # Errors
    /// When it does not stop in time.
    pub async fn stop(mut self) -> Result<()> {
        if let Some(pid) = self.child.id().and_then(|p| i32::try_from(p).ok()).and_then(Pid::from_raw) {
            kill_process(pid, Signal::TERM)?;
        }
        match tokio::time::timeout(LIMIT, self.child.wait()).await {
            Ok(status) => status.map(drop).context("waiting for a measured process"),
            Err(_) => bail!("a measured process has not stopped in {} s", LIMIT.as_secs()),
        }
    }

    /// CPU used so far, user and system.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        cpu(self.pid()).unwrap_or_default()
    }

    /// Memory in MiB.
    #[must_use]
    pub fn rss_mib(&self) -> f64 {
        status_kib(self.pid(), "VmRSS:").unwrap_or(0) as f64 / 1024.0
    }

    /// The most memory since [`Process::reset_peak`], in MiB.
    #[must_use]
    pub fn peak_mib(&self) -> f64 {
        status_kib(self.pid(), "VmHWM:").unwrap_or(0) as f64 / 1024.0
    }

    /// Forgets the peak. Where the kernel does not let it, the peak is that of the whole life.
    pub fn reset_peak(&self) {
        let _ = std::fs::write(format!("/proc/{}/clear_refs", self.pid()), "5");
    }
}

/// The clock's ticks per second; fixed on Linux.
const TICKS: u64 = 100;

fn cpu(pid: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name is in parentheses and may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * (1000 / TICKS)))
}

fn status_kib(pid: u32, what: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|l| l.starts_with(what))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// A port that nobody listens on.
///
/// # Errors
/// When there is none.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// The processes that a server is made of; the first was started first.
pub struct Processes(Vec<Process>);

impl Processes {
    /// Another one.
    pub fn push(&mut self, process: Process) {
        self.0.push(process);
    }

    fn check(&mut self) -> Result<()> {
        self.0.iter_mut().try_for_each(Process::check)
    }

    /// Asks all to stop, the last first, and waits for each.
    ///
    /// # Errors
    /// When one does not stop in time.
    pub async fn stop(self) -> Result<()> {
        for process in self.0.into_iter().rev() {
            process.stop().await?;
        }
        Ok(())
    }

    /// CPU used so far by all, user and system.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        self.0.iter().map(Process::cpu).sum()
    }

    /// Memory of all in MiB.
    #[must_use]
    pub fn rss_mib(&self) -> f64 {
        self.0.iter().map(Process::rss_mib).sum()
    }

    /// The sum of what each took at its peak since [`Processes::reset_peak`], in MiB.
    #[must_use]
    pub fn peak_mib(&self) -> f64 {
        self.0.iter().map(Process::peak_mib).sum()
    }

    /// Forgets the peaks. Where the kernel does not let it, they are those of whole lives.
    pub fn reset_peak(&self) {
        self.0.iter().for_each(Process::reset_peak);
    }
}

/// A server that answers.
pub struct Server {
    pub process: Processes,
    /// Its admin's.
    kubeconfig: PathBuf,
    /// From its start until it was ready.
    pub ready: Duration,
}

impl Server {
    /// The API server alone.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn api(dir: &Path) -> Result<Self> {
        let state = dir.join("state");
        let port = free_port()?.to_string();
        let path = text(&state)?;
        let args =
            ["kube-apiserver", "--state-dir", &path, "--bind-address", "127.0.0.1", "--secure-port", &port];
        Self::own(dir, &state, &port, &args).await
    }

    /// The whole control plane in one process.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn control_plane(dir: &Path) -> Result<Self> {
        let state = dir.join("plane");
        let (port, dns) = (free_port()?.to_string(), free_port()?.to_string());
        let path = text(&state)?;
        let mut args = vec!["server", "--state-dir", &path, "--bind-address", "127.0.0.1"];
        args.extend(["--secure-port", &port, "--dns-port", &dns]);
        Self::own(dir, &state, &port, &args).await
    }

    async fn own(dir: &Path, state: &Path, port: &str, args: &[&str]) -> Result<Self> {
        let began = SystemClock.monotonic();
        let processes = vec![Process::start(dir, args[0], args)?];
        Self::ready(began, processes, port, state.join("admin.kubeconfig")).await
    }

    /// Waits until the processes, started at `began`, answer at the port.
    ///
    /// # Errors
    /// When one ends, or they do not become ready.
    pub async fn ready(
        began: Duration,
        processes: Vec<Process>,
        port: &str,
        kubeconfig: PathBuf,
    ) -> Result<Self> {
        let mut process = Processes(processes);
        let endpoint =
            Endpoint { server: format!("https://127.0.0.1:{port}"), insecure: true, ..Endpoint::default() };
        let probe = Remote::new(&endpoint, "corten-bench", Arc::new(SystemClock))?;
        loop {
            let asked = probe.send(Request::new(Verb::Get, Target::Path("/readyz".to_owned()))).await;
            if asked.is_ok_and(|r| r.code == 200) {
                break;
            }
            process.check()?;
            if SystemClock.monotonic().saturating_sub(began) > LIMIT {
                bail!("a measured server is not ready after {} s", LIMIT.as_secs());
            }
            tokio::time::sleep(POLL).await;
        }
        let ready = SystemClock.monotonic().saturating_sub(began);
        Ok(Server { process, kubeconfig, ready })
    }

    /// As many clients, each with a connection of its own, as the cluster's admin.
    ///
    /// # Errors
    /// When the admin's kubeconfig is not there or cannot be used.
    pub async fn clients(&self, count: usize) -> Result<Vec<Arc<Remote>>> {
        // It is written just after the server is ready.
        for _ in 0..1000 {
            if self.kubeconfig.exists() {
                break;
            }
            tokio::time::sleep(POLL).await;
        }
        clients(&self.kubeconfig, count)
    }
}

/// Clients with the credentials of a kubeconfig.
///
/// # Errors
/// When it cannot be used.
pub fn clients(kubeconfig: &Path, count: usize) -> Result<Vec<Arc<Remote>>> {
    let endpoint = Kubeconfig::read(kubeconfig)?.endpoint(None)?;
    let one = || Ok(Arc::new(Remote::new(&endpoint, "corten-bench", Arc::new(SystemClock))?));
    (0..count).map(|_| one()).collect()
}

/// A path as an argument.
///
/// # Errors
/// When it is not UTF-8.
pub fn text(path: &Path) -> Result<String> {
    Ok(path.to_str().context("the path is not UTF-8")?.to_owned())
}
