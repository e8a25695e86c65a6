//! SPDY/3.1 over one connection, either side, as far as Kubernetes uses it. Clients of that kind never send
//! window updates, so none are waited for; a stream that is not read holds up the connection instead.
// k8s: staging/src/k8s.io/apimachinery/pkg/util/httpstream/spdy/connection.go

mod frame;
mod headers;

use std::collections::HashMap;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, BufWriter, ReadHalf, WriteHalf,
};
use tokio::sync::mpsc;

use super::pipe::{Input, Output, PIECE_BYTES, Packet, QUEUE};
use frame::{Control, Head};
use headers::{Compressor, Decompressor};

/// Streams open at once.
const STREAM_LIMIT: usize = 1024;
/// Answers to the peer that wait to be written.
const CONTROL_QUEUE: usize = 256;
/// What a finished side waits for the other to close.
const LINGER: Duration = Duration::from_secs(5);

/// Headers of a stream, names in lower case.
pub(super) type Headers = Vec<(String, String)>;

/// Which side of the connection this is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Server,
}

/// A stream that the peer opened.
pub(super) struct Opened {
    pub(super) headers: Headers,
    pub(super) input: Input,
    pub(super) output: Output,
}

impl Opened {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(k, _)| k == name).map_or("", |(_, v)| v.as_str())
    }
}

type Table = Arc<Mutex<HashMap<u32, mpsc::Sender<Bytes>>>>;

/// Opens streams. The connection lives while this or an output does.
pub(super) struct Handle {
    control: mpsc::Sender<Control>,
    data: mpsc::Sender<Packet>,
    table: Table,
    next: AtomicU32,
}

impl Handle {
    /// Opens a stream with these headers.
    pub(super) async fn open(&self, headers: Headers) -> io::Result<(Input, Output)> {
        let id = self.next.fetch_add(2, Ordering::Relaxed);
        let (sender, input) = Input::new();
        self.table.lock().insert(id, sender);
        let gone = |_| io::Error::new(io::ErrorKind::BrokenPipe, "the connection is gone");
        self.control.send(Control::Open { stream: id, headers }).await.map_err(gone)?;
        Ok((input, Output::new(id, self.data.clone())))
    }
}

/// The two directions of a connection, to be run.
pub(super) struct Engine<S> {
    io: S,
    control: (mpsc::Sender<Control>, mpsc::Receiver<Control>),
    data: (mpsc::WeakSender<Packet>, mpsc::Receiver<Packet>),
    opened: mpsc::Sender<Opened>,
    table: Table,
    side: Side,
}

