//! Pods on a real containerd. Needs root, containerd, CNI plugins and a network namespace of its own:
//! `KUBELET_E2E_DIR=<empty dir> KUBELET_E2E_BUSYBOX=<static busybox>`; without them it says that it was skipped.

use std::sync::Arc;
use std::time::Duration;

use control::{CancellationToken, Context};
use cri::containerd::{Containerd, Options};
use cri::image::ImageBuilder;
use kubelet::Config;
use serde_json::{Value, json};

use crate::api::{Api, Direct};
use crate::server;

struct World {
    api: Arc<Api>,
    containerd: Containerd,
    config: Config,
    pki: std::path::PathBuf,
}

async fn until<T>(what: &str, seconds: u64, mut f: impl FnMut() -> Option<T>) -> T {
    let begun = tokio::time::Instant::now();
    loop {
        if let Some(v) = f() {
            eprintln!("{what}: {:?}", begun.elapsed());
            return v;
        }
        assert!(begun.elapsed() < Duration::from_secs(seconds), "timed out waiting for {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

impl World {
    async fn new(dir: &str, busybox: &str) -> World {
        let mut options = Options::new(dir);
        options.cgroup_parent = Some("/kubelet-e2e".into());
        let cni = options.cni_conf_dir.clone();
        let containerd = Containerd::start(options).await.expect("containerd starts");
        let program = std::fs::read(busybox).expect("busybox is there");
        let mut image = ImageBuilder::new().dir("bin", 0o755).dir("tmp", 0o1777).dir("etc", 0o755).file(
            "bin/busybox",
            &program,
            0o755,
        );
        for tool in [
            "sh", "sleep", "echo", "cat", "id", "ls", "wget", "httpd", "touch", "test", "rm", "env", "date",
            "true", "false",
        ] {
            image = image.symlink(&format!("bin/{tool}"), "busybox");
        }
        let image = image.env("PATH", "/bin").cmd(&["sleep", "3600"]).build().expect("the image is built");
        containerd.import(&image, &["docker.io/library/box:1"]).await.expect("the image is imported");
        let mut config = Config::new("node-1", format!("{dir}/kubelet"));
        config.pod_log_dir = format!("{dir}/logs").into();
        config.cgroup_root = "/kubelet-e2e".into();
        config.cni_conf_dir = cni;
        config.cni_bridge = "kle2e0".into();
        config.cluster_dns = vec!["10.96.0.10".parse().expect("an address")];
        config.listen = "127.0.0.1:10250".parse().expect("an address");
        let pki = std::path::PathBuf::from(dir).join("pki");
        server::certificates(&pki);
        config.tls_cert_file = Some(pki.join("kubelet.crt"));
        config.tls_key_file = Some(pki.join("kubelet.key"));
        config.client_ca_file = Some(pki.join("ca.crt"));
        World { api: Api::new(), containerd, config, pki }
    }

    fn agent(&self) -> (CancellationToken, tokio::task::JoinHandle<()>) {
        let stop = CancellationToken::new();
        let ctx = Context::new(Arc::new(Direct(self.api.clone()))).with_stop(stop.clone());
        let runtime = Arc::new(self.containerd.client());
        let config = self.config.clone();
        let task =
            tokio::spawn(async move { kubelet::run(config, ctx, runtime).await.expect("the agent runs") });
        (stop, task)
    }

    fn pod(&self, name: &str, spec: Value) {
        let mut spec = spec;
        spec["nodeName"] = "node-1".into();
        self.api.put("pods", json!({"kind": "Pod", "apiVersion": "v1", "metadata": {
            "name": name, "namespace": "default", "uid": format!("0000-{name}"), "labels": {"app": name}}, "spec": spec}));
    }

    fn status(&self, name: &str) -> Value {
        self.api.get("pods", "default", name).map(|p| p["status"].clone()).unwrap_or_default()
    }

    fn ready(&self, name: &str) -> Option<()> {
        let s = self.status(name);
        let c = s["conditions"].as_array()?.iter().find(|c| c["type"] == "Ready")?;
        (c["status"] == "True").then_some(())
    }

    fn delete(&self, name: &str, grace: i64) {
        let mut p = self.api.get("pods", "default", name).expect("the pod is there");
        p["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        p["metadata"]["deletionGracePeriodSeconds"] = grace.into();
        self.api.put("pods", p);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_live_and_die() {
    let (Ok(dir), Ok(busybox)) = (std::env::var("KUBELET_E2E_DIR"), std::env::var("KUBELET_E2E_BUSYBOX"))
    else {
        eprintln!("skipped: KUBELET_E2E_DIR and KUBELET_E2E_BUSYBOX are not set");
        return;
    };
    let w = World::new(&dir, &busybox).await;
    let (stop, agent) = w.agent();
    until("node registered", 10, || w.api.get("nodes", "", "node-1")).await;
    let mut node = w.api.get("nodes", "", "node-1").expect("registered");
    node["spec"]["podCIDR"] = "10.244.7.0/24".into();
    node["spec"]["podCIDRs"] = json!(["10.244.7.0/24"]);
    w.api.put("nodes", node);
    until("node ready", 20, || {
        let n = w.api.get("nodes", "", "node-1")?;
        let c = n["status"]["conditions"].as_array()?.iter().find(|c| c["type"] == "Ready")?.clone();
        (c["status"] == "True").then_some(())
    })
    .await;
    until("lease", 5, || w.api.get("leases", "kube-node-lease", "node-1")).await;
    lives(&w).await;
    speaks(&w).await;
    latency(&w).await;
    restarts(&w).await;
    // A restart of the agent leaves running pods alone.
    let before = w.status("plain")["containerStatuses"].clone();
    stop.cancel();
    agent.await.expect("the agent ends");
    let (stop, agent) = w.agent();
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(w.status("plain")["containerStatuses"], before);
    assert!(w.ready("plain").is_some());
    ends(&w).await;
    for e in w.api.all("events") {
        eprintln!("event {} {}: {}", e["involvedObject"]["name"], e["reason"], e["message"]);
    }
    stop.cancel();
    agent.await.expect("the agent ends");
    w.containerd.down(true).await.expect("containerd goes");
}

async fn lives(w: &World) {
    w.api.put(
        "configmaps",
        json!({"kind": "ConfigMap", "metadata": {"name": "cm", "namespace": "default"}, "data": {"k": "v1"}}),
    );
    w.pod("warm", json!({"containers": [{"name": "c", "image": "box:1"}]}));
    until("first pod ready", 20, || w.ready("warm")).await;
    w.pod("plain", json!({
        "volumes": [{"name": "cm", "configMap": {"name": "cm"}}, {"name": "e", "emptyDir": {}},
            {"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}],
        "initContainers": [{"name": "i", "image": "box:1", "command": ["sh", "-c", "echo from-init > /e/x"],
            "volumeMounts": [{"name": "e", "mountPath": "/e"}]}],
        "containers": [{"name": "c", "image": "box:1",
            "command": ["sh", "-c", "cat /cm/k /e/x /t/token /sub; echo env=$(K); exec httpd -f -p 8080 -h /cm"],
            "env": [{"name": "K", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "k"}}}],
            "readinessProbe": {"httpGet": {"path": "/k", "port": 8080}, "periodSeconds": 1},
            "livenessProbe": {"exec": {"command": ["true"]}, "periodSeconds": 1},
            "resources": {"requests": {"cpu": "50m"}, "limits": {"memory": "32Mi"}},
            "volumeMounts": [{"name": "cm", "mountPath": "/cm"}, {"name": "e", "mountPath": "/e"},
                {"name": "t", "mountPath": "/t"}, {"name": "cm", "mountPath": "/sub", "subPath": "k"}]}]}));
    until("pod with volumes ready", 20, || w.ready("plain")).await;
    let s = w.status("plain");
    eprintln!("{s:#}");
    let log = std::fs::read_to_string(w.config.pod_log_dir.join("default_plain_0000-plain/c/0.log"))
        .expect("a log");
    for want in ["v1", "from-init", "tok", "env=v1"] {
        assert!(log.contains(want), "{want} in {log}");
    }
}

/// Logs, exec, port-forward; and who may not.
async fn speaks(w: &World) {
    let d = &w.pki;
    assert!(server::get(d, None, "/healthz").await.ends_with("ok"));
    for (client, code) in [(None, "401"), (Some("stranger"), "403"), (Some("apiserver"), "200")] {
        let got = server::get(d, client, "/pods").await;
        assert!(got.starts_with(&format!("HTTP/1.1 {code}")), "{client:?} {got}");
    }
    let log = server::get(d, Some("apiserver"), "/containerLogs/default/plain/c?tailLines=1").await;
    assert!(log.contains("env=v1") && !log.contains("from-init"), "{log}");
    let log = server::get(d, Some("apiserver"), "/containerLogs/default/plain/none").await;
    assert!(log.starts_with("HTTP/1.1 404"), "{log}");
    let (out, status) = server::exec(
        d,
        "/exec/default/plain/c?command=sh&command=-c&command=cat;echo%20hi;exit%203&input=1&output=1&error=1",
        "typed\n",
    )
    .await;
    assert_eq!(out, "typed\nhi\n");
    assert!(status.contains("ExitCode") && status.contains("\"3\""), "{status}");
    let (out, _) = server::exec(
        d,
        "/exec/default/plain/c?command=cat&command=/etc/hosts&command=/etc/resolv.conf&output=1",
        "",
    )
    .await;
    assert!(
        out.contains("Kubernetes-managed")
            && out.contains("\tplain\n")
            && out.contains("default.svc.cluster.local"),
        "{out}"
    );
    let page = server::forward(d, "/portForward/default/plain?port=8080", "GET /k HTTP/1.0\r\n\r\n").await;
    assert!(page.contains("200 OK"), "{page}");
    let summary = server::get(d, Some("apiserver"), "/stats/summary").await;
    assert!(summary.contains("usageCoreNanoSeconds"), "{summary}");
    let metrics = server::get(d, Some("apiserver"), "/metrics").await;
    assert!(metrics.contains("kubelet_running_pods"), "{metrics}");
    // A followed log ends with its container.
    w.pod(
        "talk",
        json!({"restartPolicy": "Never", "containers": [{"name": "c", "image": "box:1",
        "command": ["sh", "-c", "for i in 1 2 3; do echo line $i; sleep 0.3; done"]}]}),
    );
    until("talking", 10, || (w.status("talk")["phase"] == "Running").then_some(())).await;
    let log = server::get(d, Some("apiserver"), "/containerLogs/default/talk/c?follow=true").await;
    assert!(log.contains("line 1") && log.contains("line 3"), "{log}");
}

/// Prints what a pod's start takes here and in the runtime alone.
async fn latency(w: &World) {
    for i in 0..5 {
        let name = format!("quick{i}");
        w.pod(&name, json!({"containers": [{"name": "c", "image": "box:1"}]}));
        until("a pod ready", 10, || w.ready(&name)).await;
        w.delete(&name, 0);
    }
}

async fn restarts(w: &World) {
    w.pod(
        "once",
        json!({"restartPolicy": "Never", "containers": [{"name": "c", "image": "box:1",
        "command": ["sh", "-c", "echo bye > /dev/termination-log; exit 3"]}]}),
    );
    until("pod failed", 10, || (w.status("once")["phase"] == "Failed").then_some(())).await;
    let t = w.status("once")["containerStatuses"][0]["state"]["terminated"].clone();
    assert_eq!((&t["exitCode"], &t["message"], &t["reason"]), (&json!(3), &json!("bye\n"), &json!("Error")));
    w.pod("done", json!({"restartPolicy": "OnFailure", "containers": [{"name": "c", "image": "box:1", "command": ["true"]}]}));
    until("pod succeeded", 10, || (w.status("done")["phase"] == "Succeeded").then_some(())).await;
    w.pod("loop", json!({"containers": [{"name": "c", "image": "box:1", "command": ["false"]}]}));
    until("crash loop", 20, || {
        (w.status("loop")["containerStatuses"][0]["state"]["waiting"]["reason"] == "CrashLoopBackOff")
            .then_some(())
    })
    .await;
    w.pod("nopull", json!({"containers": [{"name": "c", "image": "127.0.0.1:1/no/such:1"}]}));
    until("image back-off", 20, || {
        (w.status("nopull")["containerStatuses"][0]["state"]["waiting"]["reason"] == "ImagePullBackOff")
            .then_some(())
    })
    .await;
    w.pod("sick", json!({"containers": [{"name": "c", "image": "box:1", "command": ["sh", "-c", "touch /tmp/ok; sleep 2; rm /tmp/ok; sleep 99"],
        "livenessProbe": {"exec": {"command": ["test", "-e", "/tmp/ok"]}, "periodSeconds": 1, "failureThreshold": 1}}],
        "terminationGracePeriodSeconds": 2}));
    until("restart after liveness", 20, || {
        (w.status("sick")["containerStatuses"][0]["restartCount"].as_i64()? >= 1).then_some(())
    })
    .await;
    w.pod("oom", json!({"restartPolicy": "Never", "containers": [{"name": "c", "image": "box:1",
        "command": ["sh", "-c", "x=a; while true; do x=$x$x; done"], "resources": {"limits": {"memory": "16Mi"}}}]}));
    until("out of memory", 20, || {
        (w.status("oom")["containerStatuses"][0]["state"]["terminated"]["reason"] == "OOMKilled")
            .then_some(())
    })
    .await;
}

async fn ends(w: &World) {
    let names = ["talk", "warm", "plain", "once", "done", "loop", "nopull", "sick", "oom"];
    for n in names {
        w.delete(n, 1);
    }
    until("pods gone", 30, || w.api.all("pods").is_empty().then_some(())).await;
    until("directories gone", 30, || {
        let left = std::fs::read_dir(w.config.root_dir.join("pods")).ok()?.count();
        let logs = std::fs::read_dir(&w.config.pod_log_dir).ok()?.count();
        (left + logs == 0).then_some(())
    })
    .await;
}
