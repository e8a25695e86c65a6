//! What every client must do alike, as a library: each transport runs it against a server, and the
//! transcripts are the same. It panics where an answer is wrong.

use futures_util::StreamExt;
use meta::{Gvr, Request, Target, Verb};
use serde_json::{Value, json};

use crate::{Api, Client, DeleteOptions, ListParams, Patch, WatchType};

const CONFIG_MAPS: Gvr = Gvr::new("", "v1", "configmaps");

fn parse(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("the server sends JSON")
}

fn config_map(name: &str, value: &str) -> Vec<u8> {
    let object = json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name},
        "data": {"key": value}});
    object.to_string().into_bytes()
}

/// Runs the suite in `namespace`, which must be there and hold no ConfigMap named `suite-*`. Gives one line
/// a step, without what differs from run to run.
///
/// # Panics
/// When an answer is wrong.
pub async fn run(client: &dyn Client, namespace: &str) -> Vec<String> {
    let api = Api::new(client, CONFIG_MAPS, namespace);
    let mut log = Vec::new();
    objects(&api, &mut log).await;
    watch(&api, &mut log).await;
    errors(client, &api, &mut log).await;
    log
}

async fn objects(api: &Api<'_>, log: &mut Vec<String>) {
    let made = parse(&api.create(config_map("suite-a", "1")).await.expect("creates"));
    assert_eq!(made["metadata"]["name"], "suite-a");
    let got = parse(&api.get("suite-a").await.expect("gets"));
    assert_eq!(got, made);
    log.push(format!("get {} {}", got["kind"], got["data"]));
    let mut next = got.clone();
    next["data"]["key"] = "2".into();
    let updated = parse(&api.update("suite-a", "", next.to_string().into_bytes()).await.expect("updates"));
    assert_ne!(updated["metadata"]["resourceVersion"], made["metadata"]["resourceVersion"]);
    log.push(format!("update {}", updated["data"]));
    let stale = api.update("suite-a", "", next.to_string().into_bytes()).await.expect_err("is stale");
    log.push(format!("stale {stale}"));
    let patch = Patch::Merge(br#"{"data":{"key":"3","other":"x"}}"#.to_vec());
    let patched = parse(&api.patch("suite-a", "", patch).await.expect("patches"));
    log.push(format!("patch {}", patched["data"]));
    api.create(config_map("suite-b", &"long".repeat(20_000))).await.expect("creates");
    let list = api.list(&ListParams::default()).await.expect("lists");
    let names: Vec<Value> = list.items.iter().map(|o| parse(o)["metadata"]["name"].clone()).collect();
    log.push(format!("list {names:?}"));
    assert!(!list.resource_version.is_empty());
}

async fn watch(api: &Api<'_>, log: &mut Vec<String>) {
    let list = api.list(&ListParams::default()).await.expect("lists");
    let params = ListParams { resource_version: list.resource_version, ..ListParams::default() };
    let mut events = api.watch(&params).await.expect("watches");
    api.create(config_map("suite-c", "1")).await.expect("creates");
    api.patch("suite-c", "", Patch::Merge(br#"{"data":{"key":"2"}}"#.to_vec())).await.expect("patches");
    api.delete("suite-c", &DeleteOptions::default()).await.expect("deletes");
    for want in [WatchType::Added, WatchType::Modified, WatchType::Deleted] {
        let event = events.next().await.expect("an event").expect("no error");
        assert_eq!(event.kind, want);
        let object = parse(&event.object);
        log.push(format!("watch {want:?} {} {}", object["metadata"]["name"], object["data"]));
    }
}

async fn errors(client: &dyn Client, api: &Api<'_>, log: &mut Vec<String>) {
    for (what, result) in [
        ("get", api.get("suite-none").await),
        ("create", api.create(config_map("suite-a", "1")).await),
        ("bad", api.create(b"{".to_vec()).await),
        ("delete", api.delete("suite-none", &DeleteOptions::default()).await),
    ] {
        let status = result.expect_err(what);
        log.push(format!("{what} {} {} {:?}", status.code, status.reason, status.details.map(|d| d.name)));
    }
    let path = Request::new(Verb::Get, Target::Path("/no/such/path".to_owned()));
    let status = client.send(path).await.err().expect("no such path");
    log.push(format!("path {}", status.code));
    for name in ["suite-a", "suite-b"] {
        api.delete(name, &DeleteOptions::default()).await.expect("deletes");
    }
}
