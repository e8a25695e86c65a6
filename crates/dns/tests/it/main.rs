//! The DNS specification's record schema as a table, and messages that must not hurt.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use dns::model::{EndpointSlice, Service};
use dns::{Answer, Record, Reply, Zone, respond};
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RecordType};
use serde_json::json;

fn zone() -> Zone {
    let services: Vec<Service> = serde_json::from_value(json!([
        {"metadata": {"namespace": "d", "name": "web"}, "spec": {"type": "ClusterIP", "clusterIP": "10.96.0.9",
            "ports": [{"name": "http", "protocol": "TCP", "port": 80}]}},
        {"metadata": {"namespace": "d", "name": "db"}, "spec": {"clusterIP": "None", "ports": []}},
        {"metadata": {"namespace": "kube-system", "name": "kube-dns"}, "spec": {"clusterIP": "10.96.0.10"}},
        {"metadata": {"namespace": "d", "name": "out"}, "spec": {"type": "ExternalName", "externalName": "Example.com"}},
        {"metadata": {"namespace": "d", "name": "in"},
            "spec": {"type": "ExternalName", "externalName": "web.d.svc.cluster.local"}}
    ]))
    .unwrap();
    let slices: Vec<EndpointSlice> = serde_json::from_value(json!([
        {"metadata": {"namespace": "d", "name": "db-1", "labels": {"kubernetes.io/service-name": "db"}},
         "ports": [{"name": "sql", "protocol": "TCP", "port": 5432}],
         "endpoints": [
            {"addresses": ["10.244.0.2"], "hostname": "db-0", "conditions": {"ready": true}},
            {"addresses": ["10.244.0.3"], "conditions": {}},
            {"addresses": ["10.244.0.4"], "conditions": {"ready": false}}]}
    ]))
    .unwrap();
    Zone::new("cluster.local", &services, &slices)
}

fn ip(s: &str) -> Record {
    Record::Address(s.parse().unwrap())
}

#[test]
fn names_of_the_specification() {
    let srv = |port: u16, target: &str| Record::Service { port, target: target.to_owned() };
    let records = Answer::Records;
    let db0 = "db-0.db.d.svc.cluster.local";
    let db3 = "10-244-0-3.db.d.svc.cluster.local";
    let cases = [
        ("_http._tcp.web.d.svc.cluster.local", records(vec![srv(80, "web.d.svc.cluster.local")])),
        ("_HTTP._TCP.Web.d.svc.cluster.local.", records(vec![srv(80, "web.d.svc.cluster.local")])),
        ("_nope._tcp.web.d.svc.cluster.local", Answer::NoSuchName),
        ("_sql._tcp.db.d.svc.cluster.local", records(vec![srv(5432, db0), srv(5432, db3)])),
        (db0, records(vec![ip("10.244.0.2")])),
        (db3, records(vec![ip("10.244.0.3")])),
        ("10-244-0-4.db.d.svc.cluster.local", Answer::NoSuchName),
        ("10-244-0-9.d.pod.cluster.local", records(vec![ip("10.244.0.9")])),
        ("9.0.96.10.in-addr.arpa", records(vec![Record::Pointer("web.d.svc.cluster.local".into())])),
        ("2.0.244.10.in-addr.arpa", records(vec![Record::Pointer(db0.into())])),
        ("8.8.8.8.in-addr.arpa", Answer::Foreign),
        ("dns-version.cluster.local", records(vec![Record::Text("1.1.0".into())])),
        ("d.svc.cluster.local", records(vec![])),
        ("other.svc.cluster.local", Answer::NoSuchName),
        ("nope.d.svc.cluster.local", Answer::NoSuchName),
        ("out.d.svc.cluster.local", records(vec![Record::Alias("example.com".into())])),
        ("example.com", Answer::Foreign),
        ("xcluster.local", Answer::Foreign),
        ("cluster.local", records(vec![Record::NameServer("ns.dns.cluster.local".into())])),
        ("ns.dns.cluster.local", records(vec![ip("10.96.0.10")])),
    ];
    let zone = zone();
    for (name, want) in cases {
        assert_eq!(zone.answer(name), want, "{name}");
    }
}

