use super::*;

/// `A` of a name, with id 7 and recursion desired.
fn query(id: u8, name: &str) -> Vec<u8> {
    let mut q = vec![0, id, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        q.push(u8::try_from(label.len()).unwrap());
        q.extend_from_slice(label.as_bytes());
    }
    q.extend_from_slice(&[0, 0, 1, 0, 1]);
    q
}

fn shared(zone: Option<Zone>, forwards: usize) -> Shared {
    let own: SocketAddr = "198.51.100.1:53".parse().unwrap();
    Shared {
        zone: watch::channel(zone.map(Arc::new)).1,
        empty: Zone::new("cluster.local", &[], &[]),
        pods: Range::parse("198.18.0.0/15"),
        own: own.ip(),
        upstreams: Upstreams::new("/nowhere/resolv.conf".into(), own),
        forwards: Arc::new(Semaphore::new(forwards)),
    }
}

fn zone() -> Zone {
    let services = serde_json::json!([
        {"metadata": {"namespace": "d", "name": "web"}, "spec": {"clusterIP": "10.96.0.9"}},
        {"metadata": {"namespace": "d", "name": "out"},
            "spec": {"type": "ExternalName", "externalName": "example.com"}},
    ]);
    let services: Vec<Service> = serde_json::from_value(services).unwrap();
    Zone::new("cluster.local", &services, &[])
}

fn code(reply: &Reply) -> &str {
    match reply {
        Reply::Answer(bytes) => match bytes[3] & 0x0f {
            0 => "NOERROR",
            2 => "SERVFAIL",
            3 => "NXDOMAIN",
            5 => "REFUSED",
            _ => "other",
        },
        Reply::Forward => "forward",
        Reply::Continue(_) => "continue",
        Reply::Drop => "drop",
    }
}

/// Nothing is said of the cluster's names before they are known, and outside names are for the cluster only.
#[test]
fn who_is_answered_what() {
    const WEB: &str = "web.d.svc.cluster.local";
    for (known, name, from, want) in [
        (false, WEB, "198.18.0.7", "SERVFAIL"),
        (false, "no.d.svc.cluster.local", "198.18.0.7", "SERVFAIL"),
        (false, "example.com", "198.18.0.7", "forward"),
        (true, WEB, "198.18.0.7", "NOERROR"),
        (true, "no.d.svc.cluster.local", "198.18.0.7", "NXDOMAIN"),
        // The cluster's own names are no secret; recursion is.
        (true, WEB, "203.0.113.5", "NOERROR"),
        (true, "example.com", "203.0.113.5", "REFUSED"),
        (true, "out.d.svc.cluster.local", "203.0.113.5", "NOERROR"),
        (true, "out.d.svc.cluster.local", "10.1.2.3", "continue"),
        (true, "example.com", "10.1.2.3", "forward"),
        (true, "example.com", "198.51.100.1", "forward"),
        (true, "example.com", "198.51.100.2", "REFUSED"),
        (true, "example.com", "127.0.0.1", "forward"),
        (true, "example.com", "fd00::1", "forward"),
        (true, "example.com", "2001:db8::1", "REFUSED"),
    ] {
        let shared = shared(known.then(zone), 1);
        let reply = shared.reply(&query(7, name), from.parse().unwrap(), true);
        assert_eq!(code(&reply), want, "{name} from {from}, known: {known}");
    }
}

/// With every place taken by queries that wait for a silent outer resolver, a further one is dropped, and names of
/// the cluster are answered all the same.
#[tokio::test]
async fn waiting_queries_are_limited() {
    let upstream = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut shared = shared(Some(zone()), 1);
    shared.upstreams = Upstreams::fixed(upstream.local_addr().unwrap());
    let server = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let address = server.local_addr().unwrap();
    let shared = Arc::new(shared);
    let serving = tokio::spawn(async move { serve_udp(server, &shared).await });
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.connect(address).await.unwrap();
    let mut buffer = [0; 512];

    client.send(&query(1, "a.example.com")).await.unwrap();
    let (n, asker) = upstream.recv_from(&mut buffer).await.unwrap();
    assert_eq!(buffer[..n], query(1, "a.example.com"));
    client.send(&query(2, "b.example.com")).await.unwrap();
    client.send(&query(3, "web.d.svc.cluster.local")).await.unwrap();
    client.recv(&mut buffer).await.unwrap();
    assert_eq!(buffer[1], 3, "the second one has been dropped by now");
    let nothing = upstream.try_recv_from(&mut [0; 16]).unwrap_err();
    assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);

    // An answer to another query is not passed on; the right one is, and its place is free again.
    upstream.send_to(&query(9, "a.example.com"), asker).await.unwrap();
    upstream.send_to(&rejection(&query(1, "a.example.com"), 3), asker).await.unwrap();
    client.recv(&mut buffer).await.unwrap();
    assert_eq!((buffer[1], buffer[3] & 0x0f), (1, 3));
    client.send(&query(4, "c.example.com")).await.unwrap();
    upstream.recv_from(&mut buffer).await.unwrap();
    assert_eq!(buffer[1], 4);
    serving.abort();
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let here = SocketAddr::from(([127, 0, 0, 1], 0));
    let udp = UdpSocket::bind(here).await.unwrap();
    let refused = Sockets::bind(udp.local_addr().unwrap()).await.unwrap_err().to_string();
    let port = udp.local_addr().unwrap().port();
    let taken = "is taken by another process; choose another with --dns-port";
    assert_eq!(refused, format!("cluster DNS: UDP port {port} of 127.0.0.1 {taken}"));
    let tcp = TcpListener::bind(here).await.unwrap();
    let refused = Sockets::bind(tcp.local_addr().unwrap()).await.unwrap_err().to_string();
    let port = tcp.local_addr().unwrap().port();
    assert_eq!(refused, format!("cluster DNS: TCP port {port} of 127.0.0.1 {taken}"));
    assert!(Sockets::bind(here).await.is_ok());
}
