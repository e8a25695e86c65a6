//! Responses that are one object or one page.

use bytes::Bytes;
use meta::{Response, Status};

use super::encode::{CHUNKED_OBJECTS, encoded, head, partial};
use super::{pieces, table};
use crate::request::{Accepted, Form};
use crate::storage::page::Page;
use crate::storage::{Call, peek};

/// An object of the call's resource, from its cached or stored bytes with resource version.
pub(crate) fn object(
    call: &Call<'_>,
    accepted: &Accepted,
    code: u16,
    stored: Bytes,
    warnings: Vec<String>,
) -> Result<Response, Status> {
    let resource = &call.resource;
    let served = resource.served(stored)?;
    let (bytes, ty) = match accepted.form {
        Form::Plain => (served, resource.table_ty()),
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

/// A page that is not sent as plain slices.
pub(crate) fn list(call: &Call<'_>, accepted: &Accepted, page: Page) -> Result<Response, Status> {
    let resource = &call.resource;
    if page.entries.len() > CHUNKED_OBJECTS && pieces::can_send(accepted) {
        return pieces::list(resource, accepted, page);
    }
    let (bytes, ty): (Bytes, _) = match accepted.form {
        Form::Plain => {
            let api_version = resource.gvr.api_version();
            let kind = &resource.kind.kind;
            let head = head(kind, &api_version, page.revision, &page.token, page.remaining);
            let mut out = head.into_bytes();
            for (i, entry) in page.entries.iter().enumerate() {
                out.extend_from_slice(if i == 0 { b"{" } else { b",{" });
                out.extend_from_slice(&resource.item(entry)?);
            }
            out.extend_from_slice(b"]}\n");
            (out.into(), resource.list_ty())
        }
        Form::Table { version } => {
            let include = table::Include::parse(&call.request.query)?;
            let mut out = table::Table::new(resource, version, include, call.now);
            for entry in &page.entries {
                out.row(&resource.served(entry.object())?)?;
            }
            let bytes = out.finish(&page.revision.to_string(), &page.token, page.remaining);
            (bytes, schema::type_of("meta.k8s.io", "v1", "Table"))
        }
        Form::Metadata { version } => {
            let api_version = format!("meta.k8s.io/{version}");
            let head =
                head("PartialObjectMetadata", &api_version, page.revision, &page.token, page.remaining);
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
