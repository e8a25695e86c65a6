//! Revisions: what a workload's template was. The data is a strategic merge patch that puts it back, in upstream's
//! form, so that `kubectl rollout undo` can send it as it is.
// k8s: pkg/controller/history/controller_history.go

use std::sync::Arc;

use meta::Gvr;
use reconcile::{Action, IndexSink, ObjectMeta, Projection, StrMap};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::template::Template;
use super::workload::{Workload, index_by_owner};
use crate::safe::{Fnv, encode};

/// `controllerrevisions`.
pub const REVISIONS: Gvr = Gvr::new("apps", "v1", "controllerrevisions");
/// The label of a pod that says which revision it is of, and of a daemon set's revisions.
pub const REVISION_HASH: &str = "controller-revision-hash";
/// The label of a stateful set's revisions with the hash of their data.
pub const DATA_HASH: &str = "controller.kubernetes.io/hash";

/// A revision.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Revision {
    pub metadata: ObjectMeta,
    pub revision: i64,
    pub data: Data,
}

impl Projection for Revision {
    const GVR: Gvr = REVISIONS;

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn indexes(&self, sink: &mut IndexSink) {
        index_by_owner(&self.metadata, sink);
    }

    fn compact(&mut self) {
        self.metadata.annotations = StrMap::default();
    }
}

/// What a revision holds. Two are equal when they put back the same template, however they are written.
#[derive(Clone, Debug)]
pub struct Data {
    raw: Box<RawValue>,
    /// Differs for most that differ.
    print: u32,
}

impl Data {
    fn new(raw: Box<RawValue>) -> Self {
        let mut hash = Fnv::default();
        hash.value(&normal(serde_json::from_str(raw.get()).unwrap_or_default()));
        Data { raw, print: hash.finish() }
    }

    /// The patch that puts a template back.
    // k8s: pkg/controller/statefulset/stateful_set_utils.go getPatch
    #[must_use]
    pub fn of(template: &Template) -> Self {
        let mut template = normal(template.value());
        for list in ["containers", "initContainers"] {
            let containers = template.pointer_mut(&format!("/spec/{list}")).and_then(Value::as_array_mut);
            for c in containers.into_iter().flatten().filter_map(Value::as_object_mut) {
                // Upstream's types have it always. Written otherwise, its controllers would not know their own.
                c.entry("resources").or_insert_with(|| json!({}));
            }
        }
        if !template.is_object() {
            template = json!({});
        }
        template["$patch"] = "replace".into();
        let text = json!({"spec": {"template": template}}).to_string();
        Data::new(RawValue::from_string(text).expect("a value's text is JSON"))
    }

    /// The template that it puts back.
    #[must_use]
    pub fn template(&self) -> Option<Template> {
        let mut v: Value = serde_json::from_str(self.raw.get()).ok()?;
        let template = v.pointer_mut("/spec/template")?;
        template.as_object_mut()?.remove("$patch");
        Template::try_from(&*template).ok()
    }

    /// A hash of it; `probe` sets it apart from one that another revision has.
    // k8s: pkg/controller/history/controller_history.go HashControllerRevision
    #[must_use]
    pub fn hash(&self, probe: Option<i32>) -> String {
        // Of the text with upstream's escapes, which stand for characters that only texts in it can have.
        let text = self.raw.get().replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e");
        let probe = probe.map(|n| n.to_string()).unwrap_or_default();
        encode(&fnv1(text.bytes().chain(probe.bytes())).to_string())
    }

    fn value(&self) -> Value {
        serde_json::from_str(self.raw.get()).unwrap_or_default()
    }
}

/// FNV-1 with 32 bits.
fn fnv1(bytes: impl Iterator<Item = u8>) -> u32 {
    bytes.fold(0x811c_9dc5, |h: u32, b| h.wrapping_mul(0x0100_0193) ^ u32::from(b))
}

