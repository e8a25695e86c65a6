//! Nobody grants what they do not have.

use serde_json::{Value as Json, json};

use crate::harness::{Answer, World};
use crate::pki;

const API: &str = "rbac.authorization.k8s.io/v1";
const HELD: &str = "attempting to grant RBAC permissions not currently held";

fn at(plural: &str) -> String {
    format!("rbac.authorization.k8s.io/{plural}")
}

fn cluster_role(name: &str, rules: Json) -> Json {
    json!({"apiVersion": API, "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules})
}

fn bound(kind: &str, name: &str, role: &str, user: &str) -> Json {
    json!({
        "apiVersion": API, "kind": kind, "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user}],
    })
}

/// A world whose user `u` holds these rules, and may write all of RBAC, in the whole cluster.
fn holder(rules: &Json) -> (World, World) {
    let w = World::new();
    let mut all = vec![json!({"apiGroups": ["rbac.authorization.k8s.io"],
        "resources": ["roles", "clusterroles", "rolebindings", "clusterrolebindings"],
        "verbs": ["get", "create", "update", "patch", "delete"]})];
    all.extend(rules.as_array().unwrap().iter().cloned());
    w.create(&at("clusterroles"), "", &cluster_role("held", all.into())).expect(201);
    w.create(&at("clusterrolebindings"), "", &bound("ClusterRoleBinding", "held", "held", "u")).expect(201);
    let u = w.by("u", &["g1", "g2"]);
    (w, u)
}

fn pods(verbs: &[&str], resources: &[&str], names: &[&str]) -> Json {
    let mut rule = json!({"apiGroups": [""], "resources": resources, "verbs": verbs});
    if !names.is_empty() {
        rule["resourceNames"] = json!(names);
    }
    json!([rule])
}

fn check(answer: Answer, allowed: bool, what: &dyn std::fmt::Debug) {
    if allowed {
        assert_eq!(answer.code, 201, "{what:?}: {}", answer.text());
    } else {
        assert_eq!(answer.code, 403, "{what:?}: {}", answer.text());
        assert!(answer.message().contains(HELD), "{what:?}: {}", answer.message());
    }
}

#[test]
fn roles_and_bindings_grant_only_what_their_writer_holds() {
    let paths = |paths: &[&str]| json!([{"nonResourceURLs": paths, "verbs": ["get"]}]);
    let cases = [
        (pods(&["get"], &["pods"], &[]), pods(&["get"], &["pods"], &[]), true),
        (pods(&["get"], &["pods"], &[]), pods(&["get", "escape"], &["pods"], &[]), false),
        (pods(&["get"], &["pods"], &[]), pods(&["get"], &["pods"], &["a"]), true),
        (pods(&["get"], &["pods"], &["a"]), pods(&["get"], &["pods"], &[]), false),
        (pods(&["get"], &["pods"], &["a"]), pods(&["get"], &["pods"], &["b"]), false),
        // An object whose name is a star is no wildcard.
        (pods(&["get"], &["pods"], &["*"]), pods(&["get"], &["pods"], &["b"]), false),
        (pods(&["get"], &["pods"], &["*"]), pods(&["get"], &["pods"], &[]), false),
        (pods(&["get"], &["*/status"], &[]), pods(&["get"], &["pods/status"], &[]), true),
        (pods(&["get"], &["*/status"], &[]), pods(&["get"], &["pods/log"], &[]), false),
        (pods(&["get"], &["*/status"], &[]), pods(&["get"], &["pods"], &[]), false),
        (pods(&["get"], &["pods/status"], &[]), pods(&["get"], &["*/status"], &[]), false),
        (paths(&["/a/*"]), paths(&["/a/b"]), true),
        (paths(&["/a/*"]), paths(&["/b"]), false),
    ];
    for (held, wanted, allowed) in cases {
        let (w, u) = holder(&held);
        let what = (&held, &wanted);
        let made = u.create(&at("clusterroles"), "", &cluster_role("wanted", wanted.clone()));
        check(made, allowed, &what);
        w.create(&at("clusterroles"), "", &cluster_role("there", wanted.clone())).expect(201);
        let binding = bound("ClusterRoleBinding", "b", "there", "v");
        check(u.create(&at("clusterrolebindings"), "", &binding), allowed, &what);
        let binding = bound("RoleBinding", "b", "there", "v");
        check(u.create(&at("rolebindings"), "default", &binding), allowed, &what);
    }
}

#[test]
fn a_refusal_names_what_is_missing() {
    let (_, u) = holder(&pods(&["get"], &["pods"], &[]));
    let mut wanted = pods(&["list", "get", "watch"], &["pods"], &[]);
    wanted.as_array_mut().unwrap().push(json!({"nonResourceURLs": ["/x"], "verbs": ["get"]}));
    let refused = u.create(&at("clusterroles"), "", &cluster_role("r", wanted)).expect(403);
    assert_eq!(
        refused.message(),
        "clusterroles.rbac.authorization.k8s.io \"r\" is forbidden: user \"u\" (groups=[\"g1\" \"g2\" \"system:authenticated\"]) is \
         attempting to grant RBAC permissions not currently held:\n\
         {APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"list\" \"watch\"]}\n\
         {NonResourceURLs:[\"/x\"], Verbs:[\"get\"]}"
    );
}

#[test]
fn an_aggregation_rule_needs_every_power() {
    let (w, u) = holder(&pods(&["*"], &["*"], &[]));
    let collects = json!({"clusterRoleSelectors": [{"matchLabels": {"collect": "me"}}]});
    let mut role = cluster_role("r", json!([]));
    role["aggregationRule"] = collects.clone();
    let why = "must have cluster-admin privileges to use the aggregationRule";
    let refused = u.create(&at("clusterroles"), "", &role).expect(403);
    assert!(refused.message().ends_with(why), "{}", refused.message());
    w.create(&at("clusterroles"), "", &role).expect(201);
    // What is there may neither be widened nor taken away.
    let without = json!({"aggregationRule": null});
    let refused = u.patch(&at("clusterroles"), "", "r", "merge", &without).expect(403);
    assert!(refused.message().ends_with(why), "{}", refused.message());
    let all = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}, {"nonResourceURLs": ["*"], "verbs": ["*"]}]);
    let (_, admin) = holder(&all);
    admin.create(&at("clusterroles"), "", &role).expect(201);
}

