//! One query message in, one answer message out, or word that it must be forwarded.

use std::net::IpAddr;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{DNSClass, Name, RData, Record as Rr, RecordType};

use crate::zone::{Answer, Record, Zone};

/// Seconds that clients may keep an answer, as upstream's default configuration has it.
const TTL_S: u32 = 5;
/// The largest UDP answer to a client that names no size (RFC 1035).
const UDP_LIMIT_BYTES: usize = 512;
/// The largest UDP answer to any client: fits common path MTUs.
const EDNS_LIMIT_BYTES: u16 = 1232;

/// What to do with a query.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    /// Send this.
    Answer(Vec<u8>),
    /// Pass the query on to an outer resolver and its answer back.
    Forward,
    /// A name of the cluster that is an alias of one outside: ask an outer resolver for the rest.
    Continue(Box<Unfinished>),
    /// Not a query that can be answered at all.
    Drop,
}

/// An answer whose end is known to an outer resolver only.
#[derive(Debug, PartialEq, Eq)]
pub struct Unfinished {
    response: Message,
    query: Vec<u8>,
    limit: usize,
}

impl Unfinished {
    /// What the outer resolver is to be asked.
    #[must_use]
    pub fn query(&self) -> &[u8] {
        &self.query
    }

    /// The whole answer; `None`, or what is no answer, leaves the alias alone.
    #[must_use]
    pub fn finish(self, outer: Option<&[u8]>) -> Reply {
        let mut response = self.response;
        if let Some(outer) = outer.and_then(|bytes| Message::from_vec(bytes).ok()) {
            for answer in outer.answers {
                response.add_answer(answer);
            }
        }
        send(response, self.limit)
    }
}

/// Answers `query`. `udp` limits the size of the answer and sets the truncation bit where it does not fit.
#[must_use]
pub fn respond(zone: &Zone, query: &[u8], udp: bool) -> Reply {
    let Ok(request) = Message::from_vec(query) else { return malformed(query) };
    if request.metadata.message_type != MessageType::Query {
        return Reply::Drop;
    }
    if request.metadata.op_code != OpCode::Query {
        return send(refusal(&request, ResponseCode::NotImp), usize::MAX);
    }
    let [question] = request.queries.as_slice() else {
        return send(refusal(&request, ResponseCode::FormErr), usize::MAX);
    };
    if question.query_class() == DNSClass::CH && !zone.identity().is_empty() && asks_who(question) {
        return send(identified(&request, question, zone.identity()), usize::MAX);
    }
    if question.query_class() != DNSClass::IN {
        return send(refusal(&request, ResponseCode::Refused), usize::MAX);
    }
    let name = question.name().to_ascii();
    let mut response = base(&request);
    response.metadata.authoritative = true;
    let mut outside = None;
    match zone.answer(&name) {
        Answer::Foreign => return Reply::Forward,
        Answer::NoSuchName => {
            response.metadata.response_code = ResponseCode::NXDomain;
            negative(&mut response, zone);
        }
        Answer::Records(records) => {
            outside = fill(&mut response, zone, question, &records, 0);
            if name.trim_end_matches('.').eq_ignore_ascii_case(zone.domain()) {
                apex(&mut response, zone, question.query_type());
            }
            if response.answers.is_empty() {
                negative(&mut response, zone);
            }
            rotate(&mut response);
        }
    }
    let limit = if udp {
        let edns = request.edns.as_ref().map_or(0, |e| e.max_payload().min(EDNS_LIMIT_BYTES));
        usize::from(edns).max(UDP_LIMIT_BYTES)
    } else {
        usize::from(u16::MAX)
    };
    match outside.and_then(|target| continuation(&request, target)) {
        Some(query) => Reply::Continue(Box::new(Unfinished { response, query, limit })),
        None => send(response, limit),
    }
}

/// Whether it is asked which server this is (RFC 4892).
fn asks_who(question: &Query) -> bool {
    question.query_type() == RecordType::TXT && question.name().to_ascii().eq_ignore_ascii_case("id.server.")
}

fn identified(request: &Message, question: &Query, identity: &str) -> Message {
    let mut response = base(request);
    let text = RData::TXT(TXT::new(vec![identity.to_owned()]));
    let mut record = Rr::from_rdata(question.name().clone(), 0, text);
    record.dns_class = DNSClass::CH;
    response.add_answer(record);
    response
}

/// The query for the name that an alias leads to.
fn continuation(request: &Message, target: Query) -> Option<Vec<u8>> {
    let mut query = Message::new(request.metadata.id, MessageType::Query, OpCode::Query);
    query.metadata.recursion_desired = true;
    query.add_query(target);
    query.to_vec().ok()
}

