//! kill -9 of the server and of the container runtime: pods serve on, nothing restarts, nothing is lost.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};
use serde_json::Value;
use testkit::cluster::{Cluster, HOST, Mode, http, kill};
use testkit::wait::wait_for;

use crate::parts::Parts;
use crate::raw::{As, with_client};
use crate::session::{CORTEN, SOON, Session, restarts, start, start_api};

const NODE_PORT: u16 = 30080;
/// Kinds whose objects are compared as a whole, but for what a running cluster writes all the time.
const KINDS: [&str; 10] = [
    "namespaces",
    "configmaps",
    "secrets",
    "serviceaccounts",
    "services",
    "deployments",
    "replicasets",
    "pods",
    "clusterroles",
    "endpointslices",
];

#[test]
fn pods_outlive_a_killed_server_and_a_killed_runtime() {
    let mut cluster = start();
    let kubectl = testkit::kubectl::newest().unwrap();
    let s = Session::new(&cluster, &kubectl, "kill");
    s.apply_example();
    s.wait_for_ready("app=webapp", 2);
    wait_for("the NodePort", SOON, || s.node_port(NODE_PORT, "/").map(drop));
    let before = (objects(&s), pods(&s));
    let namespace = s.namespace.clone();
    serves_while(&mut cluster, |cluster| {
        cluster.kill_server().unwrap();
        acknowledged_while_dead(cluster);
        cluster.start_server().unwrap_or_else(|error| panic!("{error:#}"));
    });
    let s = Session { cluster: &cluster, kubectl: kubectl.clone(), namespace: namespace.clone() };
    let after = (objects(&s), pods(&s));
    assert_eq!(before.1, after.1, "pods");
    for (kind, uids) in &before.0 {
        assert_eq!(Some(uids), after.0.get(kind), "{kind}");
    }
    still_works(&s);
    serves_while(&mut cluster, |cluster| {
        let old = cluster.containerd_pid().expect("containerd runs");
        kill(old).unwrap();
        wait_for("a new containerd", SOON, || match cluster.containerd_pid() {
            Some(new) if new != old => Ok(()),
            other => Err(format!("{other:?}")),
        });
    });
    let s = Session { cluster: &cluster, kubectl, namespace };
    still_works(&s);
    assert_eq!(before.1, pods(&s), "pods after the runtime was killed");
    cluster.down().unwrap();
}

/// Asks the NodePort all the time while `work` runs: no answer may fail.
fn serves_while(cluster: &mut Cluster, work: impl FnOnce(&mut Cluster)) {
    let (stop, asked, lost) = (AtomicBool::new(false), AtomicUsize::new(0), Mutex::new(Vec::new()));
    let namespace = std::fs::File::open(cluster.netns().path()).unwrap();
    let load = || {
        while !stop.load(Ordering::SeqCst) {
            match http("GET", &format!("{HOST}:{NODE_PORT}"), "/", Duration::from_secs(5)) {
                Ok((200, _)) => {}
                other => lost.lock().unwrap().push(format!("{other:?}")),
            }
            asked.fetch_add(1, Ordering::SeqCst);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| testkit::netns::inside_of(&namespace, load).unwrap());
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(cluster)));
        stop.store(true, Ordering::SeqCst);
        if let Err(panic) = done {
            std::panic::resume_unwind(panic);
        }
    });
    let (asked, lost) = (asked.load(Ordering::SeqCst), lost.into_inner().unwrap());
    eprintln!("{asked} requests meanwhile, {} lost", lost.len());
    assert!(asked > 20 && lost.is_empty(), "{} of {asked} requests lost: {:?}", lost.len(), lost.first());
}

/// The server is really away, and the pods answer.
fn acknowledged_while_dead(cluster: &Cluster) {
    let ask = |address: &'static str| move || http("GET", address, "/", Duration::from_secs(2)).map(|a| a.0);
    let api = cluster.netns().inside(ask("127.0.0.1:6443")).unwrap();
    assert!(api.is_err(), "the server still listens");
    for _ in 0..20 {
        assert_eq!(cluster.netns().inside(ask("192.0.2.1:30080")).unwrap().unwrap(), 200);
    }
}

/// Name and UID of every object, and the revision of those that only users write.
fn objects(s: &Session) -> BTreeMap<String, BTreeMap<String, String>> {
    KINDS.iter().map(|kind| ((*kind).to_owned(), of_kind(s, kind))).collect()
}

