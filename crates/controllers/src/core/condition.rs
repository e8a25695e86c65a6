//! Status conditions, in the one form that pods, nodes, replica sets, deployments and namespaces share.

use jiff::Timestamp;
use reconcile::time::whole_seconds;
use serde::{Deserialize, Serialize};

/// A condition. Times that a kind does not have stay absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    #[serde(rename = "type")]
    pub kind: Box<str>,
    pub status: Box<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_heartbeat_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_probe_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_update_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub reason: Box<str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub message: Box<str>,
}

impl Condition {
    /// A condition whose status changes now.
    #[must_use]
    pub fn new(kind: &str, status: &str, reason: &str, message: impl Into<Box<str>>, now: Timestamp) -> Self {
        Condition {
            kind: kind.into(),
            status: status.into(),
            reason: reason.into(),
            message: message.into(),
            last_transition_time: Some(whole_seconds(now)),
            ..Condition::default()
        }
    }
}

/// The condition of a type.
#[must_use]
pub fn find<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|c| *c.kind == *kind)
}

/// Whether the condition is there and `True`.
#[must_use]
pub fn is_true(conditions: &[Condition], kind: &str) -> bool {
    find(conditions, kind).is_some_and(|c| &*c.status == "True")
}

/// Takes a condition out.
pub fn remove(conditions: &mut Vec<Condition>, kind: &str) {
    conditions.retain(|c| *c.kind != *kind);
}

/// Puts a condition in. Nothing changes when status and reason are as before; the transition time stays when
/// the status does.
pub fn set(conditions: &mut Vec<Condition>, mut new: Condition) {
    if let Some(old) = find(conditions, &new.kind) {
        if old.status == new.status && old.reason == new.reason {
            return;
        }
        if old.status == new.status {
            new.last_transition_time = old.last_transition_time;
        }
    }
    remove(conditions, &new.kind);
    conditions.push(new);
}
