//! What objects cost in memory: 10 000 pods of 2 KiB, then 100 000 ConfigMaps of 1 KiB; and what it costs to list
//! these.

use anyhow::Result;
use client::Remote;
use meta::Verb;
use sys::{Clock, SystemClock};

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
    // What connections take is not for the pods.
    for client in &clients {
        load::exchange(client, request(Verb::Get, NAMESPACES, "", NAMESPACE, None)).await?;
    }
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
    lists(server, &clients[0], maps, table).await
}

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
/// What a large list is asked with: its name, the accepted type, the query.
const FORMS: [(&str, &str, &[(&str, &str)]); 4] = [
    ("consistent", JSON, &[]),
    ("rv=0", JSON, &[("resourceVersion", "0")]),
    ("pages of 500", JSON, &[("limit", "500")]),
    ("protobuf", PROTOBUF, &[("resourceVersion", "0")]),
];
const JSON: &str = "application/json";

/// One large list in each form: time, CPU of the server, and by how much its memory rose meanwhile.
async fn lists(server: &Server, client: &Remote, count: usize, table: &mut Table) -> Result<()> {
    for (name, accept, query) in FORMS {
        server.process.reset_peak();
        let (before, cpu) = (server.process.rss_mib(), server.process.cpu());
        let began = SystemClock.monotonic();
        let bytes = list(client, accept, query).await?;
        let took = SystemClock.monotonic().saturating_sub(began).as_secs_f64() * 1e3;
        let cpu = server.process.cpu().saturating_sub(cpu).as_millis();
        let rose = (server.process.peak_mib() - before).max(0.0);
        let note =
            format!("{} MiB sent, {cpu} ms of server CPU, its memory rose by {rose:.1} MiB", bytes >> 20);
        table.plain(&format!("list of {count}, {name}"), took, "ms", &note);
    }
    Ok(())
}

/// A whole list, thrown away piece by piece; how many bytes it had.
async fn list(client: &Remote, accept: &str, query: &[(&str, &str)]) -> Result<usize> {
    let (mut token, mut bytes) = (String::new(), 0);
    loop {
        let mut page = request(Verb::List, CONFIG_MAPS, NAMESPACE, "", None);
        accept.clone_into(&mut page.accept);
        for (key, value) in query {
            page.query.push(key, *value);
        }
        if query.iter().all(|(key, _)| *key != "limit") {
            return Ok(load::exchange(client, page).await?);
        }
        if !token.is_empty() {
            page.query.push("continue", token.as_str());
        }
        let body = client::api::read_body(client::Client::send(client, page).await?).await?;
        bytes += body.len();
        token = super::requests::continue_token(&body);
        if token.is_empty() {
            return Ok(bytes);
        }
    }
}
