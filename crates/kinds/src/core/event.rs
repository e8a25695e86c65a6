//! Event: what happened to an object. Also served as `events.k8s.io/v1`, see `events/event.rs`.

use jiff::Timestamp;
use meta::field::quoted;
use meta::{FieldError, Path, name};
use schema::Value;

use crate::columns::{self, text, text_at, wide};
use crate::kind::{Cell, Column, Context, FieldReader, Kind, NameRule, Operation, Strategy};
use crate::rules::{Errors, immutable};

/// `v1` Event.
pub static KIND: Kind = Kind::namespaced_kind("", "v1", "Event", "events", "event")
    .with_short_names(&["ev"])
    .with_names(NameRule::PathSegment)
    .with_columns(COLUMNS)
    .with_selectable_fields(FIELDS)
    .with_strategy(&EventStrategy);

// k8s: pkg/registry/core/event/strategy.go ToSelectableFields
const FIELDS: &[(&str, FieldReader)] = &[
    ("involvedObject.kind", |o| o.str_at(&["involvedObject", "kind"]).to_owned()),
    ("involvedObject.namespace", |o| o.str_at(&["involvedObject", "namespace"]).to_owned()),
    ("involvedObject.name", |o| o.str_at(&["involvedObject", "name"]).to_owned()),
    ("involvedObject.uid", |o| o.str_at(&["involvedObject", "uid"]).to_owned()),
    ("involvedObject.apiVersion", |o| o.str_at(&["involvedObject", "apiVersion"]).to_owned()),
    ("involvedObject.resourceVersion", |o| o.str_at(&["involvedObject", "resourceVersion"]).to_owned()),
    ("involvedObject.fieldPath", |o| o.str_at(&["involvedObject", "fieldPath"]).to_owned()),
    ("reason", |o| o.str_at(&["reason"]).to_owned()),
    ("reportingComponent", |o| o.str_at(&["reportingComponent"]).to_owned()),
    ("source", source_component),
    ("type", |o| o.str_at(&["type"]).to_owned()),
];

fn source_component(o: &Value) -> String {
    let source = o.str_at(&["source", "component"]);
    if source.is_empty() { o.str_at(&["reportingComponent"]) } else { source }.to_owned()
}

/// Columns over the core form.
// k8s: pkg/printers/internalversion/printers.go printEvent
pub const COLUMNS: &[Column] = &[
    text("Last Seen", "When the event was last seen.", |o, now| Cell::Text(last_seen(o, now))),
    text("Type", "Normal or Warning.", |o, _| text_at(o, &["type"])),
    text("Reason", "Why it happened, in one word.", |o, _| text_at(o, &["reason"])),
    text("Object", "The object it happened to.", |o, _| Cell::Text(object(o))),
    wide("Subobject", "The part of the object.", |o, _| text_at(o, &["involvedObject", "fieldPath"])),
    wide("Source", "Who reports it.", |o, _| Cell::Text(source(o))),
    text("Message", "What happened.", |o, _| Cell::Text(o.str_at(&["message"]).trim().to_owned())),
    wide("First Seen", "When the event was first seen.", |o, now| Cell::Text(first_seen(o, now))),
    wide("Count", "How often it happened.", |o, _| Cell::Int(count(o))),
    Column { priority: 1, ..columns::NAME },
];

fn first_seen(o: &Value, now: Timestamp) -> String {
    let first = o.str_at(&["firstTimestamp"]);
    let from = if first.is_empty() { o.str_at(&["eventTime"]) } else { first };
    meta::time::age(from, now)
}

fn last_seen(o: &Value, now: Timestamp) -> String {
    let series = o.str_at(&["series", "lastObservedTime"]);
    let last = o.str_at(&["lastTimestamp"]);
    if !series.is_empty() {
        meta::time::age(series, now)
    } else if !last.is_empty() {
        meta::time::age(last, now)
    } else {
        first_seen(o, now)
    }
}

fn count(o: &Value) -> i64 {
    let count = o.int_at(&["count"]).unwrap_or(0);
    o.int_at(&["series", "count"]).unwrap_or(if count == 0 { 1 } else { count })
}

fn object(o: &Value) -> String {
    let kind = o.str_at(&["involvedObject", "kind"]).to_lowercase();
    let name = o.str_at(&["involvedObject", "name"]);
    if name.is_empty() { kind } else { format!("{kind}/{name}") }
}

