//! Creates, gets, updates, patches, lists and deletes of 1 KiB ConfigMaps over HTTPS, at 1, 16 and 64 clients.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use client::Remote;
use meta::{Request, Verb};

use super::load::{self, Load};
use super::marks;
use super::objects::{CONFIG_MAPS, config_map, json, request};
use super::options::Options;
use super::process::Server;
use super::table::{Better, Table};

/// Clients at a time, and how much each verb does with them.
const ROUNDS: [(usize, usize); 3] = [(1, 2_000), (16, 10_000), (64, 20_000)];
/// Objects that lists give.
const LISTED: usize = 10_000;
const PAGE: &str = "500";

/// One verb: its row, its mark, and its requests.
struct Job {
    what: &'static str,
    marks: [f64; 3],
    /// Times the counts of [`ROUNDS`].
    factor: usize,
    make: fn(&str, usize) -> Request,
}

const NAMESPACE: &str = "bench";

fn create(prefix: &str, at: usize) -> Request {
    request(Verb::Create, CONFIG_MAPS, NAMESPACE, "", json(config_map(&format!("{prefix}-{at}"), 0)))
}

fn get(prefix: &str, at: usize) -> Request {
    request(Verb::Get, CONFIG_MAPS, NAMESPACE, &format!("{prefix}-{at}"), None)
}

fn update(prefix: &str, at: usize) -> Request {
    let name = format!("{prefix}-{at}");
    request(Verb::Update, CONFIG_MAPS, NAMESPACE, &name, json(config_map(&name, at + 1)))
}

fn patch(prefix: &str, at: usize) -> Request {
    let body = format!(r#"{{"data":{{"round":"p{at}"}}}}"#);
    let body = Some(("application/merge-patch+json", body));
    request(Verb::Patch, CONFIG_MAPS, NAMESPACE, &format!("{prefix}-{at}"), body)
}

fn delete(prefix: &str, at: usize) -> Request {
    request(Verb::Delete, CONFIG_MAPS, NAMESPACE, &format!("{prefix}-{at}"), None)
}

const JOBS: [Job; 5] = [
    Job { what: "create", marks: marks::CREATES, factor: 1, make: create },
    Job { what: "get", marks: marks::GETS, factor: 3, make: get },
    Job { what: "update", marks: marks::UPDATES, factor: 1, make: update },
    Job { what: "merge patch", marks: marks::PATCHES, factor: 1, make: patch },
    Job { what: "delete", marks: [f64::NAN, marks::DELETES, f64::NAN], factor: 1, make: delete },
];

/// Measures all verbs; `LISTED` objects remain.
///
/// # Errors
/// The first request that fails.
pub async fn measure(
    server: &Server,
    clients: &[Arc<Remote>],
    options: &Options,
    table: &mut Table,
) -> Result<()> {
    for (round, (count, total)) in ROUNDS.into_iter().enumerate() {
        let total = options.count(total);
        let prefix: &'static str = ["a", "b", "c"][round];
        for job in &JOBS {
            let make = job.make;
            let before = server.process.cpu();
            // Gets go several times over the objects that the creates have made.
            let found = load::run(&clients[..count], total * job.factor, move |client, at| async move {
                load::exchange(&client, make(prefix, at % total)).await.map(drop)
            })
            .await?;
            let cpu = server.process.cpu().saturating_sub(before);
            row(table, job, (round, count), &found, cpu / u32::try_from(total * job.factor)?);
        }
    }
    let fill =
        |client: Arc<Remote>, at| async move { load::exchange(&client, create("l", at)).await.map(drop) };
    load::run(&clients[..64.min(clients.len())], LISTED, fill).await?;
    lists(clients, options, table).await
}

fn row(table: &mut Table, job: &Job, (round, count): (usize, usize), found: &Load, cpu: Duration) {
    let what = format!("{}, {count} at a time", job.what);
    let note = format!("{}, server CPU {} us", found.times.note(), cpu.as_micros());
    let mark = job.marks[round];
    if mark.is_nan() {
        table.plain(&what, found.rate, "/s", &note);
    } else {
        table.compare(&what, found.rate, "/s", mark, Better::More, &note);
    }
}

/// What a list is asked with.
const FORMS: [(&str, &[(&str, &str)]); 3] =
    [("consistent", &[]), ("rv=0", &[("resourceVersion", "0")]), ("pages of 500", &[("limit", PAGE)])];

async fn lists(clients: &[Arc<Remote>], options: &Options, table: &mut Table) -> Result<()> {
    for (form, (name, query)) in FORMS.iter().enumerate() {
        let found = load::run(&clients[..1], options.count(50), move |client, _| async move {
            list(&client, query).await
        })
        .await?;
        let what = format!("list of 10000 (10 MiB), {name}");
        let here = found.times.percentile_ms(50);
        table.compare(&what, here, "ms", marks::LISTS[form], Better::Less, &found.times.note());
    }
    for (count, total) in [(16, 100), (64, 200)] {
        let found = load::run(&clients[..count], options.count(total), |client, _| async move {
            list(&client, &[]).await
        })
        .await?;
        let what = format!("list of 10000, consistent, {count} at a time");
        table.plain(&what, found.rate, "/s", &found.times.note());
    }
    Ok(())
}

/// A whole list, page by page when the query limits it.
async fn list(client: &Remote, query: &[(&str, &str)]) -> Result<(), meta::Status> {
    let mut token = String::new();
    loop {
        let mut page = request(Verb::List, CONFIG_MAPS, NAMESPACE, "", None);
        for (key, value) in query {
            page.query.push(key, *value);
        }
        if query.iter().all(|(key, _)| *key != "limit") {
            return load::exchange(client, page).await.map(drop);
        }
        if !token.is_empty() {
            page.query.push("continue", token.as_str());
        }
        let body = client::api::read_body(client::Client::send(client, page).await?).await?;
        token = continue_token(&body);
        if token.is_empty() {
            return Ok(());
        }
    }
}

/// The token in a list's metadata, which comes before its items.
pub(super) fn continue_token(body: &[u8]) -> String {
    let head = String::from_utf8_lossy(&body[..body.len().min(2048)]);
    let found = head.split_once("\"continue\":\"").and_then(|(_, rest)| rest.split_once('"'));
    found.map(|(token, _)| token.to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_found_in_the_head() {
        let page =
            br#"{"kind":"ConfigMapList","metadata":{"resourceVersion":"7","continue":"abc"},"items":[]}"#;
        assert_eq!(continue_token(page), "abc");
        assert_eq!(continue_token(br#"{"metadata":{"resourceVersion":"7"},"items":[]}"#), "");
    }
}
