//! What objects cost in memory: 10 000 pods of 2 KiB, then 100 000 ConfigMaps of 1 KiB.

use anyhow::Result;
use meta::Verb;

use super::load;
use super::marks;
use super::objects::{CONFIG_MAPS, NAMESPACES, PODS, config_map, json, namespace, pod, request};
use super::options::Options;
use super::process::Server;
use super::table::{Better, Table};

const PODS_COUNT: usize = 10_000;
const MAPS_COUNT: usize = 100_000;
const NAMESPACE: &str = "full";
const SERVICE_ACCOUNTS: meta::Gvr = meta::Gvr::new("", "v1", "serviceaccounts");

/// Fills a server and looks at its memory. The server alone: nothing reads what is written.
///
/// # Errors
/// The first request that fails.
pub async fn measure(server: &Server, options: &Options, table: &mut Table) -> Result<()> {
    let clients = server.clients(64).await?;
    let made = request(Verb::Create, NAMESPACES, "", "", json(namespace(NAMESPACE)));
    load::exchange(&clients[0], made).await?;
    // Without controllers nobody makes the account that pods run as.
    let account = r#"{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"default"}}"#;
    let made = request(Verb::Create, SERVICE_ACCOUNTS, NAMESPACE, "", json(account.to_owned()));
    load::exchange(&clients[0], made).await?;
    let (pods, maps) = (options.count(PODS_COUNT), options.count(MAPS_COUNT));
    let before = server.process.rss_mib();
    let found = load::run(&clients, pods, |client, at| async move {
        let body = json(pod(&format!("p-{at}"), "registry.k8s.io/pause:3.10"));
        load::exchange(&client, request(Verb::Create, PODS, NAMESPACE, "", body)).await.map(drop)
    })
    .await?;
    let with_pods = server.process.rss_mib();
    table.plain("create pods, 64 clients", found.rate, "/s", &found.times.note());
    let each = (with_pods - before) * 1024.0 / pods as f64;
    table.plain("memory per pod", each, "KiB", "growth of RSS over the number of pods");
    load::run(&clients, maps, |client, at| async move {
        let body = json(config_map(&format!("o-{at}"), 0));
        load::exchange(&client, request(Verb::Create, CONFIG_MAPS, NAMESPACE, "", body)).await.map(drop)
    })
    .await?;
    let what = format!("memory with {pods} pods, {maps} ConfigMaps");
    let here = server.process.rss_mib();
    if options.quick {
        table.plain(&what, here, "MiB", "");
    } else {
        table.compare(&what, here, "MiB", marks::LOADED, Better::Less, "stock: API server and etcd");
    }
    Ok(())
}
