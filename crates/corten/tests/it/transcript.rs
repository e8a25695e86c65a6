//! The transcript: unmodified kubectl of every version on this machine works with the example.

use std::os::unix::fs::PermissionsExt;

use testkit::cluster::NODE;
use testkit::wait::run;

use crate::session::{EXAMPLE, IMAGE, SOON, Session, name, start};

#[test]
fn kubectl_works_with_the_example() {
    let cluster = start();
    for kubectl in testkit::kubectl::kubectls().unwrap() {
        eprintln!("kubectl 1.{} ({})", kubectl.minor, kubectl.path.display());
        let s = Session::new(&cluster, &kubectl, &format!("v{}", kubectl.minor));
        discovery(&s);
        apply(&s);
        get(&s);
        describe(&s);
        logs(&s);
        exec(&s);
        port_forward(&s);
        scale(&s);
        rollout(&s);
        change(&s);
        create(&s);
        authorization(&s);
        dry_run_and_diff(&s);
        watch(&s);
        delete(&s);
    }
    cluster.down().unwrap();
}

fn discovery(s: &Session) {
    s.says("version -o json", &["\"gitVersion\": \"v1.37"]);
    s.says("cluster-info", &["is running at"]);
    let resources =
        s.says("api-resources", &["deployments", "deploy ", "apps/v1", "Deployment", "po ", "svc "]);
    assert!(resources.lines().count() > 40, "{resources}");
    s.says("api-resources -o wide --api-group=apps", &["deletecollection", "VERBS"]);
    s.says(
        "api-resources --namespaced=false -o name",
        &["nodes", "namespaces", "clusterroles.rbac.authorization.k8s.io"],
    );
    s.says("api-versions", &["apps/v1", "rbac.authorization.k8s.io/v1", "discovery.k8s.io/v1"]);
    s.says("explain deployment", &["KIND:", "Deployment", "VERSION:", "spec"]);
    s.says("explain pod.spec.containers", &["image", "livenessProbe", "-required-"]);
    s.says("explain service.spec.ports.nodePort", &["nodePort", "<integer>"]);
    s.says("explain deployment.spec --recursive", &["maxSurge", "template"]);
    assert!(s.fails("explain nosuchthing").contains("nosuchthing"));
    assert!(s.fails("get nosuchthings").contains("doesn't have a resource type"));
}

fn apply(s: &Session) {
    let first = s.ok(&format!("apply -f {EXAMPLE}"));
    for line in [
        "configmap/webapp created",
        "deployment.apps/webapp created",
        "secret/webapp created",
        "service/webapp created",
    ] {
        assert!(first.contains(line), "{first}");
    }
    s.says("rollout status deployment/webapp --timeout=90s", &["successfully rolled out"]);
    let version = |kind: &str| s.ok(&format!("get {kind} webapp -o jsonpath={{.metadata.resourceVersion}}"));
    let before = (version("configmap"), version("secret"), version("service"));
    let again = s.ok(&format!("apply -f {EXAMPLE}"));
    for line in ["configmap/webapp unchanged", "deployment.apps/webapp unchanged", "service/webapp unchanged"]
    {
        assert!(again.contains(line), "{again}");
    }
    // kubectl sends stringData again since it is never read back; the server sees that nothing changes.
    assert_eq!(before, (version("configmap"), version("secret"), version("service")));
    s.ok("wait --for=condition=Available deployment/webapp --timeout=60s");
    s.ok("wait --for=condition=Ready pod -l app=webapp --timeout=60s");
}

