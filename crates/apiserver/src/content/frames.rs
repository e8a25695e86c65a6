//! The frames of a watch in the accepted format and form. Plain JSON frames are the cache's shared bytes.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use meta::{Request, Status};
use watchcache::WatchEvent;

use super::encode::partial;
use super::table::{Include, Table};
use crate::codec::{self, Format};
use crate::registry::Resource;
use crate::request::{Accepted, Form, JSON, PROTOBUF, YAML};
use crate::storage::peek;

/// Marks the end of the initial events.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// Makes frames.
pub(crate) struct Frames {
    resource: Arc<Resource>,
    accepted: Accepted,
    include: Include,
    now: Timestamp,
    headers_sent: bool,
}

impl Frames {
    /// For one watch.
    ///
    /// # Errors
    /// 400 for a bad `includeObject`, 406 for YAML and for what has no protobuf form.
    pub fn new(
        resource: Arc<Resource>,
        accepted: &Accepted,
        request: &Request,
        now: Timestamp,
    ) -> Result<Self, Status> {
        if accepted.format == Format::Yaml {
            return Err(Status::not_acceptable(&[
                "application/json;stream=watch",
                "application/vnd.kubernetes.protobuf;stream=watch",
            ]));
        }
        let unknown = match accepted.form {
            Form::Plain => !resource.has_protobuf(),
            Form::Metadata { .. } => false,
            Form::Table { .. } => true,
        };
        if accepted.format == Format::Protobuf && unknown {
            return Err(Status::not_acceptable(&[JSON, YAML]));
        }
        let include = Include::parse(&request.query)?;
        Ok(Frames { resource, accepted: *accepted, include, now, headers_sent: false })
    }

    /// The stream's media type.
    pub fn content_type(&self) -> String {
        match self.accepted.format {
            Format::Protobuf => format!("{};stream=watch", PROTOBUF),
            _ => JSON.to_owned(),
        }
    }

    /// An event's frame.
    ///
    /// # Errors
    /// When the object cannot be shown in this form: the watch ends with that.
    pub fn event(&mut self, event: &WatchEvent) -> Result<Bytes, Status> {
        let plain = self.accepted.form == Form::Plain && self.resource.is_own_storage();
        if plain && self.accepted.format == Format::Json {
            return Ok(event.frame());
        }
        match self.shared_form() {
            Some(form) => event.encoded(form, || self.make(event)),
            None => self.make(event),
        }
    }

    fn make(&mut self, event: &WatchEvent) -> Result<Bytes, Status> {
        let object = self.shown(event.object())?;
        self.frame(event.kind().as_str(), &object)
    }

    /// The number of a form that is the same for every watcher of the cache. Tables depend on the time and on
    /// what was sent before; and two resources that share a cache show different objects.
    fn shared_form(&self) -> Option<u8> {
        if !self.resource.is_own_storage() {
            return None;
        }
        match (self.accepted.form, self.accepted.format) {
            (Form::Plain, Format::Protobuf) => Some(1),
            (Form::Metadata { version: "v1" }, Format::Protobuf) => Some(2),
            (Form::Metadata { version: "v1" }, Format::Json) => Some(3),
            _ => None,
        }
    }

    fn shown(&mut self, stored: Bytes) -> Result<Bytes, Status> {
        let object = self.resource.served(stored)?;
        Ok(match self.accepted.form {
            Form::Plain => object,
            Form::Metadata { version } => partial(&object, "PartialObjectMetadata", version),
            Form::Table { version } => {
                let mut table = Table::new(&self.resource, version, self.include, self.now);
                if self.headers_sent {
                    table = table.without_headers();
                }
                self.headers_sent = true;
                table.row(&object)?;
                let revision = peek::metadata(&object).resource_version;
                table.finish(&revision, "", None)
            }
        })
    }

    /// A bookmark: only a resource version, and whether the initial events end here.
    ///
    /// # Errors
    /// As [`Frames::event`].
    pub fn bookmark(&self, revision: u64, initial_end: bool) -> Result<Bytes, Status> {
        let (kind, api_version) = match self.accepted.form {
            Form::Plain => (self.resource.kind.kind.to_string(), self.resource.gvr.api_version()),
            Form::Metadata { version } => {
                ("PartialObjectMetadata".to_owned(), format!("meta.k8s.io/{version}"))
            }
            Form::Table { version } => ("Table".to_owned(), format!("meta.k8s.io/{version}")),
        };
        let annotations = if initial_end {
            format!(",\"annotations\":{{\"{INITIAL_EVENTS_END}\":\"true\"}}")
        } else {
            String::new()
        };
        let object = format!(
            "{{\"kind\":\"{kind}\",\"apiVersion\":\"{api_version}\",\"metadata\":{{\"resourceVersion\":\"{revision}\"{annotations}}}}}"
        );
        self.frame("BOOKMARK", object.as_bytes())
    }

    /// An error event; the stream ends behind it.
    ///
    /// # Errors
    /// When not even a Status can be sent in this form.
    pub fn error(&self, status: &Status) -> Result<Bytes, Status> {
        self.frame("ERROR", &status.to_json())
    }

    fn frame(&self, kind: &str, object: &[u8]) -> Result<Bytes, Status> {
        if self.accepted.format == Format::Protobuf {
            return codec::protobuf_frame(kind, object, self.object_type(kind)).map(Bytes::from);
        }
        let object = object.strip_suffix(b"\n").unwrap_or(object);
        let mut out = Vec::with_capacity(object.len() + 40);
        out.extend_from_slice(b"{\"type\":\"");
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(b"\",\"object\":");
        out.extend_from_slice(object);
        out.extend_from_slice(b"}\n");
        Ok(out.into())
    }

    fn object_type(&self, kind: &str) -> schema::TypeRef<'_> {
        let meta_type = |name| schema::type_of("meta.k8s.io", "v1", name);
        let found = match (kind, self.accepted.form) {
            ("ERROR", _) => meta_type("Status"),
            (_, Form::Plain) => None,
            (_, Form::Metadata { .. }) => meta_type("PartialObjectMetadata"),
            (_, Form::Table { .. }) => meta_type("Table"),
        };
        found.unwrap_or(self.resource.ty())
    }
}
