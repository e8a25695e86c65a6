//! The rules at work: network namespaces play a node, a pod on it, a pod of another node and a client outside.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;

use bytes::Bytes;
use client::Client;
use control::RawEvent;
use meta::{Body, BoxFuture, Request, Response, Status, Target, Verb};
use serde_json::{Value, json};
use testkit::netns::Netns;
use testkit::wait::wait_for;
use tokio::runtime::{Builder, Runtime};

use super::*;

/// How long a packet that was dropped is waited for.
const SILENCE: Duration = Duration::from_millis(400);
const NEAR: &str = "10.244.0.2";
const FAR: &str = "10.244.1.2";

struct World {
    node: Netns,
    near: Netns,
    far: Netns,
    outside: Netns,
    /// Serves behind both pods; ends with the test.
    servers: Runtime,
}

fn ip(netns: &Netns, words: &str) {
    let out = netns.command("ip").args(words.split(' ')).output().unwrap();
    assert!(out.status.success(), "ip {words}: {}", String::from_utf8_lossy(&out.stderr));
}

/// A host with this address behind the node's address on an interface of their own.
fn neighbour(node: &Netns, interface: &str, gateway: &str, address: &str) -> Netns {
    let other = Netns::new("px").unwrap();
    let name = other.path().file_name().unwrap().to_str().unwrap();
    ip(&other, "link delete uplink");
    ip(node, &format!("link add {interface} type veth peer name eth0 netns {name}"));
    ip(node, &format!("address add {gateway}/24 dev {interface}"));
    ip(node, &format!("link set {interface} up"));
    ip(&other, &format!("address add {address}/24 dev eth0"));
    ip(&other, "link set eth0 up");
    ip(&other, &format!("route add default via {gateway}"));
    other
}

impl World {
    fn new() -> Self {
        let node = Netns::new("px").unwrap();
        let near = neighbour(&node, "near", "10.244.0.1", NEAR);
        let far = neighbour(&node, "far", "10.244.1.1", FAR);
        let outside = neighbour(&node, "outside", "198.51.100.1", "198.51.100.2");
        let servers = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        for (netns, address, name) in [(&near, NEAR, "near"), (&far, FAR, "far")] {
            let tcp = netns.inside(|| TcpListener::bind((address, 8080)).unwrap()).unwrap();
            let udp = netns.inside(|| UdpSocket::bind((address, 8080)).unwrap()).unwrap();
            tcp.set_nonblocking(true).unwrap();
            udp.set_nonblocking(true).unwrap();
            servers.spawn(async move {
                let tcp = tokio::net::TcpListener::from_std(tcp).unwrap();
                while let Ok((mut stream, _)) = tcp.accept().await {
                    stream.write_all(name.as_bytes()).await.unwrap();
                    tokio::spawn(async move {
                        let (mut from, mut to) = stream.split();
                        let _ = tokio::io::copy(&mut from, &mut to).await;
                    });
                }
            });
            servers.spawn(async move {
                let udp = tokio::net::UdpSocket::from_std(udp).unwrap();
                while let Ok((_, peer)) = udp.recv_from(&mut [0; 16]).await {
                    udp.send_to(name.as_bytes(), peer).await.unwrap();
                }
            });
        }
        World { node, near, far, outside, servers }
    }

    fn guest(&self, name: &str) -> &Netns {
        match name {
            "node" => &self.node,
            "near" => &self.near,
            "far" => &self.far,
            _ => &self.outside,
        }
    }

    /// What a guest hears at an address.
    fn ask(&self, guest: &str, address: &str) -> String {
        let address: SocketAddr = address.parse().unwrap();
        self.guest(guest)
            .inside(|| said(TcpStream::connect_timeout(&address, SILENCE).and_then(hear)))
            .unwrap()
    }

    /// Applies what the API holds now on the node.
    fn apply(&self, proxy: &mut Proxy, services: &[Value], slices: &[Value]) {
        let list = |all: &[Value]| {
            let items = all.iter().map(|o| Bytes::from(o.to_string())).collect();
            RawEvent::Replaced { items, revision: 1 }
        };
        proxy.services.take(list(services));
        proxy.slices.take(list(slices));
        self.on_node(async { proxy.sync().await.unwrap() });
    }

    fn on_node<T: Send>(&self, work: impl Future<Output = T> + Send) -> T {
        let run = || Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
        self.node.inside(run).unwrap()
    }
}

fn hear(mut stream: TcpStream) -> std::io::Result<String> {
    stream.set_read_timeout(Some(SILENCE))?;
    let mut buffer = [0; 16];
    let n = stream.read(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..n]).into_owned())
}

