//! kube-rs, a client that shares no code with ours, against a whole cluster.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::{AsyncBufReadExt, StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, Pod, Service};
use kube::api::{
    DeleteParams, ListParams, LogParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams,
};
use kube::runtime::wait::{await_condition, conditions};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use crate::raw::{As, with_client};
use crate::session::{IMAGE, start};

const LIMIT: Duration = Duration::from_secs(90);
const NAMESPACE: &str = "kube-rs";

#[test]
fn kube_rs_works() {
    let cluster = start();
    with_client(&cluster, As::Admin, |client| async move {
        let version = client.apiserver_version().await.unwrap();
        assert_eq!((version.major.as_str(), version.minor.as_str()), ("1", "37"));
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let namespace = from(json!({"metadata": {"name": NAMESPACE}}));
        namespaces.create(&PostParams::default(), &namespace).await.unwrap();
        let nodes = Api::<Node>::all(client.clone()).list(&ListParams::default()).await.unwrap();
        assert_eq!(nodes.items.len(), 1);
        discovery(&client).await;
        config_maps(&client).await;
        pages(&client).await;
        watches(&client).await;
        pods(&client).await;
        deployments(&client).await;
        namespaces.delete(NAMESPACE, &DeleteParams::default()).await.unwrap();
    });
    cluster.down().unwrap();
}

fn from<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

async fn discovery(client: &Client) {
    let groups = client.list_api_groups().await.unwrap();
    assert!(groups.groups.iter().any(|g| g.name == "apps"), "{groups:?}");
    let resources = client.list_api_group_resources("apps/v1").await.unwrap();
    let deployment = resources.resources.iter().find(|r| r.name == "deployments").unwrap();
    assert!(
        deployment.namespaced && deployment.verbs.contains(&"deletecollection".to_owned()),
        "{deployment:?}"
    );
}

async fn config_maps(client: &Client) {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    let object: ConfigMap =
        from(json!({"metadata": {"name": "a", "labels": {"n": "1"}}, "data": {"k": "v"}}));
    let made = api.create(&PostParams::default(), &object).await.unwrap();
    assert!(made.uid().is_some() && made.resource_version().is_some());
    let twice = api.create(&PostParams::default(), &object).await.unwrap_err();
    assert!(matches!(&twice, kube::Error::Api(s) if s.code == 409 && s.reason == "AlreadyExists"), "{twice}");
    let mut changed = api.get("a").await.unwrap();
    changed.data.get_or_insert_default().insert("k".into(), "w".into());
    let newer = api.replace("a", &PostParams::default(), &changed).await.unwrap();
    assert_ne!(newer.resource_version(), made.resource_version());
    let stale = api.replace("a", &PostParams::default(), &changed).await.unwrap_err();
    assert!(matches!(&stale, kube::Error::Api(s) if s.code == 409 && s.reason == "Conflict"), "{stale}");
    let patch = Patch::Merge(json!({"data": {"k": null, "l": "m"}}));
    let patched = api.patch("a", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(patched.data, Some(BTreeMap::from([("l".into(), "m".into())])));
    let patch: Patch<Value> = Patch::Strategic(json!({"metadata": {"labels": {"n": "2"}}}));
    api.patch("a", &PatchParams::default(), &patch).await.unwrap();
    let dry = PostParams { dry_run: true, ..Default::default() };
    let generated: ConfigMap = from(json!({"metadata": {"generateName": "gen-"}}));
    let not_kept = api.create(&dry, &generated).await.unwrap();
    assert!(not_kept.name_any().len() > 4 && api.get_opt(&not_kept.name_any()).await.unwrap().is_none());
    assert_eq!(api.list(&ListParams::default().labels("n=2")).await.unwrap().items.len(), 1);
    assert_eq!(api.list(&ListParams::default().fields("metadata.name=b")).await.unwrap().items.len(), 0);
    assert_eq!(
        api.list_metadata(&ListParams::default().labels("n=2")).await.unwrap().items[0].name_any(),
        "a"
    );
    let wrong = DeleteParams {
        preconditions: Some(kube::api::Preconditions { uid: Some("x".into()), resource_version: None }),
        ..Default::default()
    };
    let refused = api.delete("a", &wrong).await.unwrap_err();
    assert!(matches!(&refused, kube::Error::Api(s) if s.code == 409), "{refused}");
    api.delete("a", &DeleteParams::default()).await.unwrap();
    assert!(api.get_opt("a").await.unwrap().is_none());
}

async fn pages(client: &Client) {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    for n in 0..25 {
        let object: ConfigMap =
            from(json!({"metadata": {"name": format!("page-{n:02}"), "labels": {"page": "y"}}}));
        api.create(&PostParams::default(), &object).await.unwrap();
    }
    let mut names = Vec::new();
    let mut params = ListParams::default().labels("page=y").limit(10);
    loop {
        let page = api.list(&params).await.unwrap();
        assert!(page.items.len() <= 10);
        names.extend(page.items.iter().map(ResourceExt::name_any));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => break,
        }
    }
    let want: Vec<String> = (0..25).map(|n| format!("page-{n:02}")).collect();
    assert_eq!(names, want);
    api.delete_collection(&DeleteParams::default(), &ListParams::default().labels("page=y")).await.unwrap();
    assert_eq!(api.list(&ListParams::default().labels("page=y")).await.unwrap().items.len(), 0);
}

