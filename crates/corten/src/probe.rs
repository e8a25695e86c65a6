//! Questions to a running cluster whose answers say whether it is usable. Each gives the reason when it is not;
//! nothing here waits for long or tries again.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use client::{Api, Client};
use jiff::Timestamp;
use meta::{Gvr, Request, Target, Verb};
use serde::Deserialize;

pub const NODES: Gvr = Gvr::new("", "v1", "nodes");
/// How long cluster DNS may take for an answer on the same machine.
const DNS_LIMIT: Duration = Duration::from_millis(300);

/// A node as far as its readiness goes.
#[derive(Deserialize)]
pub struct Node {
    #[serde(default)]
    pub metadata: Metadata,
    #[serde(default)]
    pub spec: Spec,
    #[serde(default)]
    pub status: NodeStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Metadata {
    pub name: String,
    pub namespace: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Spec {
    pub unschedulable: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct NodeStatus {
    pub conditions: Vec<Condition>,
}

/// A condition of a node or a pod.
#[derive(Deserialize)]
pub struct Condition {
    #[serde(rename = "type")]
    pub kind: String,
    pub status: String,
    #[serde(default)]
    pub reason: String,
    #[serde(default)]
    pub message: String,
    /// When it was last looked at; only nodes say so.
    #[serde(default, rename = "lastHeartbeatTime")]
    pub heartbeat: Option<Timestamp>,
}

impl Node {
    /// # Errors
    /// Why the node is not ready.
    pub fn ready(&self) -> Result<(), String> {
        match self.status.conditions.iter().find(|c| c.kind == "Ready") {
            Some(c) if c.status == "True" => Ok(()),
            Some(c) => Err(c.message.clone()),
            None => Err("no status yet".to_owned()),
        }
    }

    /// Whether the node is ready by what its agent has said since then: what it said before may be of one that has ended.
    ///
    /// # Errors
    /// Why it is not.
    pub fn ready_since(&self, start: Timestamp) -> Result<(), String> {
        let ready = self.status.conditions.iter().find(|c| c.kind == "Ready");
        // Conditions have whole seconds.
        match ready.and_then(|c| c.heartbeat) {
            Some(heartbeat) if heartbeat.as_second() >= start.as_second() => self.ready(),
            _ => Err("its agent has not reported yet".to_owned()),
        }
    }
}

/// Whether the API is ready.
///
/// # Errors
/// The checks that fail, or why it does not answer.
pub async fn api(client: &dyn Client) -> Result<(), String> {
    let mut request = Request::new(Verb::Get, Target::Path("/readyz".to_owned()));
    request.query.push("verbose", "true");
    let response = client.send(request).await.map_err(|e| e.message)?;
    let code = response.code;
    let body = client::api::read_body(response).await.map_err(|e| e.message)?;
    if code == 200 {
        return Ok(());
    }
    Err(failed_checks(&String::from_utf8_lossy(&body)).unwrap_or_else(|| format!("it answers {code}")))
}

/// The names of the failed ones in `/readyz?verbose`.
fn failed_checks(verbose: &str) -> Option<String> {
    let failed: Vec<&str> =
        verbose.lines().filter_map(|line| line.strip_prefix("[-]")?.split(' ').next()).collect();
    (!failed.is_empty()).then(|| format!("failed checks: {}", failed.join(", ")))
}

/// Whether a node is ready.
///
/// # Errors
/// Why it is not.
pub async fn node(client: &dyn Client, name: &str) -> Result<(), String> {
    read_node(client, name).await?.ready()
}

/// Whether a node is ready by what its agent has said since a start.
///
/// # Errors
/// Why it is not.
pub async fn node_since(client: &dyn Client, name: &str, start: Timestamp) -> Result<(), String> {
    read_node(client, name).await?.ready_since(start)
}

async fn read_node(client: &dyn Client, name: &str) -> Result<Node, String> {
    let bytes = match Api::new(client, NODES, "").get(name).await {
        Ok(bytes) => bytes,
        Err(e) if e.is("NotFound") => return Err("not registered yet".to_owned()),
        Err(e) => return Err(e.to_string()),
    };
    serde_json::from_slice(&bytes).map_err(|e| e.to_string())
}

/// Asks cluster DNS for the API's own name, as a pod would. Blocks for a moment.
///
/// # Errors
/// What went wrong.
pub fn dns(server: SocketAddr, domain: &str) -> Result<(), String> {
    let answer = ask(server, &query(&format!("kubernetes.default.svc.{domain}"), A, INTERNET))?;
    match answer.get(3).filter(|_| answer.len() > 12).map(|flags| flags & 0x0f) {
        Some(_) if has_answer(&answer) => Ok(()),
        Some(code) => Err(format!("{server} does not know the API's name (code {code})")),
        None => Err(format!("{server} answers nonsense")),
    }
}

/// Asks cluster DNS whose server it is (`id.server`). Blocks for a moment.
///
/// # Errors
/// What went wrong, or that another cluster's server answers.
pub fn dns_identity(server: SocketAddr, identity: &str) -> Result<(), String> {
    let answer = ask(server, &query("id.server", TXT, CHAOS))?;
    match is_said_by(&answer, identity) {
        true => Ok(()),
        false => Err(format!("{server} is not this cluster's DNS server")),
    }
}

/// Whether a DNS message is no error and has at least one answer.
fn has_answer(message: &[u8]) -> bool {
    message.len() > 12 && message[3] & 0x0f == 0 && message[7] > 0
}

/// Whether a DNS message's answer is this text.
fn is_said_by(message: &[u8], identity: &str) -> bool {
    has_answer(message) && message.ends_with(identity.as_bytes())
}

const A: u8 = 1;
const TXT: u8 = 16;
const INTERNET: u8 = 1;
const CHAOS: u8 = 3;

/// Sends a DNS message and waits for the answer.
fn ask(server: SocketAddr, message: &[u8]) -> Result<Vec<u8>, String> {
    let exchange = || -> std::io::Result<Vec<u8>> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.set_read_timeout(Some(DNS_LIMIT))?;
        socket.connect(server)?;
        socket.send(message)?;
        let mut buffer = vec![0; 512];
        let n = loop {
            // A signal, such as that of a child's end, breaks off a read with a limit.
            match socket.recv(&mut buffer) {
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        buffer.truncate(n);
        Ok(buffer)
    };
    exchange().map_err(|e| match e.kind() {
        std::io::ErrorKind::WouldBlock => format!("no answer from {server} in {} ms", DNS_LIMIT.as_millis()),
        _ => format!("{server}: {e}"),
    })
}

/// A query for `name`.
fn query(name: &str, kind: u8, class: u8) -> Vec<u8> {
    let mut q = vec![0x43, 0x54, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        q.push(u8::try_from(label.len()).unwrap_or(63));
        q.extend_from_slice(label.as_bytes());
    }
    q.extend_from_slice(&[0, 0, kind, 0, class]);
    q
}

#[cfg(test)]
mod tests {
    use dns::{Reply, Zone, respond};

    use super::*;
    use crate::control_plane;

    #[test]
    fn only_the_own_server_counts() {
        let said = |identity: &str| {
            let zone = Zone::new("cluster.local", &[], &[]).with_identity(identity);
            match respond(&zone, &query("id.server", TXT, CHAOS), true) {
                Reply::Answer(answer) => answer,
                other => panic!("{other:?}"),
            }
        };
        let (own, other) = (control_plane::identity("one"), control_plane::identity("two"));
        assert!(is_said_by(&said(&own), &own));
        assert!(!is_said_by(&said(&other), &own), "another cluster's server");
        assert!(!is_said_by(&said(""), &own), "a server that does not say who it is");
        assert!(!is_said_by(&query("id.server", TXT, CHAOS), &own), "no answer at all");
        assert!(!has_answer(&[]));
    }

    #[test]
    fn what_a_former_agent_has_said_does_not_count() {
        let node = |conditions: &str| -> Node {
            serde_json::from_str(&format!(r#"{{"status":{{"conditions":[{conditions}]}}}}"#)).unwrap()
        };
        let start: Timestamp = "2026-11-20T10:00:00.7Z".parse().unwrap();
        for (conditions, want) in [
            ("", Some("its agent has not reported yet")),
            (r#"{"type":"Ready","status":"True"}"#, Some("its agent has not reported yet")),
            (
                r#"{"type":"Ready","status":"True","lastHeartbeatTime":"2026-11-20T09:59:59Z"}"#,
                Some("its agent has not reported yet"),
            ),
            (r#"{"type":"Ready","status":"True","lastHeartbeatTime":"2026-11-20T10:00:00Z"}"#, None),
            (
                r#"{"type":"Ready","status":"False","message":"no","lastHeartbeatTime":"2026-11-20T10:00:01Z"}"#,
                Some("no"),
            ),
        ] {
            assert_eq!(node(conditions).ready_since(start).err().as_deref(), want, "{conditions}");
        }
    }

    #[test]
    fn failed_checks_are_named() {
        let verbose = "[+]ping ok\n[-]etcd failed: reason withheld\n[-]informer-sync failed: reason withheld\nreadyz check failed\n";
        assert_eq!(failed_checks(verbose).unwrap(), "failed checks: etcd, informer-sync");
        assert_eq!(failed_checks("[+]ping ok\n"), None);
    }

    #[test]
    fn dns_answers_are_told_from_refusals() {
        let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = server.local_addr().unwrap();
        for (flags, answers, want) in [(0, 1, ""), (3, 0, "code 3"), (0, 0, "code 0")] {
            let asked = std::thread::scope(|scope| {
                scope.spawn(|| {
                    let mut buffer = [0; 512];
                    let (n, from) = server.recv_from(&mut buffer).unwrap();
                    (buffer[3], buffer[7]) = (flags, answers);
                    server.send_to(&buffer[..n], from).unwrap();
                });
                dns(address, "cluster.local")
            });
            assert_eq!(asked.is_ok(), want.is_empty(), "{asked:?}");
            assert!(asked.err().unwrap_or_default().contains(want));
        }
        assert!(dns(address, "cluster.local").unwrap_err().contains("no answer from 127.0.0.1"));
    }
}
