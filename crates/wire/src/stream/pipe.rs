//! The ends of one stream inside a shared connection, as `AsyncRead` and `AsyncWrite`. They must never hold
//! more than a bounded number of pieces: a slow end slows the other down.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio_util::sync::PollSender;

/// Pieces that wait in one stream, either way.
pub(crate) const QUEUE: usize = 32;
/// Longest piece.
pub(crate) const PIECE_BYTES: usize = 32 << 10;

/// A piece of one stream on its way to the connection's writer.
#[derive(Debug)]
pub(crate) struct Packet {
    pub(crate) stream: u32,
    pub(crate) data: Bytes,
    /// Nothing follows in this stream.
    pub(crate) end: bool,
}

/// Reads what the other end sends in one stream.
#[derive(Debug)]
pub struct Input {
    pieces: mpsc::Receiver<Bytes>,
    current: Bytes,
}

impl Input {
    pub(crate) fn new() -> (mpsc::Sender<Bytes>, Self) {
        let (sender, pieces) = mpsc::channel(QUEUE);
        (sender, Input { pieces, current: Bytes::new() })
    }
}

impl AsyncRead for Input {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.current.is_empty() {
            match ready!(self.pieces.poll_recv(cx)) {
                Some(piece) => self.current = piece,
                None => return Poll::Ready(Ok(())),
            }
        }
        let n = self.current.len().min(buf.remaining());
        buf.put_slice(&self.current[..n]);
        self.current.advance(n);
        Poll::Ready(Ok(()))
    }
}

/// Sends in one stream. Shutting it down, or dropping it, ends the stream.
#[derive(Debug)]
pub struct Output {
    stream: u32,
    sender: PollSender<Packet>,
    ended: bool,
}

impl Output {
    pub(crate) fn new(stream: u32, sender: mpsc::Sender<Packet>) -> Self {
        Output { stream, sender: PollSender::new(sender), ended: false }
    }

    /// Sends a piece as it is, an empty one too.
    pub(crate) async fn send(&mut self, data: Bytes) -> io::Result<()> {
        let packet = Packet { stream: self.stream, data, end: false };
        match self.sender.get_ref() {
            Some(sender) => sender.send(packet).await.map_err(|_| gone()),
            None => Err(gone()),
        }
    }

    fn poll_packet(&mut self, cx: &mut Context<'_>, data: &[u8], end: bool) -> Poll<io::Result<()>> {
        if ready!(self.sender.poll_reserve(cx)).is_err() {
            return Poll::Ready(Err(gone()));
        }
        let packet = Packet { stream: self.stream, data: Bytes::copy_from_slice(data), end };
        Poll::Ready(self.sender.send_item(packet).map_err(|_| gone()))
    }
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the connection is gone")
}

impl AsyncWrite for Output {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.ended {
            return Poll::Ready(Err(gone()));
        }
        let n = buf.len().min(PIECE_BYTES);
        if n == 0 {
            return Poll::Ready(Ok(0));
        }
        ready!(self.poll_packet(cx, &buf[..n], false))?;
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.ended {
            ready!(self.poll_packet(cx, &[], true))?;
            self.ended = true;
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        // A reserved place is given back first.
        self.sender.abort_send();
        let Some(sender) = self.sender.get_ref() else { return };
        let packet = Packet { stream: self.stream, data: Bytes::new(), end: true };
        // The end is never lost: where there is no room for it now, it waits for some.
        if let Err(TrySendError::Full(packet)) = sender.try_send(packet)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let sender = sender.clone();
            runtime.spawn(async move { sender.send(packet).await });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_drop_ends_the_stream_even_when_the_queue_is_full() {
        use tokio::io::AsyncWriteExt;
        let (sender, mut packets) = mpsc::channel(1);
        let mut output = Output::new(7, sender);
        output.write_all(b"x").await.expect("there is room");
        drop(output);
        assert_eq!(packets.recv().await.map(|p| (p.stream, p.end)), Some((7, false)));
        assert_eq!(packets.recv().await.map(|p| (p.stream, p.end)), Some((7, true)));
        assert!(packets.recv().await.is_none());
    }
}