fn get(s: &Session) {
    s.wait_for_ready("app=webapp", 2);
    let wide = s.says(
        "get pods -o wide",
        &["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE", "1/1", "Running", NODE],
    );
    assert_eq!(wide.lines().count(), 3, "{wide}");
    s.says(
        "get deployments -o wide",
        &["UP-TO-DATE", "AVAILABLE", "CONTAINERS", "IMAGES", "2/2", IMAGE, "app=webapp"],
    );
    s.says("get replicasets -o wide", &["DESIRED", "CURRENT", "READY"]);
    s.says("get services -o wide", &["CLUSTER-IP", "PORT(S)", "80:30080/TCP", "NodePort", "app=webapp"]);
    s.says("get nodes -o wide", &["Ready", NODE, "INTERNAL-IP", "containerd://", "v1.37"]);
    s.says("get configmap,secret", &["configmap/webapp", "secret/webapp", "Opaque"]);
    s.says("get endpointslices -o wide", &["IPv4", "8080"]);
    s.says(
        "get all",
        &["pod/webapp-", "service/webapp", "deployment.apps/webapp", "replicaset.apps/webapp-"],
    );
    s.says("get pods -A --no-headers", &[&s.namespace]);
    s.says("get pods --show-labels", &["app=webapp,pod-template-hash="]);
    s.says("get pods -L app", &["APP"]);
    s.says("get namespaces", &["kube-system", "Active"]);
    s.says(
        "get deployment webapp -o yaml",
        &["apiVersion: apps/v1", "kind: Deployment", "maxSurge: 1", "readyReplicas: 2"],
    );
    let object = s.json("get deployment webapp");
    assert_eq!(object["status"]["readyReplicas"], 2, "{object}");
    assert_eq!(s.json("get pods")["items"].as_array().map(Vec::len), Some(2));
    assert_eq!(s.ok("get pods -o name").lines().filter(|l| l.starts_with("pod/webapp-")).count(), 2);
    assert_eq!(s.ok("get deployment webapp -o jsonpath={.spec.replicas}"), "2");
    s.says("get pods -o custom-columns=N:.metadata.name,IP:.status.podIP", &["10.244."]);
    s.says("get pods --sort-by=.metadata.creationTimestamp", &["webapp-"]);
    assert_eq!(s.ok("get pods --field-selector=status.phase=Running -o name").lines().count(), 2);
    assert_eq!(s.ok("get pods --field-selector=status.phase=Failed -o name"), "");
    assert_eq!(s.ok("get pods -l app!=webapp -o name"), "");
    s.says("get --raw /readyz", &["ok"]);
    assert!(s.fails("get pod no-such-pod").contains("pods \"no-such-pod\" not found"));
    assert!(s.run("get pods -l app=none").stderr.contains("No resources found"));
}

fn describe(s: &Session) {
    let pod = name(&s.wait_for_ready("app=webapp", 2)[0]);
    s.says(
        &format!("describe pod {pod}"),
        &[
            "Controlled By:",
            "ReplicaSet/webapp-",
            "Readiness:",
            "GREETING:",
            "<set to the key 'greeting' of config map 'webapp'>",
            "Successfully assigned",
            "Started",
            "QoS Class:",
            "Burstable",
            "containerd://",
            "Conditions:",
        ],
    );
    s.says(
        "describe deployment webapp",
        &[
            "2 desired | 2 updated | 2 total | 2 available",
            "NewReplicaSet:",
            "ScalingReplicaSet",
            "MinimumReplicasAvailable",
        ],
    );
    s.says("describe replicaset", &["Controlled By:", "Deployment/webapp", "SuccessfulCreate"]);
    s.says("describe service webapp", &["Endpoints:", ":8080", "TargetPort:"]);
    s.says(
        &format!("describe node {NODE}"),
        &["Allocated resources:", "Capacity:", "Ready", "Non-terminated Pods:", &pod],
    );
    s.says("describe configmap webapp", &["greeting:", "hello from the ConfigMap"]);
    let secret = s.says("describe secret webapp", &["password:", "19 bytes"]);
    assert!(!secret.contains("not-a-real-password"), "{secret}");
    s.says(&format!("describe namespace {}", s.namespace), &["Active"]);
    s.says(
        "get events",
        &["Scheduled", "Pulled", "Created", "Started", "SuccessfulCreate", "ScalingReplicaSet"],
    );
    s.says("get events --field-selector=reason=Scheduled", &["Successfully assigned"]);
    if s.kubectl.minor >= 26 {
        s.says(&format!("events --for pod/{pod}"), &["Scheduled", "Started"]);
    }
}

