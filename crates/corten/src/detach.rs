//! `corten up --detach`: starts the server in a process group of its own, shows progress until the cluster is usable,
//! and says what to type next.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use client::Client;
use cri::image::{HELLO_NAME, HELLO_PORT};
use jiff::Timestamp;
use sys::{Clock, SystemClock};

use crate::claim::claim;
use crate::components::apiserver::nth_address;
use crate::control_plane::DNS_ADDRESS;
use crate::logging::say;
use crate::state::StateDir;
use crate::{cli, control_plane, host, images, log_file, node, probe, remote};

const POLL: Duration = Duration::from_millis(100);
/// Lines of the log that are shown when the server has ended.
const TAIL_LINES: usize = 15;

/// Starts the server in the background, waits for the cluster, and says what to type next.
///
/// # Errors
/// When the server ends, or the cluster is not usable in time.
pub fn up(o: &cli::Up) -> Result<()> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let state = start(o, &[], &Progress::begin(o.wait))?;
    let app = match runtime()?.block_on(images::has_example(&state)) {
        true => App { name: "hello", image: HELLO_NAME, port: HELLO_PORT },
        false => App { name: "web", image: "nginx", port: 80 },
    };
    let address = o.node.node_ip.unwrap_or_else(host::address);
    say(next_step(&[node::name(&o.node)], address, &state.admin_kubeconfig(), &app));
    Ok(())
}

/// Starts the server in the background, with `more` behind our own flags, and waits for the cluster.
///
/// # Errors
/// When the server ends, or the cluster is not usable in time.
pub fn start(o: &cli::Up, more: &[String], progress: &Progress) -> Result<StateDir> {
    let mut server = Server::claim("corten up", &o.place.state.state_dir, &o.node, more)?;
    progress.say(&format!("server started, log in {}", server.state.log().display()));
    runtime()?.block_on(server.until_usable(o, progress))?;
    Ok(server.state)
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// How long a start has taken, and may take.
pub struct Progress {
    started: Duration,
    limit: Duration,
}

impl Progress {
    /// The clock starts now.
    #[must_use]
    pub fn begin(limit_s: u64) -> Self {
        Progress { started: SystemClock.monotonic(), limit: Duration::from_secs(limit_s) }
    }

    fn elapsed(&self) -> Duration {
        SystemClock.monotonic().saturating_sub(self.started)
    }

    fn say(&self, what: &str) {
        say(format_args!("{:6.1} s  {what}", self.elapsed().as_secs_f64()));
        // Progress that nobody can read is no reason to stop.
        let _ = std::io::stdout().flush();
    }
}

/// A process in the background that has just been started.
pub struct Server {
    state: StateDir,
    child: Child,
    /// What its node has said before is of a former one.
    started: Timestamp,
}

impl Server {
    /// Starts ourselves again with our own flags and `more`, in this network.
    ///
    /// # Errors
    /// What is missing on the machine, or in the way.
    pub fn claim(what: &str, dir: &Path, o: &cli::Node, more: &[String]) -> Result<Self> {
        let (state, lock) = claim(what, dir, o)?;
        // Free it again for the child; a second start was refused here, in the foreground.
        drop(lock);
        let log = log_file::open(&state.log())?;
        let arguments = std::env::args_os().skip(1).filter(|a| a != "--detach");
        let mut command = Command::new(std::env::current_exe()?);
        command.args(arguments).args(more).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        command.process_group(0);
        let started = SystemClock.now();
        let child = command.spawn().context("starting the server")?;
        Ok(Server { state, child, started })
    }

    async fn until_usable(&mut self, o: &cli::Up, progress: &Progress) -> Result<()> {
        let client = loop {
            self.check_runs()?;
            if let Some(client) = self.api_ready().await {
                break client;
            }
            self.pause(progress, "the API does not answer").await?;
        };
        progress.say("API ready");
        self.until_node(client.as_ref(), &node::name(&o.node), progress).await?;
        while !self.dns_answers(&o.control_plane) {
            self.pause(progress, "cluster DNS does not answer").await?;
        }
        progress.say("cluster DNS answers");
        Ok(())
    }

    /// Waits until the process's node is ready.
    ///
    /// # Errors
    /// When the process ends, or the node is not ready in time.
    pub async fn until_node(&mut self, client: &dyn Client, name: &str, progress: &Progress) -> Result<()> {
        let mut waits_for = String::new();
        loop {
            self.check_runs()?;
            match probe::node_since(client, name, self.started).await {
                Ok(()) => break,
                Err(why) if why != waits_for => {
                    progress.say(&format!("waiting for node {name}: {why}"));
                    waits_for = why;
                }
                Err(_) => {}
            }
            self.pause(progress, &format!("node {name} is not ready")).await?;
        }
        progress.say(&format!("node {name} ready"));
        Ok(())
    }

    /// Asked before anything else: what answers may be another's.
    fn check_runs(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the server has ended ({status}):\n{}", tail(&self.state.log()));
        }
        Ok(())
    }

    async fn pause(&mut self, progress: &Progress, what: &str) -> Result<()> {
        self.check_runs()?;
        if progress.elapsed() > progress.limit {
            bail!(
                "{what} after {} s; the server goes on (stop it with {}). The end of its log:\n{}",
                progress.limit.as_secs(),
                self.state.command("down"),
                tail(&self.state.log())
            );
        }
        tokio::time::sleep(POLL).await;
        Ok(())
    }

    async fn api_ready(&self) -> Option<std::sync::Arc<dyn Client>> {
        let path = self.state.admin_kubeconfig();
        let client = remote::connect(&path, "corten").ok()?.client;
        probe::api(client.as_ref()).await.ok()?;
        Some(client)
    }

    /// Whether cluster DNS knows the API's own name, and it is this cluster's server that answers there.
    fn dns_answers(&self, plane: &cli::ControlPlane) -> bool {
        let ask = |server| {
            let server = SocketAddr::new(server, 53);
            let ca_pem = std::fs::read_to_string(self.state.path().join("pki/ca.crt")).ok()?;
            probe::dns(server, &plane.cluster_domain).ok()?;
            probe::dns_identity(server, &control_plane::identity(&ca_pem)).ok()
        };
        nth_address(&plane.api.service_cluster_ip_range, DNS_ADDRESS)
            .is_ok_and(|server| ask(server).is_some())
    }
}

