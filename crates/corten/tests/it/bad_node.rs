//! What goes wrong on a node: images that are not there, containers that end or take too much. Each is shown where
//! a user looks, and nothing else suffers.

use serde_json::Value;
use testkit::cluster::Cluster;
use testkit::wait::wait_for;

use crate::session::{IMAGE, SOON, Session, restarts, start};

#[test]
fn troubles_on_the_node_are_shown() {
    let mut cluster = start();
    {
        let s = Session::newest(&cluster, "trouble");
        s.ok(&format!("run bystander --image={IMAGE}"));
        s.ok("wait --for=condition=Ready pod/bystander --timeout=60s");
        // Started together: each needs some seconds to show.
        s.ok("run unknown --image=registry.test/nothing:1");
        // kubectl run refuses such a name itself.
        s.apply(
            "{apiVersion: v1, kind: Pod, metadata: {name: nonsense}, spec: {containers: [{name: c, image: \"registry.test/UPPER:1\"}]}}",
        );
        s.ok(&format!("run exits --image={IMAGE} --command -- /webapp exit 4"));
        s.ok(&format!("run done --image={IMAGE} --restart=Never --command -- /webapp exit 0"));
        s.ok(&format!("run failed --image={IMAGE} --restart=Never --command -- /webapp exit 5"));
        s.ok(&format!("run noprogram --image={IMAGE} --restart=Never --command -- /no/such/program"));
        fills_its_memory(&s);
        cannot_be_configured(&s);
        does_not_fit(&s);
        unknown_image(&s);
        exits(&s);
        liveness(&s);
    }
    registry_that_is_down(&mut cluster);
    cluster.down().unwrap();
}

fn container(pod: &Value) -> Value {
    pod["status"]["containerStatuses"][0].clone()
}

/// Waits until the container waits for that reason.
#[track_caller]
fn waits_for_reason(s: &Session, pod: &str, reasons: &[&str]) -> Value {
    wait_for(&format!("{pod} to wait with {reasons:?}"), SOON, || {
        let status = container(&s.json(&format!("get pod {pod}")));
        let reason = status["state"]["waiting"]["reason"].as_str().unwrap_or_default();
        if reasons.contains(&reason) { Ok(status) } else { Err(status.to_string()) }
    })
}

fn unknown_image(s: &Session) {
    waits_for_reason(s, "unknown", &["ImagePullBackOff"]);
    s.wait_for_text("describe pod unknown", "Failed to pull image \"registry.test/nothing:1\"");
    s.wait_for_text("get events", "ErrImagePull");
    s.wait_for_text("get pod unknown", "ImagePullBackOff");
    let status = waits_for_reason(s, "nonsense", &["InvalidImageName"]);
    assert!(status["state"]["waiting"]["message"].as_str().is_some_and(|m| m.contains("UPPER")), "{status}");
    s.ok("delete pod unknown nonsense --now");
}

fn exits(s: &Session) {
    s.wait_for_text("get pod exits", "CrashLoopBackOff");
    let status = container(&s.json("get pod exits"));
    assert_eq!(status["lastState"]["terminated"]["exitCode"], 4, "{status}");
    assert_eq!(s.json("get pod done")["status"]["phase"], "Succeeded");
    let failed = s.json("get pod failed");
    assert_eq!((&failed["status"]["phase"], restarts(&failed)), (&Value::from("Failed"), 0), "{failed}");
    assert_eq!(container(&failed)["state"]["terminated"]["exitCode"], 5, "{failed}");
    s.wait_for_text("get pod done", "Completed");
    s.wait_for_text("get pod failed", "Error");
    let status = wait_for("a program that is not in the image", SOON, || {
        let status = container(&s.json("get pod noprogram"));
        let shown = status.to_string();
        if shown.contains("/no/such/program") { Ok(status) } else { Err(shown) }
    });
    assert_eq!(status["restartCount"], 0, "{status}");
    let end = &status["state"]["terminated"];
    assert_eq!((&end["reason"], &end["exitCode"]), (&Value::from("StartError"), &Value::from(128)), "{end}");
    assert_eq!(end["startedAt"], "1970-01-01T00:00:00Z", "{end}");
    let events = s.json("get events --field-selector involvedObject.name=noprogram");
    let of = |reason: &str| {
        let all = events["items"].as_array().into_iter().flatten().filter(|e| e["reason"] == reason);
        all.map(|e| e["count"].as_u64().unwrap_or(1)).sum::<u64>()
    };
    assert_eq!((of("Pulled"), of("Created"), of("Failed")), (1, 1, 1), "{events}");
    s.ok("delete pod exits done failed noprogram --now");
}