fn logs(s: &Session) {
    let pod = name(&s.wait_for_ready("app=webapp", 2)[0]);
    s.says(&format!("logs {pod}"), &["listens on port 8080"]);
    s.says("logs deployment/webapp", &["listens on port 8080"]);
    assert_eq!(s.ok(&format!("logs {pod} --tail=1")).lines().count(), 1);
    assert!(s.ok("logs -l app=webapp --prefix --tail=-1").matches("listens on port").count() == 2);
    let stamped = s.ok(&format!("logs {pod} --timestamps --limit-bytes=30"));
    assert!(stamped.starts_with("20") && stamped.len() <= 30, "{stamped}");
    let follow = s.start(&format!("logs -f {pod}"));
    follow.wait_for_text("listens on port 8080", SOON);
    s.ok(&format!("exec {pod} -- /webapp get http://127.0.0.1:8080/env"));
    follow.wait_for_text("GET /env 200", SOON);
    let said = follow.kill();
    assert!(said.stdout.contains("GET /env 200"), "{said}");
    assert!(s.fails(&format!("logs {pod} -c nothing")).contains("nothing"));
    assert!(s.fails(&format!("logs {pod} --previous")).contains("previous terminated container"));
    s.ok(&format!("run counter --image={IMAGE} --restart=Never --command -- /webapp lines 300"));
    let ended = s.start("logs -f counter --pod-running-timeout=60s").finish(SOON);
    // A pod that is not there yet is refused; one that has ended is read to its end.
    if ended.code != Some(0) {
        s.wait_for_text("get pod counter", "Completed");
    }
    assert_eq!(s.ok("logs counter").lines().count(), 300);
    assert_eq!(s.ok("logs counter --tail=7").lines().last(), Some("line 299"));
    s.ok("delete pod counter --now");
}

fn exec(s: &Session) {
    let pod = name(&s.wait_for_ready("app=webapp", 2)[0]);
    assert_eq!(s.ok(&format!("exec {pod} -- /webapp echo one two")), "one two\n");
    assert_eq!(
        s.ok("exec deployment/webapp -- /webapp cat /etc/webapp/config"),
        "colour = rust\nsize = small\n"
    );
    let failed = s.run(&format!("exec {pod} -- /webapp exit 7"));
    assert_eq!(failed.code, Some(7), "{failed}");
    assert!(failed.stderr.contains("exit code 7"), "{failed}");
    let errors = s.run(&format!("exec {pod} -- /webapp stderr to the side"));
    assert_eq!((errors.stdout.as_str(), errors.stderr.as_str()), ("", "to the side\n"), "{errors}");
    assert_eq!(
        s.run_with(&format!("exec -i {pod} -- /webapp stdin-cat"), b"through the pod\n").ok(),
        "through the pod\n"
    );
    let big: String = (0..60_000).map(|n| format!("{n:07}\n")).collect();
    let back = s.run_with(&format!("exec -i {pod} -- /webapp stdin-cat"), big.as_bytes()).ok();
    assert!(back == big, "{} bytes in, {} bytes out", big.len(), back.len());
    let missing = s.run(&format!("exec {pod} -- /no/such/program"));
    assert!(missing.code.is_some_and(|c| c != 0) && missing.stderr.contains("/no/such/program"), "{missing}");
    assert!(s.fails("exec no-such-pod -- /webapp echo").contains("not found"));
    // A terminal of 31 by 97, by script(1).
    let line = format!(
        "stty rows 31 cols 97; {} --namespace {} exec -it {pod} -- /webapp tty-size",
        s.kubectl.path.display(),
        s.namespace
    );
    // The program looks with its first instructions: the size must be there before them.
    let mut script = s.cluster.command("script".as_ref());
    script.args(["-qec", &line, "/dev/null"]).env("TERM", "xterm").env("SHELL", "/bin/sh");
    let seen = run(script, b"", SOON).ok();
    assert!(seen.contains("31 97\r\n"), "{seen:?}");
    s.says(&format!("exec {pod} -- /webapp id"), &["Uid: 1000", "CapEff: 0000000000000000"]);
    let attached = s.start(&format!("attach {pod}"));
    // What was written before the connection is not shown: wait for a line of a probe.
    attached.wait_for_text("GET /readyz 200", SOON);
    s.ok(&format!("exec {pod} -- /webapp get http://127.0.0.1:8080/config"));
    attached.wait_for_text("GET /config 200", SOON);
}

