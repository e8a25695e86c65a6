//! A second machine joins with the token: its node gets Ready, pods on both nodes reach each other by address and by
//! Service, logs and exec work through the API server. Wrong tokens and taken names are refused with clear words,
//! and a restart needs no token.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use testkit::cluster::{Cluster, HOST, NODE};
use testkit::image::webapp_image;
use testkit::netns::Netns;
use testkit::registry::{Registry, push};
use testkit::wait::{Output, Running, run, wait_for};

use crate::session::{CORTEN, IMAGE, SOON, Session, pod_ip, restarts, start};

const SECOND: &str = "node-2";
const ADDRESS: &str = "192.0.2.2";

/// A machine beside the cluster's, on the same network.
struct Machine {
    state: PathBuf,
    registry: Registry,
    is_down: bool,
    netns: Netns,
}

impl Machine {
    fn beside(cluster: &Cluster) -> Self {
        let netns = Netns::new("cj").unwrap();
        let other = cluster.netns().path().file_name().unwrap().to_str().unwrap().to_owned();
        let this_end = format!(
            "ip address flush dev uplink && ip address add {ADDRESS}/24 dev uplink && \
             ip route add default via 192.0.2.254 && \
             ip link add join type veth peer name join netns {other} && \
             ip link set join master uplink up && echo 1 > /proc/sys/net/ipv4/ip_forward"
        );
        sh(netns.command("sh"), &this_end);
        sh(cluster.netns().command("sh"), "ip link set join master uplink up");
        let registry = Registry::start(&cluster.scratch().join("registry-2"), Some(&netns)).unwrap();
        let (url, image) = (registry.url(), webapp_image().unwrap());
        let pushed = netns.inside(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(push(&url, &image, "webapp", "1"))
        });
        pushed.unwrap().unwrap();
        Machine { state: cluster.scratch().join("state-2"), registry, is_down: false, netns }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.netns.command(CORTEN);
        command.args(words).arg("--state-dir").arg(&self.state);
        command
    }

    fn agent(&self, words: &[&str]) -> Command {
        let mut command = self.command(&["agent", "--node-ip", ADDRESS]);
        command.args(words).arg("--registry-mirror").arg(format!("registry.test={}", self.registry.url()));
        command
    }

    fn refused(&self, words: &[&str]) -> String {
        run(self.agent(words), b"", Duration::from_secs(20)).fails()
    }

    fn down(&mut self) -> Output {
        self.is_down = true;
        run(self.command(&["down", "--purge"]), b"", Duration::from_secs(60))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if !self.is_down {
            eprintln!("{}", self.down());
        }
    }
}

fn sh(mut command: Command, script: &str) {
    command.args(["-ec", script]);
    run(command, b"", Duration::from_secs(10)).ok();
}

#[test]
fn a_second_machine_joins() {
    let cluster = start();
    let s = Session::newest(&cluster, "join");
    let mut machine = Machine::beside(&cluster);
    let server = format!("https://{HOST}:6443");
    let token = std::fs::read_to_string(cluster.state().join("agent.token")).unwrap();
    let token = token.trim();
    bad_joins(&machine, &server, token);
    let words = ["--server", &server, "--token", token, "--node-name", SECOND];
    let agent = Running::start(machine.agent(&words));
    wait_for_ready(&s, &agent);
    pods_reach_each_other(&s);
    logs_and_exec(&s);
    reads_its_own_node_only(&s, &machine);
    stop(agent);
    let agent = Running::start(machine.agent(&["--node-name", SECOND]));
    logs_and_exec(&s);
    wait_for_ready(&s, &agent);
    assert_eq!(restarts(&s.json("get pod far")), 0);
    stop(agent);
    machine.down().ok();
    drop(machine);
    cluster.down().unwrap();
}