fn of_kind(s: &Session, kind: &str) -> BTreeMap<String, String> {
    let list = s.json(&format!("get {kind} --all-namespaces"));
    let still = ["namespaces", "configmaps", "secrets", "services", "clusterroles"].contains(&kind);
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let facts = items.iter().map(|object| {
        let meta = &object["metadata"];
        let revision = if still { meta["resourceVersion"].to_string() } else { String::new() };
        (format!("{}/{}", meta["namespace"], meta["name"]), format!("{} {revision}", meta["uid"]))
    });
    facts.collect()
}

/// What must not change of a pod.
fn pods(s: &Session) -> Vec<(Value, Value, Value, u64, Value)> {
    let list = s.json("get pods --all-namespaces");
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let facts = items.iter().map(|pod| {
        let status = &pod["status"];
        let container = &status["containerStatuses"][0];
        let uid = pod["metadata"]["uid"].clone();
        let started = container["state"]["running"]["startedAt"].clone();
        (uid, status["podIP"].clone(), container["containerID"].clone(), restarts(pod), started)
    });
    facts.collect()
}

fn still_works(s: &Session) {
    s.wait_for_ready("app=webapp", 2);
    wait_for("exec", SOON, || {
        let output = s.run("exec deployment/webapp -- /webapp echo alive");
        if output.stdout == "alive\n" { Ok(()) } else { Err(output.to_string()) }
    });
    s.ok("scale deployment webapp --replicas=3");
    s.wait_for_ready("app=webapp", 3);
    s.ok("scale deployment webapp --replicas=2");
    s.wait_for_ready("app=webapp", 2);
}

#[test]
fn everything_is_back_after_a_boot() {
    let mut cluster = start();
    let (before, namespace) = {
        let s = Session::newest(&cluster, "boot");
        s.apply_example();
        (s.wait_for_ready("app=webapp", 2), s.namespace.clone())
    };
    let stale = cluster.state().join("containerd/run/stale");
    let stale = if stale.parent().is_some_and(|run| run.is_dir()) {
        std::fs::write(&stale, "").unwrap();
        Some(stale)
    } else {
        None
    };
    cluster.reboot().unwrap();
    // What the machine itself sets at a boot is not undone by what was noted in the one before.
    let switch = "/proc/sys/net/ipv4/conf/all/route_localnet";
    let noted = |cluster: &Cluster| -> Value {
        let settings = std::fs::read(cluster.state().join("settings.json")).unwrap();
        serde_json::from_slice::<Value>(&settings).unwrap()["route_localnet"].clone()
    };
    assert_eq!(noted(&cluster), "0");
    cluster.netns().inside(|| std::fs::write(switch, "1").unwrap()).unwrap();
    cluster.start_server().unwrap_or_else(|error| panic!("{error:#}"));
    let s = Session { cluster: &cluster, kubectl: testkit::kubectl::newest().unwrap(), namespace };
    let after = s.wait_for_ready("app=webapp", 2);
    let uids = |pods: &[Value]| -> Vec<String> {
        pods.iter().map(|pod| pod["metadata"]["uid"].to_string()).collect()
    };
    assert_eq!(uids(&before), uids(&after), "the same pods");
    assert!(after.iter().all(|pod| restarts(pod) == 1), "{after:?}");
    wait_for("the NodePort", SOON, || s.node_port(NODE_PORT, "/").map(drop));
    still_works(&s);
    s.says("exec deployment/webapp -- /webapp cat /etc/webapp/config", &["colour = rust"]);
    s.says("exec deployment/webapp -- /webapp ls /etc/webapp-secret", &["token"]);
    assert!(stale.is_none_or(|stale| !stale.exists()), "what the boot has left is cleared");
    assert_eq!(noted(&cluster), "1", "noted after it was overwritten");
    let log = std::fs::read_to_string(cluster.state().join("corten.log")).unwrap();
    assert_eq!(log.matches("the machine was booted since").count(), 1);
    cluster.kill_server().unwrap();
    cluster.start_server().unwrap();
    let log = std::fs::read_to_string(cluster.state().join("corten.log")).unwrap();
    assert_eq!(log.matches("the machine was booted since").count(), 1, "only once");
    cluster.down().unwrap();
}

