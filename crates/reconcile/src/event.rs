//! What a decider wants users to read about an object: the source of Event objects.

use serde::{Deserialize, Serialize};

use crate::{ObjectMeta, Partial};

/// Event type as the API spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventType {
    Normal,
    Warning,
}

impl EventType {
    /// `Normal` or `Warning`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            EventType::Normal => "Normal",
            EventType::Warning => "Warning",
        }
    }
}

/// core/v1 ObjectReference.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectReference {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub api_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field_path: String,
}

impl ObjectReference {
    /// A reference to an object of that type with that metadata.
    #[must_use]
    pub fn to(api_version: &str, kind: &str, m: &ObjectMeta) -> Self {
        ObjectReference {
            kind: kind.to_owned(),
            namespace: m.namespace.to_string(),
            name: m.name.to_string(),
            uid: m.uid.to_string(),
            api_version: api_version.to_owned(),
            resource_version: if m.resource_version == 0 {
                String::new()
            } else {
                m.resource_version.to_string()
            },
            field_path: String::new(),
        }
    }
}

/// One thing that happened. In the message `{name}` stands for the name of the object that an action made
/// and `{error}` for why it failed, when the record is attached to an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRecord {
    pub regarding: ObjectReference,
    pub kind: EventType,
    pub reason: &'static str,
    pub message: String,
}

impl EventRecord {
    /// A `Normal` event.
    #[must_use]
    pub fn normal(regarding: ObjectReference, reason: &'static str, message: impl Into<String>) -> Self {
        EventRecord { regarding, kind: EventType::Normal, reason, message: message.into() }
    }

    /// A `Warning` event.
    #[must_use]
    pub fn warning(regarding: ObjectReference, reason: &'static str, message: impl Into<String>) -> Self {
        EventRecord { regarding, kind: EventType::Warning, reason, message: message.into() }
    }

    pub(crate) fn filled(mut self, answer: Option<&Partial>, fallback_name: &str, error: &str) -> Self {
        if self.message.contains("{name}") {
            let name = answer.map(|p| p.metadata.name.as_ref()).filter(|n| !n.is_empty());
            self.message = self.message.replace("{name}", name.unwrap_or(fallback_name));
        }
        if self.message.contains("{error}") {
            self.message = self.message.replace("{error}", error);
        }
        self
    }
}
