//! Cases of managed fields over built-in types.

use managedfields::ApplyError;
use meta::Gvk;

use crate::harness::Object;

const DEPLOYMENT: Gvk = Gvk::new("apps", "v1", "Deployment");

fn deployment() -> Object {
    Object::builtin("apps", "v1", "Deployment")
}

const CREATED: &str = r#"
metadata: {name: web, namespace: default, labels: {app: web}}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: c
        image: i:1
        ports: [{containerPort: 80, protocol: TCP}]
        resources: {requests: {cpu: 100m}}
"#;

#[test]
fn a_create_owns_what_go_would_see() {
    let mut o = deployment();
    o.update(CREATED, &DEPLOYMENT, "kubectl-create");
    let want = concat!(
        r#"kubectl-create Update apps/v1 00 {"f:metadata":{"f:labels":{".":{},"f:app":{}}},"f:spec":{"f:replicas":{},"#,
        r#""f:selector":{},"f:template":{"f:metadata":{"f:labels":{".":{},"f:app":{}}},"f:spec":{"f:containers":{"#,
        r#""k:{\"name\":\"c\"}":{".":{},"f:image":{},"f:name":{},"f:ports":{".":{},"#,
        r#""k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{},"f:protocol":{}}},"#,
        r#""f:resources":{".":{},"f:requests":{".":{},"f:cpu":{}}}}}}}}}"#
    );
    assert_eq!(o.managers(), [want]);
}

#[test]
fn an_update_takes_what_it_changes() {
    let mut o = deployment();
    o.update(CREATED, &DEPLOYMENT, "one");
    o.live.set_at(&["metadata", "uid"], "u");
    o.update(&CREATED.replace("i:1", "i:2"), &DEPLOYMENT, "two");
    let two = r#"two Update apps/v1 01 {"f:spec":{"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{"f:image":{}}}}}}}"#;
    assert_eq!(o.managers()[1], two);
    assert!(!o.managers()[0].contains("f:image"));
    // Nothing changes: nobody's time does.
    let before = o.managers();
    o.update(&CREATED.replace("i:1", "i:2"), &DEPLOYMENT, "three");
    assert_eq!(o.managers(), before);
}

