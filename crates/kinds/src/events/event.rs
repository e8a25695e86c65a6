//! Event of `events.k8s.io`: the same objects as core events, with other field names. Stored in the core form.

use meta::FieldError;
use schema::Value;

use crate::columns;
use crate::core::event as stored;
use crate::kind::{Column, Context, Conversion, Kind, NameRule, Operation, Storage, Strategy};
use crate::rules::converted;
use crate::selectable::{Selectable, field};

/// `events.k8s.io/v1` Event.
pub static KIND: Kind = Kind::namespaced_kind("events.k8s.io", "v1", "Event", "events", "event")
    .with_short_names(&["ev"])
    .with_names(NameRule::PathSegment)
    .with_columns(COLUMNS)
    .with_selectable_fields(FIELDS)
    .with_strategy(&EventStrategy)
    .with_storage(Storage::As(&CONVERSION));

static CONVERSION: Conversion = Conversion { kind: &stored::KIND, to_storage, from_storage };

/// Field names here, and in the core form.
// k8s: pkg/apis/events/v1/conversion.go
const RENAMED: &[(&str, &str)] = &[
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
];

fn to_storage(o: Value) -> Value {
    converted(o, "v1", |field| RENAMED.iter().find(|(here, _)| *here == field).map(|(_, there)| *there))
}

fn from_storage(o: Value) -> Value {
    converted(o, "events.k8s.io/v1", |field| {
        RENAMED.iter().find(|(_, there)| *there == field).map(|(here, _)| *here)
    })
}

const FIELDS: &[Selectable] = &[
    field("regarding.kind").at("involvedObject.kind"),
    field("regarding.namespace").at("involvedObject.namespace"),
    field("regarding.name").at("involvedObject.name"),
    field("regarding.uid").at("involvedObject.uid"),
    field("regarding.apiVersion").at("involvedObject.apiVersion"),
    field("regarding.resourceVersion").at("involvedObject.resourceVersion"),
    field("regarding.fieldPath").at("involvedObject.fieldPath"),
    field("reason"),
    field("reportingController").at("reportingComponent"),
    field("type"),
];

/// The table of a core event, read through the conversion.
const COLUMNS: &[Column] = &[
    Column { cell: |o, now| (stored::COLUMNS[0].cell)(&to_storage(o.clone()), now), ..stored::COLUMNS[0] },
    Column { cell: |o, now| (stored::COLUMNS[1].cell)(&to_storage(o.clone()), now), ..stored::COLUMNS[1] },
    Column { cell: |o, now| (stored::COLUMNS[2].cell)(&to_storage(o.clone()), now), ..stored::COLUMNS[2] },
    Column { cell: |o, now| (stored::COLUMNS[3].cell)(&to_storage(o.clone()), now), ..stored::COLUMNS[3] },
    Column { cell: |o, now| (stored::COLUMNS[4].cell)(&to_storage(o.clone()), now), ..stored::COLUMNS[4] },
    Column { cell: |o, now| (stored::COLUMNS[5].cell)(&to_storage(o.clone()), now), ..stored::COLUMNS[5] },
    Column { cell: |o, now| (stored::COLUMNS[6].cell)(&to_storage(o.clone()), now), ..stored::COLUMNS[6] },
    Column { cell: |o, now| (stored::COLUMNS[7].cell)(&to_storage(o.clone()), now), ..stored::COLUMNS[7] },
    Column { cell: |o, now| (stored::COLUMNS[8].cell)(&to_storage(o.clone()), now), ..stored::COLUMNS[8] },
    Column { priority: 1, ..columns::NAME },
];

struct EventStrategy;

impl Strategy for EventStrategy {
    fn prepare_for_create(&self, _object: &mut Value, _cx: &Context) {}

    fn prepare_for_update(&self, _new: &mut Value, _old: &Value, _op: Operation, _cx: &Context) {}

    fn allow_create_on_update(&self) -> bool {
        true
    }

    fn validate(&self, o: &Value) -> Vec<FieldError> {
        stored::validate_new_form(&to_storage(o.clone()))
    }

    fn validate_update(&self, new: &Value, old: &Value, _op: Operation) -> Vec<FieldError> {
        stored::validate_new_form_update(&to_storage(new.clone()), &to_storage(old.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{texts, yaml};

    #[test]
    fn both_forms_are_one_object() {
        let mut o = Value::Map(schema::Map::new());
        o.set_at(&["kind"], "Event");
        o.set_at(&["apiVersion"], "events.k8s.io/v1");
        o.set_at(&["regarding", "name"], "web");
        o.set_at(&["note"], "hello");
        o.set_at(&["reason"], "Started");
        let core = to_storage(o.clone());
        assert_eq!(core.str_at(&["apiVersion"]), "v1");
        assert_eq!(core.str_at(&["involvedObject", "name"]), "web");
        assert_eq!(core.str_at(&["message"]), "hello");
        assert_eq!(from_storage(core), o);
    }

    #[test]
    fn refuses() {
        let good = "metadata: {namespace: d}\nregarding: {namespace: d}\neventTime: '2026-01-01T00:00:00Z'\nreportingController: a.b/c\nreportingInstance: i\naction: A\nreason: R\ntype: Normal";
        let table: &[(&str, &[&str])] = &[
            ("", &[]),
            ("\nnote: n\nseries: {count: 2, lastObservedTime: '2026-01-01T00:00:00Z'}", &[]),
            (
                "\nseries: {count: 1}\ndeprecatedCount: 3",
                &[
                    "series.count: Invalid value: \"\": should be at least 2",
                    "series.lastObservedTime: Required value",
                    "count: Invalid value: \"\": needs to be unset",
                ],
            ),
        ];
        for (more, want) in table {
            assert_eq!(texts(&EventStrategy.validate(&yaml(&format!("{good}{more}")))), *want, "{more}");
        }
        let bare = yaml("metadata: {namespace: d}\nregarding: {namespace: e}\ntype: Odd");
        assert_eq!(
            texts(&EventStrategy.validate(&bare)),
            [
                "involvedObject.namespace: Invalid value: \"e\": does not match event.namespace",
                "eventTime: Required value",
                "type: Invalid value: \"\": has invalid value: Odd",
            ]
        );
        let mut new = yaml(good);
        new.set_at(&["reason"], "Other");
        assert_eq!(
            texts(&EventStrategy.validate_update(&new, &yaml(good), Operation::Update)),
            ["reason: Invalid value: \"Other\": field is immutable"]
        );
    }
}