#[test]
fn a_label_does_not_hand_on_what_its_writer_lacks() {
    let (w, u) = holder(&pods(&["get"], &["pods"], &[]));
    w.create(&at("clusterroles"), "", &cluster_role("strong", pods(&["*"], &["secrets"], &[]))).expect(201);
    let label = json!({"metadata": {"labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}}});
    let refused = u.patch(&at("clusterroles"), "", "strong", "merge", &label).expect(403);
    assert!(refused.message().contains(HELD), "{}", refused.message());
    // What the garbage collector changes to let an object go is nobody's gain.
    let finalizers = json!({"metadata": {"finalizers": ["example.com/f"]}});
    u.patch(&at("clusterroles"), "", "strong", "merge", &finalizers).expect(200);
}

#[test]
fn bind_and_escalate_may_be_given_for_one_role() {
    let rbac = |verb: &str, names: &[&str]| {
        json!([{"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"],
            "verbs": [verb], "resourceNames": names}])
    };
    // Bound to somebody else: who is bound to one of two equal roles holds what the other grants.
    let strong = |name: &str| cluster_role(name, pods(&["*"], &["secrets"], &[]));
    let (w, u) = holder(&rbac("bind", &["one"]));
    for name in ["one", "two"] {
        w.create(&at("clusterroles"), "", &strong(name)).expect(201);
        for (kind, plural, namespace) in
            [("RoleBinding", "rolebindings", "default"), ("ClusterRoleBinding", "clusterrolebindings", "")]
        {
            let made = u.create(&at(plural), namespace, &bound(kind, name, name, "v"));
            check(made, name == "one", &(name, kind));
        }
    }
    let unknown = bound("RoleBinding", "none", "none", "u");
    assert_eq!(
        u.create(&at("rolebindings"), "default", &unknown).expect(404).message(),
        "clusterroles.rbac.authorization.k8s.io \"none\" not found"
    );
    let (w, u) = holder(&rbac("escalate", &["one"]));
    for (name, code) in [("one", 200), ("two", 403)] {
        w.create(&at("clusterroles"), "", &cluster_role(name, json!([]))).expect(201);
        u.update(&at("clusterroles"), "", name, &strong(name)).expect(code);
    }
    // The name of a new object is not part of the question.
    u.create(&at("clusterroles"), "", &strong("three")).expect(403);
}

/// Whom to trust for a signer says only who may attest for it.
#[test]
fn trust_bundles_of_a_signer_are_written_by_who_may_attest() {
    let rules = json!([
        {"apiGroups": ["certificates.k8s.io"], "resources": ["clustertrustbundles"], "verbs": ["*"]},
        {"apiGroups": ["certificates.k8s.io"], "resources": ["signers"], "resourceNames": ["example.com/*"], "verbs": ["attest"]},
    ]);
    let (w, u) = holder(&rules);
    let pem = pki::authority();
    let bundle = |name: &str, signer: &str| {
        json!({"apiVersion": "certificates.k8s.io/v1", "kind": "ClusterTrustBundle",
            "metadata": {"name": name}, "spec": {"signerName": signer, "trustBundle": pem}})
    };
    let plural = "certificates.k8s.io/clustertrustbundles";
    u.create(plural, "", &bundle("example.com:s:a", "example.com/s")).expect(201);
    u.create(plural, "", &bundle("any", "")).expect(201);
    let signer = "kubernetes.io/kube-apiserver-serving";
    let named = bundle("kubernetes.io:kube-apiserver-serving:a", signer);
    let refused = u.create(plural, "", &named).expect(403).message();
    assert!(
        refused.ends_with(&format!("user not permitted to attest for signerName \"{signer}\"")),
        "{refused}"
    );
    w.create(plural, "", &named).expect(201);
    let at = "kubernetes.io:kube-apiserver-serving:a";
    u.patch(plural, "", at, "merge", &json!({"metadata": {"labels": {"a": "b"}}})).expect(403);
    u.patch(plural, "", at, "merge", &json!({"metadata": {"finalizers": ["example.com/x"]}})).expect(200);
}

/// A pod's certificate comes from who may sign for its signer, not from who may write the status.
#[test]
fn pod_certificate_requests_are_answered_by_who_may_sign() {
    let rules = json!([
        {"apiGroups": ["certificates.k8s.io"], "resources": ["podcertificaterequests", "podcertificaterequests/status"], "verbs": ["*"]},
        {"apiGroups": ["certificates.k8s.io"], "resources": ["signers"], "resourceNames": ["one.com/*", "two.com/a"], "verbs": ["sign"]},
        {"apiGroups": ["certificates.k8s.io"], "resources": ["signers"], "resourceNames": ["two.com/b"], "verbs": ["approve", "attest"]},
    ]);
    let (w, u) = holder(&rules);
    let plural = "certificates.k8s.io/podcertificaterequests";
    let denied = json!({"status": {"conditions": [{"type": "Denied", "status": "True", "reason": "No",
        "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
    for (name, signer, may) in [("a", "one.com/a", true), ("b", "two.com/a", true), ("c", "two.com/b", false)]
    {
        u.create(plural, "default", &pod_request(name, signer)).expect(201);
        let status = format!("{name}/status");
        // What is written beside the status needs no signer's power.
        u.patch(plural, "default", &status, "merge", &json!({"spec": {"podName": "other"}})).expect(200);
        if may {
            u.patch(plural, "default", &status, "merge", &denied).expect(200);
            continue;
        }
        let refused = u.patch(plural, "default", &status, "merge", &denied).expect(422).message();
        let why = format!(
            "PodCertificateRequest.certificates.k8s.io \"{name}\" is invalid: spec.signerName: Forbidden: User \"u\" is not permitted to \"sign\" for signer \"{signer}\""
        );
        assert_eq!(refused, why);
        w.patch(plural, "default", &status, "merge", &denied).expect(200);
    }
}

fn pod_request(name: &str, signer: &str) -> Json {
    json!({"apiVersion": "certificates.k8s.io/v1", "kind": "PodCertificateRequest", "metadata": {"name": name},
        "spec": pki::pod_request(signer)})
}