/// Without what means nothing: nulls and empty `resources`.
fn normal(v: Value) -> Value {
    match v {
        Value::Object(m) => {
            let members = m.into_iter().map(|(k, v)| (k, normal(v)));
            let empty = |v: &Value| v.as_object().is_some_and(serde_json::Map::is_empty);
            let means = |k: &str, v: &Value| !v.is_null() && (k != "resources" || !empty(v));
            Value::Object(members.filter(|(k, v)| means(k, v)).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(normal).collect()),
        scalar => scalar,
    }
}

impl PartialEq for Data {
    fn eq(&self, other: &Self) -> bool {
        self.print == other.print
            && (self.raw.get() == other.raw.get() || normal(self.value()) == normal(other.value()))
    }
}

impl Default for Data {
    fn default() -> Self {
        Data::new(RawValue::from_string("{}".to_owned()).expect("braces are JSON"))
    }
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Ok(Data::new(Box::<RawValue>::deserialize(d)?))
    }
}

/// The name of a revision.
// k8s: pkg/controller/history/controller_history.go ControllerRevisionName
#[must_use]
pub fn name(owner: &str, hash: &str) -> String {
    let mut cut = owner.len().min(223);
    while !owner.is_char_boundary(cut) {
        cut -= 1;
    }
    format!("{}-{hash}", &owner[..cut])
}

/// Oldest first.
pub fn sort(revisions: &mut [Arc<Revision>]) {
    revisions.sort_by(|a, b| {
        let by = |r: &Revision| (r.revision, r.metadata.creation_timestamp);
        by(a).cmp(&by(b)).then_with(|| a.metadata.name.cmp(&b.metadata.name))
    });
}

/// Makes a revision of a workload: its data, its labels and what it is called by.
#[must_use]
pub fn create<W: Workload>(owner: &W, data: &Data, labels: &StrMap, name: &str, number: i64) -> Action {
    let m = owner.meta();
    let body = json!({
        "kind": "ControllerRevision", "apiVersion": "apps/v1",
        "metadata": {
            "name": name, "namespace": m.namespace, "labels": labels, "annotations": m.annotations,
            "ownerReferences": [owner.reference()],
        },
        "data": data.value(),
        "revision": number,
    });
    Action::create(REVISIONS, &m.namespace, name, &body)
}

/// Gives a revision another number: a rollback to it.
#[must_use]
pub fn renumber(r: &Revision, number: i64) -> Action {
    let m = &r.metadata;
    let body = json!({
        "metadata": {"uid": m.uid, "resourceVersion": m.resource_version.to_string()}, "revision": number,
    });
    Action::merge_patch(REVISIONS, &m.key(), "", &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(template: &Value) -> Data {
        Data::of(&Template::try_from(template).unwrap())
    }

    fn template(image: &str) -> Value {
        json!({
            "metadata": {"labels": {"a": "b"}, "creationTimestamp": null},
            "spec": {"containers": [{"name": "c", "image": image, "command": ["a>b"]}]},
        })
    }

    #[test]
    fn data_is_upstreams_patch() {
        let text = r#"{"spec":{"template":{"$patch":"replace","metadata":{"labels":{"a":"b"}},"#.to_owned()
            + r#""spec":{"containers":[{"command":["a>b"],"image":"i","name":"c","resources":{}}]}}}}"#;
        assert_eq!(data(&template("i")).raw.get(), text);
        assert_eq!(data(&template("i")).template().unwrap().labels.get("a"), Some("b"));
    }

    #[test]
    fn the_same_template_written_otherwise_is_the_same() {
        let stored = r#"{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"i","resources":{},
            "command":["a>b"],"env":null}]},"metadata":{"creationTimestamp":null,"labels":{"a":"b"}},"$patch":"replace"}}}"#;
        let stored: Data = serde_json::from_str(stored).unwrap();
        assert_eq!(stored, data(&template("i")));
        assert_ne!(stored, data(&template("j")));
    }

    #[test]
    fn hashes_are_upstreams() {
        assert_eq!(fnv1("a".bytes()), 0x050c_5d7e, "the hash's authors give this one");
        let hash = |text: &str, probe| serde_json::from_str::<Data>(text).unwrap().hash(probe);
        let of = |text: &str| encode(&fnv1(text.bytes()).to_string());
        assert_eq!(hash("{}", None), of("{}"));
        assert_eq!(hash("{}", Some(0)), of("{}0"));
        assert_eq!(hash(r#"{"a":"<"}"#, None), of(r#"{"a":"\u003c"}"#));
    }

    #[test]
    fn names_are_cut() {
        assert_eq!(name("web", "5d4b"), "web-5d4b");
        assert_eq!(name(&"x".repeat(300), "h").len(), 225);
    }
}
