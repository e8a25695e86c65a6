//! `corten up --detach`: starts the server in a process group of its own, shows progress until the cluster is usable,
//! and says what to type next.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use client::{Api, Client};
use meta::{Gvr, Request, Target, Verb};
use serde::Deserialize;
use sys::{Clock, SystemClock};

use crate::components::apiserver::nth_address;
use crate::logging::say;
use crate::state::StateDir;
use crate::{cli, log_file, node, remote, run};

const NODES: Gvr = Gvr::new("", "v1", "nodes");
const POLL: Duration = Duration::from_millis(100);
/// Lines of the log that are shown when the server has ended.
const TAIL_LINES: usize = 15;

/// Starts the server in the background and waits for the cluster.
///
/// # Errors
/// When the server ends, or the cluster is not usable in time.
pub fn up(o: &cli::Up) -> Result<()> {
    run::need_root("corten up")?;
    node::check_programs(o.node.container_runtime_endpoint.is_none())?;
    let state = StateDir::open(&o.state.state_dir)?;
    // Free it again for the child; a second start is refused here, in the foreground.
    drop(state.lock()?);
    let started = SystemClock.monotonic();
    let mut child = spawn(&state)?;
    let limit = Duration::from_secs(o.wait);
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let watch = Watch { state: &state, o, started, limit };
    runtime.block_on(watch.until_usable(&mut child))?;
    say(next_step(&node::name(&o.node), &state.admin_kubeconfig()));
    Ok(())
}

fn spawn(state: &StateDir) -> Result<Child> {
    let log = log_file::open(&state.log())?;
    let arguments = std::env::args_os().skip(1).filter(|a| a != "--detach");
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    command.process_group(0);
    command.spawn().context("starting the server")
}

struct Watch<'a> {
    state: &'a StateDir,
    o: &'a cli::Up,
    started: Duration,
    limit: Duration,
}

#[derive(Deserialize)]
struct Node {
    #[serde(default)]
    status: NodeStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NodeStatus {
    conditions: Vec<Condition>,
}

#[derive(Deserialize)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    #[serde(default)]
    message: String,
}

impl Watch<'_> {
    fn elapsed(&self) -> Duration {
        SystemClock.monotonic().saturating_sub(self.started)
    }

    fn say(&self, what: &str) {
        say(format_args!("{:6.1} s  {what}", self.elapsed().as_secs_f64()));
        // Progress that nobody can read is no reason to stop.
        let _ = std::io::stdout().flush();
    }

    async fn until_usable(&self, child: &mut Child) -> Result<()> {
        self.say(&format!("server started, log in {}", self.state.log().display()));
        let client = loop {
            if let Some(client) = self.api_ready().await {
                break client;
            }
            self.pause(child, "the API does not answer").await?;
        };
        self.say("API ready");
        let mut waits_for = String::new();
        loop {
            match self.node_ready(client.as_ref()).await {
                Ok(()) => break,
                Err(why) if why != waits_for => {
                    self.say(&format!("waiting for the node: {why}"));
                    waits_for = why;
                }
                Err(_) => {}
            }
            self.pause(child, "the node is not ready").await?;
        }
        self.say("node ready");
        while !self.dns_answers() {
            self.pause(child, "cluster DNS does not answer").await?;
        }
        self.say("cluster DNS answers");
        Ok(())
    }

    async fn pause(&self, child: &mut Child, what: &str) -> Result<()> {
        if let Some(status) = child.try_wait()? {
            bail!("the server has ended ({status}):\n{}", tail(&self.state.log()));
        }
        if self.elapsed() > self.limit {
            bail!(
                "{what} after {} s; the server goes on (stop it with corten down). The end of its log:\n{}",
                self.limit.as_secs(),
                tail(&self.state.log())
            );
        }
        tokio::time::sleep(POLL).await;
        Ok(())
    }

    async fn api_ready(&self) -> Option<std::sync::Arc<dyn Client>> {
        let path = self.state.admin_kubeconfig();
        let client = remote::connect(&path, "corten").ok()?.client;
        let request = Request::new(Verb::Get, Target::Path("/readyz".to_owned()));
        client.send(request).await.ok()?;
        Some(client)
    }

    async fn node_ready(&self, client: &dyn Client) -> Result<(), String> {
        let name = node::name(&self.o.node);
        let bytes = match Api::new(client, NODES, "").get(&name).await {
            Ok(bytes) => bytes,
            Err(e) if e.is("NotFound") => return Err("not registered yet".to_owned()),
            Err(e) => return Err(e.to_string()),
        };
        let node: Node = serde_json::from_slice(&bytes).map_err(|e| e.to_string())?;
        let ready = node.status.conditions.into_iter().find(|c| c.kind == "Ready");
        match ready {
            Some(c) if c.status == "True" => Ok(()),
            Some(c) => Err(c.message),
            None => Err("no status yet".to_owned()),
        }
    }

    /// Asks for the API's own name over the Service's address, as a pod would.
    fn dns_answers(&self) -> bool {
        let ask = || -> Option<bool> {
            let server = nth_address(&self.o.control_plane.service_cluster_ip_range, 10).ok()?;
            let name = format!("kubernetes.default.svc.{}", self.o.control_plane.cluster_domain);
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
            socket.set_read_timeout(Some(Duration::from_millis(300))).ok()?;
            socket.send_to(&query(&name), SocketAddr::new(server, 53)).ok()?;
            let mut buffer = [0; 512];
            let n = socket.recv(&mut buffer).ok()?;
            // No error, and at least one answer.
            Some(n > 12 && buffer[3] & 0x0f == 0 && buffer[7] > 0)
        };
        ask().unwrap_or(false)
    }
}

/// An A query for `name`.
fn query(name: &str) -> Vec<u8> {
    let mut q = vec![0x43, 0x54, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        q.push(u8::try_from(label.len()).unwrap_or(63));
        q.extend_from_slice(label.as_bytes());
    }
    q.extend_from_slice(&[0, 0, 1, 0, 1]);
    q
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

fn next_step(node: &str, kubeconfig: &Path) -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let kubectl = std::env::split_paths(&path).any(|dir| dir.join("kubectl").is_file());
    let hint = if kubectl {
        ""
    } else {
        "\nkubectl is not installed here: https://kubernetes.io/docs/tasks/tools/ has it (Debian's kubernetes-client is\n\
         version 1.20: old, but enough for these).\n"
    };
    format!(
        "\nThe cluster is usable, its node is {node}. Next:\n\n  export KUBECONFIG={}\n  kubectl get nodes -o wide\n  \
         kubectl create deployment web --image=nginx --replicas=2\n  \
         kubectl expose deployment web --port=80 --type=NodePort\n  kubectl get pods,services -o wide\n{hint}",
        kubeconfig.display()
    )
}
