//! The example serves: by DNS name from a pod, over its NodePort from the host; through deletions, crashes, failing
//! probes and rolling updates.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use testkit::cluster::{HOST, http};
use testkit::wait::wait_for;

use crate::session::{IMAGE, SOON, Session, name, pod_ip, restarts, start};

const NODE_PORT: u16 = 30080;
/// Threads that ask without a pause while the example is updated.
const LOAD_THREADS: usize = 3;

#[test]
fn the_example_serves_through_everything() {
    let cluster = start();
    let s = Session::newest(&cluster, "serving");
    s.apply_example();
    s.ok(&format!("run client --image={IMAGE} --command -- /webapp sleep"));
    s.ok("wait --for=condition=Ready pod/client --timeout=60s");
    names_and_addresses(&s);
    both_ways_reach_every_pod(&s);
    a_deleted_pod_is_replaced(&s);
    a_crash_is_restarted(&s);
    crashes_back_off(&s);
    readiness_decides(&s);
    a_rolling_update_loses_nothing(&s);
    cluster.down().unwrap();
}

fn from_client(s: &Session, words: &str) -> Result<String, String> {
    let output = s.run(&format!("exec client -- /webapp {words}"));
    if output.code == Some(0) { Ok(output.stdout) } else { Err(output.to_string()) }
}

fn names_and_addresses(s: &Session) {
    let address = s.ok("get service webapp -o jsonpath={.spec.clusterIP}");
    let full = format!("webapp.{}.svc.cluster.local", s.namespace);
    for name in ["webapp", &format!("webapp.{}", s.namespace), &format!("webapp.{}.svc", s.namespace), &full]
    {
        wait_for(&format!("the address of {name}"), SOON, || {
            let answer = from_client(s, &format!("resolve {name}"))?;
            if answer.trim() == address { Ok(()) } else { Err(answer) }
        });
    }
    assert!(from_client(s, "resolve no-such-service").is_err());
    s.apply(
        "{apiVersion: v1, kind: Service, metadata: {name: headless}, \
         spec: {clusterIP: None, selector: {app: webapp}, ports: [{port: 8080}]}}",
    );
    let want: BTreeSet<String> = s.wait_for_ready("app=webapp", 2).iter().map(pod_ip).collect();
    wait_for("the pods' addresses behind a headless Service", SOON, || {
        let answer = from_client(s, "resolve headless")?;
        let got: BTreeSet<String> = answer.lines().map(str::to_owned).collect();
        if got == want { Ok(()) } else { Err(answer) }
    });
    s.says("exec client -- /webapp get http://webapp/config", &["colour = rust"]);
    s.says("exec client -- /webapp cat /etc/resolv.conf", &["nameserver 10.96.0.10", "ndots:5"]);
}

fn both_ways_reach_every_pod(s: &Session) {
    let pods: BTreeSet<String> = s.wait_for_ready("app=webapp", 2).iter().map(name).collect();
    let seen = |text: &str| -> BTreeSet<String> {
        pods.iter().filter(|pod| text.contains(pod.as_str())).cloned().collect()
    };
    wait_for("both pods over the ClusterIP", SOON, || {
        let text = from_client(s, "get http://webapp/ -n 40")?;
        if seen(&text) == pods { Ok(()) } else { Err(text) }
    });
    wait_for("both pods over the NodePort", SOON, || {
        let mut text = String::new();
        for _ in 0..40 {
            text.push_str(&s.node_port(NODE_PORT, "/")?.1);
        }
        if seen(&text) == pods { Ok(()) } else { Err(text) }
    });
    let address = s.ok("get service webapp -o jsonpath={.spec.clusterIP}");
    let answer = s.http("GET", &format!("{address}:80"), "/").unwrap();
    assert_eq!(answer.0, 200, "over the ClusterIP from the host: {answer:?}");
    // A pod that reaches itself through its own Service.
    let own = name(&s.wait_for_ready("app=webapp", 2)[0]);
    for _ in 0..6 {
        s.ok(&format!("exec {own} -- /webapp get http://webapp/ --timeout 5"));
    }
    // Nobody listens on the port of a Service without endpoints: refused, not silent.
    s.ok("create service clusterip empty --tcp=80:8080");
    let refused = from_client(s, "get http://empty/ --timeout 5").unwrap_err();
    assert!(refused.to_lowercase().contains("refused"), "{refused}");
}

fn a_deleted_pod_is_replaced(s: &Session) {
    let before: BTreeSet<String> = s.wait_for_ready("app=webapp", 2).iter().map(name).collect();
    let victim = before.first().unwrap();
    s.ok(&format!("delete pod {victim}"));
    let after: BTreeSet<String> = s.wait_for_ready("app=webapp", 2).iter().map(name).collect();
    assert!(!after.contains(victim) && after.intersection(&before).count() == 1, "{before:?} {after:?}");
}