fn fills_its_memory(s: &Session) {
    s.apply(&format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: greedy}}, spec: {{restartPolicy: Never, containers: [{{name: c, \
         image: {IMAGE}, args: [fill, '200'], resources: {{limits: {{memory: 32Mi}}}}}}]}}}}"
    ));
    let status = wait_for("the end of a container that fills its memory", SOON, || {
        let status = container(&s.json("get pod greedy"));
        if status["state"]["terminated"].is_null() { Err(status.to_string()) } else { Ok(status) }
    });
    let end = &status["state"]["terminated"];
    assert_eq!((end["reason"].as_str(), end["exitCode"].as_i64()), (Some("OOMKilled"), Some(137)), "{end}");
    s.wait_for_text("get pod greedy", "OOMKilled");
    s.ok("delete pod greedy --now");
}

fn cannot_be_configured(s: &Session) {
    s.apply(&format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: lacking}}, spec: {{terminationGracePeriodSeconds: 1, containers: [{{name: c, \
         image: {IMAGE}, env: [{{name: A, valueFrom: {{configMapKeyRef: {{name: later, key: a}}}}}}]}}]}}}}"
    ));
    let status = waits_for_reason(s, "lacking", &["CreateContainerConfigError"]);
    let message = status["state"]["waiting"]["message"].as_str().unwrap_or_default();
    assert!(message.contains("configmap \"later\" not found"), "{message}");
    s.ok("create configmap later --from-literal=a=b");
    s.ok("wait --for=condition=Ready pod/lacking --timeout=60s");
    s.ok("delete pod lacking --now");
}

fn does_not_fit(s: &Session) {
    s.apply(&format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: huge}}, spec: {{containers: [{{name: c, image: {IMAGE}, \
         resources: {{requests: {{cpu: '1000'}}}}}}]}}}}"
    ));
    s.wait_for_text("describe pod huge", "0/1 nodes are available: 1 Insufficient cpu");
    s.says("get pod huge", &["Pending"]);
    s.ok("delete pod huge --now");
}

fn liveness(s: &Session) {
    s.apply(&format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: stuck}}, spec: {{terminationGracePeriodSeconds: 1, containers: [{{name: c, \
         image: {IMAGE}, livenessProbe: {{httpGet: {{path: /nothing, port: 8080}}, periodSeconds: 1, failureThreshold: 2}}}}]}}}}"
    ));
    wait_for("a restart by the liveness probe", SOON, || {
        let pod = s.json("get pod stuck");
        if restarts(&pod) > 0 { Ok(()) } else { Err(pod["status"].to_string()) }
    });
    s.wait_for_text("describe pod stuck", "Liveness probe failed: HTTP probe failed with statuscode: 404");
    s.wait_for_text("describe pod stuck", "failed liveness probe, will be restarted");
    s.ok("delete pod stuck --now");
    assert_eq!(restarts(&s.json("get pod bystander")), 0, "the bystander");
}

fn registry_that_is_down(cluster: &mut Cluster) {
    cluster.stop_registry();
    let kubectl = testkit::kubectl::newest().unwrap();
    let s = Session { cluster, kubectl, namespace: "trouble".to_owned() };
    s.ok(&format!("run always --image={IMAGE} --image-pull-policy=Always"));
    let status = waits_for_reason(&s, "always", &["ErrImagePull", "ImagePullBackOff"]);
    assert!(status["state"]["waiting"]["message"].as_str().is_some_and(|m| m.contains(IMAGE)), "{status}");
    s.wait_for_text("describe pod always", "Failed to pull image");
    // What is on the node already needs no registry.
    s.ok(&format!("run present --image={IMAGE} --image-pull-policy=IfNotPresent"));
    s.ok("wait --for=condition=Ready pod/present --timeout=60s");
}
