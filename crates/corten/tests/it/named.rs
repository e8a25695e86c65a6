//! Clusters with names: two side by side, one of them with two nodes whose pods reach each other; each is gone with one
//! command, and neither is disturbed by the other.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use testkit::cluster::{Cluster, Mode, http, kill};
use testkit::image::webapp_image;
use testkit::wait::{Output, run, wait_for};

use crate::session::{CORTEN, SOON};

const UP_LIMIT: Duration = Duration::from_secs(150);
const IMAGE: &str = "air.test/webapp:1";

/// A machine on which clusters with names are started.
struct Machine {
    host: Cluster,
    kubectl: PathBuf,
}

impl Machine {
    fn new() -> Self {
        let host = Cluster::prepare(CORTEN, Mode::Server).unwrap();
        Machine { host, kubectl: testkit::kubectl::newest().unwrap().path }
    }

    fn clusters(&self) -> PathBuf {
        self.host.scratch().join("clusters")
    }

    fn corten(&self, line: &str) -> Output {
        let mut command = self.host.command(CORTEN.as_ref());
        command.args(line.split_whitespace()).arg("--clusters-dir").arg(self.clusters());
        run(command, b"", UP_LIMIT)
    }

    fn command(&self, name: &str, program: &Path) -> Command {
        let mut command = self.host.command(program);
        command.env("KUBECONFIG", self.clusters().join(name).join("kubeconfig"));
        command
    }

    fn kubectl(&self, name: &str, line: &str) -> Output {
        let mut command = self.command(name, &self.kubectl);
        command.args(line.split_whitespace());
        run(command, b"", UP_LIMIT)
    }

    fn apply(&self, name: &str, manifest: &str) {
        let mut command = self.command(name, &self.kubectl);
        command.args(["apply", "-f", "-"]);
        run(command, format!("---\n{manifest}").as_bytes(), SOON).ok();
    }

    fn settings(&self, name: &str, node: u8) -> Value {
        let path = self.clusters().join(name).join(format!("node-{node}/settings.json"));
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }
}

/// Removed at the end, also of a test that fails.
struct Named<'a> {
    machine: &'a Machine,
    name: String,
}

impl<'a> Named<'a> {
    fn up(machine: &'a Machine, prefix: &str, words: &str) -> (Self, String) {
        let this = Named { machine, name: testkit::unique(prefix) };
        let said = machine.corten(&format!("up --name {} {words}", this.name)).ok();
        (this, said)
    }

    fn kubectl(&self, line: &str) -> Output {
        self.machine.kubectl(&self.name, line)
    }

    /// Its name behind the words.
    fn corten(&self, line: &str) -> Output {
        self.machine.corten(&format!("{line} --name {}", self.name))
    }

