//! Server-side tables: columns of the kind, one row per object. It must never know a kind by name.
// k8s: staging/src/k8s.io/apiserver/pkg/registry/rest/table.go

use bytes::Bytes;
use jiff::Timestamp;
use kinds::{Cell, Kind};
use meta::{Query, Status};
use schema::TypeRef;
use serde_json::json;

use super::encode::partial;
use crate::registry::Resource;

/// What each row carries of its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Include {
    None,
    Metadata,
    Object,
}

impl Include {
    /// From `includeObject`.
    ///
    /// # Errors
    /// 400 for a value that is not known.
    pub fn parse(q: &Query) -> Result<Self, Status> {
        match q.get("includeObject").unwrap_or("") {
            "" | "Metadata" => Ok(Include::Metadata),
            "None" => Ok(Include::None),
            "Object" => Ok(Include::Object),
            other => Err(Status::bad_request(format!(
                "unrecognized includeObject value: {}",
                meta::field::quoted(other)
            ))),
        }
    }
}

/// A table being written.
pub(crate) struct Table<'a> {
    kind: &'a Kind,
    /// The type of the objects' served form, where they have one.
    ty: Option<TypeRef<'a>>,
    version: &'static str,
    include: Include,
    now: Timestamp,
    headers: bool,
    rows: Vec<u8>,
}

impl<'a> Table<'a> {
    /// Without rows.
    pub fn new(resource: &'a Resource, version: &'static str, include: Include, now: Timestamp) -> Self {
        Self::of(&resource.kind, resource.table_ty(), version, include, now)
    }

    /// The same for a kind that is nowhere stored.
    pub fn of(
        kind: &'a Kind,
        ty: Option<TypeRef<'a>>,
        version: &'static str,
        include: Include,
        now: Timestamp,
    ) -> Self {
        Table { kind, ty, version, include, now, headers: true, rows: Vec::new() }
    }

    /// Leaves the column definitions out.
    pub fn without_headers(mut self) -> Self {
        self.headers = false;
        self
    }

    /// Adds a row for an object in its served form.
    pub fn row(&mut self, object: &[u8]) -> Result<(), Status> {
        let value = match self.ty {
            Some(ty) => crate::codec::stored(object, ty)?,
            None => schema::decode_plain(object).map_err(|e| Status::internal(e.to_string()))?,
        };
        if !self.rows.is_empty() {
            self.rows.push(b',');
        }
        self.rows.extend_from_slice(b"{\"cells\":[");
        for (i, cell) in self.kind.columns().cells(&value, self.now).into_iter().enumerate() {
            if i > 0 {
                self.rows.push(b',');
            }
            let cell = match cell {
                Cell::Text(t) => json!(t),
                Cell::Int(n) => json!(n),
                Cell::Float(f) => json!(f),
                Cell::Bool(b) => json!(b),
                Cell::Null => json!(null),
            };
            self.rows.extend_from_slice(cell.to_string().as_bytes());
        }
        self.rows.push(b']');
        match self.include {
            Include::None => {}
            Include::Metadata => {
                self.rows.extend_from_slice(b",\"object\":");
                self.rows.extend_from_slice(&partial(object, "PartialObjectMetadata", self.version));
            }
            Include::Object => {
                self.rows.extend_from_slice(b",\"object\":");
                self.rows.extend_from_slice(object);
            }
        }
        self.rows.push(b'}');
        Ok(())
    }

    /// The whole table.
    pub fn finish(self, revision: &str, token: &str, remaining: Option<usize>) -> Bytes {
        let mut metadata = json!({"resourceVersion": revision});
        if !token.is_empty() {
            metadata["continue"] = token.into();
        }
        if let Some(n) = remaining {
            metadata["remainingItemCount"] = n.into();
        }
        let columns: Vec<serde_json::Value> = if self.headers {
            self.kind
                .columns()
                .headings()
                .into_iter()
                .map(|c| {
                    json!({"name": c.name, "type": c.kind, "format": c.format, "description": c.description, "priority": c.priority})
                })
                .collect()
        } else {
            Vec::new()
        };
        let mut out = format!(
            "{{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/{}\",\"metadata\":{metadata},\"columnDefinitions\":{},\"rows\":[",
            self.version,
            serde_json::Value::Array(columns)
        )
        .into_bytes();
        out.extend_from_slice(&self.rows);
        out.extend_from_slice(b"]}\n");
        out.into()
    }
}
