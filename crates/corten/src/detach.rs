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
use sys::{Clock, SystemClock};

use crate::components::apiserver::nth_address;
use crate::control_plane::DNS_ADDRESS;
use crate::logging::say;
use crate::state::StateDir;
use crate::{cli, control_plane, host, images, log_file, node, probe, remote, run};

const POLL: Duration = Duration::from_millis(100);
/// Lines of the log that are shown when the server has ended.
const TAIL_LINES: usize = 15;

/// Starts the server in the background and waits for the cluster.
///
/// # Errors
/// When the server ends, or the cluster is not usable in time.
pub fn up(o: &cli::Up) -> Result<()> {
    let (state, lock) = run::claim("corten up", &o.state.state_dir, &o.node)?;
    // Free it again for the child; a second start was refused here, in the foreground.
    drop(lock);
    let started = SystemClock.monotonic();
    let mut child = spawn(&state)?;
    let limit = Duration::from_secs(o.wait);
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let watch = Watch { state: &state, o, started, limit };
    runtime.block_on(watch.until_usable(&mut child))?;
    let node = node::name(&o.node);
    let app = match runtime.block_on(images::has_example(&state)) {
        true => App { name: "hello", image: HELLO_NAME, port: HELLO_PORT },
        false => App { name: "web", image: "nginx", port: 80 },
    };
    let address = o.node.node_ip.unwrap_or_else(host::address);
    say(next_step(&node, address, &state.admin_kubeconfig(), &app));
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
            match probe::node(client.as_ref(), &node::name(&self.o.node)).await {
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
        probe::api(client.as_ref()).await.ok()?;
        Some(client)
    }

    /// Whether cluster DNS knows the API's own name, and it is this cluster's server that answers there.
    fn dns_answers(&self) -> bool {
        let plane = &self.o.control_plane;
        let ask = |server| {
            let server = SocketAddr::new(server, 53);
            let ca_pem = std::fs::read_to_string(self.state.path().join("pki/ca.crt")).ok()?;
            probe::dns(server, &plane.cluster_domain).ok()?;
            probe::dns_identity(server, &control_plane::identity(&ca_pem)).ok()
        };
        nth_address(&plane.service_cluster_ip_range, DNS_ADDRESS).is_ok_and(|server| ask(server).is_some())
    }
}

/// The last lines of the log.
pub fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

/// The application that the printed commands start.
struct App {
    name: &'static str,
    image: &'static str,
    port: u16,
}

/// Whether a program can be called by its name alone.
fn in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// Commands that end with the application's answer.
fn next_step(node: &str, address: IpAddr, kubeconfig: &Path, app: &App) -> String {
    let App { name, image, port } = app;
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
        "\nThe cluster is usable, its node is {node}. Next:\n\n  export KUBECONFIG={}\n  kubectl get nodes -o wide\n  \
         kubectl create deployment {name} --image={image} --replicas=2\n  \
         kubectl expose deployment {name} --port={port} --type=NodePort\n  \
         kubectl rollout status deployment {name}\n  kubectl get pods,services -o wide\n  {ask}\n{hint}",
        kubeconfig.display()
    )
}
