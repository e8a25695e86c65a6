//! Event: what happened to an object. Also served as `events.k8s.io/v1`, see `events/event.rs`.

use jiff::Timestamp;
use meta::field::quoted;
use meta::{FieldError, Path, name};
use schema::Value;

use crate::columns::{self, text, text_at, wide};
use crate::kind::{Cell, Column, Context, Kind, NameRule, Operation, Strategy};
use crate::rules::{Errors, immutable};
use crate::selectable::{Selectable, field};

/// `v1` Event.
pub static KIND: Kind = Kind::namespaced_kind("", "v1", "Event", "events", "event")
    .with_short_names(&["ev"])
    .with_names(NameRule::PathSegment)
    .with_columns(COLUMNS)
    .with_selectable_fields(FIELDS)
    .with_strategy(&EventStrategy);

// k8s: pkg/registry/core/event/strategy.go ToSelectableFields
const FIELDS: &[Selectable] = &[
    field("involvedObject.kind"),
    field("involvedObject.namespace"),
    field("involvedObject.name"),
    field("involvedObject.uid"),
    field("involvedObject.apiVersion"),
    field("involvedObject.resourceVersion"),
    field("involvedObject.fieldPath"),
    field("reason"),
    field("reportingComponent"),
    field("source").at("source.component").or_at("reportingComponent"),
    field("type"),
];

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

    fn validate(&self, o: &Value) -> Vec<FieldError> {
        validate_old_form(o, "reportingComponent")
    }
}

const MISMATCH: &str = "does not match event.namespace";
/// Longest action, reason and reporting instance, in bytes.
const WORD_MAX_BYTES: usize = 128;
const NOTE_MAX_BYTES: usize = 1024;

/// Rules that hold in both forms; `controller_field` is what the form calls the reporting controller.
// k8s: pkg/apis/core/validation/events.go legacyValidateEvent
#[must_use]
pub fn validate_old_form(o: &Value, controller_field: &str) -> Vec<FieldError> {
    let mut errors = Errors::new();
    let namespace = o.str_at(&["metadata", "namespace"]);
    let involved = o.str_at(&["involvedObject", "namespace"]);
    let path = Path::new("involvedObject").child("namespace");
    let new_style = !o.str_at(&["eventTime"]).is_empty();
    // Events about cluster-scoped objects live in `default`.
    let homeless = matches!(namespace, "" | "default") || (new_style && namespace == "kube-system");
    let mismatch = if involved.is_empty() { !homeless } else { !new_style && involved != namespace };
    if mismatch {
        errors.push(FieldError::invalid(&path, quoted(involved), MISMATCH));
    }
    if new_style {
        let controller = o.str_at(&["reportingComponent"]);
        let at = Path::new(controller_field);
        if controller.is_empty() {
            errors.push(FieldError::required(&at, ""));
        }
        crate::rules::each(&mut errors, &at, controller, name::qualified_name(controller));
        for field in ["reportingInstance", "action", "reason"] {
            let (at, v) = (Path::new(field), o.str_at(&[field]));
            if v.is_empty() {
                errors.push(FieldError::required(&at, ""));
            } else if v.len() > WORD_MAX_BYTES {
                let why = format!("can have at most {WORD_MAX_BYTES} characters");
                errors.push(FieldError::invalid(&at, "\"\"", why));
            }
        }
        if o.str_at(&["message"]).len() > NOTE_MAX_BYTES {
            let why = format!("can have at most {NOTE_MAX_BYTES} characters");
            errors.push(FieldError::invalid(&Path::new("message"), "\"\"", why));
        }
    }
    for complaint in name::dns1123_subdomain(namespace) {
        errors.push(FieldError::invalid(&Path::new("namespace"), quoted(namespace), complaint));
    }
    errors
}

/// What only the new form asks for on create; the object is in the core form.
// k8s: pkg/apis/core/validation/events.go ValidateEventCreate
#[must_use]
pub fn validate_new_form(o: &Value) -> Vec<FieldError> {
    let mut errors = validate_old_form(o, "reportingController");
    series(&mut errors, o);
    if o.str_at(&["eventTime"]).is_empty() {
        errors.push(FieldError::required(&Path::new("eventTime"), ""));
    }
    let kind = o.str_at(&["type"]);
    if !matches!(kind, "Normal" | "Warning") {
        errors.push(FieldError::invalid(&Path::new("type"), "\"\"", format!("has invalid value: {kind}")));
    }
    let source = ["component", "host"].iter().any(|f| !o.str_at(&["source", f]).is_empty());
    for (field, set) in [
        ("firstTimestamp", !o.str_at(&["firstTimestamp"]).is_empty()),
        ("lastTimestamp", !o.str_at(&["lastTimestamp"]).is_empty()),
        ("count", o.int_at(&["count"]).unwrap_or(0) != 0),
        ("source", source),
    ] {
        if set {
            errors.push(FieldError::invalid(&Path::new(field), "\"\"", "needs to be unset"));
        }
    }
    errors
}

fn series(errors: &mut Errors, o: &Value) {
    let Some(series) = o.get("series") else { return };
    if series.int_at(&["count"]).unwrap_or(0) < 2 {
        let at = Path::new("series").child("count");
        errors.push(FieldError::invalid(&at, "\"\"", "should be at least 2"));
    }
    if series.str_at(&["lastObservedTime"]).is_empty() {
        errors.push(FieldError::required(&Path::new("series").child("lastObservedTime"), ""));
    }
}

/// What the new form does not let change; the objects are in the core form.
// k8s: pkg/apis/core/validation/events.go ValidateEventUpdate
#[must_use]
pub fn validate_new_form_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = validate_old_form(new, "reportingController");
    if new.get("series") != old.get("series") {
        series(&mut errors, new);
    }
    for stored in [
        "involvedObject",
        "reason",
        "message",
        "source",
        "firstTimestamp",
        "lastTimestamp",
        "count",
        "type",
        "eventTime",
        "action",
        "related",
        "reportingComponent",
        "reportingInstance",
    ] {
        let field = if stored == "reportingComponent" { "reportingController" } else { stored };
        immutable(&mut errors, new.get(stored), old.get(stored), &Path::new(field));
    }
    errors
}