#[test]
fn conflicts_are_told_as_upstream() {
    let mut o = deployment();
    o.update(CREATED, &DEPLOYMENT, "kubectl-create");
    let two =
        "metadata: {name: web}\nspec: {replicas: 5, template: {spec: {containers: [{name: c, image: i:9}]}}}";
    let status = |e: ApplyError| meta::Status::from(e);
    let s = status(o.apply(two, &DEPLOYMENT, "two", false).expect_err("conflicts"));
    assert_eq!((s.code, &*s.reason), (409, "Conflict"));
    assert_eq!(
        s.message,
        "Apply failed with 2 conflicts: conflicts with \"kubectl-create\" using apps/v1:\n- .spec.replicas\n- .spec.template.spec.containers[name=\"c\"].image"
    );
    let causes = s.details.expect("details").causes;
    assert_eq!(causes[1].reason, "FieldManagerConflict");
    assert_eq!(causes[1].message, "conflict with \"kubectl-create\" using apps/v1");
    assert_eq!(causes[1].field, ".spec.template.spec.containers[name=\"c\"].image");
    let one = "metadata: {name: web}\nspec: {replicas: 5}";
    let s = status(o.apply(one, &DEPLOYMENT, "two", false).expect_err("a conflict"));
    assert_eq!(
        s.message,
        "Apply failed with 1 conflict: conflict with \"kubectl-create\" using apps/v1: .spec.replicas"
    );
    assert!(o.apply(one, &DEPLOYMENT, "two", true).expect("forced"));
    assert_eq!(o.live.int_at(&["spec", "replicas"]), Some(5));
    assert_eq!(o.managers()[0], r#"two Apply apps/v1 03 {"f:spec":{"f:replicas":{}}}"#);
    assert!(!o.managers()[1].contains("f:replicas"));
}

#[test]
fn what_is_no_longer_applied_goes_unless_somebody_owns_it() {
    let service = Gvk::new("", "v1", "Service");
    let mut o = Object::builtin("", "v1", "Service");
    let first = "metadata: {name: s, labels: {a: '1', b: '2'}}\nspec:\n  ports:\n  - {port: 80, name: http}\n  - {port: 53, protocol: UDP, name: dns}\n";
    assert!(o.apply(first, &service, "one", false).expect("created"));
    assert!(!o.apply("metadata: {name: s, labels: {b: '2'}}", &service, "two", false).expect("shared"));
    // Shared without a change: nobody said when.
    assert_eq!(o.managers()[0], r#"two Apply v1 {"f:metadata":{"f:labels":{"f:b":{}}}}"#);
    let next = "metadata: {name: s}\nspec:\n  ports:\n  - {port: 53, protocol: UDP, name: dns}\n";
    assert!(o.apply(next, &service, "one", false).expect("fewer"));
    assert_eq!(o.live.at(&["metadata", "labels"]).map(schema::encode_plain), Some(br#"{"b":"2"}"#.to_vec()));
    assert_eq!(o.live.list_at(&["spec", "ports"]).len(), 1);
    assert_eq!(
        o.managers()[1],
        r#"one Apply v1 02 {"f:spec":{"f:ports":{"k:{\"port\":53,\"protocol\":\"UDP\"}":{".":{},"f:name":{},"f:port":{},"f:protocol":{}}}}}"#
    );
}

#[test]
fn what_was_there_before_the_first_apply() {
    let map = Gvk::new("", "v1", "ConfigMap");
    let mut o = Object::builtin("", "v1", "ConfigMap");
    o.live = o.decode(&crate::harness::config("metadata: {name: c, uid: u}\ndata: {a: '1', b: '2'}", &map));
    o.update("metadata: {name: c, uid: u}\ndata: {a: '1', b: '3'}", &map, "updater");
    assert!(o.managers().is_empty(), "objects without managed fields are not tracked by updates");
    assert!(o.apply("metadata: {name: c}\ndata: {c: x}", &map, "one", false).expect("applied"));
    assert_eq!(
        o.managers(),
        [
            r#"one Apply v1 01 {"f:data":{"f:c":{}}}"#,
            r#"before-first-apply Update v1 01 {"f:data":{".":{},"f:a":{},"f:b":{}}}"#
        ]
    );
    let e = o.apply("metadata: {name: c}\ndata: {a: x}", &map, "one", false).expect_err("owned");
    assert!(meta::Status::from(e).message.contains("before-first-apply"));
}

#[test]
fn configurations_that_are_none() {
    let cases = [
        (
            "metadata: {name: d}\nspec: {replicass: 1}",
            "failed to create typed patch object (/d; apps/v1, Kind=Deployment): .spec.replicass: field not declared in schema",
        ),
        (
            "metadata: {name: d, namespace: ns}\nspec: {replicas: x}",
            "failed to create typed patch object (ns/d; apps/v1, Kind=Deployment): .spec.replicas: expected numeric (int or float), got string",
        ),
        (
            "metadata: {name: d}\nspec: {template: {spec: {containers: [{name: c}, {name: c}]}}}",
            "failed to create typed patch object (/d; apps/v1, Kind=Deployment): .spec.template.spec.containers: duplicate entries for key [name=\"c\"]",
        ),
        ("metadata: {name: d, managedFields: []}", "metadata.managedFields must be nil"),
    ];
    for (text, want) in cases {
        let e = deployment().apply(text, &DEPLOYMENT, "one", false).expect_err(text);
        assert_eq!(meta::Status::from(e).message, want);
    }
}

#[test]
fn client_side_apply_is_taken_over_by_kubectl_alone() {
    let last = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"},"data":{"a":"1","b":"2"}}"#;
    let map = Gvk::new("", "v1", "ConfigMap");
    let live = format!(
        "metadata: {{name: c, annotations: {{kubectl.kubernetes.io/last-applied-configuration: '{last}'}}}}\ndata: {{a: '1', b: '2'}}"
    );
    let config = "metadata: {name: c}\ndata: {a: '9', b: '2'}";
    let mut o = Object::builtin("", "v1", "ConfigMap");
    o.update(&live, &map, "kubectl-client-side-apply");
    assert!(o.apply(config, &map, "other", false).is_err());
    assert!(o.apply(config, &map, "kubectl", false).expect("taken over"));
    let annotation =
        o.live.str_at(&["metadata", "annotations", "kubectl.kubernetes.io/last-applied-configuration"]);
    assert_eq!(
        annotation,
        "{\"apiVersion\":\"v1\",\"data\":{\"a\":\"9\",\"b\":\"2\"},\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"c\"}}\n"
    );
}

#[test]
fn managers_of_updates_are_limited() {
    let map = Gvk::new("", "v1", "ConfigMap");
    let mut o = Object::builtin("", "v1", "ConfigMap");
    let mut data = String::new();
    for n in 0..14 {
        data.push_str(&format!("  k{n:02}: x\n"));
        o.update(&format!("metadata: {{name: c}}\ndata:\n{data}"), &map, &format!("m{n:02}"));
    }
    let managers = o.managers();
    assert_eq!(managers.len(), 10);
    assert_eq!(
        managers[0],
        r#"ancient-changes Update v1 04 {"f:data":{".":{},"f:k00":{},"f:k01":{},"f:k02":{},"f:k03":{},"f:k04":{}}}"#
    );
}

#[test]
fn managed_fields_are_cleared_on_demand() {
    let map = Gvk::new("", "v1", "ConfigMap");
    for list in ["[]", "[{}]"] {
        let mut o = Object::builtin("", "v1", "ConfigMap");
        o.update("metadata: {name: c}\ndata: {a: x}", &map, "one");
        o.live.set_at(&["metadata", "uid"], "u");
        o.update(
            &format!("metadata: {{name: c, uid: u, managedFields: {list}}}\ndata: {{a: x}}"),
            &map,
            "two",
        );
        assert!(o.managers().is_empty(), "{list}");
    }
}

#[test]
fn fields_that_a_strategy_resets_are_nobodys() {
    let mut o = deployment();
    o.versions.1 = &[&["status"]];
    o.update(&format!("{CREATED}status: {{replicas: 3}}"), &DEPLOYMENT, "one");
    assert!(!o.managers()[0].contains("f:status"));
    o.apply("metadata: {name: web}\nstatus: {replicas: 9}", &DEPLOYMENT, "two", false).expect("no conflict");
    assert_eq!(o.managers().len(), 1);
}