async fn watches(client: &Client) {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    let version = api.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    let object: ConfigMap = from(json!({"metadata": {"name": "watched"}}));
    api.create(&PostParams::default(), &object).await.unwrap();
    let patch = Patch::Merge(json!({"data": {"x": "y"}}));
    api.patch("watched", &PatchParams::default(), &patch).await.unwrap();
    let events = api.watch(&WatchParams::default(), &version).await.unwrap().boxed();
    let events = events.try_filter_map(|event| async move {
        Ok(match event {
            WatchEvent::Added(o) => Some(format!("added {}", o.name_any())),
            WatchEvent::Modified(o) => Some(format!("modified {}", o.name_any())),
            _ => None,
        })
    });
    let seen: Vec<String> = within(events.take(2).try_collect()).await.unwrap();
    assert_eq!(seen, ["added watched", "modified watched"]);
    // Both ways in which kube's watcher starts: a list, and a stream that begins with the objects.
    for config in [watcher::Config::default(), watcher::Config::default().streaming_lists()] {
        let mut stream = watcher(api.clone(), config).applied_objects().boxed();
        let found = within(async {
            while let Some(object) = stream.try_next().await.unwrap() {
                if object.name_any() == "watched" {
                    return true;
                }
            }
            false
        });
        assert!(found.await);
    }
    let far = api.watch(&WatchParams::default(), "1").await.unwrap().boxed();
    let first = within(far.into_future()).await.0;
    assert!(first.is_some(), "a watch from the beginning gives events or says that they are gone");
}

async fn pods(client: &Client) {
    let api: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let pod: Pod = from(json!({"metadata": {"name": "talker"}, "spec": {
        "restartPolicy": "Never", "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "c", "image": IMAGE, "args": ["lines", "2000", "1"]}]}}));
    api.create(&PostParams::default(), &pod).await.unwrap();
    within(await_condition(api.clone(), "talker", conditions::is_pod_running())).await.unwrap();
    let follow = LogParams { follow: true, ..Default::default() };
    let lines = api.log_stream("talker", &follow).await.unwrap().lines();
    let lines: Vec<String> = within(lines.try_collect()).await.unwrap();
    assert_eq!((lines.len(), lines.last().map(String::as_str)), (2000, Some("line 1999")));
    let uid = api.get("talker").await.unwrap().uid().unwrap();
    api.delete("talker", &DeleteParams::default()).await.unwrap();
    within(await_condition(api, "talker", conditions::is_deleted(&uid))).await.unwrap();
}

async fn deployments(client: &Client) {
    let api: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    let labels = json!({"app": "rs"});
    let deployment: Deployment = from(json!({"metadata": {"name": "rs"}, "spec": {
        "replicas": 1, "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"terminationGracePeriodSeconds": 1,
            "containers": [{"name": "c", "image": IMAGE}]}}}}));
    api.create(&PostParams::default(), &deployment).await.unwrap();
    let rolled_out = conditions::is_deployment_completed();
    within(await_condition(api.clone(), "rs", rolled_out)).await.unwrap();
    let scale = api.get_scale("rs").await.unwrap();
    assert_eq!(scale.spec.and_then(|s| s.replicas), Some(1));
    let patch = Patch::Merge(json!({"spec": {"replicas": 2}}));
    api.patch_scale("rs", &PatchParams::default(), &patch).await.unwrap();
    let two =
        |d: Option<&Deployment>| d.and_then(|d| d.status.as_ref()).and_then(|s| s.ready_replicas) == Some(2);
    within(await_condition(api.clone(), "rs", two)).await.unwrap();
    let services: Api<Service> = Api::namespaced(client.clone(), NAMESPACE);
    let service =
        from(json!({"metadata": {"name": "rs"}, "spec": {"selector": labels, "ports": [{"port": 80}]}}));
    let service: Service = services.create(&PostParams::default(), &service).await.unwrap();
    assert!(service.spec.and_then(|s| s.cluster_ip).is_some_and(|ip| ip.starts_with("10.96.")));
    api.delete("rs", &DeleteParams::foreground()).await.unwrap();
    let gone = |d: Option<&Deployment>| d.is_none();
    within(await_condition(api, "rs", gone)).await.unwrap();
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let left = pods.list(&ListParams::default().labels("app=rs")).await.unwrap();
    assert!(
        left.items.iter().all(|p| p.metadata.deletion_timestamp.is_some()),
        "foreground deletion left pods"
    );
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, work).await.expect("within the time limit")
}