fn said(result: std::io::Result<String>) -> String {
    match result {
        Ok(text) => text,
        Err(e) if e.kind() == ErrorKind::ConnectionRefused => "refused".to_owned(),
        Err(e) if matches!(e.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock) => "silence".to_owned(),
        Err(e) => e.to_string(),
    }
}

fn settings(sync_period: Duration) -> Settings {
    let options = Options {
        table: "corten-test".to_owned(),
        cluster_cidr: "10.244.0.0/16".to_owned(),
        service_cidrs: vec!["10.96.0.0/16".to_owned()],
        node_port_addresses: Vec::new(),
    };
    Settings { node_name: "here".to_owned(), options, sync_period }
}

fn service(ports: Value) -> Value {
    json!({"metadata": {"namespace": "d", "name": "web"}, "spec": {"type": "NodePort", "clusterIP": "10.96.0.9",
        "externalIPs": ["192.0.2.7"], "externalTrafficPolicy": "Local", "ports": ports}})
}

fn web() -> Value {
    service(json!([{"name": "http", "protocol": "TCP", "port": 80, "nodePort": 30080}]))
}

/// Both protocols, each endpoint with its node.
fn slice(endpoints: &[(&str, &str)]) -> Value {
    let endpoints: Vec<Value> = endpoints
        .iter()
        .map(|(ip, node)| json!({"addresses": [ip], "conditions": {"ready": true}, "nodeName": node}))
        .collect();
    json!({"metadata": {"namespace": "d", "name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4", "endpoints": endpoints, "ports": [{"name": "http", "protocol": "TCP", "port": 8080},
        {"name": "dns", "protocol": "UDP", "port": 8080}]})
}

#[test]
fn packets_find_endpoints_errors_or_silence_by_policy_and_place() {
    let world = World::new();
    let mut proxy = Proxy::new(settings(SYNC_PERIOD));
    type State<'a> = (&'a [(&'a str, &'a str)], &'a [(&'a str, &'a str, &'a str)]);
    let states: [State<'_>; 3] = [
        // The only endpoint is on another node: the cluster reaches it by every address, the outside by none.
        (
            &[(FAR, "there")],
            &[
                ("near", "10.96.0.9:80", "far"),
                ("node", "10.96.0.9:80", "far"),
                ("near", "192.0.2.7:80", "far"),
                ("node", "192.0.2.7:80", "far"),
                ("near", "10.244.0.1:30080", "far"),
                ("node", "127.0.0.1:30080", "far"),
                ("node", "198.51.100.1:30080", "far"),
                ("outside", "192.0.2.7:80", "silence"),
                ("outside", "198.51.100.1:30080", "silence"),
                // Ports and addresses that no Service has.
                ("near", "10.96.0.9:81", "refused"),
                ("node", "10.96.0.9:81", "refused"),
                ("outside", "10.96.0.9:81", "refused"),
                ("near", "10.96.0.77:80", "silence"),
                ("node", "10.96.0.77:80", "silence"),
            ],
        ),
        // With one here the outside stays on this node, and an endpoint reaches itself.
        (
            &[(NEAR, "here")],
            &[
                ("outside", "192.0.2.7:80", "near"),
                ("outside", "198.51.100.1:30080", "near"),
                ("near", "192.0.2.7:80", "near"),
                ("far", "192.0.2.7:80", "near"),
                ("node", "10.96.0.9:80", "near"),
            ],
        ),
        (
            &[],
            &[
                ("outside", "192.0.2.7:80", "refused"),
                ("outside", "198.51.100.1:30080", "refused"),
                ("near", "192.0.2.7:80", "refused"),
                ("node", "192.0.2.7:80", "refused"),
                ("near", "10.96.0.9:80", "refused"),
                ("node", "127.0.0.1:30080", "refused"),
            ],
        ),
    ];
    for (endpoints, asks) in states {
        world.apply(&mut proxy, &[web()], &[slice(endpoints)]);
        for (guest, address, want) in asks {
            assert_eq!(world.ask(guest, address), *want, "{endpoints:?}: {guest} {address}");
        }
    }
    drop(world.servers);
}

