//! Service-account tokens from request to use.

use apiserver::Issuer;
use meta::{Credentials, Verb};
use serde_json::{Value as Json, json};

use crate::harness::World;
use crate::pods;

const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

fn world() -> World {
    world_and_signer().0
}

/// A cluster, and its key once more.
fn world_and_signer() -> (World, Issuer) {
    let key = rcgen::KeyPair::generate().unwrap();
    let issuer = || Issuer::from_pem(ISSUER, &[], key.serialize_pem().as_bytes()).unwrap();
    let w = World::with(|c| c.issuer = Some(issuer()));
    pods::account(&w);
    (w, issuer())
}

fn request(spec: Json) -> Json {
    json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec})
}

fn whoami(w: &World, token: &str) -> crate::harness::Answer {
    let mut r = w.request(Verb::Create, "authentication.k8s.io/selfsubjectreviews", "", "");
    r.credentials = Credentials::Bearer(token.to_owned());
    r.content_type = "application/json".into();
    r.body =
        json!({"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"}).to_string().into();
    w.send(r)
}

#[test]
fn a_token_is_its_account_until_it_expires() {
    let w = world();
    let got = w
        .post("serviceaccounts", "default", "default/token", &request(json!({"expirationSeconds": 600})))
        .expect(201);
    assert_eq!(got.at("/status/expirationTimestamp"), "2026-01-02T03:14:05Z");
    let token = got.at("/status/token");
    let me = whoami(&w, &token).expect(201);
    assert_eq!(me.at("/status/userInfo/username"), "system:serviceaccount:default:default");
    assert!(me.at("/status/userInfo/groups").contains("system:serviceaccounts:default"));
    let (start, signature) = token.rsplit_once('.').unwrap();
    let forged = format!("{start}.{}", signature.chars().rev().collect::<String>());
    whoami(&w, &forged).expect(401);
    w.pass(601);
    whoami(&w, &token).expect(401);
}

#[test]
fn a_token_ends_with_what_it_is_bound_to() {
    let w = world();
    w.create("pods", "default", &pods::pod("p")).expect(201);
    let bound = request(json!({"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "p"}}));
    let token = w.post("serviceaccounts", "default", "default/token", &bound).expect(201).at("/status/token");
    let me = whoami(&w, &token).expect(201);
    assert!(me.text().contains("authentication.kubernetes.io/pod-name"), "{}", me.text());
    w.delete("pods", "default", "p", &Json::Null).expect(200);
    whoami(&w, &token).expect(401);
    w.post("serviceaccounts", "default", "default/token", &bound).expect(404);
    let free = w
        .post("serviceaccounts", "default", "default/token", &request(json!({})))
        .expect(201)
        .at("/status/token");
    whoami(&w, &free).expect(201);
    w.delete("serviceaccounts", "default", "default", &Json::Null).expect(200);
    whoami(&w, &free).expect(401);
}

#[test]
fn audiences_bounds_and_reviews() {
    let w = world();
    let ask = |spec: Json| w.post("serviceaccounts", "default", "default/token", &request(spec));
    ask(json!({"expirationSeconds": 10})).expect(422);
    let other = ask(json!({"audiences": ["vault"]})).expect(201).at("/status/token");
    whoami(&w, &other).expect(401);
    let review = |token: &str, audiences: Json| {
        let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
            "spec": {"token": token, "audiences": audiences}});
        w.create("authentication.k8s.io/tokenreviews", "", &body).expect(201)
    };
    assert_eq!(review(&other, json!(["vault"])).at("/status/authenticated"), "true");
    assert_ne!(review(&other, json!(["else"])).at("/status/authenticated"), "true");
    let keys = w.path("/openid/v1/jwks").expect(200).json();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 1);
    assert_eq!(w.path("/.well-known/openid-configuration").expect(200).at("/issuer"), ISSUER);
}