/// A connection: what runs it, what opens streams, and the streams that the peer opens.
pub(super) fn new<S>(io: S, side: Side) -> (Engine<S>, Handle, mpsc::Receiver<Opened>) {
    let (control_tx, control_rx) = mpsc::channel(CONTROL_QUEUE);
    let (data_tx, data_rx) = mpsc::channel(QUEUE);
    let (opened_tx, opened_rx) = mpsc::channel(QUEUE);
    let table = Table::default();
    let handle = Handle {
        control: control_tx.clone(),
        data: data_tx.clone(),
        table: Arc::clone(&table),
        next: AtomicU32::new(if side == Side::Client { 1 } else { 2 }),
    };
    let engine = Engine {
        io,
        control: (control_tx, control_rx),
        data: (data_tx.downgrade(), data_rx),
        opened: opened_tx,
        table,
        side,
    };
    (engine, handle, opened_rx)
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Engine<S> {
    /// Runs until the peer closes, or this side has ended all streams and dropped its handle.
    pub(super) async fn run(self) -> io::Result<()> {
        let (read, write) = tokio::io::split(self.io);
        let reader = Reader {
            io: BufReader::with_capacity(64 << 10, read),
            control: self.control.0,
            data: self.data.0,
            opened: self.opened,
            table: Arc::clone(&self.table),
            inflate: Decompressor::new(),
        };
        // Readers of streams that will never get more must not wait.
        let table = self.table;
        let result = {
            let mut reading = pin!(reader.run());
            tokio::select! {
                r = &mut reading => r,
                r = write_all(write, self.control.1, self.data.1) => match r {
                    // The client closes first: it knows when it has read all.
                    Ok(()) if self.side == Side::Client => Ok(()),
                    Ok(()) => tokio::time::timeout(LINGER, reading).await.unwrap_or(Ok(())),
                    Err(e) => Err(e),
                },
            }
        };
        table.lock().clear();
        result
    }
}

async fn write_all<W: AsyncWrite + Unpin>(
    write: WriteHalf<W>,
    mut control: mpsc::Receiver<Control>,
    mut data: mpsc::Receiver<Packet>,
) -> io::Result<()> {
    let mut io = BufWriter::with_capacity(64 << 10, write);
    let mut deflate = Compressor::new();
    loop {
        tokio::select! {
            biased;
            Some(c) = control.recv() => io.write_all(&c.encode(&mut deflate)?).await?,
            packet = data.recv() => match packet {
                Some(p) => {
                    // What has a stream opened goes before what is sent in it.
                    while let Ok(c) = control.try_recv() {
                        io.write_all(&c.encode(&mut deflate)?).await?;
                    }
                    io.write_all(&frame::data_head(p.stream, p.data.len(), p.end)).await?;
                    io.write_all(&p.data).await?;
                }
                None => break,
            },
        }
        if control.is_empty() && data.is_empty() {
            io.flush().await?;
        }
    }
    while let Ok(c) = control.try_recv() {
        io.write_all(&c.encode(&mut deflate)?).await?;
    }
    io.flush().await
}

struct Reader<S> {
    io: BufReader<ReadHalf<S>>,
    control: mpsc::Sender<Control>,
    data: mpsc::WeakSender<Packet>,
    opened: mpsc::Sender<Opened>,
    table: Table,
    inflate: Decompressor,
}

impl<S: AsyncRead + Unpin> Reader<S> {
    async fn run(mut self) -> io::Result<()> {
        loop {
            let mut head = [0; 8];
            match self.io.read_exact(&mut head).await {
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(e) => return Err(e),
            }
            match Head::parse(head)? {
                Head::Data { stream, length, end } => self.read_data(stream, length, end).await?,
                Head::Control { kind, flags, length } => {
                    let mut body = vec![0; length];
                    self.io.read_exact(&mut body).await?;
                    self.read_control(kind, flags, &body).await?;
                }
            }
        }
    }

    async fn read_data(&mut self, stream: u32, length: usize, end: bool) -> io::Result<()> {
        let mut left = length;
        while left > 0 {
            let mut piece = BytesMut::zeroed(left.min(PIECE_BYTES));
            self.io.read_exact(&mut piece).await?;
            left -= piece.len();
            let sender = self.table.lock().get(&stream).cloned();
            // Nobody reads it: it is thrown away.
            if let Some(sender) = sender {
                let _ = sender.send(piece.freeze()).await;
            }
        }
        if end {
            self.table.lock().remove(&stream);
        }
        Ok(())
    }

    async fn read_control(&mut self, kind: u16, flags: u8, body: &[u8]) -> io::Result<()> {
        match kind {
            frame::SYN_STREAM => {
                let stream = frame::stream_id(body)?;
                let block = body.get(10..).ok_or_else(|| frame::bad("a short SYN_STREAM"))?;
                let headers = self.inflate.read(block)?;
                self.open(stream, headers, flags & frame::FLAG_FIN != 0).await
            }
            frame::SYN_REPLY | frame::HEADERS => {
                let stream = frame::stream_id(body)?;
                // Not looked at, but the compression's state goes on through it.
                self.inflate.read(body.get(4..).unwrap_or_default())?;
                if flags & frame::FLAG_FIN != 0 {
                    self.table.lock().remove(&stream);
                }
                Ok(())
            }
            frame::RST_STREAM => {
                self.table.lock().remove(&frame::stream_id(body)?);
                Ok(())
            }
            frame::PING => {
                let id = frame::number(body)?;
                // The peer's own pings only; this side sends none.
                self.answer(Control::Ping { id })
            }
            // After a GOAWAY open streams go on.
            frame::GOAWAY | frame::SETTINGS | frame::WINDOW_UPDATE => Ok(()),
            _ => Ok(()),
        }
    }

    async fn open(&mut self, stream: u32, headers: Headers, end: bool) -> io::Result<()> {
        let Some(data) = self.data.upgrade() else { return Ok(()) };
        let full = {
            let table = self.table.lock();
            table.len() >= STREAM_LIMIT || table.contains_key(&stream)
        };
        if full {
            return self.answer(Control::Reset { stream, status: frame::REFUSED_STREAM });
        }
        let (sender, input) = Input::new();
        if !end {
            self.table.lock().insert(stream, sender);
        }
        self.answer(Control::Reply { stream })?;
        let _ = self.opened.send(Opened { headers, input, output: Output::new(stream, data) }).await;
        Ok(())
    }

    fn answer(&self, control: Control) -> io::Result<()> {
        self.control.try_send(control).map_err(|_| frame::bad("the peer does not read its answers"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn streams_carry_data_both_ways_with_half_close() {
        let (near, far) = tokio::io::duplex(4096);
        let (client, handle, _) = new(near, Side::Client);
        let (server, server_handle, mut opened) = new(far, Side::Server);
        let serving = async {
            let mut s = opened.recv().await.expect("a stream");
            assert_eq!(s.header("streamtype"), "echo");
            let mut all = Vec::new();
            s.input.read_to_end(&mut all).await.expect("until the half close");
            s.output.write_all(&all).await.expect("writes");
            drop((s, server_handle));
        };
        let asking = async {
            let (mut input, mut output) =
                handle.open(vec![("streamType".into(), "echo".into())]).await.expect("opens");
            let sent: Vec<u8> = (0..1_000_000u32).map(|i| i as u8).collect();
            output.write_all(&sent).await.expect("writes");
            output.shutdown().await.expect("ends");
            let mut got = Vec::new();
            input.read_to_end(&mut got).await.expect("reads");
            assert!(got == sent, "{} bytes", got.len());
            drop((handle, output));
        };
        let (a, b, (), ()) = tokio::join!(client.run(), server.run(), serving, asking);
        a.and(b).expect("a clean end");
    }

    #[tokio::test]
    async fn garbage_ends_the_connection() {
        for bytes in
            [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x80\x03\x00\x01\x00\xff\xff\xff", b"\x80\x02\x00\x01\0\0\0\0"]
        {
            let (mut near, far) = tokio::io::duplex(4096);
            let (server, _handle, _opened) = new(far, Side::Server);
            near.write_all(bytes).await.expect("writes");
            drop(near);
            let _ = server.run().await;
        }
    }
}
