//! `webapp get`: a client that works from inside a pod.

use std::io::{Error, ErrorKind, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use crate::tools::pause;
use crate::{dns, http};

/// Time between two tries with `--until`.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

struct Options {
    count: usize,
    until: Option<String>,
    timeout: Duration,
}

/// GETs `url` as often as asked; fails unless the last answer is a 2xx one (and has the text).
pub fn run(url: &str, flags: &[&str]) -> Result<ExitCode> {
    let options = parse(flags)?;
    if let Some(text) = &options.until {
        let tries = options.timeout.as_millis() / RETRY_PAUSE.as_millis() + 1;
        let mut last = String::new();
        for _ in 0..tries {
            match get(url, Duration::from_secs(2)) {
                Ok((_, body)) if body.contains(text) => {
                    print!("{body}");
                    return Ok(ExitCode::SUCCESS);
                }
                Ok((status, body)) => last = format!("{status}: {}", body.trim_end()),
                Err(error) => last = error.to_string(),
            }
            pause(RETRY_PAUSE);
        }
        return Err(Error::new(ErrorKind::TimedOut, format!("{url}: never {text:?}; last: {last}")));
    }
    let mut code = ExitCode::SUCCESS;
    for _ in 0..options.count {
        let (status, body) = get(url, options.timeout)?;
        print!("{body}");
        if !(200..300).contains(&status) {
            eprintln!("webapp: {url}: status {status}");
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

fn parse(flags: &[&str]) -> Result<Options> {
    let mut options = Options { count: 1, until: None, timeout: Duration::from_secs(10) };
    let bad = |flag: &str| Error::new(ErrorKind::InvalidInput, format!("get: bad flag {flag}"));
    for pair in flags.chunks(2) {
        match pair {
            ["-n", count] => options.count = count.parse().map_err(|_| bad("-n"))?,
            ["--until", text] => options.until = Some((*text).to_owned()),
            ["--timeout", seconds] => {
                options.timeout = Duration::from_secs(seconds.parse().map_err(|_| bad("--timeout"))?);
            }
            _ => return Err(bad(pair[0])),
        }
    }
    Ok(options)
}

/// One request on one connection: status and body.
pub fn get(url: &str, timeout: Duration) -> Result<(u16, String)> {
    let (authority, path) = split(url)?;
    let (host, port) = host_and_port(authority)?;
    let mut last = Error::new(ErrorKind::NotFound, format!("{host}: no address"));
    for address in dns::resolve(host)? {
        let address = SocketAddr::new(address, port);
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(mut stream) => {
                stream.set_read_timeout(Some(timeout))?;
                stream.set_write_timeout(Some(timeout))?;
                write!(stream, "GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n")?;
                return http::read_response(stream);
            }
            Err(error) => last = Error::new(error.kind(), format!("{address}: {error}")),
        }
    }
    Err(last)
}

fn split(url: &str) -> Result<(&str, &str)> {
    let rest = url.strip_prefix("http://").unwrap_or(url);
    if rest.contains("://") {
        return Err(Error::new(ErrorKind::InvalidInput, format!("{url}: only http is known")));
    }
    Ok(rest.find('/').map_or((rest, "/"), |at| rest.split_at(at)))
}

fn host_and_port(authority: &str) -> Result<(&str, u16)> {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => {
            let port =
                port.parse().map_err(|e| Error::new(ErrorKind::InvalidInput, format!("{authority}: {e}")))?;
            Ok((host, port))
        }
        _ => Ok((authority, 80)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        assert_eq!(split("http://web.ns:81/a?b").unwrap(), ("web.ns:81", "/a?b"));
        assert_eq!(split("web").unwrap(), ("web", "/"));
        assert!(split("https://web").is_err());
        assert_eq!(host_and_port("web.ns:81").unwrap(), ("web.ns", 81));
        assert_eq!(host_and_port("[::1]").unwrap(), ("[::1]", 80));
        assert_eq!(host_and_port("[::1]:8").unwrap(), ("[::1]", 8));
        assert!(host_and_port("web:x").is_err());
    }
}