    fn down(self, nodes: u8) {
        let cgroups: Vec<String> = (1..=nodes)
            .map(|n| self.machine.settings(&self.name, n)["cgroup"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(namespaces(&self.name).len(), 1 + usize::from(nodes), "the switch and the nodes");
        self.corten("down").ok();
        assert_eq!(namespaces(&self.name), [""; 0]);
        assert!(!self.machine.clusters().join(&self.name).exists());
        let dir = self.machine.clusters().join(&self.name);
        let of_us: Vec<String> = self
            .machine
            .host
            .left_running()
            .into_iter()
            .filter(|l| l.contains(dir.to_str().unwrap()))
            .collect();
        assert_eq!(of_us, [""; 0], "processes and mounts");
        for cgroup in cgroups {
            let roots = std::fs::read_dir("/sys/fs/cgroup").unwrap().map(|root| root.unwrap().path());
            let mut all = roots.chain([PathBuf::from("/sys/fs/cgroup")]);
            assert_eq!(all.find(|root| root.join(cgroup.trim_matches('/')).exists()), None, "{cgroup}");
        }
    }
}

impl Drop for Named<'_> {
    fn drop(&mut self) {
        if self.machine.clusters().join(&self.name).exists() {
            for n in 1..=2 {
                let log = self.machine.clusters().join(&self.name).join(format!("node-{n}/corten.log"));
                let text = std::fs::read_to_string(log).unwrap_or_default();
                let lines: Vec<&str> = text.lines().collect();
                eprintln!("node {n}:\n{}", lines[lines.len().saturating_sub(60)..].join("\n"));
            }
            eprintln!("{}", self.corten("down"));
        }
    }
}

/// The network namespaces of a cluster.
fn namespaces(name: &str) -> Vec<String> {
    let prefix = format!("corten-{name}-");
    let entries = std::fs::read_dir("/run/netns").unwrap().map(|entry| entry.unwrap().file_name());
    entries.map(|n| n.to_string_lossy().into_owned()).filter(|n| n.starts_with(&prefix)).collect()
}

/// One line, and nothing is made.
#[track_caller]
fn refused(output: Output, text: &str) {
    let shown = output.to_string();
    let said = output.fails();
    assert!(said.lines().count() == 1 && said.contains(text), "no {text:?} in\n{shown}");
}

#[test]
fn clusters_with_names_live_side_by_side() {
    let machine = Machine::new();
    bad_names(&machine);
    let (one, said) = Named::up(&machine, "one", "");
    printed_commands(&one, &said);
    let (two, said) = Named::up(&machine, "two", "--nodes 2");
    assert!(said.contains(&format!("its nodes are {0}-1, {0}-2", two.name)), "{said}");
    let context = two.kubectl("config current-context").ok();
    assert_eq!(context.trim(), format!("corten-{}", two.name));
    refused(two.corten("up"), "runs already: corten down --name");
    listed(&one, &two);
    pods_reach_each_other(&two);
    let status = two.corten("status");
    for about in
        [format!("{}-1 API", two.name), format!("{}-2 runtime", two.name), format!("{}-2 proxy", two.name)]
    {
        let good = |line: &str| line.strip_prefix("ok").is_some_and(|l| l.trim_start().starts_with(&about));
        assert!(status.stdout.lines().any(good), "{about}: {status}");
    }
    assert_eq!(status.code, Some(0), "{status}");
    a_machine_that_ended(&two);
    two.down(2);
    answers(&one);
    brought_back(&one);
    one.down(1);
    assert!(machine.corten("list").ok().starts_with("no named clusters in"));
    assert_eq!(machine.corten("down --name none").code, Some(0));
    refused(machine.corten("status --name none"), "no cluster none in");
    let Machine { host, .. } = machine;
    host.down().unwrap();
}

fn bad_names(machine: &Machine) {
    refused(machine.corten("up --name A"), "small letters");
    refused(machine.corten("up --name ../x"), "small letters");
    refused(machine.corten("up --name x --nodes 0"), "1 to 20 nodes");
    refused(machine.corten("up --name x --nodes 21"), "1 to 20 nodes");
    for (line, text) in [
        ("up --nodes 2", "--name"),
        ("up --name x --state-dir /x", "--state-dir"),
        ("up --name x --node-ip 192.0.2.1", "--node-ip"),
    ] {
        let said = machine.corten(line).fails();
        assert!(said.contains(text), "{said}");
    }
    assert!(!machine.clusters().exists(), "nothing is made");
    // A machine with a route to all that a cluster could have.
    let route = |verb: &str| {
        let words = ["route", verb, "10.0.0.0/8", "dev", "lo"];
        machine.host.netns().inside(|| network::netns::ip(&words).unwrap()).unwrap();
    };
    route("add");
    refused(machine.corten("up --name x"), "has a route on this machine already");
    route("delete");
    assert!(namespaces("x").is_empty());
    // A start that fails when its network is there already.
    let said = machine.corten("up --name x --service-cluster-ip-range nonsense");
    assert!(said.code == Some(1) && said.stderr.contains("nonsense"), "{said}");
    assert!(!machine.clusters().exists() && namespaces("x").is_empty(), "nothing is left: {said}");
}

/// All commands that were printed, one after the other in one shell.
fn printed_commands(one: &Named, said: &str) {
    let lines = said.lines().skip_while(|line| !line.ends_with("Next:")).filter(|l| l.starts_with("  "));
    let script: Vec<&str> = lines.map(str::trim).collect();
    let mut shell = one.machine.host.command("bash".as_ref());
    shell.args(["-euc", &script.join("\n")]).env_remove("KUBECONFIG");
    let answer = run(shell, b"", SOON).ok();
    assert!(answer.lines().last().is_some_and(|line| line.starts_with("Hello from hello-")), "{answer}");
}

/// The application of the printed commands, asked from the machine.
fn answers(one: &Named) {
    let field = |line: &str| one.kubectl(line).ok().trim_matches('\'').to_owned();
    let port = field("get service hello -o jsonpath={.spec.ports[0].nodePort}");
    let ip = field("get nodes -o jsonpath={.items[0].status.addresses[0].address}");
    let address = format!("{ip}:{port}");
    let ask = || http("GET", &address, "/", Duration::from_secs(5));
    let answer = one.machine.host.netns().inside(ask).unwrap().unwrap();
    assert!(answer.1.starts_with("Hello from hello-"), "{answer:?}");
}

/// The server was killed and the network taken away: the same command brings the cluster back.
fn brought_back(one: &Named) {
    let pid =
        std::fs::read_to_string(one.machine.clusters().join(&one.name).join("node-1/corten.pid")).unwrap();
    kill(pid.trim().parse().unwrap()).unwrap();
    let switch = namespaces(&one.name).into_iter().find(|n| n.ends_with("-0")).unwrap();
    network::netns::delete(&switch).unwrap();
    let list = one.machine.corten("list").ok();
    assert!(list.contains("stopped"), "{list}");
    refused(one.corten("up --nodes 2"), "has 1 nodes, not 2");
    one.corten("up").ok();
    wait_for("the application of before", SOON, || {
        let pods = one.kubectl("get pods -o jsonpath={.items[*].status.phase}").stdout;
        if pods == "Running Running" { Ok(()) } else { Err(pods) }
    });
    answers(one);
}

/// One machine of two was killed: the same command starts that one, and its log is kept small.
fn a_machine_that_ended(two: &Named) {
    let state = two.machine.clusters().join(&two.name).join("node-2");
    let pid = |n: u8| {
        let path = two.machine.clusters().join(&two.name).join(format!("node-{n}/corten.pid"));
        std::fs::read_to_string(path).unwrap().trim().parse().unwrap()
    };
    let (first, second): (i32, i32) = (pid(1), pid(2));
    kill(second).unwrap();
    let list = two.machine.corten("list").ok();
    assert!(list.contains("1 of 2 run"), "{list}");
    // Longer than a log may be, by a hole in it.
    let log = std::fs::File::options().append(true).open(state.join("corten.log")).unwrap();
    log.set_len(33 << 20).unwrap();
    let said = two.corten("up").ok();
    assert!(said.contains(&format!("node {}-2 ready", two.name)), "{said}");
    assert_eq!(pid(1), first, "the other one is left alone");
    assert_ne!(pid(2), second);
    refused(two.corten("up"), "runs already: corten down --name");
    wait_for("the long log to be put aside", SOON, || {
        if state.join("corten.log.1").exists() { Ok(()) } else { Err("it is not".to_owned()) }
    });
    refused(two.corten("up --member 3"), "--member 3: cluster");
}

fn listed(one: &Named, two: &Named) {
    let list = one.machine.corten("list").ok();
    for (named, nodes) in [(one, "1"), (two, "2")] {
        let line =
            list.lines().find(|line| line.starts_with(&named.name)).unwrap_or_else(|| panic!("{list}"));
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words[1..3], [nodes, "running"], "{list}");
        assert!(words[3].starts_with("10.213.") && words[4].ends_with("/kubeconfig"), "{list}");
    }
}

