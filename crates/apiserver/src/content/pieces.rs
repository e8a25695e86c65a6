//! Large lists in forms that are made object by object (protobuf, only metadata): made while they are sent, so
//! that nothing of the size of the list is ever in memory. A protobuf list says its length first; the objects
//! are made twice for that, once to be measured.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use meta::{Body, Response, Status};
use schema::{TypeRef, protobuf};
use watchcache::Entry;

use super::encode::{PIECE_BYTES, head, partial};
use crate::codec::{self, Format};
use crate::registry::Resource;
use crate::request::{Accepted, Form, JSON, YAML};
use crate::storage::page::Page;

/// Most objects measured before others run.
const MEASURED_PER_POLL: usize = 256;
/// Numbers of the fields of every list type.
const METADATA: u8 = 1;
const ITEMS: u8 = 2;

/// Whether a list in this form can be made object by object.
pub(super) fn can_send(accepted: &Accepted) -> bool {
    let by_object = matches!(accepted.form, Form::Plain | Form::Metadata { .. });
    by_object && !accepted.pretty && matches!(accepted.format, Format::Json | Format::Protobuf)
}

/// Answers with the page as a stream.
///
/// # Errors
/// 406 when the type has no protobuf form.
pub(super) fn list(resource: &Arc<Resource>, accepted: &Accepted, page: Page) -> Result<Response, Status> {
    let (kind, api_version) = match accepted.form {
        Form::Metadata { version } => ("PartialObjectMetadata", format!("meta.k8s.io/{version}")),
        _ => (&*resource.kind.kind, resource.gvr.api_version()),
    };
    let head = head(kind, &api_version, page.revision, &page.token, page.remaining);
    let objects = Objects { resource: resource.clone(), form: accepted.form, entries: page.entries };
    let body: Body = match accepted.format {
        Format::Protobuf => {
            let list_kind = format!("{kind}List");
            let list_ty = match accepted.form {
                Form::Metadata { .. } => schema::type_of("meta.k8s.io", "v1", &list_kind),
                _ => resource.list_ty(),
            };
            let list_ty = list_ty.filter(|list| list.has_protobuf());
            let list_ty = list_ty.ok_or_else(|| Status::not_acceptable(&[JSON, YAML]))?;
            let empty = codec::stored(format!("{head}]}}").as_bytes(), list_ty)?;
            let metadata = protobuf::encode_message(&empty, list_ty);
            debug_assert_eq!(metadata.first(), Some(&(METADATA << 3 | 2)));
            let step = Step::Measure { at: 0, bytes: metadata.len() };
            Body::Stream(Box::pin(Protobuf { objects, api_version, list_kind, metadata, step }))
        }
        _ => Body::Stream(Box::pin(Json { objects, head: Some(head), at: 0, done: false })),
    };
    Ok(Response::new(200, accepted.format.media_type(), body))
}

struct Objects {
    resource: Arc<Resource>,
    form: Form,
    entries: Vec<Arc<Entry>>,
}

impl Objects {
    /// The type of each.
    fn ty(&self) -> TypeRef<'_> {
        match self.form {
            Form::Metadata { .. } => schema::type_of("meta.k8s.io", "v1", "PartialObjectMetadata"),
            _ => None,
        }
        .unwrap_or_else(|| self.resource.ty())
    }

    fn json(&self, at: usize) -> Option<Result<Vec<u8>, Status>> {
        let entry = self.entries.get(at)?;
        Some(match self.form {
            Form::Metadata { version } => {
                Ok(partial(entry.object_bytes(), "PartialObjectMetadata", version).into())
            }
            _ => self.resource.item(entry).map(|tail| [b"{", &*tail].concat()),
        })
    }
}

/// `{"kind":...,"items":[` and the objects with commas between them.
struct Json {
    objects: Objects,
    head: Option<String>,
    at: usize,
    done: bool,
}

impl Stream for Json {
    type Item = Result<Bytes, Status>;

    fn poll_next(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.done {
            return Poll::Ready(None);
        }
        let mut out = BytesMut::with_capacity(PIECE_BYTES + (4 << 10));
        if let Some(head) = self.head.take() {
            out.extend_from_slice(head.as_bytes());
        }
        while out.len() < PIECE_BYTES {
            let Some(object) = self.objects.json(self.at) else {
                out.extend_from_slice(b"]}\n");
                self.done = true;
                break;
            };
            match object {
                Ok(object) => {
                    out.extend_from_slice(if self.at == 0 { b"" } else { b"," });
                    out.extend_from_slice(&object);
                }
                Err(status) => {
                    self.done = true;
                    return Poll::Ready(Some(Err(status)));
                }
            }
            self.at += 1;
        }
        Poll::Ready(Some(Ok(out.freeze())))
    }
}

/// Envelope, list metadata, and the objects, each with its length.
struct Protobuf {
    objects: Objects,
    api_version: String,
    list_kind: String,
    metadata: Vec<u8>,
    step: Step,
}

enum Step {
    /// Objects before `at` are measured; the message so far has so many bytes.
    Measure {
        at: usize,
        bytes: usize,
    },
    /// Objects before `at` are sent.
    Send {
        at: usize,
        tail: Vec<u8>,
    },
    Done,
}

impl Protobuf {
    fn message(&self, at: usize) -> Option<Result<Vec<u8>, Status>> {
        let json = self.objects.json(at)?;
        let ty = self.objects.ty();
        Some(json.and_then(|json| Ok(protobuf::encode_message(&codec::stored(&json, ty)?, ty))))
    }

    /// Measures some objects; behind the last one the head of the list comes out.
    fn measure(&mut self, from: usize, mut bytes: usize) -> Result<Option<Bytes>, Status> {
        for at in from..from + MEASURED_PER_POLL {
            let Some(message) = self.message(at) else {
                let (mut head, tail) = protobuf::envelope(&self.api_version, &self.list_kind, bytes);
                head.extend_from_slice(&self.metadata);
                self.step = Step::Send { at: 0, tail };
                return Ok(Some(head.into()));
            };
            let length = message?.len();
            bytes += protobuf::field_head(ITEMS, length).len() + length;
        }
        self.step = Step::Measure { at: from + MEASURED_PER_POLL, bytes };
        Ok(None)
    }

    fn send(&mut self, from: usize, tail: Vec<u8>) -> Result<Bytes, Status> {
        let mut out = BytesMut::with_capacity(PIECE_BYTES + (4 << 10));
        let mut at = from;
        while out.len() < PIECE_BYTES {
            let Some(message) = self.message(at) else {
                out.extend_from_slice(&tail);
                self.step = Step::Done;
                return Ok(out.freeze());
            };
            let message = message?;
            out.extend_from_slice(&protobuf::field_head(ITEMS, message.len()));
            out.extend_from_slice(&message);
            at += 1;
        }
        self.step = Step::Send { at, tail };
        Ok(out.freeze())
    }
}

impl Stream for Protobuf {
    type Item = Result<Bytes, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // What fails ends the stream.
        let piece = match std::mem::replace(&mut self.step, Step::Done) {
            Step::Done => return Poll::Ready(None),
            Step::Measure { at, bytes } => self.measure(at, bytes),
            Step::Send { at, tail } => self.send(at, tail).map(Some),
        };
        match piece {
            Ok(Some(piece)) => Poll::Ready(Some(Ok(piece))),
            Ok(None) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Err(status) => Poll::Ready(Some(Err(status))),
        }
    }
}
