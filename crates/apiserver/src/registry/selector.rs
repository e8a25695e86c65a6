//! Label and field selectors of lists and watches, matched against the facts of a cache entry. It must never
//! parse an object.

use kinds::{Absent, Selectable};
use meta::{Status, fields, labels};
use watchcache::{Entry, Scope};

use super::Resource;

/// Most requirements in one selector.
const LIMIT_REQUIREMENTS: usize = 256;

/// One condition on one field.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Field {
    what: FieldRef,
    value: String,
    negated: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum FieldRef {
    Name,
    Namespace,
    /// Index among the resource's facts, and what an absent field is.
    Fact(usize, Otherwise),
    /// A field that no object has.
    Never,
}

/// What a field is of an object that does not have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Otherwise {
    Text(&'static str),
    Fact(usize),
}

/// Where the text of a selectable field is among the facts of the resource's entries.
fn reference(resource: &Resource, field: Selectable<'_>) -> FieldRef {
    let Some(at) = resource.fact(field.path) else { return FieldRef::Never };
    let otherwise = match field.absent {
        Absent::Text(text) => Otherwise::Text(text),
        Absent::Path(path) => resource.fact(path).map_or(Otherwise::Text(""), Otherwise::Fact),
    };
    FieldRef::Fact(at, otherwise)
}

/// Both selectors of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    labels: labels::Selector,
    fields: Vec<Field>,
}

impl Selection {
    /// Parses both for a resource.
    ///
    /// # Errors
    /// 400 for what is not understood or not selectable.
    pub fn parse(label_text: &str, field_text: &str, resource: &Resource) -> Result<Self, Status> {
        let labels = labels::Selector::parse(label_text).map_err(|e| Status::bad_request(e.to_string()))?;
        let parsed = fields::Selector::parse(field_text).map_err(|e| Status::bad_request(e.to_string()))?;
        if labels.requirements().len() > LIMIT_REQUIREMENTS || parsed.0.len() > LIMIT_REQUIREMENTS {
            return Err(Status::bad_request("a selector has too many requirements"));
        }
        let mut fields = Vec::new();
        for r in parsed.0 {
            let what = match r.field.as_str() {
                "metadata.name" => FieldRef::Name,
                "metadata.namespace" if resource.kind.namespaced() => FieldRef::Namespace,
                other => match resource.kind.selectable(other) {
                    Some(field) => reference(resource, field),
                    None => return Err(Status::bad_request(fields::not_supported(other))),
                },
            };
            fields.push(Field { what, value: r.value, negated: r.negated });
        }
        Ok(Selection { labels, fields })
    }

    /// Whether nothing is filtered out.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Whether both match.
    #[must_use]
    pub fn matches(&self, entry: &Entry) -> bool {
        let fields = self.fields.iter().all(|f| {
            let actual = match &f.what {
                FieldRef::Name => entry.name(),
                FieldRef::Namespace => entry.namespace(),
                FieldRef::Fact(i, otherwise) => match (entry.facts().field(*i), otherwise) {
                    ("", Otherwise::Text(text)) => text,
                    ("", Otherwise::Fact(other)) => entry.facts().field(*other),
                    (text, _) => text,
                },
                FieldRef::Never => "",
            };
            (actual == f.value) != f.negated
        });
        fields && self.labels.matches(|k| entry.facts().label(k))
    }

    fn exact(&self, what: &FieldRef) -> Option<&str> {
        self.fields.iter().find(|f| f.what == *what && !f.negated).map(|f| f.value.as_str())
    }

    /// An indexed field with the value it must have.
    #[must_use]
    pub fn trigger(&self, triggers: &[usize]) -> Option<(usize, String)> {
        self.fields.iter().find_map(|f| match f.what {
            FieldRef::Fact(i, _) if !f.negated && triggers.contains(&i) && !f.value.is_empty() => {
                Some((i, f.value.clone()))
            }
            _ => None,
        })
    }

    /// The narrowest scope that still holds everything selected.
    #[must_use]
    pub fn scope(&self, resource: &Resource, namespace: &str) -> Scope {
        let namespaced = resource.kind.namespaced();
        let namespace =
            if namespace.is_empty() { self.exact(&FieldRef::Namespace).unwrap_or("") } else { namespace };
        match self.exact(&FieldRef::Name) {
            Some(name) if !name.is_empty() && (!namespaced || !namespace.is_empty()) => {
                Scope::Key(resource.key(namespace, name))
            }
            Some(name) if !name.is_empty() => Scope::Name(name.to_owned()),
            _ if namespaced && !namespace.is_empty() => Scope::Namespace(namespace.to_owned()),
            _ => Scope::All,
        }
    }
}
