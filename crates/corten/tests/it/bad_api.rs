//! Bad input to the API: each gets a clear answer, and nothing that was stored is lost.

use kube::Client;
use testkit::cluster::Cluster;

use crate::raw::{Answer, As, send, with_client};
use crate::session::{Session, start_api};

const JSON: &str = "application/json";
const YAML: &str = "application/yaml";
const MERGE: &str = "application/merge-patch+json";
const PATCH: &str = "application/json-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const MAPS: &str = "/api/v1/namespaces/bad/configmaps";
const PODS: &str = "/api/v1/namespaces/bad/pods";

/// A request and what the answer must be.
struct Case {
    method: &'static str,
    path: String,
    content_type: &'static str,
    body: Vec<u8>,
    code: u16,
    /// A part of the message.
    message: &'static str,
}

impl Case {
    /// The reason that belongs to the code.
    fn reason(&self) -> &'static str {
        match self.code {
            400 => "BadRequest",
            404 => "NotFound",
            405 => "MethodNotAllowed",
            409 if self.method == "POST" => "AlreadyExists",
            409 => "Conflict",
            413 => "RequestEntityTooLarge",
            415 => "UnsupportedMediaType",
            422 => "Invalid",
            _ => "Unknown",
        }
    }

    fn at(mut self, path: &str) -> Self {
        self.path = path.to_owned();
        self
    }

    fn of_type(mut self, content_type: &'static str) -> Self {
        self.content_type = content_type;
        self
    }
}

/// A POST of JSON to the ConfigMaps.
fn post(body: impl Into<Vec<u8>>, code: u16, message: &'static str) -> Case {
    Case { method: "POST", path: MAPS.to_owned(), content_type: JSON, body: body.into(), code, message }
}

/// A GET of the ConfigMaps with a query.
fn list(query: &str, code: u16, message: &'static str) -> Case {
    Case { method: "GET", content_type: "", path: format!("{MAPS}?{query}"), ..post("", code, message) }
}

/// A request to the one ConfigMap that is there.
fn kept(
    method: &'static str,
    content_type: &'static str,
    body: &str,
    code: u16,
    message: &'static str,
) -> Case {
    Case { method, content_type, path: format!("{MAPS}/kept"), ..post(body, code, message) }
}

#[test]
fn bad_requests_get_clear_answers() {
    let cluster = start_api();
    let kubectl = testkit::kubectl::newest().unwrap();
    cluster.kubectl(&kubectl, &["create", "namespace", "bad"]).ok();
    let s = Session { cluster: &cluster, kubectl, namespace: "bad".to_owned() };
    // No controller makes it here, and no pod may be made without it.
    s.ok("create serviceaccount default");
    s.ok("create configmap kept --from-literal=a=b");
    let before = s.ok("get configmap kept -o json");
    with_client(&cluster, As::Admin, |client| async move {
        check(&client, json_bodies()).await;
        check(&client, other_bodies()).await;
        check(&client, fields()).await;
        check(&client, queries()).await;
        let page = send(&client, "GET", "/apis/no.such.group/v1/things", "", Vec::new()).await;
        assert_eq!((page.code, page.text.as_str()), (404, "404 page not found\n"));
        check(&client, pods()).await;
        check(&client, changes()).await;
        lenient(&client).await;
        expired(&client).await;
    });
    credentials(&cluster);
    kubectl_says(&s);
    assert_eq!(before, s.ok("get configmap kept -o json"), "what was there before");
    assert_eq!(s.ok("get --raw /readyz"), "ok");
    let pid = cluster.server_pid();
    assert!(
        pid.is_some_and(|pid| std::path::Path::new(&format!("/proc/{pid}")).exists()),
        "the server lives"
    );
    cluster.down().unwrap();
}

async fn check(client: &Client, cases: Vec<Case>) {
    let mut wrong = Vec::new();
    for case in cases {
        let (reason, code) = (case.reason(), case.code);
        let shown = String::from_utf8_lossy(&case.body[..case.body.len().min(120)]).into_owned();
        let answer = send(client, case.method, &case.path, case.content_type, case.body).await;
        let status: serde_json::Value = serde_json::from_str(&answer.text).unwrap_or_default();
        let said = status["message"].as_str().unwrap_or_default();
        let is_status = status["kind"] == "Status" && status["code"] == code && status["reason"] == reason;
        if !is_status || answer.code != code || !said.contains(case.message) {
            let text: String = answer.text.chars().take(400).collect();
            wrong.push(format!(
                "{} {} {shown}\n  want {code} {reason} {:?}\n  got  {} {text}",
                case.method, case.path, case.message, answer.code
            ));
        }
    }
    assert!(wrong.is_empty(), "{} wrong answers:\n{}", wrong.len(), wrong.join("\n"));
}

