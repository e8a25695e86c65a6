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

struct World {
    api: Arc<Api>,
    containerd: Containerd,
    config: Config,
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
        World { api: Api::new(), containerd, config }
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
    let names = ["warm", "plain", "once", "done", "loop", "nopull", "sick", "oom"];
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