#[test]
fn pods_outlive_a_killed_node_agent_that_runs_apart() {
    let mut cluster = Cluster::start(CORTEN, Mode::Server).unwrap_or_else(|error| panic!("{error:#}"));
    let mut parts = Parts::start(&cluster);
    let kubectl = testkit::kubectl::newest().unwrap();
    let s = Session::new(&cluster, &kubectl, "apart");
    s.apply_example();
    s.wait_for_ready("app=webapp", 2);
    wait_for("the NodePort", SOON, || s.node_port(NODE_PORT, "/").map(drop));
    still_works(&s);
    let before = pods(&s);
    let namespace = s.namespace.clone();
    serves_while(&mut cluster, |cluster| {
        let s = Session { cluster, kubectl: kubectl.clone(), namespace: namespace.clone() };
        parts.kill_kubelet();
        let refused = s.fails("logs deployment/webapp");
        assert!(refused.contains("connection refused"), "{refused}");
        for _ in 0..20 {
            s.node_port(NODE_PORT, "/").unwrap();
        }
        parts.start_kubelet(cluster);
        wait_for("logs through the new node agent", SOON, || {
            let output = s.run("logs deployment/webapp");
            if output.code == Some(0) { Ok(()) } else { Err(output.to_string()) }
        });
        s.wait_for_ready("app=webapp", 2);
        assert_eq!(before, pods(&s), "pods after the node agent was killed");
    });
    let s = Session { cluster: &cluster, kubectl, namespace };
    still_works(&s);
    // What changed while it was away is done when it is back.
    parts.kill_kubelet();
    s.ok("scale deployment webapp --replicas=0");
    parts.start_kubelet(&cluster);
    wait_for("the end of all pods", SOON, || {
        let left = s.json("get pods --all-namespaces")["items"].as_array().map_or(0, Vec::len);
        if left == 0 { Ok(()) } else { Err(left.to_string()) }
    });
    for (uid, ..) in &before {
        let uid = uid.as_str().unwrap();
        wait_for("the end of the pods' logs", SOON, || {
            let all = std::fs::read_dir("/var/log/pods").map_err(|e| e.to_string())?.flatten();
            let left: Vec<_> =
                all.map(|e| e.file_name()).filter(|n| n.to_string_lossy().contains(uid)).collect();
            if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
        });
    }
    parts.down(&cluster);
    cluster.down().unwrap();
}

#[test]
fn a_killed_server_loses_no_acknowledged_write() {
    let mut cluster = start_api();
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        let count = AtomicUsize::new(0);
        let pid = cluster.server_pid().expect("the server runs");
        let written = std::thread::scope(|scope| {
            let writers = scope
                .spawn(|| with_client(&cluster, As::Admin, |client| write_until_dead(client, round, &count)));
            wait_for("200 writes", SOON, || {
                let now = count.load(Ordering::SeqCst);
                if now > 200 { Ok(()) } else { Err(now.to_string()) }
            });
            kill(pid).unwrap();
            writers.join().unwrap()
        });
        assert!(written.len() > 200);
        acknowledged.extend(written);
        cluster.kill_server().ok();
        cluster.start_server().unwrap_or_else(|error| panic!("{error:#}"));
        let there = with_client(&cluster, As::Admin, |client| async move {
            let api: Api<ConfigMap> = Api::namespaced(client, "default");
            let list = api.list(&ListParams::default()).await.unwrap();
            let facts = list.items.into_iter().map(|m| (m.metadata.name.unwrap(), m.metadata.uid.unwrap()));
            facts.collect::<BTreeMap<_, _>>()
        });
        for (name, uid) in &acknowledged {
            assert_eq!(there.get(name), Some(uid), "{name} of {} acknowledged ones", acknowledged.len());
        }
    }
    cluster.down().unwrap();
}

/// Creates objects from 8 tasks until the server is gone: those that were acknowledged.
async fn write_until_dead(client: Client, round: usize, count: &AtomicUsize) -> Vec<(String, String)> {
    let writer = |task: usize| {
        let api: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
        async move {
            let mut done = Vec::new();
            for n in 0.. {
                let name = format!("w-{round}-{task}-{n}");
                let object = serde_json::json!({"metadata": {"name": name}, "data": {"n": n.to_string()}});
                let object: ConfigMap = serde_json::from_value(object).unwrap();
                let Ok(made) = api.create(&PostParams::default(), &object).await else { break };
                done.push((name, made.metadata.uid.unwrap()));
                count.fetch_add(1, Ordering::SeqCst);
            }
            done
        }
    };
    futures_util::future::join_all((0..8).map(writer)).await.concat()
}
