//! Who may do what: RBAC, the node authorizer, impersonation, escalation, reviews.

use meta::{Credentials, Handler, Proof, Request, Target, Verb};
use serde_json::json;
use stdx::block_on;

use crate::harness::World;

#[test]
fn roles_open_what_they_say_and_no_more() {
    let w = World::new();
    let u = w.by("u", &[]);
    let refused = u.list("pods", "default", "").expect(403);
    assert_eq!(
        refused.message(),
        "pods is forbidden: User \"u\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\""
    );
    assert_eq!(refused.at("/reason"), "Forbidden");
    assert_eq!(
        u.list("nodes", "", "").expect(403).message(),
        "nodes is forbidden: User \"u\" cannot list resource \"nodes\" in API group \"\" at the cluster scope"
    );
    assert_eq!(
        u.path("/metrics").expect(403).message(),
        "forbidden: User \"u\" cannot get path \"/metrics\""
    );
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "b"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "u"}],
    });
    w.create("rbac.authorization.k8s.io/rolebindings", "default", &binding).expect(201);
    u.list("pods", "default", "").expect(200);
    u.list("pods", "kube-system", "").expect(403);
    u.list("secrets", "default", "").expect(403);
    u.delete("pods", "default", "x", &json!(null)).expect(403);
    w.delete("rbac.authorization.k8s.io/rolebindings", "default", "b", &json!(null)).expect(200);
    u.list("pods", "default", "").expect(403);
}

#[test]
fn default_roles_are_there() {
    let w = World::new();
    let scheduler = w.by("system:kube-scheduler", &[]);
    scheduler.list("pods", "", "").expect(200);
    scheduler.list("secrets", "", "").expect(403);
    let rs = w.by("system:serviceaccount:kube-system:replicaset-controller", &["system:serviceaccounts"]);
    rs.list("apps/replicasets", "", "").expect(200);
    let admin = w.get("rbac.authorization.k8s.io/clusterroles", "", "admin").expect(200);
    assert!(admin.text().contains("rolebindings"), "aggregated rules are filled in");
    let everyone = w.by("x", &["system:authenticated"]);
    everyone.path("/apis").expect(200);
}

#[test]
fn anonymous_sees_only_health_and_version() {
    let w = World::new();
    let ask = |path: &str| w.send(Request::new(Verb::Get, Target::Path(path.to_owned())));
    for path in ["/healthz", "/livez", "/readyz", "/version"] {
        ask(path).expect(200);
    }
    assert_eq!(
        ask("/apis").expect(403).message(),
        "forbidden: User \"system:anonymous\" cannot get path \"/apis\""
    );
}

#[test]
fn bad_credentials_are_401() {
    let w = World::new();
    for credentials in [
        Credentials::Bearer("x".into()),
        Credentials::Bearer("eyJhbGciOiJub25lIn0.e30.".into()),
        Credentials::Bearer(String::new()),
        Credentials::Certificate(b"not a certificate".as_slice().into()),
    ] {
        let mut r = w.request(Verb::List, "pods", "default", "");
        r.credentials = credentials;
        assert_eq!(w.send(r).expect(401).at("/reason"), "Unauthorized");
    }
}

#[test]
fn what_is_admitted_is_not_asked_again() {
    let w = World::new();
    let object = json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a"}});
    let head = |w: &World| w.request(Verb::Create, "configmaps", "default", "");
    let admit = |request: &Request| block_on(w.server.admit(request)).map_err(|refused| refused.code);
    assert_eq!(admit(&head(&w.by("nobody", &[]))).unwrap_err(), 403);
    assert!(w.path("/metrics").text().contains("code=\"403\""));
    let mut request = head(&w);
    let admission = admit(&request).unwrap().expect("it is let in");
    assert_eq!((&*admission.user().name, admission.identity.proof), ("admin", Proof::InProcess));
    // From now on nothing else says who asks.
    request.credentials = Credentials::Bearer("no good".into());
    request.admission = Some(admission);
    request.content_type = "application/json".into();
    request.body = object.to_string().into();
    w.send(request).expect(201);
}

