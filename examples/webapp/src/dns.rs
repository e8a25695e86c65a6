//! Names to addresses, without the C library: static programs have no name service switch.
//!
//! Reads `/etc/hosts` and `/etc/resolv.conf` (nameserver, search, ndots) and asks over UDP.

use std::io::{Error, ErrorKind, Result};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::time::Duration;

const TYPE_A: u16 = 1;
const TYPE_CNAME: u16 = 5;
const TYPE_AAAA: u16 = 28;
const ATTEMPTS: usize = 2;
const TIMEOUT: Duration = Duration::from_secs(2);
const MESSAGE_LIMIT_BYTES: usize = 4096;

/// `webapp resolve NAME`.
pub fn run(name: &str) -> Result<ExitCode> {
    for address in resolve(name)? {
        println!("{address}");
    }
    Ok(ExitCode::SUCCESS)
}

/// All addresses of a name, IPv4 first.
///
/// Errors: NotFound when no candidate name exists; what the network says otherwise.
pub fn resolve(name: &str) -> Result<Vec<IpAddr>> {
    if let Ok(address) = name.trim_matches(['[', ']']).parse() {
        return Ok(vec![address]);
    }
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let known = hosts_addresses(&hosts, name);
    if !known.is_empty() {
        return Ok(known);
    }
    let config = Config::parse(&std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default());
    let mut last = Error::new(ErrorKind::NotFound, format!("{name}: no such name"));
    for candidate in config.candidates(name) {
        let mut found = Vec::new();
        for kind in [TYPE_A, TYPE_AAAA] {
            match config.ask(&candidate, kind) {
                Ok(addresses) => found.extend(addresses),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => last = error,
            }
        }
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Err(last)
}

fn hosts_addresses(hosts: &str, name: &str) -> Vec<IpAddr> {
    let line = |line: &str| {
        let mut words = line.split('#').next()?.split_whitespace();
        let address = words.next()?.parse().ok()?;
        words.any(|word| word.eq_ignore_ascii_case(name)).then_some(address)
    };
    hosts.lines().filter_map(line).collect()
}

struct Config {
    servers: Vec<IpAddr>,
    searches: Vec<String>,
    ndots: usize,
}

impl Config {
    fn parse(text: &str) -> Self {
        let mut config = Self { servers: Vec::new(), searches: Vec::new(), ndots: 1 };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    config.servers.extend(words.next().and_then(|w| w.parse::<IpAddr>().ok()))
                }
                Some("search") => config.searches = words.map(str::to_owned).collect(),
                Some("options") => {
                    let ndots = words.find_map(|word| word.strip_prefix("ndots:")?.parse().ok());
                    config.ndots = ndots.unwrap_or(config.ndots);
                }
                _ => {}
            }
        }
        config
    }

    /// The names to ask for, in order, as resolv.conf(5) says.
    fn candidates(&self, name: &str) -> Vec<String> {
        if let Some(absolute) = name.strip_suffix('.') {
            return vec![absolute.to_owned()];
        }
        let searched = self.searches.iter().map(|domain| format!("{name}.{}", domain.trim_end_matches('.')));
        let mut names: Vec<String> = searched.collect();
        let position = if name.matches('.').count() >= self.ndots { 0 } else { names.len() };
        names.insert(position, name.to_owned());
        names
    }

    fn ask(&self, name: &str, kind: u16) -> Result<Vec<IpAddr>> {
        let query = encode_query(name, kind)?;
        let mut last = Error::new(ErrorKind::NotConnected, "no nameserver in /etc/resolv.conf");
        for _ in 0..ATTEMPTS {
            for server in &self.servers {
                match exchange(*server, &query).and_then(|answer| decode_answer(&answer, kind)) {
                    Err(error) if error.kind() != ErrorKind::NotFound => last = error,
                    result => return result,
                }
            }
        }
        Err(last)
    }
}

