//! Bytes of objects and heads of lists in what format and form was asked for. Plain JSON is never reserialized.

use std::borrow::Cow;

use bytes::Bytes;
use meta::{Body, Response, Status};
use schema::TypeRef;

use crate::codec::{self, Format};
use crate::request::{Accepted, JSON, YAML};
use crate::storage::peek;

/// Lists of up to so many objects are sent as one body of shared slices; larger ones are streamed.
pub(crate) const CHUNKED_OBJECTS: usize = 256;
/// Size of the pieces of a streamed list.
pub(crate) const PIECE_BYTES: usize = 64 << 10;

/// Any API object as JSON, in the accepted format.
pub(crate) fn encoded(
    accepted: &Accepted,
    code: u16,
    json: Bytes,
    ty: Option<TypeRef<'_>>,
) -> Result<Response, Status> {
    let bytes: Bytes = match accepted.format {
        Format::Json if accepted.pretty => codec::pretty(&json),
        Format::Json => json,
        Format::Yaml => codec::json_to_yaml(&json)?.into(),
        Format::Protobuf => {
            let ty = ty.ok_or_else(|| Status::not_acceptable(&[JSON, YAML]))?;
            codec::json_to_protobuf(&json, ty)?.into()
        }
    };
    Ok(Response::new(code, accepted.format.media_type(), Body::Full(bytes)))
}

/// Only the metadata of an object.
pub(crate) fn partial(object: &[u8], kind: &str, version: &str) -> Bytes {
    let metadata: Cow<'_, [u8]> = peek::raw_metadata(object);
    let mut out =
        format!("{{\"kind\":\"{kind}\",\"apiVersion\":\"meta.k8s.io/{version}\",\"metadata\":").into_bytes();
    out.extend_from_slice(&metadata);
    out.push(b'}');
    out.into()
}

/// `{"kind":"PodList",...,"items":[`.
pub(crate) fn head(
    kind: &str,
    api_version: &str,
    revision: u64,
    token: &str,
    remaining: Option<usize>,
) -> String {
    let mut metadata = format!("{{\"resourceVersion\":\"{revision}\"");
    if !token.is_empty() {
        metadata.push_str(&format!(",\"continue\":\"{token}\""));
    }
    if let Some(n) = remaining {
        metadata.push_str(&format!(",\"remainingItemCount\":{n}"));
    }
    format!(
        "{{\"kind\":\"{kind}List\",\"apiVersion\":\"{api_version}\",\"metadata\":{metadata}}},\"items\":["
    )
}