#[test]
fn certificates_name_user_and_all_groups() {
    let w = World::new();
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, "boss");
    params.distinguished_name.push(rcgen::DnType::OrganizationName, "system:masters");
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let mut r = w.request(Verb::List, "pods", "", "");
    r.credentials = Credentials::Certificate(certificate.der().to_vec().into());
    w.send(r).expect(200);
}

#[test]
fn impersonation_needs_to_be_allowed() {
    let w = World::new();
    let ask = |who: &World, user: &str| {
        let mut r = who.request(Verb::Create, "authentication.k8s.io/selfsubjectreviews", "", "");
        r.headers = vec![("impersonate-user".into(), user.into()), ("impersonate-group".into(), "g".into())];
        r.content_type = "application/json".into();
        r.body =
            json!({"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"}).to_string().into();
        who.send(r)
    };
    let got = ask(&w, "someone").expect(201);
    assert_eq!(got.at("/status/userInfo/username"), "someone");
    assert_eq!(got.at("/status/userInfo/groups"), r#"["g","system:authenticated"]"#);
    assert_eq!(
        ask(&w.by("u", &[]), "someone").expect(403).message(),
        "users \"someone\" is forbidden: User \"u\" cannot impersonate resource \"users\" in API group \"\" at the cluster scope"
    );
}

#[test]
fn access_reviews_answer() {
    let w = World::new();
    let review =
        |kind: &str, spec| json!({"kind": kind, "apiVersion": "authorization.k8s.io/v1", "spec": spec});
    let list_pods = json!({"namespace": "default", "verb": "list", "resource": "pods"});
    let own = review("SelfSubjectAccessReview", json!({"resourceAttributes": list_pods}));
    let allowed = |a: crate::harness::Answer| a.expect(201).at("/status/allowed");
    assert_eq!(allowed(w.create("authorization.k8s.io/selfsubjectaccessreviews", "", &own)), "true");
    let u = w.by("u", &["system:authenticated"]);
    assert_eq!(allowed(u.create("authorization.k8s.io/selfsubjectaccessreviews", "", &own)), "false");
    let other = review(
        "SubjectAccessReview",
        json!({"user": "system:kube-scheduler", "resourceAttributes": list_pods}),
    );
    assert_eq!(allowed(w.create("authorization.k8s.io/subjectaccessreviews", "", &other)), "true");
    u.create("authorization.k8s.io/subjectaccessreviews", "", &other).expect(403);
    let path = review(
        "SelfSubjectAccessReview",
        json!({"nonResourceAttributes": {"path": "/version", "verb": "get"}}),
    );
    assert_eq!(allowed(u.create("authorization.k8s.io/selfsubjectaccessreviews", "", &path)), "true");
    let nothing = review("SelfSubjectAccessReview", json!({}));
    w.create("authorization.k8s.io/selfsubjectaccessreviews", "", &nothing).expect(422);
    let rules = review("SelfSubjectRulesReview", json!({"namespace": "default"}));
    let got = u.create("authorization.k8s.io/selfsubjectrulesreviews", "", &rules).expect(201);
    assert!(got.text().contains("selfsubjectaccessreviews"));
}

#[test]
fn an_update_that_creates_needs_create() {
    let w = World::new();
    let grant = |verbs: &[&str]| {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "leases"},
            "rules": [{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": verbs}]})
    };
    w.create("rbac.authorization.k8s.io/clusterroles", "", &grant(&["update"])).expect(201);
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "b"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "leases"},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "u"}]});
    w.create("rbac.authorization.k8s.io/clusterrolebindings", "", &binding).expect(201);
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"}});
    let u = w.by("u", &[]);
    let refused = u.update("coordination.k8s.io/leases", "default", "l", &lease).expect(403);
    assert!(refused.message().contains("cannot create resource \"leases\""), "{}", refused.message());
    w.update("rbac.authorization.k8s.io/clusterroles", "", "leases", &grant(&["create", "update"]))
        .expect(200);
    u.update("coordination.k8s.io/leases", "default", "l", &lease).expect(201);
}
