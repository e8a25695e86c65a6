//! Service-account tokens from request to use.

use apiserver::Issuer;
use meta::{Credentials, Verb};
use serde_json::{Value as Json, json};

use crate::harness::World;
use crate::pods;

const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

fn world() -> World {
    let key = rcgen::KeyPair::generate().unwrap();
    let issuer = Issuer::from_pem(ISSUER, &[], key.serialize_pem().as_bytes()).unwrap();
    let w = World::with(|c| c.issuer = Some(issuer));
    pods::account(&w);
    w
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
        (bound("Pod", "none", "u"), 404, "pods \"none\" not found"),
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
