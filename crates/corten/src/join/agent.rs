//! What a joining machine does: finds the control plane and makes sure it is the right one, asks for a client
//! certificate with the token, and keeps it. Once it has credentials it needs no token any more.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use client::{Api, Client, Endpoint, Kubeconfig, Token};
use control::{CancellationToken, Context};
use jiff::Timestamp;
use meta::{Gvr, Status};
use serde_json::Value;

use super::credentials::{Credentials, Files, Kept, Part};
use super::publish::INFO;
use super::rotation::{self, Swap};
use super::serving::Serving;
use super::token::JoinToken;
use crate::node::{Settings, TlsFiles};
use crate::state::StateDir;
use crate::{cli, host, node, remote, whole_file};

const CONFIG_MAPS: Gvr = Gvr::new("", "v1", "configmaps");
const NODES: Gvr = Gvr::new("", "v1", "nodes");
const RETRY: Duration = Duration::from_secs(1);
/// How often a server may say that it does not publish anything: it may just be starting.
const UNPUBLISHED_LIMIT: u32 = 30;

/// A machine with credentials.
pub struct Joined {
    pub settings: Settings,
    /// The node agent's.
    pub client: Arc<dyn Client>,
    /// The service proxy's.
    pub proxy: Arc<dyn Client>,
    /// Keeps the certificates; `None`: they are the user's.
    pub keeper: Option<Keeper>,
}

/// Looks after the certificates of a machine that has joined.
pub struct Keeper {
    serving: Serving,
    clients: [(Credentials, Arc<Swap>); 2],
}

impl Keeper {
    /// Runs until the context, which is the node's, is stopped.
    pub async fn run(&self, ctx: &Context) {
        let [kubelet, proxy] = self.clients.each_ref().map(|(of, swap)| rotation::run(ctx, of, swap));
        tokio::join!(self.serving.run(ctx), kubelet, proxy);
    }
}

/// Gets the machine's credentials: those given with --kubeconfig, those of an earlier start, or new ones from
/// the control plane. `None` when it is time to stop.
///
/// # Errors
/// What the user can do something about.
pub async fn join(o: &cli::Agent, state: &StateDir, stop: &CancellationToken) -> Result<Option<Joined>> {
    if let Some(path) = &o.kubeconfig {
        let client = remote::connect(path, "kubelet")?.client;
        let settings = settings(o, None, None);
        return Ok(Some(Joined { settings, client: client.clone(), proxy: client, keeper: None }));
    }
    let files = Files::of(state);
    let kept = match earlier(o, &files)? {
        Some(kept) => kept,
        None => match first(o, &files, stop).await? {
            Some(kept) => kept,
            None => return Ok(None),
        },
    };
    let tls = TlsFiles {
        cert: files.pki.join("kubelet.crt"),
        key: files.pki.join("kubelet.key"),
        client_ca: files.ca(),
        is_coming: true,
    };
    let settings = settings(o, Some(&kept), Some(tls.clone()));
    let names = vec![settings.name.clone(), settings.ip.to_string()];
    let serving = Serving { tls, node: settings.name.clone(), ip: settings.ip, names };
    serving.drop_unfit(now());
    let clients = [Part::Kubelet, Part::Proxy].map(|part| {
        (Credentials { files: files.clone(), kept: kept.clone(), part }, Arc::new(Swap::default()))
    });
    // The proxy's certificate is asked for by the node, so this one must be there.
    clients[0].1.replace(clients[0].0.client()?);
    let [client, proxy] = clients.each_ref().map(|(_, swap)| -> Arc<dyn Client> { swap.clone() });
    Ok(Some(Joined { settings, client, proxy, keeper: Some(Keeper { serving, clients }) }))
}

