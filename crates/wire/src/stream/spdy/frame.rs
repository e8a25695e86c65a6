//! The frames of SPDY/3.1. Nothing here does I/O.
// SPDY Protocol, Draft 3.1, 2.2 Framing

use std::io;

use super::Headers;
use super::headers::Compressor;

pub(super) const SYN_STREAM: u16 = 1;
pub(super) const SYN_REPLY: u16 = 2;
pub(super) const RST_STREAM: u16 = 3;
pub(super) const SETTINGS: u16 = 4;
pub(super) const PING: u16 = 6;
pub(super) const GOAWAY: u16 = 7;
pub(super) const HEADERS: u16 = 8;
pub(super) const WINDOW_UPDATE: u16 = 9;
pub(super) const FLAG_FIN: u8 = 1;
pub(super) const REFUSED_STREAM: u32 = 3;

const VERSION: u16 = 3;
/// Longest control frame that is read.
const CONTROL_LIMIT_BYTES: usize = 64 << 10;

/// The first eight bytes of a frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Head {
    Data { stream: u32, length: usize, end: bool },
    Control { kind: u16, flags: u8, length: usize },
}

impl Head {
    pub(super) fn parse(b: [u8; 8]) -> io::Result<Self> {
        let length = u32::from_be_bytes([0, b[5], b[6], b[7]]) as usize;
        let first = u32::from_be_bytes([b[0], b[1], b[2], b[3]]);
        if first >> 31 == 0 {
            return Ok(Head::Data { stream: first, length, end: b[4] & FLAG_FIN != 0 });
        }
        if (first >> 16) & 0x7fff != u32::from(VERSION) {
            return Err(bad("not SPDY/3"));
        }
        if length > CONTROL_LIMIT_BYTES {
            return Err(bad("a control frame over the limit"));
        }
        Ok(Head::Control { kind: u16::from_be_bytes([b[2], b[3]]), flags: b[4], length })
    }
}

/// What a side sends besides data.
#[derive(Debug)]
pub(super) enum Control {
    Open { stream: u32, headers: Headers },
    Reply { stream: u32 },
    Reset { stream: u32, status: u32 },
    Ping { id: u32 },
}

impl Control {
    pub(super) fn encode(&self, deflate: &mut Compressor) -> io::Result<Vec<u8>> {
        let (kind, body) = match self {
            Control::Open { stream, headers } => {
                let mut body = stream.to_be_bytes().to_vec();
                // No associated stream, highest priority.
                body.extend_from_slice(&[0; 6]);
                deflate.write(headers, &mut body)?;
                (SYN_STREAM, body)
            }
            Control::Reply { stream } => {
                let mut body = stream.to_be_bytes().to_vec();
                deflate.write(&[], &mut body)?;
                (SYN_REPLY, body)
            }
            Control::Reset { stream, status } => {
                (RST_STREAM, [stream.to_be_bytes(), status.to_be_bytes()].concat())
            }
            Control::Ping { id } => (PING, id.to_be_bytes().to_vec()),
        };
        let mut out = Vec::with_capacity(8 + body.len());
        out.extend_from_slice(&(0x8000 | VERSION).to_be_bytes());
        out.extend_from_slice(&kind.to_be_bytes());
        out.push(0);
        out.extend_from_slice(&length(body.len()));
        out.extend_from_slice(&body);
        Ok(out)
    }
}

/// The first eight bytes of a data frame.
pub(super) fn data_head(stream: u32, bytes: usize, end: bool) -> [u8; 8] {
    let [a, b, c, d] = stream.to_be_bytes();
    let [x, y, z] = length(bytes);
    [a, b, c, d, u8::from(end), x, y, z]
}

fn length(bytes: usize) -> [u8; 3] {
    let [_, x, y, z] = u32::try_from(bytes).unwrap_or(u32::MAX).to_be_bytes();
    [x, y, z]
}

pub(super) fn stream_id(body: &[u8]) -> io::Result<u32> {
    number(body).map(|n| n & 0x7fff_ffff)
}

pub(super) fn number(body: &[u8]) -> io::Result<u32> {
    body.first_chunk::<4>().map(|b| u32::from_be_bytes(*b)).ok_or_else(|| bad("a short control frame"))
}

pub(super) fn bad(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("SPDY: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads() {
        assert_eq!(
            Head::parse(data_head(5, 0x01_0203, true)).expect("a data frame"),
            Head::Data { stream: 5, length: 0x01_0203, end: true }
        );
        let ping = Control::Ping { id: 7 }.encode(&mut Compressor::new()).expect("encodes");
        assert_eq!(ping, [0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 7]);
        assert!(Head::parse([0x80, 3, 0, 1, 0, 0xff, 0, 0]).is_err(), "too long");
    }
}
