//! Bytes of objects and heads of lists in what format and form was asked for. Plain JSON is never reserialized.

use std::borrow::Cow;

use bytes::Bytes;
use meta::{Body, Response, Status};
use schema::TypeRef;

use crate::codec::{self, Format};
use crate::registry::Resource;
use crate::request::{Accepted, JSON, YAML};
use crate::storage::peek;

/// Lists of up to so many objects are sent as one body of shared slices; larger ones are streamed.
pub(crate) const CHUNKED_OBJECTS: usize = 256;
/// Size of the pieces of a streamed list.
pub(crate) const PIECE_BYTES: usize = 64 << 10;

/// Bytes in the served form.
pub(crate) fn served(resource: &Resource, stored: Bytes) -> Result<Bytes, Status> {
    match resource.kind.storage {
        kinds::Storage::As(conversion) => {
            let value = codec::stored(&stored, resource.stored_ty())?;
            Ok(codec::encode(&(conversion.from_storage)(value), resource.ty()).into())
        }
        _ => Ok(stored),
    }
}

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

/// A list item: the object without kind and apiVersion.
pub(super) fn item(resource: &Resource, entry: &watchcache::Entry) -> Result<Vec<u8>, Status> {
    let mut out = b"{".to_vec();
    if resource.is_own_storage() {
        out.extend_from_slice(&entry.item_tail());
        return Ok(out);
    }
    let served = served(resource, entry.object())?;
    let at = find(&served, b"\"metadata\":").unwrap_or(1);
    out.extend_from_slice(&served[at..]);
    Ok(out)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|w| w == needle)
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
