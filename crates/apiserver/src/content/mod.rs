//! What a response looks like: format, form, and the bodies of objects and lists. Plain JSON is never
//! reserialized.

pub mod body;
pub mod frames;
mod negotiate;
mod pieces;
pub mod table;

use std::borrow::Cow;

use bytes::Bytes;
use meta::{Body, Response, Status};
use schema::TypeRef;

pub use negotiate::{
    Accepted, Form, Format, JSON, PROTOBUF, YAML, aggregated_discovery, body_format, media_type, negotiate,
};

use crate::peek;
use crate::registry::Resource;
use crate::server::Call;
use crate::verbs::list::{self, Page};

/// An object of the call's resource, from its cached or stored bytes with resource version.
pub(crate) fn object(
    call: &Call<'_>,
    accepted: &Accepted,
    code: u16,
    stored: Bytes,
    warnings: Vec<String>,
) -> Result<Response, Status> {
    let resource = &call.resource;
    let served = served(resource, stored)?;
    let (bytes, ty) = match accepted.form {
        Form::Plain => (served, Some(resource.ty)),
        Form::Table { version } => {
            let include = table::Include::parse(&call.request.query)?;
            let mut out = table::Table::new(resource, version, include, call.now);
            out.row(&served)?;
            let revision = peek::metadata(&served).resource_version;
            (out.finish(&revision, "", None), schema::type_of("meta.k8s.io", "v1", "Table"))
        }
        Form::Metadata { version } => (
            partial(&served, "PartialObjectMetadata", version),
            schema::type_of("meta.k8s.io", "v1", "PartialObjectMetadata"),
        ),
    };
    let mut response = encoded(accepted, code, bytes, ty)?;
    response.warnings = warnings;
    Ok(response)
}

/// Bytes in the served form.
pub(crate) fn served(resource: &Resource, stored: Bytes) -> Result<Bytes, Status> {
    match resource.kind.storage {
        kinds::Storage::As(conversion) => {
            let value = crate::codec::stored(&stored, resource.stored_ty)?;
            Ok(crate::codec::encode(&(conversion.from_storage)(value), resource.ty).into())
        }
        _ => Ok(stored),
    }
}

/// Any API object as JSON, in the accepted format.
pub(crate) fn encoded(
    accepted: &Accepted,
    code: u16,
    json: Bytes,
    ty: Option<TypeRef<'static>>,
) -> Result<Response, Status> {
    let bytes: Bytes = match accepted.format {
        Format::Json if accepted.pretty => crate::codec::pretty(&json),
        Format::Json => json,
        Format::Yaml => crate::codec::json_to_yaml(&json)?.into(),
        Format::Protobuf => {
            let ty = ty.ok_or_else(|| Status::not_acceptable(&[JSON, YAML]))?;
            crate::codec::json_to_protobuf(&json, ty)?.into()
        }
    };
    Ok(Response::new(code, accepted.format.media_type(), Body::Full(bytes)))
}

/// A page that is not sent as plain slices.
pub(crate) fn list(call: &Call<'_>, accepted: &Accepted, page: Page) -> Result<Response, Status> {
    let resource = &call.resource;
    if page.entries.len() > list::CHUNKED_OBJECTS && pieces::can_send(accepted) {
        return pieces::list(resource, accepted, page);
    }
    let (bytes, ty): (Bytes, _) = match accepted.form {
        Form::Plain => {
            let api_version = resource.gvr.api_version();
            let kind = &resource.kind.kind;
            let head = list::head(kind, &api_version, page.revision, &page.token, page.remaining);
            let mut out = head.into_bytes();
            for (i, entry) in page.entries.iter().enumerate() {
                out.extend_from_slice(if i == 0 { b"" } else { b"," });
                out.extend_from_slice(&item(resource, entry)?);
            }
            out.extend_from_slice(b"]}\n");
            let ty = schema::type_of(&resource.gvr.group, &resource.gvr.version, &format!("{kind}List"));
            (out.into(), ty)
        }
        Form::Table { version } => {
            let include = table::Include::parse(&call.request.query)?;
            let mut out = table::Table::new(resource, version, include, call.now);
            for entry in &page.entries {
                out.row(&served(resource, entry.object())?)?;
            }
            let bytes = out.finish(&page.revision.to_string(), &page.token, page.remaining);
            (bytes, schema::type_of("meta.k8s.io", "v1", "Table"))
        }
        Form::Metadata { version } => {
            let api_version = format!("meta.k8s.io/{version}");
            let head =
                list::head("PartialObjectMetadata", &api_version, page.revision, &page.token, page.remaining);
            let mut out = head.into_bytes();
            for (i, entry) in page.entries.iter().enumerate() {
                out.extend_from_slice(if i == 0 { b"" } else { b"," });
                out.extend_from_slice(&partial(entry.object_bytes(), "PartialObjectMetadata", version));
            }
            out.extend_from_slice(b"]}\n");
            (out.into(), schema::type_of("meta.k8s.io", "v1", "PartialObjectMetadataList"))
        }
    };
    encoded(accepted, 200, bytes, ty)
}

/// A list item: the object without kind and apiVersion.
fn item(resource: &Resource, entry: &watchcache::Entry) -> Result<Vec<u8>, Status> {
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
