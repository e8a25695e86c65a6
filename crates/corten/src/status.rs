//! `corten status`: what of the cluster of a state directory is wrong, and why. It asks and reads, and changes nothing.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use client::{Api, Client, ListParams};
use cri::containerd::{find_program, running_endpoint};
use cri::{CriClient, Runtime, Timeouts};
use jiff::{SignedDuration, Timestamp};
use meta::Gvr;
use serde::Deserialize;
use serde_json::Value;
use sys::{Clock, SystemClock};

use crate::finding::Findings;
use crate::host::need_root_to_look;
use crate::probe::{self, Condition, Metadata, Node};
use crate::remains::{Remains, containerd_dir};
use crate::state::{self, StateDir};
use crate::{detach, doctor, remote};

const PODS: Gvr = Gvr::new("", "v1", "pods");
const SERVICES: Gvr = Gvr::new("", "v1", "services");
/// How long the API may take for one answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// Most objects of a kind that are looked at, and most troubled pods that are named.
const OBJECT_LIMIT: u32 = 5000;
const POD_LINES: usize = 10;
/// Certificates are made anew with 120 days left; one with less than this was not.
const CERTIFICATE_DAYS: i64 = 60;

/// Looks at everything and prints a line for each.
///
/// # Errors
/// When something is wrong.
pub async fn run(dir: &Path, domain: &str) -> Result<()> {
    need_root_to_look("corten status")?;
    look(dir, domain).await?.report()
}

/// Looks at everything of a state directory, from inside the network of its node.
///
/// # Errors
/// When there is nothing to look at.
pub async fn look(dir: &Path, domain: &str) -> Result<Findings> {
    if !dir.is_dir() {
        bail!("no cluster lives in {}: {} starts one", dir.display(), state::command("up", dir));
    }
    let state = StateDir::open(dir)?;
    let mut found = Findings::default();
    let runs = server(&state, &mut found);
    let remains = Remains::read(&state).unwrap_or_else(|e| {
        found.error("node", format!("{e:#}"));
        None
    });
    let (admin, agent) = (state.admin_kubeconfig(), state.path().join("agent.kubeconfig"));
    if admin.exists() {
        // Asked for DNS is the proxy of this machine, where it has one.
        let domain = remains.is_some().then_some(domain);
        api(&admin, domain, runs, &mut found).await;
    } else if agent.exists() {
        own_node(&agent, &state, &mut found).await;
    }
    if let Some(remains) = &remains {
        runtime(&state, remains, &mut found).await;
        rules(remains, &mut found).await;
    }
    certificates(&state, SystemClock.now(), &mut found);
    doctor::disk(state.path(), &mut found);
    Ok(found)
}

/// Whether a process owns the state directory; with the reason it gave when it does not.
fn server(state: &StateDir, found: &mut Findings) -> bool {
    if let Some(owner) = state.owner() {
        found.good("server", owner.to_string());
        return true;
    }
    let log = detach::tail(&state.log());
    let starts = format!("{} starts it", state.command("up"));
    let why = log.lines().rfind(|line| line.starts_with("corten: ")).unwrap_or(&starts);
    found.error("server", format!("it does not run: {why}"));
    false
}

async fn api(kubeconfig: &Path, dns_domain: Option<&str>, runs: bool, found: &mut Findings) {
    let client = match remote::connect(kubeconfig, "corten") {
        Ok(connection) => connection.client,
        Err(e) => return found.error("API", format!("{}: {e:#}", kubeconfig.display())),
    };
    let ready = tokio::time::timeout(ANSWER_LIMIT, probe::api(client.as_ref())).await;
    match ready.unwrap_or_else(|_| Err(format!("no answer in {} s", ANSWER_LIMIT.as_secs()))) {
        Ok(()) => found.good("API", "ready, and its store takes writes"),
        Err(why) if why.contains("etcd") => {
            found.error("API", format!("{why}: the store takes no writes; is the disk full?"));
        }
        // Why there is no answer was said already.
        Err(_) if !runs => return,
        Err(why) => return found.error("API", why),
    }
    let objects = async {
        nodes(client.as_ref(), found).await?;
        if let Some(domain) = dns_domain {
            dns(client.as_ref(), domain, found).await?;
        }
        pods(client.as_ref(), found).await
    };
    match tokio::time::timeout(ANSWER_LIMIT * 3, objects).await {
        Ok(Ok(())) => {}
        Ok(Err(e)) => found.error("API", e.to_string()),
        Err(_) => found.error("API", "it answers too slowly"),
    }
}