#[test]
fn a_node_asks_only_for_tokens_of_its_pods() {
    let w = world();
    for (pod, node) in [("p", "n1"), ("q", "n2")] {
        w.create("pods", "default", &pods::pod(pod)).expect(201);
        pods::bind(&w, pod, node).expect(201);
    }
    let uid = |pod: &str| w.get("pods", "default", pod).at("/metadata/uid");
    let bound = |kind: &str, name: &str, uid: &str| json!({"boundObjectRef": {"kind": kind, "apiVersion": "v1", "name": name, "uid": uid}});
    let node = w.by("system:node:n1", &["system:nodes"]);
    let cases = [
        (json!({}), 403, "node requested token not bound to a pod"),
        (bound("Secret", "p", &uid("p")), 403, "node requested token not bound to a pod"),
        (bound("Node", "n1", "u"), 403, "node requested token not bound to a pod"),
        (bound("Pod", "p", ""), 403, "node requested token with a pod binding without a uid"),
        (bound("Pod", "none", "u"), 404, "pod \"none\" not found"),
        (bound("Pod", "p", "u"), 403, "does not match the UID in record"),
        (
            bound("Pod", "q", &uid("q")),
            403,
            "node requested token bound to a pod scheduled on a different node",
        ),
        (bound("Pod", "p", &uid("p")), 201, ""),
    ];
    for (spec, code, message) in cases {
        let got = node.post("serviceaccounts", "default", "default/token", &request(spec.clone()));
        assert_eq!(got.code, code, "{spec}: {}", got.text());
        assert!(got.message().contains(message), "{spec}: {}", got.message());
    }
}

#[test]
fn a_node_asks_only_for_audiences_that_a_pod_names() {
    let w = world();
    let projected = |audience: &str| json!({"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "t", "audience": audience}}]}});
    let csi = json!({"name": "d", "csi": {"driver": "d.example.com"}});
    let claim = json!({"name": "c", "persistentVolumeClaim": {"claimName": "c"}});
    for (pod, volumes) in [("p", json!([projected("vault")])), ("q", json!([csi])), ("r", json!([claim]))] {
        let mut object = pods::pod(pod);
        object["spec"]["volumes"] = volumes;
        w.create("pods", "default", &object).expect(201);
        pods::bind(&w, pod, "n1").expect(201);
    }
    let node = w.by("system:node:n1", &["system:nodes"]);
    let ask = |pod: &str, audiences: Json| {
        let uid = w.get("pods", "default", pod).at("/metadata/uid");
        let bound = json!({"kind": "Pod", "apiVersion": "v1", "name": pod, "uid": uid});
        let spec = json!({"boundObjectRef": bound, "audiences": audiences});
        node.post("serviceaccounts", "default", "default/token", &request(spec))
    };
    let driver = json!({"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": "d.example.com"},
        "spec": {"tokenRequests": [{"audience": "disks"}]}});
    let missing = ask("q", json!(["disks"])).expect(403).message();
    assert!(
        missing.contains(
            "error validating audience \"disks\": csidriver.storage.k8s.io \"d.example.com\" not found"
        ),
        "{missing}"
    );
    w.create("storage.k8s.io/csidrivers", "", &driver).expect(201);
    let why = |audience: &str| {
        format!("system:node:n1 is not authorized to request tokens for audience \"{audience}\"")
    };
    let cases = [
        ("p", json!(["vault"]), String::new()),
        // The token that every pod gets.
        ("p", json!([]), String::new()),
        ("p", json!(["other"]), why("other")),
        ("p", json!(["vault", "other"]), "node may only request 0 or 1 audiences".to_owned()),
        ("p", json!(["disks"]), why("disks")),
        ("q", json!(["disks"]), String::new()),
        ("q", json!(["vault"]), why("vault")),
    ];
    for (pod, audiences, refused) in cases {
        let got = ask(pod, audiences.clone());
        let code = if refused.is_empty() { 201 } else { 403 };
        assert_eq!(got.code, code, "{pod} {audiences}: {}", got.text());
        assert!(got.message().ends_with(&refused), "{pod} {audiences}: {}", got.message());
    }
    // By way of a claim and its volume.
    let unbound = ask("r", json!(["disks"])).expect(403).message();
    assert!(unbound.contains("persistentvolumeclaim \"c\" not found"), "{unbound}");
    let access = json!(["ReadWriteOnce"]);
    let volume = json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "v"}, "spec": {
        "capacity": {"storage": "1Gi"}, "accessModes": access,
        "csi": {"driver": "d.example.com", "volumeHandle": "h"}}});
    w.create("persistentvolumes", "", &volume).expect(201);
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c"}, "spec": {
        "accessModes": access, "resources": {"requests": {"storage": "1Gi"}}, "volumeName": "v"}});
    w.create("persistentvolumeclaims", "default", &claim).expect(201);
    ask("r", json!(["disks"])).expect(201);
    // Or by leave.
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "a"},
        "rules": [{"verbs": ["request-serviceaccounts-token-audience"], "apiGroups": [""], "resources": ["other"]}]});
    w.create("rbac.authorization.k8s.io/clusterroles", "", &role).expect(201);
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "a"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "a"},
        "subjects": [{"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "system:nodes"}]});
    w.create("rbac.authorization.k8s.io/clusterrolebindings", "", &binding).expect(201);
    ask("p", json!(["other"])).expect(201);
}

/// A token that a Secret holds is good as long as the Secret holds it and its account is the one it was made for.
#[test]
fn a_token_of_a_secret_is_good_while_the_secret_holds_it() {
    let (w, signer) = world_and_signer();
    let uid = w.get("serviceaccounts", "default", "default").expect(200).at("/metadata/uid");
    let sign = |uid: &str| apiserver::sign_legacy_token(&signer, "default", "default", uid, "s").unwrap();
    let token = sign(&uid);
    let secret = |token: &str| {
        json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
            "metadata": {"name": "s", "annotations": {"kubernetes.io/service-account.name": "default"}},
            "stringData": {"token": token},
        })
    };
    whoami(&w, &token).expect(401);
    w.create("secrets", "default", &secret(&token)).expect(201);
    let me = whoami(&w, &token).expect(201);
    assert_eq!(me.at("/status/userInfo/username"), "system:serviceaccount:default:default");
    assert_eq!(me.at("/status/userInfo/uid"), uid);
    assert!(me.at("/status/userInfo/groups").contains("system:serviceaccounts:default"));
    w.pass(400 * 24 * 3600);
    whoami(&w, &token).expect(201);

    w.delete("secrets", "default", "s", &Json::Null).expect(200);
    whoami(&w, &token).expect(401);
    // Another Secret of the name does not bring it back.
    let other = sign("another");
    w.create("secrets", "default", &secret(&other)).expect(201);
    whoami(&w, &token).expect(401);
    whoami(&w, &other).expect(401);
}