fn ask(name: &str, kind: RecordType) -> Message {
    let mut m = Message::new(7, MessageType::Query, OpCode::Query);
    m.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    match respond(&zone(), &m.to_vec().unwrap(), true) {
        Reply::Answer(bytes) => Message::from_vec(&bytes).unwrap(),
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn messages() {
    let a = ask("web.d.svc.cluster.local.", RecordType::A);
    assert_eq!((a.metadata.id, a.answers.len(), a.metadata.response_code), (7, 1, ResponseCode::NoError));
    assert!(a.metadata.authoritative && a.answers[0].ttl == 5);
    let aaaa = ask("web.d.svc.cluster.local.", RecordType::AAAA);
    assert_eq!((aaaa.answers.len(), aaaa.authorities.len()), (0, 1));
    assert_eq!(aaaa.metadata.response_code, ResponseCode::NoError);
    assert_eq!(ask("no.d.svc.cluster.local.", RecordType::A).metadata.response_code, ResponseCode::NXDomain);
    assert_eq!(ask("db.d.svc.cluster.local.", RecordType::A).answers.len(), 2);
    let alias = ask("in.d.svc.cluster.local.", RecordType::A);
    assert_eq!(alias.answers.len(), 2, "the alias and what it leads to");
}

/// Several servers may be reachable at one address, one after the other: clients can tell them apart.
#[test]
fn the_server_says_which_one_it_is() {
    let who = |zone: &Zone, name: &str, kind: RecordType| {
        let mut m = Message::new(7, MessageType::Query, OpCode::Query);
        m.add_query(
            Query::query(Name::from_ascii(name).unwrap(), kind).set_query_class(DNSClass::CH).clone(),
        );
        match respond(zone, &m.to_vec().unwrap(), true) {
            Reply::Answer(bytes) => Message::from_vec(&bytes).unwrap(),
            other => panic!("{name}: {other:?}"),
        }
    };
    let named = zone().with_identity("corten-1");
    let answer = who(&named, "ID.server.", RecordType::TXT);
    assert_eq!(answer.answers.len(), 1);
    assert_eq!(
        (answer.answers[0].dns_class, answer.answers[0].data.to_string().as_str()),
        (DNSClass::CH, "corten-1")
    );
    for (zone, name, kind) in [
        (&named, "version.bind.", RecordType::TXT),
        (&named, "id.server.", RecordType::A),
        (&zone(), "id.server.", RecordType::TXT),
    ] {
        let answer = who(zone, name, kind);
        assert_eq!(
            (answer.metadata.response_code, answer.answers.len()),
            (ResponseCode::Refused, 0),
            "{name}"
        );
    }
}

#[test]
fn the_zone_names_its_server() {
    let ns = ask("cluster.local.", RecordType::NS);
    assert_eq!((ns.answers.len(), ns.additionals.len()), (1, 1), "the server and its address: {ns:?}");
    let soa = ask("cluster.local.", RecordType::SOA);
    assert_eq!((soa.answers.len(), soa.authorities.len()), (1, 0), "{soa:?}");
    assert_eq!(ask("cluster.local.", RecordType::A).authorities.len(), 1);
}

#[test]
fn an_alias_of_an_outside_name_is_completed_by_an_outer_resolver() {
    let query = |name: &str, kind: RecordType| {
        let mut m = Message::new(7, MessageType::Query, OpCode::Query);
        m.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        m
    };
    let unfinished = || {
        let asked = query("out.d.svc.cluster.local.", RecordType::A).to_vec().unwrap();
        match respond(&zone(), &asked, true) {
            Reply::Continue(unfinished) => *unfinished,
            other => panic!("{other:?}"),
        }
    };
    let rest = Message::from_vec(unfinished().query()).unwrap();
    assert_eq!(rest.queries[0].name().to_ascii(), "example.com.");
    assert!(rest.metadata.recursion_desired);
    let mut outer = Message::response(7, OpCode::Query);
    let address = hickory_proto::rr::RData::A("192.0.2.1".parse().unwrap());
    outer.add_answer(hickory_proto::rr::Record::from_rdata(rest.queries[0].name().clone(), 60, address));
    let outer = outer.to_vec().unwrap();
    // With an answer, without one, and with one that cannot be read.
    for (outer, want) in [(Some(&outer[..]), 2), (None, 1), (Some(&b"x"[..]), 1)] {
        let Reply::Answer(bytes) = unfinished().finish(outer) else { panic!("no answer") };
        let whole = Message::from_vec(&bytes).unwrap();
        assert_eq!((whole.answers.len(), whole.metadata.response_code), (want, ResponseCode::NoError));
    }
    assert_eq!(ask("out.d.svc.cluster.local.", RecordType::CNAME).answers.len(), 1);
}

#[test]
fn addresses_take_turns() {
    let first = |id: u16| {
        let mut m = Message::new(id, MessageType::Query, OpCode::Query);
        m.add_query(Query::query(Name::from_ascii("db.d.svc.cluster.local.").unwrap(), RecordType::A));
        let Reply::Answer(bytes) = respond(&zone(), &m.to_vec().unwrap(), true) else { panic!("no answer") };
        Message::from_vec(&bytes).unwrap().answers[0].data.to_string()
    };
    assert_eq!([first(0), first(1), first(2)], ["10.244.0.2", "10.244.0.3", "10.244.0.2"].map(str::to_owned));
}

#[test]
fn outside_names_are_forwarded_and_bad_messages_do_no_harm() {
    let mut m = Message::new(7, MessageType::Query, OpCode::Query);
    m.add_query(Query::query(Name::from_ascii("example.com.").unwrap(), RecordType::A));
    let good = m.to_vec().unwrap();
    assert_eq!(respond(&zone(), &good, true), Reply::Forward);
    assert_eq!(respond(&zone(), b"", true), Reply::Drop);
    let zone = zone();
    for cut in 0..good.len() {
        let _ = respond(&zone, &good[..cut], true);
    }
    let mut x = 0x1234_5678_u32;
    for _ in 0..2000 {
        let mut bytes = good.clone();
        for _ in 0..4 {
            x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = x as usize % bytes.len();
            bytes[at] = (x >> 24) as u8;
        }
        let _ = respond(&zone, &bytes, true);
    }
}

#[test]
fn an_answer_that_does_not_fit_is_truncated() {
    let services: Vec<Service> = serde_json::from_value(
        json!([{"metadata": {"namespace": "d", "name": "big"}, "spec": {"clusterIP": "None"}}]),
    )
    .unwrap();
    let endpoints: Vec<_> = (1..200).map(|i| json!({"addresses": [format!("10.244.1.{i}")]})).collect();
    let slices: Vec<EndpointSlice> =
        serde_json::from_value(json!([{"metadata": {"namespace": "d", "name": "b",
        "labels": {"kubernetes.io/service-name": "big"}}, "endpoints": endpoints}]))
        .unwrap();
    let zone = Zone::new("cluster.local", &services, &slices);
    let mut m = Message::new(7, MessageType::Query, OpCode::Query);
    m.add_query(Query::query(Name::from_ascii("big.d.svc.cluster.local.").unwrap(), RecordType::A));
    let query = m.to_vec().unwrap();
    let (Reply::Answer(udp), Reply::Answer(tcp)) =
        (respond(&zone, &query, true), respond(&zone, &query, false))
    else {
        panic!("both must be answered")
    };
    assert!(udp.len() <= 512);
    assert!(Message::from_vec(&udp).unwrap().metadata.truncation);
    assert_eq!(Message::from_vec(&tcp).unwrap().answers.len(), 199);
}