fn bad_joins(machine: &Machine, server: &str, token: &str) {
    let join = |token: &str, name: &str| {
        machine.refused(&["--server", server, "--token", token, "--node-name", name])
    };
    let (bearer, hash) = token.split_once(':').unwrap();
    let (id, secret) = bearer.split_once('.').unwrap();
    let other: String = secret.chars().map(|c| if c == 'a' { 'b' } else { 'a' }).collect();
    let said = join(&format!("{id}.{other}:{hash}"), SECOND);
    assert!(said.contains("refuses the token (Unauthorized)"), "{said}");
    let said = join(&format!("{bearer}:sha256:{}", "0".repeat(64)), SECOND);
    assert!(said.contains("is not the control plane that the token is from"), "{said}");
    let said = join("secret", SECOND);
    assert!(said.contains("agent.token"), "{said}");
    let said = join(token, NODE);
    assert!(said.contains("there already"), "{said}");
    let said = machine.refused(&["--node-name", SECOND]);
    assert!(said.contains("has not joined a cluster yet"), "{said}");
}

fn wait_for_ready(s: &Session, agent: &Running) {
    wait_for("the second node", SOON, || {
        let nodes = s.run(&format!("wait --for=condition=Ready node/{SECOND} --timeout=1s"));
        if nodes.code == Some(0) { Ok(()) } else { Err(format!("{nodes}\n{}", agent.stdout())) }
    });
}

fn stop(agent: Running) {
    let pid = i32::try_from(agent.pid()).unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    agent.finish(Duration::from_secs(20)).ok();
}

fn pod(s: &Session, name: &str, node: &str) {
    s.apply(&format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, labels: {{app: {name}}}}}, spec: {{nodeName: {node}, \
         containers: [{{name: main, image: '{IMAGE}', args: [serve]}}]}}}}"
    ));
    s.apply(&format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: {name}}}, \
         spec: {{selector: {{app: {name}}}, ports: [{{port: 80, targetPort: 8080}}]}}}}"
    ));
}

fn pods_reach_each_other(s: &Session) {
    pod(s, "near", NODE);
    pod(s, "far", SECOND);
    s.ok("wait --for=condition=Ready pod/near pod/far --timeout=60s");
    let address = |name: &str| pod_ip(&s.json(&format!("get pod {name}")));
    let (near, far) = (address("near"), address("far"));
    assert_ne!(near.rsplit_once('.').unwrap().0, far.rsplit_once('.').unwrap().0, "one range a node");
    for (from, to, ip) in [("near", "far", &far), ("far", "near", &near)] {
        for target in [format!("{ip}:8080"), to.to_owned(), format!("{to}.join.svc.cluster.local")] {
            wait_for(&format!("{from} reaches {target}"), SOON, || {
                let output = s.run(&format!("exec {from} -- /webapp get http://{target}/"));
                let want = format!("hello from {to}\n");
                if output.stdout == want { Ok(()) } else { Err(output.to_string()) }
            });
        }
    }
    // The application logs who asked: a pod's own address is seen on the other node.
    s.says("logs far", &[&near]);
    s.says("logs near", &[&far]);
}

fn logs_and_exec(s: &Session) {
    wait_for("exec on the second node", SOON, || {
        let output = s.run("exec far -- /webapp echo alive");
        if output.stdout == "alive\n" { Ok(()) } else { Err(output.to_string()) }
    });
    wait_for("logs of the second node", SOON, || {
        let output = s.run("logs far");
        if output.code == Some(0) && !output.stdout.is_empty() { Ok(()) } else { Err(output.to_string()) }
    });
    let requests: Value = s.json("get certificatesigningrequests");
    let issued =
        requests["items"].as_array().unwrap().iter().filter(|r| r["status"]["certificate"].is_string());
    assert_eq!(issued.count(), 3, "one of the agent as a client, one as a server, one of the proxy");
}

/// The node agent sees its own node only; the proxy, which needs the routes to all, is another user.
fn reads_its_own_node_only(s: &Session, machine: &Machine) {
    let run_as = |file: &str, line: &str| {
        s.run(&format!("{line} --kubeconfig {}", machine.state.join(file).display()))
    };
    let said = run_as("agent.kubeconfig", &format!("get node {NODE}")).fails();
    assert!(said.contains("Forbidden"), "{said}");
    run_as("agent.kubeconfig", &format!("get node {SECOND}")).ok();
    run_as("agent-kube-proxy.kubeconfig", "get nodes").ok();
    let said = run_as("agent-kube-proxy.kubeconfig", "get pods -A").fails();
    assert!(said.contains("User \"system:kube-proxy\" cannot list resource \"pods\""), "{said}");
}