/// What is being deleted counts for a minute more, whatever holds it; for a token in a Secret it does not.
#[test]
fn a_token_does_not_outlive_what_finalizers_hold() {
    let (w, signer) = world_and_signer();
    let held = json!({"metadata": {"finalizers": ["example.com/x"]}});
    w.create("pods", "default", &pods::pod("p")).expect(201);
    w.patch("pods", "default", "p", "merge", &held).expect(200);
    let bound = request(json!({"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "p"}}));
    let ask = |spec: &Json| {
        w.post("serviceaccounts", "default", "default/token", spec).expect(201).at("/status/token")
    };
    let (of_pod, of_account) = (ask(&bound), ask(&request(json!({}))));
    let uid = w.get("serviceaccounts", "default", "default").at("/metadata/uid");
    let of_secret = apiserver::sign_legacy_token(&signer, "default", "default", &uid, "s").unwrap();
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
        "metadata": {"name": "s", "annotations": {"kubernetes.io/service-account.name": "default"}},
        "stringData": {"token": of_secret}});
    w.create("secrets", "default", &secret).expect(201);

    w.delete("pods", "default", "p", &json!({"gracePeriodSeconds": 0})).expect(200);
    whoami(&w, &of_pod).expect(201);
    w.pass(62);
    whoami(&w, &of_pod).expect(401);
    whoami(&w, &of_secret).expect(201);

    w.patch("serviceaccounts", "default", "default", "merge", &held).expect(200);
    w.delete("serviceaccounts", "default", "default", &Json::Null).expect(200);
    whoami(&w, &of_secret).expect(401);
    whoami(&w, &of_account).expect(201);
    w.pass(62);
    whoami(&w, &of_account).expect(401);
}

/// The label is read as upstream reads it: an empty one says nothing.
#[test]
fn a_token_of_a_secret_can_be_marked_invalid() {
    let (w, signer) = world_and_signer();
    let uid = w.get("serviceaccounts", "default", "default").at("/metadata/uid");
    let token = apiserver::sign_legacy_token(&signer, "default", "default", &uid, "s").unwrap();
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
        "metadata": {"name": "s", "annotations": {"kubernetes.io/service-account.name": "default"}},
        "stringData": {"token": token}});
    w.create("secrets", "default", &secret).expect(201);
    for (since, code) in [("", 201), ("2026-01-01", 401), ("", 201)] {
        let label = json!({"metadata": {"labels": {"kubernetes.io/legacy-token-invalid-since": since}}});
        w.patch("secrets", "default", "s", "merge", &label).expect(200);
        whoami(&w, &token).expect(code);
    }
}