/// A machine that has joined may look at its own node only.
async fn own_node(kubeconfig: &Path, state: &StateDir, found: &mut Findings) {
    let asked = async {
        let kept: Value = serde_json::from_slice(&std::fs::read(state.path().join("agent.json"))?)?;
        let name = kept["nodeName"].as_str().context("agent.json names no node")?.to_owned();
        let connection = remote::connect(kubeconfig, "corten")?;
        let ready = probe::node(connection.client.as_ref(), &name);
        let ready = tokio::time::timeout(ANSWER_LIMIT, ready).await;
        let late = || format!("{} does not answer", connection.endpoint.server);
        anyhow::Ok((name, ready.unwrap_or_else(|_| Err(late()))))
    };
    match asked.await {
        Ok((name, Ok(()))) => found.good(&format!("node {name}"), "ready"),
        Ok((name, Err(why))) => found.error(&format!("node {name}"), format!("not ready: {why}")),
        Err(e) => found.error("node", format!("{}: {e:#}", kubeconfig.display())),
    }
}

async fn list<T: for<'de> Deserialize<'de>>(client: &dyn Client, kind: Gvr) -> Result<Vec<T>> {
    let what = kind.resource.to_string();
    let params = ListParams { limit: OBJECT_LIMIT, ..ListParams::default() };
    let page = Api::new(client, kind, "").list(&params).await?;
    page.items.iter().map(|item| serde_json::from_slice(item).context(what.clone())).collect()
}

async fn nodes(client: &dyn Client, found: &mut Findings) -> Result<()> {
    let nodes: Vec<Node> = list(client, probe::NODES).await?;
    if nodes.is_empty() {
        found.warning("nodes", "there are none: pods wait (corten agent joins one)");
    }
    for node in &nodes {
        let about = format!("node {}", node.metadata.name);
        let troubles: Vec<&Condition> =
            node.status.conditions.iter().filter(|c| c.kind != "Ready" && c.status == "True").collect();
        for trouble in &troubles {
            found.error(&about, format!("{}: {}", trouble.kind, trouble.message));
        }
        match node.ready() {
            Err(why) => found.error(&about, format!("not ready: {why}")),
            Ok(()) if node.spec.unschedulable => {
                found.warning(&about, format!("cordoned: kubectl uncordon {}", node.metadata.name));
            }
            Ok(()) if troubles.is_empty() => found.good(&about, "ready"),
            Ok(()) => {}
        }
    }
    Ok(())
}

