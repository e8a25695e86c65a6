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
    assert_eq!(find("pods").unwrap()["storageVersionHash"], "xPOwRZ+Yhw8=");
    assert!(find("bindings").unwrap().get("storageVersionHash").is_none());
    let scaling = w.path("/apis/autoscaling/v1").expect(200).json();
    assert_eq!(scaling["resources"][0]["storageVersionHash"], "qwQve8ut294=");
    assert!(w.path("/").expect(200).text().contains("/apis/apps/v1"));
}

#[test]
fn paths_that_nobody_serves() {
    let w = World::new();
    // A Status where a group is served, a page where nothing is.
    for (path, status) in [
        ("/api/v2", true),
        ("/api/v1/namespaces/default/none", true),
        ("/apis/apps/v2", true),
        ("/apis/apps/v1/none", true),
        ("/version/none", true),
        ("/apis/none", false),
        ("/apis/none/v1", false),
        ("/apis/none/v1/things", false),
        ("/none", false),
        ("/readyz/none", false),
    ] {
        let got = w.path(path).expect(404);
        match status {
            true => assert_eq!(got.at("/details"), "{}", "{path}"),
            false => assert_eq!(got.text(), "404 page not found\n", "{path}"),
        }
    }
    for (group, status) in [("apps", true), ("none.example", false)] {
        let mut r = Request::new(
            Verb::List,
            Target::Resource {
                gvr: meta::Gvr::new(group, "v1", "things"),
                namespace: "default".into(),
                name: String::new(),
                subresource: String::new(),
                subpath: String::new(),
            },
        );
        r.credentials = Credentials::Internal(w.user.clone());
        assert_eq!(w.send(r).expect(404).text().starts_with('{'), status, "{group}");
    }
    let mut post = Request::new(Verb::Create, Target::Path("/version".into()));
    post.credentials = Credentials::Internal(w.user.clone());
    let refused = w.send(post.clone()).expect(405);
    assert_eq!(refused.at("/message"), "the server does not allow this method on the requested resource");
    assert_eq!(refused.at("/details"), "{}");
    post.target = Target::Path("/livez".into());
    assert_eq!(w.send(post).expect(200).text(), "ok");
}

#[test]
fn health_in_detail() {
    let w = World::new();
    let ask = |query: &[(&str, &str)]| {
        let mut r = Request::new(Verb::Get, Target::Path("/readyz".into()));
        r.credentials = Credentials::Internal(w.user.clone());
        r.query = meta::Query(query.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect());
        w.send(r).expect(200).text()
    };
    assert!(ask(&[("verbose", "")]).starts_with("[+]ping ok\n[+]log ok\n[+]etcd ok\n"));
    let text = ask(&[("verbose", ""), ("exclude", "log"), ("exclude", "none")]);
    assert!(text.starts_with("[+]ping ok\n[+]log excluded: ok\n[+]etcd ok\n"), "{text}");
    let end = "warn: some health checks cannot be excluded: no matches for \"none\"\nreadyz check passed\n";
    assert!(text.ends_with(end), "{text}");
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
    let with_hash = |hash: &str| {
        let mut r = Request::new(Verb::Get, Target::Path(path.to_owned()));
        r.credentials = Credentials::Internal(w.user.clone());
        r.query = meta::Query(vec![("hash".into(), hash.into())]);
        w.send(r)
    };
    let header = |a: &crate::harness::Answer, name: &str| {
        a.headers.iter().find(|(k, _)| *k == name).map(|(_, v)| v.clone()).unwrap_or_default()
    };
    assert_eq!(header(&with_hash("0").expect(301), "location"), url);
    let kept = with_hash(hash).expect(200);
    assert_eq!(header(&kept, "cache-control"), "public, immutable");
    assert!(header(&kept, "expires").ends_with(" GMT"), "{}", header(&kept, "expires"));
    let v2 =
        ask(&w, "/openapi/v2", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf", "").expect(200);
    // With an @ Go clients cannot read the media type.
    assert_eq!(v2.content_type, "application/com.github.proto-openapi.spec.v2.v1.0+protobuf");
    assert_eq!(ask(&w, "/openapi/v2", "application/json", "").expect(200).at("/swagger"), "2.0");
}