/// Begins with another address for each query, so that clients that take the first one are spread.
fn rotate(response: &mut Message) {
    let first = response.answers.iter().position(|r| matches!(r.data, RData::A(_) | RData::AAAA(_)));
    let Some(addresses) = first.map(|at| &mut response.answers[at..]) else { return };
    let all = addresses.iter().all(|r| matches!(r.data, RData::A(_) | RData::AAAA(_)));
    if all && !addresses.is_empty() {
        let by = usize::from(response.metadata.id) % addresses.len();
        addresses.rotate_left(by);
    }
}

fn base(request: &Message) -> Message {
    let mut response = Message::response(request.metadata.id, request.metadata.op_code);
    response.metadata.recursion_desired = request.metadata.recursion_desired;
    response.metadata.recursion_available = true;
    response.queries.clone_from(&request.queries);
    if request.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(EDNS_LIMIT_BYTES);
        response.set_edns(edns);
    }
    response
}

fn refusal(request: &Message, code: ResponseCode) -> Message {
    let mut response = base(request);
    response.metadata.response_code = code;
    response
}

/// A message whose header can be read gets a format error; anything shorter is dropped.
fn malformed(query: &[u8]) -> Reply {
    match query {
        [a, b, flags, ..] if query.len() >= 12 && flags & 0x80 == 0 => {
            let id = u16::from_be_bytes([*a, *b]);
            send(Message::error_msg(id, OpCode::Query, ResponseCode::FormErr), usize::MAX)
        }
        _ => Reply::Drop,
    }
}

fn send(response: Message, limit: usize) -> Reply {
    match response.to_vec() {
        Ok(bytes) if bytes.len() <= limit => Reply::Answer(bytes),
        Ok(_) => response.truncate().to_vec().map_or(Reply::Drop, Reply::Answer),
        Err(_) => Reply::Drop,
    }
}

/// Adds the records that the question asks for, following an alias inside the zone a few times. Gives the question
/// that is left when an alias leads out of the zone.
fn fill(
    response: &mut Message,
    zone: &Zone,
    question: &Query,
    records: &[Record],
    depth: u8,
) -> Option<Query> {
    let wanted = question.query_type();
    let mut outside = None;
    for record in records {
        let Some(data) = data(record) else { continue };
        if wanted == RecordType::ANY || data.record_type() == wanted || matches!(data, RData::CNAME(_)) {
            response.add_answer(Rr::from_rdata(question.name().clone(), TTL_S, data));
        }
        if let Record::Alias(target) = record
            && depth < 4
            && !matches!(wanted, RecordType::CNAME | RecordType::ANY)
            && let Ok(name) = fqdn(target)
        {
            let rest = Query::query(name, wanted);
            match zone.answer(target) {
                Answer::Records(more) => outside = fill(response, zone, &rest, &more, depth + 1),
                Answer::Foreign => outside = Some(rest),
                Answer::NoSuchName => {}
            }
        }
    }
    outside
}

fn data(record: &Record) -> Option<RData> {
    Some(match record {
        Record::Address(IpAddr::V4(ip)) => RData::A(A(*ip)),
        Record::Address(IpAddr::V6(ip)) => RData::AAAA(AAAA(*ip)),
        Record::Alias(target) => RData::CNAME(CNAME(fqdn(target).ok()?)),
        Record::Pointer(target) => RData::PTR(PTR(fqdn(target).ok()?)),
        Record::Service { port, target } => RData::SRV(SRV::new(0, 100, *port, fqdn(target).ok()?)),
        Record::NameServer(name) => RData::NS(NS(fqdn(name).ok()?)),
        Record::Text(text) => RData::TXT(TXT::new(vec![text.clone()])),
    })
}

fn fqdn(name: &str) -> Result<Name, hickory_proto::ProtoError> {
    let mut name = Name::from_ascii(name)?;
    name.set_fqdn(true);
    Ok(name)
}

/// What is known of the zone's own name besides its server: its SOA, and the server's address.
fn apex(response: &mut Message, zone: &Zone, wanted: RecordType) {
    if matches!(wanted, RecordType::SOA | RecordType::ANY)
        && let Some(soa) = soa(zone)
    {
        response.add_answer(soa);
    }
    if wanted == RecordType::NS
        && let (Answer::Records(own), Ok(name)) =
            (zone.answer(&zone.name_server()), fqdn(&zone.name_server()))
    {
        for data in own.iter().filter_map(data) {
            response.add_additional(Rr::from_rdata(name.clone(), TTL_S, data));
        }
    }
}

/// The zone's SOA, so that resolvers know how long "no" holds.
fn negative(response: &mut Message, zone: &Zone) {
    if let Some(soa) = soa(zone) {
        response.add_authority(soa);
    }
}

fn soa(zone: &Zone) -> Option<Rr> {
    let domain = zone.domain();
    let (apex, server, mail) =
        (fqdn(domain).ok()?, fqdn(&zone.name_server()).ok()?, fqdn(&format!("hostmaster.{domain}")).ok()?);
    let soa = SOA::new(server, mail, 1, 7200, 1800, 86400, TTL_S);
    Some(Rr::from_rdata(apex, TTL_S, RData::SOA(soa)))
}
