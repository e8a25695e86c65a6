//! PriorityLevelConfiguration: how many requests of a level run at a time.

use schema::Value;

use crate::columns::{AGE, NAME, text, text_at};
use crate::defaults::{at, text as text_default, value, with_map};
use crate::kind::{Cell, Column, Kind, Strategy, WITH_STATUS};
use crate::shape::{Check, Rule, rule};

/// `flowcontrol.apiserver.k8s.io/v1` PriorityLevelConfiguration.
pub static KIND: Kind = Kind::cluster_kind(
    "flowcontrol.apiserver.k8s.io",
    "v1",
    "PriorityLevelConfiguration",
    "prioritylevelconfigurations",
    "prioritylevelconfiguration",
)
.with_subresources(WITH_STATUS)
.with_columns(COLUMNS)
.with_strategy(&PriorityLevelStrategy)
.with_rules(RULES)
.with_status_keeping(crate::kind::USER_METADATA)
.with_generation();

// k8s: pkg/apis/flowcontrol/validation/validation.go ValidatePriorityLevelConfigurationSpec
const RULES: &[Rule] = &[
    rule("spec.type", Check::Word(&["Exempt", "Limited"])),
    rule("spec.limited?.limitResponse.type", Check::Word(&["Queue", "Reject"])),
];

const COLUMNS: &[Column] = &[
    NAME,
    text("Type", "Limited or Exempt.", |o, _| text_at(o, &["spec", "type"])),
    text("NominalConcurrencyShares", "Its share of concurrency.", |o, _| {
        Cell::Text(number(o, &["spec", "limited", "nominalConcurrencyShares"]))
    }),
    text("Queues", "Number of queues.", |o, _| {
        Cell::Text(number(o, &["spec", "limited", "limitResponse", "queuing", "queues"]))
    }),
    text("HandSize", "Queues that a flow may use.", |o, _| {
        Cell::Text(number(o, &["spec", "limited", "limitResponse", "queuing", "handSize"]))
    }),
    text("QueueLengthLimit", "Requests that may wait in a queue.", |o, _| {
        Cell::Text(number(o, &["spec", "limited", "limitResponse", "queuing", "queueLengthLimit"]))
    }),
    AGE,
];

fn number(o: &Value, path: &[&str]) -> String {
    o.int_at(path).map_or_else(|| "<none>".to_owned(), |n| n.to_string())
}

struct PriorityLevelStrategy;

impl Strategy for PriorityLevelStrategy {
    // k8s: pkg/apis/flowcontrol/v1/defaults.go
    fn default_fields(&self, o: &mut Value) {
        let limited = o.str_at(&["spec", "type"]) == "Limited";
        at(o, &["spec"], |s| {
            if limited {
                with_map(s, "limited", |l| {
                    value(l, "nominalConcurrencyShares", 30);
                    value(l, "lendablePercent", 0);
                    with_map(l, "limitResponse", |r| text_default(r, "type", "Reject"));
                    at(l, &["limitResponse", "queuing"], |q| {
                        crate::defaults::number(q, "queues", 64);
                        crate::defaults::number(q, "handSize", 8);
                        crate::defaults::number(q, "queueLengthLimit", 50);
                    });
                });
            }
            at(s, &["exempt"], |e| {
                value(e, "nominalConcurrencyShares", 0);
                value(e, "lendablePercent", 0);
            });
        });
    }
}