fn settings(o: &cli::Agent, kept: Option<&Kept>, tls: Option<TlsFiles>) -> Settings {
    let dns = o.cluster_dns.or(kept.map(|k| k.cluster_dns)).unwrap_or(IpAddr::from([10, 96, 0, 10]));
    let text = |given: &Option<String>, said: Option<&String>, otherwise: &str| {
        given.clone().or(said.cloned()).unwrap_or_else(|| otherwise.to_owned())
    };
    Settings {
        name: node::name(&o.node),
        ip: o.node.node_ip.unwrap_or_else(host::address),
        node: o.node.clone(),
        cluster_dns: dns,
        cluster_domain: text(&o.cluster_domain, kept.map(|k| &k.cluster_domain), "cluster.local"),
        cluster_cidr: text(&o.cluster_cidr, kept.map(|k| &k.cluster_cidr), "10.244.0.0/16"),
        service_cidr: None,
        tls,
    }
}

/// The credentials of an earlier start, when they can be used.
fn earlier(o: &cli::Agent, files: &Files) -> Result<Option<Kept>> {
    let Ok(bytes) = std::fs::read(&files.kept) else { return Ok(None) };
    let damaged = || format!("{} is damaged; remove it and join again", files.kept.display());
    let mut kept: Kept = serde_json::from_slice(&bytes).with_context(damaged)?;
    let name = node::name(&o.node);
    if kept.node_name != name {
        bail!(
            "this state directory belongs to node {}: use another --state-dir for node {name}, or remove it \
             with corten down --purge",
            kept.node_name
        );
    }
    let path = files.cert(Part::Kubelet);
    let cert = std::fs::read_to_string(&path).with_context(damaged)?;
    let facts = wire::pki::facts(&cert).map_err(|e| anyhow!("{}: {e}", path.display()))?;
    if facts.not_after <= now() {
        if o.token.is_some() {
            return Ok(None);
        }
        bail!(
            "the node's certificate has ended at {}: join again with --server and --token",
            facts.not_after
        );
    }
    if let Some(server) = o.server.as_ref().filter(|s| **s != kept.server) {
        kept.server.clone_from(server);
        files.keep(&kept, &cert)?;
        if let Ok(cert) = std::fs::read_to_string(files.cert(Part::Proxy)) {
            files.keep_certificate(server, Part::Proxy, &cert)?;
        }
    }
    Ok(Some(kept))
}

fn now() -> Timestamp {
    use sys::Clock;
    sys::SystemClock.now()
}

/// The first start: from a server and a token to credentials.
async fn first(o: &cli::Agent, files: &Files, stop: &CancellationToken) -> Result<Option<Kept>> {
    let (Some(server), Some(token)) = (&o.server, &o.token) else {
        bail!("this machine has not joined a cluster yet: give --server and --token, or --kubeconfig");
    };
    if !server.starts_with("https://") {
        bail!("--server {server:?} is not an address such as https://192.0.2.1:6443");
    }
    let token: JoinToken = token.parse()?;
    let Some(ca_pem) = discover(server, &token, stop).await? else { return Ok(None) };
    let endpoint = Endpoint {
        server: server.clone(),
        ca_pem: Some(ca_pem.clone().into_bytes()),
        token: Token::Text(token.bearer()),
        ..Endpoint::default()
    };
    let client = remote::to(&endpoint, "corten-agent")?.client;
    let ctx = Context::new(client).with_stop(stop.clone());
    let name = node::name(&o.node);
    name_is_free(&ctx, &name).await?;
    let info =
        Api::new(ctx.client.as_ref(), CONFIG_MAPS, INFO.0).get(INFO.1).await.context("cluster-info")?;
    let info: Value = serde_json::from_slice(&info)?;
    std::fs::create_dir_all(&files.pki).with_context(|| files.pki.display().to_string())?;
    whole_file::write(&files.ca(), ca_pem.as_bytes())?;
    let Some(cert) = files.ask(&ctx, &name, Part::Kubelet).await? else { return Ok(None) };
    let data = |key: &str| info["data"][key].as_str().unwrap_or_default().to_owned();
    let kept = Kept {
        node_name: name,
        server: server.clone(),
        cluster_cidr: data("clusterCIDR"),
        cluster_dns: data("clusterDNS").parse().context("clusterDNS of cluster-info")?,
        cluster_domain: data("clusterDomain"),
    };
    files.keep(&kept, &cert)?;
    tracing::info!("joined {server} as node {}", kept.node_name);
    Ok(Some(kept))
}