#[derive(Deserialize)]
struct Service {
    spec: ServiceSpec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServiceSpec {
    #[serde(default, rename = "clusterIP")]
    cluster_ip: String,
}

/// Asked through its Service, so a good answer speaks for the proxy too.
async fn dns(client: &dyn Client, domain: &str, found: &mut Findings) -> Result<()> {
    let bytes = Api::new(client, SERVICES, "kube-system").get("kube-dns").await;
    let service: Service = match bytes {
        Ok(bytes) => serde_json::from_slice(&bytes).context("services")?,
        Err(e) if e.is("NotFound") => {
            found.error("DNS", "the Service kube-dns is missing");
            return Ok(());
        }
        Err(e) => return Err(e.into()),
    };
    let address = SocketAddr::new(service.spec.cluster_ip.parse().context("address of kube-dns")?, 53);
    let domain = domain.to_owned();
    match tokio::task::spawn_blocking(move || probe::dns(address, &domain)).await? {
        Ok(()) => found.good("DNS", format!("answers at {address}")),
        Err(why) => found.error("DNS", why),
    }
    Ok(())
}

#[derive(Deserialize)]
struct Pod {
    metadata: Metadata,
    #[serde(default)]
    status: PodStatus,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PodStatus {
    phase: String,
    conditions: Vec<Condition>,
    init_container_statuses: Vec<ContainerStatus>,
    container_statuses: Vec<ContainerStatus>,
}

#[derive(Deserialize)]
struct ContainerStatus {
    #[serde(default)]
    state: ContainerState,
}

#[derive(Default, Deserialize)]
struct ContainerState {
    waiting: Option<Waiting>,
}

#[derive(Deserialize)]
struct Waiting {
    #[serde(default)]
    reason: String,
    #[serde(default)]
    message: String,
}

impl Pod {
    /// Why it does not run, where that is not just a matter of a moment.
    fn trouble(&self) -> Option<String> {
        let status = &self.status;
        let unscheduled = |c: &&Condition| c.kind == "PodScheduled" && c.status == "False";
        if let Some(c) = status.conditions.iter().find(unscheduled) {
            return Some(format!("{}: {}", c.reason, c.message));
        }
        let containers = status.init_container_statuses.iter().chain(&status.container_statuses);
        let mut waiting = containers.filter_map(|c| c.state.waiting.as_ref());
        let stuck =
            waiting.find(|w| !matches!(w.reason.as_str(), "ContainerCreating" | "PodInitializing"))?;
        Some(format!("{}: {}", stuck.reason, stuck.message))
    }
}

async fn pods(client: &dyn Client, found: &mut Findings) -> Result<()> {
    let pods: Vec<Pod> = list(client, PODS).await?;
    let troubled: Vec<(&Pod, String)> = pods.iter().filter_map(|pod| Some((pod, pod.trouble()?))).collect();
    for (pod, why) in troubled.iter().take(POD_LINES) {
        found.warning("pod", format!("{}/{}: {why}", pod.metadata.namespace, pod.metadata.name));
    }
    if troubled.len() > POD_LINES {
        found.warning("pod", format!("and {} more", troubled.len() - POD_LINES));
    }
    let running = pods.iter().filter(|pod| pod.status.phase == "Running").count();
    found.good("pods", format!("{running} of {} run", pods.len()));
    Ok(())
}

async fn runtime(state: &StateDir, remains: &Remains, found: &mut Findings) {
    let own = || running_endpoint(&containerd_dir(state));
    let Some(endpoint) = remains.runtime_endpoint.clone().or_else(own) else {
        let log = containerd_dir(state).join("containerd.log");
        return found.error("runtime", format!("containerd does not run; its log is {}", log.display()));
    };
    let asked = async { CriClient::new(&endpoint, Timeouts::default())?.status(false).await };
    let status = match asked.await {
        Ok(answer) => answer.status.unwrap_or_default(),
        Err(e) => return found.error("runtime", format!("{endpoint}: {e}")),
    };
    let mut failing = status.conditions.iter().filter(|c| !c.status).peekable();
    if failing.peek().is_none() {
        found.good("runtime", endpoint);
    }
    for condition in failing {
        let (kind, reason, message) = (&condition.r#type, &condition.reason, &condition.message);
        found.error("runtime", format!("not {kind}: {reason} {message}"));
    }
}

/// The proxy's rules, which others may have flushed.
async fn rules(remains: &Remains, found: &mut Findings) {
    let Some(nft) = find_program("nft") else {
        return found.error("proxy", "nft is not installed: apt-get install nftables");
    };
    match tokio::process::Command::new(nft).args(["list", "tables"]).output().await {
        Ok(output) => {
            let tables = String::from_utf8_lossy(&output.stdout).into_owned();
            match tables.lines().any(|line| line.split(' ').next_back() == Some(&remains.table)) {
                true => found.good("proxy", format!("its rules are in table {}", remains.table)),
                false => {
                    found.error("proxy", format!("its table {} is missing: was it flushed?", remains.table))
                }
            }
        }
        Err(e) => found.error("proxy", format!("nft: {e}")),
    }
}

/// Every certificate below `pki`; the one that ends first is named when all are good.
fn certificates(state: &StateDir, now: Timestamp, found: &mut Findings) {
    let dir = state.path().join("pki");
    let Ok(entries) = std::fs::read_dir(&dir) else { return };
    let mut first: Option<(Timestamp, String)> = None;
    let mut failed = false;
    for path in entries.flatten().map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "crt")) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let read = std::fs::read_to_string(&path).map_err(|e| e.to_string());
        let end = match read.and_then(|pem| wire::pki::facts(&pem)) {
            Ok(facts) => facts.not_after,
            Err(why) => {
                failed = true;
                found.error("certificates", format!("{} cannot be read: {why}", path.display()));
                continue;
            }
        };
        if end <= now {
            failed = true;
            found.error("certificates", format!("{name} has ended at {end}: a restart makes it anew"));
        } else if end < now + SignedDuration::from_hours(24 * CERTIFICATE_DAYS) {
            failed = true;
            found.warning("certificates", format!("{name} ends at {end}: a restart makes it anew"));
        }
        if first.as_ref().is_none_or(|(earliest, _)| end < *earliest) {
            first = Some((end, name));
        }
    }
    if let Some((end, name)) = first.filter(|_| !failed) {
        found.good("certificates", format!("the first to end is {name}, at {end}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Level;
    use wire::pki::{Leaf, Pki};

    #[test]
    fn what_a_pod_waits_for() {
        let cases = [
            (r#"{"phase":"Running","containerStatuses":[{"state":{"running":{}}}]}"#, None),
            (
                r#"{"phase":"Pending","containerStatuses":[{"state":{"waiting":{"reason":"ContainerCreating"}}}]}"#,
                None,
            ),
            (
                r#"{"phase":"Pending","containerStatuses":[{"state":{"waiting":{"reason":"ErrImagePull","message":"no"}}}]}"#,
                Some("ErrImagePull: no"),
            ),
            (
                r#"{"conditions":[{"type":"PodScheduled","status":"False","reason":"Unschedulable","message":"0/1"}]}"#,
                Some("Unschedulable: 0/1"),
            ),
        ];
        for (status, want) in cases {
            let pod: Pod =
                serde_json::from_str(&format!(r#"{{"metadata":{{}},"status":{status}}}"#)).unwrap();
            assert_eq!(pod.trouble().as_deref(), want, "{status}");
        }
    }

    #[test]
    fn certificates_that_end_are_named() {
        let dir = std::env::temp_dir().join(format!("corten-status-{}", std::process::id()));
        let state = StateDir::open(&dir).unwrap();
        let now: Timestamp = "2026-11-20T10:00:00Z".parse().unwrap();
        let pki = Pki::open(&dir.join("pki"), now).unwrap();
        pki.leaf(&Leaf::client("admin", "admin", "system:masters"), now).unwrap();
        let at = |days: i64| {
            let mut found = Findings::default();
            certificates(&state, now + SignedDuration::from_hours(24 * days), &mut found);
            (found.0[0].level, found.0[0].text.clone())
        };
        let (level, text) = at(1);
        assert!(level == Level::Good && text.contains("admin.crt, at 2027-11-20"), "{text}");
        assert_eq!(at(320).0, Level::Warning);
        let (level, text) = at(400);
        assert!(level == Level::Error && text.contains("admin.crt has ended"), "{text}");
        std::fs::write(dir.join("pki/admin.crt"), "x").unwrap();
        assert_eq!(at(1).0, Level::Error);
        std::fs::remove_dir_all(dir).unwrap();
    }
}