/// The last lines of the log.
pub fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

/// The application that the printed commands start.
pub struct App {
    pub name: &'static str,
    pub image: &'static str,
    pub port: u16,
}

/// Whether a program can be called by its name alone.
fn in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// Commands that end with the application's answer.
#[must_use]
pub fn next_step(nodes: &[String], address: IpAddr, kubeconfig: &Path, app: &App) -> String {
    let App { name, image, port } = app;
    let nodes = match nodes {
        [node] => format!("its node is {node}"),
        _ => format!("its nodes are {}", nodes.join(", ")),
    };
    let hint = if in_path("kubectl") {
        ""
    } else {
        "\nkubectl is not installed here: https://kubernetes.io/docs/tasks/tools/ has it (Debian's kubernetes-client is\n\
         version 1.20: old, but enough for these).\n"
    };
    let node_port = format!("$(kubectl get service {name} -o jsonpath='{{.spec.ports[0].nodePort}}')");
    let ask = match ["curl", "wget"].into_iter().find(|program| in_path(program)) {
        Some("wget") => format!("wget -qO- http://{address}:{node_port}/"),
        Some(_) => format!("curl http://{address}:{node_port}/"),
        None => format!("kubectl get --raw /api/v1/namespaces/default/services/{name}:{port}/proxy/"),
    };
    format!(
        "\nThe cluster is usable, {nodes}. Next:\n\n  export KUBECONFIG={}\n  kubectl get nodes -o wide\n  \
         kubectl create deployment {name} --image={image} --replicas=2\n  \
         kubectl expose deployment {name} --port={port} --type=NodePort\n  \
         kubectl rollout status deployment {name}\n  kubectl get pods,services -o wide\n  {ask}\n{hint}",
        kubeconfig.display()
    )
}