/// The authority's certificate as the server publishes it, when its hash is the token's. The connection is not
/// verified before that, and nothing secret is sent over it.
// k8s: cmd/kubeadm/app/discovery/token/token.go
async fn discover(server: &str, token: &JoinToken, stop: &CancellationToken) -> Result<Option<String>> {
    let endpoint = Endpoint { server: server.to_owned(), insecure: true, ..Endpoint::default() };
    let client = remote::to(&endpoint, "corten-agent")?.client;
    let ctx = Context::new(client).with_stop(stop.clone());
    let api = Api::new(ctx.client.as_ref(), CONFIG_MAPS, INFO.0);
    let (mut said, mut unpublished) = (String::new(), 0);
    loop {
        match api.get(INFO.1).await {
            Ok(bytes) => return trusted(server, &bytes, token).map(Some),
            Err(e) if is_passing(&e) || unpublished < UNPUBLISHED_LIMIT => {
                unpublished += u32::from(!is_passing(&e));
                let why = e.to_string();
                if why != said {
                    tracing::warn!("{server} cannot be asked yet, trying again: {why}");
                    said = why;
                }
            }
            Err(e) => {
                bail!("{server} does not publish what is needed to join (kube-public/cluster-info): {e}")
            }
        }
        if !ctx.sleep(RETRY).await {
            return Ok(None);
        }
    }
}

/// Whether the server is away or busy for now.
fn is_passing(e: &Status) -> bool {
    e.code == 0 || e.code >= 500 || e.code == 429
}

fn trusted(server: &str, info: &[u8], token: &JoinToken) -> Result<String> {
    let info: Value = serde_json::from_slice(info).context("cluster-info")?;
    let text = info["data"]["kubeconfig"].as_str().context("cluster-info has no kubeconfig")?;
    let config = Kubeconfig::parse(text).map_err(|e| anyhow!("cluster-info: {e}"))?;
    let cluster = config.clusters.first().context("cluster-info names no cluster")?;
    let ca = cluster.cluster.certificate_authority_data.as_ref().context("cluster-info has no authority")?;
    let ca =
        base64::Engine::decode(&base64::engine::general_purpose::STANDARD, ca).context("cluster-info")?;
    let ca = String::from_utf8(ca).context("cluster-info")?;
    let hash = wire::pki::public_key_hash(&ca).map_err(|e| anyhow!("cluster-info: {e}"))?;
    if hash != token.ca_hash || ca.matches("-----BEGIN").count() != 1 {
        bail!(
            "{server} is not the control plane that the token is from: its authority is {hash}, the token says \
             {}. Nothing was sent to it",
            token.ca_hash
        );
    }
    Ok(ca)
}

/// Two machines must not be one node.
// k8s: cmd/kubeadm/app/cmd/phases/join/kubelet.go runKubeletStartJoinPhase
async fn name_is_free(ctx: &Context, name: &str) -> Result<()> {
    let bytes = loop {
        match Api::new(ctx.client.as_ref(), NODES, "").get(name).await {
            Ok(bytes) => break bytes,
            Err(e) if e.is("NotFound") => return Ok(()),
            Err(e) if e.code == 401 => bail!(
                "the control plane refuses the token (Unauthorized): it is wrong or has expired; the valid one is \
                 in agent.token of the control plane's state directory"
            ),
            Err(e) if is_passing(&e) && ctx.sleep(RETRY).await => {
                tracing::warn!("asking for node {name}: {e}")
            }
            Err(e) => bail!("asking for node {name}: {e}"),
        }
    };
    let node: Value = serde_json::from_slice(&bytes)?;
    let conditions = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
    if conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True") {
        bail!(
            "a node {name} is there already and is Ready: choose another name with --node-name, or delete that \
             node first (kubectl delete node {name})"
        );
    }
    Ok(())
}
