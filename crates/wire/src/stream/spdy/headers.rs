//! The compressed header blocks of SPDY/3. They must never grow beyond a limit when unpacked.
// SPDY Protocol, Draft 3.1, 2.6.10 Name/Value header block

use std::io;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::Headers;
use super::frame::bad;

const LIMIT_BYTES: usize = 64 << 10;
const PAIR_LIMIT: u32 = 256;

/// The words that both sides know, each behind its length.
const WORDS: &str = "options head post put delete trace accept accept-charset accept-encoding \
accept-language accept-ranges age allow authorization cache-control connection content-base \
content-encoding content-language content-length content-location content-md5 content-range \
content-type date etag expect expires from host if-match if-modified-since if-none-match if-range \
if-unmodified-since last-modified location max-forwards pragma proxy-authenticate \
proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade \
user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public \
set-cookie keep-alive origin";
/// The text behind them.
const TEXT: &str = "10010120120220520630030230330430530630740240540640740840941041141241341441541641750\
2504505203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 \
Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May \
Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, \
GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,\
text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

fn dictionary() -> Vec<u8> {
    let mut out = Vec::with_capacity(1423);
    for word in WORDS.split(' ') {
        let word = word.replace('_', " ");
        push_text(&mut out, &word);
    }
    out.extend_from_slice(TEXT.as_bytes());
    out
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// Packs the header blocks of one direction.
pub(super) struct Compressor(Compress);

impl Compressor {
    pub(super) fn new() -> Self {
        let mut inner = Compress::new(Compression::best(), true);
        // A compressor that has seen nothing takes any dictionary.
        let _ = inner.set_dictionary(&dictionary());
        Compressor(inner)
    }

    /// Appends the block.
    pub(super) fn write(&mut self, headers: &[(String, String)], out: &mut Vec<u8>) -> io::Result<()> {
        let mut plain = u32::try_from(headers.len()).unwrap_or(u32::MAX).to_be_bytes().to_vec();
        for (name, value) in headers {
            push_text(&mut plain, &name.to_ascii_lowercase());
            push_text(&mut plain, value);
        }
        let start = self.0.total_in();
        loop {
            out.reserve(plain.len() + 64);
            let done = usize::try_from(self.0.total_in() - start).unwrap_or(usize::MAX);
            self.0.compress_vec(&plain[done..], out, FlushCompress::Sync).map_err(io::Error::other)?;
            // A flush is complete when there was room left behind it.
            if self.0.total_in() - start == plain.len() as u64 && out.len() < out.capacity() {
                return Ok(());
            }
        }
    }
}

/// Unpacks the header blocks of one direction.
pub(super) struct Decompressor(Decompress);

impl Decompressor {
    pub(super) fn new() -> Self {
        Decompressor(Decompress::new(true))
    }

    pub(super) fn read(&mut self, block: &[u8]) -> io::Result<Headers> {
        if block.is_empty() {
            return Ok(Vec::new());
        }
        let plain = self.unpack(block)?;
        parse(&plain).ok_or_else(|| bad("a broken header block"))
    }

    fn unpack(&mut self, block: &[u8]) -> io::Result<Vec<u8>> {
        let start = self.0.total_in();
        let mut out = Vec::with_capacity(1024);
        loop {
            let done = usize::try_from(self.0.total_in() - start).unwrap_or(usize::MAX);
            let before = (done, out.len());
            let rest = block.get(done..).unwrap_or_default();
            match self.0.decompress_vec(rest, &mut out, FlushDecompress::Sync) {
                Ok(Status::StreamEnd) => return Ok(out),
                Ok(Status::Ok | Status::BufError) => {}
                Err(e) if e.needs_dictionary().is_some() => {
                    self.0.set_dictionary(&dictionary()).map_err(io::Error::other)?;
                    continue;
                }
                Err(e) => return Err(io::Error::other(e)),
            }
            if out.len() > LIMIT_BYTES {
                return Err(bad("a header block over the limit"));
            }
            let done = usize::try_from(self.0.total_in() - start).unwrap_or(usize::MAX);
            if done >= block.len() && out.len() < out.capacity() {
                return Ok(out);
            }
            if out.len() == out.capacity() {
                out.reserve(4096);
            } else if (done, out.len()) == before {
                return Err(bad("a broken header block"));
            }
        }
    }
}

fn parse(mut plain: &[u8]) -> Option<Headers> {
    fn number(from: &mut &[u8]) -> Option<u32> {
        let (head, tail) = from.split_first_chunk::<4>()?;
        *from = tail;
        Some(u32::from_be_bytes(*head))
    }
    fn text(from: &mut &[u8]) -> Option<String> {
        let length = number(from)? as usize;
        let (head, tail) = from.split_at_checked(length)?;
        *from = tail;
        Some(String::from_utf8_lossy(head).into_owned())
    }
    let pairs = number(&mut plain).filter(|n| *n <= PAIR_LIMIT)?;
    (0..pairs).map(|_| Some((text(&mut plain)?.to_ascii_lowercase(), text(&mut plain)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_dictionary_is_the_specified_one() {
        let mut packed = Vec::new();
        Compressor::new().write(&[], &mut packed).expect("packs");
        // zlib's header, a preset dictionary, and that dictionary's checksum.
        assert_eq!(packed[1] & 0x20, 0x20);
        assert_eq!(packed[2..6], [0xe3, 0xc6, 0xa7, 0xc2]);
        assert_eq!(dictionary().len(), 1423);
    }

    #[test]
    fn blocks_share_their_state() {
        let (mut pack, mut unpack) = (Compressor::new(), Decompressor::new());
        for i in 0..50 {
            let headers =
                vec![("streamtype".to_owned(), format!("data{i}")), ("port".to_owned(), "x".repeat(i * 40))];
            let mut block = Vec::new();
            pack.write(&headers, &mut block).expect("packs");
            assert_eq!(unpack.read(&block).expect("unpacks"), headers);
        }
    }

    #[test]
    fn bombs_are_refused() {
        let mut block = Vec::new();
        let headers = vec![("a".to_owned(), "x".repeat(1 << 20))];
        Compressor::new().write(&headers, &mut block).expect("packs");
        assert!(Decompressor::new().read(&block).is_err());
    }

    proptest! {
        #[test]
        fn never_panics(block in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Decompressor::new().read(&block);
            let _ = parse(&block);
        }
    }
}
