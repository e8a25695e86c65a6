//! One way over WebSocket: the events of a watch and the bytes of a log, a message each. It must never wait for a
//! client that does not read (the socket below gives up), and never look at what a client sends.
// k8s: staging/src/k8s.io/apiserver/pkg/endpoints/handlers/watch.go HandleWS,
// staging/src/k8s.io/apimachinery/pkg/util/httpstream/wsstream/stream.go Reader

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::{SinkExt, Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use super::websocket::{goodbye, linger, socket};

/// The subprotocols that clients may ask for.
pub(crate) const PROTOCOLS: [&str; 3] = ["", BINARY, BASE64];
const BINARY: &str = "binary.k8s.io";
const BASE64: &str = "base64.binary.k8s.io";

/// What the messages are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// JSON events.
    Text,
    /// Protobuf events, each with its length in four bytes in front, which a message does not need.
    Framed,
    /// Bytes of a log. An empty message comes first.
    Log,
}

/// Sends every item as a message, then closes. Ends as soon as the client closes.
pub(crate) async fn serve<S, E>(
    io: S,
    items: impl Stream<Item = Result<Bytes, E>> + Send,
    content: Content,
    protocol: &str,
) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let (mut sink, mut stream) = socket(io).await.split();
    let send = async {
        let mut items = std::pin::pin!(items);
        if content == Content::Log {
            sink.send(message(Bytes::new(), content, protocol)).await?;
        }
        // What fails ends early: there is no other way to say so.
        while let Some(Ok(item)) = items.next().await {
            sink.send(message(item, content, protocol)).await?;
        }
        sink.send(goodbye()).await
    };
    let closed = async {
        while let Some(Ok(received)) = stream.next().await {
            if received.is_close() {
                return;
            }
        }
    };
    tokio::select! {
        sent = send => sent?,
        () = closed => return Ok(()),
    }
    match sink.reunite(stream) {
        Ok(ws) => linger(ws.into_inner()).await.map_err(Error::Io),
        Err(_) => Ok(()),
    }
}

fn message(item: Bytes, content: Content, protocol: &str) -> Message {
    const LENGTH_BYTES: usize = 4;
    let item = if content == Content::Framed { item.slice(LENGTH_BYTES.min(item.len())..) } else { item };
    if protocol == BASE64 {
        return Message::text(STANDARD.encode(&item));
    }
    if content == Content::Text
        && protocol.is_empty()
        && let Ok(text) = Utf8Bytes::try_from(item.clone())
    {
        return Message::Text(text);
    }
    Message::Binary(item)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_by_content_and_protocol() {
        let item = || Bytes::from_static(b"0004{}");
        for (content, protocol, want) in [
            (Content::Text, "", Message::text("0004{}")),
            (Content::Text, BINARY, Message::binary(item())),
            (Content::Text, BASE64, Message::text("MDAwNHt9")),
            (Content::Framed, "", Message::binary(&b"{}"[..])),
            (Content::Framed, BASE64, Message::text("e30=")),
            (Content::Log, "", Message::binary(item())),
            (Content::Log, BINARY, Message::binary(item())),
            (Content::Log, BASE64, Message::text("MDAwNHt9")),
        ] {
            assert_eq!(message(item(), content, protocol), want, "{content:?} {protocol}");
        }
    }
}