fn source(o: &Value) -> String {
    let mut component = o.str_at(&["source", "component"]);
    if component.is_empty() {
        component = o.str_at(&["reportingComponent"]);
    }
    let mut host = o.str_at(&["source", "host"]);
    if host.is_empty() {
        host = o.str_at(&["reportingInstance"]);
    }
    if host.is_empty() { component.to_owned() } else { format!("{component}, {host}") }
}

/// Rules over the core form; `events.k8s.io` objects are converted before they come here.
pub struct EventStrategy;

impl Strategy for EventStrategy {
    fn prepare_for_create(&self, _object: &mut Value, _cx: &Context) {}

    fn prepare_for_update(&self, _new: &mut Value, _old: &Value, _op: Operation, _cx: &Context) {}

    fn allow_create_on_update(&self) -> bool {
        true
    }

    // k8s: pkg/apis/core/validation/events.go legacyValidateEvent, ValidateEventCreate
    fn validate(&self, o: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let namespace = o.str_at(&["metadata", "namespace"]);
        let involved = o.str_at(&["involvedObject", "namespace"]);
        let path = Path::new("involvedObject").child("namespace");
        let mismatch = "does not match event.namespace";
        if involved.is_empty() {
            // Events about cluster-scoped objects live in `default`.
            if !matches!(namespace, "" | "default" | "kube-system") {
                errors.push(FieldError::invalid(&path, quoted(involved), mismatch));
            }
        } else if involved != namespace {
            errors.push(FieldError::invalid(&path, quoted(involved), mismatch));
        }
        for complaint in name::dns1123_subdomain(namespace) {
            errors.push(FieldError::invalid(&Path::new("namespace"), quoted(namespace), complaint));
        }
        errors
    }
}

/// What only the new form asks for on create.
// k8s: pkg/apis/core/validation/events.go ValidateEventCreate
#[must_use]
pub fn validate_new_form(o: &Value) -> Vec<FieldError> {
    let mut errors = Errors::new();
    if o.str_at(&["eventTime"]).is_empty() {
        errors.push(FieldError::required(&Path::new("eventTime"), ""));
    }
    for (stored, served, max_bytes) in [
        ("reportingComponent", "reportingController", 0),
        ("reportingInstance", "reportingInstance", 128),
        ("action", "action", 128),
        ("reason", "reason", 128),
    ] {
        let path = Path::new(served);
        let v = o.str_at(&[stored]);
        if v.is_empty() {
            errors.push(FieldError::required(&path, ""));
        } else if max_bytes > 0 && v.len() > max_bytes {
            let why = format!("can have at most {max_bytes} characters");
            errors.push(FieldError::invalid(&path, quoted(v), why));
        }
    }
    let controller = o.str_at(&["reportingComponent"]);
    if !controller.is_empty() {
        crate::rules::each(
            &mut errors,
            &Path::new("reportingController"),
            controller,
            name::qualified_name(controller),
        );
    }
    let message = o.str_at(&["message"]);
    if message.len() > 1024 {
        errors.push(FieldError::invalid(&Path::new("note"), quoted(message), "can have at most 1024 bytes"));
    }
    let kind = o.str_at(&["type"]);
    if !matches!(kind, "Normal" | "Warning") {
        let why = "has invalid value: ".to_owned() + kind;
        errors.push(FieldError::invalid(&Path::new("type"), quoted(""), why));
    }
    errors
}

/// What the new form does not let change.
// k8s: pkg/apis/core/validation/events.go ValidateEventUpdate
#[must_use]
pub fn validate_new_form_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Errors::new();
    for (stored, served) in [
        ("involvedObject", "regarding"),
        ("reason", "reason"),
        ("message", "note"),
        ("source", "deprecatedSource"),
        ("firstTimestamp", "deprecatedFirstTimestamp"),
        ("lastTimestamp", "deprecatedLastTimestamp"),
        ("count", "deprecatedCount"),
        ("eventTime", "eventTime"),
        ("action", "action"),
        ("related", "related"),
        ("reportingComponent", "reportingController"),
        ("reportingInstance", "reportingInstance"),
        ("type", "type"),
    ] {
        immutable(&mut errors, new.get(stored), old.get(stored), &Path::new(served));
    }
    errors
}
