//! Compression of long answers, piece by piece. It must never hold a whole answer.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::body::Chunks;

/// The level upstream uses: speed over size.
// k8s: staging/src/k8s.io/apiserver/pkg/endpoints/handlers/responsewriters/writers.go defaultGzipContentEncodingLevel
const LEVEL: u32 = 1;

/// Compresses as it is read.
pub(crate) struct Gzip {
    source: Chunks,
    encoder: Option<GzEncoder<Vec<u8>>>,
}

impl Gzip {
    pub(crate) fn new(source: Chunks) -> Self {
        Gzip { source, encoder: Some(GzEncoder::new(Vec::new(), Compression::new(LEVEL))) }
    }

    pub(crate) fn next(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            let encoder = self.encoder.as_mut()?;
            let Some(piece) = self.source.take() else {
                return self.encoder.take().map(|e| e.finish().map(Bytes::from));
            };
            if let Err(e) = encoder.write_all(&piece) {
                self.encoder = None;
                return Some(Err(e));
            }
            let out = std::mem::take(encoder.get_mut());
            if !out.is_empty() {
                return Some(Ok(out.into()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn round_trip() {
        let pieces: Vec<Bytes> = (0..5000).map(|i| Bytes::from(format!("{{\"item\":{i}}},"))).collect();
        let want: Vec<u8> = pieces.iter().flat_map(|b| b.to_vec()).collect();
        let mut gzip = Gzip::new(Chunks::new(pieces));
        let mut packed = Vec::new();
        while let Some(frame) = gzip.next() {
            packed.extend_from_slice(&frame.expect("memory does not fail"));
        }
        assert!(packed.len() < want.len() / 2);
        let mut got = Vec::new();
        flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut got).expect("valid gzip");
        assert_eq!(got, want);
    }
}