fn port_forward(s: &Session) {
    let forward = s.start("port-forward service/webapp :80");
    forward.wait_for_text("Forwarding from 127.0.0.1:", SOON);
    let said = forward.stdout();
    let port = said.split("127.0.0.1:").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or_default();
    for _ in 0..3 {
        let (status, body) = s.http("GET", &format!("127.0.0.1:{port}"), "/").unwrap();
        assert!(
            status == 200 && body.starts_with("hello from the ConfigMap from webapp-"),
            "{status} {body}"
        );
    }
}

fn scale(s: &Session) {
    s.says("scale deployment webapp --replicas=3", &["deployment.apps/webapp scaled"]);
    s.wait_for_ready("app=webapp", 3);
    assert!(s.fails("scale deployment webapp --replicas=1 --current-replicas=7").contains("7"));
    s.ok("scale deployment webapp --replicas=1");
    s.wait_for_ready("app=webapp", 1);
    s.wait_for_text("get deployment webapp", "1/1");
}

fn rollout(s: &Session) {
    s.says("set env deployment/webapp ROUND=second", &["env updated"]);
    s.says("rollout status deployment/webapp --timeout=90s", &["successfully rolled out"]);
    s.wait_for_ready("app=webapp", 1);
    s.says("exec deployment/webapp -- /webapp get http://127.0.0.1:8080/env", &["ROUND=second"]);
    let history = s.says("rollout history deployment/webapp", &["REVISION", "1 ", "2 "]);
    assert_eq!(history.trim_end().lines().count(), 4, "{history}");
    s.says("rollout history deployment/webapp --revision=2", &["revision #2", "second"]);
    s.says("rollout undo deployment/webapp", &["rolled back"]);
    s.ok("rollout status deployment/webapp --timeout=90s");
    s.wait_for_ready("app=webapp", 1);
    let env = s.ok("exec deployment/webapp -- /webapp get http://127.0.0.1:8080/env");
    assert!(!env.contains("ROUND"), "{env}");
    s.says("rollout history deployment/webapp", &["3 "]);
    s.ok("rollout undo deployment/webapp --to-revision=2");
    s.ok("rollout status deployment/webapp --timeout=90s");
    s.says("rollout pause deployment/webapp", &["paused"]);
    s.ok("set env deployment/webapp ROUND=paused");
    assert!(s.fails("rollout undo deployment/webapp").contains("paused"));
    s.ok("rollout resume deployment/webapp");
    s.ok("rollout status deployment/webapp --timeout=90s");
    s.says("rollout restart deployment/webapp", &["restarted"]);
    s.ok("rollout status deployment/webapp --timeout=90s");
    s.wait_for_ready("app=webapp", 1);
}

