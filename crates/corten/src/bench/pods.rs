//! From create to running, on a real node of a running cluster, one pod after the other.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use client::{Api, DeleteOptions, ListParams, Remote};
use futures_util::StreamExt;
use serde::Deserialize;
use sys::{Clock, SystemClock};

use super::load::Times;
use super::objects::{PODS, pod};
use super::options::Options;
use super::process;
use super::table::Table;

const ROUNDS: usize = 20;
const LIMIT: Duration = Duration::from_secs(120);
const NAMESPACE: &str = "default";
const WHAT: &str = "pod, create to running";

/// Measures, or says why not.
///
/// # Errors
/// When the cluster refuses, or a pod does not run in time.
pub async fn measure(options: &Options, table: &mut Table) -> Result<()> {
    let Some(kubeconfig) = &options.kubeconfig else {
        table.skipped(WHAT, "needs a cluster with a node: give --kubeconfig of a running `corten up`");
        return Ok(());
    };
    let times = on(kubeconfig, options).await?;
    table.plain(WHAT, times.percentile_ms(50), "ms", &times.note());
    Ok(())
}

async fn on(kubeconfig: &Path, options: &Options) -> Result<Times> {
    let client = process::clients(kubeconfig, 1)?.remove(0);
    // The first one pulls the image and is not counted.
    one(&client, "corten-bench-warm", &options.image).await?;
    let mut all = Vec::with_capacity(ROUNDS);
    for round in 0..options.count(ROUNDS).max(3) {
        all.push(one(&client, &format!("corten-bench-{round}"), &options.image).await?);
    }
    Ok(Times::new(all))
}

async fn one(client: &Remote, name: &str, image: &str) -> Result<Duration> {
    let api = Api::new(client, PODS, NAMESPACE);
    let from = api.list(&ListParams { limit: 1, ..ListParams::default() }).await?.resource_version;
    let params = ListParams {
        field_selector: format!("metadata.name={name}"),
        resource_version: from,
        ..ListParams::default()
    };
    let mut events = api.watch(&params).await?;
    let began = SystemClock.monotonic();
    api.create(pod(name, image).into_bytes()).await?;
    let running = async {
        loop {
            let event = events.next().await.context("the watch ended early")??;
            let seen: Seen = serde_json::from_slice(&event.object)?;
            if seen.status.phase == "Running" {
                return anyhow::Ok(SystemClock.monotonic().saturating_sub(began));
            }
        }
    };
    let found =
        tokio::time::timeout(LIMIT, running).await.with_context(|| format!("pod {name} does not run"));
    let now = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::default() };
    api.delete(name, &now).await?;
    found?
}

#[derive(Deserialize)]
struct Seen {
    #[serde(default)]
    status: State,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct State {
    phase: String,
}
