//! The components as processes of their own, each with its own identity, form a working cluster: a Deployment runs,
//! its Service answers. When the leading scheduler and controllers are killed, the others take over.

use std::path::{Path, PathBuf};
use std::time::Duration;

use client::Kubeconfig;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use testkit::cluster::{HOST, NODE, http, kill};
use testkit::image::webapp_image;
use testkit::kubectl::newest;
use testkit::node::TestNode;
use testkit::wait::{Output, Running, run, wait_for};
use wire::pki::{Leaf, Pki};

use crate::session::{CORTEN, IMAGE, SOON};

const SERVER: &str = "https://127.0.0.1:6443";
/// A lease runs out after 15 s, and is looked at every 2 s.
const TAKE_OVER: Duration = Duration::from_secs(60);

/// The machine, and what runs on it.
struct Apart<'a> {
    node: &'a TestNode,
    state: PathBuf,
    kubectl: PathBuf,
}

impl Apart<'_> {
    fn start(&self, words: &[&str]) -> Running {
        let mut command = self.node.netns().command(CORTEN);
        command.args(words).env("HOME", self.node.dir());
        Running::start(command)
    }

    /// A component with the kubeconfig of its name and these words.
    fn component(&self, name: &str, words: &[&str]) -> Running {
        let kubeconfig = self.state.join(format!("{name}.kubeconfig"));
        let mut all = vec![name, "--kubeconfig", kubeconfig.to_str().unwrap()];
        all.extend(words);
        self.start(&all)
    }

    fn try_kubectl(&self, line: &str) -> Output {
        let mut command = self.node.netns().command(&self.kubectl.to_string_lossy());
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
            command.env_remove(name).env_remove(name.to_ascii_lowercase());
        }
        command.env("KUBECONFIG", self.state.join("admin.kubeconfig")).env("HOME", self.node.dir());
        command.args(line.split_whitespace());
        run(command, b"", Duration::from_secs(90))
    }

    #[track_caller]
    fn kubectl(&self, line: &str) -> String {
        self.try_kubectl(line).ok()
    }

    fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.kubectl(&format!("{line} -o json"))).unwrap()
    }

    fn lease(&self, name: &str) -> Value {
        let lease = self.try_kubectl(&format!("get lease {name} -n kube-system -o json"));
        serde_json::from_str(&lease.stdout).unwrap_or_default()
    }

    /// Waits until the lease is held by another than `former`; its holder.
    fn leader(&self, name: &str, former: &str) -> String {
        wait_for(&format!("a leader of {name}"), TAKE_OVER, || {
            let lease = self.lease(name);
            match lease["spec"]["holderIdentity"].as_str() {
                Some(holder) if !holder.is_empty() && holder != former => Ok(holder.to_owned()),
                _ => Err(lease.to_string()),
            }
        })
    }

    /// The credentials of the node, which nobody else makes here.
    fn node_kubeconfig(&self) {
        let now = sys::Clock::now(&sys::SystemClock);
        let pki = Pki::open(&self.state.join("pki"), now).unwrap();
        let user = format!("system:node:{NODE}");
        let pair = pki.leaf(&Leaf::client("node-client", &user, "system:nodes"), now).unwrap();
        let config = Kubeconfig::with_certificate(NODE, SERVER, pki.ca_pem(), &pair.cert_pem, &pair.key_pem);
        config.write(&self.state.join("kubelet.kubeconfig")).unwrap();
    }

    /// One of the small servers of the components.
    #[track_caller]
    fn says(&self, address: &str, path: &str, text: &str) {
        let answer = self.node.netns().inside(|| http("GET", address, path, Duration::from_secs(2)));
        let (code, body) = answer.unwrap().unwrap();
        assert!(code == 200 && body.contains(text), "{address}{path}: {code} {body}");
    }

    fn answers(&self, ip: &str) {
        wait_for("the Service", SOON, || {
            let answer =
                self.node.netns().inside(|| http("GET", &format!("{ip}:80"), "/", Duration::from_secs(2)));
            match answer.unwrap() {
                Ok((200, body)) if body.starts_with("hello from web-") => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
    }
}

fn pid(process: &Running) -> i32 {
    i32::try_from(process.pid()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn components_apart_form_a_cluster_and_take_over_from_each_other() {
    let node = TestNode::new(cri::containerd::OciRuntime::Auto).await.unwrap();
    let containerd = node.start().await.unwrap();
    containerd.import(&webapp_image().unwrap(), &[IMAGE]).await.unwrap();
    let socket = format!("unix://{}", containerd.socket().display());
    tokio::task::block_in_place(|| {
        let apart =
            Apart { node: &node, state: node.dir().join("state"), kubectl: newest().unwrap().path.clone() };
        processes(&apart, &socket);
    });
    node.down(containerd).await.unwrap();
}

fn processes(apart: &Apart<'_>, socket: &str) {
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let state = text(&apart.state);
    let api = apart.start(&["kube-apiserver", "--bind-address", "127.0.0.1", "--state-dir", &state]);
    wait_for("the API server", SOON, || {
        let ready = apart.try_kubectl("get --raw /readyz");
        if ready.code == Some(0) { Ok(()) } else { Err(ready.to_string()) }
    });
    apart.node_kubeconfig();
    let manager = ["--use-service-account-credentials", "--allocate-node-cidrs=false"];
    let schedulers = apart.component("kube-scheduler", &[]);
    let managers = apart.component("kube-controller-manager", &manager);
    let leaders = ["kube-scheduler", "kube-controller-manager"].map(|name| (name, apart.leader(name, "")));
    // Both have the same address here, so one of them has to go without its port.
    let second_scheduler = apart.component("kube-scheduler", &["--secure-port", "0"]);
    let second_manager =
        apart.component("kube-controller-manager", &[&manager[..], &["--secure-port=0"]].concat());
    let (root, cgroup) = (text(&apart.node.dir().join("kubelet")), apart.node.cgroup_parent());
    let mut kubelet = vec!["--hostname-override", NODE, "--node-ip", HOST, "--root-dir", &root];
    kubelet.extend(["--container-runtime-endpoint", socket, "--cgroup-root", &cgroup]);
    let kubelet = apart.component("kubelet", &kubelet);
    let proxy =
        apart.component("kube-proxy", &["--hostname-override", NODE, "--cluster-cidr", "10.244.0.0/16"]);

    apart.kubectl(&format!("create deployment web --image={IMAGE} --replicas=2"));
    apart.kubectl("expose deployment web --port=80 --target-port=8080");
    apart.kubectl("rollout status deployment/web --timeout=60s");
    let service = apart.json("get service web");
    let ip = service["spec"]["clusterIP"].as_str().unwrap();
    apart.answers(ip);
    for (address, path, text) in [
        ("127.0.0.1:10248", "/healthz", "ok"),
        ("127.0.0.1:10256", "/healthz", "ok"),
        ("127.0.0.1:10249", "/proxyMode", "nftables"),
        ("127.0.0.1:10249", "/metrics", "kubernetes_build_info"),
    ] {
        apart.says(address, path, text);
    }

    kill(pid(&schedulers)).unwrap();
    kill(pid(&managers)).unwrap();
    apart.kubectl("scale deployment web --replicas=3");
    for (name, former) in &leaders {
        apart.leader(name, former);
    }
    apart.kubectl("rollout status deployment/web --timeout=60s");
    assert_eq!(apart.lease("kube-scheduler")["spec"]["leaseTransitions"], 1);
    apart.answers(ip);

    // What is stopped in order gives its lease up and has not failed.
    kill_process(Pid::from_raw(pid(&second_scheduler)).unwrap(), Signal::TERM).unwrap();
    second_scheduler.finish(Duration::from_secs(20)).ok();
    assert_eq!(apart.lease("kube-scheduler")["spec"]["holderIdentity"], "");

    apart.kubectl("delete deployment web --cascade=foreground --timeout=60s");
    wait_for("the end of the pods", SOON, || {
        let pods = apart.kubectl("get pods -o name");
        if pods.is_empty() { Ok(()) } else { Err(pods) }
    });
    for process in [kubelet, proxy, second_manager, api, schedulers, managers] {
        let _ = process.kill();
    }
}
