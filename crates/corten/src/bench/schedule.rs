//! Pods bound per second on 1000 nodes without machines, by a whole control plane, while the pods are created.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use client::{Api, ListParams, Remote};
use futures_util::StreamExt;
use meta::{Target, Verb};
use serde::Deserialize;
use sys::{Clock, SystemClock};
use tokio::sync::oneshot;

use super::load;
use super::marks;
use super::objects::{NAMESPACES, NODES, PODS, hollow_node, json, namespace, pod, request};
use super::options::Options;
use super::process::Server;
use super::table::{Better, Table};

const NODE_COUNT: usize = 1000;
const POD_COUNT: usize = 10_000;
const CLIENTS: usize = 32;
const NAMESPACE: &str = "scheduled";
const LIMIT: Duration = Duration::from_secs(300);
const SERVICE_ACCOUNTS: meta::Gvr = meta::Gvr::new("", "v1", "serviceaccounts");

/// Measures from the first create to the last bind.
///
/// # Errors
/// When a request fails or not all pods are bound in time.
pub async fn measure(server: &Server, options: &Options, table: &mut Table) -> Result<()> {
    let clients = server.clients(CLIENTS).await?;
    let nodes = options.count(NODE_COUNT);
    let total = options.count(POD_COUNT);
    make_nodes(&clients, nodes).await?;
    let made = request(Verb::Create, NAMESPACES, "", "", json(namespace(NAMESPACE)));
    load::exchange(&clients[0], made).await?;
    wait_for_account(&clients[0]).await?;
    let (bound, all_bound) = oneshot::channel();
    let watcher = server.clients(1).await?.remove(0);
    let from =
        Api::new(watcher.as_ref(), PODS, NAMESPACE).list(&ListParams::default()).await?.resource_version;
    tokio::spawn(async move { bound.send(count_bound(&watcher, from, total).await) });
    let before = server.process.cpu();
    let began = SystemClock.monotonic();
    let found = load::run(&clients, total, |client, at| async move {
        let body = json(pod(&format!("p-{at}"), "registry.k8s.io/pause:3.10"));
        load::exchange(&client, request(Verb::Create, PODS, NAMESPACE, "", body)).await.map(drop)
    })
    .await?;
    tokio::time::timeout(LIMIT, all_bound).await.context("not all pods were bound in time")???;
    let took = SystemClock.monotonic().saturating_sub(began).as_secs_f64();
    let cpu = server.process.cpu().saturating_sub(before).as_secs_f64();
    let what = format!("{total} pods bound on {nodes} nodes");
    let note =
        format!("created at {:.0}/s, {:.0} us of server CPU a pod", found.rate, cpu * 1e6 / total as f64);
    table.compare(&what, total as f64 / took, "/s", marks::BOUND, Better::More, &note);
    table.plain("control plane with them", server.process.rss_mib(), "MiB", "");
    Ok(())
}

async fn make_nodes(clients: &[Arc<Remote>], nodes: usize) -> Result<()> {
    load::run(clients, nodes, |client, at| async move {
        let now = SystemClock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let name = format!("hollow-{at}");
        let node = hollow_node(&name, at, &now);
        let made = request(Verb::Create, NODES, "", "", json(node.clone()));
        load::exchange(&client, made).await?;
        // The part of the kubelet: its status, and no taint of a node that is not ready.
        let merge = "application/merge-patch+json";
        let mut status = request(Verb::Patch, NODES, "", &name, Some((merge, status_of(&node))));
        if let Target::Resource { subresource, .. } = &mut status.target {
            "status".clone_into(subresource);
        }
        load::exchange(&client, status).await?;
        let taints = r#"{"spec":{"taints":null}}"#.to_owned();
        load::exchange(&client, request(Verb::Patch, NODES, "", &name, Some((merge, taints)))).await?;
        Ok(())
    })
    .await
    .map(drop)
}

fn status_of(node: &str) -> String {
    let at = node.find("\"status\":").unwrap_or(node.len());
    format!("{{{}", &node[at..])
}

/// A pod needs the account that a controller makes for every namespace.
async fn wait_for_account(client: &Remote) -> Result<()> {
    let api = Api::new(client, SERVICE_ACCOUNTS, NAMESPACE);
    let there = async {
        while api.get("default").await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, there).await.context("the namespace has no service account")
}

#[derive(Deserialize)]
struct Seen {
    metadata: Named,
    spec: Placed,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Placed {
    node_name: String,
}

async fn count_bound(client: &Remote, from: String, total: usize) -> Result<()> {
    let params = ListParams { resource_version: from, ..ListParams::default() };
    let mut events = Api::new(client, PODS, NAMESPACE).watch(&params).await?;
    let mut bound = HashSet::with_capacity(total);
    while bound.len() < total {
        let event = events.next().await.context("the watch of pods ended early")??;
        let seen: Seen = serde_json::from_slice(&event.object)?;
        if !seen.spec.node_name.is_empty() {
            bound.insert(seen.metadata.name);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_status_of_a_hollow_node_is_an_object() {
        let status = super::status_of(&super::hollow_node("n", 0, "t"));
        let value: serde_json::Value = serde_json::from_str(&status).unwrap();
        assert_eq!(value["status"]["allocatable"]["pods"], "110");
    }
}