fn config_map(rest: &str) -> String {
    format!(r#"{{"kind":"ConfigMap","apiVersion":"v1","metadata":{{"name":"x"}}{rest}}}"#)
}

fn named(name: &str) -> String {
    format!(r#"{{"kind":"ConfigMap","apiVersion":"v1","metadata":{{"name":"{name}"}}}}"#)
}

fn json_bodies() -> Vec<Case> {
    let deep = |open: &str, close: &str| {
        let (open, close) = (open.repeat(100_000), close.repeat(100_000));
        format!(r#"{{"kind":"ConfigMap","apiVersion":"v1","metadata":{{"annotations":{open}{close}}}}}"#)
    };
    let not_utf8 = b"{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"\xff\xfe\"}}";
    let value = |bytes: usize| config_map(&format!(r#","data":{{"k":"{}"}}"#, "v".repeat(bytes)));
    vec![
        post("", 400, ""),
        post("{", 400, ""),
        post("[]", 400, ""),
        post("null", 422, "name or generateName is required"),
        post(r#"{"kind":"ConfigMap","apiVersion":"v1"} trailing"#, 400, ""),
        post(not_utf8, 422, "metadata.name"),
        post(deep("[", "]"), 400, ""),
        post(deep("{\"a\":", "}"), 400, ""),
        post(value(4 * 1024 * 1024), 413, ""),
        post(value(1024 * 1024 + 1), 422, "1048576"),
        post(r#"{"kind":"Secret","apiVersion":"v1","metadata":{"name":"x"}}"#, 400, "Secret"),
        post(r#"{"kind":"ConfigMap","apiVersion":"v2","metadata":{"name":"x"}}"#, 400, "v2"),
    ]
}

fn other_bodies() -> Vec<Case> {
    let deep =
        format!("kind: ConfigMap\napiVersion: v1\nmetadata: {}{}\n", "[".repeat(50_000), "]".repeat(50_000));
    let mut bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for (name, before) in ('b'..='h').zip('a'..) {
        bomb.push_str(&format!("{name}: &{name} [{}]\n", format!("*{before},").repeat(9)));
    }
    bomb.push_str("kind: ConfigMap\napiVersion: v1\n");
    vec![
        post("a: [b\n", 400, "").of_type(YAML),
        post("a: b: c\n", 400, "").of_type(YAML),
        post(deep, 400, "").of_type(YAML),
        post(bomb, 400, "").of_type(YAML),
        post(b"k8s\0\xff\xff\xff", 400, "").of_type("application/vnd.kubernetes.protobuf"),
        post(config_map(""), 415, "accepted media types include: application/json").of_type("text/plain"),
    ]
}

fn fields() -> Vec<Case> {
    let strict = |case: Case| case.at(&format!("{MAPS}?fieldValidation=Strict"));
    let yaml = "kind: ConfigMap\napiVersion: v1\nmetadata: {name: x}\ndta: {}\n";
    let elsewhere = r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"x","namespace":"other"}}"#;
    vec![
        strict(post(config_map(r#","dta":{}"#), 400, "unknown field \"dta\"")),
        strict(post(config_map(r#","data":{},"data":{}"#), 400, "duplicate field \"data\"")),
        strict(post(yaml, 400, "unknown field \"dta\"").of_type(YAML)),
        post(config_map(r#","data":{"a":1}"#), 400, "data"),
        post(config_map(r#","data":[]"#), 400, "data"),
        post(config_map(r#","binaryData":{"a":"***"}"#), 400, ""),
        post(config_map(r#","immutable":"yes""#), 400, "immutable"),
        post(named("Not A Name"), 422, "metadata.name"),
        post(named(&"n".repeat(300)), 422, "metadata.name"),
        post(named(""), 422, "name or generateName is required"),
        post(named("kept"), 409, "configmaps \"kept\" already exists"),
        post(named("x"), 404, "namespaces \"other\" not found").at("/api/v1/namespaces/other/configmaps"),
        post(elsewhere, 400, "namespace"),
    ]
}

fn pods() -> Vec<Case> {
    let pod = |spec: &str, code, message| {
        let body = format!(r#"{{"kind":"Pod","apiVersion":"v1","metadata":{{"name":"x"}},"spec":{spec}}}"#);
        post(body, code, message).at(PODS)
    };
    let with = |rest: &str, code, message| {
        pod(&format!(r#"{{"containers":[{{"name":"c","image":"i"{rest}}}]}}"#), code, message)
    };
    vec![
        pod("{}", 422, "spec.containers: Required value"),
        pod(r#"{"containers":"none"}"#, 400, "containers"),
        pod(r#"{"containers":[{"name":"c"}]}"#, 422, "spec.containers[0].image: Required value"),
        with(r#","imagePullPolicy":"Sometimes""#, 422, "Unsupported value: \"Sometimes\""),
        with(r#","resources":{"limits":{"memory":"lots"}}"#, 400, "quantit"),
        with(r#","ports":[{"containerPort":70000}]"#, 422, "containerPort"),
        with(r#","ports":[{"containerPort":99999999999}]"#, 400, ""),
    ]
}

fn queries() -> Vec<Case> {
    let get = |path: &str, code, message| list("", code, message).at(path);
    vec![
        list("labelSelector=a%20in%20(", 400, "unable to parse requirement"),
        list("labelSelector=%3D%3D", 400, ""),
        list("fieldSelector=data.a%3Db", 400, "field label not supported"),
        list("fieldSelector=nonsense", 400, ""),
        list("limit=many", 400, ""),
        list("limit=1&continue=nonsense", 400, "continue"),
        list("resourceVersion=abc", 400, "resourceVersion"),
        list("resourceVersionMatch=Exact", 422, "resourceVersionMatch"),
        list("watch=1&resourceVersion=abc", 400, "resourceVersion"),
        get("/api/v1/namespaces/bad/configmaps/none", 404, "configmaps \"none\" not found"),
        get("/api/v1/namespaces/bad/nosuchthings", 404, "could not find the requested resource"),
        get("/apis/apps/v9/things", 404, "could not find the requested resource"),
        get("/api/v1/namespaces/bad/configmaps/a%2Fb", 404, ""),
        Case { method: "PUT", ..post("{}", 405, "").at("/api/v1/nodes") },
        Case { method: "PATCH", ..post("{}", 405, "").of_type(MERGE) },
        post(config_map(""), 422, "dryRun: Unsupported value").at(&format!("{MAPS}?dryRun=Some")),
        post(config_map(""), 422, "fieldValidation: Unsupported")
            .at(&format!("{MAPS}?fieldValidation=Loose")),
    ]
}

fn changes() -> Vec<Case> {
    let stale = r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"kept","resourceVersion":"1"}}"#;
    let other = "the name of the object (other) does not match the name on the URL (kept)";
    let test = r#"[{"op":"test","path":"/data/a","value":"z"}]"#;
    let apply = "application/apply-patch+yaml";
    vec![
        kept("PUT", JSON, stale, 409, "the object has been modified"),
        kept("PUT", JSON, &named("other"), 400, other),
        kept("PATCH", MERGE, "{", 400, ""),
        kept("PATCH", MERGE, r#"{"metadata":{"resourceVersion":"1"}}"#, 409, "the object has been modified"),
        kept("PATCH", MERGE, r#"{"metadata":{"uid":"else"}}"#, 409, "UID"),
        kept("PATCH", PATCH, r#"{"op":"add"}"#, 400, ""),
        kept("PATCH", PATCH, test, 422, ""),
        kept("PATCH", PATCH, r#"[{"op":"remove","path":"/data/none"}]"#, 422, ""),
        kept("PATCH", STRATEGIC, r#"{"data":{"$patch":"sideways"}}"#, 400, ""),
        kept("PATCH", apply, "{}", 415, "erver-side apply"),
        kept("PATCH", JSON, "{}", 415, "application/json"),
        kept("PATCH", MERGE, "{}", 404, "not found").at("/api/v1/namespaces/bad/configmaps/none"),
        kept("DELETE", JSON, r#"{"preconditions":{"uid":"wrong"}}"#, 409, "UID"),
        kept("DELETE", JSON, r#"{"propagationPolicy":"Sideways"}"#, 422, "Sideways"),
        kept("DELETE", "", "", 422, "dryRun").at("/api/v1/namespaces/bad/configmaps/kept?dryRun=Some"),
    ]
}

/// Without strictness unknown and duplicate fields are a warning, and are dropped.
async fn lenient(client: &Client) {
    let warn = "/api/v1/namespaces/bad/configmaps?fieldValidation=Warn&dryRun=All";
    let body = config_map(r#","dta":{},"data":{"a":"b"},"data":{"a":"c"}"#).into_bytes();
    let request = http::Request::post(warn).header("Content-Type", JSON).body(kube::client::Body::from(body));
    let response = client.send(request.unwrap()).await.unwrap();
    assert_eq!(response.status(), 201);
    let warnings: Vec<&str> =
        response.headers().get_all("Warning").iter().filter_map(|v| v.to_str().ok()).collect();
    let warnings = warnings.join("\n");
    assert!(warnings.contains("unknown field") && warnings.contains("duplicate field"), "{warnings:?}");
    let ignore = "/api/v1/namespaces/bad/configmaps?fieldValidation=Ignore&dryRun=All";
    let answer = send(client, "POST", ignore, JSON, config_map(r#","dta":{}"#).into()).await;
    assert!(answer.code == 201 && !answer.text.contains("dta"), "{answer:?}");
}

/// A revision from the future is waited for a while, then refused.
async fn expired(client: &Client) {
    let path = "/api/v1/namespaces/bad/configmaps?resourceVersion=999999999";
    let answer = send(client, "GET", path, "", Vec::new()).await;
    assert_eq!(answer.code, 504, "{answer:?}");
    let status = answer.status();
    assert!(status["message"].as_str().is_some_and(|m| m.contains("Too large resource version")), "{status}");
}

fn credentials(cluster: &Cluster) {
    let ask = |who: As, method: &'static str, path: &'static str| -> Answer {
        with_client(cluster, who, |client| async move { send(&client, method, path, "", Vec::new()).await })
    };
    let refused = ask(As::Nobody, "GET", MAPS);
    assert_eq!(refused.code, 403, "{refused:?}");
    let message = refused.status()["message"].clone();
    assert!(
        message
            .as_str()
            .is_some_and(|m| m.contains("User \"system:anonymous\" cannot list resource \"configmaps\"")),
        "{message}"
    );
    assert_eq!(ask(As::Nobody, "GET", "/readyz").code, 200);
    assert_eq!(ask(As::Nobody, "GET", "/version").code, 200);
    assert_eq!(ask(As::Nobody, "DELETE", "/api/v1/namespaces/bad").code, 403);
    let none = r#"{"alg":"none"}"#;
    let claims = r#"{"iss":"https://kubernetes.default.svc.cluster.local","sub":"system:serviceaccount:kube-system:default"}"#;
    let forged = format!("{}.{}.", base64_url(none), base64_url(claims));
    let signed = format!(
        "{}.{}.{}",
        base64_url(r#"{"alg":"RS256","typ":"JWT"}"#),
        base64_url(claims),
        "A".repeat(342)
    );
    for token in ["nonsense".to_owned(), forged, signed, "a.b.c".to_owned()] {
        let refused = ask(As::Token(token.clone()), "GET", MAPS);
        assert_eq!(refused.code, 401, "{token}: {refused:?}");
        assert_eq!(refused.status()["reason"], "Unauthorized", "{refused:?}");
    }
}

/// Base64 with the URL's alphabet and no padding, as tokens have it.
fn base64_url(text: &str) -> String {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let bits =
            chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for n in 0..=chunk.len() {
            out.push(char::from(alphabet[(bits >> (18 - 6 * n) & 63) as usize]));
        }
    }
    out
}

/// The same through kubectl, as a user sees it.
fn kubectl_says(s: &Session) {
    let broken = s.run_with("apply -f -", b"kind: ConfigMap\napiVersion: v1\nmetadata: {name: [x\n").fails();
    assert!(broken.contains("yaml") || broken.contains("error parsing"), "{broken}");
    let unknown = b"kind: Pod\napiVersion: v1\nmetadata: {name: x}\nspec: {containers: [{name: c, image: i, ports: [{port: 1}]}]}\n";
    let unknown = s.run_with("create -f -", unknown).fails();
    // Before 1.25 kubectl looked for itself, in the OpenAPI document; since then the server does.
    let by_itself =
        "(Pod.spec.containers[0].ports[0]): unknown field \"port\" in io.k8s.api.core.v1.ContainerPort";
    let by_server = "unknown field \"spec.containers[0].ports[0].port\"";
    assert!(unknown.contains(if s.kubectl.minor < 25 { by_itself } else { by_server }), "{unknown}");
    let invalid = s
        .run_with("create -f -", b"kind: Pod\napiVersion: v1\nmetadata: {name: x}\nspec: {containers: []}")
        .fails();
    assert!(invalid.contains("The Pod \"x\" is invalid: spec.containers: Required value"), "{invalid}");
    let selector = s.fails("get configmaps -l a=b=c");
    assert!(selector.contains("found '=', expected: ','"), "{selector}");
    let verb = s.run("delete configmap kept --as=nobody-special");
    assert!(verb.stderr.contains("cannot delete resource \"configmaps\""), "{verb}");
    verb.fails();
}