fn pods_reach_each_other(two: &Named) {
    let archive = two.machine.host.scratch().join("webapp.tar");
    std::fs::write(&archive, webapp_image().unwrap().oci_archive(&[IMAGE])).unwrap();
    two.corten(&format!("images import {}", archive.display())).ok();
    for (n, pod) in [(1, "near"), (2, "far")] {
        two.machine.apply(
            &two.name,
            &format!(
                "{{apiVersion: v1, kind: Pod, metadata: {{name: {pod}, labels: {{app: {pod}}}}}, spec: {{nodeName: {}-{n}, \
                 containers: [{{name: main, image: '{IMAGE}', args: [serve]}}]}}}}",
                two.name
            ),
        );
        two.machine.apply(
            &two.name,
            &format!(
                "{{apiVersion: v1, kind: Service, metadata: {{name: {pod}}}, \
                 spec: {{selector: {{app: {pod}}}, ports: [{{port: 80, targetPort: 8080}}]}}}}"
            ),
        );
    }
    two.kubectl("wait --for=condition=Ready pod/near pod/far --timeout=60s").ok();
    for (from, to) in [("near", "far"), ("far", "near")] {
        wait_for(&format!("{from} reaches {to}"), SOON, || {
            let output = two.kubectl(&format!("exec {from} -- /webapp get http://{to}/"));
            if output.stdout == format!("hello from {to}\n") { Ok(()) } else { Err(output.to_string()) }
        });
    }
}