fn a_crash_is_restarted(s: &Session) {
    let pods = s.wait_for_ready("app=webapp", 2);
    let pod = name(&pods[0]);
    let crashed = from_client(s, &format!("get http://{}:8080/crash", pod_ip(&pods[0])));
    assert!(crashed.is_err(), "{crashed:?}");
    let after = wait_for("the restart of the crashed container", SOON, || {
        let ready = s.ready_pods("app=webapp");
        let same = ready.into_iter().find(|p| name(p) == pod && restarts(p) == 1);
        same.ok_or_else(|| s.ok("get pods -o wide"))
    });
    assert_eq!(pod_ip(&after), pod_ip(&pods[0]), "a restarted container keeps its pod's address");
    let last = &after["status"]["containerStatuses"][0]["lastState"]["terminated"];
    assert_eq!((last["exitCode"].as_i64(), last["reason"].as_str()), (Some(1), Some("Error")), "{last}");
    s.says(&format!("logs {pod} --previous"), &["crash was asked for"]);
}

fn crashes_back_off(s: &Session) {
    s.ok(&format!("run crasher --image={IMAGE} --command -- /webapp exit 3"));
    s.wait_for_text("get pod crasher", "CrashLoopBackOff");
    let pod = s.json("get pod crasher");
    let status = &pod["status"]["containerStatuses"][0];
    assert_eq!(status["lastState"]["terminated"]["exitCode"], 3, "{status}");
    let message = status["state"]["waiting"]["message"].as_str().unwrap_or_default();
    assert!(message.contains("back-off") && message.contains("restarting failed container"), "{message}");
    s.wait_for_text("describe pod crasher", "Back-off restarting failed container");
    s.ok("delete pod crasher --now");
}

fn endpoints(s: &Session) -> BTreeSet<String> {
    let list = s.json("get endpointslices -l kubernetes.io/service-name=webapp");
    let slices = list["items"].as_array().cloned().unwrap_or_default();
    let endpoints =
        slices.iter().flat_map(|slice| slice["endpoints"].as_array().cloned().unwrap_or_default());
    let ready = endpoints.filter(|endpoint| endpoint["conditions"]["ready"] == true);
    ready.filter_map(|endpoint| endpoint["addresses"][0].as_str().map(str::to_owned)).collect()
}

fn readiness_decides(s: &Session) {
    let pods = s.wait_for_ready("app=webapp", 2);
    let all: BTreeSet<String> = pods.iter().map(pod_ip).collect();
    let (out, other) = (&pods[0], name(&pods[1]));
    let address = format!("{}:8080", pod_ip(out));
    s.http("POST", &address, "/ready?value=false").unwrap();
    wait_for("one endpoint less", SOON, || {
        let now = endpoints(s);
        if now.len() == 1 && !now.contains(&pod_ip(out)) { Ok(()) } else { Err(format!("{now:?}")) }
    });
    wait_for("answers of the ready pod alone", SOON, || {
        let text = from_client(s, "get http://webapp/ -n 30")?;
        if text.lines().all(|line| line.ends_with(&other)) { Ok(()) } else { Err(text) }
    });
    s.wait_for_text("get pods", "0/1");
    s.wait_for_text("get endpoints webapp", ":8080");
    s.wait_for_text(&format!("describe pod {}", name(out)), "Readiness probe failed");
    s.http("POST", &address, "/ready?value=true").unwrap();
    wait_for("both endpoints again", SOON, || {
        let now = endpoints(s);
        if now == all { Ok(()) } else { Err(format!("{now:?}")) }
    });
    let again = s.wait_for_ready("app=webapp", 2);
    let count = |p: &&serde_json::Value| name(p) == name(out);
    assert_eq!(again.iter().find(count).map(restarts), Some(restarts(out)), "readiness restarts nothing");
}

fn a_rolling_update_loses_nothing(s: &Session) {
    let (stop, asked, lost) = (AtomicBool::new(false), AtomicUsize::new(0), Mutex::new(Vec::new()));
    let load = || {
        while !stop.load(Ordering::SeqCst) {
            match http("GET", &format!("{HOST}:{NODE_PORT}"), "/work?ms=20", Duration::from_secs(10)) {
                Ok((200, _)) => {}
                other => lost.lock().unwrap().push(format!("{other:?}")),
            }
            asked.fetch_add(1, Ordering::SeqCst);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..LOAD_THREADS {
            scope.spawn(|| s.cluster.netns().inside(load).unwrap());
        }
        wait_for(
            "load",
            SOON,
            || if asked.load(Ordering::SeqCst) > 50 { Ok(()) } else { Err(String::new()) },
        );
        let inside = s.start("exec client -- /webapp get http://webapp/ -n 1500");
        let updates = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for round in ["first", "second"] {
                s.ok(&format!("set env deployment/webapp ROUND={round}"));
                s.ok("rollout status deployment/webapp --timeout=90s");
            }
            s.wait_for_ready("app=webapp", 2);
        }));
        let inside = inside.finish(SOON);
        stop.store(true, Ordering::SeqCst);
        if let Err(panic) = updates {
            std::panic::resume_unwind(panic);
        }
        assert_eq!(inside.ok().lines().count(), 1500, "answers over the ClusterIP");
    });
    let (asked, lost) = (asked.load(Ordering::SeqCst), lost.into_inner().unwrap());
    eprintln!("{asked} requests over the NodePort during two rolling updates, {} lost", lost.len());
    assert!(lost.is_empty(), "{} of {asked} requests lost: {:?}", lost.len(), &lost[..lost.len().min(5)]);
}
