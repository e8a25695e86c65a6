//! As much of HTTP/1.1 as one request a connection needs, on both sides.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Write};

/// Longest line and most header lines taken.
const LINE_LIMIT_BYTES: u64 = 64 * 1024;
const HEADER_LIMIT: usize = 200;
/// Largest body taken.
const BODY_LIMIT_BYTES: u64 = 64 * 1024 * 1024;

/// A request: method, path without query, and the query's parameters.
pub struct Request {
    pub method: String,
    pub path: String,
    pub query: BTreeMap<String, String>,
}

/// Reads a request's head; [`None`] when the peer closed without one.
pub fn read_request(stream: impl Read) -> Result<Option<Request>> {
    let mut reader = BufReader::new(stream);
    let Some(first) = read_line(&mut reader)? else { return Ok(None) };
    let mut words = first.split(' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Err(Error::new(ErrorKind::InvalidData, "not an HTTP request"));
    };
    read_headers(&mut reader)?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let query = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (name.to_owned(), value.to_owned())
    });
    Ok(Some(Request { method: method.to_owned(), path: path.to_owned(), query: query.collect() }))
}

/// Writes a whole answer and says that the connection ends.
pub fn write_response(mut stream: impl Write, status: u16, body: &str) -> Result<()> {
    let reason = match status {
        200 => "OK",
        404 => "Not Found",
        405 => "Method Not Allowed",
        503 => "Service Unavailable",
        _ => "Status",
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )?;
    stream.flush()
}

/// Reads an answer: status and body.
pub fn read_response(stream: impl Read) -> Result<(u16, String)> {
    let mut reader = BufReader::new(stream);
    let first = read_line(&mut reader)?.ok_or_else(|| Error::new(ErrorKind::UnexpectedEof, "no answer"))?;
    let status = first.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| Error::new(ErrorKind::InvalidData, "not an HTTP answer"))?;
    let headers = read_headers(&mut reader)?;
    let mut body = Vec::new();
    if headers.get("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        read_chunks(&mut reader, &mut body)?;
    } else {
        let length = headers.get("content-length").and_then(|value| value.parse().ok());
        reader.take(length.unwrap_or(BODY_LIMIT_BYTES).min(BODY_LIMIT_BYTES)).read_to_end(&mut body)?;
    }
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

fn read_chunks(reader: &mut impl BufRead, body: &mut Vec<u8>) -> Result<()> {
    loop {
        let line = read_line(reader)?.unwrap_or_default();
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16).map_err(|e| Error::new(ErrorKind::InvalidData, e))?;
        if size == 0 || body.len() as u64 + size > BODY_LIMIT_BYTES {
            return Ok(());
        }
        reader.take(size).read_to_end(body)?;
        read_line(reader)?;
    }
}

fn read_headers(reader: &mut impl BufRead) -> Result<BTreeMap<String, String>> {
    let mut headers = BTreeMap::new();
    for _ in 0..HEADER_LIMIT {
        let line = read_line(reader)?.unwrap_or_default();
        if line.is_empty() {
            return Ok(headers);
        }
        if let Some((name, value)) = line.split_once(':') {
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    Err(Error::new(ErrorKind::InvalidData, "too many headers"))
}

fn read_line(reader: &mut impl BufRead) -> Result<Option<String>> {
    let mut line = Vec::new();
    if reader.take(LINE_LIMIT_BYTES).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    Ok(Some(String::from_utf8_lossy(&line).trim_end().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_with_query() {
        let request = read_request(&b"POST /ready?value=false&x HTTP/1.1\r\nHost: a\r\n\r\n"[..]);
        let request = request.unwrap().unwrap();
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/ready"));
        assert_eq!(request.query["value"], "false");
        assert!(read_request(&b""[..]).unwrap().is_none());
        assert!(read_request(&b"nonsense\r\n\r\n"[..]).is_err());
    }

    #[test]
    fn answers_with_length_and_in_chunks() {
        let mut written = Vec::new();
        write_response(&mut written, 503, "not ready\n").unwrap();
        assert_eq!(read_response(written.as_slice()).unwrap(), (503, "not ready\n".into()));
        let chunked =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n";
        assert_eq!(read_response(chunked.as_bytes()).unwrap(), (200, "hello!".into()));
    }
}
