//! Paths that are not resources.

use meta::{Credentials, Request, Target, Verb};

use crate::harness::World;

fn ask(w: &World, path: &str, accept: &str, etag: &str) -> crate::harness::Answer {
    let mut r = Request::new(Verb::Get, Target::Path(path.to_owned()));
    r.credentials = Credentials::Internal(w.user.clone());
    r.accept = accept.to_owned();
    if !etag.is_empty() {
        r.headers.push(("if-none-match".into(), etag.to_owned()));
    }
    w.send(r)
}

#[test]
fn plain_discovery() {
    let w = World::new();
    assert_eq!(w.path("/api").expect(200).json()["versions"][0], "v1");
    let groups = w.path("/apis").expect(200).json();
    assert!(groups["groups"].as_array().unwrap().iter().any(|g| g["name"] == "apps"));
    let core = w.path("/api/v1").expect(200).json();
    let find = |name: &str| core["resources"].as_array().unwrap().iter().find(|r| r["name"] == name).cloned();
    assert_eq!(find("pods").unwrap()["shortNames"][0], "po");
    assert_eq!(find("pods/log").unwrap()["verbs"][0], "get");
    assert_eq!(find("pods/eviction").unwrap()["group"], "policy");
    assert_eq!(w.path("/apis/apps").expect(200).json()["preferredVersion"]["groupVersion"], "apps/v1");
    assert_eq!(w.path("/apis/apps/v1").expect(200).json()["groupVersion"], "apps/v1");
    w.path("/apis/none").expect(404);
    w.path("/apis/apps/v2").expect(404);
    assert!(w.path("/").expect(200).text().contains("/apis/apps/v1"));
}

#[test]
fn aggregated_discovery() {
    let w = World::new();
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    let got = ask(&w, "/apis", accept, "").expect(200);
    assert_eq!(got.content_type, "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
    assert_eq!(got.at("/kind"), "APIGroupDiscoveryList");
    let etag = got.headers.iter().find(|(k, _)| *k == "etag").map(|(_, v)| v.clone()).unwrap();
    let unchanged = ask(&w, "/apis", accept, &etag).expect(304);
    assert!(unchanged.body.is_empty());
    assert_eq!(ask(&w, "/api", accept, "").expect(200).at("/items/0/versions/0/version"), "v1");
    assert_eq!(ask(&w, "/apis", "application/json", "").expect(200).at("/kind"), "APIGroupList");
}

#[test]
fn version_health_and_metrics() {
    let w = World::new();
    let version = w.path("/version").expect(200).json();
    assert_eq!((version["major"].as_str(), version["minor"].as_str()), (Some("1"), Some("37")));
    assert_eq!(w.path("/readyz").expect(200).text(), "ok");
    assert_eq!(w.path("/readyz/ping").expect(200).text(), "ok");
    w.path("/readyz/none").expect(404);
    let metrics = w.path("/metrics").expect(200).text();
    assert!(metrics.contains("apiserver_request_total{code=\"201\""), "{metrics}");
}

#[test]
fn openapi_documents() {
    let w = World::new();
    let index = w.path("/openapi/v3").expect(200).json();
    let url = index["paths"]["apis/apps/v1"]["serverRelativeURL"].as_str().unwrap();
    let (path, hash) = url.split_once("?hash=").unwrap();
    let document = w.path(path).expect(200);
    assert!(document.text().contains("io.k8s.api.apps.v1.Deployment"));
    assert!(document.headers.iter().any(|(k, v)| *k == "etag" && v.contains(hash)));
    w.path("/openapi/v3/apis/none/v1").expect(404);
    let v2 =
        ask(&w, "/openapi/v2", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf", "").expect(200);
    // With an @ Go clients cannot read the media type.
    assert_eq!(v2.content_type, "application/com.github.proto-openapi.spec.v2.v1.0+protobuf");
    assert_eq!(ask(&w, "/openapi/v2", "application/json", "").expect(200).at("/swagger"), "2.0");
}