#[test]
fn a_port_that_goes_ends_datagrams_but_no_connection() {
    let world = World::new();
    let mut proxy = Proxy::new(settings(SYNC_PERIOD));
    let dns = json!({"name": "dns", "protocol": "UDP", "port": 53, "nodePort": 30053});
    let http = json!({"name": "http", "protocol": "TCP", "port": 80});
    world.apply(&mut proxy, &[service(json!([http, dns]))], &[slice(&[(FAR, "there")])]);
    let mut connection = world.near.inside(|| TcpStream::connect("10.96.0.9:80").unwrap()).unwrap();
    assert_eq!(said(hear(connection.try_clone().unwrap())), "far");
    let datagrams = |to: &str| {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.connect(to).unwrap();
        socket.set_read_timeout(Some(SILENCE)).unwrap();
        socket
    };
    let ask = |socket: &UdpSocket| {
        let mut buffer = [0; 16];
        let answer = socket.send(b"x").and_then(|_| socket.recv(&mut buffer));
        said(answer.map(|n| String::from_utf8_lossy(&buffer[..n]).into_owned()))
    };
    let cluster_ip = world.near.inside(|| datagrams("10.96.0.9:53")).unwrap();
    let node_port = world.near.inside(|| datagrams("10.244.0.1:30053")).unwrap();
    assert_eq!((ask(&cluster_ip), ask(&node_port)), ("far".to_owned(), "far".to_owned()));
    world.apply(&mut proxy, &[service(json!([{"name": "other", "port": 7}]))], &[slice(&[(FAR, "there")])]);
    // The clients keep their ports.
    assert_eq!((ask(&cluster_ip), ask(&node_port)), ("refused".to_owned(), "refused".to_owned()));
    connection.write_all(b"still").unwrap();
    assert_eq!(said(hear(connection)), "still");
}

/// An API with one Service, its slice and nothing else.
struct Fixed;

impl Client for Fixed {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, Status>> {
        let Target::Resource { gvr, .. } = &request.target else { panic!("{:?}", request.target) };
        let items = match (&request.verb, &*gvr.resource) {
            (Verb::Watch, _) => None,
            (_, "services") => Some(json!([web()])),
            (_, "endpointslices") => Some(json!([slice(&[(NEAR, "here")])])),
            // As servers say that lack a resource.
            _ => return Box::pin(std::future::ready(Err(Status::unknown_resource()))),
        };
        let body = match items {
            None => Body::Stream(Box::pin(futures_util::stream::pending())),
            Some(items) => {
                Body::Full(json!({"metadata": {"resourceVersion": "1"}, "items": items}).to_string().into())
            }
        };
        Box::pin(std::future::ready(Ok(Response { body, ..Response::json(200, Bytes::new()) })))
    }
}

#[test]
fn looks_are_rare_with_many_rules_and_never_rarer_than_a_bound() {
    for (took_ms, seconds) in [(5, 30), (300, 30), (2000, 200), (60_000, 600)] {
        let next = super::until_next_look(SYNC_PERIOD, Duration::from_millis(took_ms));
        assert_eq!(next, Duration::from_secs(seconds), "{took_ms}");
    }
}

#[test]
fn rules_and_switches_that_others_took_away_come_back() {
    const SOON: Duration = Duration::from_secs(20);
    let world = World::new();
    let ctx = Context::new(Arc::new(Fixed));
    let nft = |words: &[&str]| world.node.command("nft").args(words).output().unwrap();
    let serves = |after: &str| {
        wait_for(after, SOON, || match world.ask("outside", "192.0.2.7:80").as_str() {
            "near" => Ok(()),
            other => Err(other.to_owned()),
        });
    };
    let table = ["ip", "corten-test"];
    std::thread::scope(|scope| {
        let run = || world.on_node(super::run(&ctx, settings(Duration::from_millis(50))));
        let running = scope.spawn(run);
        // A check that fails ends the proxy too: the scope waits for it.
        let stop = ctx.stop.clone().drop_guard();
        serves("the start");
        for harm in [
            vec!["flush", "ruleset"],
            vec!["delete", "table", table[0], table[1]],
            vec!["flush", "chain", table[0], table[1], "nat-prerouting"],
            vec!["insert", "rule", table[0], table[1], "filter-forward", "drop"],
        ] {
            assert!(nft(&harm).status.success(), "{harm:?}");
            serves(&harm.join(" "));
        }
        for switch in [IP_FORWARD, ROUTE_LOCALNET] {
            let value = || world.node.inside(|| std::fs::read_to_string(switch).unwrap()).unwrap();
            world.node.inside(|| std::fs::write(switch, "0").unwrap()).unwrap();
            wait_for(switch, SOON, || match value().trim() {
                "1" => Ok(()),
                other => Err(other.to_owned()),
            });
        }
        drop(stop);
        running.join().unwrap();
    });
    drop(world.servers);
}
