//! What must be refused with a clear answer, and must lose nothing.

use meta::Verb;
use serde_json::json;

use crate::harness::{World, parse_query};

fn post(w: &World, content_type: &str, query: &str, body: &[u8]) -> crate::harness::Answer {
    let mut r = w.request(Verb::Create, "configmaps", "default", "");
    r.content_type = content_type.to_owned();
    r.query = parse_query(query);
    r.body = body.to_vec().into();
    w.send(r)
}

#[test]
fn bodies_that_are_not_objects() {
    let w = World::new();
    let deep = format!("{{\"data\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_yaml = format!("data: {}1{}", "[".repeat(20_000), "]".repeat(20_000));
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: [*f,*f,*f,*f,*f,*f,*f,*f,*f]\n";
    let cases: Vec<(&str, &[u8], u16)> = vec![
        ("application/json", b"", 400),
        ("application/json", b"{", 400),
        ("application/json", b"[]", 400),
        ("application/json", b"null", 422),
        ("application/json", b"1", 400),
        ("application/json", b"\xff\xfe", 400),
        ("application/json", br#"{"kind":"ConfigMap","apiVersion":"v1","metadata":5}"#, 400),
        ("application/json", br#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":7}}"#, 400),
        (
            "application/json",
            br#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a"},"data":{"a":1}}"#,
            400,
        ),
        ("application/json", br#"{"kind":"Secret","apiVersion":"v1","metadata":{"name":"a"}}"#, 400),
        ("application/json", br#"{"kind":"ConfigMap","apiVersion":"v2","metadata":{"name":"a"}}"#, 400),
        ("application/json", br#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a"}} x"#, 400),
        ("application/json", deep.as_bytes(), 400),
        ("application/yaml", b"a: [", 400),
        ("application/yaml", b"- a", 400),
        ("application/yaml", b"\ttab", 400),
        ("application/yaml", deep_yaml.as_bytes(), 400),
        ("application/yaml", bomb.as_bytes(), 400),
        ("application/vnd.kubernetes.protobuf", b"not protobuf", 400),
        ("application/vnd.kubernetes.protobuf", b"k8s\0\xff\xff\xff", 400),
        ("text/plain", b"{}", 415),
        ("application/json", br#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{}}"#, 422),
        ("application/json", br#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"A_b"}}"#, 422),
        (
            "application/json",
            br#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a","labels":{"-":"x"}}}"#,
            422,
        ),
        (
            "application/json",
            br#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a","namespace":"other"}}"#,
            400,
        ),
        (
            "application/json",
            br#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a","resourceVersion":"5"}}"#,
            500,
        ),
    ];
    for (content_type, body, code) in cases {
        let got = post(&w, content_type, "", body);
        let shown = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
        assert_eq!(got.code, code, "{content_type} {shown}: {}", got.text());
        assert_eq!(got.at("/kind"), "Status", "{shown}");
        assert!(!got.message().is_empty(), "{shown}");
    }
    let large = vec![b' '; apiserver::LIMIT_BODY_BYTES + 1];
    post(&w, "application/json", "", &large).expect(413);
    assert_eq!(w.list("configmaps", "default", "").json()["items"], json!([]));
}

#[test]
fn bodies_that_are_not_well_formed_are_shown() {
    let w = World::new();
    let lead = "the object provided is unrecognized (must be of type ConfigMap): ";
    for (content_type, body, want) in [
        (
            "application/json",
            "",
            "couldn't get version/kind; json parse error: unexpected end of JSON input (<empty>)",
        ),
        (
            "application/json",
            "{\"kind\":",
            "couldn't get version/kind; json parse error: unexpected end of JSON input ({\"kind\":)",
        ),
        (
            "application/json",
            "kind: ConfigMap\napiVersion: v1\nmetadata: {}",
            "couldn't get version/kind; json parse error: invalid character 'k' looking for beginning of value \
             (6b696e643a20436f6e6669674d61700a61706956657273696f6e3a207631 ...)",
        ),
    ] {
        let got = post(&w, content_type, "", body.as_bytes()).expect(400);
        assert_eq!(got.message(), format!("{lead}{want}"));
    }
    let yaml = post(&w, "application/yaml", "", b"a: [").expect(400).message();
    assert!(yaml.starts_with(&format!("{lead}error converting YAML to JSON: yaml: ")), "{yaml}");
    // Empty YAML is null, an object without fields.
    post(&w, "application/yaml", "", b"").expect(422);
    post(&w, "application/vnd.kubernetes.protobuf", "", b"").expect(400);
}

#[test]
fn unknown_and_duplicate_fields() {
    let w = World::new();
    let body = br#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a"},"data":{},"nope":1,"data":{"x":"y"}}"#;
    let strict = post(&w, "application/json", "fieldValidation=Strict", body).expect(400);
    assert!(strict.message().contains(r#"unknown field "nope""#), "{}", strict.message());
    assert!(strict.message().contains(r#"duplicate field "data""#), "{}", strict.message());
    let warned = post(&w, "application/json", "fieldValidation=Warn&dryRun=All", body).expect(201);
    assert_eq!(warned.warnings.len(), 2, "{:?}", warned.warnings);
    let ignored = post(&w, "application/json", "fieldValidation=Ignore&dryRun=All", body).expect(201);
    assert!(ignored.warnings.is_empty());
    post(&w, "application/json", "fieldValidation=Other", body).expect(422);
    w.get("configmaps", "default", "a").expect(404);
}

#[test]
fn queries_that_make_no_sense() {
    let w = World::with(|c| c.cache_limits.ring_changes = 2);
    for name in ["a", "b", "c", "d"] {
        let object = json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name}});
        w.create("configmaps", "default", &object).expect(201);
    }
    let cases = [
        ("labelSelector=a in (", 400),
        ("labelSelector=%%", 400),
        ("fieldSelector=spec.x=1", 400),
        ("fieldSelector=x", 400),
        ("resourceVersion=abc", 400),
        ("resourceVersion=1&resourceVersionMatch=Exact", 410),
        ("resourceVersionMatch=Exact", 422),
        ("limit=x", 400),
        ("continue=???", 400),
        ("continue=e30", 400),
        ("sendInitialEvents=true", 422),
    ];
    for (query, code) in cases {
        let got = w.list("configmaps", "default", query);
        assert_eq!(got.code, code, "{query}: {}", got.text());
    }
    let message = w.list("configmaps", "default", "continue=???").message();
    assert!(message.starts_with("continue key is not valid: "), "{message}");
    let mut old = w.watch("configmaps", "default", "resourceVersion=1");
    let events = old.now();
    assert_eq!(events[0]["type"], "ERROR");
    assert_eq!(events[0]["object"]["code"], 410);
}

#[test]
fn places_that_do_not_exist() {
    let w = World::new();
    w.get("nothings", "default", "a").expect(404);
    w.get("x.example/things", "default", "a").expect(404);
    w.get("pods", "", "a").expect(404);
    w.get("nodes", "default", "a").expect(404);
    w.get("configmaps", "default", "a/status").expect(404);
    w.path("/nothing").expect(404);
    let missing = w.create(
        "configmaps",
        "none",
        &json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a"}}),
    );
    assert_eq!(missing.expect(404).message(), "namespaces \"none\" not found");
    let mut r = w.request(Verb::Get, "configmaps", "default", "a");
    r.accept = "image/png".into();
    w.send(r).expect(406);
    let r = w.request(Verb::Create, "namespaces", "", "a");
    w.send(r).expect(405);
    // All namespaces can be read, not written.
    for verb in [Verb::Create, Verb::DeleteCollection] {
        let refused = w.send(w.request(verb, "pods", "", "")).expect(405);
        assert_eq!(refused.message(), "the server does not allow this method on the requested resource");
    }
}