fn exchange(server: IpAddr, query: &[u8]) -> Result<Vec<u8>> {
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    socket.connect(SocketAddr::new(server, 53))?;
    socket.send(query)?;
    let mut answer = vec![0; MESSAGE_LIMIT_BYTES];
    let length = socket.recv(&mut answer)?;
    answer.truncate(length);
    if answer.get(..2) == query.get(..2) { Ok(answer) } else { Err(invalid("an answer to another question")) }
}

fn invalid(message: &'static str) -> Error {
    Error::new(ErrorKind::InvalidData, message)
}

fn encode_query(name: &str, kind: u16) -> Result<Vec<u8>> {
    // The port is fresh for every question and connected, so a fixed id is enough here.
    let mut query = vec![0x57, 0x41, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..64).contains(length));
        query.push(length.ok_or_else(|| Error::new(ErrorKind::InvalidInput, format!("{name}: not a name")))?);
        query.extend(label.as_bytes());
    }
    query.push(0);
    query.extend(kind.to_be_bytes());
    query.extend([0, 1]);
    Ok(query)
}

fn decode_answer(message: &[u8], kind: u16) -> Result<Vec<IpAddr>> {
    let short = || invalid("the answer is cut off");
    let number = |at: usize| Some(u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]));
    match message.get(3).ok_or_else(short)? & 0x0f {
        0 => {}
        3 => return Err(Error::new(ErrorKind::NotFound, "no such name")),
        _ => return Err(Error::other("the nameserver refuses")),
    }
    let mut at = 12;
    for _ in 0..number(4).ok_or_else(short)? {
        at = skip_name(message, at).ok_or_else(short)? + 4;
    }
    let mut addresses = Vec::new();
    for _ in 0..number(6).ok_or_else(short)? {
        at = skip_name(message, at).ok_or_else(short)?;
        let found = number(at).ok_or_else(short)?;
        let length = usize::from(number(at + 8).ok_or_else(short)?);
        let data = message.get(at + 10..at + 10 + length).ok_or_else(short)?;
        at += 10 + length;
        match (found, data.len()) {
            (TYPE_A, 4) if kind == TYPE_A => {
                addresses.extend(<[u8; 4]>::try_from(data).map(IpAddr::from));
            }
            (TYPE_AAAA, 16) if kind == TYPE_AAAA => {
                addresses.extend(<[u8; 16]>::try_from(data).map(IpAddr::from));
            }
            (TYPE_CNAME, _) => {} // its target's addresses follow
            _ => {}
        }
    }
    if addresses.is_empty() { Err(Error::new(ErrorKind::NotFound, "no address")) } else { Ok(addresses) }
}

/// The position behind a name: labels up to an empty one or a pointer.
fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            length if length >= 0xc0 => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn search_domains_follow_ndots() {
        let config = Config::parse("search a.b c\nnameserver 10.0.0.10\noptions ndots:5\n");
        assert_eq!(config.servers, ["10.0.0.10".parse::<IpAddr>().unwrap()]);
        assert_eq!(config.candidates("web"), ["web.a.b", "web.c", "web"]);
        assert_eq!(config.candidates("web.x."), ["web.x"]);
        assert_eq!(Config::parse("search c\n").candidates("a.b"), ["a.b", "a.b.c"]);
    }

    #[test]
    fn answers_are_decoded() {
        let mut message = encode_query("web", TYPE_A).unwrap();
        message[2..4].copy_from_slice(&[0x81, 0x80]);
        message[7] = 1;
        message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 10, 1, 2, 3]);
        assert_eq!(decode_answer(&message, TYPE_A).unwrap(), [IpAddr::from([10, 1, 2, 3])]);
        assert!(decode_answer(&message[..message.len() - 1], TYPE_A).is_err());
        message[3] = 0x83;
        assert_eq!(decode_answer(&message, TYPE_A).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn hosts_file_is_read() {
        let hosts = "127.0.0.1 localhost\n10.0.0.1 web-0 web # comment\n";
        assert_eq!(hosts_addresses(hosts, "web"), [IpAddr::from([10, 0, 0, 1])]);
        assert!(hosts_addresses(hosts, "comment").is_empty());
    }
}
