//! `corten bench`: starts this binary as a server and measures it from outside, over real HTTPS, beside upstream's own
//! programs ([`stock`]) or, without them, the marks of a stock control plane, and baselines of the same run. Clients and server share the machine, so figures of
//! different machines, or of a busy one, do not compare. It must never touch a running cluster but the one that
//! `--kubeconfig` names.

mod baseline;
mod load;
mod marks;
mod memory;
mod objects;
mod options;
mod pods;
mod process;
mod requests;
mod schedule;
mod stock;
mod table;
mod watch;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use meta::Verb;

pub use options::Options;

use self::objects::{NAMESPACES, json, namespace, request};
use self::options::Part;
use self::process::Server;
use self::stock::Stock;
use self::table::{Better, Table};

/// How long a server is left alone before and while idle costs are looked at.
const SETTLE: Duration = Duration::from_secs(3);
const IDLE: Duration = Duration::from_secs(10);

/// A directory that goes with this value.
struct Scratch(PathBuf);

impl Scratch {
    fn new(parent: &Path) -> Result<Self> {
        let path = parent.join(format!("corten-bench-{}", std::process::id()));
        std::fs::create_dir(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(e) = std::fs::remove_dir_all(&self.0) {
            eprintln!("{} is left behind: {e}", self.0.display());
        }
    }
}

/// Runs the wanted parts and prints the table. Interrupted, it still cleans up.
///
/// # Errors
/// What keeps a part from being measured.
pub async fn run(options: Options) -> Result<()> {
    let scratch = Scratch::new(&options.dir)?;
    tokio::select! {
        done = parts(&scratch.0, &options) => done,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
    }
}

async fn parts(dir: &Path, options: &Options) -> Result<()> {
    let mut table = Table::new();
    if options.wants(Part::Baseline) {
        baseline::measure(dir, options, &mut table).await?;
    }
    let (start, requests) = (options.wants(Part::Start), options.wants(Part::Requests));
    let subjects = options.stock.iter().map(|dir| Subject::Stock(Stock(dir))).chain([Subject::Own]);
    if start {
        both(subjects.clone(), &mut table, async |subject, table| idle(subject, dir, table).await).await?;
    }
    if start || requests || options.wants(Part::Watch) || options.wants(Part::Memory) {
        both(subjects.clone(), &mut table, async |subject, table| api(subject, dir, options, table).await)
            .await?;
    }
    if options.wants(Part::Schedule) {
        both(subjects, &mut table, async |subject, table| schedule(subject, dir, options, table).await)
            .await?;
    }
    if options.wants(Part::Pods) {
        pods::measure(options, &mut table).await?;
    }
    Ok(())
}

/// What is measured.
#[derive(Clone, Copy)]
enum Subject<'a> {
    Own,
    Stock(Stock<'a>),
}

impl Subject<'_> {
    fn name(self) -> &'static str {
        match self {
            Subject::Own => "own",
            Subject::Stock(_) => "stock",
        }
    }

    async fn api(self, dir: &Path) -> Result<Server> {
        match self {
            Subject::Own => Server::api(dir).await,
            Subject::Stock(stock) => stock.api(dir).await,
        }
    }

    async fn control_plane(self, dir: &Path) -> Result<Server> {
        match self {
            Subject::Own => Server::control_plane(dir).await,
            Subject::Stock(stock) => stock.control_plane(dir).await,
        }
    }
}

/// Measures a part with the stock programs, where they are wanted, and with ours beside them.
async fn both<'a>(
    subjects: impl Iterator<Item = Subject<'a>>,
    table: &mut Table,
    part: impl AsyncFn(Subject<'a>, &mut Table) -> Result<()>,
) -> Result<()> {
    for subject in subjects {
        match subject {
            Subject::Own => part(subject, table).await?,
            Subject::Stock(_) => {
                let mut theirs = Table::silent();
                part(subject, &mut theirs).await.context("the stock programs")?;
                table.compare_with(theirs);
            }
        }
    }
    Ok(())
}

fn fresh(dir: &Path, subject: Subject<'_>, name: &str) -> Result<PathBuf> {
    let path = dir.join(format!("{}-{name}", subject.name()));
    std::fs::create_dir(&path)?;
    Ok(path)
}

/// What an idle API server and an idle control plane cost.
async fn idle(subject: Subject<'_>, dir: &Path, table: &mut Table) -> Result<()> {
    let part = fresh(dir, subject, "idle")?;
    let server = subject.api(&part).await?;
    let ready = server.ready.as_secs_f64();
    table.compare("API server ready from nothing", ready, "s", marks::READY, Better::Less, "");
    rest(&server, "API server", marks::IDLE_API, table).await;
    server.process.stop().await?;
    let server = subject.control_plane(&part).await?;
    rest(&server, "control plane", marks::IDLE_ALL, table).await;
    server.process.stop().await
}

async fn rest(server: &Server, what: &str, mark: f64, table: &mut Table) {
    tokio::time::sleep(SETTLE).await;
    let before = server.process.cpu();
    tokio::time::sleep(IDLE).await;
    let cpu = server.process.cpu().saturating_sub(before).as_secs_f64() / IDLE.as_secs_f64();
    let rss = server.process.rss_mib();
    table.compare(&format!("{what}, idle memory"), rss, "MiB", mark, Better::Less, "");
    table.plain(&format!("{what}, idle CPU"), cpu * 100.0, "%", "of one core");
}

/// Pods bound on hollow nodes.
async fn schedule(subject: Subject<'_>, dir: &Path, options: &Options, table: &mut Table) -> Result<()> {
    let server = subject.control_plane(&fresh(dir, subject, "schedule")?).await?;
    schedule::measure(&server, options, table).await?;
    server.process.stop().await
}

/// Everything that is asked of an API server alone.
async fn api(subject: Subject<'_>, dir: &Path, options: &Options, table: &mut Table) -> Result<()> {
    let part = fresh(dir, subject, "api")?;
    let server = subject.api(&part).await?;
    let clients = server.clients(64).await?;
    let made = request(Verb::Create, NAMESPACES, "", "", json(namespace("bench")));
    load::exchange(&clients[0], made).await?;
    if options.wants(Part::Requests) {
        requests::measure(&server, &clients, options, table).await?;
    }
    if options.wants(Part::Watch) {
        watch::measure(&server, options, table).await?;
    }
    if options.wants(Part::Memory) {
        memory::measure(&server, options, table).await?;
    }
    drop(clients);
    server.process.stop().await?;
    let server = subject.api(&part).await?;
    let ready = server.ready.as_secs_f64();
    table.compare("API server ready again, with that data", ready, "s", marks::RESTART, Better::Less, "");
    let rss = server.process.rss_mib();
    table.plain("its memory then", rss, "MiB", "");
    server.process.stop().await
}