fn change(s: &Session) {
    s.says("label configmap webapp colour=rust", &["configmap/webapp labeled"]);
    assert!(s.fails("label configmap webapp colour=green").contains("overwrite"));
    s.ok("label configmap webapp colour=green --overwrite");
    assert_eq!(s.ok("get configmap -l colour=green -o name"), "configmap/webapp\n");
    s.ok("label configmap webapp colour-");
    s.says("annotate configmap webapp note=one", &["configmap/webapp annotate"]);
    s.words_run(&["patch", "configmap", "webapp", "-p", r#"{"data":{"more":"strategic"}}"#]).ok();
    s.words_run(&["patch", "configmap", "webapp", "--type=merge", "-p", r#"{"data":{"more":"merge"}}"#]).ok();
    let operations = r#"[{"op":"test","path":"/data/more","value":"merge"},{"op":"replace","path":"/data/more","value":"json"}]"#;
    s.words_run(&["patch", "configmap", "webapp", "--type=json", "-p", operations]).ok();
    assert_eq!(s.ok("get configmap webapp -o jsonpath={.data.more}"), "json");
    let patch = r#"{"spec":{"template":{"spec":{"containers":[{"name":"webapp","env":[{"name":"ADDED","value":"x"}]}]}}}}"#;
    s.words_run(&["patch", "deployment", "webapp", "-p", patch]).ok();
    let env = s.json("get deployment webapp")["spec"]["template"]["spec"]["containers"][0]["env"].clone();
    let names: Vec<&str> = env.as_array().unwrap().iter().filter_map(|e| e["name"].as_str()).collect();
    assert!(names.contains(&"ADDED") && names.contains(&"PASSWORD"), "{names:?}");
    edit(s);
    let mut object = s.json("get configmap webapp");
    object["data"]["more"] = "replaced".into();
    s.run_with("replace -f -", object.to_string().as_bytes()).ok();
    let stale = s.run_with("replace -f -", object.to_string().as_bytes()).fails();
    assert!(stale.contains("the object has been modified"), "{stale}");
    assert_eq!(s.ok("get configmap webapp -o jsonpath={.data.more}"), "replaced");
    s.ok("set image deployment/webapp webapp=registry.test/webapp:1");
    s.ok("set resources deployment/webapp -c webapp --limits=cpu=600m");
    s.ok("rollout status deployment/webapp --timeout=90s");
    s.ok(&format!("cordon {NODE}"));
    s.says("get nodes", &["SchedulingDisabled"]);
    s.ok(&format!("uncordon {NODE}"));
    s.ok(&format!("taint nodes {NODE} test=yes:PreferNoSchedule"));
    s.ok(&format!("taint nodes {NODE} test-"));
}

/// `kubectl edit` with an editor that replaces a word.
fn edit(s: &Session) {
    let editor = s.cluster.scratch().join("editor.sh");
    std::fs::write(&editor, "#!/bin/sh\nsed -i s/more:\\ json/more:\\ edited/ \"$1\"\n").unwrap();
    std::fs::set_permissions(&editor, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command =
        s.cluster.kubectl_command(&s.kubectl, &["-n", &s.namespace, "edit", "configmap", "webapp"]);
    command.env("KUBE_EDITOR", &editor).env("TERM", "xterm");
    let said = run(command, b"", SOON).ok();
    assert!(said.contains("configmap/webapp edited"), "{said}");
    assert_eq!(s.ok("get configmap webapp -o jsonpath={.data.more}"), "edited");
}

fn create(s: &Session) {
    s.says("create configmap made --from-literal=a=b", &["configmap/made created"]);
    assert!(s.fails("create configmap made --from-literal=a=b").contains("already exists"));
    s.ok("create secret generic made --from-literal=key=value");
    assert_eq!(s.ok("get secret made -o jsonpath={.data.key}"), "dmFsdWU=");
    s.says(
        &format!("create deployment made --image={IMAGE} --dry-run=client -o yaml"),
        &["kind: Deployment", "name: made"],
    );
    s.says(
        &format!("create deployment made --image={IMAGE} --dry-run=server -o yaml"),
        &["uid:", "progressDeadlineSeconds: 600"],
    );
    assert!(s.fails("get deployment made").contains("not found"));
    s.says("create serviceaccount robot", &["created"]);
    let token = token(s, "robot");
    assert_eq!(token.split('.').count(), 3, "{token}");
    s.ok("create role reader --verb=get,list --resource=configmaps");
    let binding = format!("create rolebinding reader --role=reader --serviceaccount={}:robot", s.namespace);
    s.ok(&binding);
    s.says(
        "expose deployment webapp --name=exposed --port=8000 --target-port=8080",
        &["service/exposed exposed"],
    );
    s.ok("create service clusterip plain --tcp=80:8080");
    s.says("get service exposed plain", &["8000/TCP", "80/TCP"]);
    s.ok("create job once --image=x --dry-run=server");
    s.ok("create quota limits --hard=pods=10 --dry-run=server");
    s.ok("create ingress web --rule=example.test/*=webapp:80 --dry-run=server");
    if s.kubectl.minor >= 21 {
        s.ok("create poddisruptionbudget web --selector=app=webapp --min-available=1 --dry-run=server");
    }
    s.ok("delete service exposed plain");
    s.ok("delete configmap/made secret/made");
}

/// A token of a service account; kubectl has a word for it since 1.24.
fn token(s: &Session, account: &str) -> String {
    if s.kubectl.minor >= 24 {
        return s.ok(&format!("create token {account} --duration=1h")).trim().to_owned();
    }
    let path = format!("/api/v1/namespaces/{}/serviceaccounts/{account}/token", s.namespace);
    let request = br#"{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{}}"#;
    let answer = s.run_with(&format!("create --raw {path} -f -"), request).ok();
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    answer["status"]["token"].as_str().unwrap().to_owned()
}

fn authorization(s: &Session) {
    assert_eq!(s.ok("auth can-i create pods").trim(), "yes");
    s.says("auth can-i --list", &["Resources", "*.*", "[*]"]);
    let robot = format!("--as=system:serviceaccount:{}:robot", s.namespace);
    assert_eq!(s.ok(&format!("auth can-i list configmaps {robot}")).trim(), "yes");
    let refused = s.run(&format!("auth can-i delete configmaps {robot}"));
    assert_eq!((refused.code, refused.stdout.trim()), (Some(1), "no"), "{refused}");
    s.says(&format!("auth can-i --list {robot}"), &["configmaps", "[get list]"]);
    s.ok(&format!("get configmap webapp {robot}"));
    let error = s.fails(&format!("get secrets {robot}"));
    let user =
        format!("User \"system:serviceaccount:{}:robot\" cannot list resource \"secrets\"", s.namespace);
    assert!(error.contains("Forbidden") && error.contains(&user), "{error}");
    if s.kubectl.minor >= 28 {
        s.says("auth whoami", &["system:masters"]);
    }
    let token = token(s, "robot");
    // Only the token: a kubeconfig without the admin's certificate.
    let config = s.cluster.scratch().join("robot.kubeconfig");
    std::fs::copy(s.cluster.kubeconfig(), &config).unwrap();
    let mut unset = s.cluster.kubectl_command(&s.kubectl, &["config", "unset", "users"]);
    unset.env("KUBECONFIG", &config);
    run(unset, b"", SOON).ok();
    let with_token = |words: &[&str]| {
        let mut command = s.cluster.kubectl_command(&s.kubectl, &["-n", &s.namespace, "--token", &token]);
        command.args(words).env("KUBECONFIG", &config);
        run(command, b"", SOON)
    };
    with_token(&["get", "configmap", "webapp"]).ok();
    assert!(with_token(&["get", "pods"]).fails().contains("Forbidden"));
}

fn dry_run_and_diff(s: &Session) {
    s.ok(&format!("apply -f {EXAMPLE}"));
    s.ok("rollout status deployment/webapp --timeout=90s");
    let same = s.run(&format!("diff -f {EXAMPLE}/configmap.yaml"));
    assert_eq!(same.code, Some(0), "{same}");
    let manifest =
        std::fs::read_to_string(testkit::image::workspace().join(EXAMPLE).join("configmap.yaml")).unwrap();
    let changed = manifest.replace("hello from", "greetings from");
    let differs = s.run_with("diff -f -", changed.as_bytes());
    assert_eq!(differs.code, Some(1), "{differs}");
    assert!(differs.stdout.contains("+  greeting: greetings from the ConfigMap"), "{differs}");
    let dry = s.run_with("apply --dry-run=server -f -", changed.as_bytes()).ok();
    assert!(dry.contains("configured (server dry run)"), "{dry}");
    assert_eq!(s.ok("get configmap webapp -o jsonpath={.data.greeting}"), "hello from the ConfigMap");
    s.says(&format!("apply --dry-run=client -f {EXAMPLE}"), &["(dry run)"]);
    let refused = s.run_with("apply --server-side -f -", changed.as_bytes()).fails();
    assert!(refused.to_lowercase().contains("server-side apply"), "{refused}");
    if s.kubectl.minor >= 25 {
        validate(s, &manifest.replace("\ndata:", "\ndta:"));
    }
    // What was taken out of the manifest goes.
    let less: String =
        manifest.lines().filter(|l| !l.contains("greeting:")).map(|l| format!("{l}\n")).collect();
    s.apply(&less);
    assert_eq!(s.ok("get configmap webapp -o jsonpath={.data.greeting}"), "");
    s.apply(&manifest);
}

/// Field validation, which is the server's since 1.25.
fn validate(s: &Session, unknown: &str) {
    let strict = s.run_with("apply --validate=strict -f -", unknown.as_bytes()).fails();
    assert!(strict.contains("unknown field \"dta\""), "{strict}");
    let warned = s.run_with(
        "create --validate=warn --dry-run=server -f -",
        unknown.replace("name: webapp", "name: w").as_bytes(),
    );
    assert!(warned.stderr.contains("unknown field \"dta\""), "{warned}");
    warned.ok();
}

fn watch(s: &Session) {
    let watch = s.start("get configmaps --watch --output-watch-events");
    watch.wait_for_text("webapp", SOON);
    s.ok("create configmap seen --from-literal=a=b");
    watch.wait_for_text("seen", SOON);
    s.ok("delete configmap seen");
    watch.wait_for_text("DELETED", SOON);
    let said = watch.kill().stdout;
    assert!(said.contains("ADDED"), "{said}");
    // Before 1.24 it is an error to wait for the end of what is not there.
    if s.kubectl.minor >= 24 {
        let waits = s.start("wait --for=delete configmap/later --timeout=60s");
        waits.finish(SOON).ok();
        s.ok("create configmap later");
        let waits = s.start("wait --for=delete configmap/later --timeout=60s");
        s.ok("delete configmap later");
        waits.finish(SOON).ok();
    }
}

fn delete(s: &Session) {
    let deleted = s.ok(&format!("delete -f {EXAMPLE}"));
    assert!(deleted.contains("deployment.apps \"webapp\" deleted"), "{deleted}");
    s.wait_for_ready("app=webapp", 0);
    assert!(s.run("get pods,deployments,replicasets").stderr.contains("No resources found"));
    s.ok("create configmap one");
    s.says("delete configmap --all", &["\"one\" deleted"]);
    assert!(s.fails("delete pod no-such-pod").contains("not found"));
    s.ok("delete pod no-such-pod --ignore-not-found");
    s.ok(&format!("run quick --image={IMAGE} --command -- /webapp sleep"));
    s.ok("wait --for=condition=Ready pod/quick --timeout=60s");
    s.run("delete pod quick --grace-period=0 --force").ok();
    s.ok(&format!("delete namespace {} --timeout=90s", s.namespace));
    assert!(s.fails(&format!("get namespace {}", s.namespace)).contains("not found"));
}
